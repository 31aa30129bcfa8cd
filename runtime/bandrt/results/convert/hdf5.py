"""HDF5: the arrays of all parts in one flat file.

Crystal i is row i of every dataset, as in a part (`bandrt.results.parts` lists them with their shapes), beside the columns of
``summary.csv``: ``formula``, ``n_atoms``, ``band_gap_ev``, ``direct_gap_ev``, ``is_metal``, ``is_direct``, and ``vbm_ev`` and
``cbm_ev``, NaN for metals. Bands that were asked for and that a crystal has not are NaN in ``energies``. What was kept of the
inputs is in the group ``kept``, a dataset of texts for each column (``/`` and ``.``, no names there, are called ``\\x2f`` and
``\\x2e``). The atoms of crystal i are rows ``atom_offsets[i]:atom_offsets[i + 1]`` of ``atomic_numbers`` and ``frac_coords``. Text
is UTF-8; ``labels`` are padded with empty text and ``label_indices`` with -1. Datasets are chunked, compressed and, text apart,
checksummed; units are their attribute ``units``, and where the numbers come from is in the attributes of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import MissingPackageError
from bandrt.manifest import BandRule
from bandrt.results.arrays import stacked
from bandrt.results.convert.provenance import UNITS, Facts, rule_of
from bandrt.results.prediction import Prediction
from bandrt.results.summary import summary
from bandrt.results.texts import as_objects

_CHUNK_BYTES = 1 << 18
"""What is decompressed to read one crystal: 42 of 6 bands at 256 k-points."""
_MAX_CHUNK_ROWS = 4096
_OFFSETS = "atom_offsets"


def write(file: IO[bytes], parts: Iterable[Sequence[Prediction]], facts: Facts) -> None:
    """Write predictions as one HDF5 file.

    Args:
        file: open for writing, and with a name that HDF5 can open.
        parts: predictions, part by part.
        facts: what is true of all of them.

    Raises:
        MissingPackageError: h5py is not installed.
        OSError: the file cannot be written, as on a disk that is full.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError("h5py", "hdf5", "converting to HDF5") from error

    text = h5py.string_dtype()
    with open(file.name, "r+b", buffering=0) as opened:
        kept = _Kept(opened)
        with h5py.File(kept, "w") as target:
            target.attrs.update(facts)
            for part in parts:
                for name, values in _arrays(part, rule_of(facts)).items():
                    rows = values.astype(text) if values.dtype.kind in "UO" else values
                    if name not in target:
                        _create(target, name, rows)
                    elif name == _OFFSETS:
                        rows = rows[1:] + target[name][-1]  # the first is where the rows before end
                    _append(target[name], rows)
                kept.require_whole()
        kept.require_whole()


class _Kept:
    """A file in which nothing fails for HDF5, which ends the process where a file cannot be closed; the first error is kept."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None
        self.seek, self.tell, self.read, self.flush = file.seek, file.tell, file.read, file.flush

    def write(self, data: memoryview) -> int:
        """Write all of it, until a write has failed."""
        rest = memoryview(data).cast("B")
        try:
            while self._error is None and len(rest):
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def truncate(self, size: int) -> int:
        """Make it so long, unless it cannot be."""
        try:
            return size if self._error else self._file.truncate(size)
        except OSError as error:
            self._error = error
            return size

    def require_whole(self) -> None:
        """Raise the first error that there was.

        Raises:
            OSError: something was not written.
        """
        if self._error is not None:
            raise self._error


def _arrays(predictions: Sequence[Prediction], frame: BandRule) -> dict[str, NDArray[Any]]:
    rows = [summary(p) for p in predictions]
    arrays = stacked(predictions, frame)
    arrays.pop("kept", None)
    kept = {_name(column): as_objects([p.kept.get(column, "") for p in predictions]) for column in predictions[0].kept}
    return (
        arrays
        | kept
        | {
            "formula": np.array([row["formula"] for row in rows]),
            "n_atoms": np.array([row["n_atoms"] for row in rows], np.int32),
            "band_gap_ev": np.array([row["band_gap_ev"] for row in rows]),
            "direct_gap_ev": np.array([row["direct_gap_ev"] for row in rows]),
            "is_metal": np.array([row["is_metal"] for row in rows]),
            "is_direct": np.array([row["is_direct"] for row in rows]),
            "vbm_ev": np.array([row["vbm_ev"] for row in rows], np.float64),  # None becomes NaN
            "cbm_ev": np.array([row["cbm_ev"] for row in rows], np.float64),
        }
    )


def _name(column: str) -> str:
    """Where a column of the inputs stands; a name of HDF5 has no slash, and is not a point alone."""
    return "kept/" + ("\\x2e" if column == "." else column.replace("/", "\\x2f"))


def _create(target: Any, name: str, rows: NDArray[Any]) -> None:
    """Make an empty dataset for rows of this kind, which may become more and wider."""
    row_bytes = rows.dtype.itemsize * math.prod(rows.shape[1:])
    n_chunk_rows = min(max(_CHUNK_BYTES // row_bytes, 1), _MAX_CHUNK_ROWS)
    dataset = target.create_dataset(
        name,
        shape=(0, *rows.shape[1:]),
        maxshape=(None,) * rows.ndim,
        dtype=rows.dtype,
        chunks=(n_chunk_rows, *rows.shape[1:]),
        fillvalue=-1 if name == "label_indices" else None,
        compression="gzip",
        shuffle=True,
        fletcher32=rows.dtype.kind != "O",  # text of any length lies outside the chunks
    )
    if name in UNITS:
        dataset.attrs["units"] = UNITS[name]


def _append(dataset: Any, rows: NDArray[Any]) -> None:
    """Add rows; the narrower of those before and these are padded with the fill value."""
    n_before = len(dataset)
    dataset.resize((n_before + len(rows), *map(max, dataset.shape[1:], rows.shape[1:])))
    dataset[(slice(n_before, None), *map(slice, rows.shape[1:]))] = rows
