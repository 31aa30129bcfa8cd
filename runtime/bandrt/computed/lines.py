"""The lines of a document in the reciprocal lattice of the standard primitive cell of its crystal."""

from __future__ import annotations

import numpy as np

from bandrt.computed.documents import BandDocument
from bandrt.computed.mapping import Lines, straight_lines
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.symmetry.standard_cell import StandardCell

LATTICE_TOLERANCE = 0.02
"""How far the change of reciprocal basis may be from whole numbers: cells made symmetric move by less."""


def document_crystal(document: BandDocument) -> Crystal:
    """The structure inside the document.

    Raises:
        InputError: ``no-structure``.
    """
    if document.crystal is None:
        raise InputError(
            "no-structure",
            f"{document.id}: no structure in the document or beside it, so its k-points cannot be related to a crystal",
        )
    return document.crystal


def computed_lines(document: BandDocument, cell: StandardCell) -> Lines:
    """The document's k-points as straight runs in the reciprocal lattice of the standard primitive cell.

    Raises:
        InputError: ``not-primitive`` when the bands belong to another cell than the primitive one (folded bands).
    """
    own = document_crystal(document)
    to_structure = document.reciprocal @ own.lattice.T / (2.0 * np.pi)  # the identity in most documents
    change = to_structure @ cell.basis_change.T  # f_standard = f_document @ change
    whole = np.rint(change)
    if np.abs(change - whole).max() > LATTICE_TOLERANCE or abs(round(float(np.linalg.det(whole)))) != 1:
        raise InputError(
            "not-primitive",
            f"{document.id}: the bands were computed for another lattice than that of the primitive cell;"
            " compute them for the primitive cell",
        )
    return straight_lines(document.frac_kpoints @ whole, cell.crystal.reciprocal, document.branches)
