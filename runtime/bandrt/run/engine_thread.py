"""The engine's own thread: batches come as a stream, so that a GPU copies one while it computes another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self

from bandrt.features import Features
from bandrt.predict import Engine
from bandrt.results.prediction import Result, Ticket

Batch = Sequence[tuple[Ticket, Features]]
Answer = tuple[list[tuple[Ticket, Result]], float]
"""The results of a batch, and the seconds that the engine took for them."""


class EngineThread:
    """Runs an engine beside the thread that feeds it; a context manager, which waits for what was submitted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[tuple[Batch, Future[Answer]] | None] = SimpleQueue()
        self._running: deque[tuple[Batch, Future[Answer]]] = deque()
        self._idle_seconds = 0.0  # spent waiting for batches
        self._left = False
        self._thread = Thread(target=self._work, name="bandrt-engine", daemon=True)

    def submit(self, batch: Batch) -> Future[Answer]:
        """Let a batch be run.

        A batch may be answered only when the next one is there or the thread is closed: wait for none but those before the last.
        """
        future: Future[Answer] = Future()
        self._queue.put((batch, future))
        return future

    def finish(self) -> None:
        """Say that no more batches come, so that all are answered."""
        self._queue.put(None)

    def leave(self, seconds: float) -> bool:
        """Run nothing more, and wait so long at most for what runs.

        Returns:
            Whether it has ended; else it ends by itself after the batch that it is at, and the engine must stay open until then.
        """
        self._left = True
        self.finish()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if not self._left:
            self.finish()
            self._thread.join()

    def _work(self) -> None:
        batches = self._batches()
        since, idle = time.perf_counter(), 0.0
        try:
            for results in self._engine.run_many(batches):
                now = time.perf_counter()
                batch, future = self._running.popleft()
                tickets = [ticket for ticket, _ in batch]
                future.set_result((list(zip(tickets, results, strict=True)), now - since - (self._idle_seconds - idle)))
                since, idle = now, self._idle_seconds
        except BaseException as error:
            self._fail_all(error)
            for _ in batches:  # nothing that comes after it is run
                self._fail_all(error)

    def _fail_all(self, error: BaseException) -> None:
        while self._running:
            self._running.popleft()[1].set_exception(error)

    def _batches(self) -> Iterator[Batch]:
        while True:
            started = time.perf_counter()
            job = self._queue.get()
            self._idle_seconds += time.perf_counter() - started
            if job is None or self._left:
                return
            self._running.append(job)
            yield job[0]
