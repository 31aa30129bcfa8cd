"""Results of `bandrt refine` in the place of those that they refine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandrt.errors import UsageError
from bandrt.quoting import shortened
from bandrt.results.damage import undamaged
from bandrt.results.parts import part_inputs
from bandrt.results.store import existing_parts, stored_crystals
from bandrt.screening.cif import cif_text
from bandrt.screening.table import SummaryTable
from bandrt.sources.source import text_sha256


def in_place(tables: Sequence[SummaryTable], refined: SummaryTable) -> list[SummaryTable]:
    """Tables in which predictions of another run stand in the place of those of the same crystals; the refined ones come last.

    They are known by their ids, and keep the path and the kept columns of the first run. What has no prediction in the second keeps
    that of the first, and so does what was refined before its cell became another.

    Raises:
        UsageError: ``refined-differs`` for a crystal that none of the tables has, or several have, or of another formula.
        OutputError: ``part-damaged``, ``part-unreadable`` or ``part-version``.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for number, table in enumerate(tables):
        for row, id in enumerate(table.columns["id"]):
            places.setdefault(id, []).append((number, row))
    taken = [places.get(id, []) for id in refined.columns["id"]]
    for id, formula, found in zip(refined.columns["id"], refined.columns["formula"], taken, strict=True):
        if len(found) != 1 or tables[found[0][0]].columns["formula"][found[0][1]] != formula:
            folders = ", ".join(str(table.folder) for table in tables)
            raise UsageError(
                "refined-differs",
                f"{refined.folder}: its {id} ({formula}) is not one crystal of {folders}; name the results it refines",
            )
    refined = _of_these_cells(tables, refined)
    first = [places[id][0] for id in refined.columns["id"]]
    kept = dict.fromkeys(name for table in tables for name in ("path", *table.kept))
    columns = dict(refined.columns) | {
        name: [tables[number].columns[name][row] if name in tables[number].columns else "" for number, row in first]
        for name in kept
    }
    left = [np.ones(len(table), np.bool_) for table in tables]
    for number, row in first:
        left[number][row] = False
    others = [table.only(chosen) for table, chosen in zip(tables, left, strict=True)]
    return [*others, replace(refined, columns=columns, n_failed=0)]


def _of_these_cells(tables: Sequence[SummaryTable], refined: SummaryTable) -> SummaryTable:
    """Leave out what is of another cell than a first run holds now, since its input has changed; a note says how many.

    What was refined is the cell of the first run, as `cif_text` writes it, or the input of the first run itself.
    """
    ids = refined.ids
    made_of = _inputs(refined.folder, ids)
    left = {id: input_sha256 for id, input_sha256 in made_of.items() if input_sha256}
    for table in tables:
        own = _inputs(table.folder, left)
        left = {id: input_sha256 for id, input_sha256 in left.items() if own.get(id) != input_sha256}
        for id, crystal in stored_crystals(table.folder, left).items():
            if text_sha256(cif_text(crystal, name=id)) == left[id]:
                del left[id]
    if not left:
        return refined
    is_left = "result is of a cell" if len(left) == 1 else "results are of cells"
    note = (
        f"{refined.folder}: {len(left):,} {is_left} that the first run no longer has, such as {shortened(min(left), 40)}, and not"
        " taken; bandrt refine predicts what it has now"
    )
    return replace(refined.only(np.array([id not in left for id in ids], np.bool_)), notes=(*refined.notes, note))


def _inputs(folder: Path, ids: Collection[str]) -> dict[str, str]:
    """Checksums of what crystals of a folder were read from, by their ids; empty where the folder does not say."""
    wanted, found = frozenset(ids), dict[str, str]()
    for part in existing_parts(folder):
        with undamaged():
            found |= {id: input_sha256 for id, input_sha256 in part_inputs(part).items() if id in wanted}
    return found
