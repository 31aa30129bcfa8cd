"""One thread that makes calls for whoever asks: for libraries that keep something of every thread that calls them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread

_Jobs = SimpleQueue[tuple[list[Callable[[], None]], Future[None]] | None]


class Sender:
    """A thread that makes calls one after another; it ends when the sender is collected, and holds no process up."""

    def __init__(self, name: str) -> None:
        """Start the thread under a name."""
        self._jobs: _Jobs = SimpleQueue()
        Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
        weakref.finalize(self, self._jobs.put, None)

    def send(self, call: Callable[[], None]) -> None:
        """Make a call, and wait until it has returned; an interrupt is raised after that, as if the call were made here.

        Raises:
            Exception: what the call raises.
        """
        done: Future[None] = Future()
        self._jobs.put(([call], done))
        interrupt: BaseException | None = None
        while not done.done():
            try:
                wait([done])
            except BaseException as error:  # what the call works on must stay until it has returned
                interrupt = error
        if interrupt is not None:
            raise interrupt
        done.result()


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        calls, done = job
        try:
            calls.pop()()  # popped, so that nothing outlives its call here
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        del job, calls, done
