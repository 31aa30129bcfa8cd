"""Where crystals come from: files, folders, tables, trajectories and archives, found lazily and read in any process.

Nothing that was asked for is lost: what cannot be opened becomes a `Source` whose `read` raises the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from itertools import count as numbers_from
from pathlib import Path

from bandrt.errors import BandrtError
from bandrt.files import require_there
from bandrt.readers import FORMATS, format_of
from bandrt.sources.archives import members
from bandrt.sources.folders import FoundFile, files
from bandrt.sources.kinds import stem_of
from bandrt.sources.source import Candidate, Source, refused
from bandrt.sources.tables import rows, trajectory
from bandrt.sources.unique import SeenStrings

__all__ = ["Source", "count", "find"]


def find(paths: Sequence[Path | str], *, skip: Sequence[Path | str] = ()) -> Iterator[Source]:
    """Find every crystal below some paths, in the order of the paths and sorted within folders.

    Ids: a file has its name without ending, or, where several files share that, its path from the searched folder on; a row of
    a table has the value of its column ``material_id``, ``id`` or ``name``, else ``table:row``; a frame ``file:index``.
    A row or member whose id is taken gets its place instead.

    Args:
        paths: files and folders.
        skip: folders not to search, such as the output of this run.

    Raises:
        NotFoundError: ``file-not-found`` if one of the paths does not exist.
        BandrtError: ``no-input`` if there is nothing of a known kind; at once, or, where only opening tells, when the
            iterator ends without a source.
    """
    for path in paths:
        require_there(Path(path))
    given, left_out = [Path(path) for path in paths], [Path(path) for path in skip]
    stems, shared_stems, empty = SeenStrings(), set(), True
    for file in files(given, skip=left_out):
        empty = False
        if file.kind == "crystal" and not stems.add(stem_of(file.path.name)):
            shared_stems.add(stem_of(file.path.name))
    if empty:
        raise _no_input(given)
    return _with_ids(chain.from_iterable(_candidates(file, shared_stems) for file in files(given, skip=left_out)), given)


def count(paths: Sequence[Path | str], *, skip: Sequence[Path | str] = ()) -> int | None:
    """How many sources `find` will give; None where only opening tables, trajectories or archives would tell."""
    total = 0
    for file in files([Path(path) for path in paths], skip=[Path(path) for path in skip]):
        if file.kind not in ("crystal", None):
            return None
        total += 1
    return total


def _no_input(paths: Sequence[Path]) -> BandrtError:
    places = ", ".join(str(path) for path in paths) or "no path"
    return BandrtError("no-input", f"no crystal in {places}; looked for {FORMATS}, tables .csv and .jsonl, archives .zip and .tar")


def _candidates(file: FoundFile, shared_stems: set[str]) -> Iterator[Candidate]:
    """Crystals of one file."""
    stem, place = stem_of(file.path.name), str(file.path)
    if file.kind is None:
        yield refused(stem, place, *file.problem)
    elif file.kind == "archive":
        yield from members(file.path, file.label)
    elif file.kind == "crystal":
        wanted = file.label if stem in shared_stems else stem
        yield Candidate(Source(wanted, place, format_of(file.path.name) or "cif", file.path), file.label)
    else:
        try:
            with file.path.open("rb") as stream:
                yield from (rows if file.kind == "table" else trajectory)(stream, file.path.name, place, file.label)
        except OSError as error:
            yield refused(stem, place, "unreadable", error.strerror or str(error))


def _with_ids(candidates: Iterator[Candidate], paths: Sequence[Path]) -> Iterator[Source]:
    """Sources with ids that no other has."""
    taken, empty = SeenStrings(), True
    for candidate in candidates:
        empty = False
        if taken.add(candidate.source.id):
            yield candidate.source
            continue
        fallbacks = chain([candidate.fallback_id], (f"{candidate.fallback_id}#{number}" for number in numbers_from(2)))
        yield replace(candidate.source, id=next(fallback for fallback in fallbacks if taken.add(fallback)))
    if empty:
        raise _no_input(paths)
