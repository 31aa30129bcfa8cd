"""The worker pool: in order, a bounded number ahead, errors that come back, and nobody left behind, however it ends."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread

import pytest

from bandrt.errors import BandrtError, InputError
from bandrt.run.worker_process import PIECE_BYTES
from bandrt.run.workers import WorkerDied, WorkerPool
from tests.support import worker_tasks as tasks
from tests.support.processes import DEADLINE_SECONDS, LEAVE_SECONDS, descendants, living, needs_proc, state, wait_until

ROOT = Path(__file__).resolve().parents[3]
AHEAD = 3
N_CRYSTALS = 6000
"""Enough to keep two workers busy for seconds."""


@contextmanager
def script(code: str, **options: int) -> Iterator[subprocess.Popen[str]]:
    """Python code in a process of its own, the leader of a process group."""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, start_new_session=True, **options) as running:
        try:
            yield running
        finally:
            running.kill()


@contextmanager
def busy_parent(task: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """A process whose two workers are busy with a task of `tests.support.worker_tasks`, and these workers."""
    code = f"from tests.support.worker_tasks import keep_busy; keep_busy({task!r}, {str(folder)!r})"
    with script(code, stderr=subprocess.PIPE) as parent:
        assert wait_until(lambda: len(list(folder.glob("busy-*"))) == 2)
        yield parent, {int(path.name.removeprefix("busy-")) for path in folder.glob("busy-*")}


def pool_of(workers: int) -> WorkerPool:
    return WorkerPool(workers, ahead=AHEAD, advice="what was done is kept")


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    with pool_of(workers) as pool:
        assert list(pool.map(tasks.slow_for_even, range(20))) == list(range(20))


def test_answers_of_any_length_come_whole_whatever_came_before() -> None:
    items = [list(range(length)) for length in (3, 4 * PIECE_BYTES, 0, PIECE_BYTES // 2, 5)]
    with WorkerPool(1, ahead=AHEAD, advice="") as pool:
        assert list(pool.map(sorted, items)) == items


def test_no_worker_is_the_calling_process() -> None:
    with pool_of(0) as pool:
        assert set(pool.map(tasks.process_id, range(5))) == {os.getpid()}


def test_one_worker_is_a_process_of_its_own() -> None:
    with pool_of(1) as pool:
        (worker,) = set(pool.map(tasks.process_id, range(5)))
    assert worker != os.getpid()


def test_several_workers_share_the_work() -> None:
    with pool_of(2) as pool:
        began, workers = time.monotonic(), set[int]()
        for worker in pool.map(tasks.process_id, itertools.count()):
            workers.add(worker)
            if len(workers) == 2 or time.monotonic() - began > DEADLINE_SECONDS:  # one may be ready long before the other
                break
    assert len(workers) == 2
    assert os.getpid() not in workers


def test_no_worker_is_started_without_anything_to_do() -> None:
    with pool_of(2) as pool:
        assert list(pool.map(tasks.process_id, [])) == []
        assert not multiprocessing.active_children()


@pytest.mark.parametrize(("workers", "most"), [(0, 1), (1, AHEAD), (2, 2 * AHEAD)])
def test_a_bounded_number_of_items_of_an_endless_stream_is_taken_ahead(workers: int, most: int) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with pool_of(workers) as pool:
        for given, result in enumerate(itertools.islice(pool.map(tasks.slow_for_even, endless()), 30)):
            assert result == given + 1
            assert taken - given <= most


def test_an_error_comes_back_as_what_it_is_with_the_traceback_of_the_worker() -> None:
    with pool_of(2) as pool:
        results = pool.map(tasks.refuse_seven, range(20))
        assert list(itertools.islice(results, 7)) == list(range(7))
        with pytest.raises(InputError) as caught:
            next(results)
    assert (caught.value.code, caught.value.stage) == ("no-atoms", "graph")
    assert caught.value.message == "seven.cif: there are no atoms"
    assert "in refuse_seven" in caught.value.__notes__[0]


def test_a_pool_works_on_after_an_error_of_the_function() -> None:
    with pool_of(2) as pool:
        with pytest.raises(InputError):
            list(pool.map(tasks.refuse_seven, range(20)))
        assert list(pool.map(tasks.refuse_seven, range(8, 12))) == [8, 9, 10, 11]


def test_what_cannot_travel_between_processes_is_an_error_and_no_hang() -> None:
    with pool_of(2) as pool:
        with pytest.raises(RuntimeError, match="TwoArguments: cannot be made again"):
            list(pool.map(tasks.raise_what_cannot_travel, range(3)))
        with pytest.raises((AttributeError, pickle.PicklingError), match=r"return_what_cannot_travel.*lambda"):
            list(pool.map(tasks.return_what_cannot_travel, range(3)))
        with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
            list(pool.map(lambda number: number, range(3)))


def test_a_worker_that_dies_is_an_error_after_the_results_before_it() -> None:
    with pool_of(2) as pool:
        results = pool.map(tasks.die_of_seven, range(100))
        assert list(itertools.islice(results, 7)) == list(range(7))
        with pytest.raises(BandrtError) as caught:
            next(results)
    assert caught.value.code == "worker-died"
    assert caught.value.message == "a worker process was killed, probably for its memory; what was done is kept"


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_at_which_a_worker_dies_can_be_rescued_and_another_worker_goes_on(workers: int) -> None:
    deaths: list[WorkerDied] = []

    def rescue(number: int, death: WorkerDied) -> int:
        deaths.append(death)
        return -number

    with pool_of(workers) as pool:
        assert list(pool.map(tasks.die_of_seven, range(20), rescue=rescue)) == [*range(7), -7, *range(8, 20)]
        assert list(pool.map(tasks.die_of_seven, [7, 7, 7, 8], rescue=rescue)) == [-7, -7, -7, 8]
    assert [(death.place, death.timed_out) for death in deaths] == [(None, False)] * 4


def test_a_rescue_may_give_the_pool_more_to_do() -> None:
    with pool_of(2) as pool:
        results = pool.map(
            tasks.sum_but_die_of_seven, [[1, 2], [6, 7], [3]], rescue=lambda numbers, death: next(pool.map(sum, [numbers]))
        )
        assert list(results) == [3, 13, 3]


@pytest.mark.parametrize("task", ["sleep_at", "hold_the_interpreter_at"])
def test_a_worker_that_does_not_get_on_is_ended_and_the_place_is_known(task: str) -> None:
    deaths: list[WorkerDied] = []

    def rescue(numbers: list[int], death: WorkerDied) -> list[int]:
        deaths.append(death)
        return []

    chunks = [[0, 1, 2], [0, 7, 2], list(range(100_000, 400_000)), [1]]  # the third is more than a pipe holds
    with WorkerPool(1, ahead=AHEAD, advice="", timeout=1.0) as pool:
        results = list(pool.map(getattr(tasks, task), chunks, rescue=rescue))
    assert results == [[0, 1, 2], [], chunks[2], [1]]
    assert [(death.place, death.timed_out) for death in deaths] == [(1, True)]


def test_a_task_of_many_crystals_may_take_longer_than_each_of_them() -> None:
    with WorkerPool(1, ahead=AHEAD, advice="", timeout=0.5) as pool:
        assert list(pool.map(tasks.slow_at_each, [[0, 1, 2, 3]])) == [[0, 1, 2, 3]]


def test_workers_that_cannot_be_started_are_an_error_and_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.run.workers.work", tasks.process_id)  # which says nothing, and ends
    with pool_of(2) as pool, pytest.raises(BandrtError) as caught:
        list(pool.map(tasks.slow_for_even, range(10), rescue=lambda number, death: number))
    assert caught.value.code == "worker-died"


def test_workers_that_die_again_and_again_without_a_result_between_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.run.workers.DEATHS_IN_A_ROW", 2)
    with pool_of(1) as pool, pytest.raises(BandrtError) as caught:
        list(pool.map(tasks.die_of_seven, [7] * 10, rescue=lambda number, death: number))
    assert caught.value.code == "worker-died"


def test_a_killed_worker_is_an_error() -> None:
    of_others = multiprocessing.active_children()

    def killed(_: int) -> None:
        for child in set(multiprocessing.active_children()).difference(of_others):
            child.kill()

    with pool_of(2) as pool:
        results = pool.map(tasks.slow_for_even, itertools.count())
        with pytest.raises(BandrtError, match="a worker process was killed"):
            list(map(killed, results))  # after each result: a worker that dies between two tasks is replaced, and nothing is lost


def test_a_pool_that_was_left_takes_nothing_more() -> None:
    with pool_of(2) as pool:
        assert list(pool.map(tasks.slow_for_even, range(3))) == [0, 1, 2]
    with pytest.raises(ValueError, match="was left"):
        list(pool.map(tasks.slow_for_even, range(3)))


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_no_worker_outlives_the_pool_even_when_it_is_stuck(error: type[BaseException] | None) -> None:
    began = time.monotonic()
    with pytest.raises(error) if error else nullcontext(), pool_of(2) as pool:
        results = pool.map(tasks.slow_or_stuck, range(8))
        next(results)
        workers = multiprocessing.active_children()
        began = time.monotonic()
        if error is not None:
            raise error
    assert len(workers) == 2
    assert not any(worker.is_alive() for worker in workers)
    assert time.monotonic() - began < LEAVE_SECONDS + 1.0  # one second of grace for each worker if nothing is wrong


def test_workers_outlive_the_thread_that_gave_them_their_first_task() -> None:
    with pool_of(2) as pool:
        results = pool.map(tasks.slow_for_even, range(100))
        first: list[int] = []
        thread = Thread(target=lambda: first.append(next(results)))
        thread.start()
        thread.join()
        assert first + list(results) == list(range(100))


@needs_proc
@pytest.mark.parametrize("task", ["spin", "hold_the_interpreter", "send_much"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_leave_with_a_killed_parent_whatever_they_do(task: str, number: int, tmp_path: Path) -> None:
    if sys.platform != "linux" and task == "hold_the_interpreter":
        pytest.skip("only Linux kills a process with its parent")
    with busy_parent(task, tmp_path) as (parent, workers):
        family = descendants(parent.pid)
        assert workers < family  # there is a resource tracker, too
        if task == "send_much":
            parent.send_signal(signal.SIGSTOP)
            (tmp_path / "go").touch()
            assert wait_until(lambda: {state(worker) for worker in workers} == {"S"})
        os.kill(parent.pid, number)
        if task == "send_much":
            parent.send_signal(signal.SIGCONT)
        assert parent.wait() == -number
        assert wait_until(lambda: not living(family), LEAVE_SECONDS)


@needs_proc
@pytest.mark.parametrize("task", ["spin", "hold_the_interpreter"])
def test_an_interrupt_ends_everything_soon(task: str, tmp_path: Path) -> None:
    with busy_parent(task, tmp_path) as (parent, _):
        family = descendants(parent.pid)
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: workers get it, too
        began = time.monotonic()
        _, errors = parent.communicate(timeout=DEADLINE_SECONDS)
        assert time.monotonic() - began < LEAVE_SECONDS
        assert parent.returncode == -signal.SIGINT
        assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1
        assert wait_until(lambda: not living(family), LEAVE_SECONDS)


def test_a_process_ends_although_it_left_a_pool_open() -> None:
    with script("from tests.support.worker_tasks import leave_without_closing as f; f()", stdout=subprocess.PIPE) as parent:
        output, _ = parent.communicate(timeout=DEADLINE_SECONDS)
    assert (parent.returncode, output) == (0, "0\n")


@pytest.fixture
def infer_many(tiny_engine: Path, tmp_path: Path, rock_salt: Callable[..., str]) -> Iterator[subprocess.Popen[str]]:
    """``bandrt infer --workers 2`` at work, as the leader of a process group."""
    table, out = tmp_path / "table.jsonl", tmp_path / "out"
    with table.open("w") as file:
        for i in range(N_CRYSTALS):
            file.write(json.dumps({"id": f"salt-{i:04d}", "cif": rock_salt(a=3.9 + 0.0001 * i)}) + "\n")
    arguments = ["infer", str(table), "-o", str(out), "--engine", str(tiny_engine), "--workers", "2"]
    code = f"import sys; from bandrt.cli import run; sys.exit(run({arguments!r}))"
    with script(code, stderr=subprocess.PIPE) as running:
        # two workers and the resource tracker
        assert wait_until(lambda: len(descendants(running.pid)) == 3 or running.poll() is not None)
        assert running.poll() is None
        yield running


@needs_proc
def test_nothing_is_left_of_infer_after_a_kill(infer_many: subprocess.Popen[str]) -> None:
    family = descendants(infer_many.pid)
    assert len(family) == 3
    infer_many.kill()
    infer_many.wait()
    assert wait_until(lambda: not living(family), LEAVE_SECONDS)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_interrupts_infer_and_is_no_death_of_a_worker(
    infer_many: subprocess.Popen[str], number: int
) -> None:
    family = descendants(infer_many.pid)
    os.killpg(infer_many.pid, number)
    _, errors = infer_many.communicate(timeout=DEADLINE_SECONDS)
    assert infer_many.returncode == 128 + number, errors
    assert "go on with --resume" in errors
    assert "Traceback" not in errors
    assert wait_until(lambda: not living(family), LEAVE_SECONDS)
