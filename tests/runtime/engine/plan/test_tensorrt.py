"""The simulated TensorRT has no name that the real one has not, nor has the layer that calls it."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

import bandrt.engine.plan.tensorrt
from bandrt.manifest import Profile
from tests.support.simulated_gpu import SimulatedDevice
from tests.support.simulated_tensorrt import SimulatedCache, SimulatedConfig, SimulatedContext, SimulatedEngine, simulated_tensorrt

OWN = {"device", "profile", "complain", "model", "inputs", "outputs", "capturable", "capture_fails", "most_atoms"} | {
    *("compiled", "cache", "shapes", "begins")
}
"""Names of the simulation itself."""


@pytest.fixture(scope="module")
def rtx() -> Any:
    """The real package, which needs no driver to be asked for its names."""
    return pytest.importorskip("tensorrt_rtx")


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")} - OWN


def test_what_is_simulated_exists(rtx: Any) -> None:
    trt = simulated_tensorrt(SimulatedDevice(), Profile(), version="")
    assert public(SimulatedContext) <= set(dir(rtx.IExecutionContext))
    assert public(SimulatedEngine) <= set(dir(rtx.ICudaEngine))
    assert public(trt.Runtime) <= set(dir(rtx.Runtime))
    assert public(SimulatedConfig) <= set(dir(rtx.IRuntimeConfig))
    assert public(SimulatedCache) <= set(dir(rtx.IRuntimeCache))
    for name, one in vars(trt).items():
        if name not in OWN:
            assert hasattr(rtx, name)
            for member in vars(one) if not callable(one) and not isinstance(one, str) else ():
                assert hasattr(getattr(rtx, name), member), f"{name}.{member}"


def test_every_call_of_the_thin_layer_is_simulated_or_belongs_to_python() -> None:
    trt = simulated_tensorrt(SimulatedDevice(), Profile(), version="")
    simulated = public(SimulatedContext) | public(SimulatedEngine) | public(trt.Runtime) | set(vars(trt)) | OWN
    simulated |= public(SimulatedConfig) | public(SimulatedCache) | {"log", "name", "num_optimization_profiles", "num_io_tensors"}
    simulated |= {member for one in vars(trt).values() if not isinstance(one, str) for member in getattr(one, "__dict__", {})}
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(inspect.getsource(bandrt.engine.plan.tensorrt)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if ast.unparse(node.func.value)
        in ("self._engine", "engine", "context", "self._context", "config", "self._runtime", "trt", "self._compiled")
    }
    assert called
    assert called <= simulated | {"update_device_memory_size_for_shapes"}
