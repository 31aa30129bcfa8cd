"""Losses: bands compared where they were computed, from a zero that is found in the model as it was in the labels; gaps alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bandrt.hamiltonian.filling import fermi_level
from bandrt_train.data.hamiltonian.bands import CountedBands
from bandrt_train.data.hamiltonian.gaps import KnownGap
from bandrt_train.fit.hamiltonian.config import LossConfig
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian

WATCHED_KPOINTS = 16
"""Of a crystal that is watched, evenly over those that were computed."""
NOWHERE = 1e-6
"""A share of the Fermi level for every band, so that there is one where no band is near."""

Drawn = NDArray[np.int64]
"""Indices of k-points of a crystal; those of the band edges of an insulator come last, the valence maximum first."""


def draw(label: CountedBands, rng: np.random.Generator, n_kpoints: int) -> Drawn:
    """K-points of a step."""
    n = n_kpoints + (0 if label.edges else 2)
    return np.concatenate([rng.integers(0, len(label.kpoints), n), np.array(label.edges, np.int64)])


def differences(label: CountedBands, drawn: Drawn, bands: Tensor, smearing_ev: float) -> Tensor:
    """How far the bands of a model lie above those of a label, (C, B) eV, both counted from their zero.

    The zero of an insulator lies between its own bands at the edges that are labelled. That of a metal is where the bands of
    interest hold as many electrons, at these k-points, as those of the label do; the gradient follows what it depends on.

    Args:
        label: B bands.
        drawn: C of its k-points.
        bands: (C, n_bands) eV of the model there, ascending.
        smearing_ev: of the Fermi function.
    """
    own, wanted = bands[:, label.band], label.energies[torch.from_numpy(drawn)]
    if label.edges:
        zero = 0.5 * (bands[-2, label.n_nonempty - 1] + bands[-1, label.n_nonempty])
    else:
        with torch.no_grad():
            electrons = float(torch.sigmoid(-wanted / smearing_ev).sum())
            level = fermi_level(own.detach().cpu().numpy(), np.full(len(own), 0.5), electrons, smearing_ev)
            filled = torch.sigmoid((level - own) / smearing_ev)
            share = filled * (1.0 - filled) + NOWHERE
            share = share / share.sum()
        zero = level + (share * (own - own.detach())).sum()
    return own - zero - wanted


def band_loss(
    model: LearnedHamiltonian, labels: Sequence[CountedBands], rng: np.random.Generator, config: LossConfig, n_kpoints: int
) -> Tensor:
    """Weighted Huber loss of the bands at k-points that are drawn: mean over crystals of the weight of each times its loss."""
    drawn = [draw(label, rng, n_kpoints) for label in labels]
    losses = []
    for label, points, bands in zip(labels, drawn, _bands(model, labels, drawn), strict=True):
        weight = label.weight[torch.from_numpy(points)]
        difference = differences(label, points, bands, config.smearing_ev)
        huber = F.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=config.huber_ev) / config.huber_ev
        loss = (weight * huber).sum() / weight.sum().clamp(min=1.0)
        if config.gap_weight and label.edges:
            loss = loss + config.gap_weight * _gap_difference(label, bands, config.huber_ev)
        losses.append(label.crystal_weight * loss)
    return torch.stack(losses).mean()


def _gap_difference(label: CountedBands, bands: Tensor, huber_ev: float) -> Tensor:
    """Huber loss of the gap between an insulator's own edges among the k-points of a step, its labelled ones included."""
    following = label.n_nonempty - int(label.band[0])  # a column of the label, whose bands follow each other
    wanted = label.energies[label.edges[1], following] - label.energies[label.edges[0], following - 1]
    gap = bands[:, label.n_nonempty].min() - bands[:, label.n_nonempty - 1].max()
    return _huber(gap, wanted, huber_ev)


def _huber(gap: Tensor, wanted: Tensor, huber_ev: float) -> Tensor:
    return F.huber_loss(gap, wanted.to(gap), delta=huber_ev) / huber_ev


@torch.no_grad()
def watched_errors(model: LearnedHamiltonian, labels: Sequence[CountedBands], config: LossConfig) -> NDArray[np.float64]:
    """Mean absolute error of the bands that count in full, counted by electrons, of each crystal, (n,) eV, at some k-points."""
    errors = []
    for label in labels:
        even = np.linspace(0, len(label.kpoints) - 1, min(WATCHED_KPOINTS, len(label.kpoints))).round().astype(np.int64)
        points = np.concatenate([even, np.array(label.edges, np.int64)])
        [bands] = _bands(model, [label], [points])
        difference = differences(label, points, bands, config.smearing_ev)
        full = label.weight[torch.from_numpy(points)] >= 1.0
        errors.append(float(difference[full].abs().mean()) if full.any() else np.nan)
    return np.array(errors)


def gap_loss(
    model: LearnedHamiltonian,
    gaps: Sequence[KnownGap],
    edges: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    n_kpoints: int,
    huber_ev: float,
) -> Tensor:
    """Huber loss of the gap between the model's own band edges, of metals what gap there is: mean of weight times loss.

    The edges are looked for at k-points that are drawn and where they were found last.

    Args:
        model: the model.
        gaps: n crystals.
        edges: (n, 2) k-points of the valence maximum and conduction minimum when each was last looked at; what is found is written
            into it.
        rng: draws k-points,
        n_kpoints: so many.
        huber_ev: where the loss turns from square to linear.
    """
    drawn = [np.concatenate([edges[i], rng.integers(0, len(one.kpoints), n_kpoints)]) for i, one in enumerate(gaps)]
    losses = []
    for i, (one, bands) in enumerate(zip(gaps, _bands(model, gaps, drawn), strict=True)):
        half = one.pairs.n_filled
        (top, at_top), (bottom, at_bottom) = bands[:, half - 1].max(dim=0), bands[:, half].min(dim=0)
        edges[i] = drawn[i][int(at_top)], drawn[i][int(at_bottom)]
        gap = bottom - top
        loss = _huber(gap, torch.tensor(one.gap), huber_ev) if one.gap > 0.0 else torch.relu(gap)
        losses.append(one.weight * loss)
    return torch.stack(losses).mean()


def _bands(model: LearnedHamiltonian, labels: Sequence[CountedBands | KnownGap], drawn: Sequence[Drawn]) -> list[Tensor]:
    kpoints = [label.kpoints[torch.from_numpy(points)].to(model.flat_scale) for label, points in zip(labels, drawn, strict=True)]
    bands: list[Tensor] = model([label.pairs for label in labels], kpoints)
    return bands
