"""I/O binding gives what an ordinary run gives; tested on the CPU, where ONNX Runtime has it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt.engine.onnx.binding
import bandrt.engine.onnx.session
from bandrt.engine import open_session
from bandrt.engine.onnx.binding import BoundRunner
from tests.support.random_batches import MIXED, random_batch


@pytest.fixture
def bound(tiny_engine: Path) -> BoundRunner:
    """The tiny engine, bound to memory of the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tiny_engine), providers=["CPUExecutionProvider"])
    return BoundRunner(session, [one.name for one in session.get_inputs()], ["band_energies"], kind="cpu", index=0)


def test_every_batch_gives_the_same_energies(bound: BoundRunner, tiny_engine: Path) -> None:
    with open_session(tiny_engine, threads=1) as session:
        for batch in MIXED:
            np.testing.assert_allclose(bound.run(batch)["band_energies"], session.run(batch)["band_energies"], atol=1e-6, rtol=0)


def test_results_outlive_the_next_run(bound: BoundRunner) -> None:
    first = bound.run(random_batch(2, 3))["band_energies"]
    kept = first.copy()
    bound.run(random_batch(2, 3, 1))
    np.testing.assert_array_equal(first, kept)


def test_a_bounded_number_of_buffers_is_kept(bound: BoundRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandrt.engine.onnx.binding, "MOST_KEPT", 2)
    for atoms in (1, 2, 3, 1):
        bound.run(random_batch(1, atoms))
    assert [shapes[0] for shapes, _ in bound._free] == [(1, 3), (1, 1)]
    bound.forget()
    assert not bound._free


def test_arrays_that_are_not_contiguous_are_taken(bound: BoundRunner) -> None:
    batch = random_batch(2, 4)
    turned = {name: np.asfortranarray(array) for name, array in batch.items()}
    np.testing.assert_array_equal(bound.run(turned)["band_energies"], bound.run(batch)["band_energies"])


def test_a_session_on_a_gpu_is_bound_and_has_no_other_provider_in_front(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    made = []

    class Accepting(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, path: str, *, sess_options: Any, providers: list[Any]) -> None:
            super().__init__(path, sess_options=sess_options, providers=["CPUExecutionProvider"])
            made.append(providers)

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Accepting)
    monkeypatch.setattr(
        bandrt.engine.onnx.session, "BoundRunner", lambda *args, kind, index: BoundRunner(*args, kind="cpu", index=index)
    )
    with open_session(machine.engine, device="cuda") as session:
        found = session.run(random_batch(3, 4))["band_energies"]
    assert made[0][0] == ("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"})
    monkeypatch.undo()
    with open_session(machine.engine) as session:
        np.testing.assert_allclose(found, session.run(random_batch(3, 4))["band_energies"], atol=1e-6, rtol=0)
