"""pymatgen documents: one `BandStructureSymmLine` a line, as JSON lines, gzipped or plain.

Beside pymatgen's own keys a line holds the crystal (``structure``), the columns of ``summary.csv``, under ``kept`` those that were
kept of the inputs, and as ``method`` which engine its bands are from; null stands for nan, which JSON has not.
`bandrt train dataset` reads such a file, and so does ``BandStructureSymmLine.from_dict`` any line. pymatgen itself is not needed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import IO, Any

from bandrt.bands.document import document
from bandrt.results.convert.provenance import Facts
from bandrt.results.derived import METHOD_BY
from bandrt.results.prediction import Prediction
from bandrt.results.summary import json_values, summary

_COMPRESSION = 2
"""Files of level 6 are 8 % smaller and take four times as long: more than all the rest of a line."""

_AT_ONCE = 32
"""Lines that a thread of its own compresses and writes, which holds up no other, while the next are made."""


def write(file: IO[bytes], parts: Iterable[Sequence[Prediction]], facts: Facts, *, compressed: bool = True) -> None:
    """Write predictions as lines; equal ones give equal files.

    Args:
        file: open for writing.
        parts: predictions, part by part.
        facts: what is true of all of them.
        compressed: whether the file is gzipped.
    """
    method = f"{METHOD_BY} {facts.get('bandrt_version', '')}, engine {str(facts['engine_sha256'])[:12]}"
    with (
        gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) if compressed else nullcontext(file) as lines,
        ThreadPoolExecutor(1, thread_name_prefix="bandrt-lines") as writer,
    ):
        written: Future[int] = writer.submit(lines.write, b"")
        for part in parts:
            for start in range(0, len(part), _AT_ONCE):
                text = b"".join(_line(one, method) for one in part[start : start + _AT_ONCE])
                written.result()
                written = writer.submit(lines.write, text)
        written.result()


def _line(prediction: Prediction, method: str) -> bytes:
    values = _document(prediction) | {"method": method}
    return json.dumps(values, check_circular=False, allow_nan=False).encode() + b"\n"  # unchecked, a twentieth faster


def _document(prediction: Prediction) -> dict[str, Any]:
    """A band structure with its crystal and summary, in which null stands for nan."""
    kept = {"kept": prediction.kept} if prediction.kept else {}
    return {**document(prediction.band_structure), **json_values(summary(prediction)), **kept}
