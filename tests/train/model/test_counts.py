"""What atoms are told of how much there is of their crystal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bandrt_train.model.counts import LEARNED_COUNTS, CrystalCounts
from bandrt_train.model.node_features import valence_electrons
from tests.support.small_models import SMALL

CONFIG = replace(SMALL, crystal_counts=True)
GAAS, K = [31, 33], [19]


def counted(module: CrystalCounts, atomic_numbers: list[list[int]]) -> torch.Tensor:
    """What the network of counts is given for some crystals whose atoms are all in one state, (B, 4 + LEARNED_COUNTS)."""
    length = max(map(len, atomic_numbers))
    padded = torch.tensor([numbers + [0] * (length - len(numbers)) for numbers in atomic_numbers], dtype=torch.int32)
    seen: list[torch.Tensor] = []
    module.mix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        module(torch.ones(*padded.shape, CONFIG.d_model), padded > 0, padded)
    return seen[0]


def test_counts_are_those_one_makes_by_hand() -> None:
    atoms, valence, odd, share = counted(CrystalCounts(CONFIG), [GAAS, K])[:, :4].T
    np.testing.assert_allclose(atoms, [math.log(2) - 2, math.log(1) - 2], rtol=1e-6)
    np.testing.assert_allclose(valence, [math.log(3 + 5) - 3.5, math.log(1) - 3.5], rtol=1e-6)
    np.testing.assert_allclose(odd, [0, 1])
    np.testing.assert_allclose(share, [8 / 2 / 5 - 1, 1 / 5 - 1], rtol=1e-6)


def test_learned_amounts_grow_with_the_crystal() -> None:
    once, twice = counted(CrystalCounts(CONFIG), [GAAS, GAAS + GAAS])[:, 4:]
    assert len(once) == LEARNED_COUNTS
    torch.testing.assert_close(torch.expm1(twice + 2), 2 * torch.expm1(once + 2))


def test_padding_stays_zero_and_an_empty_row_is_finite() -> None:
    numbers = torch.tensor([[31, 33, 0], [0, 0, 0]])
    with torch.no_grad():
        nodes = CrystalCounts(CONFIG)(torch.ones(2, 3, CONFIG.d_model), numbers > 0, numbers)
    assert nodes[0, :2].abs().min() > 0
    assert not nodes[0, 2].any()
    assert not nodes[1].any()


@pytest.mark.parametrize(("number", "electrons"), [(0, 0), (1, 1), (14, 4), (31, 3), (26, 8), (53, 7), (82, 4)])
def test_valence_electrons_are_those_of_the_group(number: int, electrons: int) -> None:
    assert valence_electrons()[number] == electrons
