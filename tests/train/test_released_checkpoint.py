"""Checkpoints of the released code are recognised, read without running anything, and refused by the name of what is wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bandrt.errors import UsageError
from bandrt.files import file_sha256
from bandrt.manifest import BandRule, TrainingDomain
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from bandrt_train.model.graphs import to_batch
from bandrt_train.model.released.config import Conventions
from tests.support.small_models import SMALL_RELEASED, perturbed, perturbed_released, real_features, write_released

CONFIG = replace(SMALL_RELEASED, n_kpoints=128)
"""The number of k-points of every released checkpoint."""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_released(tmp_path / "ckpt.pt", perturbed_released(CONFIG))


def rewritten(path: Path, **changes: Any) -> Path:
    torch.save(torch.load(path, weights_only=True) | changes, path)
    return path


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_the_layout_is_recognised_compiled_or_not(tmp_path: Path, prefix: str) -> None:
    model = perturbed_released(CONFIG)
    path = write_released(tmp_path / "ckpt.pt", model, prefix=prefix)
    checkpoint = load_checkpoint(path)
    assert checkpoint.config == CONFIG
    assert checkpoint.metrics == {"iterations": 1000.0, "best_validation_loss": 0.25}
    assert checkpoint.bands == BandRule()
    assert checkpoint.sha256 == file_sha256(path)
    state = model.state_dict()
    assert checkpoint.state.keys() == state.keys()
    assert all(torch.equal(checkpoint.state[name], tensor) for name, tensor in state.items())


def test_the_training_domain_is_unknown(written: Path) -> None:
    assert load_checkpoint(written).training == TrainingDomain()


def test_what_the_file_leaves_unsaid_has_defaults(written: Path) -> None:
    checkpoint = load_checkpoint(written)
    assert checkpoint.recipe == Recipe(kpath=KpathRecipe(n_kpoints=128), max_atomic_number=99)
    assert checkpoint.config.species_index == "atomic_number"


def test_conventions_that_are_chosen_are_recorded(written: Path) -> None:
    chosen = Conventions(
        direction="from_center", frame="cartesian", species_index="atomic_number_minus_one", scheme="setyawan_curtarolo"
    )
    checkpoint = load_checkpoint(written, conventions=chosen)
    assert checkpoint.recipe.graph.direction == "from_center"
    assert checkpoint.recipe.kpath == KpathRecipe(scheme="setyawan_curtarolo", n_kpoints=128, frame="cartesian")
    assert checkpoint.recipe.max_atomic_number == 100
    assert checkpoint.config.species_index == "atomic_number_minus_one"


def test_a_checkpoint_of_our_own_takes_no_conventions(tmp_path: Path) -> None:
    path, model = tmp_path / "model.ckpt", perturbed()
    recipe = Recipe(kpath=KpathRecipe(n_kpoints=48))
    save_checkpoint(path, model=model, config=model.config, recipe=recipe, bands=BandRule(), training=TrainingDomain())
    with pytest.raises(UsageError, match="says what it was trained on") as refused:
        load_checkpoint(path, conventions=Conventions())
    assert refused.value.code == "conventions-unused"


def test_a_released_model_can_be_saved_as_one_of_our_checkpoints(tmp_path: Path) -> None:
    model = perturbed_released()
    recipe = Conventions().recipe(model.config)
    save_checkpoint(
        tmp_path / "model.ckpt", model=model, config=model.config, recipe=recipe, bands=BandRule(), training=TrainingDomain()
    )
    checkpoint = load_checkpoint(tmp_path / "model.ckpt")
    assert checkpoint.config == model.config
    assert checkpoint.recipe == recipe
    batch = to_batch(real_features()[:3])
    with torch.no_grad():
        assert torch.equal(checkpoint.build_model()(batch).energies, model(batch).energies)


@pytest.mark.parametrize("place", ["model", "model_args", "optimizer", "config"])
def test_a_file_that_would_run_code_is_refused_and_runs_none(written: Path, place: str) -> None:
    trace = written.parent / "trace"

    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(trace),)

    content = torch.load(written, weights_only=True)
    torch.save(content | {place: content[place] | {"d_model": Malicious()}}, written)
    with pytest.raises(CheckpointError, match=r"ckpt\.pt: not a checkpoint that is safe to load") as refused:
        load_checkpoint(written)
    assert refused.value.code == "checkpoint-invalid"
    assert not trace.exists()


def test_parameters_that_do_not_fit_are_named(written: Path) -> None:
    state = torch.load(written, weights_only=True)["model"]
    name = "encoder.layers.1.conv.lin_edge.weight"
    for wrong in (
        state | {name: state[name][:-1]},
        {k: v for k, v in state.items() if k != name},
        state | {name + "s": state[name]},
        state | {name: state[name] * float("nan")},
        state | {"_orig_mod." + name: state[name]},
    ):
        with pytest.raises(CheckpointError, match=rf"ckpt\.pt: .*{name}") as refused:
            load_checkpoint(rewritten(written, model=wrong))
        assert refused.value.code == "checkpoint-invalid"


ARGUMENTS = {"d_model": 24, "enc_heads": 4, "enc_num_layers": 2, "dec_heads": 3, "dec_num_layers": 2, "dropout": 0.0}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({k: v for k, v in ARGUMENTS.items() if k != "dec_heads"}, "model_args has no dec_heads"),
        (ARGUMENTS | {"rotary": 1}, "model_args has rotary, which is not known"),
        (ARGUMENTS | {"d_model": "24"}, "d_model is '24'"),
        (ARGUMENTS | {"enc_heads": True}, "enc_heads is True"),
        (ARGUMENTS | {"enc_heads": 5}, "encoder_heads is 5, allowed: a divisor of d_model = 24"),
        (ARGUMENTS | {"enc_num_layers": 3}, r"encoder\.layers\.2\.\S+ has shape missing"),
        (ARGUMENTS | {"d_model": 48}, r"has shape \(1, 65, 24\)|has shape"),
        ([24, 4], "model_args is a list"),
    ],
)
def test_arguments_that_make_no_model_are_named(written: Path, arguments: Any, named: str) -> None:
    with pytest.raises(CheckpointError, match=named) as refused:
        load_checkpoint(rewritten(written, model_args=arguments))
    assert refused.value.code == "checkpoint-invalid"


def test_a_model_that_is_no_state_dictionary_is_refused(written: Path) -> None:
    for model in ([1, 2], {"encoder": 3}):
        with pytest.raises(CheckpointError, match="not a dictionary of tensors"):
            load_checkpoint(rewritten(written, model=model))
