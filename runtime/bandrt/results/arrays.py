"""Predictions as arrays, a row each, and the predictions that such arrays hold.

Parts are made of them, and so are HDF5 files; `bandrt.results.parts` says what each array is. Nothing is read or written here:
paths are for messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.frame import in_frame, out_of_frame
from bandrt.crystal import Crystal
from bandrt.manifest import BandRule
from bandrt.results.damage import sound
from bandrt.results.prediction import Prediction
from bandrt.results.summary import UNCERTAINTY_COLUMN, words_of
from bandrt.results.texts import as_objects

KEPT = "kept"
"""The array of columns that are kept of the inputs."""
PER_CRYSTAL = (
    "id", "path", "warnings", "scheme", "space_group", "space_group_symbol",
    "energies", "frac_kpoints", "kpoint_distance", "labels", "label_indices", "lattice", "input_sha256", "input_order",
)  # fmt: skip
"""Arrays with a row for each crystal."""
OPTIONAL = (UNCERTAINTY_COLUMN, KEPT)
"""Arrays with a row for each crystal that are there if the engine estimates its errors, and if columns were kept."""
PER_ATOM = ("atomic_numbers", "frac_coords")
"""Arrays with a row for each atom, one crystal after the other."""

Arrays = dict[str, NDArray[Any]]
"""Arrays by name, texts of any length as objects (n,)."""


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
        "energies": np.stack([in_frame(b, frame) for b in bands], dtype=np.float32),
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
        arrays[KEPT] = as_objects([kept_text(p.kept) for p in predictions])
    return arrays


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
        | {name: arrays[name][rows] for name in names_per_crystal(arrays)}
        | {name: arrays[name][atoms] for name in PER_ATOM}
        | {"atom_offsets": np.cumsum([0, *np.diff(offsets)[rows]])}
    )


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


def kept_of(arrays: Arrays) -> list[Mapping[str, str]] | None:
    """The columns of its input that each crystal of a part carries; None where one of them is none of texts by name."""
    if KEPT not in arrays:
        return [{} for _ in arrays["id"]]
    try:
        kept = [json.loads(text) for text in arrays[KEPT]]
    except ValueError:
        return None
    is_plain = all(isinstance(one, dict) and all(isinstance(value, str) for value in one.values()) for one in kept)
    return kept if is_plain else None


def names_per_crystal(arrays: Arrays) -> list[str]:
    """The names of those arrays that have a row for each crystal, optional ones if they are there."""
    return [*PER_CRYSTAL, *(name for name in OPTIONAL if name in arrays)]


def kept_text(kept: Mapping[str, str]) -> str:
    """The columns that are kept of an input, as the array of them has it: an object of JSON."""
    return json.dumps(kept, ensure_ascii=False)


def crystal_in(arrays: Arrays, index: int) -> Crystal:
    """The standard primitive cell of one prediction.

    Args:
        arrays: of a part; lattices and atoms suffice.
        index: which of its crystals.
    """
    atoms = slice(*arrays["atom_offsets"][index : index + 2])
    return Crystal(arrays["lattice"][index], arrays["atomic_numbers"][atoms], arrays["frac_coords"][atoms])


def _prediction(arrays: Arrays, index: int, frame: BandRule) -> Prediction:
    energies, rule = out_of_frame(arrays["energies"][index], frame)
    n_vertices = int((arrays["label_indices"][index] >= 0).sum())
    bands = BandStructure(
        energies=energies,
        frac_kpoints=arrays["frac_kpoints"][index],
        kpoint_distance=arrays["kpoint_distance"][index],
        labels=tuple(str(label) for label in arrays["labels"][index, :n_vertices]),
        label_indices=arrays["label_indices"][index, :n_vertices].astype(np.int64),
        crystal=crystal_in(arrays, index),
        space_group=int(arrays["space_group"][index]),
        space_group_symbol=str(arrays["space_group_symbol"][index]),
        scheme=str(arrays["scheme"][index]),  # type: ignore[arg-type]
        rule=rule,
    )
    return Prediction(
        id=str(arrays["id"][index]),
        path=str(arrays["path"][index]),
        band_structure=bands,
        warnings=words_of(str(arrays["warnings"][index])),
        uncertainty_ev=float(arrays[UNCERTAINTY_COLUMN][index]) if UNCERTAINTY_COLUMN in arrays else None,
        input_sha256=str(arrays["input_sha256"][index]),
        kept=json.loads(arrays[KEPT][index]) if KEPT in arrays else {},
    )
