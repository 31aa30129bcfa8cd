"""`bandrt warm-up` compiles what a run needs, so that the run compiles nothing."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

import bandrt.engine.plan.compiled
from bandrt.cli import run
from bandrt.cli.progress import Progress
from bandrt.cli.runs import show_run
from bandrt.engine import open_session, read_manifest
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.session import OutOfMemoryError
from bandrt.engine.shapes import BatchShape, choose_shape
from bandrt.errors import OutputError, UsageError
from bandrt.manifest import Bucket, Profile
from bandrt.recipe import MeshRecipe
from bandrt.run.infer import InferOptions, infer
from bandrt.run.report import RunReport
from bandrt.run.warm_up import shapes_up_to, warm_up
from tests.support.random_batches import random_batch
from tests.support.simulated_onnxruntime import simulate

PLAN = Path("model.plan")


def test_a_run_over_the_same_inputs_compiles_nothing_more(machine: Any, mixed_folder: Path, tmp_path: Path) -> None:
    found = warm_up(machine.plan, [mixed_folder], batch_size=2)
    assert found.shapes == found.compiled == len(machine.trt.compiled) > 0
    assert found.kept == Path(f"{machine.plan}.nvidia-geforce-rtx-4090.compiled")
    assert found.kept.stat().st_size == found.kept_bytes
    machine.trt.compiled.clear()
    report = infer(mixed_folder, tmp_path / "out", InferOptions(engine=machine.plan, batch_size=2, workers=0))
    assert report.predicted == 3
    assert machine.trt.compiled == []
    infer(mixed_folder, tmp_path / "other", InferOptions(engine=machine.plan, batch_size=3, workers=0))
    assert machine.trt.compiled == [(4, 2)]  # a shape that the other batches did not have


def test_without_inputs_every_shape_up_to_a_size_is_ready(machine: Any) -> None:
    found = warm_up(machine.plan, max_atoms=6, batch_size=4)
    assert found.compiled == found.shapes == 18  # 1 to 6 atoms, 1, 2 and 4 crystals
    machine.trt.compiled.clear()
    with open_session(machine.plan) as session:
        for crystals in range(1, 5):
            for atoms in range(1, 7):
                session.run(random_batch(crystals, atoms))
        assert machine.trt.compiled == []
        session.run(random_batch(2, 7))
        assert machine.trt.compiled == [(2, 7)]
    again = warm_up(machine.plan, max_atoms=6, batch_size=4)
    assert (again.shapes, again.compiled) == (18, 0)


def test_a_prepared_shape_is_that_of_its_batches(machine: Any) -> None:
    manifest = read_manifest(machine.plan)
    for shape in shapes_up_to(manifest, None, 64, path=PLAN):
        assert choose_shape(manifest, shape.crystals, shape.atoms, shape.slots) == shape


def test_shapes_are_within_what_a_batch_holds_and_small_ones_come_first(machine: Any) -> None:
    profile = Profile(128, 64, None, (Bucket(1, 128, 1, 1), Bucket(1, 128, 2, 64)))
    shapes = shapes_up_to(dataclasses.replace(read_manifest(machine.plan), profile=profile), 128, 64, path=PLAN)
    assert len(shapes) == len(set(shapes))
    assert [shape.padded_atoms for shape in shapes] == sorted(shape.padded_atoms for shape in shapes)
    assert max(shape.padded_atoms for shape in shapes) <= 2048
    assert {shape.crystals for shape in shapes if shape.atoms == 128} == {1, 2, 4, 8, 16}
    assert shapes_up_to(dataclasses.replace(read_manifest(machine.plan), profile=profile), 999, 64, path=PLAN) == shapes


@pytest.mark.parametrize("what", ["mesh", "slots"])
def test_where_crystals_decide_on_more_than_atoms_they_have_to_be_named(machine: Any, what: str) -> None:
    manifest = read_manifest(machine.plan)
    if what == "mesh":
        manifest = dataclasses.replace(manifest, recipe=dataclasses.replace(manifest.recipe, mesh=MeshRecipe()))
    else:
        manifest = dataclasses.replace(manifest, profile=dataclasses.replace(manifest.profile, max_slots=128))
    with pytest.raises(UsageError, match=r"bandrt warm-up model.plan PATH") as caught:
        shapes_up_to(manifest, 8, 64, path=PLAN)
    assert caught.value.code == "warm-up-needs-crystals"


def test_a_shape_that_does_not_fit_is_told_and_the_others_are_ready(
    machine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare = PlanSession.prepare

    def short(session: PlanSession, shape: BatchShape) -> bool:
        if shape.padded_atoms > 16:
            raise OutOfMemoryError("no memory")
        return prepare(session, shape)

    monkeypatch.setattr(PlanSession, "prepare", short)
    assert run(["warm-up", str(machine.plan), "--max-atoms", "6", "--batch-size", "4"]) == 0
    printed = capsys.readouterr().out
    assert "18 shapes, 16 compiled in " in printed
    assert "0 were ready, 2 do not fit into memory" in printed


def test_the_command_says_what_it_did_and_where_it_is_kept(machine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["warm-up", str(machine.plan), "--max-atoms", "3", "--batch-size", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{machine.plan} on cuda:0: 6 shapes, 6 compiled in ")
    assert second == f"{machine.plan}.nvidia-geforce-rtx-4090.compiled: 0.0 MB"
    assert run(["warm-up", str(machine.plan), "--max-atoms", "3", "--batch-size", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["shapes"], said["compiled"], said["nothing"]) == (6, 0, None)


def test_an_engine_that_compiles_nothing_says_so(
    machine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["warm-up", str(machine.engine)]) == 0
    assert capsys.readouterr().out.endswith("nothing to warm up: ONNX Runtime compiles nothing on the CPU\n")
    manifest = read_manifest(machine.plan)
    full = dataclasses.replace(manifest, backend=dataclasses.replace(manifest.backend, name="tensorrt"))
    sidecar(machine.plan).write_text(manifest_text(full), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "tensorrt", machine.trt)
    assert run(["warm-up", str(machine.plan), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nothing"].startswith("a plan of full TensorRT holds its kernels")


@pytest.mark.parametrize(
    ("device", "said"),
    [("cuda", "compiles nothing on cuda:0; a run captures"), ("tensorrt", "when it is opened, as it was just now")],
)
def test_an_onnx_engine_on_a_gpu_says_what_compiles_when(
    machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, said: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    simulate(monkeypatch, machine.gpu)
    nothing = warm_up(machine.engine, device=device).nothing
    assert nothing is not None
    assert said in nothing


def test_a_folder_that_cannot_be_written_is_found_out_before_the_work(machine: Any) -> None:
    file = Path(f"{machine.plan}.nvidia-geforce-rtx-4090.compiled")
    file.mkdir()
    with pytest.raises(OutputError):
        warm_up(machine.plan, max_atoms=3)
    assert machine.trt.compiled == []


def test_what_was_compiled_before_a_request_to_stop_is_kept(machine: Any) -> None:
    def stop(done: int, total: int, shape: BatchShape | None) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warm_up(machine.plan, max_atoms=6, batch_size=4, on_shape=stop)
    assert warm_up(machine.plan, max_atoms=6, batch_size=4).compiled == 14


def test_progress_says_what_is_compiled(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.cli.progress.LOG_SECONDS", -1.0)
    with Progress("crystals") as progress:
        show_run(progress, RunReport(compiling="64 crystals of 16 atoms"))
        show_run(progress, RunReport(predicted=1, seconds={"wall": 2.0}, compiling="64 crystals of 16 atoms"))
        show_run(progress, RunReport(predicted=1, seconds={"wall": 2.0}))
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.endswith("0 failed, compiling for 64 crystals of 16 atoms")
    assert second.endswith("0.5 crystals/s, compiling for 64 crystals of 16 atoms")
    assert third.endswith("0.5 crystals/s")


def test_a_run_tells_what_is_compiled_while_it_waits(
    machine: Any, mixed_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine compiles until the run has said so."""
    from threading import Event

    from tests.support.simulated_tensorrt import SimulatedContext

    told = Event()
    compile_ = SimulatedContext._compile

    def slow(context: SimulatedContext) -> None:
        assert told.wait(60)
        compile_(context)

    def show(report: RunReport) -> None:
        if report.compiling:
            told.set()

    monkeypatch.setattr(SimulatedContext, "_compile", slow)
    monkeypatch.setattr("bandrt.run.pipeline.TICK_SECONDS", 0.01)
    caplog.set_level(logging.WARNING)
    report = infer(mixed_folder, tmp_path / "out", InferOptions(engine=machine.plan, workers=0), on_progress=show)
    assert told.is_set()
    assert report.predicted == 3
    assert report.compiling is None
    assert bandrt.engine.plan.compiled.MAGIC in Path(f"{machine.plan}.nvidia-geforce-rtx-4090.compiled").read_bytes()
