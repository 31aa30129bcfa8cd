"""Scores: each crystal is predicted by the models that have not learned its formula, and compared with its label.

Several models that have not are an ensemble. So the runs of all folds together score every label, and runs of several seeds the
formulas that all of them held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.hamiltonian.filling import KEPT, Filled
from bandrt.manifest import TrainingDomain
from bandrt_train.checkpoint import Checkpoint
from bandrt_train.data.dataset import Refusal, Split, SplitRule
from bandrt_train.data.recipes import HAMILTONIAN_MESH
from bandrt_train.evaluation.directness import SAME_EV, decided_by_tolerance
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.hamiltonian.cases import RULE, Case
from bandrt_train.evaluation.hamiltonian.classes import CLASSES, classes_of
from bandrt_train.evaluation.metrics import CrystalErrors, Floats, Predicted, average, crystal_errors, interval
from bandrt_train.evaluation.predictions import estimate
from bandrt_train.evaluation.tables import shown
from bandrt_train.hamiltonian_checkpoint import HamiltonianCheckpoint
from bandrt_train.model.graphs import to_data
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel
from bandrt_train.model.hamiltonian.filling import fill, mean_of

COLUMNS = {
    "energy_mae_ev": "energy",
    "counted_mae_ev": "counted",
    "center_mae_ev": "centre",
    "dispersion_mae_ev": "dispersion",
    "gap_mae_ev": "gap",
    "metal_accuracy": "metal or not",
    "direct_gap_mae_ev": "direct gap",
    "direct_accuracy": "direct or not",
    "indirect_share": "if all indirect",
}
"""Fields of a class, and what they are called in tables."""


HELD_OUT: tuple[Split, ...] = ("validation", "test")
"""Splits that are not learned."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Errors of n crystals.

    Attributes:
        cases: the crystals.
        errors: of the six bands around the highest nonempty one, as the model judges it, of gap and metal.
        counted_ev: (n,) eV, errors of the energies when the six bands are counted from half filling in both; NaN where unknown.
        expected_ev: (n,) eV, errors of the energies that the model expected; NaN where it does not say.
    """

    cases: tuple[Case, ...]
    errors: CrystalErrors
    counted_ev: Floats
    expected_ev: Floats


def score(
    members: Sequence[HamiltonianCheckpoint],
    cases: Iterable[Case],
    *,
    splits: Sequence[Split] = HELD_OUT,
    progress: Callable[[int], None] = lambda n: None,
) -> tuple[Scored, list[Refusal]]:
    """Predict cases by the models that hold their formulas in one of the splits; those that none does are left out.

    Args:
        members: models.
        cases: the crystals.
        splits: of which a formula must be, of a model that predicts it.
        progress: told after every crystal that was scored how many there are.

    Returns:
        The scores, and crystals that the models have too few bands for.

    Raises:
        EvaluationError: ``empty-split`` when there is nothing to score.
    """
    models = [(one.held_out, one.build_model()) for one in members]
    kept: list[Case] = []
    filled: list[Filled] = []
    expected: list[float] = []
    refused = []
    for case in cases:
        unlearned = [model for held_out, model in models if held_out.split(case.formula) in splits]
        if not unlearned:
            continue
        try:
            one, doubt = _together(unlearned, case)
            one.window(RULE), one.window(RULE, KEPT + case.n_above)
        except InputError as error:
            refused.append(Refusal(case.id, case.id, "predict", error.code, error.message))
            continue
        kept.append(case)
        filled.append(one)
        expected.append(doubt)
        progress(len(kept))
    if not kept:
        raise EvaluationError("empty-split", "no crystal of these labels is of a formula that a model held out; give other labels")
    return _scored(kept, filled, np.array(expected)), refused


@torch.no_grad()
def _together(models: Sequence[HamiltonianModel], case: Case) -> tuple[Filled, float]:
    """What several models say of a crystal, and the error that they expect on average, eV, NaN where one does not say."""
    made = [model.real_space([case.pairs])[0] for model in models]
    path, smearing_ev = case.features.kpath.frac_kpoints, HAMILTONIAN_MESH.smearing
    filled = [fill(case.pairs, one, path, case.mesh, smearing_ev=smearing_ev) for one in made]
    return mean_of(filled), float(np.mean([np.nan if one.uncertainty is None else float(one.uncertainty) for one in made]))


def _scored(cases: Sequence[Case], filled: Sequence[Filled], expected_ev: Floats) -> Scored:
    targets = [case.targets for case in cases]
    gap, metal = np.array([one.band_gap for one in filled]), np.array([one.is_metal for one in filled])
    judged = np.stack([one.window(RULE) for one in filled])
    counted = np.stack([one.window(RULE, KEPT + case.n_above) for one, case in zip(filled, cases, strict=True)])
    errors = crystal_errors(Predicted(gap, metal, judged), targets)
    return Scored(tuple(cases), errors, crystal_errors(Predicted(gap, metal, counted), targets).energy_ev, expected_ev)


def score_beside(checkpoint: Checkpoint, cases: Sequence[Case]) -> Scored:
    """Predict the same crystals by a model of six bands, made for the features of the cases."""
    energies = estimate(checkpoint.build_model(), [to_data(case.features) for case in cases]).energies
    errors = crystal_errors(Predicted.from_energies(energies, checkpoint.bands), [case.targets for case in cases])
    unknown = np.full(len(cases), np.nan)
    return Scored(tuple(cases), errors, unknown, unknown)


def part(scored: Scored, member: NDArray[np.bool_]) -> Scored:
    """Some of the crystals, (n,) bool."""
    chosen = {name: value[member] for name, value in vars(scored.errors).items()}
    cases = tuple(case for case, belongs in zip(scored.cases, member, strict=True) if belongs)
    return Scored(cases, CrystalErrors(**chosen), scored.counted_ev[member], scored.expected_ev[member])


def unseen_by(training: TrainingDomain, cases: Sequence[Case]) -> NDArray[np.bool_]:
    """Which crystals are of formulas that the splits of a training held out, (n,).

    Raises:
        BandrtError: ``fold-held-out``.
    """
    rule = SplitRule.of(training)
    return np.array([rule.split(case.formula) != "train" for case in cases], dtype=np.bool_)


def by_class(scored: Scored) -> dict[str, dict[str, Any]]:
    """Mean errors of each class that occurs, with 95 % intervals under ``intervals``, as plain values."""
    belongs = [classes_of(case) for case in scored.cases]
    found = {}
    for name in CLASSES:
        member = np.array([name in classes for classes in belongs], dtype=np.bool_)
        if member.any():
            found[name] = _means(part(scored, member))
    return found


def _means(scored: Scored) -> dict[str, Any]:
    errors = scored.errors
    values = {
        "energy_mae_ev": errors.energy_ev,
        "counted_mae_ev": scored.counted_ev,
        "center_mae_ev": errors.center_ev,
        "dispersion_mae_ev": errors.dispersion_ev,
        "gap_mae_ev": errors.gap_ev,
        "metal_accuracy": errors.right,
        "direct_gap_mae_ev": errors.direct_gap_ev,
        "direct_accuracy": errors.direct_right,
        "indirect_share": errors.indirect,
    }
    counted = scored.counted_ev[~np.isnan(scored.counted_ev)]
    means = asdict(average(errors, np.ones(len(errors), dtype=np.bool_)))
    means["counted_mae_ev"] = float(counted.mean()) if len(counted) else None
    return means | {"intervals": {name: interval(column) for name, column in values.items()}}


def rows(scored: Scored) -> list[dict[str, Any]]:
    """What was found of each crystal, as plain values."""
    errors = scored.errors
    return [
        {
            "id": case.id,
            "formula": case.formula,
            "n_atoms": case.pairs.n_atoms,
            "is_metal": bool(errors.is_metal[i]),
            "said_metal": bool(errors.metal[i]),
            "energy_ev": _plain(errors.energy_ev[i]),
            "counted_ev": _plain(scored.counted_ev[i]),
            "gap_ev": _plain(errors.gap_ev[i]),
            "direct_gap_ev": _plain(errors.direct_gap_ev[i]),
            "direct_excess_ev": _plain(errors.excess_ev[i], decimals=6),
            "said_direct_excess_ev": None if errors.metal[i] else _plain(errors.said_excess_ev[i], decimals=6),
            "uncertainty_ev": _plain(scored.expected_ev[i]),
        }
        for i, case in enumerate(scored.cases)
    ]


def direct_rule(scored: Scored) -> dict[str, Any]:
    """How direct is told from indirect, and what that decides, as plain values."""
    excess, nonmetal = scored.errors.excess_ev, ~scored.errors.is_metal
    return {
        "tolerance_ev": SAME_EV,
        "n_judged": int((~np.isnan(excess)).sum()),
        "n_not_judged": int((nonmetal & np.isnan(excess)).sum()),
        "n_decided_by_tolerance": decided_by_tolerance(excess),
    }


def direct_line(rule: dict[str, Any]) -> str:
    """`direct_rule` in a sentence."""
    left_out = f"; {rule['n_not_judged']} are not judged, for their labels leave out an edge" if rule["n_not_judged"] else ""
    return (
        f"A gap is called direct where the direct gap exceeds it by no more than {1000 * rule['tolerance_ev']:g} meV, which decides"
        f" {rule['n_decided_by_tolerance']} of {rule['n_judged']} non-metals{left_out}."
    )


def _plain(value: float, *, decimals: int = 4) -> float | None:
    return None if np.isnan(value) else round(float(value), decimals)


def score_table(classes: dict[str, dict[str, Any]]) -> str:
    """Lay out `by_class` as plain text, eV; the interval is that of the energy."""
    lines = [("", "crystals", *COLUMNS.values(), "95 % of energy")]
    for name, means in classes.items():
        known = means["intervals"]["energy_mae_ev"]
        between = "-" if known is None else f"{known[0]:.2f} to {known[1]:.2f}"
        lines.append((name, str(means["n_crystals"]), *(shown(means[field]) for field in COLUMNS), between))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    )
