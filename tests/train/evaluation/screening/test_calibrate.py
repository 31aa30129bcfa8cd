"""What is calibrated on: formulas that the training of an engine held out; what computes nothing has no errors."""

from __future__ import annotations

import gzip
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import bandrt
from bandrt.crystal import Crystal
from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.errors import BandrtError
from bandrt.manifest import Fold, Splits, TrainingDomain
from bandrt_train.data.dataset import SplitRule
from bandrt_train.evaluation.screening.calibrate import calibrate
from bandrt_train.evaluation.screening.held_out import held_out_directness, held_out_gaps
from bandrt_train.evaluation.screening.labelled import FITTED

TABLE = Path(__file__).resolve().parents[4] / "train" / "gaps" / "materials-project.csv.gz"


def test_the_engine_without_inference_is_not_calibrated() -> None:
    with bandrt.load("null") as engine, pytest.raises(bandrt.UsageError) as caught:
        calibrate(engine, [Path("gaps.csv")], [], [])
    assert caught.value.code == "null-engine"


@pytest.mark.parametrize("splits", [None, Splits(1, 0.5, 0.25)])
def test_what_is_held_out_follows_the_splits_of_the_training(splits: Splits | None, tmp_path: Path) -> None:
    with gzip.open(TABLE, "rt", encoding="utf-8") as whole:
        (tmp_path / "table.csv").write_text("".join(islice(whole, 5000)).rsplit("\nmp-", 1)[0] + "\n", encoding="utf-8")
    asked: list[Crystal] = []

    def predict(crystals: list[Crystal]) -> list[None]:
        asked.extend(crystals)
        return [None] * len(crystals)

    manifest = replace(read_manifest(SHIPPED_ENGINES["fast"]), training=TrainingDomain(splits=splits))
    engine = cast(Any, SimpleNamespace(manifest=manifest, predict=predict, path=Path("model.onnx"), hands_over_to=None))
    held_out_gaps(engine, [tmp_path / "table.csv"], FITTED, max_atoms=None, progress=lambda done, total: None)
    rule = SplitRule() if splits is None else SplitRule(splits.seed, splits.validation, splits.test)
    assert len(asked) > 3
    assert {rule.split(one.hill_formula) for one in asked} == {FITTED}


def trained(name: str, training: TrainingDomain, other: Any = None) -> Any:
    manifest = replace(read_manifest(SHIPPED_ENGINES["fast"]), training=training)
    return SimpleNamespace(manifest=manifest, path=Path(name), hands_over_to=other)


DEALT = TrainingDomain(splits=Splits(0, 0.1, 0.1))


@pytest.mark.parametrize(
    ("engine", "code", "said"),
    [
        (trained("model.onnx", TrainingDomain(fold=Fold(5, 3))), "fold-held-out", r"model\.onnx: .*5 folds.* without --folds"),
        (trained("a.onnx", DEALT, trained("b.onnx", TrainingDomain(fold=Fold(5, 3)))), "fold-held-out", r"b\.onnx: "),
        (trained("a.onnx", TrainingDomain(splits=Splits(1, 0.1, 0.1)), trained("b.onnx", DEALT)), "other-recipe", "--no-hand-over"),
    ],
)
def test_engines_that_may_have_learned_what_is_held_out_are_not_calibrated(engine: Any, code: str, said: str) -> None:
    with pytest.raises(BandrtError, match=said) as gaps:
        held_out_gaps(engine, [TABLE], FITTED, max_atoms=None, progress=lambda done, total: None)
    with pytest.raises(BandrtError, match=said) as direct:
        held_out_directness(engine, [Path("labels")], [])
    assert gaps.value.code == direct.value.code == code
