"""The engine's thread answers every batch, in order, also when the engine fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from types import SimpleNamespace
from typing import Any

import pytest

from bandrt.errors import EngineError
from bandrt.run.engine_thread import EngineThread


class Looking:
    """An engine that takes one batch more than it has answered, and may fail at one."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at

    def run_many(self, batches: Iterable[Any]) -> Iterator[list[Any]]:
        before: list[Any] | None = None
        for number, batch in enumerate(batches):
            if number == self.fails_at:
                raise EngineError("engine-failed", "the device is gone")
            if before is not None:
                yield [features for _, features in before]
            before = batch
        if before is not None:
            yield [features for _, features in before]


def batch(number: int) -> Any:
    return [(SimpleNamespace(order=number), f"features {number}")]


def test_every_batch_is_answered_with_its_own_results() -> None:
    with EngineThread(Looking()) as thread:  # type: ignore[arg-type]
        futures = [thread.submit(batch(number)) for number in range(20)]
        thread.finish()
        for number, future in enumerate(futures):
            [(ticket, result)], seconds = future.result(timeout=30)
            assert (ticket.order, result) == (number, f"features {number}")
            assert seconds >= 0


def test_a_batch_is_answered_when_the_next_is_there() -> None:
    with EngineThread(Looking()) as thread:  # type: ignore[arg-type]
        first = thread.submit(batch(0))
        second = thread.submit(batch(1))
        assert first.result(timeout=30)[0][0][1] == "features 0"
        assert not second.done()


def test_an_engine_that_fails_fails_what_it_had_and_what_comes_after() -> None:
    with EngineThread(Looking(fails_at=2)) as thread:  # type: ignore[arg-type]
        futures = [thread.submit(batch(number)) for number in range(3)]
        assert futures[0].result(timeout=30)
        with pytest.raises(EngineError, match="the device is gone"):
            futures[1].result(timeout=30)
        later = thread.submit(batch(3))
        thread.finish()
        wait([*futures, later], timeout=30)
        for future in [futures[2], later]:
            assert isinstance(future.exception(), EngineError)
