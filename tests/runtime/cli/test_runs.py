"""What is said of a run: how fast it is, and one of a kind as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt.cli.progress import Progress
from bandrt.cli.runs import run_lines, show_run
from bandrt.run.report import STAGES, RunReport


def report(predicted: int, wall: float, **more: object) -> RunReport:
    return RunReport(predicted=predicted, seconds={**dict.fromkeys(STAGES, 0.0), "wall": wall}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("predicted", "wall", "said"),
    [
        (50, 10.0, "5.0 crystals/s (10.0 s; "),
        (1, 10.0, "0.1 crystals/s (10.0 s; "),
        (2, 700.0, "350 s a crystal (700.0 s; "),
        (0, 10.0, "10.0 s (read 0.0, "),
    ],
)
def test_how_fast_it_is_fits_its_size(
    predicted: int, wall: float, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_lines(report(predicted, wall), Path("out"))[-1].startswith(said)
    monkeypatch.setattr("bandrt.cli.progress.LOG_SECONDS", -1.0)
    with Progress("crystals") as progress:
        show_run(progress, report(predicted, wall))
    shown = capsys.readouterr().err.rstrip()
    assert shown.endswith(f"0 failed, {said.partition(' (')[0]}" if predicted else "0 failed")


def test_one_of_a_kind_is_spoken_of_as_one() -> None:
    assert run_lines(report(1, 2.0, status="interrupted"), Path("out"))[0] == "interrupted after 1 prediction; go on with --resume"
    assert run_lines(report(2, 2.0, status="interrupted"), Path("out"))[0].startswith("interrupted after 2 predictions;")
    said = f"1 earlier prediction, of an input that has changed or is gone, is in {Path('out', 'set-aside')} now"
    assert said in run_lines(report(1, 2.0, set_aside=1), Path("out"))
