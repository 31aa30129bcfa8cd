"""pymatgen documents: one `BandStructureSymmLine` a line, as JSON lines, gzipped or plain.

Beside pymatgen's own keys a line holds the crystal (``structure``), the columns of ``summary.csv``, under ``kept`` those that were
kept of the inputs, and as ``method`` which engine its bands are from; null stands for nan, which JSON has not.
`bandrt train dataset` reads such a file, and so does ``BandStructureSymmLine.from_dict`` any line. pymatgen itself is not needed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import IO, Any

from bandrt.bands.document import document
from bandrt.results.convert.provenance import Facts
from bandrt.results.derived import METHOD_BY
from bandrt.results.prediction import Prediction
from bandrt.results.summary import json_values, summary

_COMPRESSION = 2
"""Files of level 6 are 8 % smaller and take four times as long: more than all the rest of a line."""


def write(file: IO[bytes], parts: Iterable[Sequence[Prediction]], facts: Facts, *, compressed: bool = True) -> None:
    """Write predictions as lines; equal ones give equal files.

    Args:
        file: open for writing.
        parts: predictions, part by part.
        facts: what is true of all of them.
        compressed: whether the file is gzipped.
    """
    method = f"{METHOD_BY} {facts.get('bandrt_version', '')}, engine {str(facts['engine_sha256'])[:12]}"
    with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) if compressed else nullcontext(file) as lines:
        for part in parts:
            for prediction in part:
                line = _document(prediction) | {"method": method}
                lines.write(json.dumps(line, check_circular=False, allow_nan=False).encode() + b"\n")  # a twentieth faster


def _document(prediction: Prediction) -> dict[str, Any]:
    """A band structure with its crystal and summary, in which null stands for nan."""
    kept = {"kept": prediction.kept} if prediction.kept else {}
    return {**document(prediction.band_structure), **json_values(summary(prediction)), **kept}
