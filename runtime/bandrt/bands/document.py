"""A band structure as the document of pymatgen's ``BandStructureSymmLine``, to the last digit, written without pymatgen.

pymatgen takes 8 ms to make its object of one path and the document of that, most of it to look for the label of each k-point; this
takes a twentieth. A test compares both. Source: ``as_dict`` of ``BandStructureSymmLine`` and ``Structure`` in pymatgen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.on_path import SAME_LABEL, BandsOnPath, Energies, labelled_points, segment_by_segment
from bandrt.crystal import Crystal

CROSSING_EV = 1e-4
"""eV: by how much a band lies on both sides of the Fermi level in a metal."""
SHARED_EV = 1e-3
"""eV: bands that come as near to an edge share it."""
SAME_PLACE = 0.01
"""1/Å: edges as near as this are at one k-point."""
_UP = "1"
"""The only spin of a crystal without magnetism."""
_PBC = (True, True, True)


class _Line(NamedTuple):
    """Bands as pymatgen lays them out."""

    kpoints: NDArray[np.float64]
    """(P, 3), fractional in the reciprocal lattice."""
    energies: NDArray[np.float64]
    """(n_bands, P), eV."""
    labels: list[str | None]
    """Of each k-point."""
    reciprocal: NDArray[np.float64]
    """(3, 3), rows, 1/Å."""


class _Edge(NamedTuple):
    energy: float
    kpoint: int


def document(bands: BandsOnPath) -> dict[str, Any]:
    """What ``as_dict`` of `bandrt.bands.pymatgen.band_structure_to_pymatgen` gives, with that of its structure."""
    kpoints, energies = segment_by_segment(bands, bands.frac_kpoints)
    points = labelled_points(bands.labels, bands.frac_kpoints[bands.label_indices])
    names, near = list(points), _near(kpoints, np.array(list(points.values())))
    line = _Line(kpoints, energies, _labels(near, names), bands.crystal.reciprocal)
    efermi = bands.efermi
    is_metal = _crosses(energies, efermi)
    edges = None if is_metal else _edges(energies, efermi)
    return {
        "@module": "pymatgen.electronic_structure.bandstructure",
        "@class": "BandStructureSymmLine",
        "lattice_rec": {"@module": "pymatgen.core.lattice", "@class": "Lattice", "matrix": line.reciprocal.tolist(), "pbc": _PBC},
        "efermi": efermi,
        "kpoints": kpoints.tolist(),
        "bands": {_UP: energies.tolist()},
        "is_metal": is_metal,
        "vbm": _edge(line, None if edges is None else edges[0]),
        "cbm": _edge(line, None if edges is None else edges[1]),
        "band_gap": {"energy": 0.0, "direct": False, "transition": None} if edges is None else _gap(line, *edges),
        "labels_dict": {name: kpoints[place].tolist() for name, place in _last_places(near, names).items()},
        "is_spin_polarized": False,
        "projections": {},
        "branches": _branches(line.labels),
        "structure": _structure(bands.crystal),
    }


def _near(kpoints: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(P, n_points): whether a k-point is a labelled one."""
    apart = kpoints.T[:, :, None] - points.T[:, None]  # (3, P, n_points)
    apart *= apart
    near: NDArray[np.bool_] = apart[0] + apart[1] + apart[2] < SAME_LABEL**2
    return near


def _labels(near: NDArray[np.bool_], names: Sequence[str]) -> list[str | None]:
    """The label of each k-point: the last, where it is near several."""
    labels: list[str | None] = [None] * len(near)
    for place, name in zip(*(found.tolist() for found in near.nonzero()), strict=True):
        labels[place] = names[name]
    return labels


def _last_places(near: NDArray[np.bool_], names: Sequence[str]) -> dict[str, int]:
    """The last k-point near each labelled one, in the order in which the path meets them first."""
    return {names[name]: place for place, name in zip(*(found.tolist() for found in near.nonzero()), strict=True)}


def _crosses(energies: Energies, efermi: float) -> bool:
    relative = energies - efermi
    return bool(((relative < -CROSSING_EV).any(axis=1) & (relative > CROSSING_EV).any(axis=1)).any())


def _edges(energies: Energies, efermi: float) -> tuple[_Edge, _Edge]:
    """The highest energy below the Fermi level and the lowest that is not, of equal ones the first, band by band."""
    below = np.where(energies < efermi, energies, -np.inf)
    above = np.where(energies < efermi, np.inf, energies)
    n_kpoints = energies.shape[1]
    highest, lowest = int(below.argmax()), int(above.argmin())
    return (
        _Edge(float(energies.flat[highest]), highest % n_kpoints),
        _Edge(float(energies.flat[lowest]), lowest % n_kpoints),
    )


def _edge(line: _Line, edge: _Edge | None) -> dict[str, Any]:
    if edge is None:
        return {"energy": None, "kpoint_index": [], "band_index": {}, "projections": {}}
    label = line.labels[edge.kpoint]
    same = [edge.kpoint] if label is None else [place for place, other in enumerate(line.labels) if other == label]
    sharing = np.flatnonzero(np.abs(line.energies[:, edge.kpoint] - edge.energy) <= SHARED_EV).tolist()
    return {"energy": edge.energy, "kpoint_index": same, "band_index": {_UP: sharing}, "projections": {}}


def _gap(line: _Line, vbm: _Edge, cbm: _Edge) -> dict[str, Any]:
    labels = [line.labels[edge.kpoint] for edge in (vbm, cbm)]
    places = line.kpoints[[vbm.kpoint, cbm.kpoint]]
    top, bottom = (np.dot(place, line.reciprocal) for place in places)
    names = (
        label or f"({','.join(f'{component:.3f}' for component in place)})" for label, place in zip(labels, places, strict=True)
    )
    is_direct = bool((labels[0] is not None and labels[0] == labels[1]) or np.linalg.norm(bottom - top) < SAME_PLACE)
    return {"direct": is_direct, "transition": "-".join(names), "energy": cbm.energy - vbm.energy}


def _branches(labels: Sequence[str | None]) -> list[dict[str, Any]]:
    """Where segments begin and end: a new one begins where two labelled points are neighbours."""
    begins = [0, *(place for place in range(1, len(labels)) if labels[place] and labels[place - 1])]
    ends = [place - 1 for place in (*begins[1:], len(labels))]
    return [
        {"start_index": begin, "end_index": end, "name": f"{labels[begin]}-{labels[end]}"}
        for begin, end in zip(begins, ends, strict=True)
    ]


def _structure(crystal: Crystal) -> dict[str, Any]:
    lattice = crystal.lattice
    lengths = np.sqrt(np.sum(lattice**2, axis=1)).tolist()
    turned = [((axis + 1) % 3, (axis + 2) % 3) for axis in range(3)]
    cosines = [np.clip(np.dot(lattice[one], lattice[other]) / (lengths[one] * lengths[other]), -1, 1) for one, other in turned]
    angles = np.rad2deg(np.arccos(np.array(cosines))).tolist()
    places = np.matmul(crystal.frac_coords[:, None], lattice)[:, 0]  # one by one: a product of matrices rounds otherwise
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0.0,
        "lattice": {
            "matrix": lattice.tolist(),
            "pbc": _PBC,
            **dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), (*lengths, *angles), strict=True)),
            "volume": float(abs(np.dot(np.cross(lattice[0], lattice[1]), lattice[2]))),
        },
        "properties": {},
        "sites": [
            {
                "species": [{"element": symbol, "occu": 1}],
                "abc": frac,
                "properties": {},
                "label": symbol,
                "xyz": place,
            }
            for symbol, frac, place in zip(crystal.symbols, crystal.frac_coords.tolist(), places.tolist(), strict=True)
        ],
    }
