"""Results in other formats: a whole output folder in one file, made part by part.

`selection` says which predictions, `provenance` what a file says of where its numbers come from and in which units; `documents`
(pymatgen), `hdf5` and `parquet` each write one format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Literal, get_args

from bandrt.arguments import check_choice
from bandrt.errors import OutputError
from bandrt.files import check_file, replaced
from bandrt.results.convert.provenance import Facts, provenance
from bandrt.results.convert.selection import select
from bandrt.results.damage import undamaged
from bandrt.results.parts import part_frame
from bandrt.results.prediction import Prediction
from bandrt.results.store import check_no_record, read_run

OutputFormat = Literal["pymatgen", "hdf5", "parquet"]
OUTPUT_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
PLAIN_LINES = ".jsonl"
"""How names of files of documents end that are not compressed."""
SUFFIXES: Mapping[OutputFormat, tuple[str, ...]] = {
    "pymatgen": (".jsonl.gz", PLAIN_LINES),
    "hdf5": (".h5", ".hdf5"),
    "parquet": (".parquet",),
}
"""How names of files end, by format, the usual ending first."""

_HOME: Mapping[OutputFormat, str] = {
    "pymatgen": "bandrt.results.convert.documents",
    "hdf5": "bandrt.results.convert.hdf5",
    "parquet": "bandrt.results.convert.parquet",
}
Write = Callable[[IO[bytes], Iterable[Sequence[Prediction]], Facts], None]
"""What each of them has as `write`: a file open for writing, predictions part by part, and what is true of all of them."""


def kind_of(path: Path) -> OutputFormat | None:
    """The format that the name of a file asks for; None: none."""
    return next((kind for kind, endings in SUFFIXES.items() if path.name.lower().endswith(endings)), None)


def convert(
    folder: Path,
    target: Path,
    kind: OutputFormat,
    *,
    ids: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write predictions of an output folder to one file, in the order of the folder.

    Args:
        folder: results of a run, finished or not; what is there now is converted.
        target: the file; one of that name is replaced at the end, its folder is made. Documents are compressed unless its name ends
            in `PLAIN_LINES`.
        kind: the format.
        ids: which predictions; none: all.
        on_progress: called with how many are written, and of how many.

    Returns:
        How many crystals were written.

    Raises:
        OutputError: ``output-not-found``, ``part-damaged``, ``run-damaged``, ``unknown-id``, ``no-predictions`` or
        ``output-unwritable``; the file is then as it was before.
        OutputInTheWayError: ``output-not-a-file``, or ``output-record``.
        UsageError: ``engine-differs``, for predictions of several engines.
        MissingPackageError: what writes the format is not installed.
        ArgumentError: ``bad-argument`` for a format that is none.
    """
    check_choice("kind", kind, OutputFormat)
    check_no_record(target)
    selection = select(folder, ids)
    home = import_module(_HOME[kind])
    is_plain = kind == "pymatgen" and target.name.lower().endswith(PLAIN_LINES)
    write: Write = partial(home.write, compressed=False) if is_plain else home.write

    def counted(parts: Iterable[list[Prediction]]) -> Iterator[list[Prediction]]:
        done = 0
        for part in parts:
            yield part
            done += len(part)
            on_progress(done, selection.n_crystals)

    check_file(target, overwrite=True)
    with undamaged():
        facts = provenance(read_run(folder), selection.engine_sha256, part_frame(selection.portions[0].path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replaced(target, "wb") as file:
            write(file, counted(selection.read()), facts)
    except OSError as error:
        raise OutputError("output-unwritable", f"{target}: cannot be written ({error.strerror or error})") from error
    return selection.n_crystals
