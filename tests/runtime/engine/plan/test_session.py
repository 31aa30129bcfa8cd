"""Plans on a simulated GPU: the numbers are ONNX Runtime's, in the right order, whatever the device does when."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bandrt.engine.plan.session
from bandrt import Crystal, Failure, Prediction, load
from bandrt.batch import pad
from bandrt.contract import INPUT_NAMES, INVERSION
from bandrt.engine import open_session, read_manifest
from bandrt.engine.plan.file import manifest_text, sidecar
from bandrt.engine.session import Inputs, OutOfMemoryError
from bandrt.errors import EngineError
from bandrt.features import featurize
from bandrt.files import file_sha256
from bandrt.manifest import BandRule
from bandrt_export.eigensolver.assembly import with_solver
from tests.runtime.conftest import PLAN_PROFILE
from tests.support.given_hamiltonians import manifest_of, network_of_the_contract, run
from tests.support.random_batches import MIXED, random_batch
from tests.support.simulated_gpu import ORDERS, SimulatedDevice, SimulatedStream
from tests.support.simulated_tensorrt import SimulatedEngine
from tests.support.small_hamiltonians import GALLIUM_ARSENIDE, SALT, SILICON

SOLVED_TOLERANCE_EV = 1e-3
"""Rounding of eigenvalues of some 100 eV in single precision."""
TOLERANCE_EV = 1e-6
"""Rounding of sums over padding, single precision, energies of a few eV."""


def expected(machine: Any, batches: list[Inputs]) -> list[np.ndarray]:
    with open_session(machine.engine, threads=1) as session:
        return [session.run(batch)["band_energies"] for batch in batches]


def assert_equal(found: list[Any], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one["band_energies"], other, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize("order", ORDERS)
def test_a_stream_of_batches_gives_the_energies_of_onnx_runtime_in_order(machine: Any, order: str) -> None:
    machine.gpu.order = order
    with open_session(machine.plan) as session:
        assert_equal(list(session.run_many(MIXED)), expected(machine, MIXED))


@pytest.mark.parametrize("order", ORDERS)
def test_single_batches_do_too_and_a_shape_is_captured_once(machine: Any, order: str) -> None:
    machine.gpu.order = order
    batches = [random_batch(4, 5, seed) for seed in range(5)]
    with open_session(machine.plan) as session:
        assert session.device == "cuda:0"
        first, *rest = (session.run(batch) for batch in batches[:1])
        assert (machine.gpu.captures, machine.gpu.launches) == (0, 0)
        rest = [session.run(batch) for batch in batches[1:]]
        assert (machine.gpu.captures, machine.gpu.launches) == (1, 4)
        session.run(random_batch(4, 20))
        session.run(random_batch(4, 20, 1))
        assert machine.gpu.captures == 2
    assert_equal([first, *rest], expected(machine, batches))


def test_a_plan_takes_the_centres_of_all_crystals_of_a_batch_or_of_none(machine: Any) -> None:
    """This Hamiltonian has no centre, whatever its crystal has, so that bands tell whether one was used."""
    manifest = replace(manifest_of(32, BandRule(n_bands=18, n_valence=14)), inputs=INPUT_NAMES)
    proto = with_solver(network_of_the_contract(), manifest)
    planned = replace(read_manifest(machine.plan), profile=replace(PLAN_PROFILE, max_slots=128))
    machine.plan.write_bytes(proto.SerializeToString())
    backend = replace(planned.backend, file_sha256=file_sha256(machine.plan))
    manifest = replace(manifest, profile=planned.profile, backend=backend)
    sidecar(machine.plan).write_text(manifest_text(manifest), encoding="utf-8")
    features = [featurize(crystal, manifest.recipe) for crystal in (SILICON, SALT, GALLIUM_ARSENIDE)]
    batches = [pad(features[:2]), pad(features), pad(features[2:])]
    assert [len(batch["inversion_partner"]) for batch in batches] == [2, 2, 0]
    with open_session(machine.plan) as session:
        found = [outputs["band_energies"] for outputs in session.run_many(batches) if not isinstance(outputs, OutOfMemoryError)]
    unused = [batch | {name: batch[name][:0] for name in INVERSION} for batch in batches]
    fed = [{name: batch[name] for name in manifest.inputs} for batch in (batches[0], *unused)]
    real, *expected = [run(proto, batch)[0] for batch in fed]
    assert np.abs(real - expected[0]).max() > 10 * SOLVED_TOLERANCE_EV
    for energies, other in zip(found, [real, *expected[1:]], strict=True):
        np.testing.assert_allclose(energies, other, atol=3 * SOLVED_TOLERANCE_EV, rtol=0)  # bands are hundreds of eV wide


def test_similar_batches_share_one_shape_and_its_graph(machine: Any) -> None:
    with open_session(machine.plan) as session:
        for size in [(3, 9), (4, 10), (3, 10), (5, 6), (8, 6), (7, 6)]:  # 4 crystals of 10 atoms, 8 of 6
            assert_equal([session.run(random_batch(*size))], expected(machine, [random_batch(*size)]))
        assert machine.gpu.captures == 2


def test_the_copies_of_a_batch_are_asked_for_while_the_one_before_computes(machine: Any) -> None:
    with open_session(machine.plan) as session:
        stream = session.run_many([random_batch(4, 5, seed) for seed in range(4)])
        next(stream)
        assert machine.gpu.journal == ["upload", "download", "upload", "download", "wait"]
        next(stream)
        assert machine.gpu.journal[5:] == ["upload", "download", "wait"]
        assert machine.gpu.runs == 2  # of three: the third is on its way
        list(stream)


def test_a_forgotten_wait_between_streams_would_be_noticed(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedStream, "wait", lambda self, event: None)
    with open_session(machine.plan) as session:
        [found] = session.run_many([random_batch(4, 5)])
    assert not np.allclose(found["band_energies"], expected(machine, [random_batch(4, 5)])[0], equal_nan=True)


def test_memory_that_is_touched_too_early_would_be_noticed(machine: Any) -> None:
    with open_session(machine.plan) as session:
        stream = session.run_many([random_batch(4, 5, seed) for seed in range(3)])
        next(stream)
        [program] = session._programs.values()
        [lane] = [lane for lane in program._lanes if lane.flight is not None]
        with pytest.raises(AssertionError, match="while a copy is on its way"):
            lane._pinned[0].content[:] = 0
        list(stream)


def test_a_stream_that_nobody_reads_to_its_end_leaves_nothing_on_its_way(machine: Any) -> None:
    batches = [random_batch(4, 5, seed) for seed in range(6)]
    with open_session(machine.plan) as session:
        stream = session.run_many(batches)
        next(stream)
        stream.close()
        assert not any(program.flights for program in session._programs.values())
        assert_equal(list(session.run_many(batches)), expected(machine, batches))


def test_a_session_may_be_asked_while_its_stream_is_open(machine: Any) -> None:
    batches = [random_batch(4, 5, seed) for seed in range(4)]
    found = []
    with open_session(machine.plan) as session:
        for index, outputs in enumerate(session.run_many(batches)):
            found += [outputs, session.run(batches[index])]
    assert_equal(found, [energies for energies in expected(machine, batches) for _ in range(2)])


def test_everything_is_given_back(machine: Any) -> None:
    with open_session(machine.plan) as session:
        list(session.run_many(MIXED))
        assert machine.gpu.n_bytes > 0
    assert (machine.gpu.n_bytes, machine.gpu.pinned_bytes) == (0, 0)


def test_shapes_that_were_not_needed_for_longest_are_given_up(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandrt.engine.plan.session, "MOST_PROGRAMS", 2)
    with open_session(machine.plan) as session:
        assert_equal(list(session.run_many(MIXED)), expected(machine, MIXED))
        assert len(session._programs) <= 4  # two, and those with a batch on its way


def test_without_memory_for_all_shapes_the_old_ones_make_room(machine: Any) -> None:
    with open_session(machine.plan) as session:
        session.run(random_batch(4, 24))
        machine.gpu.limit = machine.gpu.n_bytes  # room for the largest, and nothing else
    with open_session(machine.plan) as session:
        assert_equal(list(session.run_many(MIXED)), expected(machine, MIXED))
    assert machine.gpu.refused > 0


def test_a_batch_without_memory_says_so_and_the_session_goes_on(machine: Any) -> None:
    machine.gpu.limit = 120_000
    batches = [random_batch(2, 3), random_batch(4, 24), random_batch(2, 4)]
    with open_session(machine.plan) as session:
        with pytest.raises(OutOfMemoryError, match="cuda:0 has no memory for 4 crystals of up to 24 atoms") as caught:
            session.run(batches[1])
        assert caught.value.code == "out-of-memory"
        first, second, third = session.run_many(batches)
    assert isinstance(second, OutOfMemoryError)
    assert_equal([first, third], expected(machine, [batches[0], batches[2]]))


def test_a_plan_without_capture_runs_step_by_step(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedEngine, "capturable", False)
    with open_session(machine.plan) as session:
        assert_equal(list(session.run_many(MIXED)), expected(machine, MIXED))
    assert (machine.gpu.captures, machine.gpu.launches) == (0, 0)


def test_a_session_says_how_much_is_captured_and_can_do_without(machine: Any) -> None:
    batches = [random_batch(4, 5, seed) for seed in range(2)]
    with open_session(machine.plan) as session:
        assert session.n_captured == 0
        assert_equal([session.run(batch) for batch in batches], expected(machine, batches))
        assert session.n_captured == 1
        session.give_up_capture()
        assert_equal(list(session.run_many(MIXED)), expected(machine, MIXED))
        assert (session.n_captured, machine.gpu.captures) == (1, 1), "what was captured before stays so"
    with open_session(machine.plan) as session:
        session.give_up_capture()
        assert_equal(list(session.run_many(MIXED)), expected(machine, MIXED))
        assert (session.n_captured, machine.gpu.captures) == (0, 1)


def test_a_capture_that_fails_is_said_and_costs_no_result(
    machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(SimulatedEngine, "capture_fails", True)
    with open_session(machine.plan) as session:
        assert_equal(list(session.run_many(MIXED)), expected(machine, MIXED))
    assert "without CUDA graphs: tensorrt-rtx 1.7.1.116 cannot run the plan: operation not permitted" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]  # once, not for every shape


@pytest.mark.parametrize("order", ORDERS)
def test_a_device_that_fails_is_one_error_after_the_results_before_it(machine: Any, order: str) -> None:
    machine.gpu.order, machine.gpu.fails_at_run = order, 4
    batches = [random_batch(4, 5, seed) for seed in range(8)]
    found = []
    with open_session(machine.plan) as session:
        with pytest.raises(EngineError, match=r"model\.plan: cuda:0 failed on .*illegal memory access") as caught:
            found.extend(session.run_many(batches))
        assert caught.value.code == "engine-failed"
    assert 2 <= len(found) <= 3  # a device that breaks takes what is on its way with it
    assert_equal(found, expected(machine, batches)[: len(found)])


def test_a_batch_for_which_there_is_no_profile_is_refused(machine: Any) -> None:
    with open_session(machine.plan) as session:
        for size in [(9, 3), (5, 7), (1, 25)]:
            with pytest.raises(EngineError, match=f"takes {size[0]} crystals of {size[1]} atoms") as caught:
                session.run(random_batch(*size))
            assert caught.value.code == "batch-too-large"


@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 24)), min_size=1, max_size=10),
    order=st.sampled_from(ORDERS),
    limit=st.one_of(st.none(), st.integers(60_000, 400_000)),
    most_programs=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stream_in_any_order_with_any_memory_is_answered_rightly_or_refused(
    machine: Any, sizes: list[tuple[int, int]], order: str, limit: int | None, most_programs: int
) -> None:
    batches = [random_batch(*size, seed) for seed, size in enumerate(sizes)]
    machine.trt.device = gpu = SimulatedDevice(order, limit)
    with (
        mock.patch("bandrt.engine.plan.open.CudaDevice", return_value=gpu),
        mock.patch("bandrt.engine.plan.session.MOST_PROGRAMS", most_programs),
        open_session(machine.plan) as session,
    ):
        found = list(session.run_many(batches))
        for one, wanted in zip(found, expected(machine, batches), strict=True):
            if isinstance(one, OutOfMemoryError):
                assert limit is not None
            else:
                np.testing.assert_allclose(one["band_energies"], wanted, atol=TOLERANCE_EV, rtol=0)
    assert (gpu.n_bytes, gpu.pinned_bytes) == (0, 0)


def cubic(a: float, numbers: list[int]) -> Crystal:
    frac = np.arange(len(numbers))[:, None] * np.full(3, 1 / len(numbers)) + [[0.01 * i, 0.0, 0.0] for i in range(len(numbers))]
    return Crystal(np.eye(3) * a, np.array(numbers, np.int32), frac)


def crystals(count: int) -> Iterator[Crystal]:
    for index in range(count):
        yield cubic(4.0 + 0.01 * index, [11, 17, 14][: 1 + index % 3])


def energies(path: Path, count: int, **options: Any) -> list[Any]:
    with load(path) as engine:
        return list(engine.predict(crystals(count), **options))


def test_predictions_come_in_input_order_and_equal_those_of_the_cpu(machine: Any) -> None:
    on_gpu, on_cpu = energies(machine.plan, 50, batch_size=7), energies(machine.engine, 50, batch_size=7)
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert one.id == other.id
        np.testing.assert_allclose(one.band_structure.energies, other.band_structure.energies, atol=TOLERANCE_EV, rtol=0)


def test_a_batch_size_beyond_the_profile_is_cut_to_it(machine: Any) -> None:
    assert len(energies(machine.plan, 40, batch_size=30)) == 40


def test_batches_that_do_not_fit_are_halved_and_the_size_is_remembered(machine: Any) -> None:
    on_cpu = energies(machine.engine, 64, batch_size=8)
    machine.gpu.limit = 150_000
    with load(machine.plan) as engine:
        on_gpu = list(engine.predict(crystals(64), batch_size=8))
        refused = machine.gpu.refused
        assert refused > 0
        again = list(engine.predict(crystals(64), batch_size=8))
    for results in (on_gpu, again):
        for one, other in zip(results, on_cpu, strict=True):
            assert isinstance(one, Prediction)
            assert one.id == other.id
            np.testing.assert_allclose(one.band_structure.energies, other.band_structure.energies, atol=TOLERANCE_EV, rtol=0)


@pytest.mark.parametrize("order", ORDERS)
def test_memory_that_is_missing_when_a_run_begins_halves_the_batch_too(
    machine: Any, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    machine.gpu.order = order
    on_cpu = energies(machine.engine, 24, batch_size=8)
    monkeypatch.setattr(SimulatedEngine, "most_atoms", 6)
    for one, other in zip(energies(machine.plan, 24, batch_size=8), on_cpu, strict=True):
        np.testing.assert_allclose(one.band_structure.energies, other.band_structure.energies, atol=TOLERANCE_EV, rtol=0)
    assert (machine.gpu.n_bytes, machine.gpu.pinned_bytes) == (0, 0)


def test_a_session_may_be_closed_twice_and_stays_within_its_budget(machine: Any) -> None:
    from bandrt.engine.plan.session import PlanSession
    from bandrt.engine.plan.tensorrt import Plan

    plan = Plan(machine.trt, "tensorrt-rtx", machine.plan.read_bytes())
    session = PlanSession(machine.plan, read_manifest(machine.plan), plan, machine.gpu, name="cuda:0", budget=200_000)
    most = 0
    for batch, outputs in zip(MIXED, session.run_many(MIXED), strict=True):
        assert len(outputs["band_energies"]) == len(batch["kpoints"])
        most = max(most, machine.gpu.n_bytes)
    assert 0 < most <= 200_000
    session.close()
    session.close()


def test_a_crystal_that_does_not_fit_even_alone_is_a_failure_among_predictions(machine: Any) -> None:
    machine.gpu.limit = 36_000
    large = cubic(9.0, [11, 17, 14, 26, 82, 52, 31, 33] * 3)
    with load(machine.plan) as engine:
        results = list(engine.predict([*crystals(3), large, *crystals(3)]))
    assert [type(result) for result in results] == [Prediction] * 3 + [Failure] + [Prediction] * 3
    assert (results[3].code, results[3].stage) == ("out-of-memory", "predict")
    assert "cuda:0 has no memory for 1 crystals of up to 24 atoms" in results[3].message


def test_a_crystal_beyond_the_profile_is_a_failure_before_the_gpu_is_touched(machine: Any) -> None:
    large = cubic(12.0, [11, 17, 14, 26, 82] * 5)
    with load(machine.plan) as engine:
        [result] = engine.predict([large])
    assert isinstance(result, Failure)
    assert result.code == "too-many-atoms"
    assert "--max-atoms 25" in result.message
    assert machine.gpu.journal == []
