"""Every kind of session gives eight threads that call it at once the answers that it gives one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt.engine.plan.session
from bandrt import Crystal, load
from bandrt.engine import open_session
from bandrt.engine.hamiltonian import HamiltonianSession
from bandrt.engine.onnx.file import with_checksum
from bandrt.engine.onnx.session import OnnxSession
from bandrt.engine.plan.session import PlanSession
from bandrt.engine.session import Inputs, OutOfMemoryError, Session
from tests.support.eight_threads import N_CALLS, wrong_answers
from tests.support.random_batches import random_batch
from tests.support.simulated_gpu import ORDERS
from tests.support.tiny_hamiltonian import N_KPOINTS, tiny_batch, tiny_hamiltonian_model

TOLERANCE_EV = 1e-5
"""Rounding of sums whose order may change, single precision, energies of some 20 eV."""
BATCHES = [random_batch(crystals, atoms, seed) for crystals, atoms in [(2, 3), (1, 2)] for seed in range(2)]
"""Batches of one shape meet in the same buffers."""


def one_by_one(session: Session, batches: list[Inputs]) -> list[np.ndarray]:
    return [session.run(batch)["band_energies"] for batch in batches]


@pytest.fixture(scope="module")
def right(tiny_engine: Path) -> list[np.ndarray]:
    with open_session(tiny_engine, threads=1) as session:
        return one_by_one(session, BATCHES)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_onnx_session_is_right_under_eight_threads(tiny_engine: Path, right: list[np.ndarray], threads: int) -> None:
    with open_session(tiny_engine, threads=threads) as session:
        assert isinstance(session, OnnxSession)
        assert wrong_answers(session.run, BATCHES, right, tolerance_ev=TOLERANCE_EV) == 0


@pytest.mark.parametrize(("threads", "calls"), [(1, 800), (2, 800), pytest.param(2, N_CALLS, marks=pytest.mark.slow)])
def test_a_hamiltonian_session_is_right_under_eight_threads(tmp_path: Path, threads: int, calls: int) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(with_checksum(tiny_hamiltonian_model().SerializeToString()))
    places = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    crystals = [Crystal(3.6 * np.eye(3), np.array([12, number], np.int32), places) for number in (30, 14, 16)]
    kpoints, mesh = np.linspace([0, 0, 0], [0.5, 0, 0.1], N_KPOINTS), np.zeros((1, 3))
    batches = [tiny_batch(some, kpoints, mesh, reach=3.2) for some in (crystals[:1], crystals[1:2], crystals[1:])]
    with open_session(path, threads=threads) as session:
        assert isinstance(session, HamiltonianSession)
        right = one_by_one(session, batches)
        assert not any(np.isnan(energies).any() for energies in right)
        assert wrong_answers(session.run, batches, right, tolerance_ev=TOLERANCE_EV, calls=calls) == 0


@pytest.mark.parametrize("order", ORDERS)
def test_a_plan_session_is_right_under_eight_threads(machine: Any, right: list[np.ndarray], order: str) -> None:
    machine.gpu.order = order
    calls = N_CALLS if order == "random" else N_CALLS // 10
    with open_session(machine.plan) as session:
        assert isinstance(session, PlanSession)
        assert wrong_answers(session.run, BATCHES, right, tolerance_ev=TOLERANCE_EV, calls=calls) == 0
        assert not any(program.flights for program in session._programs.values())
    assert (machine.gpu.n_bytes, machine.gpu.pinned_bytes) == (0, 0)


def test_plan_streams_that_take_turns_for_memory_are_right_under_eight_threads(
    machine: Any, right: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread reads a stream of its own, while others give up the programs that it needs and land its batches."""
    monkeypatch.setattr(bandrt.engine.plan.session, "MOST_PROGRAMS", 1)
    machine.gpu.order, machine.gpu.limit = "random", 60_000
    with open_session(machine.plan) as session:

        def last_of_stream(batch: Inputs) -> Any:
            *_, last = session.run_many([BATCHES[-1], BATCHES[0], batch])
            assert not isinstance(last, OutOfMemoryError)
            return last

        assert wrong_answers(last_of_stream, BATCHES, right, tolerance_ev=TOLERANCE_EV, calls=160) == 0
    assert machine.gpu.refused > 0
    assert (machine.gpu.n_bytes, machine.gpu.pinned_bytes) == (0, 0)


def test_an_engine_is_right_under_eight_threads(machine: Any) -> None:
    """From crystals to bands, with batches that must be halved."""
    machine.gpu.limit = 60_000

    def crystals() -> Iterator[Crystal]:
        for index, number in enumerate(islice(cycle((11, 14, 26)), 8)):
            yield Crystal((3.5 + 0.1 * index) * np.eye(3), np.array([number], np.int32), np.zeros((1, 3)))

    with load(machine.engine) as engine:
        wanted = np.stack([one.band_structure.energies for one in engine.predict(crystals())])
    with load(machine.plan) as engine:

        def predicted(batch: Inputs) -> Any:
            return {"band_energies": np.stack([one.band_structure.energies for one in engine.predict(crystals(), batch_size=8)])}

        assert wrong_answers(predicted, [{}], [wanted], tolerance_ev=TOLERANCE_EV, calls=64) == 0
    assert machine.gpu.refused > 0
