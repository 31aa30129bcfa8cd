"""Labelled crystals that an engine has not learned, with what it predicts of them: columns that a report keeps."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.screening.features import Floats, PredictedGaps
from bandrt_train.data.dataset import Split

FITTED: Split = "validation"
TESTED: Split = "test"
"""The splits that a calibration is fitted to, and tested on."""
NUMBERS = ("band_gap_ev", "direct_gap_ev", "uncertainty_ev")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions of n labelled crystals.

    Attributes:
        ids: of the crystals.
        formulas: reduced, in Hill order.
        labels: (n,), of gaps: eV, 0 for a metal; of bands: 1 where the gap is direct, else 0.
        predicted: what the engine says of them.
    """

    ids: tuple[str, ...]
    formulas: tuple[str, ...]
    labels: Floats
    predicted: PredictedGaps

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, chosen: NDArray[np.bool_]) -> HeldOut:
        """Some of them, (n,)."""
        ids, formulas = (tuple(np.array(names, dtype=object)[chosen]) for names in (self.ids, self.formulas))
        return HeldOut(ids, formulas, self.labels[chosen], self.predicted.part(chosen))

    @property
    def weights(self) -> Floats:
        """(n,): one over how many crystals have the formula: forms of one compound err together, so a formula counts once."""
        count = Counter(self.formulas)
        return np.array([1.0 / count[formula] for formula in self.formulas])

    def as_columns(self) -> dict[str, list[Any]]:
        """Plain values for JSON."""
        said = self.predicted
        return {
            "id": list(self.ids),
            "formula": list(self.formulas),
            "label": self.labels.tolist(),
            "band_gap_ev": said.gap_ev.tolist(),
            "direct_gap_ev": said.direct_gap_ev.tolist(),
            "is_metal": said.is_metal.astype(int).tolist(),
            "uncertainty_ev": [None if np.isnan(one) else one for one in said.uncertainty_ev.tolist()],
            "warnings": said.warnings.tolist(),
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]]) -> HeldOut:
        """Of what `as_columns` gives."""
        gap, direct, uncertainty = (
            np.array([np.nan if one is None else one for one in columns[name]], np.float64) for name in NUMBERS
        )
        metal, warnings = np.array(columns["is_metal"], np.bool_), np.array(columns["warnings"], np.str_)
        predicted = PredictedGaps(gap, direct, metal, uncertainty, warnings)
        return cls(tuple(columns["id"]), tuple(columns["formula"]), np.array(columns["label"], np.float64), predicted)


class DirectLabels(NamedTuple):
    """Labelled non-metals."""

    held_out: dict[Split, HeldOut]
    """Those of splits that were not learned, as an engine predicts them."""
    known: Floats
    """(n,) of all but those of the test split: 1 where the gap is direct, else 0."""


def checksum(held_out: HeldOut) -> str:
    """Checksum of which crystals there are, and of their labels."""
    lines = sorted(f"{id} {label!r}" for id, label in zip(held_out.ids, held_out.labels.tolist(), strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
