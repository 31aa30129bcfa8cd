"""The life of a worker, in its own process: it says that it is ready, answers tasks, and tells which crystal it is busy with.

It ends when it is told to, or when the process that started it ends; `bandrt.run.workers` is the other end of its connection.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import traceback
from collections.abc import MutableSequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread

from bandrt.outcomes import LEAVING
from bandrt.run.interrupt import REQUESTS
from bandrt.run.parent import die_with_parent
from bandrt.watch import ALL_OF_THEM, listen

STOP = b""
"""The message that ends a worker; no pickle is empty."""
READY = b"ready"
"""What a worker says first, when it could be started."""
IDLE = -2
"""The place of the crystal that a worker is busy with when it has no task."""
PIECE_BYTES = 1 << 17
"""Of an answer that travel at once: whole, it would be copied in memory that is new each time, which costs more than the copy."""


def work(connection: Connection, progress: MutableSequence[int]) -> None:
    """Answer tasks until told to stop, or until the parent is gone; the whole life of a worker.

    Args:
        connection: to the parent, which sends tasks and gets an answer to each.
        progress: shared with the parent: how often the worker began with something, and the place of the crystal it is busy with.
    """
    for number in REQUESTS:  # they often reach a whole process group; the parent decides, and its workers end with it
        signal.signal(number, signal.SIG_IGN)
    _keep_native_code_silent()
    messages: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_receive, args=(connection, messages), daemon=True).start()
    die_with_parent()
    listen(partial(_note, progress))
    with suppress(ConnectionError):  # the parent died: so does this process
        connection.send_bytes(READY)
        while message := messages.get():
            _note(progress, ALL_OF_THEM)
            answer = _answer(message)
            progress[1] = IDLE
            _send_answer(connection, answer)


def _send_answer(connection: Connection, answer: bytes) -> None:
    connection.send_bytes(len(answer).to_bytes(8, "big"))
    for start in range(0, len(answer), PIECE_BYTES):
        connection.send_bytes(answer, start, min(PIECE_BYTES, len(answer) - start))


def receive_answer(connection: Connection, room: bytearray) -> memoryview:
    """What a worker answers, as a view of the room that it is put into, which grows with it; to be released before the next.

    Raises:
        EOFError, OSError: the worker has ended.
    """
    size, end = int.from_bytes(connection.recv_bytes(), "big"), 0
    room.extend(bytes(max(0, size - len(room))))
    while end < size:
        piece = connection.recv_bytes()
        room[end : end + len(piece)] = piece
        end += len(piece)
    return memoryview(room)[:size]


def _note(progress: MutableSequence[int], place: int) -> None:
    progress[1] = place
    progress[0] += 1


def _keep_native_code_silent() -> None:
    """Drop what libraries print when they panic or abort: what became of the crystal is recorded. Python's own messages stay."""
    try:
        kept = os.dup(2)
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        sys.stderr = io.TextIOWrapper(io.FileIO(kept, "wb"), errors="backslashreplace", write_through=True)
    except OSError:
        pass  # it is closed


def _receive(connection: Connection, messages: SimpleQueue[bytes]) -> None:
    """Take messages as they come, so that the parent never waits to send one; leave at once when no more can come."""
    try:
        while True:
            messages.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _answer(message: bytes) -> bytes:
    try:
        function, item = pickle.loads(message)
        return pickle.dumps((function(item), None))
    except LEAVING:
        raise
    except BaseException as error:
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        try:
            answer = pickle.dumps((None, error))
            pickle.loads(answer)  # an exception may be one that pickles and cannot be made again
        except Exception:
            return pickle.dumps((None, RuntimeError("".join(traceback.format_exception(error)))))
        return answer
