"""A model repository for Triton: what its configurations say, what the model in Python does, and a real server that answers."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt import Prediction
from bandrt.cli import run
from bandrt.contract import BAND_ENERGIES, HAMILTONIAN_NAMES, INVERSION
from bandrt.engine import SHIPPED_ENGINES, engine_sha256, read_manifest
from bandrt.engine.calibration_file import calibration_path
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.errors import OutputError, UsageError
from bandrt.files import file_sha256
from bandrt.manifest import Backend, Bucket, Manifest, Profile
from bandrt.triton import answers, serve
from bandrt_export import triton
from bandrt_export.triton_model import Lost, TritonPythonModel
from tests.support import triton_server

TOLERANCE_EV = 1e-5
"""What answers of a server may differ by from `bandrt infer`: batches add in another order, and answers have six decimals."""
SERVER, WHY_NOT = triton_server.found()


def tensors(config: str, what: str) -> dict[str, str]:
    """What a configuration says of each input or output, by name."""
    [inside] = re.findall(rf"^{what} \[\n(.*?)\n\]", config, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r'\{ name: "(\w+)" (.*?) \},?$', inside, re.MULTILINE))


@pytest.fixture(scope="module")
def fast() -> Manifest:
    return read_manifest(SHIPPED_ENGINES["fast"])


@pytest.fixture
def text(examples: Path) -> str:
    return (examples / "AlAs_mp-2172.cif").read_text(encoding="utf-8")


def test_an_engine_that_ships_is_written_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "shipped", "--triton", str(tmp_path / "models")]) == 0
    assert "models bandrt (texts of CIFs to JSON) and bandrt_arrays" in capsys.readouterr().out
    files = {path.relative_to(tmp_path / "models").as_posix(): path for path in (tmp_path / "models").rglob("*") if path.is_file()}
    model = "bandrt_arrays/1/model.onnx"
    assert set(files) == {
        *("bandrt/config.pbtxt", "bandrt/1/model.py", "bandrt_arrays/config.pbtxt", model, f"{model}.calibration.json"),
    }
    shipped = SHIPPED_ENGINES["accurate"]
    assert files[model].read_bytes() == shipped.read_bytes()
    assert calibration_path(files[model]).read_bytes() == calibration_path(shipped).read_bytes()
    config = files["bandrt/config.pbtxt"].read_text(encoding="utf-8")
    assert f'key: "python" value: {{ string_value: "{sys.executable}" }}' in config
    assert f'key: "engine_sha256" value: {{ string_value: "{file_sha256(shipped)}" }}' in config
    assert (tmp_path / "models" / "bandrt" / "../bandrt_arrays/1/model.onnx").is_file()


def test_arrays_have_the_types_and_sizes_of_the_contract(fast: Manifest) -> None:
    config = triton.arrays_config(fast, "model.onnx")
    inputs, outputs = tensors(config, "input"), tensors(config, "output")
    assert tuple(inputs) == fast.inputs
    assert inputs["atomic_numbers"] == "data_type: TYPE_INT32 dims: [ -1 ]"
    assert inputs["neighbor_mask"] == "data_type: TYPE_BOOL dims: [ -1, 32 ]"
    assert inputs["kpoints"] == "data_type: TYPE_FP32 dims: [ 256, 3 ]"
    assert outputs[BAND_ENERGIES] == "data_type: TYPE_FP32 dims: [ 6, 256 ]"
    assert outputs["uncertainty_ev"] == "data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] }"
    assert "max_batch_size: 64" in config
    assert "dynamic_batching" in config
    assert 'backend: "onnxruntime"' in config


def test_a_hamiltonian_that_the_runtime_solves_is_what_its_model_gives() -> None:
    config = triton.arrays_config(read_manifest(SHIPPED_ENGINES["accurate"]), "model.onnx")
    *most, uncertainty = HAMILTONIAN_NAMES
    assert tuple(tensors(config, "output")) == (*most, "overlaps", uncertainty)


def test_inputs_of_some_crystals_of_a_batch_cannot_be_batched_by_a_server(fast: Manifest) -> None:
    config = triton.arrays_config(dataclasses.replace(fast, inputs=(*fast.inputs, *INVERSION)), "model.onnx")
    assert "max_batch_size: 0" in config
    assert "dynamic_batching" not in config
    assert tensors(config, "input")["inversion_image"] == "data_type: TYPE_INT32 dims: [ -1, -1, 3 ]"


def test_a_plan_names_its_profiles_and_runs_on_a_gpu(fast: Manifest) -> None:
    profile = Profile(max_atoms=24, max_batch=8, buckets=(Bucket(1, 6, 1, 1), Bucket(1, 6, 2, 8), Bucket(7, 24, 1, 4)))
    manifest = dataclasses.replace(fast, profile=profile, backend=Backend("tensorrt", "10.9", 20, ("sm90",)))
    config = triton.arrays_config(manifest, "model.plan")
    assert 'instance_group [ { kind: KIND_GPU count: 1 profile: [ "0", "1", "2" ] } ]' in config
    assert "max_batch_size: 8" in config
    assert 'backend: "tensorrt"' in config
    assert "kind: KIND_GPU" in triton.crystals_config(manifest, "../bandrt_arrays/1/model.plan", "python3", sha256="")


def test_a_plan_is_named_as_the_server_will_know_it(tmp_path: Path, fast: Manifest) -> None:
    """By plan and manifest together, as `bandrt.Engine.sha256` is, which the process on the server compares."""
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"a plan")
    profile = Profile(max_atoms=24, max_batch=8, buckets=(Bucket(1, 24, 1, 8),))
    backend = Backend("tensorrt", "10.9", 20, ("sm90",), file_sha256=file_sha256(plan))
    sidecar(plan).write_text(manifest_text(dataclasses.replace(fast, profile=profile, backend=backend, calibration=None)))
    triton.write(plan, tmp_path / "models")
    there = tmp_path / "models" / triton.ARRAYS / "1" / "model.plan"
    config = (tmp_path / "models" / triton.CRYSTALS / triton.CONFIG).read_text(encoding="utf-8")
    assert engine_sha256(there) != file_sha256(there)
    assert engine_sha256(there) in config


def test_a_plan_that_triton_cannot_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: Manifest) -> None:
    manifest = dataclasses.replace(fast, backend=Backend("tensorrt-rtx", "1.7", 20, ("sm89",)))
    monkeypatch.setattr("bandrt_export.triton.read_manifest", lambda path: manifest)
    with pytest.raises(UsageError) as refused:
        triton.write(tmp_path / "model.plan", tmp_path / "models")
    assert refused.value.code == "triton-backend"
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "-o, or a model repository with --triton"),
        (["-o", "a.onnx", "--triton", "models"], "-o, or a model repository with --triton"),
        (["-o", "a.onnx", "--python", "python3"], "--python is for --triton"),
        (["--triton", "models", "--backend", "tensorrt-rtx"], "Triton runs no plans of tensorrt-rtx"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export", "fast", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_replaced_on_request_alone_and_other_models_stay(tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    engine = SHIPPED_ENGINES["fast"]
    triton.write(engine, tmp_path)
    with pytest.raises(OutputError) as refused:
        triton.check(tmp_path, overwrite=False)
    assert refused.value.code == "output-exists"
    triton.check(tmp_path, overwrite=True)
    assert triton.write(engine, tmp_path, python="python3").kept == ()
    assert {path.name for path in tmp_path.iterdir()} == {"another", "bandrt", "bandrt_arrays"}
    assert 'string_value: "python3"' in (tmp_path / "bandrt" / "config.pbtxt").read_text(encoding="utf-8")


def test_of_a_model_version_1_alone_is_replaced(tmp_path: Path) -> None:
    engine = SHIPPED_ENGINES["fast"]
    triton.write(engine, tmp_path)
    arrays = tmp_path / "bandrt_arrays"
    stay = [
        arrays / "2" / "model.onnx",
        arrays / "1" / "notes.txt",
        *(tmp_path / "bandrt" / name for name in ("1/model.onnx", "3/model.py")),
    ]
    go = [arrays / "1" / name for name in ("model.plan", "model.plan.json", "model.plan.calibration.json")]
    for path in (*stay, *go):
        path.parent.mkdir(exist_ok=True)
        path.write_text("earlier", encoding="utf-8")
    (arrays / "1" / "model.onnx").write_text("damaged", encoding="utf-8")
    triton.write(engine, tmp_path)
    assert all(path.read_text(encoding="utf-8") == "earlier" for path in stay)
    assert not any(path.exists() for path in go), "of an engine that is there no more"
    assert (arrays / "1" / "model.onnx").read_bytes() == engine.read_bytes()


def test_a_model_is_there_until_the_next_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    triton.write(SHIPPED_ENGINES["fast"], tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def failing(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("bandrt_export.triton.shutil.copyfileobj", failing)
    with pytest.raises(OSError, match="disk full"):
        triton.write(SHIPPED_ENGINES["accurate"], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_configuration_that_was_edited_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "fast", "--triton", str(tmp_path), "--overwrite"]
    assert run(command) == 0
    config = tmp_path / "bandrt" / "config.pbtxt"
    edited = config.read_text(encoding="utf-8").replace("KIND_CPU", "KIND_GPU")
    config.write_text(edited, encoding="utf-8")
    capsys.readouterr()
    assert run(command) == 0
    assert (
        capsys.readouterr().err
        == f"note: {config} was edited; it is kept as config.pbtxt.before, and the new one has none of its changes\n"
    )
    assert "KIND_CPU" in config.read_text(encoding="utf-8")
    assert run(command) == 0
    assert capsys.readouterr().err == ""
    assert config.with_name("config.pbtxt.before").read_text(encoding="utf-8") == edited


def test_an_interpreter_that_is_not_on_this_machine_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "fast", "--triton", str(tmp_path), "--python", "/opt/nosuch/python"]) == 0
    assert capsys.readouterr().err == "note: there is no /opt/nosuch/python on this machine; the server needs one, with bandrt\n"


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_model_is_never_replaced(kind: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / "cli.py"
    kept.parent.mkdir()
    kept.write_text("mine", encoding="utf-8")
    there = tmp_path / "models" / "bandrt"
    there.parent.mkdir()
    if kind == "folder":
        kept = kept.parent.rename(there) / "cli.py"
    elif kind == "file":
        kept = kept.rename(there)
    else:
        there.symlink_to(kept.parent)
    with pytest.raises(OutputError) as refused:
        triton.check(there.parent, overwrite=True)
    assert refused.value.code == "output-foreign"
    assert kept.read_text(encoding="utf-8") == "mine"


def test_a_name_with_quotes_stays_one_text_of_the_configuration() -> None:
    manifest = read_manifest(SHIPPED_ENGINES["fast"])
    assert r'string_value: "a\\b\"c/python"' in triton.crystals_config(manifest, "model.onnx", r'a\b"c/python', sha256="")


def test_a_checkpoint_is_exported_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exported(source: Path, out: Path, choices: Any, *, quiet: bool) -> Manifest:
        assert choices.precision == "fp16"
        out.write_bytes(SHIPPED_ENGINES["fast"].read_bytes())
        return read_manifest(out)

    monkeypatch.setattr("bandrt_export.cli.export._export_onnx", exported)
    assert run(["export", "fast", "--precision", "fp16", "--triton", str(tmp_path / "models"), "--quiet"]) == 0
    assert (tmp_path / "models" / "bandrt_arrays" / "1" / "model.onnx").is_file()


def test_an_answer_is_json_with_bands_or_an_error(text: str) -> None:
    with bandrt.load("fast", threads=1) as engine:
        given = [text, "/etc/hostname", None]
        found, path, nothing = map(json.loads, answers(engine, given))
        [result] = engine.predict([text])
        out = io.StringIO()
        serve(engine, io.StringIO(json.dumps([text, "nonsense"]) + "\n[]\n" + json.dumps([text]) + "\n"), out)
    assert isinstance(result, Prediction)
    bands = result.band_structure
    assert next(iter(found)) == "formula"
    assert found["band_gap_ev"] == pytest.approx(bands.band_gap, abs=TOLERANCE_EV)
    assert found["uncertainty_ev"] == pytest.approx(result.uncertainty_ev, abs=TOLERANCE_EV)
    np.testing.assert_allclose(found["bands"]["energies"], bands.energies, atol=TOLERANCE_EV)
    assert tuple(found["bands"]["labels"]) == bands.labels
    assert path["error"] == "not-a-crystal", "a text is never a path"
    assert (nothing["error"], nothing["error_message"]) == ("no-cif-column", "crystal: has no text of a crystal")
    opened, *lines = (json.loads(line) for line in out.getvalue().splitlines())
    assert [line.get("formula", line.get("error")) for line in lines] == ["AlAs", "not-a-crystal", "AlAs"]
    assert {line["engine_sha256"] for line in (opened, found, path, nothing, *lines)} == {file_sha256(SHIPPED_ENGINES["fast"])}


class Tensor:
    """A tensor as the backend has it."""

    def __init__(self, name: str, values: Any) -> None:
        self.name, self.values = name, values

    def as_numpy(self) -> Any:
        return self.values


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that Triton's backend brings, as far as the model uses it."""
    module = SimpleNamespace(
        Tensor=Tensor, InferenceResponse=lambda tensors: tensors, get_input_tensor_by_name=lambda request, name: request[name]
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)


def started(
    python: Path | str, folder: Path, engine: Path, *, kind: str = "CPU", timeout: str = "60", sha256: str = ""
) -> TritonPythonModel:
    parameters = {"engine": str(engine), "engine_sha256": sha256, "python": str(python), "threads": "1", "timeout": timeout}
    config = {"parameters": {name: {"string_value": value} for name, value in parameters.items()}}
    model = TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(config),
            "model_repository": str(folder),
            "model_instance_kind": kind,
            "model_instance_device_id": "0",
        }
    )
    return model


def request(*texts: str) -> dict[str, Tensor]:
    return {"cif": Tensor("cif", np.array([[text.encode()] for text in texts], dtype=object))}


def responses(model: TritonPythonModel, *requests: dict[str, Tensor]) -> list[list[Any]]:
    found = model.execute(requests)
    assert all(tensor.name == "json" for [tensor] in found)
    assert [tensor.values.shape for [tensor] in found] == [given["cif"].values.shape for given in requests]
    return [[json.loads(one) for one in tensor.values[:, 0]] for [tensor] in found]


@pytest.mark.usefixtures("stand_in")
def test_requests_are_answered_together_each_with_its_own(tmp_path: Path, text: str) -> None:
    fast = SHIPPED_ENGINES["fast"]
    model = started(sys.executable, tmp_path, fast, sha256=file_sha256(fast))
    first, second = responses(model, request(text, "nonsense"), request(text))
    assert [one.get("formula", one.get("error")) for one in (*first, *second)] == ["AlAs", "not-a-crystal", "AlAs"]
    model.finalize()


FRAGILE = """#!{python}
import json, os, sys
def count(what):  # how often there was such a one
    with open({folder!r} + "/" + what, "a+") as file:
        file.write(".")
        return file.tell()
count("starts")
if os.path.exists({folder!r} + "/away"):
    sys.exit(1)
print(json.dumps({{"engine_sha256": "abc"}}), flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    for text in texts:
        if text == "deadly" or text == "deadly once" and count("deaths") == 1:
            sys.exit(9)
        if text == "endless" or text == "slow in company" and len(texts) > 1:
            sys.stdin.read()
        print(json.dumps({{"read": text, "of": len(texts)}}), flush=True)
"""


@pytest.fixture
def fragile(tmp_path: Path, stand_in: None) -> Path:
    """A program in the place of the interpreter: it reads a text back, or ends, or does not go on, as the text says."""
    program = tmp_path / "fragile"
    program.write_text(FRAGILE.format(python=sys.executable, folder=str(tmp_path)), encoding="utf-8")
    program.chmod(0o755)
    return program


def said(model: TritonPythonModel, *texts: str) -> list[str]:
    """Of each text what was read, or the error."""
    [answered] = responses(model, request(*texts))
    return [one.get("read", one.get("error")) for one in answered]


def killed(model: TritonPythonModel) -> None:
    """Kill the process that predicts, as a system does that wants memory."""
    assert model._process is not None
    model._process.kill()
    os.waitid(os.P_PID, model._process.pid, os.WEXITED | os.WNOWAIT)


def test_a_crystal_that_kills_the_process_costs_itself_alone(tmp_path: Path, fragile: Path) -> None:
    model = started(fragile, tmp_path, tmp_path / "model.onnx")
    assert said(model, "a", "deadly", "b") == ["a", "crashed", "b"]
    assert said(model, "c") == ["c"]
    model.finalize()


def test_a_crystal_whose_process_is_killed_by_others_is_asked_again(tmp_path: Path, fragile: Path) -> None:
    model = started(fragile, tmp_path, tmp_path / "model.onnx")
    killed(model)
    assert said(model, "a") == ["a"], "between requests"
    assert said(model, "deadly once") == ["deadly once"], "during one"
    model.finalize()
    assert (tmp_path / "starts").read_text() == "..."


def test_a_process_that_could_not_be_started_once_is_started_by_the_next_request(tmp_path: Path, fragile: Path) -> None:
    model = started(fragile, tmp_path, tmp_path / "model.onnx")
    killed(model)
    (tmp_path / "away").touch()
    for _ in range(2):
        with pytest.raises(Lost, match="ended; why stands above in the log"):
            responses(model, request("a"))
    model.finalize()
    (tmp_path / "away").unlink()
    assert said(model, "a") == ["a"]
    model.finalize()


def test_a_crystal_that_never_ends_is_given_up(tmp_path: Path, fragile: Path) -> None:
    model = started(fragile, tmp_path, tmp_path / "model.onnx", timeout="0.5")
    [[answered]] = responses(model, request("endless"))
    assert answered == {
        "error": "timed-out",
        "error_message": "the process that predicted this crystal did not answer within 0.5 s",
        "engine_sha256": "abc",
    }
    model.finalize()


def test_a_crystal_that_never_ends_costs_itself_alone(tmp_path: Path, fragile: Path) -> None:
    model = started(fragile, tmp_path, tmp_path / "model.onnx", timeout="0.5")
    [answered] = responses(model, request("a", "endless", "b", "endless"))
    assert [one.get("of", one.get("error")) for one in answered] == [4, "timed-out", 1, "timed-out"]
    assert answered[1]["error_message"].endswith("did not answer within 0.5 s"), "the limit is that of a crystal, not of a batch"
    model.finalize()


def test_whether_a_crystal_is_given_up_does_not_depend_on_those_beside_it(tmp_path: Path, fragile: Path) -> None:
    model = started(fragile, tmp_path, tmp_path / "model.onnx", timeout="0.5")
    assert said(model, "slow in company", "a") == said(model, "slow in company") + said(model, "a")
    model.finalize()


def test_a_process_that_does_not_start_is_an_error_of_the_server(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Lost, match="ended; why stands above in the log"):
        started(sys.executable, tmp_path, tmp_path / "nosuch.onnx", kind="GPU")
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("error [engine-not-found]: ")


def test_an_engine_that_is_not_the_one_of_the_configuration_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Lost, match="ended; why stands above in the log"):
        started(sys.executable, tmp_path, SHIPPED_ENGINES["fast"], sha256="0" * 64)
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("error [engine-changed]: ")
    assert f"(sha256 {file_sha256(SHIPPED_ENGINES['fast'])[:12]}, expected 000000000000)" in line


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the repository that `bandrt export fast --triton` writes."""
    if SERVER is None:
        pytest.skip(WHY_NOT)
    repository, scratch = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("server")
    triton.write(SHIPPED_ENGINES["fast"], repository)
    with triton_server.serving(SERVER, repository, triton.CRYSTALS, scratch) as address:
        yield address


def test_a_real_server_answers_with_the_energies_of_infer(
    address: str, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    http = pytest.importorskip("tritonclient.http", reason="the client of Triton is not installed", exc_type=ImportError)
    files = [examples / f"{name}.cif" for name in ("AlAs_mp-2172", "Al2O3_mp-1143", "CdTe_mp-406")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    assert run(["infer", *map(str, files), "-o", str(tmp_path / "bands"), "--engine", "fast", "--threads", "1", "--quiet"]) == 0
    inferred = list(bandrt.read(tmp_path / "bands"))
    with http.InferenceServerClient(address) as client:
        given = http.InferInput("cif", [4, 1], "BYTES")
        given.set_data_from_numpy(np.array([[text] for text in (*texts, "nonsense")], dtype=object))
        found = [json.loads(one) for one in client.infer(triton.CRYSTALS, [given]).as_numpy("json")[:, 0]]
    assert found[3]["error"] == "not-a-crystal"
    for answer, prediction in zip(found, inferred, strict=False):
        assert answer["formula"] == prediction.crystal.formula
        assert answer["band_gap_ev"] == pytest.approx(prediction.band_structure.band_gap, abs=TOLERANCE_EV)
        np.testing.assert_allclose(answer["bands"]["energies"], prediction.band_structure.energies, atol=TOLERANCE_EV)
