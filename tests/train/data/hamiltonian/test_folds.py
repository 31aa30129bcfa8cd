"""Folds: every formula is held out once, and the first fold is what the usual splits hold out."""

from __future__ import annotations

import pytest

from bandrt.errors import UsageError
from bandrt_train.data.dataset import SplitRule
from bandrt_train.data.hamiltonian.folds import FoldRule, HeldOut

FORMULAS = [f"A{i}B" for i in range(500)]


def test_every_formula_is_held_out_of_one_training() -> None:
    held = [[f for f in FORMULAS if FoldRule(5, fold).split(f) == "test"] for fold in range(5)]
    assert sorted(formula for fold in held for formula in fold) == sorted(FORMULAS)
    assert all(60 < len(fold) < 140 for fold in held)


def test_the_first_of_five_folds_is_what_the_usual_splits_hold_out() -> None:
    assert {f for f in FORMULAS if FoldRule(5, 0).split(f) == "test"} == {f for f in FORMULAS if SplitRule().split(f) != "train"}


def test_a_fold_takes_the_place_of_the_splits() -> None:
    fold = FoldRule(5, 3)
    assert [HeldOut(SplitRule(), fold).split(f) for f in FORMULAS] == [fold.split(f) for f in FORMULAS]
    assert [HeldOut(SplitRule()).split(f) for f in FORMULAS] == [SplitRule().split(f) for f in FORMULAS]


@pytest.mark.parametrize(("n_folds", "fold"), [(1, 0), (5, 5), (5, -1)])
def test_a_fold_that_is_none_is_refused(n_folds: int, fold: int) -> None:
    with pytest.raises(UsageError) as refused:
        FoldRule(n_folds, fold)
    assert refused.value.code == "bad-fold"
