"""Metrics: how far predicted bands and gaps are from DFT's, in the terms of the paper's Table I.

Every number is about the bands a user gets: numbered by energy at each k-point. Centres and dispersions are taken over the
k-points that have labels. MAEs are means over crystals of means over labelled bands (and k-points), so every crystal counts once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import gaps, in_order
from bandrt.manifest import BandRule
from bandrt_train.data.targets import Targets
from bandrt_train.evaluation.directness import TRUSTED_EV, edges, is_direct

MAX_METAL_TOLERANCE_EV = 0.5
"""eV: a band that crosses zero by more on both sides makes a metal under any rule this module chooses."""
N_RESAMPLES, INTERVAL = 2000, 0.95
"""Of the bootstrap over crystals: how often they are drawn, and the share of means that an interval holds."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a model, or a baseline, says about n crystals.

    Attributes:
        gap: (n,) eV, 0 for metals.
        metal: (n,) bool.
        energies: (n, n_bands, K) eV relative to E_F or mid-gap, numbered by energy; None from what knows only gaps.
        n_valence: how many of the bands are the lower half.
    """

    gap: Floats
    metal: NDArray[np.bool_]
    energies: Floats | None = None
    n_valence: int = BandRule().n_valence

    @classmethod
    def from_energies(cls, energies: NDArray[np.floating[Any]], rule: BandRule) -> Predicted:
        """Read gaps off bands, as `bandrt infer` does."""
        ordered = np.asarray(in_order(energies), dtype=np.float64)
        return cls(*gaps(ordered, rule), ordered, rule.n_valence)


@dataclass(frozen=True, eq=False)
class CrystalErrors:
    """Absolute errors of every crystal, (n,) each, in eV; NaN where there is nothing to judge by."""

    center_ev: Floats
    dispersion_ev: Floats
    energy_ev: Floats
    gap_ev: Floats
    """Of those that are non-metals by their label; a predicted metal counts with gap 0."""
    metal: NDArray[np.bool_]
    """What was predicted."""
    is_metal: NDArray[np.bool_]
    """What the label says."""
    direct_gap_ev: Floats
    """Of those that are non-metals by their label, on the k-points that have labels; a predicted metal counts with 0."""
    excess_ev: Floats
    """By how much the direct gap exceeds the gap, by the label; NaN of metals, and of labels that are not judged."""
    said_excess_ev: Floats
    """The same, as predicted; infinite of predicted metals."""

    def __len__(self) -> int:
        return len(self.is_metal)

    @property
    def right(self) -> Floats:
        """(n,): 1 where metal or non-metal is right, else 0."""
        return np.asarray(self.metal == self.is_metal, dtype=np.float64)

    @property
    def direct_right(self) -> Floats:
        """(n,): 1 where direct or indirect is right, else 0; a predicted metal is neither, and wrong."""
        right = (is_direct(self.excess_ev) == is_direct(self.said_excess_ev)) & np.isfinite(self.said_excess_ev)
        return np.where(self._is_judged, right, np.nan)

    @property
    def indirect(self) -> Floats:
        """(n,): 1 where the label's gap is indirect, else 0: what is right of the guess that all are."""
        return np.where(self._is_judged, ~is_direct(self.excess_ev), np.nan)

    @property
    def _is_judged(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.excess_ev) & ~np.isnan(self.said_excess_ev)


@dataclass(frozen=True)
class Errors:
    """Errors on a group of crystals; None where the group holds nothing to judge by."""

    n_crystals: int
    n_nonmetals: int
    """Those that `gap_mae_ev` is about."""
    center_mae_ev: float | None
    dispersion_mae_ev: float | None
    energy_mae_ev: float | None
    gap_mae_ev: float | None
    """Of those that are non-metals by their label; a predicted metal counts with gap 0."""
    metal_accuracy: float | None
    """Share of crystals whose metal or non-metal is right."""
    metal_f1: float | None
    """Harmonic mean of precision and recall of the metals; None where there are none, neither labelled nor predicted."""
    direct_gap_mae_ev: float | None = None
    """Of non-metals by their label; a predicted metal counts with 0. Reports of earlier versions have none of these three."""
    direct_accuracy: float | None = None
    """Share of non-metals of which direct or indirect is right; a predicted metal is wrong."""
    indirect_share: float | None = None
    """Share of the same that are indirect: what would be right without any model."""


@dataclass(frozen=True)
class Evaluation:
    """The paper's Table I for one model and one set of crystals."""

    total: Errors
    nonmetal: Errors
    metal: Errors

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def flat(self, prefix: str) -> dict[str, float]:
        """Named numbers for a manifest, e.g. ``validation/energy_mae_ev``, ``validation/nonmetal/gap_mae_ev``."""
        numbers = {}
        for group, errors in (("", self.total), ("nonmetal/", self.nonmetal), ("metal/", self.metal)):
            for name, value in asdict(errors).items():
                if value is not None and math.isfinite(value):  # a model that came to nothing has none
                    numbers[f"{prefix}/{group}{name}"] = float(value)
        return numbers


def evaluate(predicted: NDArray[np.floating[Any]], targets: Sequence[Targets], rule: BandRule) -> Evaluation:
    """Compare predicted bands with labels.

    Args:
        predicted: (n, n_bands, K), eV relative to E_F or mid-gap.
        targets: the labels, n of them.
        rule: when a prediction is a metal.
    """
    return table_one(crystal_errors(Predicted.from_energies(predicted, rule), targets))


def crystal_errors(predicted: Predicted, targets: Sequence[Targets]) -> CrystalErrors:
    """Compare what was predicted for n crystals with their labels, one by one."""
    is_metal = np.array([t.is_metal for t in targets], dtype=np.bool_)
    gap = np.abs(predicted.gap - np.array([t.band_gap for t in targets], dtype=np.float64))
    center = dispersion = energy = direct_gap = excess = said_excess = np.full(len(targets), np.nan)
    if predicted.energies is not None and len(targets):
        known = known_energies(targets)
        error = predicted.energies - known  # (n, n_bands, K), masked like what follows
        center_error = error.mean(axis=-1)
        center = abs(center_error).mean(axis=-1).filled(np.nan)
        dispersion = abs(error - center_error[..., None]).mean(axis=-1).mean(axis=-1).filled(np.nan)
        energy = abs(error).mean(axis=-1).mean(axis=-1).filled(np.nan)
        labelled = np.stack([t.mask for t in targets])
        label, said = (edges(bands, labelled, predicted.n_valence) for bands in (known.data, predicted.energies))
        trusted = np.abs(label.gap - np.array([t.band_gap for t in targets])) <= TRUSTED_EV
        direct_gap = np.where(
            ~is_metal & trusted, np.abs(np.where(predicted.metal, 0.0, said.direct_gap) - label.direct_gap), np.nan
        )
        excess = np.where(~is_metal & trusted, label.excess, np.nan)
        said_excess = np.where(predicted.metal, np.inf, said.excess)
    return CrystalErrors(
        center_ev=center,
        dispersion_ev=dispersion,
        energy_ev=energy,
        gap_ev=np.where(is_metal, np.nan, gap),
        metal=predicted.metal,
        is_metal=is_metal,
        direct_gap_ev=direct_gap,
        excess_ev=excess,
        said_excess_ev=said_excess,
    )


def table_one(errors: CrystalErrors) -> Evaluation:
    """Average over all crystals, the non-metals and the metals, as their labels have it."""
    everything = np.ones(len(errors), dtype=bool)
    return Evaluation(average(errors, everything), average(errors, ~errors.is_metal), average(errors, errors.is_metal))


def average(errors: CrystalErrors, member: NDArray[np.bool_]) -> Errors:
    """Average over the crystals of a group, (n,) bool."""
    center, dispersion, energy = (_mean(column[member]) for column in (errors.center_ev, errors.dispersion_ev, errors.energy_ev))
    labelled, predicted = errors.is_metal[member], errors.metal[member]
    either = int(labelled.sum() + predicted.sum())
    f1 = 2.0 * float((labelled & predicted).sum()) / either if either else None
    return Errors(
        n_crystals=int(member.sum()),
        n_nonmetals=int((~labelled).sum()),
        center_mae_ev=center,
        dispersion_mae_ev=dispersion,
        energy_mae_ev=energy,
        gap_mae_ev=_mean(errors.gap_ev[member]),
        metal_accuracy=_mean(errors.right[member]),
        metal_f1=f1,
        direct_gap_mae_ev=_mean(errors.direct_gap_ev[member]),
        direct_accuracy=_mean(errors.direct_right[member]),
        indirect_share=_mean(errors.indirect[member]),
    )


def interval(values: Floats, *, seed: int = 0) -> tuple[float, float] | None:
    """What the mean of (n,) values would mostly be, had other crystals of the same kind been drawn (percentile bootstrap).

    NaNs do not count; None with fewer than two values.
    """
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = np.array([known[rng.integers(len(known), size=len(known))].mean() for _ in range(N_RESAMPLES)])
    low, high = np.quantile(means, [(1.0 - INTERVAL) / 2.0, (1.0 + INTERVAL) / 2.0])
    return float(low), float(high)


def known_energies(targets: Sequence[Targets]) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]:
    """The labels of several crystals, (n, n_bands, K), eV, masked where there are none."""
    known = np.stack([t.mask for t in targets])
    return np.ma.masked_array(np.stack([t.energies for t in targets]).astype(np.float64), ~known)


def choose_metal_tolerance(predicted: NDArray[np.floating[Any]], targets: Sequence[Targets], rule: BandRule) -> BandRule:
    """Choose how far a predicted band must cross zero to make a metal, on crystals not trained on.

    The tolerance with the best mean of the shares of metals and of non-metals told right wins; of equals, the one nearest to
    the rule's own. Without both kinds the rule stays as it is.

    Args:
        predicted: (n, n_bands, K), eV.
        targets: the labels.
        rule: which bands, and the tolerance to start from.
    """
    is_metal = np.array([t.is_metal for t in targets])
    if is_metal.all() or not is_metal.any():
        return rule
    ordered = in_order(np.asarray(predicted, dtype=np.float64))
    energies = ordered[:, rule.window]  # the bands that are asked
    crossing = np.minimum(energies.max(axis=-1), -energies.min(axis=-1)).max(axis=-1)  # (n,) eV, how deep a band crosses zero
    edges = np.unique(np.clip(crossing, 0.0, MAX_METAL_TOLERANCE_EV))
    candidates = {rule.metal_tolerance_ev, *(0.5 * (edges[1:] + edges[:-1])), MAX_METAL_TOLERANCE_EV}

    def merit(tolerance: float) -> tuple[float, float]:
        _, metal = gaps(ordered, replace(rule, metal_tolerance_ev=tolerance))
        balanced = 0.5 * (metal[is_metal].mean() + (~metal[~is_metal]).mean())
        return round(float(balanced), 9), -abs(tolerance - rule.metal_tolerance_ev)

    return replace(rule, metal_tolerance_ev=round(float(max(candidates, key=merit)), 4))


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
