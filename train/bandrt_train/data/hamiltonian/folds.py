"""Folds: every formula is held out of one of several trainings, so that all labels are tested on."""

from __future__ import annotations

from dataclasses import dataclass, field

from bandrt.errors import UsageError
from bandrt.manifest import Fold
from bandrt_train.data.dataset import Split, SplitRule, share_of


@dataclass(frozen=True)
class FoldRule:
    """One of several folds: its formulas are the test split, those of all others are trained on, none validates.

    Formulas are dealt by the same share as by `SplitRule`, so the first of five folds is what that holds out by default.
    """

    n_folds: int
    fold: int
    """From 0."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.n_folds >= 2 and 0 <= self.fold < self.n_folds):
            raise UsageError("bad-fold", f"fold {self.fold} of {self.n_folds}: there must be two or more, counted from 0")

    @property
    def said(self) -> Fold:
        """The same as a manifest says it."""
        return Fold(self.n_folds, self.fold, self.seed)

    def split(self, formula: str) -> Split:
        """Where every crystal of a reduced formula goes."""
        return "test" if int(share_of(formula, self.seed) * self.n_folds) == self.fold else "train"


@dataclass(frozen=True)
class HeldOut:
    """Which formulas a training does not learn, neither from bands nor from gaps."""

    splits: SplitRule = field(default_factory=SplitRule)
    fold: FoldRule | None = None
    """In the place of `splits`."""

    def split(self, formula: str) -> Split:
        """Where every crystal of a reduced formula goes."""
        return (self.fold or self.splits).split(formula)
