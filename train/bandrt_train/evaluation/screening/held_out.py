"""Labelled crystals of formulas that an engine has not learned, as the engine predicts them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.predict import Engine
from bandrt.results.prediction import Prediction
from bandrt.screening.features import Floats, PredictedGaps
from bandrt_train.data.dataset import Refusal, Split, SplitRule
from bandrt_train.data.gap_labels import find_gaps, parse_gap
from bandrt_train.evaluation.directness import TRUSTED_EV, edges, is_direct
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.hamiltonian.cases import RULE, usable_cases

DECIMALS = 4
"""Of the energies that are kept, eV: a calibration is fitted to what is kept, so that it can be fitted again."""
HELD_OUT: tuple[Split, ...] = ("validation", "test")
_NUMBERS = ("band_gap_ev", "direct_gap_ev", "uncertainty_ev")


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
            np.array([np.nan if one is None else one for one in columns[name]], np.float64) for name in _NUMBERS
        )
        metal, warnings = np.array(columns["is_metal"], np.bool_), np.array(columns["warnings"], np.str_)
        predicted = PredictedGaps(gap, direct, metal, uncertainty, warnings)
        return cls(tuple(columns["id"]), tuple(columns["formula"]), np.array(columns["label"], np.float64), predicted)


def held_out_gaps(
    engine: Engine, tables: Sequence[Path], split: Split, *, max_atoms: int | None, progress: Callable[[int, int], None]
) -> HeldOut:
    """Predict the crystals of a split of tables of gaps; those that cannot be predicted are left out.

    Args:
        engine: the engine.
        tables: of gaps.
        split: of formulas, by the rule that all trainings of this project have.
        max_atoms: of a crystal as it is written; None: any.
        progress: told how many are predicted, and of how many.

    Raises:
        EvaluationError: ``empty-split``.
        InputError: ``not-a-gap-table``.
    """
    rule = SplitRule()
    found = []
    for source in find_gaps(*tables):
        try:
            crystal, gap, _ = parse_gap(source)
        except InputError:
            continue
        if (max_atoms is None or crystal.n_atoms <= max_atoms) and rule.split(crystal.hill_formula) == split:
            found.append((source.id, crystal, gap))
    if not found:
        raise EvaluationError("empty-split", f"{', '.join(map(str, tables))}: the {split} split has no crystals")
    return _predicted(engine, found, progress)


class DirectLabels(NamedTuple):
    """Labelled non-metals."""

    held_out: dict[Split, HeldOut]
    """Those of splits that were not learned, as an engine predicts them."""
    known: Floats
    """(n,) of all but those of the test split: 1 where the gap is direct, else 0."""


def held_out_directness(engine: Engine, labels: Sequence[Path], refusals: list[Refusal]) -> DirectLabels:
    """Whether gaps of labelled non-metals are direct, and what an engine says of those that it has not learned.

    Args:
        engine: the engine.
        labels: band structures.
        refusals: those that cannot be used are appended.

    Raises:
        NotFoundError, InputError: as `read_cases`.
    """
    rule, found = SplitRule(), defaultdict[Split, list[tuple[str, Crystal, float]]](list)
    for case in usable_cases(labels, engine.recipe, refusals):
        label = edges(case.targets.energies[None], case.targets.mask[None], RULE.n_valence)
        if not case.targets.is_metal and np.abs(label.gap - case.targets.band_gap)[0] <= TRUSTED_EV:
            found[rule.split(case.formula)].append((case.id, case.features.crystal, float(is_direct(label.excess)[0])))
    known = [direct for split, some in found.items() if split != "test" for _, _, direct in some]
    held_out: dict[Split, HeldOut] = {split: _predicted(engine, found[split], lambda done, total: None) for split in HELD_OUT}
    return DirectLabels(held_out, np.array(known))


def _predicted(engine: Engine, found: Sequence[tuple[str, Crystal, float]], progress: Callable[[int, int], None]) -> HeldOut:
    rows = []
    for done, ((id, crystal, label), result) in enumerate(
        zip(found, engine.predict([crystal for _, crystal, _ in found]), strict=True), start=1
    ):
        if isinstance(result, Prediction):
            bands = result.band_structure
            uncertainty = np.nan if result.uncertainty_ev is None else result.uncertainty_ev
            energies = [round(value, DECIMALS) for value in (bands.band_gap, bands.direct_gap, uncertainty)]
            rows.append((id, crystal.hill_formula, label, *energies, bands.is_metal, ";".join(result.warnings)))
        progress(done, len(found))
    names = ("id", "formula", "label", *_NUMBERS, "is_metal", "warnings")
    return HeldOut.from_columns(dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ()))


def checksum(held_out: HeldOut) -> str:
    """Checksum of which crystals there are, and of their labels."""
    lines = sorted(f"{id} {label!r}" for id, label in zip(held_out.ids, held_out.labels.tolist(), strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
