"""The tables of the page."""

from __future__ import annotations

from bandrt.report.columns import failure_columns
from bandrt.results.prediction import Failure


def test_columns_that_were_kept_of_failures_stand_beside_ours_whatever_they_are_called() -> None:
    failures = [
        Failure("a", "a.cif", "read", "cif-syntax", "it is cut short", kept={"message": "mine", "energy": "-1.5e0"}),
        Failure("b", "b.cif", "symmetry", "no-atoms", "it is empty", kept={"energy": ""}),
    ]
    found = {column.name: column for column in failure_columns(failures)}
    assert list(found) == ["id", "code", "stage", "message", "message (kept)", "energy", "path"]
    assert found["message"].values == ["it is cut short", "it is empty"]
    assert found["message (kept)"].values == ["mine", None]
    assert found["energy"].values == ["-1.5e0", None]
    assert [name for name, column in found.items() if column.sorts_as_number] == ["energy"]
