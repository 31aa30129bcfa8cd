"""Scores of learned Hamiltonians: by models that have not learned a formula, against labels on the path."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import BandrtError
from bandrt.hamiltonian.filling import KEPT
from bandrt.manifest import Fold, TrainingDomain
from bandrt.recipe import Recipe
from bandrt_train.checkpoint import load_checkpoint
from bandrt_train.data.dataset import Refusal, SplitRule
from bandrt_train.data.hamiltonian.folds import FoldRule, HeldOut
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.hamiltonian.cases import Case, make_case, read_cases
from bandrt_train.evaluation.hamiltonian.classes import CLASSES, classes_of
from bandrt_train.evaluation.hamiltonian.scores import by_class, part, rows, score, score_beside, score_table, unseen_by
from bandrt_train.hamiltonian_checkpoint import HamiltonianCheckpoint
from bandrt_train.weights import SHIPPED_CHECKPOINTS
from tests.support.small_hamiltonians import (
    ALUMINIUM,
    GALLIUM_ARSENIDE,
    SALT,
    SILICON,
    SMALL,
    document_of,
    document_text,
    small_model,
)

ALL_HELD = HeldOut(SplitRule(0, 0.0, 1.0))
BETWEEN_POINTS = 0.1
"""eV: documents have few k-points, which the path lies between."""
IRON = Crystal(2.8 * np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]), np.array([26], np.int32), np.zeros((1, 3)))


def checkpoint(seed: int, held_out: HeldOut = ALL_HELD) -> HamiltonianCheckpoint:
    state = small_model(seed).float().state_dict()
    return HamiltonianCheckpoint(SMALL, held_out, TrainingDomain(), {}, state, f"seed {seed}")


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Labels that the model of seed 0 made."""
    crystals = {"si": SILICON, "gaas": GALLIUM_ARSENIDE, "salt": SALT, "al": ALUMINIUM}
    return [make_case(document_of(small_model(), one, name=name, n_kpoints=40), Recipe()) for name, one in crystals.items()]


def test_the_model_that_made_the_labels_is_right(cases: list[Case]) -> None:
    scored, refused = score([checkpoint(0)], cases)
    assert refused == []
    assert scored.errors.energy_ev[:3].max() < BETWEEN_POINTS  # of the insulators
    assert scored.counted_ev.max() < BETWEEN_POINTS
    assert scored.errors.right.all()
    assert np.nanmax(scored.errors.gap_ev) < 0.3  # the mesh knows more than two lines do
    assert [case.targets.is_metal for case in cases] == [False, False, False, True]


def test_another_model_is_wrong(cases: list[Case]) -> None:
    (right, _), (wrong, _) = (score([checkpoint(seed)], cases) for seed in (0, 1))
    assert (wrong.counted_ev > 2.0 * right.counted_ev).all()


def test_counted_bands_do_not_depend_on_which_are_called_empty(cases: list[Case]) -> None:
    """On the lines of this label the highest band that is not empty is another than on the whole path, where the model judges."""
    scored, _ = score([checkpoint(0)], cases[3:])
    assert scored.errors.energy_ev[0] > 1.0
    assert scored.counted_ev[0] < BETWEEN_POINTS


def test_crystals_are_scored_by_models_that_have_not_learned_them_alone(cases: list[Case]) -> None:
    folds = [FoldRule(2, 0), FoldRule(2, 1)]
    right, wrong = (checkpoint(seed, HeldOut(fold=fold)) for seed, fold in enumerate(folds))
    scored, _ = score([right, wrong], cases)
    assert [case.id for case in scored.cases] == [case.id for case in cases]  # all, by one of the two
    by_right = np.array([folds[0].split(case.formula) == "test" for case in cases])
    assert 0 < by_right.sum() < len(cases)
    assert (scored.counted_ev < BETWEEN_POINTS).tolist() == by_right.tolist()
    alone, _ = score([right], cases)
    assert [case.id for case in alone.cases] == [case.id for case, held in zip(cases, by_right, strict=True) if held]


def test_several_models_that_have_not_learned_a_formula_are_an_ensemble(cases: list[Case]) -> None:
    one, _ = score([checkpoint(0)], cases)
    twice, _ = score([checkpoint(0), checkpoint(0)], cases)
    mixed, _ = score([checkpoint(0), checkpoint(1)], cases)
    np.testing.assert_allclose(twice.counted_ev, one.counted_ev, atol=1e-6)
    assert (np.abs(mixed.counted_ev - one.counted_ev) > 1e-3).all()


def test_splits_can_be_chosen_and_nothing_to_score_is_an_error(cases: list[Case]) -> None:
    with pytest.raises(EvaluationError) as refused:
        score([checkpoint(0)], cases, splits=("validation",))
    assert refused.value.code == "empty-split"


def test_a_crystal_that_the_model_has_too_few_bands_for_is_told(cases: list[Case]) -> None:
    scored, refused = score([checkpoint(0)], [cases[0], dataclasses.replace(cases[2], n_above=-KEPT)])
    assert [case.id for case in scored.cases] == ["si"]
    assert [(one.id, one.code) for one in refused] == [("salt", "too-few-bands")]


def test_documents_are_read_once_each_as_far_as_wanted(tmp_path: Path) -> None:
    silicon, salt = (document_text(document_of(small_model(), one, name=name)) for name, one in (("si", SILICON), ("salt", SALT)))
    (tmp_path / "labels.jsonl").write_text("\n".join([silicon, salt, silicon, "{}"]), encoding="utf-8")
    read = list(read_cases([tmp_path], Recipe(), wanted=lambda formula: formula == "Si"))
    assert [(one.id, getattr(one, "code", None)) for one in read] == [
        ("si", None),
        ("si", "duplicate-id"),
        ("labels-4", "malformed"),
    ]


def test_a_document_that_cannot_be_used_does_not_stand_in_the_way_of_another_of_its_id(tmp_path: Path) -> None:
    whole = document_of(small_model(), SILICON, name="si")
    cut = dataclasses.replace(whole, energies=whole.energies[:, :4])
    (tmp_path / "labels.jsonl").write_text("\n".join(map(document_text, (cut, whole))), encoding="utf-8")
    first, second = read_cases([tmp_path], Recipe())
    assert isinstance(first, Refusal)
    assert isinstance(second, Case)
    assert first.id == second.id == "si"


def test_crystals_belong_to_classes(cases: list[Case]) -> None:
    si, gaas, salt, al = map(classes_of, cases)
    assert si == {"all", "non-metals", "s and p elements", "elements", "1 or 2 atoms"}
    assert gaas == si - {"elements"}
    assert "ionic" in salt
    assert {"metals", "elements"} <= al
    iron = classes_of(make_case(document_of(small_model(), IRON), Recipe()))
    assert {"with d elements", "with V to Ni"} <= iron
    gadolinium = Crystal(IRON.lattice * 1.4, np.array([64], np.int32), np.zeros((1, 3)))
    assert {"with lanthanides", "elements"} <= classes_of(make_case(document_of(small_model(), gadolinium), Recipe()))
    loose = Crystal(np.diag([2.5, 2.5, 12.0]), np.array([14], np.int32), np.zeros((1, 3)))
    assert "layers, chains, molecules" in classes_of(make_case(document_of(small_model(), loose), Recipe()))


def test_classes_are_laid_out_with_intervals(cases: list[Case]) -> None:
    scored, _ = score([checkpoint(1)], cases)
    found = by_class(scored)
    assert list(found) == [name for name in CLASSES if name in found]
    assert found["all"]["n_crystals"] == 4
    assert found["metals"]["gap_mae_ev"] is None
    low, high = found["all"]["intervals"]["energy_mae_ev"]
    assert low <= found["all"]["energy_mae_ev"] <= high
    table = score_table(found).splitlines()
    assert table[0].split()[:3] == ["crystals", "energy", "counted"]
    assert len(table) == 1 + len(found)
    told = rows(scored)
    assert [row["id"] for row in told] == ["si", "gaas", "salt", "al"]
    assert told[3]["gap_ev"] is None
    assert told[0]["counted_ev"] == pytest.approx(scored.counted_ev[0], abs=1e-4)


def test_a_model_of_six_bands_is_compared_on_the_same_crystals(cases: list[Case]) -> None:
    shipped = load_checkpoint(SHIPPED_CHECKPOINTS["fast"])
    crystals = [make_case(document_of(small_model(), SILICON, name="si", n_kpoints=40), shipped.recipe), *cases[:0]]
    scored = score_beside(shipped, crystals)
    assert np.isfinite(scored.errors.energy_ev).all()
    assert np.isnan(scored.counted_ev).all()
    assert by_class(scored)["all"]["counted_mae_ev"] is None


def test_what_the_splits_of_a_training_hold_out_can_be_picked(cases: list[Case]) -> None:
    for rule, training in ((SplitRule(), TrainingDomain()), (dealt := SplitRule(1, 0.3, 0.3), TrainingDomain(splits=dealt.said))):
        assert unseen_by(training, cases).tolist() == [rule.split(case.formula) != "train" for case in cases]
    with pytest.raises(BandrtError, match="without --folds") as refused:
        unseen_by(TrainingDomain(fold=Fold(5, 0)), cases)
    assert refused.value.code == "fold-held-out"
    scored, _ = score([checkpoint(0)], cases)
    chosen = part(scored, np.array([True, False, False, True]))
    assert [case.id for case in chosen.cases] == ["si", "al"]
    assert len(chosen.errors) == len(chosen.counted_ev) == 2
