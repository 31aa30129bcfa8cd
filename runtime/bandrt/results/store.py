"""The folder of results of a run: what stands in it, who may write to it, and reading it.

``parts/part-00000.npz`` and so on are the only source of truth (`parts` says what is in them). ``summary.csv`` is made from them,
``errors.jsonl`` records every input without a prediction, ``run.json`` what was run. `writer` writes them.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Literal

from bandrt.arguments import check_choice, check_kind
from bandrt.bands.band_structure import BandStructure
from bandrt.crystal import Crystal
from bandrt.errors import OutputError, OutputInTheWayError
from bandrt.files import CRASH_LOG, check_cleared, check_folder, first_foreign, path_of, paths_of
from bandrt.quoting import did_you_mean, nearest, quoted, shortened
from bandrt.results.damage import undamaged
from bandrt.results.derived import is_derived
from bandrt.results.parts import part_crystals, part_ids, part_orders, read_part
from bandrt.results.prediction import Failure, Prediction

PARTS, SUMMARY, ERRORS, RUN, PLOTS, REPORT = "parts", "summary.csv", "errors.jsonl", "run.json", "plots", "report.html"
SET_ASIDE = "set-aside"
"""Parts that were damaged, or held predictions of inputs that have changed or are gone; nothing reads them."""
CONVERTED = {"pymatgen": "bands.jsonl.gz", "hdf5": "bands.h5", "parquet": "bands.parquet"}
"""Results in other formats, by what they are converted to."""
MERGED_PARTS = 16
"""Parts in memory at once, at most, to read predictions in the order of the inputs."""
Mode = Literal["new", "resume", "overwrite"]
_PART_NAME = re.compile(r"part-[0-9]{5,}\.npz")


def read(folder: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Iterator[Prediction]:
    """Read every prediction in an output folder, in the order of the inputs of the run, a few parts at a time.

    Args:
        folder: the output folder; or several, which are read one after the other.

    Raises:
        OutputError: ``output-not-found`` at once; ``part-damaged``, ``part-unreadable`` or ``part-version`` when a part is met that
            is.
        ArgumentError: ``bad-argument`` for what is no path.
    """
    return itertools.chain.from_iterable(
        _predictions(parts) for parts in [existing_parts(one) for one in paths_of(folder, what="folder")]
    )


def _predictions(parts: Sequence[Path]) -> Iterator[Prediction]:
    """The predictions of parts, merged by their places among the inputs; parts that overlap too much come one after the other."""
    with undamaged():
        orders = [part_orders(path) for path in parts]
    spans = [(min(found), max(found)) for found in orders if found]
    overlapping = max((sum(first <= start <= last for first, last in spans) for start, _ in spans), default=0)
    if len(spans) < len(parts) or overlapping > MERGED_PARTS:
        for path in parts:
            with undamaged():
                yield from read_part(path)
        return
    waiting = sorted(range(len(parts)), key=lambda n: orders[n][0], reverse=True)
    opened: list[tuple[int, int, int, Iterator[Prediction]]] = []  # next place, part, row in it, and the part from that row on
    while waiting or opened:
        while waiting and (not opened or orders[waiting[-1]][0] <= opened[0][0]):
            number = waiting.pop()
            heappush(opened, (orders[number][0], number, 0, read_part(parts[number])))
        _, number, row, rest = heappop(opened)
        with undamaged():
            prediction = next(rest)
        if row + 1 < len(orders[number]):
            heappush(opened, (orders[number][row + 1], number, row + 1, rest))
        yield prediction


def read_one(folder: str | os.PathLike[str], id: str) -> BandStructure:
    """Read the band structure of one crystal.

    Args:
        folder: the output folder.
        id: the name of the crystal, as ``summary.csv`` has it.

    Raises:
        OutputError: ``output-not-found``, ``part-damaged``, or ``unknown-id`` with the nearest ids there are.
        ArgumentError: ``bad-argument`` for a folder that is no path, or an id that is no text.
    """
    folder = path_of(folder, what="folder")
    check_kind("id", id, str)
    for path in existing_parts(folder):
        with undamaged():
            if id in part_ids(path):
                return next(p.band_structure for p in read_part(path) if p.id == id)
    raise unknown_id(folder, id)


def unknown_id(folder: Path, id: str) -> OutputError:
    """Why there is no prediction of this name: the failure it became, or the nearest names there are."""
    for failure in read_errors(folder):
        if failure.id == id:
            return OutputError("unknown-id", f"{folder}: {id} has no prediction [{failure.code}]: {failure.message}")
    known = [known for path in existing_parts(folder) for known in part_ids(path)]
    there = f"there are {len(known)}, such as {', '.join(map(shortened, known[:3]))}" if known else "there are none"
    meant = did_you_mean(nearest(id, known, 3))
    return OutputError("unknown-id", f"{folder}: no prediction for {quoted(id)}; {meant or there}")


def existing_parts(folder: Path) -> list[Path]:
    """The parts in an output folder that must be one, in order.

    Raises:
        OutputError: ``output-not-found``.
    """
    if not os.path.isdir(folder / PARTS):
        raise OutputError("output-not-found", f"{folder}: {_why_none(folder)}")
    return part_files(folder)


def stored_crystals(folder: Path, ids: Collection[str]) -> dict[str, Crystal]:
    """Standard primitive cells of crystals of an output folder, by their ids, without their bands; those alone that are there.

    Raises:
        OutputError: ``output-not-found``, ``part-damaged``, ``part-unreadable`` or ``part-version``.
    """
    found = dict[str, Crystal]()
    for path in existing_parts(folder):
        with undamaged():
            found |= part_crystals(path, ids)
    return found


def _why_none(folder: Path) -> str:
    """Why a path leads to no output folder, and what may be meant."""
    if os.path.isdir(folder):
        return f"is no output folder of bandrt (it has no {PARTS}/)"
    if os.path.lexists(folder):
        of_results = next((str(one) for one in list(folder.parents)[:2] if os.path.isdir(one / PARTS)), None)
        meant = (
            f"did you mean {of_results}?"
            if of_results
            else "a crystal is predicted first by bandrt infer, or drawn at once by bandrt bands"
        )
        return f"is a file, and no output folder of bandrt; {meant}"
    try:
        beside = sorted(os.listdir(folder.parent))
    except OSError:
        beside = []
    near = [one for one in nearest(folder.name, beside, 10) if os.path.isdir(folder.parent / one / PARTS)]
    meant = did_you_mean([str(folder.with_name(one)) for one in near[:1]])
    return f"there is no such folder{f'; {meant}' if meant else ''}"


def read_run(folder: Path) -> dict[str, Any]:
    """Read ``run.json``; nothing where parts were copied without it.

    Raises:
        OutputError: ``run-damaged``.
    """
    path = folder / RUN
    if not os.path.exists(path):
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError("run-damaged", f"{path}: cannot be read ({error}); run again with --resume") from error
    if not isinstance(values, dict):
        raise OutputError("run-damaged", f"{path}: is no record of a run; run again with --resume")
    return values


def unfinished(record: Mapping[str, Any]) -> str:
    """That a run has not finished, in words; empty of one that has, or of which it is not recorded.

    Args:
        record: from `read_run`.
    """
    status = record.get("status")
    if status is None or status == "finished":
        return ""
    return f"not finished ({shortened(str(status), 40)}): more crystals may follow"


def read_errors(folder: Path) -> list[Failure]:
    """Read the recorded failures, the last of each input; a line that a killed run left unfinished is passed over.

    Raises:
        OutputError: ``errors-unreadable``.
    """
    path = folder / ERRORS
    if not os.path.exists(path):
        return []
    failures: dict[str, Failure] = {}
    try:
        with path.open("rb") as lines:  # in bytes: text has more ends of lines than one
            for line in lines:
                if (failure := failure_of(line)) is not None:
                    failures[failure.id] = failure
                else:
                    logging.getLogger(__name__).warning("%s: passed over an unfinished line", path)
    except OSError as error:
        raise OutputError(
            "errors-unreadable", f"{path}: cannot be read ({error.strerror or error}); it is left as it is"
        ) from error
    return list(failures.values())


def part_files(folder: Path) -> list[Path]:
    """The parts in an output folder, in the order of their numbers."""
    return sorted((path for path in (folder / PARTS).iterdir() if _PART_NAME.fullmatch(path.name)), key=part_number)


def part_number(path: Path) -> int:
    """The number of a part."""
    return int(path.stem.removeprefix("part-"))


def part_path(folder: Path, number: int) -> Path:
    """Where the part of this number stands in an output folder."""
    return folder / PARTS / f"part-{number:05d}.npz"


def check_store(folder: Path, mode: Mode, *, goes_on: bool = True) -> None:
    """Refuse a folder that a run in this mode may not write to; changes nothing.

    Args:
        folder: where results would go.
        mode: see `bandrt.results.writer.Store`.
        goes_on: whether who asks could go on with what is there.

    Raises:
        OutputInTheWayError: ``output-not-a-folder``, ``output-not-empty`` or ``output-foreign``.
        OutputError: ``output-unwritable``.
        ArgumentError: ``bad-argument`` for a mode that is none.
    """
    check_choice("mode", mode, Mode)
    check_folder(folder)
    if not folder.exists() or _is_blank(folder):
        return
    if not is_store(folder):
        raise OutputInTheWayError(
            "output-foreign", f"{folder}: is not empty and no output of bandrt (it has no {RUN} of ours); choose another folder"
        )
    if mode == "new":
        clearable = first_foreign(folder, partial(_is_ours, folder)) is None
        again = "--overwrite to start again" if clearable else "choose another folder"
        choices = f"add --resume to go on, or {again}" if goes_on else f"add {again}" if clearable else again
        raise OutputInTheWayError("output-not-empty", f"{folder}: is not empty; {choices}")
    if mode == "overwrite":
        check_cleared(folder, partial(_is_ours, folder))


def check_no_record(path: Path) -> None:
    """Refuse to write something else in place of what a run says of itself.

    Raises:
        OutputInTheWayError: ``output-record``.
    """
    if path.name in (SUMMARY, ERRORS, RUN) and os.path.isdir(path.parent / PARTS):
        raise OutputInTheWayError("output-record", f"{path}: is a file of the results in {path.parent}; choose another name")


def is_store(folder: Path) -> bool:
    """Whether a run wrote a folder: it has a ``run.json``, and that, or the folder of the parts beside it, is ours."""
    path = folder / RUN
    if not os.path.isfile(path):
        return False
    if os.path.isdir(folder / PARTS):
        return True
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and "bandrt_version" in values


def _is_ours(folder: Path, path: Path) -> bool:
    """Whether a run, or what is made of one, wrote this path inside a folder."""
    names = path.parts
    if len(names) == 1 and names[0] not in (REPORT, *CONVERTED.values()):
        ours = (PARTS, SET_ASIDE, SUMMARY, ERRORS, RUN, CRASH_LOG)
        return names[0] in ours or (names[0] == PLOTS and (folder / path).is_dir())
    if names[0] in (PARTS, SET_ASIDE):
        return len(names) == 2 and path.match("part-*.npz")
    return (len(names) == 1 or names[0] == PLOTS) and is_derived(folder / path)


def _is_blank(folder: Path) -> bool:
    """Whether a folder holds nothing, or only what a run leaves that is killed before it writes: unfinished files, a folder."""
    return first_foreign(folder, lambda path: path == Path(PARTS)) is None


def failure_of(line: bytes) -> Failure | None:
    """The failure of a line of ``errors.jsonl``; None of one that is unfinished, or not ours."""
    try:
        return Failure(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
