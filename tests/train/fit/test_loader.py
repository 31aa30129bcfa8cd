"""The order of crystals follows from seed and epoch alone, devices share it, and loaders' processes read for themselves."""

from __future__ import annotations

import pickle
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from bandrt_train.data.dataset import PARTS_IN_MEMORY, Dataset
from bandrt_train.fit.config import FitError
from bandrt_train.fit.loader import BANDS, SLICE_COST, EpochSampler, Share, SplitGraphs, TrainingData, TrainingStream, sliced

ONE_PART = np.zeros(11, dtype=np.int64)


def drawn(sampler: EpochSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert len(order) == len(sampler)
    return order


def test_every_epoch_has_an_order_of_its_own_that_can_be_drawn_again() -> None:
    sampler = EpochSampler(ONE_PART, 11, (0, 0))
    orders = [drawn(sampler, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert drawn(EpochSampler(ONE_PART, 11, (0, 0)), 2) == orders[2]
    assert drawn(EpochSampler(ONE_PART, 11, (1, 0)), 2) != orders[2]


def test_nothing_is_drawn_twice_before_everything_was_drawn_once() -> None:
    order = drawn(EpochSampler(ONE_PART, 30, (0, 1)))
    assert sorted(order[:11]) == sorted(order[11:22]) == list(range(11))
    assert len(set(order[22:])) == 8


def test_devices_share_an_epoch() -> None:
    shares = [drawn(EpochSampler(ONE_PART, 12, (0, 0), Share(rank, 3))) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert set().union(*shares) == set(range(11))
    assert np.stack(shares, axis=1).ravel().tolist() == drawn(EpochSampler(ONE_PART, 12, (0, 0)))


def test_large_data_sets_are_read_a_few_parts_at_a_time() -> None:
    parts = np.arange(3 * PARTS_IN_MEMORY * 4) // 4
    order = np.array(drawn(EpochSampler(parts, len(parts), (0, 0))))
    assert sorted(order) == list(range(len(parts)))
    windows = parts[order].reshape(3, -1)
    assert all(len(np.unique(window)) == PARTS_IN_MEMORY for window in windows)
    assert np.abs(np.diff(windows[0])).mean() > 1.0  # and mixed within them


def test_a_loader_process_opens_the_data_set_for_itself(data: Dataset) -> None:
    graphs = SplitGraphs(data, "train")
    again = pickle.loads(pickle.dumps(graphs))
    assert again.dataset is not data
    assert again.indices == graphs.indices
    assert torch.equal(again[3].band_energies, graphs[3].band_energies)
    assert len(pickle.dumps(graphs)) < 1000


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_every_stream_gives_a_batch_to_every_step(data: Dataset, gaps: Dataset, loader_workers: int) -> None:
    n = data.header.counts["train"]
    streams = {BANDS: TrainingStream(data, 8), "gaps": TrainingStream(gaps, 3)}
    loaders = TrainingData(streams, seed=0, loader_workers=loader_workers).loaders(Share())
    batches = list(zip(*loaders.values(), strict=True))
    assert len(batches) == -(-n // 8)
    assert sum(len(part.kpoints) for bands, _ in batches for part in bands) == n
    assert all(isinstance(part, Batch) for _, more in batches for part in more)
    assert all(sum(len(part.kpoints) for part in more) == 3 for _, more in batches)


def crystal_of(n_atoms: int) -> Data:
    return Data(x=torch.arange(n_atoms), num_nodes=n_atoms)


def slices_of(sizes: list[int]) -> list[list[int]]:
    return [torch.bincount(part.batch).tolist() for part in sliced([crystal_of(size) for size in sizes])]


def test_crystals_are_sliced_where_padding_costs_more_than_another_pass() -> None:
    assert slices_of([3, 2, 3]) == [[2, 3, 3]]
    assert slices_of([40, 2, 3, 2, 3, 41]) == [[2, 2, 3, 3], [40, 41]]
    assert slices_of([2, 40]) == [[2, 40]]  # 38 atoms of padding are cheaper than a pass
    assert slices_of([SLICE_COST + 3, 2]) == [[2], [SLICE_COST + 3]]


def test_slices_cost_the_least_of_all_ways_to_cut() -> None:
    sizes = sorted(np.random.default_rng(0).integers(1, 53, 11).tolist())

    def cost(cuts: tuple[int, ...]) -> int:
        bounds = [0, *cuts, len(sizes)]
        return sum((end - start) * sizes[end - 1] + SLICE_COST for start, end in pairwise(bounds))

    least = min(cost(cuts) for n in range(len(sizes)) for cuts in combinations(range(1, len(sizes)), n))
    found = tuple(np.cumsum([len(part) for part in slices_of(sizes)])[:-1].tolist())
    assert cost(found) == least < cost(())


def test_no_crystal_is_lost_between_slices(data: Dataset) -> None:
    graphs = [SplitGraphs(data, "train")[i] for i in range(8)]
    parts = sliced(graphs)
    energies = sorted(float(graph.band_energies.sum()) for part in parts for graph in part.to_data_list())
    assert energies == sorted(float(graph.band_energies.sum()) for graph in graphs)


def test_devices_take_equal_steps(data: Dataset, gaps: Dataset) -> None:
    streams = {BANDS: TrainingStream(data, 8), "gaps": TrainingStream(gaps, 4)}
    made = [TrainingData(streams, seed=0).loaders(Share(rank, 2)) for rank in range(2)]
    assert len({len(loader) for loaders in made for loader in loaders.values()}) == 1
    assert all(loaders["gaps"].batch_size == 2 for loaders in made)


def test_a_batch_that_devices_can_not_share_is_refused(data: Dataset) -> None:
    with pytest.raises(FitError, match="batch of 9 bands cannot be shared by 2 devices"):
        TrainingData({BANDS: TrainingStream(data, 9)}, seed=0).check(2)
