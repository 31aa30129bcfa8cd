"""pymatgen documents: one `BandStructureSymmLine` a line, as gzipped JSON lines.

Beside pymatgen's own keys a line holds the crystal (``structure``), the columns of ``summary.csv``, under ``kept`` those that were
kept of the inputs, and as ``method`` which engine its bands are from. `bandrt train dataset` reads such a file, and so does
``BandStructureSymmLine.from_dict`` any line.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from typing import IO, Any

from bandrt.results.convert.provenance import Facts
from bandrt.results.derived import METHOD_BY
from bandrt.results.prediction import Prediction
from bandrt.results.summary import summary

_COMPRESSION = 6
"""Files of level 9 are a few per cent smaller and take several times as long."""


def write(file: IO[bytes], parts: Iterable[Sequence[Prediction]], facts: Facts) -> None:
    """Write predictions as lines; equal ones give equal files.

    Args:
        file: open for writing.
        parts: predictions, part by part.
        facts: what is true of all of them.

    Raises:
        MissingPackageError: pymatgen is not installed.
    """
    method = f"{METHOD_BY} {facts.get('bandrt_version', '')}, engine {str(facts['engine_sha256'])[:12]}"
    with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as lines:
        for part in parts:
            for prediction in part:
                line = _document(prediction) | {"method": method}
                lines.write(json.dumps(line, default=int).encode() + b"\n")  # pymatgen leaves NumPy integers in band edges


def _document(prediction: Prediction) -> dict[str, Any]:
    """A band structure with its crystal and summary.

    Raises:
        MissingPackageError: pymatgen is not installed.
    """
    theirs = prediction.band_structure.to_pymatgen()
    kept = {"kept": prediction.kept} if prediction.kept else {}
    return {**theirs.as_dict(), "structure": theirs.structure.as_dict(), **summary(prediction), **kept}
