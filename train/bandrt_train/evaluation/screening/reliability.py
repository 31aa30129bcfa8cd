"""Whether as many crystals have the wanted gap as probabilities say, on crystals that nothing was fitted to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bandrt.calibration import GapCalibration
from bandrt.screening.features import Floats
from bandrt.screening.hits import expected_hits
from bandrt.screening.probability import probability_of_direct, probability_of_gap, probability_of_metal
from bandrt_train.evaluation.screening.labelled import HeldOut

WINDOWS = ((0.5, 1.0), (1.0, 1.6), (2.0, 3.0), (4.0, 20.0))
"""eV: gaps that expected and found numbers of hits are compared for."""
EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Of the parts of a reliability table."""
SHORTLISTS = (50, 200)
"""How many of the most probable are looked at."""


@dataclass(frozen=True)
class Hits:
    """Crystals of which hits are expected and found."""

    n_crystals: int
    expected: float
    low: int
    """With `high`, the range of 95 % of the number of hits."""
    high: int
    found: int

    @classmethod
    def of(cls, p: Floats, hit: Floats, spread: tuple[float, float]) -> Hits:
        """Count them.

        Args:
            p: (n,), the probability of each.
            hit: (n,), 1 where it is one, else 0.
            spread: dispersion and error of the log-odds, of the calibration.
        """
        said = expected_hits(p, *spread)
        return cls(len(p), round(said.expected, 2), said.low, said.high, int(hit.sum()))


def gap_reliability(calibration: GapCalibration, tested: HeldOut) -> list[dict[str, Any]]:
    """For each of `WINDOWS`, and for metals: hits of all crystals, of the most probable, and of parts by their probability.

    Crystals without a probability are left out.
    """
    rows, spread = [], (calibration.dispersion, calibration.log_odds_error)
    for low, high in (*WINDOWS, (0.0, 0.0)):
        metal = high == 0.0
        p = (
            probability_of_metal(calibration, tested.predicted)
            if metal
            else probability_of_gap(calibration, tested.predicted, low, high)
        )
        hit = (tested.labels >= low) & (tested.labels <= high)
        plainly = (tested.predicted.gap_ev >= low) & (tested.predicted.gap_ev <= high)
        rows.append({"low_ev": low, "high_ev": high} | _counted(p, hit.astype(np.float64), plainly, spread))
    return rows


def direct_reliability(calibration: GapCalibration, tested: HeldOut) -> dict[str, Any] | None:
    """The same of direct gaps of labelled non-metals; None where nothing is known of them."""
    p = probability_of_direct(calibration, tested.predicted)
    if p is None or not len(tested):
        return None
    says = ~tested.predicted.is_metal & (tested.predicted.direct_gap_ev - tested.predicted.gap_ev <= 0.01)
    assert calibration.direct is not None  # since there are probabilities
    return _counted(p, tested.labels, says, (calibration.dispersion, calibration.direct.log_odds_error))


def _counted(p: Floats, hit: Floats, plainly: Any, spread: tuple[float, float]) -> dict[str, Any]:
    known = ~np.isnan(p)
    p, hit, plainly = p[known], hit[known], np.asarray(plainly)[known]
    order = np.argsort(-p, kind="stable")
    part = np.digitize(p, EDGES[1:-1])
    return {
        "all": asdict(Hits.of(p, hit, spread)),
        "most_probable": [asdict(Hits.of(p[order[:n]], hit[order[:n]], spread)) for n in SHORTLISTS if n < len(p)],
        "as_predicted": {"n_crystals": int(plainly.sum()), "found": int(hit[plainly].sum())},
        "reliability": [
            asdict(Hits.of(p[part == number], hit[part == number], spread)) | {"from": EDGES[number], "to": EDGES[number + 1]}
            for number in range(len(EDGES) - 1)
            if (part == number).any()
        ],
    }
