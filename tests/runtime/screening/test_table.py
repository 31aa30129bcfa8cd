"""The tables of a run as they are read: lines of results that were replaced count no more, and none may be missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import bandrt
from bandrt.errors import BandrtError
from bandrt.results import writer as writer_module
from bandrt.results.prediction import Failure, Prediction, Ticket
from bandrt.results.store import part_files, read, read_errors, read_run
from bandrt.results.stored_predictions import StoredPredictions
from bandrt.results.writer import Store
from bandrt.screening.table import SummaryTable, read_results, read_summary
from tests.support.predicted_crystals import CUBIC, predicted

FAILING = "x"
"""The content of an input that has no prediction."""


def ticket(order: int, name: str, content: str) -> Ticket:
    return Ticket(order, name, f"in/{name}.cif", (), content)


def prediction(given: Ticket) -> Prediction:
    one = predicted(given.id, CUBIC, gap=float(given.input_sha256), uncertainty=None)
    return dataclasses.replace(one, path=given.path, input_sha256=given.input_sha256)


def run(folder: Path, inputs: str, *, status: str = "finished") -> None:
    """A run over inputs such as ``a1 bx``, a name and its gap each, into a folder with results of another one or none."""
    with Store(folder, engine_sha256="e" * 64, mode="resume", record={"bandrt_version": "test"}) as store:
        store.write_run({"status": "running", "counts": {"total_predicted": store.n_predicted}})
        for order, (name, content) in enumerate(inputs.split()):
            given = ticket(order, name, content)
            if store.kept(given) is not None:
                continue
            if content == FAILING:
                store.fail(given, Failure(name, given.path, "read", "cif-syntax", "it is cut short", content))
            else:
                store.add(given, prediction(given))
        if status == "finished":
            store.finish([Path("in")])
        else:
            store.commit()
        counts = {"total_predicted": store.n_predicted, "total_failed": sum(store.failure_codes.values())}
        store.write_run({"status": status, "counts": counts})


@pytest.fixture
def unsorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that does not finish leaves its lines as they came, as one of very many does, or one that is killed."""
    monkeypatch.setattr(writer_module, "SORTED_AT_ONCE", 0)


def said(table: SummaryTable) -> dict[str, float]:
    assert len(set(table.columns["id"])) == len(table)
    return {str(table.value("id", row)): table.value("band_gap_ev", row) for row in range(len(table))}


def held(folder: Path) -> dict[str, float]:
    """What the parts have."""
    return {one.id: one.band_structure.band_gap for one in read(folder)}


def lines_of(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.mark.usefixtures("unsorted")
@pytest.mark.parametrize("status", ["running", "interrupted", "stopped"])
@pytest.mark.parametrize(
    ("first", "then", "gaps", "n_failed"),
    [
        ("a1 b2 c3", "a4 b2 c5", {"b": 2, "a": 4, "c": 5}, 0),  # changed
        ("a1 b2 c3", "a1 bx", {"a": 1, "c": 3}, 1),  # failed since
        ("ax b2 cx", "a1 b2", {"a": 1, "b": 2}, 1),  # predicted since
        ("a1 b2", "ax b3", {"b": 3}, 1),
    ],
)
def test_of_a_run_that_goes_on_the_last_result_of_each_crystal_counts(
    tmp_path: Path, status: str, first: str, then: str, gaps: dict[str, float], n_failed: int
) -> None:
    run(tmp_path, first)
    run(tmp_path, then, status=status)
    table, failures = read_results(tmp_path)
    assert said(table) == pytest.approx(gaps)
    assert said(table) == pytest.approx(held(tmp_path))
    assert (table.n_failed, len(failures)) == (n_failed, n_failed)
    assert not {failure.id for failure in failures} & set(gaps)


@pytest.mark.usefixtures("unsorted")
def test_the_list_and_the_page_have_each_crystal_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, "a1 b2 c3 d4")
    run(out, "a2 b3 cx d4", status="interrupted")
    assert len(lines_of(out, "summary.csv")) == 1 + 6
    found = bandrt.screen(out, bandrt.Criteria(gap=(0.0, 9.0)), as_predicted=True)
    assert sorted((row["id"], row["band_gap_ev"]) for row in found) == [("a", 2.0), ("b", 3.0), ("d", 4.0)]
    assert found.counts[:2] == (3, 1)
    assert bandrt.write_report(out, tmp_path / "page.html")[:3] == (3, 1, 3)


def test_a_run_that_was_killed_while_it_sorted_its_lines_is_read_as_a_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "a1 b2 c3 dx e5")
    monkeypatch.setattr(StoredPredictions, "sort_lines", lambda store: None)
    monkeypatch.setattr(writer_module.StoredFailures, "sort", lambda store: None)
    run(tmp_path, "a4 bx c3 d4")  # e is gone
    assert (len(lines_of(tmp_path, "summary.csv")), len(lines_of(tmp_path, "errors.jsonl"))) == (1 + 6, 2)
    table, failures = read_results(tmp_path)
    assert said(table) == pytest.approx({"a": 4, "c": 3, "d": 4})
    assert [failure.id for failure in failures] == ["b"]


def test_a_failure_is_recorded_when_no_part_holds_the_crystal_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever moment it is killed in: a crystal with both has been predicted since."""

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    run(tmp_path, "a1 b2")
    with monkeypatch.context() as patched:
        patched.setattr(StoredPredictions, "take_out", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "a1 bx")
    assert (sorted(held(tmp_path)), read_errors(tmp_path)) == (["a", "b"], [])
    with monkeypatch.context() as patched:
        patched.setattr(writer_module.StoredFailures, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "a1 bx")
    assert (sorted(said(read_summary(tmp_path))), read_errors(tmp_path)) == (["a"], [])
    run(tmp_path, "a1 bx")
    assert [failure.id for failure in read_errors(tmp_path)] == ["b"]


def test_a_part_that_a_run_has_emptied_meanwhile_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "a1 b2", status="running")
    parts = [*part_files(tmp_path), tmp_path / "parts" / "part-00007.npz"]
    monkeypatch.setattr("bandrt.results.counted.existing_parts", lambda folder: parts)
    assert sorted(said(read_summary(tmp_path))) == ["a", "b"]


@pytest.mark.parametrize("n_lines", [0, 1, 2])
def test_a_summary_without_all_its_lines_is_refused(tmp_path: Path, n_lines: int) -> None:
    run(tmp_path, "a1 b2 c3 dx")
    (tmp_path / "summary.csv").write_text("".join(lines_of(tmp_path, "summary.csv")[: 1 + n_lines]))
    with pytest.raises(BandrtError, match=rf"has {n_lines} predictions? that count, where run\.json says 3.*--resume") as caught:
        read_summary(tmp_path)
    assert caught.value.code == "summary-damaged"
    run(tmp_path, "a1 b2 c3 dx")
    assert len(read_summary(tmp_path)) == 3


def test_a_summary_of_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path, "a1 b2 c3")
    lines = lines_of(tmp_path, "summary.csv")
    run(tmp_path, "a1 b2")
    (tmp_path / "summary.csv").write_text("".join([lines[0], lines[1], lines[3]]))
    assert said(read_summary(tmp_path)).keys() == {"a", "c"}, "as many lines are not looked at"
    (tmp_path / "summary.csv").write_text("".join([lines[0], lines[1], lines[3], lines[3].replace("c", "d", 1)]))
    with pytest.raises(BandrtError, match=r"has 1 prediction that count, where run\.json says 2") as caught:
        read_summary(tmp_path)
    assert caught.value.code == "summary-damaged"


def test_a_record_of_failures_without_all_its_lines_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, "a1 bx cx dx")
    (out / "errors.jsonl").write_text("".join(lines_of(out, "errors.jsonl")[:2]))
    with pytest.raises(BandrtError, match=r"errors\.jsonl: has 2 failures that count, where run\.json says 3.*--resume") as caught:
        read_summary(out)
    assert caught.value.code == "errors-damaged"
    with pytest.raises(BandrtError) as on_page:
        bandrt.write_report(out, tmp_path / "page.html")
    assert on_page.value.code == "errors-damaged"
    run(out, "a1 bx cx dx")
    assert read_summary(out).n_failed == 3


@pytest.mark.parametrize(
    "record",
    [None, {}, {"status": "finished"}, {"status": "finished", "counts": {"predicted": 7}}, {"status": "finished", "counts": 7}],
)
def test_where_nothing_is_counted_nothing_is_missing(tmp_path: Path, record: dict[str, Any] | None) -> None:
    run(tmp_path, "a1 b2 cx")
    (tmp_path / "run.json").unlink()
    if record is not None:
        (tmp_path / "run.json").write_text(json.dumps(record))
    assert (sorted(said(read_summary(tmp_path))), read_summary(tmp_path).n_failed) == (["a", "b"], 1)


def test_ids_are_told_apart_as_they_are_and_not_as_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SORTED_AT_ONCE", 0)
    run(tmp_path, "=1 -2 '3")
    run(tmp_path, "=4 -x '3", status="interrupted")
    assert said(read_summary(tmp_path)) == pytest.approx({"=": 4, "'": 3})
    assert read_run(tmp_path)["counts"] == {"total_predicted": 2, "total_failed": 1}
