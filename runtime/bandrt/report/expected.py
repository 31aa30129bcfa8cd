"""How far off the predictions of a run are expected to be, and what of that is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.calibration import GapCalibration
from bandrt.manifest import Manifest
from bandrt.report.record import Facts
from bandrt.screening.features import PredictedGaps
from bandrt.screening.probability import expected_gap_error, probability_of_metal

_MEASURED: Mapping[str, str] = {
    "energy_mae_ev": "mean error of energies",
    "gap_mae_ev": "mean error of gaps",
    "metal_accuracy": "metal or not is right in",
    "n_crystals": "crystals",
}
"""What is said of the metrics of an engine: `bandrt inspect` lists all."""


class Group(NamedTuple):
    """Crystals of one kind, and by how much they are expected to be off; nan where that is not known."""

    name: str
    n_crystals: int
    energies_ev: float
    """Mean absolute error to expect of their energies."""
    gap_ev: float
    """The same of the gaps of those that are called non-metals, and are."""
    wrong_metal: float
    """Of how many metal or not is expected to be wrong."""


class Expectation(NamedTuple):
    """What is known of the accuracy of a run."""

    facts: Facts
    groups: list[Group]
    unknown: list[str]
    """What is not known, in sentences."""


def expectation(
    predicted: PredictedGaps, codes: Sequence[str], manifest: Manifest | None, calibration: GapCalibration | None
) -> Expectation:
    """Say how far off predictions are expected to be.

    Args:
        predicted: the crystals of the run.
        codes: of the warnings that they have; each makes a group.
        manifest: of the engine that predicted them; None: it was not found.
        calibration: of the same; None: it has none.
    """
    n = len(predicted)
    gap_error, p_wrong = np.full(n, np.nan), np.full(n, np.nan)
    if calibration is not None:
        p_metal = probability_of_metal(calibration, predicted)
        gap_error, p_wrong = expected_gap_error(calibration, predicted), np.where(predicted.is_metal, 1.0 - p_metal, p_metal)
    none = np.array([not text for text in predicted.warnings.tolist()], np.bool_)
    chosen = [("all", np.ones(n, np.bool_)), ("no warning", none), *((code, predicted.warned(code)) for code in codes)]
    groups = [
        Group(name, int(of.sum()), _mean(predicted.uncertainty_ev[of]), _mean(gap_error[of]), _sum(p_wrong[of]))
        for name, of in chosen
        if of.any()
    ]
    return Expectation(_facts(predicted, gap_error, manifest, calibration), groups, _unknown(predicted, manifest, calibration))


def _facts(
    predicted: PredictedGaps, gap_error: NDArray[np.float64], manifest: Manifest | None, calibration: GapCalibration | None
) -> Facts:
    facts = [
        ("error of energies to expect", _spread(predicted.uncertainty_ev, "crystals")),
        ("error of gaps to expect", _spread(gap_error, "non-metals")),
    ]
    if manifest is not None:
        training, ensemble = manifest.training, manifest.ensemble
        learned = f"{training.n_crystals} crystals with bands{_gaps(training.n_gaps)}" if training.n_crystals else ""
        held_out = "" if ensemble is None else f"{ensemble.n_crystals} crystals that were held out"
        facts += [("labels", training.functional), ("learned from", learned), *_measured(training.metrics)]
        facts.append(("expected errors are fitted to", held_out))
    if calibration is not None:
        facts.append(
            ("errors of gaps are fitted to", f"{calibration.n_crystals} crystals of formulas that the engine has not learned")
        )
    return [(name, text) for name, text in facts if text]


def _spread(errors: NDArray[np.float64], of: str) -> str:
    """How large the errors of half and of most crystals are; empty where none is known."""
    if np.isnan(errors).all():
        return ""
    middle, high = np.nanquantile(errors, (0.5, 0.9))
    return f"at most {middle:.2f} eV for half of the {of}, {high:.2f} eV for nine of ten"


def _gaps(n_gaps: int) -> str:
    return f", and {n_gaps} more with a gap alone" if n_gaps else ""


def _measured(metrics: Mapping[str, float]) -> Facts:
    """Errors of the engine on whole sets of labelled crystals, by set."""
    told: dict[str, list[str]] = {}
    for one in dict.fromkeys(name.partition("/")[0] for name in metrics if name.count("/") == 1):
        found = ((name, title, metrics.get(f"{one}/{name}")) for name, title in _MEASURED.items())
        told[one] = [_value(name, title, value) for name, title, value in found if value is not None]
    return [(f"on the {one} set", ", ".join(said)) for one, said in told.items() if said]


def _value(name: str, title: str, value: float) -> str:
    if name.endswith("_ev"):
        return f"{title} {value:.2f} eV"
    return f"{value:.0f} {title}" if name.startswith("n_") else f"{title} {value:.0%}"


def _unknown(predicted: PredictedGaps, manifest: Manifest | None, calibration: GapCalibration | None) -> list[str]:
    said = []
    nowhere = int(np.isnan(predicted.uncertainty_ev).sum())
    if manifest is None:
        said.append(
            "The engine of this run is neither where it was nor one that comes with bandrt, so what it learned, and how far its"
            " gaps are off, is not known here. Say where it is with --engine."
        )
    elif calibration is None:
        said.append("How far gaps of this engine are from labels was not measured: no calibration of it fits this run.")
    if nowhere == len(predicted) > 0:
        said.append("The engine does not estimate the error of a crystal.")
    elif nowhere:
        said.append(f"Of {nowhere} crystals no error can be expected: their atoms are too close, or stand alone.")
    if calibration is not None:
        said.append(
            "Errors and probabilities hold for crystals like those that they were fitted to. Of hypothetical ones, or of a family"
            " of compounds that err alike, expect larger differences."
        )
    said.append("What is expected is the difference from the labels, not from experiment: gaps of PBE are too small.")
    return said


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _sum(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.sum()) if len(known) else math.nan
