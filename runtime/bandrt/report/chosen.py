"""Which crystals of a run are drawn, and the probability that each crystal is what is wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.domain import NOTHING_IN_WORDS
from bandrt.errors import ArgumentError
from bandrt.results.choice import choose, query_of
from bandrt.screening.calibrations import calibration_of
from bandrt.screening.criteria import Criteria
from bandrt.screening.hits import ExpectedHits
from bandrt.screening.shortlist import P_MATCH, predicted_to_match, queries_of, ranked
from bandrt.screening.table import SummaryTable


class Chosen(NamedTuple):
    """The shortlist of a page."""

    ids: tuple[str, ...]
    """Of the crystals that are drawn, in order."""
    said: tuple[str, ...]
    """What they are, and how many hits to expect, for people."""
    p_match: NDArray[np.float64] | None = None
    """(n,), of each crystal of the run the probability that its label is what is wanted, nan where there is none; None: nothing is
    wanted of labels."""


def chosen(
    table: SummaryTable, ids: Sequence[str], criteria: Criteria, *, top: int, engine: Path | None, as_predicted: bool
) -> Chosen:
    """Choose the crystals that are drawn.

    Args:
        table: the summary of the run.
        ids: of crystals, or patterns of them; those that `Criteria.where` wants, and no other criterion.
        criteria: without ids, what is wanted; the most probable are drawn, or the first, where nothing is wanted of the label.
        top: how many, at most.
        engine: where the engine of the run is now; None looks where it was.
        as_predicted: those that are predicted to be what is wanted, without probabilities.

    Raises:
        BandrtError: as `bandrt.screen` and `bandrt.results.choice.choose`.
        ArgumentError: ``bad-argument`` for ids with other criteria than a condition.
    """
    if ids:
        return _named(table, ids, criteria, top)
    if len(table) == 0:
        return Chosen((), ("no crystal was predicted",))
    queries = queries_of([table], criteria)
    if as_predicted or not criteria.is_of_label:
        found = predicted_to_match([table], queries, criteria, top)
        which = "predicted to be what is wanted" if criteria.is_of_label else ""
        first = _joined(f"the first {_crystals(len(found))}", in_words(criteria), which)
        return Chosen(tuple(row["id"] for row in found), (first,))
    found, [p_match] = ranked([table], queries, [calibration_of(table.folder, engine)], criteria, top)
    p = np.array([row[P_MATCH] for row in found])
    said = [f"the {_crystals(len(p))} most likely to be what is wanted: {in_words(criteria)}"]
    if found.hits is not None and found.all_hits is not None:
        said.append(f"{_expected(found.hits)} of these {len(p)} are expected to be what is wanted, by their labels")
        said.append(f"of all {found.counts.listed} that are considered, {_expected(found.all_hits)}")
    if found.counts.unknown:
        said.append(f"{found.counts.unknown} have no probability: {NOTHING_IN_WORDS}")
    return Chosen(tuple(row["id"] for row in found), (*said, *found.notes), p_match)


def in_words(criteria: Criteria) -> str:
    """What is wanted, for people; empty if nothing is."""
    low, high = criteria.gap or (0.0, math.inf)
    gap = "" if criteria.gap is None else f"gap from {low:g} eV" if high == math.inf else f"gap of {low:g} to {high:g} eV"
    groups = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in criteria.space_groups)
    return _joined(
        gap,
        "" if criteria.direct is None else "direct" if criteria.direct else "indirect",
        f"with {' '.join(criteria.elements)}" if criteria.elements else "",
        f"without {' '.join(criteria.exclude)}" if criteria.exclude else "",
        f"at most {criteria.max_atoms} atoms" if criteria.max_atoms else "",
        f"space groups {groups}" if groups else "",
        f"where {criteria.where}" if criteria.where else "",
    )


def _joined(*words: str) -> str:
    return ", ".join(filter(None, words))


def _crystals(n: int) -> str:
    return "crystal" if n == 1 else f"{n} crystals"


def _expected(hits: ExpectedHits) -> str:
    return f"{hits.expected:.0f} ({hits.low} to {hits.high})"


def _named(table: SummaryTable, ids: Sequence[str], criteria: Criteria, top: int) -> Chosen:
    if criteria != Criteria(where=criteria.where):
        raise ArgumentError(
            "bad-argument", "crystals are named, so nothing is ranked: leave out either their ids or what is wanted"
        )
    table.require_predicted()
    query = None if criteria.where is None else query_of(criteria.where, table.folder)
    found = tuple(one.id for one in choose(table.folder, ids, query))
    left_out = f", the first {top}" if len(found) > top else ""
    return Chosen(found[:top], (f"{_crystals(len(found))} asked for{left_out}",))
