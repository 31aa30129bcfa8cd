"""One session made of several, such as one for each GPU: batches are dealt out, and answered in the order in which they came.

Which crystals make a batch does not depend on how many sessions there are, so that GPUs of one kind give what one of them gives, to
the last bit. A session that fails takes no further batch, and others run those that it had.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import NamedTuple, Self

from bandrt.engine.session import Compiling, Inputs, OutOfMemoryError, Outputs, Session, parse_device
from bandrt.errors import EngineError, UsageError
from bandrt.manifest import Manifest
from bandrt.quoting import quoted

AHEAD = 2
"""Batches that a session has at most: one that it computes, one that it copies."""
SEPARATOR = ","

Answer = Outputs | OutOfMemoryError


def parse_devices(device: str) -> list[str]:
    """The devices of a list such as ``cuda:0,cuda:1``, or the only one.

    Raises:
        UsageError: ``unknown-device``, also for one that is named twice and for a list that has the CPU.
    """
    names = device.split(SEPARATOR)
    if len(names) == 1:
        return names
    parsed = [parse_device(name) for name in names]
    if any(kind == "cpu" for kind, _ in parsed):
        raise UsageError("unknown-device", f"devices {quoted(device)}: the CPU takes no turns with a GPU; name GPUs alone")
    if len(set(parsed)) < len(parsed):
        raise UsageError("unknown-device", f"devices {quoted(device)}: one is named twice; name each GPU once")
    return names


def n_devices(device: str) -> int:
    """How many devices a session runs on, by what `Session.device` says."""
    return device.count(SEPARATOR) + 1


class SeveralSessions:
    """Sessions of one model that share its batches; each runs in a thread of its own while batches come."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        """Take open sessions of one model, which are closed with this one."""
        self._sessions = tuple(sessions)
        self._live = list(sessions)

    @property
    def manifest(self) -> Manifest:
        """What the model is and what it must be fed."""
        return self._sessions[0].manifest

    @property
    def device(self) -> str:
        """Where it runs: ``cuda:0,cuda:1``."""
        return SEPARATOR.join(session.device for session in self._sessions)

    @property
    def compiling(self) -> str | None:
        """What the first of those that compile compiles for; None while none does."""
        waiting = (session.compiling for session in self._live if isinstance(session, Compiling))
        return next((shape for shape in waiting if shape is not None), None)

    def run(self, inputs: Inputs) -> Outputs:
        """Evaluate one padded batch; see `bandrt.engine.session.Session.run`.

        Raises:
            EngineError: ``engine-failed`` when all sessions have failed, ``out-of-memory`` for a batch that is too large.
        """
        while True:
            session = self._live[0]
            try:
                return session.run(inputs)
            except OutOfMemoryError:
                raise
            except EngineError as error:
                self._give_up(session, error)

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Answer]:
        """Evaluate batches on all sessions at once; see `bandrt.engine.session.Session.run_many`.

        Up to two batches for each session are taken before the first is answered.
        """
        source = iter(batches)
        sent: deque[_Sent] = deque()
        workers = [_Worker(session) for session in self._live]
        more = True
        try:
            while True:
                while more and len(sent) < AHEAD * len(self._live):
                    inputs = next(source, None)
                    if inputs is None:
                        more = False
                    else:
                        usable = [worker for worker in workers if worker.session in self._live]
                        worker = min(usable, key=lambda one: one.n_open(sent))
                        sent.append(_Sent(inputs, worker.submit(inputs), worker))
                if not sent:
                    return
                yield self._answered(sent)
        finally:
            for worker in workers:
                worker.finish()

    def close(self) -> None:
        """Free the model, on all devices."""
        for session in self._sessions:
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _answered(self, sent: deque[_Sent]) -> Answer:
        """What comes of the batch that was sent first; where its session has failed, another one runs it."""
        first = sent[0]
        if first.worker.n_open(sent) < AHEAD:
            first.worker.flush()
        try:
            return first.answer.result()
        except EngineError as error:
            self._give_up(first.worker.session, error)
            try:
                return self.run(first.inputs)
            except OutOfMemoryError as too_large:
                return too_large
        finally:
            sent.popleft()

    def _give_up(self, session: Session, error: EngineError) -> None:
        """Send a session nothing more.

        Raises:
            EngineError: it was the last.
        """
        rest = [one for one in self._live if one is not session]
        if len(rest) == len(self._live):
            return
        if not rest:
            raise error
        self._live = rest
        others = SEPARATOR.join(one.device for one in rest)
        logging.getLogger(__name__).warning("%s; %s goes on without %s", error.message, others, session.device)


class _Sent(NamedTuple):
    """A batch that was given to a session and not answered yet."""

    inputs: Inputs
    answer: Future[Answer]
    worker: _Worker


class _Worker:
    """A session that runs in a thread, which it leaves with the batches that it was given."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._queue: SimpleQueue[tuple[Inputs, Future[Answer]] | bool] = SimpleQueue()  # True: answer all; False: and end
        self._running: deque[Future[Answer]] = deque()
        self._ended = False
        self._thread = Thread(target=self._work, name=f"bandrt-{session.device}", daemon=True)
        self._thread.start()

    def submit(self, inputs: Inputs) -> Future[Answer]:
        """Let a batch be run; it may be answered only when the next one is there, or after `flush`."""
        answer: Future[Answer] = Future()
        self._queue.put((inputs, answer))
        return answer

    def flush(self) -> None:
        """Let all be answered, although nothing comes behind it yet."""
        self._queue.put(True)

    def finish(self) -> None:
        """Wait for what was submitted."""
        self._queue.put(False)
        self._thread.join()

    def n_open(self, sent: Iterable[_Sent]) -> int:
        """How many batches it has not answered."""
        return sum(one.worker is self and not one.answer.done() for one in sent)

    def _work(self) -> None:
        failure: BaseException | None = None
        while not self._ended:
            try:
                for outputs in self.session.run_many(self._batches()) if failure is None else self._refused(failure):
                    self._running.popleft().set_result(outputs)
            except BaseException as error:
                failure = error
                while self._running:
                    self._running.popleft().set_exception(error)

    def _batches(self) -> Iterator[Inputs]:
        """Batches up to the next flush."""
        while not isinstance(job := self._queue.get(), bool):
            self._running.append(job[1])
            yield job[0]
        self._ended = not job

    def _refused(self, failure: BaseException) -> Iterator[Outputs]:
        """Nothing is run any more: what comes has failed, too."""
        for _ in self._batches():
            self._running.popleft().set_exception(failure)
        yield from ()
