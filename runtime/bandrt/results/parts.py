"""Parts: predictions in NumPy archives without pickles, each complete in itself.

Arrays of a part that holds n crystals:

- ``id, path, warnings, scheme, space_group, space_group_symbol`` (n,);
- ``energies`` (n, n_bands, n_kpoints) float32, eV; ``frac_kpoints`` (n, n_kpoints, 3); ``kpoint_distance`` (n, n_kpoints), 1/Å;
- ``labels`` (n, n_vertices), padded with empty text, and ``label_indices`` (n, n_vertices), padded with -1;
- the standard primitive cells: ``lattice`` (n, 3, 3), Å, rows, and ``atomic_numbers`` and ``frac_coords``, one crystal after the
  other, crystal i at ``atom_offsets[i]:atom_offsets[i + 1]``;
- scalars: ``n_valence, metal_tolerance_ev, engine_sha256, format_version``;
- from an engine that estimates it, ``uncertainty_ev`` (n,) float32.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import BandStructure
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, InputError
from bandrt.files import replaced
from bandrt.manifest import BandRule
from bandrt.results.prediction import Prediction
from bandrt.results.summary import UNCERTAINTY_COLUMN

FORMAT_VERSION = 1

_PER_CRYSTAL = (
    "id", "path", "warnings", "scheme", "space_group", "space_group_symbol",
    "energies", "frac_kpoints", "kpoint_distance", "labels", "label_indices", "lattice",
)  # fmt: skip
_PER_ATOM = ("atomic_numbers", "frac_coords")
_SCALARS = ("n_valence", "metal_tolerance_ev", "engine_sha256", "format_version")


class BadPartError(Exception):
    """A part is truncated, damaged, or of another format."""


def write_part(path: Path, predictions: Sequence[Prediction], *, engine_sha256: str) -> None:
    """Write predictions under a temporary name, then put the file in place.

    Args:
        path: ``part-00000.npz``.
        predictions: at least one; all by the same engine.
        engine_sha256: which engine that was.
    """
    rule = predictions[0].band_structure.rule
    scalars: dict[str, Any] = {
        "n_valence": rule.n_valence,
        "metal_tolerance_ev": rule.metal_tolerance_ev,
        "engine_sha256": engine_sha256,
        "format_version": FORMAT_VERSION,
    }
    with replaced(path, "wb") as file:
        np.savez(file, allow_pickle=False, **stacked(predictions), **scalars)


def stacked(predictions: Sequence[Prediction]) -> dict[str, NDArray[Any]]:
    """The arrays of a part, scalars apart.

    Args:
        predictions: at least one; all by the same engine.
    """
    bands = [p.band_structure for p in predictions]
    crystals = [b.crystal for b in bands]
    n_vertices = max(len(b.labels) for b in bands)
    label_indices = np.full((len(bands), n_vertices), -1, np.int32)
    for row, b in zip(label_indices, bands, strict=True):
        row[: len(b.label_indices)] = b.label_indices
    arrays: dict[str, NDArray[Any]] = {
        "id": np.array([p.id for p in predictions]),
        "path": np.array([p.path for p in predictions]),
        "warnings": np.array([";".join(p.warnings) for p in predictions]),
        "scheme": np.array([b.scheme for b in bands]),
        "space_group": np.array([b.space_group for b in bands], np.int32),
        "space_group_symbol": np.array([b.space_group_symbol for b in bands]),
        "energies": np.stack([b.energies for b in bands]).astype(np.float32),
        "frac_kpoints": np.stack([b.frac_kpoints for b in bands]),
        "kpoint_distance": np.stack([b.kpoint_distance for b in bands]),
        "labels": np.array([[*b.labels, *[""] * (n_vertices - len(b.labels))] for b in bands]),
        "label_indices": label_indices,
        "lattice": np.stack([c.lattice for c in crystals]),
        "atom_offsets": np.cumsum([0, *(c.n_atoms for c in crystals)]),
        "atomic_numbers": np.concatenate([c.atomic_numbers for c in crystals]),
        "frac_coords": np.concatenate([c.frac_coords for c in crystals]),
    }
    if predictions[0].uncertainty_ev is not None:
        arrays[UNCERTAINTY_COLUMN] = np.array([p.uncertainty_ev for p in predictions], np.float32)
    return arrays


def read_part(path: Path) -> Iterator[Prediction]:
    """Read every prediction of a part; the whole file is verified first.

    Raises:
        BadPartError: it is truncated, damaged or of another format.
    """
    arrays = _arrays(path)
    with _sound(path):
        rule = BandRule(arrays["energies"].shape[1], int(arrays["n_valence"]), float(arrays["metal_tolerance_ev"]))
    for index in range(len(arrays["id"])):
        with _sound(path):
            prediction = _prediction(arrays, index, rule)
        yield prediction


def part_ids(path: Path) -> list[str]:
    """The ids in a part, without reading the rest.

    Raises:
        BadPartError: it is truncated or damaged.
    """
    with _opened(path) as archive:
        return [str(name) for name in archive["id"]]


def part_engine(path: Path) -> str:
    """Checksum of the engine that made a part.

    Raises:
        BadPartError: it is truncated or damaged.
    """
    with _opened(path) as archive:
        return str(archive["engine_sha256"])


_DAMAGE = (OSError, ValueError, KeyError, IndexError, EOFError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile)
"""What NumPy and zipfile raise for files that are cut or overwritten."""


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Where values are believed that have the right checksums: no run wrote what is no crystal, rule or scheme.

    Raises:
        BadPartError: they are none.
    """
    try:
        yield
    except (ArgumentError, InputError) as error:
        raise BadPartError(f"{path}: {error.message}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive
    except _DAMAGE as error:
        raise BadPartError(f"{path}: {error}") from error


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with _opened(path) as archive:
        if (damaged := archive.zip.testzip()) is not None:  # checksums before shapes are believed
            raise BadPartError(f"{path}: {damaged} has a wrong checksum")
        estimated = [name for name in (UNCERTAINTY_COLUMN,) if name in archive.files]
        arrays = {name: archive[name] for name in (*_PER_CRYSTAL, *estimated, *_PER_ATOM, "atom_offsets", *_SCALARS)}
    n_crystals, offsets = len(arrays["id"]), arrays["atom_offsets"]
    if int(arrays["format_version"]) != FORMAT_VERSION:
        raise BadPartError(f"{path}: part format {arrays['format_version']}, this bandrt reads {FORMAT_VERSION}")
    lengths = {len(arrays[name]) for name in (*_PER_CRYSTAL, *estimated)} | {len(offsets) - 1}
    if lengths != {n_crystals} or {len(arrays[name]) for name in _PER_ATOM} != {int(offsets[-1])}:
        raise BadPartError(f"{path}: its arrays have different lengths")
    return arrays


def _prediction(arrays: dict[str, NDArray[Any]], index: int, rule: BandRule) -> Prediction:
    n_vertices = int((arrays["label_indices"][index] >= 0).sum())
    atoms = slice(*arrays["atom_offsets"][index : index + 2])
    bands = BandStructure(
        energies=arrays["energies"][index],
        frac_kpoints=arrays["frac_kpoints"][index],
        kpoint_distance=arrays["kpoint_distance"][index],
        labels=tuple(str(label) for label in arrays["labels"][index, :n_vertices]),
        label_indices=arrays["label_indices"][index, :n_vertices].astype(np.int64),
        crystal=Crystal(arrays["lattice"][index], arrays["atomic_numbers"][atoms], arrays["frac_coords"][atoms]),
        space_group=int(arrays["space_group"][index]),
        space_group_symbol=str(arrays["space_group_symbol"][index]),
        scheme=str(arrays["scheme"][index]),  # type: ignore[arg-type]
        rule=rule,
    )
    codes = str(arrays["warnings"][index])
    return Prediction(
        id=str(arrays["id"][index]),
        path=str(arrays["path"][index]),
        band_structure=bands,
        warnings=tuple(codes.split(";")) if codes else (),
        uncertainty_ev=float(arrays[UNCERTAINTY_COLUMN][index]) if UNCERTAINTY_COLUMN in arrays else None,
    )
