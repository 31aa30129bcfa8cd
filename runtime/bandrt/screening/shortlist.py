"""The shortlist: crystals ranked by the probability that their labels are what is wanted, and how many hits to expect of them."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bandrt.arguments import check_kind, checked_whole, not_allowed
from bandrt.calibration import GapCalibration
from bandrt.engine import read_manifest
from bandrt.errors import UsageError
from bandrt.files import path_of, paths_of
from bandrt.quoting import shortened
from bandrt.results.query import Query, parse_query
from bandrt.results.store import read_run, unfinished
from bandrt.results.summary import COLUMNS, KINDS, UNCERTAINTY_COLUMN, text_of
from bandrt.screening.calibrations import calibration_of
from bandrt.screening.criteria import Criteria
from bandrt.screening.features import Floats, PredictedGaps
from bandrt.screening.hits import ExpectedHits, expected_hits
from bandrt.screening.probability import probability_of_direct, probability_of_gap, probability_of_metal
from bandrt.screening.refined import in_place
from bandrt.screening.table import SummaryTable, read_summary

P_MATCH, OUT = "p_match", "out"
"""Columns that a shortlist has beside those of ``summary.csv``: the probability, and the folder of results."""
DECIMALS = 6
"""Of a probability; those that are the same to so many are ranked by id."""


class Counts(NamedTuple):
    """What became of the crystals of all folders."""

    predicted: int
    failed: int
    """Inputs without a prediction; see ``errors.jsonl``."""
    considered: int
    """Predictions that are what is wanted as far as it is known of them."""
    unknown: int
    """Considered ones of which no error can be expected, which have no probability and are in no list."""
    listed: int
    """Crystals of the list as it would be without `top`."""


@dataclass(frozen=True, eq=False)
class Shortlist:
    """Crystals that probably are what is wanted, the most probable first; equal ones by id, n of them.

    Attributes:
        rows: of each crystal its columns: ``p_match``, ``out`` and those of ``summary.csv``, with values as `bandrt.Prediction` has
            them, None where there is none.
        columns: their names, in order. Without ``p_match`` if crystals were chosen by what was predicted alone.
        hits: how many of these will be hits; None where there are no probabilities.
        all_hits: the same of all that were considered.
        counts: what became of the crystals of all folders.
        notes: what has to be known of the list and its probabilities, for people.
    """

    rows: Sequence[Mapping[str, Any]]
    columns: tuple[str, ...]
    hits: ExpectedHits | None
    all_hits: ExpectedHits | None
    counts: Counts
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    @property
    def kept(self) -> tuple[str, ...]:
        """Those of its columns that were kept of the inputs."""
        return tuple(name for name in self.columns if name not in (P_MATCH, OUT, *KINDS))

    def __repr__(self) -> str:
        expected = "" if self.hits is None else f", {self.hits.expected:.1f} hits expected ({self.hits.low} to {self.hits.high})"
        return f"Shortlist({len(self)} of {self.counts.considered} crystals{expected})"


class Ranking(NamedTuple):
    """Crystals by the probability that their labels are what is wanted."""

    shortlist: Shortlist
    p_match: list[Floats]
    """Of each table (n,), of each of its crystals the probability, nan where there is none; those not considered have none."""


def screen(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    criteria: Criteria,
    *,
    top: int | None = None,
    refined: str | os.PathLike[str] | None = None,
    engine: str | os.PathLike[str] | None = None,
    as_predicted: bool = False,
) -> Shortlist:
    """Rank predicted crystals by the probability that their labels are what is wanted.

    Args:
        folders: output folders of `bandrt infer`, one or many; one that is named twice counts once.
        criteria: what is wanted.
        top: how many to give, at most; None: all that were considered.
        refined: results of `bandrt refine` of some of these crystals, which stand in the place of the first ones.
        engine: where the engine of the runs is, if it is no longer where it was and is none that ships.
        as_predicted: give those that are predicted to be what is wanted, without probabilities, in the order of the folders.

    Raises:
        OutputError: ``output-not-found``, ``summary-damaged``, ``run-damaged``, ``errors-damaged``, ``errors-unreadable``; where a
            run has not finished, ``part-damaged``, ``part-unreadable`` or ``part-version``.
        UsageError: ``no-calibration``, ``null-engine``, ``no-criterion`` where nothing is wanted of the label, ``engine-differs``,
            ``refined-differs``.
        UsageError: ``query-syntax``, ``query-column`` or ``query-value``: `Criteria.where` cannot be understood.
        ArgumentError: ``bad-argument``.
    """
    check_kind("criteria", criteria, Criteria)
    if top is not None:
        top = checked_whole("top", top, at_least=1)
    check_kind("as_predicted", as_predicted, bool)
    paths = paths_of(folders, what="folders")
    if not paths:
        raise not_allowed("folders", folders, "one output folder or more")
    if not as_predicted and not criteria.is_of_label:
        raise UsageError(
            "no-criterion",
            "nothing is wanted of the label that could have a probability: give a gap (--gap), or --direct or --indirect; to choose"
            " by what is predicted alone, add --as-predicted",
        )
    paths = _each_once(paths)
    tables = [read_summary(path) for path in paths]
    if refined is not None:
        tables = in_place(tables, read_summary(path_of(refined, what="refined")))
    queries = queries_of(tables, criteria)
    if as_predicted:
        return predicted_to_match(tables, queries, criteria, top)
    named = None if engine is None else path_of(engine, what="engine")
    found = partial(calibration_of, read=cache(read_manifest))  # folders of one engine are often many
    calibrations = [found(path, named) for path in paths]
    calibrations += [found(table.folder) for table in tables[len(paths) :]]
    return ranked(tables, queries, calibrations, criteria, top).shortlist


def queries_of(tables: Sequence[SummaryTable], criteria: Criteria) -> list[Query | None]:
    """What `Criteria.where` asks of each table; None where it asks nothing.

    Raises:
        UsageError: ``null-engine``, ``query-syntax``, ``query-column`` or ``query-value``.
        OutputError: ``summary-damaged``.
    """
    for table in tables:
        table.require_predicted()
    return [None if criteria.where is None else parse_query(criteria.where, table.kinds) for table in tables]


def _each_once(paths: Iterable[Path]) -> list[Path]:
    """Folders without those that were named before, be it by another path."""
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(os.path.realpath(path), path)
    return list(first.values())


def probability_of_match(calibration: GapCalibration, predicted: PredictedGaps, criteria: Criteria, *, name: str) -> Floats:
    """That the label of each crystal is what is wanted, (n,); nan where nothing is known.

    Raises:
        UsageError: ``no-calibration`` where direct or indirect is wanted and the calibration says nothing of it.
    """
    low, high = (0.0, np.inf) if criteria.gap is None else criteria.gap
    p = probability_of_gap(calibration, predicted, low, high)
    if criteria.direct is not None:
        direct = probability_of_direct(calibration, predicted)
        if direct is None:
            raise UsageError(
                "no-calibration",
                f"{name}: the calibration of its engine says nothing of direct gaps; fit it with bandrt train calibrate --labels,"
                " or leave out --direct and --indirect",
            )
        p = p * (direct if criteria.direct else 1.0 - direct)
    return p + probability_of_metal(calibration, predicted) if criteria.admits_metals() else p


def log_odds_error(calibration: GapCalibration, criteria: Criteria) -> float:
    """By how much the log-odds of all crystals of a list are off together: a standard deviation."""
    if criteria.direct is None or calibration.direct is None:
        return calibration.log_odds_error
    of_gap = 0.0 if criteria.gap is None else calibration.log_odds_error
    return math.hypot(of_gap, calibration.direct.log_odds_error)


def ranked(
    tables: Sequence[SummaryTable],
    queries: Sequence[Query | None],
    calibrations: Sequence[GapCalibration],
    criteria: Criteria,
    top: int | None,
) -> Ranking:
    """Rank the crystals of some tables by the probability that their labels are what is wanted.

    Args:
        tables: of each run.
        queries: of each table, see `queries_of`.
        calibrations: of the engine of each.
        criteria: what is wanted.
        top: how many the shortlist has, at most; None: all that were considered.

    Raises:
        UsageError: ``no-calibration`` where direct or indirect is wanted and a calibration says nothing of it.
        OutputError: ``summary-damaged``.
    """
    places, ids, p_match, unknown = list[tuple[int, int]](), list[str](), list[Floats](), 0
    of_tables: list[Floats] = []
    for number, (table, query, calibration) in enumerate(zip(tables, queries, calibrations, strict=True)):
        considered = table.considered(criteria, query)
        p = np.round(probability_of_match(calibration, table.predicted, criteria, name=str(table.folder)), DECIMALS)
        unknown += int((considered & np.isnan(p)).sum())
        of_tables.append(np.where(considered, p, np.nan))
        rows = np.flatnonzero(~np.isnan(of_tables[-1]))
        p_match.append(p[rows])
        places += [(number, row) for row in rows.tolist()]
        ids += [text_of(table.columns["id"][row]) for row in rows.tolist()]
    all_p = np.concatenate(p_match)
    order = np.lexsort((np.array(ids, dtype=np.str_), -all_p))[:top]
    spread = max(one.dispersion for one in calibrations), max(log_odds_error(one, criteria) for one in calibrations)
    counts, columns = _counts(tables, len(all_p) + unknown, unknown, len(all_p)), ("id", P_MATCH, *_columns(tables))
    shortlist = Shortlist(
        rows=[_row(tables, columns, *places[place], p=float(all_p[place])) for place in order.tolist()],
        columns=columns,
        hits=expected_hits(all_p[order], *spread),
        all_hits=expected_hits(all_p, *spread),
        counts=counts,
        notes=(*_notes_of_folders(tables), *_notes(tables, calibrations, criteria)),
    )
    return Ranking(shortlist, of_tables)


def predicted_to_match(
    tables: Sequence[SummaryTable], queries: Sequence[Query | None], criteria: Criteria, top: int | None
) -> Shortlist:
    """Those crystals of some tables that are predicted to be what is wanted, in their order; arguments as for `ranked`.

    Raises:
        OutputError: ``summary-damaged``.
    """
    considered = [table.considered(criteria, query) for table, query in zip(tables, queries, strict=True)]
    places = [
        (number, row)
        for number, (table, one) in enumerate(zip(tables, considered, strict=True))
        for row in np.flatnonzero(one & table.as_predicted(criteria)).tolist()
    ]
    counts = _counts(tables, sum(int(one.sum()) for one in considered), 0, len(places))
    columns = ("id", *_columns(tables))
    rows = [_row(tables, columns, *place) for place in places[:top]]
    return Shortlist(rows, columns, None, None, counts, _notes_of_folders(tables))


def _counts(tables: Sequence[SummaryTable], considered: int, unknown: int, listed: int) -> Counts:
    return Counts(sum(map(len, tables)), sum(table.n_failed for table in tables), considered, unknown, listed)


def _columns(tables: Sequence[SummaryTable]) -> tuple[str, ...]:
    """Columns of a shortlist after those that come first; all folders have those that one has kept of its inputs."""
    kept = dict.fromkeys(name for one in tables for name in one.kept)
    return (OUT, *(name for name in (*COLUMNS, UNCERTAINTY_COLUMN, *kept) if name != "id"))


def _row(
    tables: Sequence[SummaryTable], columns: Sequence[str], number: int, row: int, *, p: float | None = None
) -> dict[str, Any]:
    own = {P_MATCH: p, OUT: str(tables[number].folder)}
    return {name: own[name] if name in own else tables[number].value(name, row) for name in columns}


def _notes_of_folders(tables: Sequence[SummaryTable]) -> tuple[str, ...]:
    """Which runs have not finished, what else there is to say of each, and how many crystals several of them have."""
    notes = [f"{table.folder}: {said}" for table in tables if (said := unfinished(read_run(table.folder)))]
    notes += [note for table in tables for note in table.notes]
    if len(tables) < 2:
        return tuple(notes)
    held = Counter(key for table in tables for key in set(zip(table.columns["id"], table.columns["formula"], strict=True)))
    several = [text_of(id) for (id, _), times in held.items() if times > 1]
    if several:
        are, count = ("crystals are", "count") if len(several) > 1 else ("crystal is", "counts")
        notes.append(
            f"{len(several)} {are} in several of these folders and {count} in each, such as {shortened(min(several), 40)}; name"
            " results of the same inputs once, and those of bandrt refine with --refined"
        )
    return tuple(notes)


def _notes(tables: Sequence[SummaryTable], calibrations: Sequence[GapCalibration], criteria: Criteria) -> tuple[str, ...]:
    """That an engine does not tell direct from indirect, where it is asked to."""
    if criteria.direct is None:
        return ()
    return tuple(
        f"{table.folder}: its engine does not tell direct from indirect gaps: every gap counts as direct with the share of labels,"
        f" {calibration.direct.share:.2f} of {calibration.direct.n_labels}"
        for table, calibration in zip(tables, calibrations, strict=True)
        if calibration.direct is not None and calibration.direct.log_odds is None
    )
