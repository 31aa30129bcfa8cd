"""Words that training takes are checked where they are given, not only in a TOML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bandrt.errors import ArgumentError
from bandrt_train.data.dataset import Dataset
from bandrt_train.data.sources.materials_project import download
from bandrt_train.fit.config import FitConfig, TrainerConfig
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.released.config import Conventions, ReleasedConfig

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "variant": (lambda: ModelConfig(variant="banana"), "variant is 'banana', allowed: 'paper', 'fourier', 'bloch'"),
    "node features": (lambda: ModelConfig(node_features="two_hot"), "allowed: 'one_hot', 'elemental'"),
    "species index": (lambda: ReleasedConfig(species_index="z"), "allowed: 'atomic_number', 'atomic_number_minus_one'"),
    "direction": (lambda: Conventions(direction="both"), "allowed: 'to_center', 'from_center'"),
    "precision": (lambda: TrainerConfig(precision="fp8"), "allowed: '32-true', 'bf16-mixed', '16-mixed'"),
    "weights kept": (lambda: FitConfig(keep="all"), "keep is 'all', allowed: 'best', 'last'"),
    "split": (
        lambda: Dataset.indices(SimpleNamespace(records=[]), "dev"),
        "split is 'dev', allowed: 'train', 'validation', 'test'",
    ),
    "path": (lambda: download([], Path("nosuch"), SimpleNamespace(), scheme="any"), "scheme is 'any', allowed: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_word_that_is_none_of_the_allowed_is_refused(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in caught.value.message
    assert not Path("nosuch").exists()
