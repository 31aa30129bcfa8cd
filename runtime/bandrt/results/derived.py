"""Files that are made of results, figures, pages and conversions: whether one of them is ours, which deletes and replaces them.

A name says little: a folder of results may hold figures and tables that its owner made. Ours say inside who wrote them.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

from bandrt.bands.figures import CREATOR, FIGURE_FORMATS
from bandrt.errors import OutputInTheWayError

CONVERTED_BY = "converted_by"
"""The name under which HDF5 and Parquet say who wrote them."""
PAGE_BY = "bandrt report"
"""The first words of the ``generator`` of a page."""
METHOD_BY = "bandrt"
"""The first word of the ``method`` of a document in JSON lines."""
_SIGNATURES: Mapping[str, bytes] = {
    **{f".{kind}": CREATOR.encode() for kind in FIGURE_FORMATS},
    ".html": f'content="{PAGE_BY} '.encode(),
    ".jsonl.gz": f'"method": "{METHOD_BY} '.encode(),
    ".h5": CONVERTED_BY.encode(),
    ".hdf5": CONVERTED_BY.encode(),
    ".parquet": CONVERTED_BY.encode(),
}
"""What stands in each kind of file that bandrt wrote, by how its name ends."""
_READ_BYTES = 1 << 20
_BROKEN = (OSError, EOFError)


def is_derived(path: Path) -> bool:
    """Whether bandrt made a file of results; not one that only has its name, nor one that cannot be read."""
    signature = next((text for ending, text in _SIGNATURES.items() if path.name.lower().endswith(ending)), None)
    if signature is None or path.is_symlink() or not path.is_file():
        return False
    before = b""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            while read := file.read(_READ_BYTES):
                if signature in before + read:
                    return True
                before = read[-len(signature) :]
    except _BROKEN:
        return False
    return False


def check_replaced(path: Path) -> None:
    """Refuse to replace a file that was not named, and that bandrt did not make.

    Raises:
        OutputInTheWayError: ``output-foreign``.
    """
    if path.is_file() and not is_derived(path):
        raise OutputInTheWayError("output-foreign", f"{path}: bandrt did not write this file; choose another place with -o")
