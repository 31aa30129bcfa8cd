"""Evaluation: how far predicted bands are from DFT's, in the terms of the paper's Table I, beside the simplest baseline.

Every number is about the bands a user gets: numbered by energy at each k-point. Centres and dispersions are taken over the
k-points that have labels. MAEs are means over crystals of means over labelled bands (and k-points), so every crystal counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.bands import gaps, in_order
from bandrt.manifest import BandRule
from bandrt_train.targets import Targets

MAX_METAL_TOLERANCE_EV = 0.5
"""eV: a band that crosses zero by more on both sides makes a metal under any rule this module chooses."""


@dataclass(frozen=True)
class Errors:
    """Errors on a group of crystals; None where the group holds nothing to judge by."""

    n_crystals: int
    center_mae_ev: float | None
    dispersion_mae_ev: float | None
    energy_mae_ev: float | None
    gap_mae_ev: float | None
    """Of those that are non-metals by their label; a predicted metal counts with gap 0."""
    metal_accuracy: float | None
    """Share of crystals whose metal or non-metal is right."""


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
                if value is not None:
                    numbers[f"{prefix}/{group}{name}"] = float(value)
        return numbers


def evaluate(predicted: NDArray[np.floating[Any]], targets: Sequence[Targets], rule: BandRule) -> Evaluation:
    """Compare predictions with labels.

    Args:
        predicted: (n, n_bands, K), eV relative to E_F or mid-gap.
        targets: the labels, n of them.
        rule: when a prediction is a metal.
    """
    energies = in_order(np.asarray(predicted, dtype=np.float64))
    error = energies - known_energies(targets)  # (n, n_bands, K), masked like what follows
    center_error = error.mean(axis=-1)
    deviation_error = error - center_error[..., None]
    gap, metal = gaps(energies, rule)
    is_metal = np.array([t.is_metal for t in targets])
    columns = {
        "center_mae_ev": abs(center_error).mean(axis=-1).filled(np.nan),
        "dispersion_mae_ev": abs(deviation_error).mean(axis=-1).mean(axis=-1).filled(np.nan),
        "energy_mae_ev": abs(error).mean(axis=-1).mean(axis=-1).filled(np.nan),
        "gap_mae_ev": np.where(is_metal, np.nan, np.abs(gap - np.array([t.band_gap for t in targets]))),
        "metal_accuracy": (metal == is_metal).astype(np.float64),
    }

    def group(member: NDArray[np.bool_]) -> Errors:
        means = {}
        for name, column in columns.items():
            values = column[member]
            values = values[~np.isnan(values)]
            means[name] = float(values.mean()) if len(values) else None
        return Errors(int(member.sum()), **means)

    return Evaluation(group(np.ones(len(targets), dtype=bool)), group(~is_metal), group(is_metal))


def known_energies(targets: Sequence[Targets]) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]:
    """The labels of several crystals, (n, n_bands, K), eV, masked where there are none."""
    known = np.stack([t.mask for t in targets])
    return np.ma.masked_array(np.stack([t.energies for t in targets]).astype(np.float64), ~known)


def training_mean(training: Sequence[Targets], n: int) -> NDArray[np.float64]:
    """The baseline: every band flat at its mean over the training crystals, (n, n_bands, K)."""
    centers = known_energies(training).mean(axis=-1).mean(axis=0).filled(0.0)  # (n_bands,)
    n_kpoints = training[0].energies.shape[1]
    return np.broadcast_to(centers[None, :, None], (n, len(centers), n_kpoints)).astype(np.float64)


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
    energies = in_order(np.asarray(predicted, dtype=np.float64))
    crossing = np.minimum(energies.max(axis=-1), -energies.min(axis=-1)).max(axis=-1)  # (n,) eV, how deep a band crosses zero
    edges = np.unique(np.clip(crossing, 0.0, MAX_METAL_TOLERANCE_EV))
    candidates = {rule.metal_tolerance_ev, *(0.5 * (edges[1:] + edges[:-1])), MAX_METAL_TOLERANCE_EV}

    def merit(tolerance: float) -> tuple[float, float]:
        _, metal = gaps(energies, replace(rule, metal_tolerance_ev=tolerance))
        balanced = 0.5 * (metal[is_metal].mean() + (~metal[~is_metal]).mean())
        return round(float(balanced), 9), -abs(tolerance - rule.metal_tolerance_ev)

    return replace(rule, metal_tolerance_ev=round(float(max(candidates, key=merit)), 4))


def text_table(evaluations: dict[str, Evaluation]) -> str:
    """Lay evaluations out as plain text: columns total, non-metal, metal; a row per error and model."""
    rows: list[tuple[str, ...]] = [("", "", "total", "non-metal", "metal")]
    names = {
        "n_crystals": "crystals",
        "center_mae_ev": "band centre MAE, eV",
        "dispersion_mae_ev": "dispersion MAE, eV",
        "energy_mae_ev": "energy MAE, eV",
        "gap_mae_ev": "gap MAE of non-metals, eV",
        "metal_accuracy": "metal or not, right",
    }
    for field, name in names.items():
        for model, evaluation in evaluations.items():
            values = [getattr(errors, field) for errors in (evaluation.total, evaluation.nonmetal, evaluation.metal)]
            shown = ["-" if v is None else str(v) if isinstance(v, int) else f"{v:.3f}" for v in values]
            rows.append((name, model, *shown))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    )
