"""Writing the page of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bandrt.arguments import check_kind, checked_whole, not_allowed
from bandrt.errors import OutputError, UsageError
from bandrt.files import check_file, path_of, replaced
from bandrt.report.chosen import chosen
from bandrt.report.columns import failure_columns, table_columns
from bandrt.report.drawings import drawing, predictions_of
from bandrt.report.expected import Expectation, expectation
from bandrt.report.kinds import kinds_of_failures, kinds_of_warnings
from bandrt.report.page import Contents, page_of, require_plotly
from bandrt.report.record import Facts, headline, run_facts
from bandrt.results.store import read_run
from bandrt.screening.calibrations import calibration_of, manifests_of
from bandrt.screening.criteria import Criteria
from bandrt.screening.table import SummaryTable, read_results

TOP = 100
"""Crystals that are drawn, unless it is said."""


class WrittenReport(NamedTuple):
    """What a page holds."""

    n_crystals: int
    """Predictions, each a row of its table."""
    n_failed: int
    """Inputs without a prediction, each a row of another table."""
    n_drawn: int
    """Crystals with their bands."""
    n_bytes: int


def write_report(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    ids: Iterable[str] = (),
    criteria: Criteria | None = None,
    top: int = TOP,
    engine: str | os.PathLike[str] | None = None,
    as_predicted: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> WrittenReport:
    """Write the results of a run as one page that needs no network.

    Args:
        folder: output folder of `bandrt infer`, `refine` or `merge`.
        target: the page, ``*.html``.
        ids: crystals that are drawn, by their ids or patterns of them.
        criteria: without `ids`, what is wanted: the most probable crystals are drawn, and the table has the probability of each.
        top: how many are drawn, at most.
        engine: where the engine of the run is, if it is no longer where it was and is none that ships.
        as_predicted: draw those that are predicted to be what is wanted, without probabilities.
        overwrite: replace a page that is there.
        on_progress: called with how many crystals are drawn, and of how many.

    Raises:
        OutputError: ``output-not-found``, ``summary-damaged``, ``run-damaged``, ``errors-damaged``, ``errors-unreadable``,
            ``part-damaged``; of the target ``output-exists``, ``output-not-a-file`` or ``output-unwritable``.
        MissingPackageError: plotly is not installed.
        UsageError: as `bandrt.screen`; ``unknown-id`` and ``no-predictions`` are an `OutputError`.
        ArgumentError: ``bad-argument``.
    """
    criteria = Criteria() if criteria is None else criteria
    check_kind("criteria", criteria, Criteria)
    check_kind("as_predicted", as_predicted, bool)
    check_kind("overwrite", overwrite, bool)
    top = checked_whole("top", top, at_least=1)
    ids = _checked_ids(ids)
    path, source = path_of(target, what="target"), path_of(folder, what="folder")
    if path.suffix.lower() not in (".html", ".htm"):
        raise not_allowed("target", path.name, "a name that ends in .html")
    check_file(path, overwrite=overwrite)
    plotly = require_plotly()
    table, failures = read_results(source)
    place = None if engine is None else path_of(engine, what="engine")
    found = chosen(table, ids, criteria, top=top, engine=place, as_predicted=as_predicted)
    predictions = predictions_of(source, frozenset(found.ids))
    drawings: dict[str, Any] = {}
    for id in found.ids:
        drawings[id] = drawing(predictions[id].band_structure)
        on_progress(len(drawings), len(found.ids))
    record, warnings = read_run(source), kinds_of_warnings(table)
    contents = Contents(
        title=f"{os.path.abspath(source).rpartition(os.sep)[2]}: band structures",
        headline=headline(record),
        counts=_counts(table, len(failures)),
        said=found.said,
        expectation=_expectation(table, [kind.code for kind in warnings], place),
        warnings=warnings,
        failures=kinds_of_failures(failures),
        run=run_facts(record),
        table=table_columns(table, found.p_match),
        failed=failure_columns(failures),
        drawings=drawings,
    )
    content = page_of(contents, plotly).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise OutputError("output-unwritable", f"{path}: cannot be written ({error.strerror or error})") from error
    return WrittenReport(len(table), len(failures), len(drawings), len(content))


def _checked_ids(ids: object) -> list[str]:
    given = list(ids) if isinstance(ids, Iterable) and not isinstance(ids, str) else [None]
    found = [one for one in given if isinstance(one, str)]
    if len(found) < len(given):
        raise not_allowed("ids", ids, "ids of crystals, a list of texts")
    return found


def _counts(table: SummaryTable, n_failed: int) -> Facts:
    """What became of the inputs, and what was found."""
    predicted = table.predicted
    is_direct = np.array([bool(value) for value in table.values("is_direct")], np.bool_)
    gaps = predicted.gap_ev[~predicted.is_metal]
    facts = {
        "predicted": str(len(table)),
        "failed": str(n_failed),
        "metals": str(int(predicted.is_metal.sum())),
        "with a gap": str(len(gaps)),
        "of these direct": str(int((is_direct & ~predicted.is_metal).sum())),
    }
    if len(gaps):
        facts["median gap"] = f"{np.median(gaps):.2f} eV"
    return list(facts.items())


def _expectation(table: SummaryTable, codes: Sequence[str], engine: Path | None) -> Expectation:
    """What is known of the accuracy of the engine that predicted a run."""
    calibration = None
    try:
        calibration = calibration_of(table.folder, engine)
    except UsageError as error:
        if error.code != "no-calibration":
            raise
    return expectation(table.predicted, codes, next(manifests_of(table.folder, engine), None), calibration)
