"""A plan is read with neither TensorRT nor a GPU, and refused in one sentence that says what is wrong and what to do."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bandrt.cli import run
from bandrt.engine import engine_sha256, has_checksum, open_session, read_manifest
from bandrt.engine.cuda_driver import Driver, find_driver
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.errors import BandrtError, EngineError, ManifestError
from bandrt.manifest import Backend, Bucket, Manifest, Profile

MAX_SECONDS = 2.0
"""From a cold start to the sentence that says why a plan does not run."""
CONTENT = b"a plan"
PROFILE = Profile(max_atoms=40, max_batch=8, buckets=(Bucket(1, 16, 1, 1), Bucket(1, 16, 2, 8), Bucket(17, 40, 1, 1)))


@pytest.fixture
def manifest(tiny_engine: Path) -> Manifest:
    """What lies beside the plan."""
    backend = Backend("tensorrt-rtx", "1.7.1", 20, ("sm89", "sm120"), file_sha256=hashlib.sha256(CONTENT).hexdigest())
    return dataclasses.replace(read_manifest(tiny_engine), precision="fp16", profile=PROFILE, backend=backend)


@pytest.fixture
def plan(manifest: Manifest, tmp_path: Path) -> Path:
    """A file that passes for a plan, with its manifest."""
    path = tmp_path / "model.plan"
    path.write_bytes(CONTENT)
    sidecar(path).write_text(manifest_text(manifest), encoding="utf-8")
    return path


def refused(kind: type[BandrtError], code: str, path: Path) -> str:
    for opened in (open_session, read_manifest):
        with pytest.raises(kind) as caught:
            opened(path)
        assert caught.value.code == code
    message = caught.value.message
    assert "\n" not in message
    assert f"bandrt export CKPT -o {path} --backend tensorrt-rtx" in message
    return message


def test_the_manifest_lies_beside_the_plan_and_reads_back_equal(plan: Path, manifest: Manifest) -> None:
    assert sidecar(plan).name == "model.plan.json"
    assert read_manifest(plan) == manifest


def test_a_plan_without_its_manifest_is_refused(plan: Path) -> None:
    sidecar(plan).unlink()
    assert "model.plan.json is not beside it" in refused(ManifestError, "manifest-missing", plan)


def test_a_plan_that_changed_is_refused(plan: Path) -> None:
    plan.write_bytes(CONTENT[:-1])
    message = refused(EngineError, "plan-changed", plan)
    assert hashlib.sha256(CONTENT).hexdigest()[:12] in message


def test_a_manifest_that_can_not_be_read_as_text_is_refused(plan: Path) -> None:
    sidecar(plan).write_bytes(b"\xff\xfe{")
    refused(ManifestError, "manifest-invalid", plan)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recipe.graph.cutoff", 3.0), ("bands.n_valence", 2), ("recipe.kpath.n_kpoints", 7), ("training.elements", ["H"]),
        ("profile.max_atoms", 41), ("content_sha256", "0" * 64), ("content_sha256", 5),
    ],
)  # fmt: skip
def test_a_manifest_that_is_not_as_it_was_written_is_refused(plan: Path, path: str, value: object) -> None:
    values = json.loads(sidecar(plan).read_text(encoding="utf-8"))
    *way, last = path.split(".")
    inner = values
    for name in way:
        inner = inner[name]
    assert inner[last] != value
    inner[last] = value
    sidecar(plan).write_text(json.dumps(values), encoding="utf-8")
    for opened in (open_session, read_manifest):
        with pytest.raises(ManifestError, match=r"model\.plan\.json: the manifest is damaged or was changed") as caught:
            opened(plan)
        assert caught.value.code == "manifest-invalid"


def test_how_a_manifest_is_laid_out_changes_nothing(plan: Path, manifest: Manifest) -> None:
    before = engine_sha256(plan)
    values = json.loads(sidecar(plan).read_text(encoding="utf-8"))
    sidecar(plan).write_text(json.dumps(dict(reversed(values.items()))), encoding="utf-8")
    assert read_manifest(plan) == manifest
    assert engine_sha256(plan) == before


def test_which_engine_a_plan_is_its_manifest_decides_too(plan: Path, manifest: Manifest) -> None:
    before = engine_sha256(plan)
    sidecar(plan).write_text(manifest.to_json(), encoding="utf-8")
    assert engine_sha256(plan) == before  # a manifest without a checksum, as earlier versions wrote it, says the same
    changed = dataclasses.replace(manifest, training=dataclasses.replace(manifest.training, max_atoms=1))
    for text in (manifest_text(changed), changed.to_json()):
        sidecar(plan).write_text(text, encoding="utf-8")
        assert read_manifest(plan) == changed
        assert engine_sha256(plan) != before


def test_whether_the_manifest_has_a_checksum_is_told(plan: Path, manifest: Manifest) -> None:
    assert has_checksum(plan)
    sidecar(plan).write_text(manifest.to_json(), encoding="utf-8")
    assert read_manifest(plan) == manifest
    assert not has_checksum(plan)


def test_the_manifest_of_an_onnx_file_is_not_that_of_a_plan(plan: Path, tiny_engine: Path) -> None:
    sidecar(plan).write_text(manifest_text(read_manifest(tiny_engine)), encoding="utf-8")
    assert "not the manifest of a plan" in refused(ManifestError, "manifest-invalid", plan)


def test_a_manifest_of_another_format_is_refused_by_name(plan: Path, manifest: Manifest) -> None:
    values = json.loads(manifest.to_json()) | {"format_version": 7}
    sidecar(plan).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ManifestError, match=r"model\.plan\.json: manifest format 7, .* export the checkpoint again") as caught:
        open_session(plan)
    assert caught.value.code == "manifest-version"


def test_a_file_that_is_neither_onnx_nor_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.engine"
    path.touch()
    with pytest.raises(EngineError, match=r"\.engine is no model format known here; use \.onnx or \.plan"):
        read_manifest(path)


def test_infer_with_a_plan_and_no_driver_stops_at_once_in_one_sentence(plan: Path, mixed_folder: Path, tmp_path: Path) -> None:
    if isinstance(find_driver(), Driver):
        pytest.skip("this machine has an NVIDIA driver")
    out = tmp_path / "out"
    arguments = ["infer", "--engine", str(plan), str(mixed_folder), "-o", str(out)]
    command = [sys.executable, "-c", "import sys; from bandrt.cli import run; sys.exit(run(sys.argv[1:]))", *arguments]
    children = os.times().children_user + os.times().children_system
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    seconds = os.times().children_user + os.times().children_system - children  # of this process alone, however busy the machine
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("error [device-unavailable]: ")
    assert "no NVIDIA driver" in line
    assert not out.exists()
    assert seconds < MAX_SECONDS


def test_a_dry_run_reads_a_plan(plan: Path, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["infer", "--engine", str(plan), str(mixed_folder), "-o", str(tmp_path / "out"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == str(plan)


def test_inspect_says_what_a_plan_is(plan: Path, manifest: Manifest, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(plan)]) == 0
    text = capsys.readouterr().out
    for part in (
        "fp16",
        "tensorrt-rtx 1.7.1",
        "sm89, sm120",
        "1 to 16 atoms in batches of 2 to 8",
        "17 to 40 atoms in batches of 1",
    ):
        assert part in text
    assert run(["inspect", str(plan), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in said.pop("contract")["inputs"]] == list(manifest.inputs)
    assert said.pop("has_checksum")
    assert Manifest.from_json(json.dumps(said)) == manifest


def test_tensorrt_is_not_imported_to_refuse_or_to_inspect_a_plan(plan: Path) -> None:
    code = (
        "import sys; from bandrt.cli import run\n"
        f"assert run(['inspect', {str(plan)!r}]) == 0\n"
        "assert not {'tensorrt', 'tensorrt_rtx', 'onnxruntime', 'cuda'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
