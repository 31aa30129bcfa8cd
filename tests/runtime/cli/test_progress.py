"""Progress goes to standard error alone: a bar with a total for people, a line now and then for logs, nothing if quiet."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

import pytest

from bandrt.cli.progress import Progress


class Terminal(io.StringIO):
    """Standard error of somebody who looks at it."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar_with_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stderr(Terminal()) as terminal, Progress("crystals") as progress:
        assert terminal.getvalue() == ""
        assert list(progress.counted("abc", 3)) == ["a", "b", "c"]
    assert "/3" in terminal.getvalue()
    assert "crystals" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = 0.0
    monkeypatch.setattr("bandrt.cli.progress.time.monotonic", lambda: clock)
    with Progress("crystals") as progress:
        for done in range(1, 26):
            clock = float(done)
            progress.show(done, 25)
    assert capsys.readouterr().err.splitlines() == ["10 of 25 crystals", "20 of 25 crystals"]


def test_quiet_is_quiet() -> None:
    with redirect_stderr(Terminal()) as terminal, Progress("crystals", quiet=True) as progress:
        assert list(progress.counted("abc", 3)) == ["a", "b", "c"]
    assert terminal.getvalue() == ""


def test_what_is_printed_above_a_bar_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stderr(Terminal()) as terminal, Progress("figures") as progress:
        progress.show(1, 2)
        progress.echo("a.png")
    assert capsys.readouterr().out == "a.png\n"
    assert "a.png" not in terminal.getvalue()
