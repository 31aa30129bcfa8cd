"""The second of two stages: an accurate engine predicts again what a fast one finds most promising, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bandrt.crystal import Crystal
from bandrt.domain import of_reading
from bandrt.errors import OutputError, UsageError
from bandrt.results.store import read_run
from bandrt.run.infer import InferOptions, infer
from bandrt.run.report import RunReport
from bandrt.screening.cif import cif_text
from bandrt.screening.criteria import Criteria
from bandrt.screening.crystals import crystals_of
from bandrt.screening.shortlist import screen
from bandrt.sources.source import Listed, Source


def refined_folder(folder: Path) -> Path:
    """Where refined results go unless it is said: ``bands-refined`` of ``bands``."""
    return folder.with_name(f"{folder.name}-refined")


def refine(
    folder: Path,
    criteria: Criteria,
    out: Path,
    options: InferOptions,
    *,
    top: int,
    as_predicted: bool = False,
    on_progress: Callable[[RunReport], None] = lambda report: None,
) -> RunReport:
    """Predict the most promising crystals of a folder with another engine, into a folder of results of their own.

    Their cells are those that the folder holds, standard and primitive, and they are called as there; warnings of how they
    were read stay theirs, and so do columns that were kept of their inputs.

    Args:
        folder: results of the first engine.
        criteria: what is wanted of the label.
        out: folder for the results of the second.
        options: of the second run; ``keep`` names those of the columns kept by the first that it keeps, none all of them.
        top: how many crystals, at most.
        as_predicted: take those that are predicted to be what is wanted, in the order of the folder, whatever their probability.
        on_progress: called with the report as the run goes on.

    Raises:
        UsageError: ``same-engine``, ``null-engine``; as `bandrt.screen`.
        BandrtError: as `bandrt.screen` and `infer`.
    """
    from bandrt.engine import read_manifest

    record = read_run(folder).get("engine")
    first = record.get("checkpoint_sha256") if isinstance(record, dict) else None
    manifest = read_manifest(options.engine)
    if manifest.is_null:
        raise UsageError("null-engine", f"{options.engine.name}: this engine computes nothing; refine with another one")
    if first == manifest.checkpoint_sha256:
        raise UsageError(
            "same-engine", f"{folder}: was predicted with this engine, {options.engine}; give another one with --engine"
        )
    shortlist = screen(folder, criteria, top=top, as_predicted=as_predicted)
    left = shortlist.counts.listed - len(shortlist) if as_predicted else 0
    for note in (*shortlist.notes, *([_left_said(folder, left)] if left else [])):
        logging.getLogger(__name__).warning(note)
    if not len(shortlist):
        raise OutputError("no-predictions", f"{folder}: no crystal is what is wanted as far as it is known; nothing is refined")
    sources = tuple(
        _source(folder, row, crystal, shortlist.kept) for row, crystal in zip(shortlist, crystals_of(shortlist), strict=True)
    )
    options = replace(options, keep=options.keep or shortlist.kept)
    return infer(Listed(str(folder), sources), out, options, on_progress=on_progress)


def _left_said(folder: Path, left: int) -> str:
    """That crystals are what is wanted and are not taken: no probability says that those before them are better."""
    is_left = "crystal of these is" if left == 1 else "crystals of these are"
    return f"{folder}: {left:,} more {is_left} not refined: --top takes more"


def _source(folder: Path, row: Mapping[str, Any], crystal: Crystal, keep: Sequence[str]) -> Source:
    """A crystal of the first run as an input of the second."""
    return Source(
        row["id"],
        f"{folder}:{row['id']}",
        "cif",
        cif_text(crystal, name=row["id"]),
        kept={name: row[name] or "" for name in keep},
        notes=of_reading(row["warnings"]),
    )
