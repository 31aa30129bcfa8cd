"""The gap loss: zero for the right band edges, and a slope that moves the wrong ones towards them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bandrt_train.fit.loss import gap_loss

LEVELS = torch.tensor([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])


def bands(shift: float = 0.0) -> Tensor:
    """(1, 6, 8): waves of half width 0.25 eV; the edges lie at -0.75 and 0.75, both moved by `shift` eV."""
    wave = 0.25 * torch.cos(torch.linspace(0.0, 2.0 * torch.pi, 9)[:8])
    return (LEVELS[:, None] + shift + wave).unsqueeze(0)


def loss(energies: Tensor, gap: float) -> float:
    return float(gap_loss(energies, torch.tensor([gap]), torch.ones(1), 3))


def test_the_right_edges_cost_nothing() -> None:
    assert loss(bands(), 1.5) == pytest.approx(0.0, abs=1e-6)


def test_a_wrong_gap_costs_at_least_its_error() -> None:
    assert loss(bands(), 2.5) == pytest.approx(1.0, abs=1e-6)
    assert loss(bands(0.2), 1.5) == pytest.approx(0.4, abs=1e-6)  # the gap is right, its middle is not at zero


def test_a_metal_costs_what_is_left_of_a_gap() -> None:
    assert loss(bands(), 0.0) == pytest.approx(1.5, abs=1e-6)
    overlapping = bands()
    overlapping[:, 3:] -= 2.0
    assert loss(overlapping, 0.0) == 0.0


def test_the_loss_is_a_mean_over_crystals() -> None:
    both = torch.cat([bands(), bands()])
    assert float(gap_loss(both, torch.tensor([1.5, 0.0]), torch.ones(2), 3)) == pytest.approx(0.75, abs=1e-6)


def test_a_crystal_counts_by_its_weight_and_a_batch_of_light_ones_counts_less() -> None:
    both = torch.cat([bands(), bands()])
    weight = torch.tensor([1.0, 0.2])
    assert float(gap_loss(both, torch.tensor([2.5, 0.0]), weight, 3)) == pytest.approx((1.0 + 0.2 * 1.5) / 2, abs=1e-6)
    assert float(gap_loss(both, torch.tensor([2.5, 2.5]), torch.full((2,), 0.2), 3)) == pytest.approx(0.2, abs=1e-6)


def test_following_its_slope_opens_the_gap_that_is_asked_for() -> None:
    energies = bands().requires_grad_()
    optimizer = torch.optim.SGD([energies], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        gap_loss(energies, torch.tensor([2.0]), torch.ones(1), 3).backward()
        optimizer.step()
    assert loss(energies.detach(), 2.0) < 0.05
