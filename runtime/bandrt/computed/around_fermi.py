"""The bands of a document around its Fermi level, from a zero of their own.

Source: arXiv 2411.16483, "Theoretical framework": N bands around the Fermi level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandrt.computed.documents import BandDocument
from bandrt.errors import InputError
from bandrt.manifest import BandRule

FERMI_TOLERANCE = 1e-4
"""eV: energies this close to the Fermi level lie on it (the rounding of band documents; pymatgen uses the same)."""
SPIN_TOLERANCE = 2e-3
"""eV: spin channels that differ by no more are one, computed twice (a spin-polarised run of a crystal without moments)."""

GAP_ROUNDING = 0.01
"""eV: by no more may the gap over the computed k-points be below a stated one, which is over some of these or over more."""
GAP_BEYOND_MESH, GAP_BEYOND_MESH_SHARE = 0.5, 0.3
"""eV, or of the stated gap: by the larger of both it may be above, since a path may miss edges that a mesh has met."""
HALF_ELECTRON = 0.5
"""By less may the number of electrons in an insulator differ from two in each nonempty band: it is not always a whole one."""


@dataclass(frozen=True, eq=False)
class SelectedBands:
    """The bands around the Fermi level, on the k-points where they were computed.

    Attributes:
        energies: (n_bands, n_kpoints), eV, relative to E_F for metals and to mid-gap for insulators.
        zero: eV, that level on the document's own scale.
        first_band: index of the lowest of them among the document's bands, from 0.
        is_metal: whether bands cross E_F, or the document knows so from elsewhere in the Brillouin zone.
        band_gap: eV, over the computed k-points; 0 for metals.
    """

    energies: NDArray[np.float64]
    zero: float
    first_band: int
    is_metal: bool
    band_gap: float


def count_nonempty(document: BandDocument) -> int:
    """How many bands are nonempty: the minimum of such a band lies below E_F, or all of it lies at E_F."""
    energies = document.energies[0] - document.efermi
    low, high = energies.min(axis=1), energies.max(axis=1)
    return int(np.sum((low < -FERMI_TOLERANCE) | (high <= FERMI_TOLERANCE)))


def select_bands(document: BandDocument, rule: BandRule) -> SelectedBands:
    """Choose the highest nonempty band, ``rule.n_valence - 1`` below it and the rest above it, and set the energy zero.

    Of spin channels that agree the first is taken.

    Raises:
        InputError: ``spin-polarised``, ``too-few-bands``, or ``fermi-level-conflict`` or ``gap-conflict`` when the document's Fermi
            level or energies contradict what it says beside the bands.
    """
    energies = document.energies[0] - document.efermi
    low, high = energies.min(axis=1), energies.max(axis=1)
    n_nonempty = count_nonempty(document)
    first, end = n_nonempty - rule.n_valence, n_nonempty + rule.n_bands - rule.n_valence
    splitting = float(np.ptp(document.energies[:, :end], axis=0).max())
    if splitting > SPIN_TOLERANCE:
        raise InputError(
            "spin-polarised",
            f"{document.id}: spin channels differ by {splitting:.3f} eV, bands without spin are needed",
        )
    if first < 0 or end > len(energies):
        raise InputError(
            "too-few-bands",
            f"{document.id}: {n_nonempty} nonempty and {len(energies) - n_nonempty} empty bands,"
            f" {rule.n_valence} and {rule.n_bands - rule.n_valence} are needed",
        )
    crosses = bool(np.any((low < -FERMI_TOLERANCE) & (high > FERMI_TOLERANCE)))
    if crosses and document.is_metal is False:
        raise InputError("fermi-level-conflict", f"{document.id}: called an insulator, but a band crosses its Fermi level")
    is_metal = crosses or document.is_metal is True
    if not is_metal and document.n_occupied not in (None, n_nonempty):
        raise InputError(
            "fermi-level-conflict", f"{document.id}: {document.n_occupied} occupied bands, but {n_nonempty} below its Fermi level"
        )
    if not is_metal and document.n_electrons is not None and abs(document.n_electrons - 2 * n_nonempty) >= HALF_ELECTRON:
        raise InputError(
            "fermi-level-conflict",
            f"{document.id}: {document.n_electrons:g} electrons, but {n_nonempty} bands below its Fermi level, which hold"
            f" {2 * n_nonempty}",
        )
    valence, conduction = float(high[n_nonempty - 1]), float(low[n_nonempty])
    zero = 0.0 if is_metal else 0.5 * (valence + conduction)
    gap = 0.0 if is_metal else conduction - valence
    _check_gap(document, energies, 0.0 if crosses else max(0.0, conduction - valence))
    return SelectedBands(energies[first:end] - zero, document.efermi + zero, first, is_metal, gap)


def _check_gap(document: BandDocument, energies: NDArray[np.float64], found: float) -> None:
    """Compare a gap over the computed k-points with the one that a document states.

    Args:
        document: what states it, or that there is none.
        energies: (n_bands, n_kpoints), eV, relative to the Fermi level.
        found: eV; 0 where a band crosses the Fermi level.

    Raises:
        InputError: ``gap-conflict``.
    """
    stated = 0.0 if document.is_metal else document.band_gap
    if stated is None:
        return
    above = energies > FERMI_TOLERANCE
    apart = max(found, float(energies[above].min() - energies[~above].max()))  # more where bands touch at one k-point: pymatgen's
    if apart < stated - GAP_ROUNDING or found > stated + max(GAP_BEYOND_MESH, GAP_BEYOND_MESH_SHARE * stated):
        raise InputError(
            "gap-conflict",
            f"{document.id}: {'called a metal' if document.is_metal else f'a gap of {stated:.3f} eV is stated'}, but bands are"
            f" {found:.3f} eV apart at its Fermi level; are all energies in eV, and is the Fermi level that of these bands?",
        )
