"""Where a run finds its crystals: in files and folders, in what is piped in, or in what it is handed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from bandrt.files import paths_of
from bandrt.run.report import RunReport
from bandrt.sources import Source, find, find_piped
from bandrt.sources.headers import check_keep
from bandrt.sources.source import Listed
from bandrt.sources.standard_input import STANDARD_INPUT, Piped

Inputs: TypeAlias = list[Path] | Piped | Listed
"""Where a run looks for crystals, or what was handed to it in the place of paths."""


def inputs_of(paths: Path | str | Iterable[Path | str] | Piped | Listed) -> Inputs:
    """What was given, in one form."""
    return paths if isinstance(paths, Piped | Listed) else paths_of(paths)


def sources_of(inputs: Inputs, out: Path, *, structure_column: str, keep: Sequence[str], report: RunReport) -> Iterator[Source]:
    """The sources of the inputs; that there is one at all, and may be one with each column, is known at once.

    Args:
        inputs: where they are looked for.
        out: a folder of results, which is passed over.
        structure_column: of tables.
        keep: columns of the inputs, which every source has then.
        report: told which columns no input has.

    Raises:
        BandrtError: as `bandrt.sources.find`.
    """
    if isinstance(inputs, Listed):
        return _with_columns(iter(inputs.sources), keep, report)
    if isinstance(inputs, Piped):
        sources = find_piped(inputs, structure_column=structure_column, keep=keep)
    else:
        sources = find(inputs, skip=[out], structure_column=structure_column, keep=keep)
    first = next(sources)
    check_keep(inputs, keep, skip=[out])
    return _with_columns(chain((first,), sources), keep, report)


def _with_columns(sources: Iterator[Source], keep: Sequence[str], report: RunReport) -> Iterator[Source]:
    """Sources that have every column to be kept, empty where the input lacks it; which none has is reported."""
    if not keep:
        yield from sources
        return
    for source in sources:
        report.lacking = [name for name in report.lacking if name not in source.kept]
        yield dataclasses.replace(source, kept={name: source.kept.get(name, "") for name in keep})


def said_of(inputs: Inputs) -> list[str]:
    """Where the crystals are from."""
    if isinstance(inputs, Listed):
        return [inputs.name]
    return [str(path) for path in ((STANDARD_INPUT,) if isinstance(inputs, Piped) else inputs)]
