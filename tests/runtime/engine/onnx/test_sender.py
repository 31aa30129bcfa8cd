"""A thread that makes calls for others: interrupts wait for it, and it ends when nobody needs it."""

from __future__ import annotations

import gc
import signal
import threading
import time

import pytest

from bandrt.engine.onnx.sender import Sender


def test_an_interrupt_waits_for_what_was_sent() -> None:
    sender, returned = Sender("test"), threading.Event()
    main = threading.get_ident()

    def call() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.3)
        returned.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have told to ignore
    try:
        with pytest.raises(KeyboardInterrupt):
            sender.send(call)
    finally:
        signal.signal(signal.SIGINT, before)
    assert returned.is_set()
    with pytest.raises(ZeroDivisionError):
        sender.send(lambda: [][1 // 0])


def test_the_thread_that_sends_ends_with_the_plan() -> None:
    sender = Sender("sends no more")
    sender.send(lambda: None)
    [thread] = [one for one in threading.enumerate() if one.name == "sends no more"]
    del sender
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
