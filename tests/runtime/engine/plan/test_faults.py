"""What TensorRT really returns when something is wrong is an error that says why and what to do, and costs only what it must."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

from bandrt.engine import open_session
from bandrt.engine.plan.device import DeviceError
from bandrt.engine.plan.tensorrt import REMEDIES, invalidity, reason_of
from bandrt.errors import BandrtError, EngineError
from bandrt_export.errors import ExportError
from bandrt_export.plan.builder import PlanBuilder
from tests.support.random_batches import random_batch
from tests.support.simulated_tensorrt import Diagnostics, SimulatedContext, SimulatedEngine

CONTEXT_BYTES = 60_000
"""What each execution context takes of the device for itself."""


def test_tensorrt_own_memory_comes_from_the_same_gpu(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every execution context takes memory of its own, as real ones do; the pool must give way."""
    original = SimulatedEngine.create_execution_context

    def create(self: SimulatedEngine, how: object) -> Any:
        device = self.device
        if device.limit is not None and device.n_bytes + CONTEXT_BYTES > device.limit:
            self.complain("Error Code 2: OutOfMemory (Requested size was 60000 bytes.)")
            self.complain("Could not create an execution context.")  # the last word is not the reason
            return None
        return original(self, how)

    monkeypatch.setattr(SimulatedEngine, "create_execution_context", create)
    with open_session(machine.plan) as session:
        session.run(random_batch(4, 24))
        session.run(random_batch(2, 10))
        machine.gpu.limit = machine.gpu.n_bytes + 1000  # the pool holds nearly everything
        found = session.run(random_batch(2, 3))  # a tiny batch of a new shape
    with open_session(machine.engine) as session:
        np.testing.assert_allclose(found["band_energies"], session.run(random_batch(2, 3))["band_energies"], atol=1e-6, rtol=0)


def test_a_nullptr_runtime_is_a_type_error_in_pybind(machine: Any) -> None:
    class Null:
        def __init__(self, logger: Any) -> None:
            logger.log(1, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    machine.trt.Runtime = Null
    with pytest.raises(
        EngineError, match=r"no Runtime: CUDA initialization failure with error: 35; update the NVIDIA driver"
    ) as caught:
        open_session(machine.plan)
    assert caught.value.code == "plan-not-loaded"


def test_another_type_error_is_a_bug_and_no_missing_runtime(machine: Any) -> None:
    def wrong(logger: Any) -> None:
        raise TypeError("incompatible constructor arguments")

    machine.trt.Runtime = wrong
    with pytest.raises(TypeError, match="incompatible"):
        open_session(machine.plan)


def test_a_null_builder_is_an_error_of_the_export(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Null:
        def __init__(self, logger: Any) -> None:
            raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setitem(sys.modules, "tensorrt_rtx", machine.trt)
    monkeypatch.setattr(machine.trt, "Builder", Null, raising=False)
    from bandrt.engine.cuda_driver import NoDriver

    with pytest.raises(ExportError, match=r"gives no Builder: it does not say why; update the NVIDIA driver") as caught:
        PlanBuilder("tensorrt-rtx", NoDriver("none"))
    assert caught.value.code == "plan-not-built"


def test_infer_shapes_may_raise(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(self: SimulatedContext) -> list[str]:
        raise RuntimeError("infer_shapes error code: -1")

    monkeypatch.setattr(SimulatedContext, "infer_shapes", bad)
    with (
        open_session(machine.plan) as session,
        pytest.raises(BandrtError, match="cannot infer the shapes of a batch: infer_shapes error code: -1"),
    ):
        session.run(random_batch(2, 3))


def test_zero_scratch_means_an_error(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedContext, "update_device_memory_size_for_shapes", lambda self: 0)
    seen: list[int] = []
    monkeypatch.setattr(SimulatedContext, "set_device_memory", lambda self, memory, size: seen.append(size))
    monkeypatch.setattr(SimulatedContext, "_compute", lambda self, addresses, scratch: None)
    with open_session(machine.plan) as session, pytest.raises(BandrtError, match="cannot tell how much memory a batch needs"):
        session.run(random_batch(2, 3))
    assert not seen, f"a context was given {seen} bytes although TensorRT said that it could not tell how many it needs"


def test_zero_scratch_of_a_plan_that_needs_none_is_no_error(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedContext, "update_device_memory_size_for_shapes", lambda self: 0)
    monkeypatch.setattr(SimulatedEngine, "get_device_memory_size_for_profile_v2", lambda self, profile: 0)
    with open_session(machine.plan) as session:
        assert np.isfinite(session.run(random_batch(2, 3))["band_energies"]).all()


def test_validity_reasons_are_bits(machine: Any) -> None:
    machine.trt.Runtime.get_engine_validity = lambda self, content: ("INVALID", 0)
    with pytest.raises(EngineError) as caught:
        open_session(machine.plan)
    assert "it gives no reason; update the NVIDIA driver" in caught.value.message
    machine.trt.Runtime.get_engine_validity = lambda self, content: ("INVALID", 6)
    with pytest.raises(EngineError) as caught:
        open_session(machine.plan)
    assert "UNSUPPORTED_CC: build it for this GPU; OLD_CUDA_DRIVER: update the NVIDIA driver" in caught.value.message


def test_every_reason_of_tensorrt_rtx_has_a_remedy() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    kinds = {name: int(bit) for name, bit in trt.EngineInvalidityDiagnostics.__members__.items()}
    assert kinds == {one.name: int(one) for one in Diagnostics}
    assert set(REMEDIES) == set(kinds)
    assert re.findall(r"[A-Z_]{8,}", invalidity(trt, sum(kinds.values()))) == list(kinds)


def test_the_reason_is_the_error_about_memory_or_the_last_one() -> None:
    problems = ["Error Code 2: OutOfMemory (Requested size was 8 bytes.)", "Could not create the context."]
    assert "OutOfMemory" in reason_of(problems)
    assert reason_of(problems) == "it does not say why"
    assert reason_of(["first", "second"]) == "second"


def test_what_was_logged_before_a_success_is_no_reason_for_a_later_failure(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bandrt.engine.plan.tensorrt import Plan

    plan = Plan(machine.trt, "tensorrt-rtx", machine.plan.read_bytes())
    plan._problems.append("out of memory, and went on with another tactic")
    stream = machine.gpu.stream()
    monkeypatch.setattr(SimulatedContext, "set_input_shape", lambda self, name, shape: False)
    with pytest.raises(DeviceError, match="it does not say why"):
        plan.context(0, {"atomic_numbers": (1, 2)}, stream)
