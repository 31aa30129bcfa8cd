"""Where crystals come from: files, folders, tables, trajectories and archives, found lazily and read in any process.

Nothing that was asked for is lost: what cannot be opened becomes a `Source` whose `read` raises the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bandrt.arguments import check_kind
from bandrt.errors import BandrtError
from bandrt.files import paths_of
from bandrt.readers import FORMATS, format_of
from bandrt.sources.archives import members
from bandrt.sources.ase_files import configurations
from bandrt.sources.folders import FoundFile, files
from bandrt.sources.json_documents import documents
from bandrt.sources.kinds import stem_of
from bandrt.sources.parquet import parquet_rows
from bandrt.sources.source import Candidate, Source, refused
from bandrt.sources.standard_input import STANDARD_INPUT, Piped, piped_candidates
from bandrt.sources.tables import STRUCTURE_COLUMN, rows, trajectory
from bandrt.sources.unique import SeenStrings, UniqueIds

__all__ = ["Source", "count", "find", "find_piped", "left_out"]

COUNTED_BYTES = 2**27
"""Of tables, trajectories and archives, that are read once more to know how many crystals they hold; it takes seconds."""


def find(
    paths: Path | str | Iterable[Path | str],
    *,
    skip: Path | str | Iterable[Path | str] = (),
    structure_column: str = STRUCTURE_COLUMN,
) -> Iterator[Source]:
    """Find every crystal below some paths, in the order of the paths and sorted within folders.

    Ids: a file has its name without ending, or, where several files share that, its path from the searched folder on; a row of
    a table has the value of its column ``material_id``, ``id`` or ``name``, else ``table:row``; a frame ``file:index``.
    A row or member whose id is taken gets its place instead, and a number if that is taken, too.

    Args:
        paths: files and folders, one or many.
        skip: folders not to search, such as the output of this run.
        structure_column: the column of tables that has the crystals: the text of CIFs, or documents of JSON.

    Raises:
        ArgumentError: ``bad-argument`` for what is no path, or a column that is no text.
        BandrtError: ``no-input`` if there is nothing of a known kind; at once, or, where only opening tells, when the
            iterator ends without a source.
    """
    check_kind("structure_column", structure_column, str)
    given, skipped = paths_of(paths), paths_of(skip, what="skip")
    stems, shared_stems, unusable, empty = SeenStrings(), set[str](), "", True
    for file in files(given, skip=skipped):
        if file.kind is None:
            unusable = unusable or f"{file.path}: {file.problem[1]}"
            continue
        empty = False
        if file.kind in ("crystal", "document") and not stems.add(stem_of(file.path.name)):
            shared_stems.add(stem_of(file.path.name))
    if empty:
        raise _no_input(given, unusable)
    return _with_ids(
        chain.from_iterable(_candidates(file, shared_stems, structure_column) for file in files(given, skip=skipped)), given
    )


def find_piped(piped: Piped, *, structure_column: str = STRUCTURE_COLUMN) -> Iterator[Source]:
    """Find every crystal in what was piped in, with ids that are unique.

    Args:
        piped: the text and how it is written.
        structure_column: as for `find`.

    Raises:
        BandrtError: ``no-input`` when the iterator ends without a source.
    """
    return _with_ids(piped_candidates(piped, structure_column), [STANDARD_INPUT])


def count(
    paths: Path | str | Iterable[Path | str],
    *,
    skip: Path | str | Iterable[Path | str] = (),
    structure_column: str = STRUCTURE_COLUMN,
) -> int | None:
    """How many sources `find` will give; None where tables, trajectories and archives are too large to read them twice."""
    total, budget = 0, COUNTED_BYTES
    for file in files(paths_of(paths), skip=paths_of(skip, what="skip")):
        if file.kind in ("crystal", None):
            total += 1
            continue
        budget -= _size(file.path)
        if budget < 0:
            return None
        total += sum(1 for _ in _candidates(file, frozenset(), structure_column))
    return total


def left_out(paths: Path | str | Iterable[Path | str], *, skip: Path | str | Iterable[Path | str] = ()) -> Counter[str]:
    """How many files in the folders among some paths `find` passes over, by their endings; hidden ones are not counted."""
    counts: Counter[str] = Counter()
    for _ in files(paths_of(paths), skip=paths_of(skip, what="skip"), left_out=counts):
        pass
    return counts


def _size(path: Path) -> int:
    """Bytes of a file; none where it cannot be looked at."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _no_input(paths: Sequence[Path], unusable: str = "") -> BandrtError:
    places = ", ".join(str(path) for path in paths) or "no path"
    reason = f" ({unusable})" if unusable else ""
    return BandrtError(
        "no-input",
        f"no crystal in {places}{reason}; looked for {FORMATS}, tables .csv, .jsonl, .parquet, ASE's .traj, .db, .zip and .tar",
    )


def _candidates(file: FoundFile, shared_stems: Set[str], structure_column: str) -> Iterator[Candidate]:
    """Crystals of one file."""
    stem, place = stem_of(file.path.name), str(file.path)
    if file.kind is None:
        yield refused(stem, place, *file.problem)
    elif file.kind == "archive":
        yield from members(file.path, file.label, structure_column)
    elif file.kind == "ase":
        yield from configurations(file.path, file.label)
    elif file.kind == "parquet":
        yield from parquet_rows(file.path, file.label, structure_column)
    elif file.kind == "crystal":
        yield _whole(file, shared_stems)
    else:
        try:
            with file.path.open("rb") as stream:
                name, label = file.path.name, file.label
                found = (
                    trajectory(stream, name, place, label)
                    if file.kind == "frames"
                    else (rows if file.kind == "table" else documents)(stream, name, place, label, structure_column)
                )
                first = next(found, None)
                if first is not None:
                    yield first
                elif file.kind == "document":  # one crystal
                    yield _whole(file, shared_stems)
                yield from found
        except OSError as error:
            yield refused(stem, place, "unreadable", error.strerror or str(error))


def _whole(file: FoundFile, shared_stems: Set[str]) -> Candidate:
    """The one crystal of a file."""
    stem = stem_of(file.path.name)
    wanted = file.label if stem in shared_stems else stem
    return Candidate(Source(wanted, str(file.path), format_of(file.path.name) or "cif", file.path), file.label)


def _with_ids(candidates: Iterator[Candidate], paths: Sequence[Path]) -> Iterator[Source]:
    """Sources with ids that no other has."""
    ids, empty = UniqueIds(), True
    for candidate in candidates:
        empty = False
        unique = ids.unique(candidate.source.id, candidate.fallback_id)
        yield candidate.source if unique == candidate.source.id else replace(candidate.source, id=unique)
    if empty:
        raise _no_input(paths)
