"""Pools lend again what was given back, and never hold more than their budget."""

from __future__ import annotations

import random

import pytest

from bandrt.engine.plan.device import OutOfDeviceMemoryError
from bandrt.engine.plan.pool import SMALLEST, Pool, Shared, rounded
from tests.support.simulated_gpu import SimulatedBuffer, SimulatedDevice


@pytest.fixture
def gpu() -> SimulatedDevice:
    device = SimulatedDevice()
    device.make_current()
    return device


def test_a_buffer_that_was_given_back_is_lent_again(gpu: SimulatedDevice) -> None:
    pool = Pool(gpu.allocate)
    first = pool.take(10_000)
    pool.give_back(first)
    assert pool.take(9_500) is first
    assert pool.take(9_500) is not first


@pytest.mark.parametrize("n_bytes", [0, 1, 4096, 4097, 100_000, 2**30 + 1])
def test_sizes_are_rounded_up_by_a_quarter_at_most(n_bytes: int) -> None:
    assert n_bytes <= rounded(n_bytes) <= max(1.25 * n_bytes, n_bytes + SMALLEST)


def test_a_pool_stays_within_its_budget_and_frees_before_it_refuses(gpu: SimulatedDevice) -> None:
    budget, chance = 200_000, random.Random(1)
    pool, lent = Pool(gpu.allocate, budget=budget), list[SimulatedBuffer]()
    refused = 0
    for _ in range(500):
        try:
            lent.append(pool.take(chance.randrange(1, 60_000)))
        except OutOfDeviceMemoryError:
            refused += 1
            pool.give_back(lent.pop(chance.randrange(len(lent))))
        assert gpu.n_bytes == pool.n_bytes <= budget
    assert refused
    for buffer in lent:
        pool.give_back(buffer)
    pool.trim()
    assert gpu.n_bytes == pool.n_bytes == 0


def test_memory_that_is_not_lent_is_freed_when_the_device_has_no_more(gpu: SimulatedDevice) -> None:
    gpu.limit = 100_000
    pool = Pool(gpu.allocate)
    pool.give_back(pool.take(60_000))
    assert pool.take(90_000).n_bytes >= 90_000
    with pytest.raises(OutOfDeviceMemoryError):
        pool.take(60_000)


def test_shared_memory_grows_for_new_users_and_is_given_back_by_the_last(gpu: SimulatedDevice) -> None:
    pool = Pool(gpu.allocate)
    shared = Shared(pool)
    small = shared.take(10_000)
    assert shared.take(5_000) is small
    large = shared.take(50_000)
    assert large is not small
    assert shared.take(8_000) is large
    for buffer in (small, small, large):
        shared.give_back(buffer)
    pool.trim()
    assert pool.n_bytes == large.n_bytes
    shared.give_back(large)
    pool.trim()
    assert pool.n_bytes == 0
