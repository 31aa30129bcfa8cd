"""ONNX files on a simulated GPU by each provider: the numbers of the CPU, options as they are meant, and no way back to the CPU."""

from __future__ import annotations

import gc
import inspect
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bandrt import Prediction, load
from bandrt.batch import pad
from bandrt.cli import run
from bandrt.contract import INPUT_NAMES
from bandrt.engine import open_session
from bandrt.engine.cuda_driver import Driver, Gpu, NoDriver
from bandrt.engine.onnx.gpu import ALONE
from bandrt.engine.onnx.plan import OnnxPlan
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.session import Inputs, OutOfMemoryError, parse_device
from bandrt.errors import BandrtError, EngineError, UsageError
from bandrt.features import featurize
from bandrt.manifest import METADATA_KEY, BandRule, Manifest
from bandrt_export.eigensolver.assembly import with_solver
from tests.support.eight_threads import wrong_answers
from tests.support.given_hamiltonians import manifest_of, network_of_the_contract
from tests.support.random_batches import MIXED, random_batch
from tests.support.simulated_gpu import ORDERS
from tests.support.simulated_onnxruntime import RTX, Binding, SimulatedOnnxRuntime, simulate
from tests.support.small_hamiltonians import GALLIUM_ARSENIDE, SALT, SILICON

DEVICES = ("cuda", "tensorrt", "nv-tensorrt-rtx")
COMPILING = DEVICES[1:]
SOLVED_TOLERANCE_EV = 1e-3
"""Rounding of eigenvalues of some 100 eV in single precision."""
TOLERANCE_EV = 1e-6
"""Rounding of sums over padding, single precision, energies of a few eV."""


@pytest.fixture
def runtime(machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedOnnxRuntime:
    """ONNX Runtime on the simulated machine, with a home for what is compiled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    return simulate(monkeypatch, machine.gpu)


def expected(machine: Any, batches: list[Inputs]) -> list[np.ndarray]:
    with open_session(machine.engine, threads=1) as session:
        return [session.run(batch)["band_energies"] for batch in batches]


def refused(machine: Any, device: str, code: str = "device-unavailable") -> str:
    with pytest.raises(BandrtError) as caught:
        open_session(machine.engine, device=device)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("device", DEVICES)
def test_a_stream_of_batches_gives_the_energies_of_the_cpu_in_order(
    machine: Any, runtime: SimulatedOnnxRuntime, device: str, order: str
) -> None:
    machine.gpu.order = order
    with open_session(machine.engine, device=device) as session:
        assert session.device == f"{device}:0"
        found = list(session.run_many(MIXED))
    for one, other in zip(found, expected(machine, MIXED), strict=True):
        assert not isinstance(one, OutOfMemoryError)
        assert set(one) == set(session.manifest.outputs)
        np.testing.assert_allclose(one["band_energies"], other, atol=TOLERANCE_EV, rtol=0)


def test_copies_of_a_batch_are_asked_for_while_the_one_before_computes(machine: Any, runtime: SimulatedOnnxRuntime) -> None:
    with open_session(machine.engine, device="cuda") as session:
        machine.gpu.journal.clear()
        stream = session.run_many([random_batch(4, 5, seed) for seed in range(4)])
        next(stream)
        assert machine.gpu.journal == ["upload", "download", "upload", "download", "wait"]
        list(stream)


def test_cuda_has_a_session_for_every_shape_all_of_it_on_the_gpu_and_captured(machine: Any, runtime: SimulatedOnnxRuntime) -> None:
    with open_session(machine.engine, device="cuda:0") as session:
        batches = [random_batch(crystals, atoms) for crystals, atoms in [(3, 9), (4, 10), (5, 6), (8, 6)]] * 2
        list(session.run_many(batches))
    assert [one.fixed for one in runtime.opened] == [
        {"B": 1, "N": 1},  # to find out whether it runs there at all
        {"B": 4, "N": 10},
        {"B": 8, "N": 6},
    ]
    for one in runtime.opened:
        assert (one.provider, one.on_gpu_alone, one.others) == ("CUDAExecutionProvider", True, [])
        assert one.options.pop("user_compute_stream") == str(machine.gpu.streams[1].handle)
        assert one.options == {
            "device_id": "0",
            "has_user_compute_stream": "1",
            "use_tf32": "0",
            "arena_extend_strategy": "kSameAsRequested",
            "enable_cuda_graph": "1",
        }
    assert runtime.captures == len(set(runtime.ids)) == 5  # two lanes for each shape, one for the smallest


def test_threads_that_call_share_what_was_captured(machine: Any, runtime: SimulatedOnnxRuntime) -> None:
    batch = random_batch(3, 9)
    with open_session(machine.engine, device="cuda:0") as session:
        session.run(batch)
        captures = runtime.captures
        with ThreadPoolExecutor(4) as pool:
            for _ in range(3):
                [one.result() for one in [pool.submit(session.run, batch) for _ in range(4)]]
    assert runtime.captures - captures <= 4  # one for each lane that four callers may have open, none for a thread


def test_no_session_asks_the_gpu_for_anything_while_another_captures(machine: Any, runtime: SimulatedOnnxRuntime) -> None:
    batches = [random_batch(crystals, atoms) for crystals, atoms in [(3, 9), (4, 10), (8, 6), (2, 17), (2, 30)]]

    def predict(_: int) -> None:
        with open_session(machine.engine, device="cuda:0") as session:
            for batch in batches:
                session.run(batch)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(predict, range(3)))
    assert runtime.captures >= 15
    assert machine.gpu.disturbed == 0


def test_a_stream_that_nobody_reads_to_its_end_holds_nothing_up(machine: Any, runtime: SimulatedOnnxRuntime) -> None:
    batches = [random_batch(3, 9, seed) for seed in range(3)]
    with open_session(machine.engine, device="cuda:0") as session:
        stream = session.run_many(batches)
        next(stream)
        with ThreadPoolExecutor(1) as pool, ALONE:  # as where it is collected by the thread that a sender waits for
            pool.submit(stream.close).result(timeout=60)
        for batch, energies in zip(batches, expected(machine, batches), strict=True):
            np.testing.assert_allclose(session.run(batch)["band_energies"], energies, atol=TOLERANCE_EV, rtol=0)
        assert runtime.captures <= 3  # of the smallest shape, and two lanes: those of the stream are free again


def test_a_session_that_is_closed_frees_its_model_whoever_kept_a_stream(machine: Any, runtime: SimulatedOnnxRuntime) -> None:
    session = open_session(machine.engine, device="cuda:0")
    stream, late = (session.run_many([random_batch(3, 9, seed) for seed in range(3)]) for _ in range(2))
    next(stream)
    next(late)
    with ThreadPoolExecutor(1) as pool, ALONE:
        pool.submit(stream.close).result(timeout=60)
    session.close()
    late.close()
    del stream, late
    gc.collect()
    assert runtime.alive == 0


@pytest.mark.parametrize("device", COMPILING)
def test_a_provider_that_compiles_does_so_once_for_all_shapes(
    machine: Any, runtime: SimulatedOnnxRuntime, tmp_path: Path, device: str
) -> None:
    with open_session(machine.engine, device=f"{device}:0") as session:
        list(session.run_many(MIXED))
        assert (session.manifest.profile.max_atoms, session.manifest.profile.max_batch) == (128, 64)
    [one] = runtime.opened
    assert (one.fixed, one.on_gpu_alone) == ({}, True)
    prefix = "trt" if device == "tensorrt" else "nv"
    shapes = [one.options[f"{prefix}_profile_{which}_shapes"].split(",") for which in ("min", "opt", "max")]
    assert all(f"atomic_numbers:{size}" in of for size, of in zip(("1x1", "64x16", "64x128"), shapes, strict=True))
    assert all([entry.partition(":")[0] for entry in of] == list(session.manifest.inputs) for of in shapes)
    assert one.options["user_compute_stream"] == str(machine.gpu.streams[1].handle)
    [folder] = (tmp_path / "cache" / "bandrt").iterdir()
    assert folder.name.startswith(f"{device}-")
    if device == "tensorrt":
        assert one.provider == "TensorrtExecutionProvider"
        assert one.others == ["CUDAExecutionProvider"]
        assert one.options["trt_fp16_enable"] == one.options["trt_cuda_graph_enable"] == "False"
        assert one.options["trt_engine_cache_enable"] == one.options["trt_timing_cache_enable"] == "True"
        assert one.options["trt_engine_cache_path"] == one.options["trt_timing_cache_path"] == str(folder)
    else:
        assert (one.provider, one.others) == (RTX, [])
        assert one.options["enable_cuda_graph"] == "0"
        assert one.options["has_user_compute_stream"] == "1"
        assert one.options["nv_runtime_cache_path"] == str(folder)
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


@pytest.mark.parametrize("installed", [True, False])
def test_the_package_of_tensorrt_is_asked_for_its_libraries(
    machine: Any, runtime: SimulatedOnnxRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    (tmp_path / "tensorrt.py").write_text("loaded = True\n" if installed else "raise OSError('libnvinfer.so.10')\n")
    monkeypatch.syspath_prepend(tmp_path)
    open_session(machine.engine, device="tensorrt").close()
    assert ("tensorrt" in sys.modules) == installed
    sys.modules.pop("tensorrt", None)


def test_what_is_compiled_on_another_gpu_is_kept_apart(
    machine: Any, runtime: SimulatedOnnxRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_session(machine.engine, device="tensorrt").close()
    other = Driver(cuda="13.0", gpus=(Gpu("NVIDIA L4", "sm89", 24.0),))
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: other)
    open_session(machine.engine, device="tensorrt").close()
    open_session(machine.engine, device="tensorrt").close()
    assert len(list((tmp_path / "cache" / "bandrt").iterdir())) == 2


def test_a_home_that_cannot_be_written_costs_a_warning(
    machine: Any, runtime: SimulatedOnnxRuntime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("no folder")
    with open_session(machine.engine, device="tensorrt") as session:
        session.run(random_batch(2, 3))
    assert "what is compiled cannot be kept" in caplog.text
    assert "trt_engine_cache_enable" not in runtime.opened[0].options


def test_without_memory_for_a_shape_others_are_given_up_and_what_does_not_fit_is_told(
    machine: Any, runtime: SimulatedOnnxRuntime
) -> None:
    runtime.most_atoms = 16
    with open_session(machine.engine, device="cuda") as session:
        found = list(session.run_many([random_batch(2, 3), random_batch(4, 10), random_batch(2, 4)]))
    assert [isinstance(one, OutOfMemoryError) for one in found] == [False, True, False]


def test_sessions_of_shapes_that_are_given_up_are_closed(
    machine: Any, runtime: SimulatedOnnxRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds memory of the GPU."""
    monkeypatch.setattr("bandrt.engine.plan.session.MOST_PROGRAMS", 2)
    with open_session(machine.engine, device="cuda") as session:
        list(session.run_many([random_batch(1, atoms) for atoms in range(2, 8)]))
        assert isinstance(session, PlanSession)
        plan = session._plan
        assert isinstance(plan, OnnxPlan)
        gc.collect()
        assert len(plan._sessions) == 3  # of two shapes, and of the smallest batch
        assert len(runtime.opened) == 7
    del plan
    gc.collect()
    assert runtime.alive == 0


def test_a_capture_that_fails_costs_a_warning_and_the_numbers_are_right(
    machine: Any, runtime: SimulatedOnnxRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.capture_fails = True
    with open_session(machine.engine, device="cuda") as session:
        found = list(session.run_many(MIXED))
    assert [message.partition(":")[0] for message in caplog.messages] == ["runs without CUDA graphs"]
    for one, other in zip(found, expected(machine, MIXED), strict=True):
        assert not isinstance(one, OutOfMemoryError)
        np.testing.assert_allclose(one["band_energies"], other, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_a_model_of_which_some_nodes_are_left_to_the_cpu_is_told_or_refused(
    machine: Any, runtime: SimulatedOnnxRuntime, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.leaves_nodes = True
    if device == "nv-tensorrt-rtx":  # all that it does not take would go to the CPU
        assert "could not start NvTensorRTRTXExecutionProvider" in refused(machine, device)
        return
    with open_session(machine.engine, device=device) as session:
        found = list(session.run_many(MIXED))
    assert "some of its nodes on the CPU: This session contains graph nodes that are assigned" in caplog.text
    for one, other in zip(found, expected(machine, MIXED), strict=True):
        assert not isinstance(one, OutOfMemoryError)
        np.testing.assert_allclose(one["band_energies"], other, atol=TOLERANCE_EV, rtol=0)
    assert runtime.opened[-1].options.get("enable_cuda_graph", "0") == "0"


@pytest.mark.parametrize("device", DEVICES)
def test_a_provider_that_does_not_start_is_never_replaced_by_the_cpu(
    machine: Any, runtime: SimulatedOnnxRuntime, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime.starts = False
    message = refused(machine, device)
    assert "and the CPU does not take its place" in message
    assert "pip install" in message
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("device", DEVICES)
def test_what_only_a_run_notices_is_noticed_before_the_first_batch(
    machine: Any, runtime: SimulatedOnnxRuntime, device: str
) -> None:
    runtime.lacks = "cuDNN is unavailable or disabled for CUDA Execution Provider: dlopen failed for libcudnn.so"
    assert runtime.lacks in refused(machine, device)


@pytest.mark.parametrize("device", DEVICES)
def test_without_a_gpu_it_is_refused_before_onnx_runtime_is_asked(
    machine: Any, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: NoDriver("this machine has no NVIDIA driver"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = refused(machine, f"{device}:0")
    assert (
        f"device {device}:0 needs an NVIDIA GPU, and this machine has no NVIDIA driver; run it on the CPU: --device cpu" in message
    )


@pytest.mark.parametrize(("device", "remedy"), [(one, "bandrt[cuda]") for one in DEVICES[:2]] + [("nv-tensorrt-rtx", "bandrt[nv-")])
def test_an_onnx_runtime_without_the_provider_is_told_with_its_remedy(
    machine: Any, monkeypatch: pytest.MonkeyPatch, device: str, remedy: str
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    assert f"pip install '{remedy}" in refused(machine, device)


def test_a_plugin_that_does_not_load_is_told(machine: Any, runtime: SimulatedOnnxRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, path: str) -> None:
        raise RuntimeError("Failed to load library plugin.so with error: libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", fail)
    assert "is not installed, or does not load" in refused(machine, "nv-tensorrt-rtx")


def test_gpus_without_a_target_of_tensorrt_rtx_are_refused(
    machine: Any, runtime: SimulatedOnnxRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver("13.0", (Gpu("NVIDIA H200", "sm90", 141.0),))
    monkeypatch.setattr("bandrt.engine.cuda_driver.find_driver", lambda: driver)
    assert "TensorRT-RTX has no target for NVIDIA H200, sm90; use cuda" in refused(machine, "nv-tensorrt-rtx")
    open_session(machine.engine, device="cuda").close()


@pytest.mark.parametrize("device", COMPILING)
def test_a_plan_is_no_model_for_a_provider(machine: Any, device: str) -> None:
    with pytest.raises(EngineError, match=r"is a plan already; run it with --device cuda:1") as caught:
        open_session(machine.plan, device=f"{device}:1")
    assert caught.value.code == "device-unavailable"


def test_devices_are_spelled_like_cuda() -> None:
    assert parse_device("tensorrt") == ("tensorrt", 0)
    assert parse_device("nv-tensorrt-rtx:12") == ("nv-tensorrt-rtx", 12)
    for wrong in ("tensorrt:", "tensorrt-rtx", "nv-tensorrt-rtx:x", "Tensorrt", "tensorrt:-1", "tensorrt:²"):
        with pytest.raises(UsageError, match="use cpu, cuda or cuda:N"):
            parse_device(wrong)


@pytest.fixture
def solved(tmp_path: Path) -> tuple[Path, Manifest]:
    """An engine with its solver in the graph."""
    manifest = replace(manifest_of(32, BandRule(n_bands=2, n_valence=1)), inputs=INPUT_NAMES)
    proto = with_solver(network_of_the_contract(), manifest)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, manifest.to_json()
    path = tmp_path / "solved.onnx"
    path.write_bytes(proto.SerializeToString())
    return path, manifest


def test_an_engine_with_loops_runs_on_cuda_without_graphs_in_one_session(
    runtime: SimulatedOnnxRuntime, solved: tuple[Path, Manifest], caplog: pytest.LogCaptureFixture
) -> None:
    path, manifest = solved
    features = [featurize(crystal, manifest.recipe) for crystal in (SILICON, SALT, GALLIUM_ARSENIDE)]
    batches = [pad(features[:2]), pad(features[2:])]
    with open_session(path, threads=1) as session:
        wanted = [session.run(batch)["band_energies"] for batch in batches]
    with open_session(path, device="cuda") as session:
        found = list(session.run_many(batches))
    for one, other in zip(found, wanted, strict=True):
        assert not isinstance(one, OutOfMemoryError)
        np.testing.assert_allclose(one["band_energies"], other, atol=SOLVED_TOLERANCE_EV, rtol=0)
    [opened] = runtime.opened
    assert (opened.fixed, opened.on_gpu_alone, opened.options["enable_cuda_graph"]) == ({}, False, "0")
    assert not caplog.records


@pytest.mark.parametrize("device", COMPILING)
def test_an_engine_with_loops_is_compiled_for_no_range_of_shapes(
    runtime: SimulatedOnnxRuntime, solved: tuple[Path, Manifest], device: str
) -> None:
    with pytest.raises(EngineError, match=r"has its solver in the graph.*; use cuda, or build a plan") as caught:
        open_session(solved[0], device=device)
    assert caught.value.code == "device-unavailable"


@pytest.mark.parametrize("device", DEVICES)
def test_eight_threads_get_the_answers_of_one(machine: Any, runtime: SimulatedOnnxRuntime, device: str) -> None:
    batches = [random_batch(crystals, atoms, seed) for crystals, atoms in [(2, 3), (1, 2)] for seed in range(2)]
    right = expected(machine, batches)
    with open_session(machine.engine, device=device) as session:
        assert wrong_answers(session.run, batches, right, tolerance_ev=1e-5) == 0


def test_infer_and_the_record_of_a_run_name_the_device(
    machine: Any, runtime: SimulatedOnnxRuntime, mixed_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(["infer", "--engine", str(machine.engine), str(mixed_folder), "-o", str(out), "--device", "tensorrt"]) == 3
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["options"]["device"] == "tensorrt:0"
    assert record["gpu"]["name"] == "NVIDIA GeForce RTX 4090"
    with load(machine.engine, "nv-tensorrt-rtx") as engine:
        assert "on nv-tensorrt-rtx:0" in repr(engine)
        [found] = engine.predict(mixed_folder / "a-salt.cif")
        assert isinstance(found, Prediction)


def test_the_simulation_has_the_signatures_of_onnx_runtime() -> None:
    for name in ("bind_input", "bind_output"):
        real, simulated = (list(inspect.signature(getattr(kind, name)).parameters) for kind in (onnxruntime.IOBinding, Binding))
        assert simulated == real
    assert {"add_free_dimension_override_by_name", "add_session_config_entry", "add_provider_for_devices"} <= set(
        dir(onnxruntime.SessionOptions)
    )
    assert hasattr(onnxruntime, "register_execution_provider_library")
    assert hasattr(onnxruntime, "get_ep_devices")
