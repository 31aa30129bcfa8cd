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
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.frame import in_frame, out_of_frame
from bandrt.crystal import Crystal
from bandrt.files import replaced
from bandrt.manifest import BandRule
from bandrt.results.damage import BadPartError, PartVersionError, UnreadablePartError, sound
from bandrt.results.prediction import Prediction
from bandrt.results.summary import UNCERTAINTY_COLUMN
from bandrt.results.texts import as_objects, packed, unpacked

FORMAT_VERSION: Final = 3
READ_VERSIONS: Final = (1, FORMAT_VERSION)

_KEPT = "kept"
_TEXTS = ("id", "path", "warnings", _KEPT)
_SINCE_3 = ("input_sha256", "input_order")
_PER_CRYSTAL = (
    "id", "path", "warnings", "scheme", "space_group", "space_group_symbol",
    "energies", "frac_kpoints", "kpoint_distance", "labels", "label_indices", "lattice",
)  # fmt: skip
_OPTIONAL = (UNCERTAINTY_COLUMN, _KEPT)
_PER_ATOM = ("atomic_numbers", "frac_coords")
_SCALARS = ("n_valence", "metal_tolerance_ev", "engine_sha256", "format_version")


Arrays = dict[str, NDArray[Any]]
"""Arrays of a part by name, texts of any length as objects (n,)."""


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
            arrays[_KEPT][row] = _json(kept)
    revised = taken(arrays, rows) | {"input_order": orders}
    with replaced(path, "wb") as file:
        np.savez(file, allow_pickle=False, **_with_packed_texts(revised))


def taken(arrays: Arrays, rows: NDArray[np.intp]) -> Arrays:
    """Some crystals of the arrays of a part, copied.

    Args:
        arrays: those of a part.
        rows: (m,) which of its crystals, in the order that they shall have; at least one.
    """
    offsets = arrays["atom_offsets"]
    atoms = np.concatenate([np.arange(offsets[row], offsets[row + 1]) for row in rows])
    return (
        arrays
        | {name: arrays[name][rows] for name in _names_per_crystal(arrays)}
        | {name: arrays[name][atoms] for name in _PER_ATOM}
        | {"atom_offsets": np.cumsum([0, *np.diff(offsets)[rows]])}
    )


def stacked(predictions: Sequence[Prediction], frame: BandRule, orders: Sequence[int] | None = None) -> Arrays:
    """The arrays of a part, scalars apart.

    Args:
        predictions: at least one; all by the same engine.
        frame: the bands that were asked for.
        orders: places among the inputs of the run; by default as they stand here.
    """
    bands = [p.band_structure for p in predictions]
    crystals = [b.crystal for b in bands]
    n_vertices = max(len(b.labels) for b in bands)
    label_indices = np.full((len(bands), n_vertices), -1, np.int32)
    for row, b in zip(label_indices, bands, strict=True):
        row[: len(b.label_indices)] = b.label_indices
    arrays: Arrays = {
        "id": as_objects([p.id for p in predictions]),
        "path": as_objects([p.path for p in predictions]),
        "input_sha256": np.array([p.input_sha256 for p in predictions]),
        "input_order": np.arange(len(predictions)) if orders is None else np.array(orders, np.int64),
        "warnings": as_objects([";".join(p.warnings) for p in predictions]),
        "scheme": np.array([b.scheme for b in bands]),
        "space_group": np.array([b.space_group for b in bands], np.int32),
        "space_group_symbol": np.array([b.space_group_symbol for b in bands]),
        "energies": np.stack([in_frame(b, frame) for b in bands]).astype(np.float32),
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
    if any(p.kept for p in predictions):
        arrays[_KEPT] = as_objects([_json(p.kept) for p in predictions])
    return arrays


def _json(kept: Mapping[str, str]) -> str:
    return json.dumps(kept, ensure_ascii=False)


def read_part(path: Path) -> Iterator[Prediction]:
    """Read every prediction of a part; the whole file is verified first.

    Raises:
        BadPartError: it is truncated or damaged.
        UnreadablePartError: it cannot be read now.
        PartVersionError: it is of a format that is not known.
    """
    yield from predictions_of(part_arrays(path), path)


def predictions_of(arrays: Arrays, path: Path, frame: BandRule | None = None) -> Iterator[Prediction]:
    """The predictions that the arrays of a part hold.

    Args:
        arrays: of the part.
        path: it, for messages.
        frame: the bands that were asked for; None: the arrays say it, as those of a file do.

    Raises:
        BadPartError: its values are those of no prediction.
    """
    frame = frame_in(arrays, path) if frame is None else frame
    for index in range(len(arrays["id"])):
        with sound(path):
            prediction = _prediction(arrays, index, frame)
        yield prediction


def frame_in(arrays: Arrays, path: Path) -> BandRule:
    """The bands that were asked for, of the arrays of a part.

    Raises:
        BadPartError: there is no such rule.
    """
    with sound(path):
        return BandRule(arrays["energies"].shape[1], int(arrays["n_valence"]), float(arrays["metal_tolerance_ev"]))


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
    kept = _some_arrays(path, _KEPT).get(_KEPT)
    return () if kept is None or not len(kept) else tuple(json.loads(kept[0]))


def part_crystals(path: Path, ids: Collection[str]) -> dict[str, Crystal]:
    """Standard primitive cells of a part by the ids of its predictions, those that are asked for, without reading its bands.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    arrays = _some_arrays(path, "id", "lattice", "atom_offsets", *_PER_ATOM)
    found = {}
    for index, id in enumerate(map(str, arrays["id"])):
        if id in ids:
            with sound(path):
                found[id] = _crystal(arrays, index)
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


_DAMAGE = (OSError, ValueError, KeyError, IndexError, EOFError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile)
"""What NumPy and zipfile raise for files that are cut or overwritten."""


def part_arrays(path: Path) -> Arrays:
    """The arrays of a part, which are verified.

    Raises:
        BadPartError, UnreadablePartError, PartVersionError: as `read_part`.
    """
    with _damage(path):
        return _whole_arrays(path, _content(path))


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
        lacking = {*_OPTIONAL, *(_SINCE_3 if version == 1 else ())} - {*archive.files}
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
    names = (*_PER_CRYSTAL, *_SINCE_3, *_OPTIONAL, *_PER_ATOM, "atom_offsets", *_SCALARS)
    arrays = _loaded(path, io.BytesIO(content), names, verify=True)
    n_crystals, offsets = len(arrays["id"]), arrays["atom_offsets"]
    if int(arrays["format_version"]) == 1:
        arrays |= {"input_sha256": np.full(n_crystals, ""), "input_order": np.arange(n_crystals)}
    lengths = {len(arrays[name]) for name in _names_per_crystal(arrays)} | {len(offsets) - 1}
    if lengths != {n_crystals} or {len(arrays[name]) for name in _PER_ATOM} != {int(offsets[-1])}:
        raise BadPartError(f"{path}: its arrays have different lengths")
    return arrays


def _names_per_crystal(arrays: Arrays) -> list[str]:
    return [*_PER_CRYSTAL, *_SINCE_3, *(name for name in _OPTIONAL if name in arrays)]


def _with_packed_texts(arrays: Arrays) -> Arrays:
    """Arrays as they are written: of texts their bytes, and where each begins."""
    written = dict(arrays)
    for name in _TEXTS:
        if name in arrays:
            written[name], written[f"{name}_offsets"] = packed(arrays[name].tolist())
    return written


def _prediction(arrays: Arrays, index: int, frame: BandRule) -> Prediction:
    energies, rule = out_of_frame(arrays["energies"][index], frame)
    n_vertices = int((arrays["label_indices"][index] >= 0).sum())
    bands = BandStructure(
        energies=energies,
        frac_kpoints=arrays["frac_kpoints"][index],
        kpoint_distance=arrays["kpoint_distance"][index],
        labels=tuple(str(label) for label in arrays["labels"][index, :n_vertices]),
        label_indices=arrays["label_indices"][index, :n_vertices].astype(np.int64),
        crystal=_crystal(arrays, index),
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
        input_sha256=str(arrays["input_sha256"][index]),
        kept=json.loads(arrays[_KEPT][index]) if _KEPT in arrays else {},
    )


def _crystal(arrays: Arrays, index: int) -> Crystal:
    atoms = slice(*arrays["atom_offsets"][index : index + 2])
    return Crystal(arrays["lattice"][index], arrays["atomic_numbers"][atoms], arrays["frac_coords"][atoms])
