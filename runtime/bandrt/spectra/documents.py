"""Documents that classes of pymatgen read, written without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.on_path import BandsOnPath, segment_by_segment
from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS

Floats = NDArray[np.floating[Any]]
UP = "1"
"""What pymatgen calls the only spin of a crystal without magnetism."""


class OfAtom(Protocol):
    """An orbital, as `bandrt.spectra.crystal_hamiltonian.Orbital` is one."""

    @property
    def atom(self) -> int: ...
    @property
    def element(self) -> str: ...
    @property
    def l(self) -> int: ...  # noqa: E743 - what the field calls it
    @property
    def name(self) -> str: ...


def structure_document(crystal: Crystal) -> dict[str, Any]:
    """The document of a ``Structure``."""
    places = crystal.frac_coords @ crystal.lattice
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": lattice_document(crystal.lattice),
        "properties": {},
        "sites": [
            {
                "species": [{"element": SYMBOLS[number], "occu": 1}],
                "abc": frac.tolist(),
                "properties": {},
                "label": SYMBOLS[number],
                "xyz": place.tolist(),
            }
            for number, frac, place in zip(crystal.atomic_numbers, crystal.frac_coords, places, strict=True)
        ],
    }


def lattice_document(vectors: Any) -> dict[str, Any]:
    """The document of a ``Lattice``, of vectors in rows."""
    return {
        "@module": "pymatgen.core.lattice",
        "@class": "Lattice",
        "matrix": np.asarray(vectors).tolist(),
        "pbc": [True, True, True],
    }


def complete_dos_document(
    crystal: Crystal,
    energies: Floats,
    total: Floats,
    projected: Floats,
    orbitals: Sequence[OfAtom],
    efermi: float,
    more: dict[str, Any],
) -> dict[str, Any]:
    """The document of a ``CompleteDos``.

    Args:
        crystal: the cell.
        energies: (M,) eV.
        total: (M,) states/eV.
        projected: (M, n_orbitals) states/eV.
        orbitals: what its columns are.
        efermi: eV.
        more: what else there is to say, under ``bandrt``.
    """
    levels, name = energies.tolist(), "pymatgen.electronic_structure.dos"

    def plain(chosen: list[bool]) -> dict[str, Any]:
        densities = {UP: projected[:, np.array(chosen)].sum(axis=1).tolist()}
        return {"@module": name, "@class": "Dos", "efermi": efermi, "energies": levels, "densities": densities}

    pdos: list[dict[str, Any]] = [{} for _ in range(crystal.n_atoms)]
    for column, orbital in enumerate(orbitals):
        pdos[orbital.atom][orbital.name] = {"densities": {UP: projected[:, column].tolist()}}
    elements = dict.fromkeys(orbital.element for orbital in orbitals)
    return {
        "@module": name,
        "@class": "CompleteDos",
        "efermi": efermi,
        "structure": structure_document(crystal),
        "energies": levels,
        "densities": {UP: total.tolist()},
        "pdos": pdos,
        "atom_dos": {element: plain([o.element == element for o in orbitals]) for element in elements},
        "spd_dos": {shell: plain([o.l == number for o in orbitals]) for number, shell in enumerate("spd")},
        "bandrt": more,
    }


def bands_document(
    bands: BandsOnPath, crystal: Crystal, kpoints: Floats, labelled: Mapping[str, Floats], more: dict[str, Any]
) -> dict[str, Any]:
    """The document of a ``BandStructureSymmLine`` of a path, of a ``BandStructure`` of bands without labels.

    Args:
        bands: the bands.
        crystal: the cell that k-points are told in.
        kpoints: (K, 3), fractional in its reciprocal.
        labelled: k-points by name, in the same cell; none where there is no path.
        more: what else there is to say, under ``bandrt``.
    """
    energies: Floats = bands.energies
    if labelled:
        kpoints, energies = segment_by_segment(bands, np.asarray(kpoints, np.float64))
    return {
        "@module": "pymatgen.electronic_structure.bandstructure",
        "@class": "BandStructureSymmLine" if labelled else "BandStructure",
        "lattice_rec": lattice_document(crystal.reciprocal),
        "efermi": bands.efermi,
        "kpoints": kpoints.tolist(),
        "bands": {UP: energies.tolist()},
        "is_metal": bands.is_metal,
        "vbm": None if bands.vbm is None else bands.vbm._asdict(),
        "cbm": None if bands.cbm is None else bands.cbm._asdict(),
        "band_gap": {"energy": bands.band_gap, "direct": bands.is_direct, "transition": None},
        "labels_dict": {name: place.tolist() for name, place in labelled.items()},
        "is_spin_polarized": False,
        "projections": {},
        "structure": structure_document(crystal),
        "bandrt": more,
    }
