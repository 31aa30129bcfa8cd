"""The crystals of a shortlist, read from the parts of its folders without their bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bandrt.crystal import Crystal
from bandrt.errors import OutputError
from bandrt.results.store import stored_crystals
from bandrt.screening.shortlist import OUT, Shortlist


def crystals_of(shortlist: Shortlist) -> Sequence[Crystal]:
    """The standard primitive cells of a shortlist, in its order.

    Raises:
        OutputError: ``output-not-found``; ``part-damaged`` where a part cannot be read, or none holds a crystal.
    """
    found: dict[tuple[str, str], Crystal] = {}
    for out in dict.fromkeys(row[OUT] for row in shortlist):
        ids = {row["id"] for row in shortlist if row[OUT] == out}
        found |= {(out, id): crystal for id, crystal in stored_crystals(Path(out), ids).items()}
    if lost := next((row for row in shortlist if (row[OUT], row["id"]) not in found), None):
        why = f"no part holds {lost['id']}, which its summary.csv has"
        raise OutputError("part-damaged", f"{lost[OUT]}: {why}; run again with --resume")
    return [found[row[OUT], row["id"]] for row in shortlist]
