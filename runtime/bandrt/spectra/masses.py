"""Effective masses at the band edges of an insulator, by second-order perturbation theory in k, degenerate where edges are.

Around an edge k0 the energies of the g states that meet there are eigenvalues of the g x g matrix ``E0 + q A(n) + q² W(n)``,
``k = k0 + q n``, with ``A_ab = sum_i n_i <a|H_i|b>`` and
``W_ab = sum_ij n_i n_j (1/2 <a|H_ij|b> + sum_m <a|H_i|m><m|H_j|b> / (E0 - E_m))``, where H_i and H_ij are derivatives of H(k)
by Cartesian k and m runs over all other states. A mass is ``hbar² / (2 w)`` for each eigenvalue w of W(n), for holes with its sign
turned.
Source: P.-O. Löwdin, J. Chem. Phys. 19, 1396 (1951); J. M. Luttinger and W. Kohn, Phys. Rev. 97, 869 (1955).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_kind
from bandrt.errors import InputError
from bandrt.manifest import ZERO_GAP_EV
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian, verdict
from bandrt.spectra.kpoints import place
from bandrt.spectra.mesh import mesh_sizes, zone_mesh

Floats = NDArray[np.float64]
Carrier = Literal["electron", "hole"]
HBAR2_OVER_M = 7.619964231
"""eV Å²: hbar² over the mass of the electron."""
SEARCH_DENSITY = 500.0
"""k-points per 1/Å³ of the mesh on which extrema are looked for."""
STARTS, CANDIDATES = 4, 64
"""Points from which it is gone on, no two of them the same by symmetry, and the best ones of which they are chosen."""
SADDLES = 4
"""Saddles, less one, at most, from which it is gone on."""
LAST_STEP = 1e-4
"""1/Å: the search ends at steps as small."""
DEGENERATE_EV = 2e-3
"""States as near to an edge belong to it; what symmetry makes equal is so to within rounding of fp32."""
SNAP_EV, SNAP_STEP = 2e-4, 0.05
"""A labelled point as near, in 1/Å, whose energy is no worse than by so much, is where the extremum is."""
NEWTON_STEPS, ARRIVED = 10, 1e-9
"""At most so many steps of Newton's method, none after one as small, in 1/Å."""
FLATTEST = 1e-4
"""Of the largest curvature: along directions that bend less, nothing is looked for."""
FLAT = 1e-3
"""1/m_e: what curves no more than that, by 4 meV over 1/Å, is flat, and has no mass."""
SYMMETRY_STEP = 1e-3
"""1/Å: an extremum as near to a line or plane of symmetry lies on it."""
LINEAR_EV = 0.05
"""eV Å: bands that leave an edge with more of a slope are not parabolic there."""
SAME_AXIS = 1e-3
UNITS = {
    "lattice": "angstrom", "mass": "m_e", "conductivity_mass": "m_e", "dos_mass": "m_e", "inverse_mass": "1/m_e",
}  # fmt: skip
"""Of the numbers of a document whose names do not end in theirs; ``m_e`` is the mass of the electron."""


class Mass(NamedTuple):
    """One effective mass."""

    carrier: Carrier
    mass: float | None
    """In masses of the electron, m_e, positive for a band that curves as its edge asks, so for holes at a maximum; negative where
    the edge is a saddle of that band. None of a linear or a flat band."""
    direction: tuple[float, float, float]
    """Cartesian unit vector, in the frame of the standard primitive cell."""
    axis: str
    """``principal``, or the direction in the conventional cell, such as ``[111]``."""
    kpoint: tuple[float, float, float]
    """Fractional in the reciprocal of the standard primitive cell."""
    label: str | None
    band: int
    """From 0, the lowest."""
    degeneracy: int
    """How many bands meet there."""


@dataclass(frozen=True, eq=False)
class BandExtremum:
    """An edge of the valence or the conduction band.

    Attributes:
        carrier: of holes or electrons.
        energy: eV, on the scale of the bands.
        kpoint: fractional, one of `valleys` that symmetry makes of each other.
        label: of a labelled one.
        bands: those that meet there, from 0.
        valleys: equivalent k-points in the zone.
        inverse_mass: (3, 3) of a single band, Cartesian, in inverse masses of the electron, positive; None where several meet.
        masses: along the principal axes of a single band; where several meet, of each along directions of the conventional cell.
    """

    carrier: Carrier
    energy: float
    kpoint: tuple[float, float, float]
    label: str | None
    bands: tuple[int, ...]
    valleys: int
    inverse_mass: Floats | None
    masses: tuple[Mass, ...]

    @property
    def conductivity_mass(self) -> float | None:
        """Three over the trace of the inverse mass: what currents see of a single band; None where several meet, or it is flat."""
        mass = None if self.inverse_mass is None else _mass(float(np.trace(self.inverse_mass)))
        return None if mass is None else 3.0 * mass

    @property
    def dos_mass(self) -> float | None:
        """Of a single band in one valley: the cubic root of the product of masses.

        None where several meet, or it is a saddle or flat along a direction.
        """
        if self.inverse_mass is None or not np.linalg.eigvalsh(self.inverse_mass).min() > FLAT:
            return None
        return float(np.linalg.det(self.inverse_mass) ** (-1 / 3))

    def as_dict(self) -> dict[str, Any]:
        """Everything but the masses as plain JSON values."""
        return {
            "carrier": self.carrier,
            "energy_ev": self.energy,
            "kpoint": list(self.kpoint),
            "label": self.label,
            "bands": list(self.bands),
            "degeneracy": len(self.bands),
            "valleys": self.valleys,
            "inverse_mass": None if self.inverse_mass is None else self.inverse_mass.tolist(),
            "conductivity_mass": self.conductivity_mass,
            "dos_mass": self.dos_mass,
        }


def band_edges(hamiltonian: CrystalHamiltonian, *, density: float = SEARCH_DENSITY) -> tuple[BandExtremum, BandExtremum]:
    """Find where the valence band is highest and the conduction band lowest in the whole zone, and the masses there.

    Args:
        hamiltonian: of the crystal.
        density: k-points per 1/Å³ of the mesh from which the search starts.

    Returns:
        The edge of the holes and that of the electrons.

    Raises:
        InputError: ``no-band-edges`` of a metal.
    """
    check_kind("hamiltonian", hamiltonian, CrystalHamiltonian)
    if hamiltonian.is_metal:
        raise _no_edges(hamiltonian)
    mesh = zone_mesh(mesh_sizes(hamiltonian.cell, density), hamiltonian.cell.rotations)
    points = np.concatenate([mesh.frac_kpoints, hamiltonian.kpath.frac_kpoints])
    energies = hamiltonian.eigenvalues(points)
    step = float((np.linalg.norm(hamiltonian.crystal.reciprocal, axis=1) / np.array(mesh.sizes)).max())
    hole, electron = (_edge(hamiltonian, carrier, points, energies, step) for carrier in ("hole", "electron"))
    if electron.energy - hole.energy <= ZERO_GAP_EV:
        raise _no_edges(hamiltonian)
    return hole, electron


def _no_edges(hamiltonian: CrystalHamiltonian) -> InputError:
    """The error of a metal."""
    said = verdict(True, 0.0, hamiltonian.kpath_gap)
    return InputError(
        "no-band-edges",
        f"{hamiltonian.crystal.formula}: has no band edges that have masses; by this engine it is a {said}",
        stage="predict",
    )


def masses_document(hamiltonian: CrystalHamiltonian, edges: tuple[BandExtremum, BandExtremum]) -> dict[str, Any]:
    """What `bandrt masses` writes, as plain JSON values."""
    return {
        "formula": hamiltonian.crystal.formula,
        "space_group": hamiltonian.cell.space_group,
        "lattice": hamiltonian.crystal.lattice.tolist(),
        "units": dict(UNITS),
        "band_gap_ev": edges[1].energy - edges[0].energy,
        "band_gap_of_kpath_ev": hamiltonian.kpath_gap,
        "masses": [mass._asdict() for edge in edges for mass in edge.masses],
        "edges": [edge.as_dict() for edge in edges],
        "uncertainty_ev": hamiltonian.uncertainty_ev,
        "warnings": list(hamiltonian.warnings),
    }


def _edge(hamiltonian: CrystalHamiltonian, carrier: Carrier, points: Floats, energies: Floats, step: float) -> BandExtremum:
    band = hamiltonian.n_filled - (carrier == "hole")
    sign = -1.0 if carrier == "hole" else 1.0
    flat = np.sort(hamiltonian.flat_levels)
    found = energies[:, band]
    best = int((sign * found).argmin())
    if (np.abs(flat - found[best]) < DEGENERATE_EV).any():
        return _flat_edge(hamiltonian, carrier, points[best], float(found[best]), band)
    hopping = band - int((flat < found[best]).sum())

    def energy(kpoints: Floats) -> Floats:
        """The band in double precision, turned so that its edge is lowest."""
        return np.asarray(sign * np.linalg.eigvalsh(hamiltonian.smooth.at(kpoints))[:, hopping])

    reciprocal = hamiltonian.crystal.reciprocal
    starts = _starts(hamiltonian, points, sign * found, step)
    kpoint, lowest = min((_lowest(energy, start, step, reciprocal) for start in starts), key=lambda one: one[1])
    for _ in range(SADDLES):
        kpoint, label = _snapped(hamiltonian, energy, kpoint, lowest)
        if label is None:
            refined = _refined(hamiltonian, kpoint, hopping)
            kpoint = refined if energy(refined[None])[0] <= lowest else kpoint
            kpoint = _symmetric(hamiltonian, energy, kpoint, lowest)
        edge = _with_masses(hamiltonian, carrier, kpoint, label, band, hopping)
        beyond = _beyond_saddle(energy, edge, kpoint, reciprocal)
        if beyond is None or beyond[1] > float(energy(kpoint[None])[0]) - SNAP_EV:
            break
        kpoint, lowest = beyond
    return edge


def _starts(hamiltonian: CrystalHamiltonian, points: Floats, energies: Floats, step: float) -> list[Floats]:
    """The lowest points that symmetry does not make of each other or of those beside them."""
    chosen: list[Floats] = []
    for point in points[np.argsort(energies, kind="stable")[:CANDIDATES]]:
        images = hamiltonian.cell.rotations @ point
        apart = [images - one for one in chosen]
        away = [np.linalg.norm((one - np.round(one)) @ hamiltonian.crystal.reciprocal, axis=1).min() for one in apart]
        if min(away, default=np.inf) > step:
            chosen.append(point)
        if len(chosen) == STARTS:
            break
    return chosen


def _beyond_saddle(energy: Any, edge: BandExtremum, kpoint: Floats, reciprocal: Floats) -> tuple[Floats, float] | None:
    """Where it goes on downhill from a k-point at which a single band bends both ways, and the energy there; None if it does not.

    The principal axes are gone along: valleys that lie askew and are narrow across look like minima along other axes.
    """
    if edge.inverse_mass is None:
        return None
    curvatures, axes = np.linalg.eigh(edge.inverse_mass)
    if curvatures[0] > -FLATTEST * np.abs(curvatures).max():
        return None
    aside = SNAP_STEP * axes[:, 0] @ np.linalg.inv(reciprocal)
    ways = [_lowest(energy, kpoint + side * aside, 2.0 * SNAP_STEP, reciprocal, axes.T) for side in (1.0, -1.0)]
    return min(ways, key=lambda one: one[1])


def _lowest(energy: Any, start: Floats, step: float, reciprocal: Floats, along: Floats | None = None) -> tuple[Floats, float]:
    """Go downhill from a k-point by steps along Cartesian or other axes, ever smaller ones; where it ends, and the energy there."""
    along = np.eye(3) if along is None else along
    axes = np.concatenate([along, -along]) @ np.linalg.inv(reciprocal)  # of 1/Å, in fractional coordinates
    here, lowest = start, float(energy(start[None])[0])
    step = 0.5 * step
    while step > LAST_STEP:
        around = here + step * axes
        values = energy(around)
        best = int(values.argmin())
        if values[best] < lowest - 1e-12:
            here, lowest = around[best], float(values[best])
        else:
            step *= 0.5
    return here, lowest


def _snapped(hamiltonian: CrystalHamiltonian, energy: Any, kpoint: Floats, lowest: float) -> tuple[Floats, str | None]:
    """The labelled point that an extremum lies at, and its label; the k-point itself where it is at none."""
    cell, path = hamiltonian.cell, hamiltonian.kpath
    for index, label in zip(path.label_indices, path.labels, strict=True):
        for image in np.unique(np.round(cell.rotations @ path.frac_kpoints[index], 10), axis=0):
            apart = image - kpoint
            near = image - np.round(apart)
            if np.linalg.norm((near - kpoint) @ cell.crystal.reciprocal) < SNAP_STEP and energy(near[None])[0] < lowest + SNAP_EV:
                return near, label
    return kpoint, None


def _symmetric(hamiltonian: CrystalHamiltonian, energy: Any, kpoint: Floats, lowest: float) -> Floats:
    """The k-point on the line or plane of symmetry that an extremum lies on; the k-point itself where it is on none."""
    kept, n_same = kpoint, 1
    while True:  # the mean of some images is nearer to all of them: their number grows, or it is over
        images = _images(hamiltonian, kept)
        same = np.linalg.norm((images - kept) @ hamiltonian.crystal.reciprocal, axis=1) < SYMMETRY_STEP
        if same.sum() <= n_same:
            return kept if energy(kept[None])[0] < lowest + SNAP_EV else kpoint
        kept, n_same = images[same].mean(axis=0), int(same.sum())


def _refined(hamiltonian: CrystalHamiltonian, kpoint: Floats, hopping: int) -> Floats:
    """The extremum of a single band by Newton's method, from a k-point beside it; that itself where bands meet or it leads away.

    Steps along axes get on slowly in a valley that is much narrower across than along, and lies askew.
    """
    to_fractional = np.linalg.inv(hamiltonian.crystal.reciprocal)
    way = np.zeros(3)  # 1/Å
    for _ in range(NEWTON_STEPS):
        here = kpoint + way @ to_fractional
        local = _expanded(hamiltonian, here, hopping)
        if local.meets.sum() > 1:
            return kpoint
        slope, bend = local.slopes[:, 0, 0].real, local.bend[:, :, 0, 0].real
        step = np.linalg.lstsq(2.0 * bend, -slope, rcond=FLATTEST)[0]
        way += step
        if np.linalg.norm(way) > SNAP_STEP:
            return kpoint
        if np.linalg.norm(step) < ARRIVED:
            break
    return np.asarray(kpoint + way @ to_fractional)


def _flat_edge(hamiltonian: CrystalHamiltonian, carrier: Carrier, kpoint: Floats, energy: float, band: int) -> BandExtremum:
    """An edge that is a level of an inner shell, which is everywhere."""
    at = place(kpoint)
    axes = hamiltonian.cell.conventional / np.linalg.norm(hamiltonian.cell.conventional, axis=1)[:, None]
    names = ("[100]", "[010]", "[001]")
    masses = tuple(Mass(carrier, None, place(axis), name, at, None, band, 1) for axis, name in zip(axes, names, strict=True))
    return BandExtremum(carrier, energy, at, None, (band,), 1, None, masses)


class _Expansion(NamedTuple):
    """The states around one at a k-point, to second order in Cartesian k; see the top of this file."""

    level: float
    """eV, on the scale of the Hamiltonian."""
    meets: NDArray[np.bool_]
    """Which of all states, g of them, meet there."""
    slopes: NDArray[np.complex128]
    """A, (3, g, g), eV Å."""
    bend: NDArray[np.complex128]
    """W, (3, 3, g, g), eV Å²."""


def _expanded(hamiltonian: CrystalHamiltonian, kpoint: Floats, hopping: int) -> _Expansion:
    own, first, second = hamiltonian.smooth.derivatives(kpoint)
    energies, vectors = np.linalg.eigh(own)
    level = energies[hopping]
    meets = np.abs(energies - level) < DEGENERATE_EV
    states, others = vectors[:, meets], vectors[:, ~meets]
    slopes = np.einsum("ma,imn,nb->iab", states.conj(), first, states)
    to_others = np.einsum("mo,imn,nb->iob", others.conj(), first, states)  # (3, n - g, g)
    through = np.einsum("ioa,o,job->ijab", to_others.conj(), 1.0 / (level - energies[~meets]), to_others)
    bend = 0.5 * np.einsum("ma,ijmn,nb->ijab", states.conj(), second, states) + 0.5 * (through + through.swapaxes(0, 1))
    return _Expansion(float(level), meets, slopes, bend)


def _with_masses(
    hamiltonian: CrystalHamiltonian, carrier: Carrier, kpoint: Floats, label: str | None, band: int, hopping: int
) -> BandExtremum:
    level, meets, slopes, bend = _expanded(hamiltonian, kpoint, hopping)
    sign = -1.0 if carrier == "hole" else 1.0
    turns = _little_group(hamiltonian, kpoint)
    at, n_bands = place(kpoint), int(meets.sum())
    lowest_band = band - int(np.flatnonzero(meets).tolist().index(hopping))
    bands = tuple(range(lowest_band, lowest_band + n_bands))
    valleys = len(hamiltonian.cell.rotations) // len(turns)
    masses: list[Mass] = []
    tensor = None
    if n_bands == 1:
        tensor = sign * 2.0 / HBAR2_OVER_M * bend[:, :, 0, 0].real
        tensor = np.asarray((turns @ tensor @ turns.transpose(0, 2, 1)).mean(axis=0))
        for axis in _principal_axes(tensor, hamiltonian.cell.conventional):
            curvature = float(axis @ tensor @ axis)
            masses.append(Mass(carrier, _mass(curvature), place(axis), "principal", at, label, band, 1))
    else:
        for name, axis in _directions(hamiltonian.cell.conventional, turns):
            is_linear = np.abs(np.linalg.eigvalsh(np.tensordot(axis, slopes, 1))).max() > LINEAR_EV
            curvatures = np.linalg.eigvalsh(np.einsum("i,j,ijab->ab", axis, axis, bend)) * sign * 2.0 / HBAR2_OVER_M
            for one, curvature in zip(bands, curvatures, strict=True):
                value = None if is_linear else _mass(float(curvature))
                masses.append(Mass(carrier, value, place(axis), name, at, label, one, n_bands))
    return BandExtremum(carrier, level - hamiltonian.zero_ev, at, label, bands, valleys, tensor, tuple(masses))


def _mass(curvature: float) -> float | None:
    """One over a curvature in inverse masses; None of a flat band."""
    return 1.0 / curvature if abs(curvature) > FLAT else None


def _images(hamiltonian: CrystalHamiltonian, kpoint: Floats) -> Floats:
    """Where the rotations of the Laue group take a k-point, each as near to it as whole reciprocal vectors bring it, (n, 3)."""
    images = hamiltonian.cell.rotations @ kpoint
    return np.asarray(images - np.round(images - kpoint))


def _little_group(hamiltonian: CrystalHamiltonian, kpoint: Floats) -> Floats:
    """Rotations (n, 3, 3) on Cartesian columns of the Laue group that take a k-point to itself or an equivalent one."""
    kept = hamiltonian.cell.rotations[np.abs(_images(hamiltonian, kpoint) - kpoint).max(axis=1) < 1e-5]
    to_cartesian = hamiltonian.crystal.reciprocal.T
    return np.asarray(to_cartesian @ kept @ np.linalg.inv(to_cartesian))


def _principal_axes(tensor: Floats, conventional: Floats) -> Floats:
    """Orthonormal eigenvectors, (3, 3) rows; axes of the conventional cell and across them, as far as these are some."""
    known = [vector / np.linalg.norm(vector) for vector in conventional]
    known += [across / np.linalg.norm(across) for across in (np.cross(known[i], known[j]) for i, j in ((0, 1), (1, 2), (2, 0)))]
    scale = np.abs(tensor).max()
    chosen: list[Floats] = []
    for axis in [*known, *np.linalg.eigh(tensor)[1].T]:
        is_own = np.linalg.norm(tensor @ axis - (axis @ tensor @ axis) * axis) < SAME_AXIS * scale
        if is_own and all(abs(axis @ other) < SAME_AXIS for other in chosen):
            chosen.append(axis)
    return np.array(chosen) if len(chosen) == 3 else np.asarray(np.linalg.eigh(tensor)[1].T)


def _directions(conventional: Floats, turns: Floats) -> list[tuple[str, Floats]]:
    """Sums of vectors of the conventional cell as names and unit vectors, one of those that a group takes to each other."""
    chosen: list[tuple[str, Floats]] = []
    for indices in sorted(product((1, 0, -1), repeat=3), key=lambda one: (sum(map(abs, one)), [-i for i in one])):
        if indices <= (0, 0, 0):
            continue
        axis = np.array(indices) @ conventional
        axis /= np.linalg.norm(axis)
        if not any(np.abs(np.abs((turns @ other) @ axis) - 1.0).min() < 1e-6 for _, other in chosen):
            chosen.append((f"[{''.join(str(i) if i >= 0 else f'-{-i}' for i in indices)}]", axis))
    return chosen
