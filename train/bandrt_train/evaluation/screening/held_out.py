"""Predictions of labelled crystals of formulas that an engine has not learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bandrt.crystal import Crystal
from bandrt.predict import Engine
from bandrt.results.prediction import Prediction
from bandrt_train.data.dataset import Refusal, Split, SplitRule
from bandrt_train.data.gap_labels import crystals_of_split, find_gaps
from bandrt_train.evaluation.directness import TRUSTED_EV, edges, is_direct
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.hamiltonian.cases import RULE, usable_cases
from bandrt_train.evaluation.screening.labelled import FITTED, NUMBERS, TESTED, DirectLabels, HeldOut

DECIMALS = 4
"""Of the energies that are kept, eV: a calibration is fitted to what is kept, so that it can be fitted again."""


def split_rule(engine: Engine) -> SplitRule:
    """What an engine has not learned, nor the one that it hands crystals over to.

    Raises:
        BandrtError: ``fold-held-out``.
        EvaluationError: ``other-recipe`` where the two hold out different formulas.
    """
    rule, other = SplitRule.of(engine.manifest.training, name=engine.path.name), engine.hands_over_to
    if other is None:
        return rule
    theirs = SplitRule.of(other.manifest.training, name=other.path.name)
    if theirs != rule:
        raise EvaluationError(
            "other-recipe",
            f"{engine.path.name}: was trained with the splits {rule.said}; it hands crystals over to {other.path.name}, which was"
            f" trained with {theirs.said}, and so may have learned what is held out here; calibrate it with --no-hand-over",
        )
    return rule


def held_out_gaps(
    engine: Engine, tables: Sequence[Path], split: Split, *, max_atoms: int | None, progress: Callable[[int, int], None]
) -> HeldOut:
    """Predict the crystals of a split of tables of gaps; those that cannot be predicted are left out.

    Args:
        engine: the engine.
        tables: of gaps.
        split: of formulas, by the rule of the training of the engine.
        max_atoms: of a crystal as it is written; None: any.
        progress: told how many are predicted, and of how many.

    Raises:
        EvaluationError: ``empty-split``.
        InputError: ``not-a-gap-table``.
        BandrtError: as `split_rule`.
    """
    rule = split_rule(engine)
    found = list(crystals_of_split(find_gaps(*tables), split, rule=rule, max_atoms=max_atoms))
    if not found:
        raise EvaluationError("empty-split", f"{', '.join(map(str, tables))}: the {split} split has no crystals")
    return _predicted(engine, found, progress)


def held_out_directness(engine: Engine, labels: Sequence[Path], refusals: list[Refusal]) -> DirectLabels:
    """Whether gaps of labelled non-metals are direct, and what an engine says of those that it has not learned.

    Args:
        engine: the engine.
        labels: band structures.
        refusals: those that cannot be used are appended.

    Raises:
        NotFoundError, InputError: as `read_cases`.
        BandrtError: as `split_rule`.
    """
    rule, found = split_rule(engine), defaultdict[Split, list[tuple[str, Crystal, float]]](list)
    for case in usable_cases(labels, engine.recipe, refusals):
        label = edges(case.targets.energies[None], case.targets.mask[None], RULE.n_valence)
        if not case.targets.is_metal and np.abs(label.gap - case.targets.band_gap)[0] <= TRUSTED_EV:
            found[rule.split(case.formula)].append((case.id, case.features.crystal, float(is_direct(label.excess)[0])))
    known = [direct for split, some in found.items() if split != TESTED for _, _, direct in some]
    held_out: dict[Split, HeldOut] = {
        split: _predicted(engine, found[split], lambda done, total: None) for split in (FITTED, TESTED)
    }
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
    names = ("id", "formula", "label", *NUMBERS, "is_metal", "warnings")
    return HeldOut.from_columns(dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ()))
