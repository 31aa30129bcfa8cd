"""Where crystals come from: files, folders, tables, trajectories and archives, found lazily and read in any process.

Nothing that was asked for is lost: what cannot be opened becomes a `Source` whose `read` raises the reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bandrt.arguments import check_text
from bandrt.errors import BandrtError, InputError, NotFoundError
from bandrt.files import absent, paths_of
from bandrt.outcomes import typed
from bandrt.quoting import printable, shortened
from bandrt.readers import FORMATS, format_of
from bandrt.readers.text import bare_name, open_file
from bandrt.sources.archives import members
from bandrt.sources.ase_files import configurations
from bandrt.sources.folders import FoundFile, files
from bandrt.sources.json_documents import documents
from bandrt.sources.kept import checked_keep
from bandrt.sources.kinds import stem_of
from bandrt.sources.packed import is_damaged
from bandrt.sources.parquet import parquet_rows
from bandrt.sources.source import DAMAGED, Candidate, Source, refused
from bandrt.sources.standard_input import STANDARD_INPUT, Piped, piped_candidates
from bandrt.sources.tables import STRUCTURE_COLUMN, csv_row_count, rows, trajectory
from bandrt.sources.unique import SharedStrings, UniqueIds

__all__ = ["Source", "count", "find", "find_piped", "left_out"]

COUNTED_BYTES = 2**27
"""Of tables, trajectories and archives, that are read once more to know how many crystals they hold; it takes seconds."""


def find(
    paths: Path | str | Iterable[Path | str],
    *,
    skip: Path | str | Iterable[Path | str] = (),
    structure_column: str = STRUCTURE_COLUMN,
    keep: Iterable[str] = (),
) -> Iterator[Source]:
    """Find every crystal below some paths, in the order of the paths and sorted within folders.

    Ids, which are the same from whatever folder one starts: a file has its name without ending, or, where several files share
    that, its whole name, or, where they share that, too, its path from the searched folder on, ``runs/one/POSCAR``. A row of a
    table has the value of its column ``material_id``, ``id`` or ``name``, else ``table:row``; a frame ``file:index``. A row, frame
    or member whose id is taken has its place in the file instead, ``table.csv:17``, and a number if that is taken, too.

    Args:
        paths: files and folders, one or many.
        skip: folders not to search, such as the output of this run.
        structure_column: the column of tables that has the crystals: the text of CIFs, or documents of JSON.
        keep: columns of tables whose values come along as text, in ``kept``; of ASE databases key-value pairs, of extended XYZ
            keys of the comment line.

    Raises:
        ArgumentError: ``bad-argument`` for what is no path, or a column that is no text or an empty one.
        NotFoundError: ``file-not-found`` if none of the paths is there.
        BandrtError: ``no-input`` if there is nothing of a known kind; at once, or, where only opening tells, when the
            iterator ends without a source.
    """
    check_text("structure_column", structure_column)
    wanted = checked_keep(keep)
    given, skipped = paths_of(paths), paths_of(skip, what="skip")
    shared_stems, shared_names, unusable, empty = SharedStrings(), SharedStrings(), "", True
    for file in files(given, skip=skipped):
        if file.kind is None:
            unusable = unusable or f"{file.path}: {file.problem[1]}"
            continue
        empty = False
        shared_names.add(file.path.name)
        if file.kind in ("crystal", "document"):
            shared_stems.add(stem_of(file.path.name))
    if empty:
        raise _no_input(given, unusable)
    candidates = (
        _placed(candidate, file, shared_names)
        for file in files(given, skip=skipped)
        for candidate in _marked(file, _survived(file, shared_stems, structure_column, wanted))
    )
    return _with_ids(candidates, given)


def find_piped(piped: Piped, *, structure_column: str = STRUCTURE_COLUMN, keep: Iterable[str] = ()) -> Iterator[Source]:
    """Find every crystal in what was piped in, with ids that are unique.

    Args:
        piped: the text and how it is written.
        structure_column: as for `find`.
        keep: as for `find`.

    Raises:
        BandrtError: ``no-input`` when the iterator ends without a source.
    """
    return _with_ids(piped_candidates(piped, structure_column, checked_keep(keep)), [STANDARD_INPUT])


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
        known = _counted(file, structure_column)
        total += sum(1 for _ in _survived(file, (), structure_column, ())) if known is None else known
    return total


def _counted(file: FoundFile, structure_column: str) -> int | None:
    """How many sources a file gives, where that is known without reading them."""
    if file.kind != "table" or not bare_name(file.path.name).lower().endswith(".csv"):
        return None
    return csv_row_count(partial(open_file, file.path), file.path.name, structure_column)


def left_out(paths: Path | str | Iterable[Path | str], *, skip: Path | str | Iterable[Path | str] = ()) -> Counter[str]:
    """How many files in the folders among some paths `find` passes over, by their endings, hidden ones aside."""
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
    if paths and not any(os.path.lexists(path) for path in paths):
        return NotFoundError("file-not-found", f"{', '.join(map(str, paths))}: {absent(paths[0], 'file or folder')}")
    places = ", ".join(str(path) for path in paths) or "no path"
    reason = f" ({unusable})" if unusable else ""
    return BandrtError(
        "no-input",
        f"no crystal in {places}{reason}; looked for {FORMATS}, tables .csv, .jsonl, .parquet, ASE's .traj, .db, .zip and .tar",
    )


def _marked(file: FoundFile, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    """Crystals of one file, with a warning where the file is compressed and damaged: each was unpacked before that was seen."""
    is_packed = file.kind == "archive" or bare_name(file.path.name) != file.path.name
    if is_packed and file.kind in ("archive", "table", "frames", "document") and is_damaged(file.path):
        return (replace(one, source=replace(one.source, notes=(*one.source.notes, DAMAGED))) for one in candidates)
    return candidates


def _survived(file: FoundFile, shared_stems: Container[str], structure_column: str, keep: Sequence[str]) -> Iterator[Candidate]:
    """Crystals of one file; whatever goes wrong with it costs only what comes after, and is reported."""
    name, last = stem_of(file.path.name), "its beginning"
    try:
        with typed("reader-failed", name=str(file.path)):
            for candidate in _candidates(file, shared_stems, structure_column, keep):
                last = candidate.source.id
                yield candidate
    except InputError as error:
        reason = error.message.removeprefix(f"{file.path}: ")
        yield refused(name, str(file.path), error.code, f"{reason}; nothing after {shortened(last)} can be read")


def _candidates(file: FoundFile, shared_stems: Container[str], structure_column: str, keep: Sequence[str]) -> Iterator[Candidate]:
    """Crystals of one file."""
    stem, place = stem_of(file.path.name), str(file.path)
    if file.kind is None:
        yield refused(stem, place, *file.problem)
    elif file.kind == "archive":
        yield from members(file.path, file.label, structure_column, keep)
    elif file.kind == "ase":
        yield from configurations(file.path, file.label, keep)
    elif file.kind == "parquet":
        yield from parquet_rows(file.path, file.label, structure_column, keep)
    elif file.kind == "crystal":
        yield _whole(file, shared_stems)
    else:
        try:
            with open_file(file.path) as stream:
                name, label = file.path.name, file.label
                found = (
                    trajectory(stream, name, place, label, keep)
                    if file.kind == "frames"
                    else (rows if file.kind == "table" else documents)(stream, name, place, label, structure_column, keep)
                )
                first = next(found, None)
                if first is not None:
                    yield first
                elif file.kind == "document":  # one crystal
                    yield _whole(file, shared_stems)
                yield from found
        except InputError as error:
            yield refused(stem, place, error.code, error.message)
        except OSError as error:
            yield refused(stem, place, "unreadable", error.strerror or str(error))


def _whole(file: FoundFile, shared_stems: Container[str]) -> Candidate:
    """The one crystal of a file."""
    stem = stem_of(file.path.name)
    wanted = file.label if stem in shared_stems else stem
    return Candidate(Source(wanted, str(file.path), format_of(file.path.name) or "cif", file.path), file.label)


def _placed(candidate: Candidate, file: FoundFile, shared_names: Container[str]) -> Candidate:
    """A candidate whose place begins with the name of its file, if no other file has that: not with the folder around it."""
    if file.path.name in shared_names:
        return candidate
    source, fallback = candidate.source, candidate.fallback_id
    for start in (file.label, str(file.path)):
        if fallback.startswith(start):
            fallback = file.path.name + fallback.removeprefix(start)
            break
    return Candidate(replace(source, id=file.path.name) if source.id == file.label else source, fallback)


def _with_ids(candidates: Iterator[Candidate], paths: Sequence[Path]) -> Iterator[Source]:
    """Sources with ids that no other has."""
    ids, empty = UniqueIds(), True
    for candidate in candidates:
        empty = False
        unique = ids.unique(candidate.source.id, candidate.fallback_id)
        path = printable(candidate.source.path)
        changed = (unique, path) != (candidate.source.id, candidate.source.path)
        yield replace(candidate.source, id=unique, path=path) if changed else candidate.source
    if empty:
        raise _no_input(paths)
