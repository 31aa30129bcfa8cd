"""Band documents: pymatgen `BandStructureSymmLine` JSON, read as plain JSON. pymatgen itself is not needed.

Energies are in eV, k-points fractional, and there is a Fermi level: no document names a unit.
Beside pymatgen's own keys these are read where a document has them:
    ``id`` or ``material_id``, ``method``, ``is_metal_label``, ``band_gap_ev``,
    ``n_occupied``           the highest band that holds electrons in an insulator, counted from 1,
    ``n_electrons``          how many electrons a cell has in bands,
    ``first_band``           how many lower bands `n_occupied` and `n_electrons` count that the document leaves out (0),
    ``trusted_below_ev``     absolute, eV: energies from here on are not to be learned from (models other than DFT),
    ``weight``               what the crystal counts in training, more than 0 and at most 1 (1).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError, reason_of
from bandrt.limits import MAX_KPOINT, WRONG
from bandrt.readers.documents import crystal_of_document

LABEL_TOLERANCE = 1e-4
"""Fractional: a computed k-point this close to a labelled one carries its label (as pymatgen reads it)."""


class Reading(NamedTuple):
    """A document that was read."""

    document: BandDocument
    sha256: str
    """Checksum of what it was read from, whatever file that lay in."""


class DocumentText(NamedTuple):
    """The text of a document, not yet parsed: cheap to hand to another process."""

    name: str
    """File, and line number where a file holds several."""
    id: str
    """What to call it if the document does not say."""
    text: str
    """JSON; empty where the file cannot be read."""
    problem: str = ""
    """Why it cannot be read."""

    @property
    def sha256(self) -> str:
        """Checksum of the text, white space around it apart."""
        return hashlib.sha256(self.text.strip().encode()).hexdigest()

    def stamp(self) -> str:
        """What tells whether this is still the same document, without parsing it."""
        return self.sha256

    def read(self) -> Reading:
        """Parse it, see `parse_document`."""
        return Reading(parse_document(self), self.sha256)


@dataclass(frozen=True, eq=False)
class BandDocument:
    """Computed bands along straight segments, as some DFT code left them.

    Attributes:
        id: identifier, unique within a source.
        crystal: the structure inside the document, or None.
        reciprocal: (3, 3) rows, 1/Å, 2 pi included: what `frac_kpoints` refer to.
        frac_kpoints: (n_kpoints, 3).
        energies: (n_spin, n_bands, n_kpoints), eV, absolute.
        efermi: eV, on the same scale.
        branches: (n_branches, 2) first and last k-point of each; energies are not continued from one to the next.
        labels: name of each k-point or None, (n_kpoints,).
        is_metal: what the document says, or None.
        band_gap: eV, what the document's maker says beside the bands, or None.
        n_occupied: highest band here that holds electrons, from 1, or None where the maker does not say.
        n_electrons: in the bands here, two in each that is full, or None where the maker does not say.
        method: how the bands were computed, "" if not said.
        trusted_below: eV, on the scale of `energies`: labels are the energies below it.
        weight: what the crystal counts in training, 1 for labels that are trusted in full.
    """

    id: str
    crystal: Crystal | None
    reciprocal: NDArray[np.float64]
    frac_kpoints: NDArray[np.float64]
    energies: NDArray[np.float64]
    efermi: float
    branches: NDArray[np.intp]
    labels: tuple[str | None, ...]
    is_metal: bool | None = None
    band_gap: float | None = None
    n_occupied: int | None = None
    n_electrons: float | None = None
    method: str = ""
    trusted_below: float = math.inf
    weight: float = 1.0


def parse_document(source: DocumentText) -> BandDocument:
    """Check one document and turn it into arrays.

    Raises:
        InputError: ``malformed`` for text that is not such a document, or what `crystal_of_document` raises for its structure.
    """
    if source.problem:
        raise InputError("malformed", f"{source.name}: cannot be read ({source.problem})")
    try:
        values = json.loads(source.text)
        if not isinstance(values, dict) or "bands" not in values or "kpoints" not in values:
            raise InputError("malformed", f"{source.name}: not a band structure document (no bands and kpoints)")
        return _document(values, source)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError("malformed", f"{source.name}: not a band structure document ({reason_of(error)})") from error


def _document(values: dict[str, Any], source: DocumentText) -> BandDocument:
    frac_kpoints = _numbers(values["kpoints"], "kpoints")
    energies = _numbers([values["bands"][spin] for spin in sorted(values["bands"], reverse=True)], "bands")
    if frac_kpoints.ndim != 2 or frac_kpoints.shape[1] != 3 or energies.ndim != 3 or energies.shape[2] != len(frac_kpoints):
        raise ValueError(f"kpoints {frac_kpoints.shape} and bands {energies.shape} do not belong together")
    efermi = float(_numbers(values["efermi"], "efermi", shape=()))
    if not (np.isfinite(frac_kpoints).all() and np.isfinite(energies).all() and np.isfinite(efermi)):
        raise ValueError("a k-point, an energy or the Fermi level is not a finite number")
    if np.abs(frac_kpoints).max() > MAX_KPOINT:
        raise ValueError(f"a k-point lies further than {MAX_KPOINT:g} reciprocal lattice vectors from Γ: {WRONG}")
    labels = _labels(frac_kpoints, values.get("labels_dict") or {})
    if values.get("branches"):
        branches = np.array([(b["start_index"], b["end_index"]) for b in values["branches"]], dtype=np.intp)
        if branches.min() < 0 or branches.max() >= len(frac_kpoints) or (branches[:, 0] > branches[:, 1]).any():
            raise ValueError("a branch lies outside the k-points")
    else:
        branches = _branches(labels)
    structure = values.get("structure")
    metal = values.get("is_metal_label", values.get("is_metal"))
    gap = values.get("band_gap_ev", (values.get("band_gap") or {}).get("energy"))
    occupied, electrons = values.get("n_occupied"), values.get("n_electrons")
    left_out = int(values.get("first_band", 0))
    trusted = values.get("trusted_below_ev")
    weight = float(values.get("weight", 1.0))
    if not 0.0 < weight <= 1.0:
        raise ValueError(f"weight {weight}, allowed: more than 0, at most 1")
    return BandDocument(
        id=str(values.get("id") or values.get("material_id") or source.id),
        crystal=crystal_of_document(structure, name=source.name) if structure else None,
        reciprocal=_numbers(values["lattice_rec"]["matrix"], "lattice_rec").reshape(3, 3),
        frac_kpoints=frac_kpoints,
        energies=energies,
        efermi=efermi,
        branches=branches,
        labels=labels,
        is_metal=None if metal is None else bool(metal),
        band_gap=None if gap is None else float(gap),
        n_occupied=None if occupied is None else int(occupied) - left_out,
        n_electrons=None if electrons is None else float(electrons) - 2.0 * left_out,
        method=str(values.get("method", "")),
        trusted_below=math.inf if trusted is None else float(trusted),
        weight=weight,
    )


def _numbers(value: object, name: str, *, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Numbers of JSON; NumPy would take texts and truths for some, too."""
    found = np.array(value)
    if found.dtype.kind not in "iuf" or (shape is not None and found.shape != shape):
        raise ValueError(f"{name}: not a number, or not one in each place")
    return found.astype(np.float64)


def _labels(frac_kpoints: NDArray[np.float64], points: dict[str, Any]) -> tuple[str | None, ...]:
    names = list(points)
    labels: list[str | None] = [None] * len(frac_kpoints)
    if not names:
        return tuple(labels)
    places = np.array([points[name] for name in names], dtype=np.float64)  # (n_labels, 3)
    near = np.linalg.norm(frac_kpoints[:, None] - places[None], axis=-1) < LABEL_TOLERANCE
    for k in np.flatnonzero(near.any(axis=1)):
        labels[k] = names[int(near[k].argmax())]
    return tuple(labels)


def _branches(labels: Sequence[str | None]) -> NDArray[np.intp]:
    """Cut between two neighbouring labelled k-points, as pymatgen does."""
    cuts = [k for k in range(1, len(labels)) if labels[k] is not None and labels[k - 1] is not None]
    return np.array(list(zip([0, *cuts], [k - 1 for k in [*cuts, len(labels)]], strict=True)), dtype=np.intp)
