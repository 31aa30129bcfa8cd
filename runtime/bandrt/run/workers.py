"""Worker processes: a function applied to a stream of items, in order and a bounded number of items ahead.

A worker ends when the process that started it ends, however that happens. It reads its tasks in a thread, and the end of that
stream means that nobody waits for it any more. Native code that holds the interpreter lock stops that thread, too, so on Linux the
kernel is asked to kill the worker with its parent (``PR_SET_PDEATHSIG``). By parent the kernel means the *thread* that started the
process: each worker is therefore started and served by a thread of its own, which ends after it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import current_process, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from bandrt.errors import BandrtError

MAX_WORKERS = 1024
"""No machine gains by more processes of one program."""
SENT_AHEAD = 2
"""Tasks that a worker holds: it goes on with the second while the answer to the first is on its way."""
GRACE_SECONDS = 1.0
"""Time for a worker to leave by itself once all is done; then it is killed."""
PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``."""
LEFT_TO_PARENT = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that often reach a whole process group; the parent decides what they mean, and its workers end with it."""
EXIT_WITHOUT_GUARD = 77
"""With which a worker ends that was about to start the run that started it."""
STOP = b""
"""The message that ends a worker; no pickle is empty."""

T = TypeVar("T")
R = TypeVar("R")


class _Task(NamedTuple):
    function: Callable[[Any], Any]
    item: Any
    result: Future[Any]


def require_main_guard() -> None:
    """End a worker that runs, while it starts, the script that started it: the script has no main guard, and would never end."""
    if getattr(current_process(), "_inheriting", False):
        os._exit(EXIT_WITHOUT_GUARD)


class WorkerPool:
    """Processes that apply functions to items; a context manager, after which no worker is left.

    Leaving it by an exception, Ctrl-C included, kills the workers at once, whatever they are busy with.
    """

    def __init__(self, workers: int, *, ahead: int, advice: str) -> None:
        """Start nothing yet: a worker is started when there is something to do for it.

        Args:
            workers: processes; 0 and 1 work in the calling process.
            ahead: items taken for each worker before the result of the first of them is given back.
            advice: what the error about a worker that died says of what is kept and how to go on.
        """
        require_main_guard()
        self._size = workers if workers > 1 else 0
        self._ahead = ahead
        self._advice = advice
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._processes: list[BaseProcess] = []
        self._killed = Event()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
        """Apply a function to items, lazily and in their order.

        Args:
            function: found by name in a module, or a `functools.partial` of such; given one item.
            items: may be endless; taken in the calling thread, at most `ahead` for each worker before the first result is given.

        Raises:
            BandrtError: ``worker-died``, once the results of the items before are given.
            Exception: what `function` raised, with the worker's traceback as a note.
        """
        if not self._size:
            yield from map(function, items)
            return
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(self._submit(function, item))
                if len(waiting) >= self._ahead * self._size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for result in waiting:
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
        self._tasks.put(_Task(function, item, result))
        if len(self._threads) < self._size:
            thread = Thread(target=self._serve, name=f"bandrt-worker-{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return result

    def _kill(self) -> None:
        self._killed.set()
        for process in self._processes:
            process.kill()

    def _serve(self) -> None:
        """Start a worker, hand it tasks and wait for its end; runs in one thread for each worker."""
        sent: deque[Future[Any]] = deque()
        try:
            process, connection = self._start()
            with connection:
                self._exchange(connection, sent)
                connection.send_bytes(STOP)
                process.join()  # the kernel would kill it if this thread ended before it
        except Exception as error:
            failure: Exception = error
            if isinstance(error, EOFError | OSError):
                failure = BandrtError("worker-died", f"a worker process was killed, probably for its memory; {self._advice}")
                if self._lacks_guard():
                    failure = BandrtError(
                        "no-main-guard",
                        'worker processes run the script that starts them: put what it does under if __name__ == "__main__":',
                    )
                failure.__cause__ = error
            for result in sent:
                result.set_exception(failure)
            while task := self._next(wait=True):  # nobody waits forever, even if this was the last worker
                if task.result.set_running_or_notify_cancel():
                    task.result.set_exception(failure)

    def _start(self) -> tuple[BaseProcess, Connection]:
        # spawned, not forked: a fork would copy the threads of an engine in an undefined state
        context = get_context("spawn")
        if sys.platform != "win32":
            resource_tracker.ensure_running()  # started later, it would lift the mask
            signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_PARENT)  # inherited: Ctrl-C spares a worker that is still starting
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), name="bandrt-worker", daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        if self._killed.is_set():
            process.kill()
        return process, ours

    def _lacks_guard(self) -> bool:
        for process in self._processes:
            process.join(GRACE_SECONDS)
        return any(process.exitcode == EXIT_WITHOUT_GUARD for process in self._processes)

    def _next(self, *, wait: bool) -> _Task | None:
        """The next task; None, now and ever after, when there are no more."""
        task = self._tasks.get(block=wait)
        if task is None:
            self._tasks.put(None)
        return task

    def _exchange(self, connection: Connection, sent: deque[Future[Any]]) -> None:
        """Send tasks and receive results until there are no more tasks.

        Args:
            connection: to the worker.
            sent: filled with the results that the worker still owes.
        """
        more = True
        while more or sent:
            while more and len(sent) < SENT_AHEAD:
                try:
                    task = self._next(wait=not sent)
                except Empty:
                    break
                if task is None:
                    more = False
                elif task.result.set_running_or_notify_cancel():
                    try:
                        message = pickle.dumps((task.function, task.item))
                    except Exception as error:
                        task.result.set_exception(error)
                        continue
                    sent.append(task.result)
                    connection.send_bytes(message)
            if sent:
                message = connection.recv_bytes()
                result = sent.popleft()
                try:
                    value, failure = pickle.loads(message)
                except Exception as error:
                    result.set_exception(error)
                    continue
                if failure is None:
                    result.set_result(value)
                else:
                    result.set_exception(failure)


def _work(connection: Connection) -> None:
    """Answer tasks until told to stop, or until the parent is gone; the whole life of a worker."""
    for number in LEFT_TO_PARENT:
        signal.signal(number, signal.SIG_IGN)
    messages: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_receive, args=(connection, messages), daemon=True).start()
    _die_with_parent()
    with suppress(ConnectionError):  # the parent died: so does this process
        while message := messages.get():
            connection.send_bytes(_answer(message))


def _receive(connection: Connection, messages: SimpleQueue[bytes]) -> None:
    """Take messages as they come, so that the parent never waits to send one; leave at once when no more can come."""
    try:
        while True:
            messages.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process with the thread that started it, even in native code that holds the interpreter lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(message: bytes) -> bytes:
    try:
        function, item = pickle.loads(message)
        return pickle.dumps((function(item), None))
    except Exception as error:
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        try:
            answer = pickle.dumps((None, error))
            pickle.loads(answer)  # an exception may be one that pickles and cannot be made again
        except Exception:
            return pickle.dumps((None, RuntimeError("".join(traceback.format_exception(error)))))
        return answer
