"""What a training step is fed: crystals of several data sets, read when they are needed, shuffled alike however often a run starts.

The order of an epoch follows from the seed and the number of the epoch alone. So a run that goes on after an interruption sees the
crystals it would have seen, and every device knows which of them are its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.utilities import CombinedLoader
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler
from torch_geometric.data import Batch, Data

from bandrt_train.data.dataset import PARTS_IN_MEMORY, Dataset, Entry, Split
from bandrt_train.fit.config import FitError
from bandrt_train.model.graphs import to_data

SLICE_COST = 60
"""Atoms whose cost is that of one more pass through the model: what a slice of a batch has to save."""

BANDS = "bands"
"""The stream whose crystals are all seen in an epoch; the others give as many batches as it does."""


def labelled_graph(entry: Entry) -> Data:
    """The PyG graph of an entry with its labels: ``band_energies`` and ``energy_mask`` (1, n_bands, K), ``band_gap`` and
    ``weight`` (1,)."""
    graph = to_data(entry.features)
    graph.band_energies = torch.as_tensor(entry.targets.energies).unsqueeze(0)
    graph.energy_mask = torch.as_tensor(entry.targets.mask).unsqueeze(0)
    graph.band_gap = torch.tensor([entry.targets.band_gap], dtype=torch.float32)
    graph.weight = torch.tensor([entry.targets.weight], dtype=torch.float32)
    return graph


def sliced(graphs: list[Data]) -> list[Batch]:
    """Batch graphs with others of about their size: a model pads crystals to the largest, and a few large ones would be most of it.

    The slices are those with the fewest atoms, padding included and each slice counted as `SLICE_COST` more.
    """
    ordered = sorted(graphs, key=lambda graph: int(graph.num_nodes))
    atoms = [int(graph.num_nodes) for graph in ordered]
    least, first = [0], [0]  # of the smallest crystals: what they cost, and where their last slice begins
    for end in range(1, len(atoms) + 1):
        costs = [least[start] + (end - start) * atoms[end - 1] + SLICE_COST for start in range(end)]
        least.append(min(costs))
        first.append(costs.index(least[-1]))
    slices: list[Batch] = []
    end = len(ordered)
    while end:
        slices.insert(0, Batch.from_data_list(ordered[first[end] : end]))
        end = first[end]
    return slices


def whole(graphs: list[Data]) -> list[Batch]:
    """All graphs in one batch: for models whose batch normalisation sees the batch."""
    return [Batch.from_data_list(graphs)]


class SplitGraphs(torch.utils.data.Dataset[Data]):
    """Labelled graphs of one split, made when they are asked for: the data set may be larger than memory."""

    def __init__(self, dataset: Dataset, split: Split) -> None:
        self.dataset = dataset
        self.split = split
        self.indices = dataset.indices(split)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Data:
        return labelled_graph(self.dataset[self.indices[index]])

    def __getstate__(self) -> tuple[Path, int | None, Split]:
        return self.dataset.folder, self.dataset.n_training, self.split  # a loader's process opens the data set itself

    def __setstate__(self, state: tuple[Path, int | None, Split]) -> None:
        folder, n_training, split = state
        self.__init__(Dataset(folder, n_training), split)  # type: ignore[misc]

    @property
    def parts(self) -> NDArray[np.int64]:
        """(n,): which file of the data set each graph comes from."""
        return np.array(self.indices, dtype=np.int64) // self.dataset.header.part_size


@dataclass(frozen=True)
class TrainingStream:
    """A data set to learn from, and how many of its crystals a step takes."""

    dataset: Dataset
    batch_size: int


@dataclass(frozen=True)
class Share:
    """Which of several devices this one is."""

    rank: int = 0
    world_size: int = 1


class EpochSampler(Sampler[int]):
    """The order in which one device sees the training crystals: a new one in every epoch, set by seed and epoch alone.

    Crystals are drawn without replacement until all have been drawn, then again. A data set of more parts than are held in
    memory is shuffled part by part, and crystal by crystal among as many parts as are held.
    """

    def __init__(self, parts: NDArray[np.int64], n_drawn: int, seed: tuple[int, ...], share: Share = Share()) -> None:
        """Prepare to draw.

        Args:
            parts: (n,) the part of each crystal.
            n_drawn: crystals that all devices draw together in an epoch, a multiple of their number.
            seed: numbers to derive the order from.
            share: the device.
        """
        self.parts = parts
        self.n_drawn = n_drawn
        self.seed = seed
        self.share = share
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, from 0; Lightning does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_drawn // self.share.world_size

    def __iter__(self) -> Iterator[int]:
        draw = np.random.default_rng([*self.seed, self.epoch])
        order = np.empty(0, dtype=np.int64)
        while len(order) < self.n_drawn:
            order = np.concatenate([order, *self._shuffled(draw)])
        return iter(order[: self.n_drawn][self.share.rank :: self.share.world_size].tolist())

    def _shuffled(self, draw: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        parts = draw.permutation(np.unique(self.parts))
        for start in range(0, len(parts), PARTS_IN_MEMORY):
            yield draw.permutation(np.flatnonzero(np.isin(self.parts, parts[start : start + PARTS_IN_MEMORY])))


class TrainingData(lightning.LightningDataModule):
    """The training splits of the streams, joined step by step into one mapping from their names to slices of a batch."""

    def __init__(
        self, streams: Mapping[str, TrainingStream], *, seed: int, loader_workers: int = 0, in_slices: bool = True
    ) -> None:
        """Prepare to load.

        Args:
            streams: by name; `BANDS` is one.
            seed: decides every order.
            loader_workers: processes for each stream; 0 for none.
            in_slices: as `sliced`, which changes nothing but the order of additions; else each batch as a whole.
        """
        super().__init__()
        self.streams = dict(streams)
        self.seed = seed
        self.loader_workers = loader_workers
        self.in_slices = in_slices

    def check(self, world_size: int) -> None:
        """Refuse batches that so many devices cannot share.

        Raises:
            FitError: ``config-invalid``.
        """
        for name, stream in self.streams.items():
            if stream.batch_size % world_size:
                raise FitError("config-invalid", f"a batch of {stream.batch_size} {name} cannot be shared by {world_size} devices")

    def train_dataloader(self) -> CombinedLoader:
        """Make the loader of this device."""
        trainer = self.trainer
        share = Share(trainer.global_rank, trainer.world_size) if trainer else Share()
        return CombinedLoader(self.loaders(share), "min_size")

    def loaders(self, share: Share) -> dict[str, DataLoader[list[Batch]]]:
        """The loader of each stream, all with as many batches."""
        main = self.streams[BANDS]
        n_main = len(main.dataset.indices("train"))
        n_steps = -(-n_main // main.batch_size)
        made: dict[str, DataLoader[list[Batch]]] = {}
        collate = sliced if self.in_slices else whole
        for index, (name, stream) in enumerate(self.streams.items()):
            graphs = SplitGraphs(stream.dataset, "train")
            n_drawn = n_main + -n_main % share.world_size if name == BANDS else n_steps * stream.batch_size
            workers: dict[str, Any] = {"num_workers": self.loader_workers, "persistent_workers": self.loader_workers > 0}
            sampler = EpochSampler(graphs.parts, n_drawn, (self.seed, index), share)
            size = stream.batch_size // share.world_size
            made[name] = DataLoader(graphs, batch_size=size, sampler=sampler, collate_fn=collate, **workers)
        return made
