"""Checkpoints keep everything, run nothing, and say what is wrong with a bad one."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bandrt.files import file_sha256
from bandrt.manifest import BandRule, TrainingDomain
from bandrt.recipe import Recipe
from bandrt_train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, weights_sha256
from bandrt_train.model.bandformer import Bandformer
from bandrt_train.model.graphs import to_batch
from tests.support.small_models import RECIPE, SMALL, perturbed, real_features

TRAINING = TrainingDomain(
    n_crystals=12, elements=("O", "Si"), max_atoms=9, functional="PBE", metrics={"validation/energy_mae": 0.5}
)


def save(path: Path, model: Bandformer, **changes: Any) -> str:
    known = {"config": model.config, "recipe": RECIPE, "bands": BandRule(), "training": TRAINING, "metrics": {"epoch": 3.0}}
    return save_checkpoint(path, model=model, **(known | changes))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model.ckpt"
    save(path, perturbed())
    return path


def changed(path: Path, **changes: Any) -> Path:
    content = torch.load(path, weights_only=True)
    torch.save(content | changes, path)
    return path


def test_weights_are_the_same_to_the_last_bit_or_others() -> None:
    model = perturbed()
    digest = weights_sha256(model.state_dict())
    assert weights_sha256(dict(reversed(model.state_dict().items()))) == digest
    name, tensor = next((name, one) for name, one in model.state_dict().items() if one.is_floating_point())
    moved = torch.nextafter(tensor, torch.full_like(tensor, torch.inf))
    for other in ({name: moved}, {name: tensor.double()}, {name: tensor.unsqueeze(0)}, {"another": tensor}):
        assert weights_sha256(model.state_dict() | other) != digest
    number, half = torch.tensor(3), torch.ones(2, dtype=torch.bfloat16)
    assert weights_sha256({"one": number, "other": half}) != weights_sha256({"one": number, "other": 2 * half})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "run" / "model.ckpt"
    model = perturbed(replace(SMALL, node_features="elemental", edge_values=True))
    sha256 = save(path, model)
    checkpoint = load_checkpoint(path)
    assert checkpoint.config == model.config
    assert checkpoint.recipe == RECIPE
    assert checkpoint.bands == BandRule()
    assert checkpoint.training == TRAINING
    assert checkpoint.metrics == {"epoch": 3.0}
    assert checkpoint.sha256 == sha256 == file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    batch = to_batch(real_features()[:4])
    with torch.no_grad():
        assert torch.equal(checkpoint.build_model()(batch).energies, model(batch).energies)
    assert os.listdir(path.parent) == ["model.ckpt"]


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(trace),)

    for name, write in (("torch.ckpt", torch.save), ("pickle.ckpt", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        write({"kind": "bandrt checkpoint", "state": Malicious()}, tmp_path / name)
        with pytest.raises(CheckpointError, match=name) as refused:
            load_checkpoint(tmp_path / name)
        assert refused.value.code == "checkpoint-invalid"
    assert not trace.exists()


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"PK\x03\x04 broken", b"\x80\x02."], ids=["empty", "text", "zip", "pickle"]
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.ckpt") as refused:
        load_checkpoint(path)
    assert refused.value.code == "checkpoint-invalid"


def test_a_truncated_checkpoint_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-2000])
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(saved)
    assert refused.value.code == "checkpoint-invalid"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file") as refused:
        load_checkpoint(tmp_path / "absent.ckpt")
    assert refused.value.code == "checkpoint-not-found"


def test_other_torch_files_are_refused(saved: Path) -> None:
    torch.save({"model": {}, "iter_num": 7}, saved)
    with pytest.raises(CheckpointError, match="not a bandrt checkpoint"):
        load_checkpoint(saved)


def test_a_future_format_asks_for_an_update(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="update bandrt") as refused:
        load_checkpoint(changed(saved, format_version=99))
    assert refused.value.code == "checkpoint-version"


def test_an_unknown_key_in_the_description_is_named(saved: Path) -> None:
    text = torch.load(saved, weights_only=True)["description"]
    with pytest.raises(CheckpointError, match="n_layers"):
        load_checkpoint(changed(saved, description=text.replace('"d_model"', '"n_layers"')))
    with pytest.raises(CheckpointError, match="no_such_option"):
        load_checkpoint(changed(saved, description=text.replace('"recipe"', '"no_such_option"')))


def test_parameters_that_do_not_fit_the_configuration_are_named(saved: Path) -> None:
    state = torch.load(saved, weights_only=True)["state"]
    name = "encoder.layers.1.attention.query.weight"
    for wrong in (
        state | {name: state[name][:-1]},
        {k: v for k, v in state.items() if k != name},
        state | {name + "s": state[name]},
    ):
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(changed(saved, state=wrong))
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(changed(saved, state=state | {name: state[name] * float("nan")}))


def test_parts_that_do_not_describe_one_model_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="256"):
        save(tmp_path / "model.ckpt", perturbed(), recipe=Recipe())
    with pytest.raises(CheckpointError, match="8"):
        save(tmp_path / "model.ckpt", perturbed(), bands=BandRule(n_bands=8, n_valence=4))
    with pytest.raises(CheckpointError, match="d"):
        save(tmp_path / "model.ckpt", perturbed(), config=replace(SMALL, d_model=48))
    assert not list(tmp_path.iterdir())
