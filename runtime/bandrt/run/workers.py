"""Worker processes: a function applied to a stream of items, in order and a bounded number of items ahead.

A worker ends when the process that started it ends, however that happens. It reads its tasks in a thread, and the end of that
stream means that nobody waits for it any more. Native code that holds the interpreter lock stops that thread, too, so on Linux the
kernel is asked to kill the worker with its parent (``PR_SET_PDEATHSIG``). By parent the kernel means the *thread* that started the
process: each worker is therefore started and served by a thread of its own, which ends after it.

A worker may die at its task: it is killed, native code aborts, or it is ended here because it does not get on with a crystal
(`bandrt.watch`). That costs the task, whose place in the results is taken by what the caller makes of a `WorkerDied`; a new worker
goes on with the others.
"""

from __future__ import annotations

import atexit
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, MutableSequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from bandrt.errors import BandrtError
from bandrt.run.interrupt import REQUESTS
from bandrt.run.main_guard import lacks_guard, no_main_guard, require_main_guard
from bandrt.run.worker_process import IDLE, STOP, receive_answer, work
from bandrt.watch import ALL_OF_THEM

MAX_WORKERS = 1024
"""No machine gains by more processes of one program."""
SENT_AHEAD = 2
"""Tasks that a worker holds: it goes on with the second while the answer to the first is on its way."""
GRACE_SECONDS = 1.0
"""Time for a worker to leave by itself once all is done; then it is killed."""
LONGEST_TICK = 1.0
"""Seconds between two looks at what a worker does."""
DEATHS_IN_A_ROW = 100
"""Workers that may be killed without a single result between: more is no fault of inputs, and ends the run."""

T = TypeVar("T")
R = TypeVar("R")


class WorkerDied(Exception):
    """A worker ended while it was busy with a task.

    Attributes:
        place: of the crystal that it was busy with, from 0; None where that is not known.
        timed_out: whether it was ended because it did not get on.
    """

    def __init__(self, place: int | None, *, timed_out: bool) -> None:
        super().__init__("a worker process did not get on" if timed_out else "a worker process was killed")
        self.place = place
        self.timed_out = timed_out


class _Task(NamedTuple):
    message: bytes
    """The function and the item, pickled."""
    result: Future[Any]


class _TimedOut(Exception):
    """A worker does not get on with a crystal."""


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection
    messages: SimpleQueue[bytes]
    """On their way to it."""
    progress: MutableSequence[int]
    """How often the worker began with something, and the place of the crystal it is busy with."""
    room: bytearray
    """For its answers."""


class WorkerPool:
    """Processes that apply functions to items; a context manager, after which no worker is left.

    Leaving it by an exception, Ctrl-C included, kills the workers at once, whatever they are busy with.
    """

    def __init__(self, workers: int, *, ahead: int, advice: str, timeout: float | None = None) -> None:
        """Start nothing yet: a worker is started when there is something to do for it.

        Args:
            workers: processes; 0 works in the calling process, where nobody watches.
            ahead: items taken for each worker before the result of the first of them is given back.
            advice: what the error about a worker that died says of what is kept and how to go on.
            timeout: seconds after which a worker is ended that does not get on with a crystal; None: never.
        """
        require_main_guard()
        self._size = workers
        self._ahead = ahead
        self._advice = advice
        self._timeout = timeout
        self._deaths = 0
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._processes: list[BaseProcess] = []
        self._killed = Event()

    def map(
        self, function: Callable[[T], R], items: Iterable[T], *, rescue: Callable[[T, WorkerDied], R] | None = None
    ) -> Generator[R, None, None]:
        """Apply a function to items, lazily and in their order.

        Args:
            function: found by name in a module, or a `functools.partial` of such; given one item.
            items: may be endless; taken in the calling thread, at most `ahead` for each worker before the first result is given.
            rescue: makes the result of an item at which a worker died, in the calling thread; it may call `map` again.

        Raises:
            BandrtError: ``worker-died``, once the results of the items before are given, if nothing is rescued or no worker lives.
            Exception: what `function` raised, with the worker's traceback as a note.
        """
        if not self._size:
            yield from map(function, items)
            return
        waiting: deque[tuple[T, Future[R]]] = deque()

        def first() -> R:
            item, result = waiting.popleft()
            try:
                return result.result()
            except WorkerDied as death:
                if rescue is None:
                    raise self._fatal() from death
                return rescue(item, death)

        try:
            for item in items:
                waiting.append((item, self._submit(function, item)))
                if len(waiting) >= self._ahead * self._size:
                    yield first()
            while waiting:
                yield first()
        finally:
            for _, result in waiting:
                result.cancel()

    def __enter__(self) -> Self:
        atexit.register(self._kill)  # before multiprocessing waits for its children: an interrupt may get in the way of `__exit__`
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._tasks.put(None)
        if kind is None:
            for thread in self._threads:
                thread.join(GRACE_SECONDS)
        self._kill()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            process.join()
        atexit.unregister(self._kill)

    def _submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        if self._killed.is_set():
            raise ValueError("this pool of workers was left")
        result: Future[R] = Future()
        try:
            message = pickle.dumps((function, item))
        except Exception as error:
            result.set_exception(error)
            return result
        self._tasks.put(_Task(message, result))
        if len(self._threads) < self._size:
            thread = Thread(target=self._serve, name=f"bandrt-worker-{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return result

    def _kill(self) -> None:
        self._killed.set()
        for process in list(self._processes):
            process.kill()

    def _fatal(self) -> BandrtError:
        return BandrtError("worker-died", f"a worker process was killed, probably for its memory; {self._advice}")

    def _serve(self) -> None:
        """Start workers, one after the other, hand them tasks and wait for their end; runs in one thread for each at a time."""
        sent: deque[_Task] = deque()
        try:
            while not self._served(sent):
                if self._killed.is_set() or self._deaths > DEATHS_IN_A_ROW:
                    raise self._fatal()
        except Exception as error:
            for task in sent:
                task.result.set_exception(error)
            while task_or_none := self._next(wait=True):  # nobody waits forever, even if this was the last worker
                if task_or_none.result.set_running_or_notify_cancel():
                    task_or_none.result.set_exception(error)

    def _served(self, sent: deque[_Task]) -> bool:
        """Let one worker do tasks as long as it lives.

        Args:
            sent: tasks that the worker before it left behind, other than the one at which it died; those left behind now.

        Returns:
            Whether there are no more tasks.

        Raises:
            BandrtError: ``worker-died``, before it was ready: so would be the next.
        """
        worker, ready, timed_out = self._start(), False, False
        # a thread of its own sends: who waits to send a long message to a worker that hangs cannot watch it
        sender = Thread(target=_send, args=(worker.connection, worker.messages), name="bandrt-sender", daemon=True)
        sender.start()
        try:
            worker.connection.recv_bytes()
            ready = True
            self._exchange(worker, sent)
            worker.messages.put(STOP)
            worker.process.join()  # the kernel would kill it if this thread ended before it
            return True
        except _TimedOut:
            timed_out = True
        except (EOFError, OSError) as error:
            if not ready:
                raise (no_main_guard() if lacks_guard(worker.process, GRACE_SECONDS) else self._fatal()) from error
            self._deaths += 1
        finally:
            worker.process.kill()
            worker.process.join()
            worker.messages.put(STOP)
            sender.join()
            worker.connection.close()
        self._processes.remove(worker.process)
        place = worker.progress[1]
        if sent and place != IDLE:
            sent.popleft().result.set_exception(WorkerDied(None if place == ALL_OF_THEM else place, timed_out=timed_out))
        return False

    def _start(self) -> _Worker:
        # spawned, not forked: a fork would copy the threads of an engine in an undefined state
        context = get_context("spawn")
        if sys.platform != "win32":
            resource_tracker.ensure_running()  # started later, it would lift the mask
            signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)  # inherited: Ctrl-C spares a worker that is still starting
        ours, theirs = context.Pipe()
        progress: MutableSequence[int] = context.RawArray("q", [0, IDLE])
        process = context.Process(target=work, args=(theirs, progress), name="bandrt-worker", daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        if self._killed.is_set():
            process.kill()
        return _Worker(process, ours, SimpleQueue(), progress, bytearray())

    def _next(self, *, wait: bool) -> _Task | None:
        """The next task; None, now and ever after, when there are no more."""
        task = self._tasks.get(block=wait)
        if task is None:
            self._tasks.put(None)
        return task

    def _exchange(self, worker: _Worker, sent: deque[_Task]) -> None:
        """Send tasks and receive results until there are no more tasks.

        Args:
            worker: which is ready.
            sent: tasks that the worker still owes; at first those that it has to be sent again.
        """
        for task in sent:
            worker.messages.put(task.message)
        more = True
        while more or sent:
            while more and len(sent) < SENT_AHEAD:
                try:
                    new = self._next(wait=not sent)
                except Empty:
                    break
                if new is None:
                    more = False
                elif new.result.set_running_or_notify_cancel():
                    sent.append(new)
                    worker.messages.put(new.message)
            if sent:
                with self._answer_of(worker) as message:
                    result = sent.popleft().result
                    self._deaths = 0
                    try:
                        value, failure = pickle.loads(message)
                    except Exception as error:
                        result.set_exception(error)
                        continue
                if failure is None:
                    result.set_result(value)
                else:
                    result.set_exception(failure)

    def _answer_of(self, worker: _Worker) -> memoryview:
        """The next answer of a worker.

        Time is counted look by look, so that none passes for a worker while both processes are stopped or the machine sleeps.

        Raises:
            _TimedOut: it does not get on with a crystal.
        """
        if self._timeout is None:
            return receive_answer(worker.connection, worker.room)
        tick = min(LONGEST_TICK, self._timeout / 4)
        seen, waited, before = worker.progress[0], 0.0, time.monotonic()
        while not worker.connection.poll(tick):
            now = time.monotonic()
            waited, before = waited + min(now - before, 2 * tick), now
            if worker.progress[0] != seen:
                seen, waited = worker.progress[0], 0.0
            elif waited > self._timeout:
                raise _TimedOut
        return receive_answer(worker.connection, worker.room)


def _send(connection: Connection, messages: SimpleQueue[bytes]) -> None:
    """Send messages as they come, until the last of them or the worker's end."""
    with suppress(OSError):
        message = None
        while message != STOP:
            message = messages.get()
            connection.send_bytes(message)
