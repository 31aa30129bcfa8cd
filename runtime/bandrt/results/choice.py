"""Predictions of an output folder chosen by id, by pattern, and by what their summary says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from bandrt.errors import OutputError
from bandrt.quoting import counted
from bandrt.results.damage import undamaged
from bandrt.results.parts import part_ids, part_keep, read_part
from bandrt.results.prediction import Prediction
from bandrt.results.query import ColumnKind, Query, parse_query
from bandrt.results.store import existing_parts, unknown_id
from bandrt.results.summary import KINDS, summary, text_of


class Chosen(NamedTuple):
    """A prediction that was chosen."""

    id: str
    part: Path
    """The file that holds it."""


def query_of(text: str, folder: Path) -> Query:
    """Understand a query on the columns of ``summary.csv`` of an output folder, those included that were kept of the inputs.

    Raises:
        OutputError: ``output-not-found`` or ``part-damaged``.
        QueryError: as `parse_query`.
    """
    with undamaged():
        kept = next((part_keep(path) for path in existing_parts(folder)), ())  # a run keeps the same columns in all parts
    columns: dict[str, ColumnKind] = {**KINDS, **dict.fromkeys(kept, "cell")}
    return parse_query(text, columns)


def choose(folder: Path, names: Sequence[str] = (), query: Query | None = None) -> list[Chosen]:
    """Find predictions, in the order of the names, and of the folder where a pattern or the query chooses; each once.

    Args:
        folder: the output folder.
        names: ids, and patterns of ids such as ``mp-1*``, where ``*``, ``?`` and ``[...]`` stand for any letters, one, and one of
            some; what is an id is taken for one. Without any: every prediction.
        query: which of them, by their summary.

    Raises:
        OutputError: ``output-not-found``, ``part-damaged``, ``unknown-id`` for a name that is no prediction or a pattern that fits
            none, or ``no-predictions`` where there are none, or none that the query wants.
    """
    part_of: dict[str, Path] = {}
    for path in existing_parts(folder):
        with undamaged():
            part_of |= dict.fromkeys(part_ids(path), path)
    named: dict[str, Path] = {}
    for name in names:
        given = name if name in part_of else text_of(name)  # as it is, or as it stands in the summary
        found = [given] if given in part_of else [id for id in part_of if _is_pattern(name) and fnmatchcase(id, name)]
        if not found:
            raise unknown_id(folder, name)
        named |= {id: part_of[id] for id in found}
    candidates = named if names else part_of
    wanted = candidates if query is None else _satisfying(candidates, query)
    if not wanted:
        of = f" of {counted(len(candidates), 'prediction')} none satisfies the query" if candidates else " holds no predictions"
        raise OutputError("no-predictions", f"{folder}:{of}")
    return [Chosen(id, path) for id, path in wanted.items()]


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _satisfying(candidates: dict[str, Path], query: Query) -> dict[str, Path]:
    satisfying: set[str] = set()
    for path in dict.fromkeys(candidates.values()):
        with undamaged():
            satisfying.update(p.id for p in read_part(path) if p.id in candidates and query.matches(_columns(p)))
    return {id: path for id, path in candidates.items() if id in satisfying}


def _columns(prediction: Prediction) -> Mapping[str, Any]:
    """What a query asks of a prediction; an empty cell is none."""
    return {**summary(prediction), **{name: text or None for name, text in prediction.kept.items()}}
