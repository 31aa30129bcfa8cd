"""The training step: losses, the optimiser and its schedule, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Batch

from bandrt_train.fit.config import FitConfig
from bandrt_train.fit.loss import gap_loss
from bandrt_train.model.bandformer import BandLoss, Reference, band_loss
from bandrt_train.model.output import BandOutput


def joined(slices: list[Batch], name: str) -> Tensor:
    """A field of all crystals of a batch, in the order of its slices."""
    return torch.cat([getattr(part, name) for part in slices])


class BandFit(lightning.LightningModule):
    """A model being trained, and the average of it.

    What a model gathers of batches, the running statistics of ``released``, is averaged as its weights are, over the same steps.

    What a step draws at random, dropout, follows from the seed, the number of the step and the device alone, so that a run can
    go on from any step.
    """

    def __init__(self, config: FitConfig, model: Reference, n_valence: int) -> None:
        super().__init__()
        self.fit_config = config
        self.n_valence = n_valence
        self.model = model
        self.average = AveragedModel(self.model, multi_avg_fn=self._move_average, use_buffers=True)
        self.average.requires_grad_(False)

    def on_train_batch_start(self, batch: dict[str, list[Batch]], batch_index: int) -> None:
        """Seed what the step draws."""
        words = np.random.SeedSequence([self.fit_config.seed, self.global_step, self.global_rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0]))

    def training_step(self, batch: dict[str, list[Batch]], batch_index: int) -> Tensor:
        """The paper's loss on one batch of bands, the same of what a teacher says, and the loss of the gaps that come with them."""
        bands, gaps, taught = batch["bands"], batch.get("gaps"), batch.get("teacher")
        loss = self._band_loss(bands)
        shown = {"train/loss": loss.total, "train/center_mae": loss.center, "train/dispersion_mae": loss.dispersion}
        total = loss.total
        if gaps is not None:
            energies = self._predicted(gaps).energies
            shown["train/gap_loss"] = gap_loss(energies, joined(gaps, "band_gap"), joined(gaps, "weight"), self.n_valence)
            total = total + self.fit_config.gaps.weight * shown["train/gap_loss"]
        if taught is not None:
            shown["train/teacher_loss"] = self._band_loss(taught).total
            total = total + self.fit_config.teacher.weight * shown["train/teacher_loss"]
        self.log_dict(shown, on_step=False, on_epoch=True, sync_dist=True, batch_size=sum(map(len, bands)))
        return total

    def _predicted(self, slices: list[Batch]) -> BandOutput:
        """What the model says of all slices of a batch, in their order."""
        parts = [self.model(part) for part in slices]
        return BandOutput(*(torch.cat([getattr(part, name) for part in parts]) for name in ("center", "dispersion", "energies")))

    def _band_loss(self, slices: list[Batch]) -> BandLoss:
        labels, mask, weight = (joined(slices, name) for name in ("band_energies", "energy_mask", "weight"))
        return band_loss(self._predicted(slices), labels, mask, self.fit_config.dispersion_weight, weight)

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average towards the trained weights."""
        self.average.update_parameters(self.model)

    def configure_optimizers(self) -> Any:
        """AdamW, decaying matrices only, with warm-up and cosine."""
        choice = self.fit_config.optimizer
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": choice.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=choice.learning_rate, betas=(0.9, 0.98))
        total = float(self.trainer.estimated_stepping_batches)
        warmup = max(1.0, choice.warmup_epochs * total / self.fit_config.epochs)

        def rate(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, total - warmup))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _move_average(self, averages: Sequence[Tensor], current: Sequence[Tensor], n_averaged: Tensor | int) -> None:
        """Move averages of one type towards what is trained; their number is asked for once, since a GPU waits for whoever asks."""
        n = float(n_averaged)
        decay = min(self.fit_config.optimizer.ema_decay, (1.0 + n) / (10.0 + n))  # early weights are soon forgotten
        for average, trained in zip(averages, current, strict=True):
            # a count, of batches, has no average
            average.copy_(average.lerp(trained, 1.0 - decay) if average.is_floating_point() else trained)
