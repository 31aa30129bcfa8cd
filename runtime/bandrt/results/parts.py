"""Parts: predictions in NumPy archives without pickles, each complete in itself.

Arrays of a part that holds n crystals:

- ``id, path, warnings``: texts of any length as UTF-8, one after the other; that of crystal i is bytes
  ``id_offsets[i]:id_offsets[i + 1]`` of ``id``, and so with ``path_offsets`` and ``warnings_offsets`` (n + 1,);
- ``input_sha256, input_order, scheme, space_group, space_group_symbol`` (n,): checksum of the text that the crystal was read from,
  and its place among the inputs of the run, from 0;
- ``energies`` (n, n_bands, n_kpoints) float32, eV, NaN for bands that were asked for and that a crystal has not; ``frac_kpoints``
  (n, n_kpoints, 3); ``kpoint_distance`` (n, n_kpoints), 1/Å;
- ``labels`` (n, n_vertices), padded with empty text, and ``label_indices`` (n, n_vertices), padded with -1;
- the standard primitive cells: ``lattice`` (n, 3, 3), Å, rows, and ``atomic_numbers`` and ``frac_coords``, one crystal after the
  other, crystal i at ``atom_offsets[i]:atom_offsets[i + 1]``;
- scalars: ``n_valence, metal_tolerance_ev, engine_sha256, format_version``, two checksums joined by a plus where the engine hands
  crystals over to another one;
- from an engine that estimates it, ``uncertainty_ev`` (n,) float32;
- where columns of the inputs were kept, ``kept``, an object of JSON for each crystal with texts by column, stored as the ids are.

Format 3. Format 1, whose texts are arrays (n,) of NumPy's and which lacks ``input_sha256`` and ``input_order``, is read, but not
gone on with.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.files import replaced
from bandrt.manifest import BandRule
from bandrt.results.arrays import (
    KEPT,
    OPTIONAL,
    PER_ATOM,
    PER_CRYSTAL,
    Arrays,
    crystal_in,
    frame_in,
    kept_text,
    names_per_crystal,
    predictions_of,
    taken,
)
from bandrt.results.damage import BadPartError, PartVersionError, UnreadablePartError, sound
from bandrt.results.prediction import Prediction
from bandrt.results.texts import packed, unpacked

FORMAT_VERSION: Final = 3
READ_VERSIONS: Final = (1, FORMAT_VERSION)

_TEXTS = ("id", "path", "warnings", KEPT)
_SINCE_3 = ("input_sha256", "input_order")
_SCALARS = ("n_valence", "metal_tolerance_ev", "engine_sha256", "format_version")
_DAMAGE = (OSError, ValueError, KeyError, IndexError, EOFError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile)
"""What NumPy and zipfile raise for files that are cut or overwritten."""


class Restated(NamedTuple):
    """What a prediction says of its input that may be otherwise when its text is the same."""

    path: str
    """Where it is read."""
    kept: Mapping[str, str]
    """Columns of it that are carried through, as text by name."""
    warnings: tuple[str, ...]
    """All of the prediction, of which those of how the crystal was read may have changed."""


def write_part(path: Path, arrays: Arrays, frame: BandRule, *, engine_sha256: str) -> None:
    """Write what `stacked` has made of predictions, under a temporary name, then put the file in place.

    Args:
        path: ``part-00000.npz``.
        arrays: of the predictions.
        frame: the bands that were asked for.
        engine_sha256: which engine made them.
    """
    scalars: dict[str, Any] = {
        "n_valence": frame.n_valence,
        "metal_tolerance_ev": frame.metal_tolerance_ev,
        "engine_sha256": engine_sha256,
        "format_version": FORMAT_VERSION,
    }
    with replaced(path, "wb") as file:
        np.savez(file, allow_pickle=False, **_with_packed_texts(arrays), **scalars)


def revise_part(path: Path, rows: NDArray[np.intp], orders: NDArray[np.int64], restated: Mapping[int, Restated]) -> None:
    """Put in the place of a part one with some of its crystals.

    Args:
        path: the part, of the present format.
        rows: (m,) which of its crystals, in the order that they shall have; without any, the part is deleted.
        orders: (m,) their places among the inputs of the run.
        restated: what some say otherwise of their inputs now, by their row in the part.

    Raises:
        BadPartError, UnreadablePartError: it cannot be read.
    """
    if not len(rows):
        path.unlink()
        return
    arrays = part_arrays(path)
    for row, (place, kept, warnings) in restated.items():
        arrays["path"][row] = place
        arrays["warnings"][row] = ";".join(warnings)
        if kept:
            arrays[KEPT][row] = kept_text(kept)
    revised = taken(arrays, rows) | {"input_order": orders}
    with replaced(path, "wb") as file:
        np.savez(file, allow_pickle=False, **_with_packed_texts(revised))


def read_part(path: Path) -> Iterator[Prediction]:
    """Read every prediction of a part; the whole file is verified first.

    Raises:
        BadPartError: it is truncated or damaged.
        UnreadablePartError: it cannot be read now.
        PartVersionError: it is of a format that is not known.
    """
    yield from predictions_of(part_arrays(path), path)


def part_arrays(path: Path) -> Arrays:
    """The arrays of a part, which are verified.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    with _damage(path):
        return _whole_arrays(path, _content(path))


def part_frame(path: Path) -> BandRule:
    """The bands that were asked for in a part.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    return frame_in(_some_arrays(path, "energies", "n_valence", "metal_tolerance_ev"), path)


def part_ids(path: Path) -> list[str]:
    """The ids in a part, without reading the rest.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    arrays = _some_arrays(path, "id")
    return [str(name) for name in arrays["id"]]


def part_inputs(path: Path) -> dict[str, str]:
    """Checksums of the texts that the crystals of a part were read from, by their ids; empty ones in a part of format 1.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    arrays = _some_arrays(path, "id", "input_sha256")
    ids = list(map(str, arrays["id"]))
    return dict(zip(ids, map(str, arrays.get("input_sha256", [""] * len(ids))), strict=True))


def part_orders(path: Path) -> list[int]:
    """Places of the crystals of a part among the inputs of the run, without reading the rest; of format 1, its own order.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    return [int(order) for order in _some_arrays(path, "input_order").get("input_order", ())]


def part_keep(path: Path) -> tuple[str, ...]:
    """Columns of the inputs that were kept with the predictions of a part, without reading the rest.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    kept = _some_arrays(path, KEPT).get(KEPT)
    return () if kept is None or not len(kept) else tuple(json.loads(kept[0]))


def part_crystals(path: Path, ids: Collection[str]) -> dict[str, Crystal]:
    """Standard primitive cells of a part by the ids of its predictions, those that are asked for, without reading its bands.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    arrays = _some_arrays(path, "id", "lattice", "atom_offsets", *PER_ATOM)
    found = {}
    for index, id in enumerate(map(str, arrays["id"])):
        if id in ids:
            with sound(path):
                found[id] = crystal_in(arrays, index)
    return found


def part_predictions(path: Path, ids: Collection[str]) -> dict[str, Prediction]:
    """Those predictions of a part that are asked for, by their ids; nothing but the ids is read of a part that holds none.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    rows = [row for row, id in enumerate(part_ids(path)) if id in ids]
    if not rows:
        return {}
    return {one.id: one for one in predictions_of(taken(part_arrays(path), np.array(rows, np.intp)), path)}


def part_engine(path: Path) -> str:
    """Checksum of the engine that made a part.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    return str(_some_arrays(path, "engine_sha256")["engine_sha256"])


def _some_arrays(path: Path, *names: str) -> Arrays:
    """Some arrays of a part, without those that its format lacks."""
    try:
        with path.open("rb") as file:
            return _loaded(path, file, names)
    except _DAMAGE:  # zipfile calls it damaged, too, what could not be read
        with _damage(path):
            return _loaded(path, io.BytesIO(_content(path)), names)


def _loaded(path: Path, file: IO[bytes], names: Collection[str], *, verify: bool = False) -> Arrays:
    """Arrays of an open part, those left out that its format lacks.

    Raises:
        PartVersionError, BadPartError: as `read_part`.
        Exception: what is in `_DAMAGE`.
    """
    with np.load(file, allow_pickle=False) as archive:
        if (version := int(archive["format_version"])) not in READ_VERSIONS:
            raise PartVersionError(f"{path}: part format {version}, this bandrt reads {' and '.join(map(str, READ_VERSIONS))}")
        if verify and (damaged := archive.zip.testzip()) is not None:  # checksums before shapes are believed
            raise BadPartError(f"{path}: {damaged} has a wrong checksum")
        lacking = {*OPTIONAL, *(_SINCE_3 if version == 1 else ())} - {*archive.files}
        arrays = {name: archive[name] for name in names if name not in lacking}
        for name in _TEXTS:
            if name in arrays:
                offsets = None if version == 1 else archive[f"{name}_offsets"]
                arrays[name] = arrays[name].astype(object) if offsets is None else unpacked(arrays[name], offsets)
    return arrays


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadablePartError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise BadPartError(f"{path}: {error}") from error


def _whole_arrays(path: Path, content: bytes) -> Arrays:
    names = (*PER_CRYSTAL, *OPTIONAL, *PER_ATOM, "atom_offsets", *_SCALARS)
    arrays = _loaded(path, io.BytesIO(content), names, verify=True)
    n_crystals, offsets = len(arrays["id"]), arrays["atom_offsets"]
    if int(arrays["format_version"]) == 1:
        arrays |= {"input_sha256": np.full(n_crystals, ""), "input_order": np.arange(n_crystals)}
    lengths = {len(arrays[name]) for name in names_per_crystal(arrays)} | {len(offsets) - 1}
    if lengths != {n_crystals} or {len(arrays[name]) for name in PER_ATOM} != {int(offsets[-1])}:
        raise BadPartError(f"{path}: its arrays have different lengths")
    return arrays


def _with_packed_texts(arrays: Arrays) -> Arrays:
    """Arrays as they are written: of texts their bytes, and where each begins."""
    written = dict(arrays)
    for name in _TEXTS:
        if name in arrays:
            written[name], written[f"{name}_offsets"] = packed(arrays[name].tolist())
    return written
