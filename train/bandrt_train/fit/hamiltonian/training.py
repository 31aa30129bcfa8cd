"""A model being trained, epoch by epoch: tight-binding bands first, then labels with some of those, and gaps, beside them."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bandrt_train.data.hamiltonian.bands import CountedBands
from bandrt_train.data.hamiltonian.folds import HeldOut
from bandrt_train.data.hamiltonian.gaps import KnownGap
from bandrt_train.fit.hamiltonian.config import HamiltonianFit
from bandrt_train.fit.hamiltonian.loss import band_loss, gap_loss
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian

FIRST_STEPS, LAST_RATE = 100, 0.3
"""Of the epochs on tight binding: steps of warm-up, and the share of the rate that is left at their end."""

T = TypeVar("T", CountedBands, KnownGap)


@dataclass(frozen=True, eq=False)
class Material:
    """What a run learns, and what it only watches."""

    labels: tuple[CountedBands, ...]
    tight_binding: tuple[CountedBands, ...]
    gaps: tuple[KnownGap, ...]
    validation: tuple[CountedBands, ...]

    @property
    def order_sha256(self) -> str:
        """What tells whether the same material comes in the same order, which decides what is drawn."""
        parts = (self.labels, self.tight_binding, self.gaps, self.validation)
        order = json.dumps([[one.id for one in part] for part in parts])
        return hashlib.sha256(order.encode()).hexdigest()


def divide(
    labels: Sequence[CountedBands], tight_binding: Sequence[CountedBands], gaps: Sequence[KnownGap], held_out: HeldOut
) -> Material:
    """Deal everything by formula; of gaps those are learned whose elements occur in labels that are."""
    learned = _of(labels, held_out, "train")
    elements = {number for one in learned for number in one.pairs.atomic_numbers.tolist()}
    known = (one for one in _of(gaps, held_out, "train") if set(one.pairs.atomic_numbers.tolist()) <= elements)
    return Material(learned, _of(tight_binding, held_out, "train"), tuple(known), _of(labels, held_out, "validation"))


def _of(found: Sequence[T], held_out: HeldOut, split: str) -> tuple[T, ...]:
    return tuple(one for one in found if held_out.split(one.formula) == split)


class Training:
    """The weights, their moving average, the optimizer, and how far they have come."""

    def __init__(self, config: HamiltonianFit, material: Material) -> None:
        self.config = config
        self.material = material
        torch.manual_seed(config.seed)
        self.model = LearnedHamiltonian(config.model)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.edges = np.zeros((len(material.gaps), 2), np.int64)
        self.n_steps = 0
        choice = config.optimizer
        groups = [
            {"params": [p for p in self.model.parameters() if p.ndim >= 2], "weight_decay": choice.weight_decay},
            {"params": [p for p in self.model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=choice.learning_rate, betas=(0.9, 0.98))

    @property
    def n_first(self) -> int:
        """Epochs on tight binding alone."""
        return self.config.tight_binding.epochs if self.material.tight_binding else 0

    @property
    def n_epochs(self) -> int:
        """Of both kinds."""
        return self.n_first + self.config.epochs

    def state_dict(self) -> dict[str, Any]:
        """What the next epoch starts from."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "edges": torch.from_numpy(self.edges),
            "n_steps": self.n_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.edges = state["edges"].numpy().copy()
        self.n_steps = state["n_steps"]

    def epoch(self, number: int, steps: Callable[[float], None]) -> dict[str, float]:
        """Train for one epoch, from 0, of which everything that is drawn follows from the seed and this number.

        Args:
            number: the epoch.
            steps: told after every step which share of the epoch is done.

        Returns:
            Means of the losses.
        """
        words = np.random.SeedSequence([self.config.seed, number]).generate_state(2, np.uint64)
        torch.manual_seed(int(words[0]))
        rng = np.random.default_rng(int(words[1]))
        self.model.train()
        return self._first(number, rng, steps) if number < self.n_first else self._main(number - self.n_first, rng, steps)

    def _first(self, number: int, rng: np.random.Generator, steps: Callable[[float], None]) -> dict[str, float]:
        batches = self._batches(self.material.tight_binding, rng)
        losses = []
        for place, batch in enumerate(batches):
            loss = band_loss(self.model, batch, rng, self.config.loss, self.config.tight_binding.n_kpoints)
            done = (number + place / len(batches)) / self.n_first
            warm = min(1.0, (number * len(batches) + place + 1) / FIRST_STEPS)
            if self._step(loss, warm * (1.0 - (1.0 - LAST_RATE) * done)):
                losses.append(float(loss.detach()))
            steps((place + 1) / len(batches))
        self.average.load_state_dict(self.model.state_dict())
        return {"train/tight_binding_loss": float(np.mean(losses)) if losses else math.nan}

    def _main(self, number: int, rng: np.random.Generator, steps: Callable[[float], None]) -> dict[str, float]:
        config, material = self.config, self.material
        batches = self._batches(material.labels, rng)
        total, warm = config.epochs * len(batches), max(1.0, config.optimizer.warmup_epochs * len(batches))
        beside = bool(material.tight_binding) and number < config.tight_binding.share * config.epochs
        losses: dict[str, list[float]] = {"train/loss": []}
        for place, batch in enumerate(batches):
            parts = {"train/loss": (1.0, band_loss(self.model, batch, rng, config.loss, config.loss.n_kpoints))}
            if beside:
                cheap = _drawn(material.tight_binding, config.tight_binding.batch_size, rng)
                loss = band_loss(self.model, [one for _, one in cheap], rng, config.loss, config.loss.n_kpoints)
                parts["train/tight_binding_loss"] = (config.tight_binding.weight, loss)
            if material.gaps:
                parts["train/gap_loss"] = (config.gaps.weight, self._gap_loss(rng))
            done = number * len(batches) + place
            cosine = 0.5 * (1.0 + math.cos(math.pi * max(0.0, done - warm) / max(1.0, total - warm)))
            whole = torch.stack([weight * loss for weight, loss in parts.values()]).sum()
            if self._step(whole, min(cosine, (done + 1) / warm)):
                self._move_average()
                for name, (_, loss) in parts.items():
                    losses.setdefault(name, []).append(float(loss.detach()))
            steps((place + 1) / len(batches))
        return {name: float(np.mean(values)) if values else math.nan for name, values in losses.items()}

    def _gap_loss(self, rng: np.random.Generator) -> Tensor:
        choice = self.config.gaps
        drawn = _drawn(self.material.gaps, choice.batch_size, rng)
        places = [place for place, _ in drawn]
        edges = self.edges[places]
        loss = gap_loss(
            self.model, [one for _, one in drawn], edges, rng, n_kpoints=choice.n_kpoints, huber_ev=self.config.loss.huber_ev
        )
        self.edges[places] = edges
        return loss

    def _batches(self, labels: Sequence[CountedBands], rng: np.random.Generator) -> list[list[CountedBands]]:
        order, size = rng.permutation(len(labels)), self.config.batch_size
        return [[labels[i] for i in order[start : start + size]] for start in range(0, len(order), size)]

    def _step(self, loss: Tensor, share: float) -> bool:
        """Move the weights by a share of the learning rate; False where the gradient is not finite, and they stay."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimizer.gradient_clip)
        if not torch.isfinite(norm):
            return False
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.optimizer.learning_rate * share
        self.optimizer.step()
        return True

    @torch.no_grad()
    def _move_average(self) -> None:
        self.n_steps += 1
        forgetting = (1.0 + self.n_steps) / (10.0 + self.n_steps)  # of early weights
        decay = min(self.config.optimizer.ema_decay, forgetting)
        for mean, trained in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(trained, 1.0 - decay)


def _drawn(found: Sequence[T], n: int, rng: np.random.Generator) -> list[tuple[int, T]]:
    """Some of them, each once, with their places."""
    return [(int(i), found[int(i)]) for i in rng.choice(len(found), size=min(n, len(found)), replace=False)]
