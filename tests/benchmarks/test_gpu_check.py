"""The check of a GPU runs dry on the CPU, its stages run on a simulated GPU, and it says what it left out and what failed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpu_batches
import gpu_check
import gpu_layer
import gpu_pytorch
import gpu_roofline
import gpu_stages
import gpu_torch_graph
import gpu_whole
import numpy as np
import pytest
import torch
from click import BadParameter
from gpu_batches import Wanted
from torch import nn

from bandrt.engine import SHIPPED_ENGINES, open_session, read_manifest
from bandrt.engine.cuda_driver import Driver, Gpu
from bandrt.engine.session import Inputs
from bandrt.engine.shapes import most_crystals
from bandrt_export.plan.profiles import ATOMS_AT_ONCE, ATOMS_AT_ONCE_OF_HAMILTONIANS, CRYSTALS_OF_HAMILTONIANS, profile_of
from tests.support import stand_in_cuda_core

SCRIPT = Path(gpu_check.__file__)


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_the_dry_run_goes_the_whole_way_on_the_cpu(tmp_path: Path) -> None:
    output = tmp_path / "new" / "check.json"
    done = run_script("--dry", "-o", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text(encoding="utf-8"))
    assert list(found) == list(gpu_check.STAGES)
    skipped = {name for name, one in found.items() if one["status"] == "skipped"}
    assert skipped == {"layer", "plans"}
    assert all(one["status"] == "done" for name, one in found.items() if name not in skipped)
    environment = found["environment"]
    assert {"date", "python", "platform", "driver", "gpu", "packages", "engines"} <= set(environment)
    assert environment["packages"]["numpy"] == np.__version__
    assert all(one["crystals"] == one["distinct"] for one in found["batches"]["streams"]["streams"].values())
    assert found["rates"]["tflops"]["fp32"] > 0
    assert "at most" in found["roofline"]["2"]["H200"]["arithmetic"]
    assert found["torch"]["2 dense fp32"]["parity_ev"]["max"] < 1e-4
    assert found["torch"]["2 dense compiled fp32"]["graphs"] == 1
    assert found["onnxruntime"]["fast.onnx"]["streams"]["2"]["parity_ev"]["max"] == 0
    solver = found["accurate"]
    assert 0 < solver["torch"]["not captured"]["2"]["parity_ev"]["max"] < 1e-3
    assert 0 < solver["onnxruntime"]["streams"]["2"]["parity_ev"]["max"] < 1e-3
    assert solver["plan"] == {"status": "skipped", "reason": "dry run"}
    whole = found["run"]["fast.onnx"]
    assert whole["warm"]["predicted"] == whole["with compilation"]["predicted"] == 4


def test_what_one_call_leaves_serves_the_next_and_other_engines_are_refused(tmp_path: Path, machine: Any) -> None:
    work, output = tmp_path / "work", tmp_path / "check.json"
    arguments = ("--dry", "--work", str(work), "-o", str(output), "--stages", "batches", "--engine")
    for _ in range(2):
        done = run_script(*arguments, str(machine.engine))
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(output.read_text(encoding="utf-8"))["batches"]["streams"]["source"] == "prepared: streams.npz"
    refused = run_script(*arguments, str(SHIPPED_ENGINES["fast"]))
    assert refused.returncode == 2
    assert "made with another choice of engines" in refused.stderr
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    (prepared / "made-for.json").write_text(json.dumps({"engines": ["of others"]}))
    (prepared / "streams.npz").write_bytes(b"of others")
    before = (work / "streams.npz").read_bytes()
    refused = run_script(*arguments, str(machine.engine), "--prepared", str(prepared))
    assert "prepared: what lies here was made with another choice of engines" in refused.stderr
    assert (work / "streams.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("streams", "alone", "at_once", "together"),
    [
        (gpu_stages.STREAMS, True, ATOMS_AT_ONCE, 10**6),
        (gpu_stages.ACCURATE_STREAMS, False, ATOMS_AT_ONCE_OF_HAMILTONIANS, CRYSTALS_OF_HAMILTONIANS),
    ],
)
def test_every_stream_fits_the_plan_that_is_built_for_it(
    streams: tuple[Wanted, ...], alone: bool, at_once: int, together: int
) -> None:
    most, atoms = min(together, max(one.batch_size for one in streams)), max(one.atoms for one in streams)
    profile = profile_of(atoms, most, alone=alone, atoms_at_once=at_once)
    manifest = dataclasses.replace(read_manifest(SHIPPED_ENGINES["fast"]), profile=profile)
    assert all(one.batch_size <= (most_crystals(manifest, one.atoms) or 0) for one in streams)


def test_without_gemmi_moyopy_torch_and_onnxruntime_it_says_why_and_goes_on(tmp_path: Path, machine: Any) -> None:
    output = tmp_path / "check.json"
    missing = ("gemmi", "moyopy", "torch", "onnxruntime", "onnx", "tqdm")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    stages = "rates,roofline,torch,onnxruntime,run"
    arguments = ["--dry", "--engine", str(machine.engine), "--stages", stages, "-o", str(output)]
    paths = [str(tmp_path), *filter(None, sys.path)]
    environment = {"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text(encoding="utf-8"))
    assert "random numbers (" in found["batches"]["streams"]["source"]
    assert "needs onnxruntime" in found["batches"]["streams"]["expected"]
    assert found["rates"]["status"] == found["torch"]["status"] == found["run"]["status"] == "skipped"
    assert "onnx" in found["roofline"]["2"]["reason"]
    assert "needs onnxruntime" in found["onnxruntime"][machine.engine.name]["reason"]


def test_a_stage_beyond_its_limit_or_that_ends_its_process_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state.json"
    script = tmp_path / "stands_in.py"
    monkeypatch.setattr(gpu_check, "__file__", str(script))
    found = f"open({str(tmp_path / 'torch.json')!r}, 'w').write('{{\"by_then\": 1}}')"
    script.write_text(f"import time; {found}; time.sleep(600)", encoding="utf-8")
    late = gpu_check.in_process("torch", state, 3.0)
    assert (late["status"], late["by_then"]) == ("timed out", 1)
    script.write_text(f"import os; {found}; os.abort()", encoding="utf-8")
    crashed = gpu_check.in_process("torch", state, 60.0)
    assert (crashed["status"], crashed["by_then"]) == ("crashed", 1)
    assert gpu_stages.failed({"torch": late})
    assert gpu_stages.failed({"torch": crashed})


def test_the_json_is_written_after_every_stage_and_keeps_those_of_another_run_on_the_same_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, here = tmp_path / "check.json", {"gpu": "NVIDIA L4", "driver": None, "packages": {}, "engines": {}, "dry": False}
    seen: list[list[str]] = []

    def stands_in(name: str, state: Path, limit: float) -> dict[str, Any]:
        seen.append(list(json.loads(out.read_text(encoding="utf-8"))) if out.exists() else [])
        return {"status": "done"} | (here if name == "environment" else {})

    monkeypatch.setattr(gpu_check, "in_process", stands_in)
    check = gpu_stages.Check([SHIPPED_ENGINES["fast"]], [], tmp_path)
    gpu_check.run_all(check, gpu_check.chosen("rates"), 1.0, out)
    assert seen == [[], ["environment"], ["environment", "batches"]]
    gpu_check.run_all(check, gpu_check.chosen("torch"), 1.0, out)
    assert list(json.loads(out.read_text(encoding="utf-8"))) == ["environment", "batches", "rates", "torch"]
    here["gpu"] = "NVIDIA H200"
    gpu_check.run_all(check, gpu_check.chosen("torch"), 1.0, out)
    assert list(json.loads(out.read_text(encoding="utf-8"))) == ["environment", "batches", "torch"]
    with pytest.raises(BadParameter, match="pytorch is no stage"):
        gpu_check.chosen("pytorch")


@pytest.fixture
def check(machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gpu_stages.Check:
    """A check of the simulated GPU, its streams made."""
    driver = Driver("13.0", (Gpu("NVIDIA L4", "sm89", 24.0),))
    monkeypatch.setattr(gpu_stages, "find_driver", lambda: driver)
    monkeypatch.setattr(gpu_stages, "REPEATS", 4)
    check = gpu_stages.Check([machine.engine], [machine.plan], tmp_path)
    wanted = (Wanted(2, 4, 2), Wanted(12, 4, 2), Wanted(30, 1, 1))
    pool = gpu_batches.Pool(gpu_batches.real_crystals(labels=False), read_manifest(machine.engine))
    gpu_batches.save(check.folder / "streams.npz", {one.atoms: pool.stream(one) for one in wanted if one.atoms < 30})
    check.report |= gpu_stages._streams(check, "", machine.engine, ())
    assert set(check.expected()) == {2, 12}
    return check


def test_a_plan_is_compared_and_timed_on_the_simulated_gpu(check: gpu_stages.Check, machine: Any) -> None:
    gpu_stages.session_on(check, "plan", machine.plan)
    found = check.report["plan"]
    assert (found["status"], found["backend"], found["device"]) == ("done", "tensorrt-rtx", "cuda:0")
    for one in found["streams"].values():
        assert one["status"] == "done"
        assert one["parity_ev"]["max"] < 1e-5
        assert one["crystals_per_s"] > 0
        assert one["crystals"] == 8
    assert machine.gpu.captures


def test_energies_beyond_the_limit_fail_the_check(check: gpu_stages.Check, machine: Any) -> None:
    energies = {str(atoms): one + 0.01 for atoms, one in check.expected().items()}
    np.savez_compressed(check.folder / "expected.npz", **energies)
    gpu_stages.session_on(check, "plan", machine.plan)
    assert "beyond the limits" in check.report["plan"]["streams"][2]["error"]
    assert gpu_stages.failed(check.report)


def test_what_a_plan_does_not_take_is_left_out(check: gpu_stages.Check, machine: Any) -> None:
    manifest = read_manifest(machine.engine)
    gpu_batches.save(check.folder / "streams.npz", {30: gpu_batches.random_stream(manifest, Wanted(30, 1, 1), slots=12)})
    gpu_stages.session_on(check, "plan", machine.plan)
    assert check.report["plan"]["streams"][30] == {"status": "skipped", "reason": "larger than the plan takes"}


@pytest.mark.parametrize("apart_ev", [0.0, 0.5])
def test_a_captured_run_that_differs_from_the_same_kernels_one_by_one_fails(
    check: gpu_stages.Check, machine: Any, monkeypatch: pytest.MonkeyPatch, apart_ev: float
) -> None:
    monkeypatch.setattr(gpu_whole, "ACCURATE", "")
    found: dict[str, Any] = {}
    if apart_ev:  # a graph that gives something else
        energies = gpu_whole.energies
        monkeypatch.setattr(gpu_whole, "energies", lambda outputs: energies(outputs) + apart_ev * bool(machine.gpu.launches))
        monkeypatch.setattr(gpu_whole, "apart", lambda *arguments: {})
        original = gpu_whole.open_session

        def opened(*arguments: Any, **options: Any) -> Any:
            machine.gpu.launches = 0
            return original(*arguments, **options)

        monkeypatch.setattr(gpu_whole, "open_session", opened)
        with pytest.raises(AssertionError, match="captured and not captured differ"):
            gpu_whole.plan_captured_or_not(check, machine.plan, found)
        return
    gpu_whole.plan_captured_or_not(check, machine.plan, found)
    assert found["captured_apart_ev"] == {2: 0.0, 12: 0.0}
    assert found["captured"][2]["parity_ev"]["max"] < 1e-5
    assert machine.gpu.launches


class Doubles(nn.Module):
    """The smallest model."""

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return numbers * 2


class Breaks(nn.Module):
    """A model that no compiler takes as one graph."""

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return numbers * 2 if float(numbers.sum()) > 0 else numbers


def test_every_shape_is_compiled_and_not_only_the_first_eight(tmp_path: Path) -> None:
    check = gpu_stages.Check([], [], tmp_path, dry=True)

    def on_device(batch: Inputs) -> list[torch.Tensor]:
        return [torch.as_tensor(batch["kpoints"])]

    for size in range(1, 13):
        found: dict[str, Any] = {}
        gpu_pytorch._compiled(check, torch, Doubles(), on_device, [{"kpoints": np.ones((size, size))}], 2, found)
        assert found["graphs"] == 1
    with pytest.raises(Exception, match=r"data-dependent|graph break|Unsupported|item"):
        gpu_pytorch._compiled(check, torch, Breaks(), on_device, [{"kpoints": np.ones((2, 2))}], 2, {})


def test_the_nodes_of_an_engine_give_the_same_in_pytorch(check: gpu_stages.Check, machine: Any) -> None:
    graph = gpu_torch_graph.TorchGraph(machine.engine, "cpu")
    for atoms, stream in check.streams().items():
        bands = graph.run(stream[0])["band_energies"].numpy()
        np.testing.assert_allclose(bands, check.expected()[atoms], atol=1e-4)


def test_streams_hold_distinct_crystals_and_read_back(check: gpu_stages.Check, tmp_path: Path) -> None:
    streams = check.streams()
    assert {atoms: [one["kpoints"].shape[0] for one in stream] for atoms, stream in streams.items()} == {2: [4, 4], 12: [4, 4]}
    for stream in streams.values():
        assert gpu_stages.described(stream)["distinct"] == 8
    gpu_batches.save(tmp_path / "again.npz", streams)
    again = gpu_batches.load(tmp_path / "again.npz")
    for atoms, stream in streams.items():
        for one, other in zip(stream, again[atoms], strict=True):
            assert all((one[name] == other[name]).all() for name in one)


def test_random_streams_fit_the_engine(machine: Any) -> None:
    with open_session(machine.engine) as session:
        for batch in gpu_batches.random_stream(session.manifest, Wanted(4, 2, 2), slots=12):
            assert np.isfinite(session.run(batch)["band_energies"]).all()


def test_a_table_for_a_whole_run_reads_back(tmp_path: Path) -> None:
    crystals = gpu_batches.real_crystals(labels=False)[:3]
    assert gpu_whole.write_table(tmp_path / "crystals.jsonl", crystals, 7) == 7
    again = gpu_batches.real_crystals(tmp_path / "crystals.jsonl")
    assert [one.formula for one in again[:3]] == [one.formula for one in crystals]
    assert len({one.lattice.tobytes() for one in again}) == 7


def test_products_and_stretches_between_them_are_counted_in_a_graph(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    numbers = onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.ones((8, 4), np.float32), "weights")
    nodes = [
        helper.make_node("MatMul", ["kpoints", "weights"], ["a"]),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Add", ["b", "a"], ["c"]),
        helper.make_node("MatMul", ["c", "square"], ["d"]),
    ]
    square = onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "square")
    given = helper.make_tensor_value_info("kpoints", numbers, ["batch", 6, 8])
    gives = helper.make_tensor_value_info("d", numbers, ["batch", 6, 4])
    model = helper.make_model(
        helper.make_graph(nodes, "counted", [given], [gives], [weights, square]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "model.onnx")
    counts = gpu_roofline.count_graph(tmp_path / "model.onnx", {"kpoints": np.ones((2, 6, 8), np.float32)})
    assert counts.kernels == 3
    assert counts.flops == (2 * 48 * 8 + 48 + 48 + 2 * 48 * 4) / 2
    first, between, last = 4 * (96 + 32 + 48), 4 * (48 + 48), 4 * (48 + 16 + 48)
    assert counts.bytes == (first + between + last) / 2
    made = gpu_roofline.roofline(
        counts, gpu_roofline.Peak(counts.bytes * 10, counts.flops * 100, 1.0), precision="fp32", atoms=2, crystals=2
    )
    assert made["crystals_per_s"] == pytest.approx(10)
    assert made["arithmetic"].endswith("at most 10 crystals/s by memory")


def test_graphs_with_loops_are_not_counted(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    loop = onnx.helper.make_node("Loop", [], ["a"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([loop], "loop", [], [])), tmp_path / "model.onnx")
    with pytest.raises(gpu_roofline.UncountableError, match="Loop"):
        gpu_roofline.count_graph(tmp_path / "model.onnx", {})


def test_what_kernels_read_and_write_is_counted_in_a_plan() -> None:
    plan = (
        b'\x00\x01\n  tensor={ alignment=128 dims={ 2 4 } mem_prop=100 name="a" offset=0 type=float }'
        b'\n  sub_tensor={ base="a" dims={ 2 2 } name="b" type=half }'
        b'\n  function={ name=f args={ "a" "b" } input_args={ "a" "a" } output_args={ "b" } kernel_kind=1 }'
        b'\n  fully_connected={ name="m" output={"a" } input={"b" "unknown" } stream=0 }\n'
    )
    assert gpu_roofline.count_plan(plan, 2) == (2 * (32 + 8) / 2, 2)
    with pytest.raises(gpu_roofline.UncountableError, match="several shapes: a"):
        gpu_roofline.count_plan(plan.replace(b"dims={ 2 4 }", b'dims={ "batch" 4 }'), 2)
    with pytest.raises(gpu_roofline.UncountableError, match="does not say"):
        gpu_roofline.count_plan(b"ftrt", 2)


def test_a_plan_that_is_built_for_one_shape_is_counted(tiny_engine: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed: pip install 'bandrt[tensorrt-rtx]'")
    [batch] = gpu_batches.random_stream(read_manifest(tiny_engine), Wanted(2, 4, 1), slots=12)
    counts, said = gpu_roofline.count(tiny_engine, batch)
    assert counts.source == "plan", said
    in_graph = gpu_roofline.count_graph(tiny_engine, batch)
    assert 0.5 < counts.bytes / in_graph.bytes < 3
    assert counts.flops == in_graph.flops


@pytest.mark.parametrize(
    ("rate", "gpu", "side"),
    [(1e3, "NVIDIA H200", "below"), (1e5, "NVIDIA H200", "within"), (2e5, "NVIDIA H200 NVL", "above"), (6e3, "NVIDIA L4", "within"),
     (6e3, "NVIDIA L40S", None), (6e3, "", None)],
)  # fmt: skip
def test_a_result_is_below_within_or_above_the_estimate(rate: float, gpu: str, side: str | None) -> None:
    assert gpu_roofline.side(rate, gpu, 2) == side
    assert gpu_roofline.side(rate, gpu, 3) is None


def test_the_cuda_layer_is_checked_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_cuda_core.install(monkeypatch)
    found = gpu_layer.check_layer(1 << 16)
    assert set(found["gb_per_s"]) == {"up", "down"}
    assert "OUT_OF_MEMORY" in found["out_of_memory"]
    monkeypatch.setattr(stand_in_cuda_core.ctypes, "memmove", lambda *arguments: None)
    with pytest.raises(AssertionError, match="copies equal: False"):
        gpu_layer.check_layer(1 << 16)
