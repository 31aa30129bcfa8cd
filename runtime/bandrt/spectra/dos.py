"""Density of states of one crystal, total and by orbital, with the gap and the Fermi level of the same mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_kind, checked_items, checked_number, not_allowed
from bandrt.bands.band_structure import DEGENERACY_EV
from bandrt.crystal import Crystal
from bandrt.hamiltonian.filling import is_odd
from bandrt.manifest import ZERO_GAP_EV
from bandrt.quoting import shortened
from bandrt.spectra.crystal_hamiltonian import SHELLS, CrystalHamiltonian, Orbital, States
from bandrt.spectra.documents import complete_dos_document
from bandrt.spectra.kpoints import place
from bandrt.spectra.mesh import DENSITY, ZoneMesh, checked_sizes, mesh_sizes, zone_mesh
from bandrt.spectra.pymatgen import complete_dos
from bandrt.spectra.tetrahedra import BandBelow, Tetrahedra, band_below, fermi_level, tetrahedra

Floats = NDArray[np.float64]
MAX_WEIGHTS = 250_000_000
"""Of states by orbitals at all points of a mesh: some 4 GB while they are put in order."""
WINDOW_EV = (-15.0, 15.0)
STEP_EV = 0.01
LEAST_STEP_EV, MOST_EV, MOST_STEPS = 1e-4, 1e3, 200_000
SPINS = 2.0
"""Electrons in a full band: there is no spin in the Hamiltonian, and both are counted."""


class Edge(NamedTuple):
    """An extremum of a band."""

    energy: float
    """eV."""
    frac_kpoint: tuple[float, float, float]
    """One of the points where it is."""


class CrossingBand(NamedTuple):
    """A band that crosses the Fermi level."""

    band: int
    """From 0, the lowest."""
    lowest: float
    highest: float
    """eV, over the mesh."""


@dataclass(frozen=True, eq=False)
class DensityOfStates:
    """States of a crystal per energy, of both spins, in one primitive cell.

    Energies are on the scale of the engine's bands: zero is the Fermi level of a metal and mid-gap of an insulator, by the engine's
    own path and mesh. What the finer mesh here says of them is `efermi`.

    Attributes:
        energies: (M,) eV, ascending, evenly spaced; each stands for an interval as wide as the spacing around it.
        total: (M,) states/eV, the mean over the interval, so that sums times the spacing are exact.
        projected: (M, n_orbitals) states/eV, of `orbitals`; they add up to `total`.
        orbitals: what each is.
        below: states below the first interval.
        crystal: the standard primitive cell.
        electrons: in it.
        mesh: points along each reciprocal vector.
        efermi: eV: of a metal the level below which so many states lie, of an insulator mid-gap.
        is_metal: whether filled and empty bands overlap or touch, here or for the engine itself, or a band is half full.
        vbm: the valence maximum, over the mesh and the engine's k-path, whose corners a mesh may miss; None of a metal.
        cbm: the conduction minimum, likewise.
        direct_gap: eV, the least distance between filled and empty bands at one of these k-points, and where; None of a metal.
        crossing: bands that cross the Fermi level, of a metal.
        kpath_gap_ev: that of the engine's path alone, see `CrystalHamiltonian.kpath_gap`.
        warnings: of the Hamiltonian.
        uncertainty_ev: mean absolute error to expect of the energies; None where there is none.
        n_bands: bands of the crystal.
        n_flat_levels: how many of them are levels of inner shells, the same at every k-point.
    """

    energies: Floats
    total: Floats
    projected: NDArray[np.floating[Any]]
    orbitals: tuple[Orbital, ...]
    below: float
    crystal: Crystal
    electrons: float
    mesh: tuple[int, int, int]
    efermi: float
    is_metal: bool
    vbm: Edge | None
    cbm: Edge | None
    direct_gap: Edge | None
    crossing: tuple[CrossingBand, ...]
    kpath_gap_ev: float | None = None
    warnings: tuple[str, ...] = ()
    uncertainty_ev: float | None = None
    n_bands: int = 0
    n_flat_levels: int = 0

    def __repr__(self) -> str:
        mesh = " x ".join(map(str, self.mesh))
        name = shortened(self.crystal.formula, 40)
        return f"DensityOfStates({name}, {len(self.energies)} energies, {mesh} k-points, {self.verdict})"

    @property
    def band_gap(self) -> float:
        """eV, over the mesh and the k-path; 0 for a metal."""
        return 0.0 if self.vbm is None or self.cbm is None else self.cbm.energy - self.vbm.energy

    @property
    def verdict(self) -> str:
        """In words."""
        return "metal" if self.is_metal else f"gap {self.band_gap:.2f} eV"

    @property
    def spacing(self) -> float:
        """eV between two energies."""
        return float(self.energies[1] - self.energies[0])

    @property
    def integrated(self) -> Floats:
        """States below the end of each interval, (M,)."""
        return self.below + np.cumsum(self.total) * self.spacing

    @property
    def at_efermi(self) -> float | None:
        """States/eV at the Fermi level; 0 in a gap, None of a metal whose level lies outside `energies`."""
        if not self.is_metal:
            return 0.0
        if not self.energies[0] <= self.efermi <= self.energies[-1]:
            return None
        return float(np.interp(self.efermi, self.energies, self.total))

    def of_atoms(self, atoms: Sequence[int]) -> Floats:
        """What the orbitals of some atoms have of it, (M,) states/eV."""
        return self._summed([orbital.atom in set(atoms) for orbital in self.orbitals])

    def by_element(self) -> Mapping[str, Floats]:
        """What each element has of it, (M,) states/eV, in the order of the cell."""
        symbols = dict.fromkeys(orbital.element for orbital in self.orbitals)
        return {symbol: self._summed([o.element == symbol for o in self.orbitals]) for symbol in symbols}

    def by_shell(self) -> Mapping[tuple[str, str], Floats]:
        """What s, p and d of each element have of it, (M,) states/eV."""
        keys = dict.fromkeys((o.element, SHELLS[o.l]) for o in self.orbitals)
        return {key: self._summed([(o.element, SHELLS[o.l]) == key for o in self.orbitals]) for key in keys}

    def smeared(self, sigma: float) -> DensityOfStates:
        """The same, spread by a Gaussian of this standard deviation in eV.

        What is spread below the window counts as `below`, what is spread above it is lost, and nothing comes in from outside of it,
        which `density_of_states` sees to.

        Raises:
            ArgumentError: ``bad-argument`` for no width.
        """
        sigma = checked_number("sigma", sigma, above=0.0, at_most=MOST_EV)
        reach = _reach(sigma, self.spacing)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * self.spacing / sigma) ** 2)
        kernel /= kernel.sum()

        def spread(values: NDArray[np.floating[Any]]) -> Floats:
            return np.convolve(values.astype(np.float64), kernel, mode="full")

        inside, total = slice(reach, reach + len(self.energies)), spread(self.total)
        below = self.below + float(total[:reach].sum()) * self.spacing
        projected = np.stack([spread(column)[inside] for column in self.projected.T], axis=1)
        return replace(self, total=total[inside], projected=projected, below=below)

    def _without_ends(self, n: int) -> DensityOfStates:
        """The same without the first n intervals and the last n."""
        if n == 0:
            return self
        below = self.below + float(self.total[:n].sum()) * self.spacing
        energies, total, projected = self.energies[n:-n], self.total[n:-n], self.projected[n:-n]
        return replace(self, energies=energies, total=total, projected=projected, below=below)

    def moment(self, order: int, low: float, high: float) -> float:
        """The mean of a power of the energy, eV^order, over the states between two energies."""
        inside = (self.energies >= low) & (self.energies <= high)
        weight = self.total[inside]
        return float((weight * self.energies[inside] ** order).sum() / weight.sum())

    def summary(self) -> dict[str, Any]:
        """What a short table says of it, as plain JSON values."""
        return {
            "formula": self.crystal.formula,
            "electrons": self.electrons,
            "n_bands": self.n_bands,
            "n_flat_levels": self.n_flat_levels,
            "mesh": list(self.mesh),
            "is_metal": self.is_metal,
            "band_gap_ev": self.band_gap,
            "band_gap_of_kpath_ev": self.kpath_gap_ev,
            "efermi_ev": self.efermi,
            "vbm_ev": None if self.vbm is None else self.vbm.energy,
            "vbm_kpoint": None if self.vbm is None else list(self.vbm.frac_kpoint),
            "cbm_ev": None if self.cbm is None else self.cbm.energy,
            "cbm_kpoint": None if self.cbm is None else list(self.cbm.frac_kpoint),
            "direct_gap_ev": None if self.direct_gap is None else self.direct_gap.energy,
            "direct_gap_kpoint": None if self.direct_gap is None else list(self.direct_gap.frac_kpoint),
            "states_at_efermi": self.at_efermi,
            "crossing_bands": [{"band": c.band, "lowest_ev": c.lowest, "highest_ev": c.highest} for c in self.crossing],
            "uncertainty_ev": self.uncertainty_ev,
            "warnings": list(self.warnings),
        }

    def to_pymatgen(self) -> Any:
        """Convert to a pymatgen ``CompleteDos``.

        Raises:
            MissingPackageError: pymatgen is not installed.
        """
        return complete_dos(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The document of a pymatgen ``CompleteDos``, which ``CompleteDos.from_dict`` reads; pymatgen is not needed."""
        return complete_dos_document(
            self.crystal, self.energies, self.total, self.projected, self.orbitals, self.efermi, self.summary()
        )

    def _summed(self, chosen: Sequence[bool]) -> Floats:
        return np.asarray(self.projected[:, np.array(chosen, np.bool_)].sum(axis=1), np.float64)


def density_of_states(
    hamiltonian: CrystalHamiltonian,
    *,
    mesh: Sequence[int] | None = None,
    density: float = DENSITY,
    window: tuple[float, float] = WINDOW_EV,
    step: float = STEP_EV,
    smearing: float | None = None,
) -> DensityOfStates:
    """Integrate the states of a crystal over its Brillouin zone by linear tetrahedra.

    Args:
        hamiltonian: of the crystal.
        mesh: points along each reciprocal vector of the standard primitive cell.
        density: without `mesh`: k-points per 1/Å³ of reciprocal space.
        window: eV, from and to where.
        step: eV between two energies.
        smearing: eV, standard deviation of a Gaussian that spreads states, also those outside of the window; None for none.

    Raises:
        ArgumentError: ``bad-argument``.
        InputError: ``non-finite-energies``.
    """
    check_kind("hamiltonian", hamiltonian, CrystalHamiltonian)
    levels, beside = _levels(window, step), 0
    if smearing is not None:
        smearing = checked_number("smearing", smearing, above=0.0, at_most=MOST_EV)
        beside, width = _reach(smearing, step), float(levels[1] - levels[0])
        if len(levels) + 2 * beside > MOST_STEPS:
            raise not_allowed("smearing", smearing, f"at most {MOST_STEPS} steps of {step:g} eV, with those outside of the window")
        levels = levels[0] + width * np.arange(-beside, len(levels) + beside)
    sizes = mesh_sizes(hamiltonian.cell, density) if mesh is None else checked_sizes(mesh)
    held = math.prod(sizes) // 2 * hamiltonian.n_bands * hamiltonian.n_orbitals
    if held > MAX_WEIGHTS:
        wanted = f"one of fewer k-points: this makes {held / MAX_WEIGHTS:.1f} times as many as there is memory for"
        raise not_allowed("density", density, wanted) if mesh is None else not_allowed("mesh", mesh, wanted)
    every, points = zone_mesh(sizes), zone_mesh(sizes, hamiltonian.cell.rotations)
    zone = tetrahedra(points, hamiltonian.crystal.reciprocal)
    states = hamiltonian.states(every.frac_kpoints)
    energies, weights = of_stars(states, every, points)
    counted, parts = np.zeros(len(levels)), np.zeros((len(levels), hamiltonian.n_orbitals))
    for band in range(hamiltonian.n_bands):
        below = band_below(energies[:, band], zone, levels)
        counted += _at_all(below, points.weights, np.ones((len(energies), 1)), len(levels))[:, 0]
        parts += _at_all(below, points.weights, weights[:, band], len(levels))
    width = levels[1] - levels[0]
    facts = _facts(hamiltonian, energies, points.frac_kpoints, zone)
    found = DensityOfStates(
        energies=0.5 * (levels[1:] + levels[:-1]),
        total=SPINS * np.diff(counted) / width,
        projected=SPINS * np.diff(parts, axis=0) / width,
        orbitals=hamiltonian.orbitals,
        below=SPINS * float(counted[0]),
        crystal=hamiltonian.crystal,
        electrons=hamiltonian.electrons,
        mesh=sizes,
        kpath_gap_ev=hamiltonian.kpath_gap,
        warnings=hamiltonian.warnings,
        uncertainty_ev=hamiltonian.uncertainty_ev,
        n_bands=hamiltonian.n_bands,
        n_flat_levels=len(hamiltonian.flat_levels),
        **facts,
    )
    return found if smearing is None else found.smeared(smearing)._without_ends(beside)


def _reach(sigma: float, spacing: float) -> int:
    """Steps to either side that a Gaussian spreads states over."""
    return max(1, math.ceil(5.0 * sigma / spacing))


def of_stars(states: States, every: ZoneMesh, points: ZoneMesh) -> tuple[Floats, NDArray[np.float32]]:
    """Energies (P, n_bands) at points that symmetry leaves of a mesh, and weights (P, n_bands, n_orbitals), means of their stars.

    Symmetry keeps energies and takes an orbital of an atom to others, of other atoms: so orbitals need every point, of which time
    reversal alone leaves one of two. States of one energy are any mixture of each other: each gets the mean of their weights, or
    atoms and orbitals that symmetry does not tell apart would have other densities.

    Args:
        states: at all points of `every`.
        every: the mesh, of which only time reversal has left points out.
        points: the same, with what symmetry leaves.
    """
    first = np.zeros(len(every.weights), np.int64)
    first[every.like] = np.arange(len(every.like))
    star = points.like[first]  # of each point of `every`
    of_point = np.zeros(len(points.weights), np.int64)
    of_point[points.like] = every.like
    share = (every.weights / points.weights[star]).astype(np.float32)
    weights = np.zeros((len(points.weights), *states.weights.shape[1:]), np.float32)
    order = np.argsort(star, kind="stable")
    starts = np.searchsorted(star[order], np.arange(len(points.weights)))
    for point, chosen in enumerate(np.split(order, starts[1:])):
        weights[point] = np.tensordot(share[chosen], states.weights[chosen], 1)
    energies: Floats = np.asarray(states.energies[of_point])
    for point in np.flatnonzero((np.diff(energies, axis=1) <= DEGENERACY_EV).any(axis=1)).tolist():
        firsts = np.flatnonzero(np.diff(energies[point], prepend=-np.inf) > DEGENERACY_EV)
        counts = np.diff(firsts, append=energies.shape[1])
        means = np.add.reduceat(weights[point], firsts, axis=0) / counts[:, None].astype(np.float32)
        weights[point] = np.repeat(means, counts, axis=0)
    return energies, weights


def _levels(window: tuple[float, float], step: float) -> Floats:
    """Ends of the intervals, (M + 1,)."""
    ends = checked_items("window", window, 2, "two energies in eV, the lower first")
    low, high = (checked_number("each of window", value, at_least=-MOST_EV, at_most=MOST_EV) for value in ends)
    step = checked_number("step", step, at_least=LEAST_STEP_EV, at_most=MOST_EV)
    n = round((high - low) / step) + 1
    if not 2 <= n <= MOST_STEPS:
        raise not_allowed("window", window, f"two energies in eV, the lower first, 1 to {MOST_STEPS} steps of {step:g} apart")
    return np.asarray(low - 0.5 * step + step * np.arange(n + 1), np.float64)


def _at_all(below: BandBelow, point_weights: Floats, parts: NDArray[np.floating[Any]], n_levels: int) -> Floats:
    """Integrals (n_levels, C) of what has the values (P, C) at the points of one band."""
    found = np.zeros((n_levels, parts.shape[1]))
    end = min(below.first + below.weights.shape[1], n_levels)
    found[below.first : end] = below.weights[:, : end - below.first].T @ parts
    found[end:] = point_weights @ parts
    return found


def _facts(hamiltonian: CrystalHamiltonian, energies: Floats, kpoints: Floats, zone: Tetrahedra) -> dict[str, Any]:
    """Fermi level, edges, gap and crossing bands, by the energies at the points of the mesh; edges by those of the k-path, too."""
    half = hamiltonian.n_filled
    kpoints = np.concatenate([kpoints, hamiltonian.kpath.frac_kpoints])
    top, bottom = np.concatenate([energies, hamiltonian.eigenvalues(hamiltonian.kpath.frac_kpoints)])[:, half - 1 : half + 1].T
    overlap = is_odd(hamiltonian.electrons) or float(bottom.min()) - float(top.max()) <= ZERO_GAP_EV
    is_metal = hamiltonian.is_metal or overlap  # of a coarse mesh, the engine's own may know better
    if not is_metal:
        apart = bottom - top
        vbm = Edge(float(top.max()), place(kpoints[int(top.argmax())]))
        cbm = Edge(float(bottom.min()), place(kpoints[int(bottom.argmin())]))
        direct = Edge(float(apart.min()), place(kpoints[int(apart.argmin())]))
        return {
            "efermi": 0.5 * (vbm.energy + cbm.energy), "is_metal": False, "vbm": vbm, "cbm": cbm, "direct_gap": direct,
            "crossing": (),
        }  # fmt: skip
    level = fermi_level(energies, zone, 0.5 * hamiltonian.electrons)
    lowest, highest = energies.min(axis=0), energies.max(axis=0)
    crossing = tuple(
        CrossingBand(band, float(lowest[band]), float(highest[band]))
        for band in np.flatnonzero((lowest < level) & (highest > level)).tolist()
    )
    return {"efermi": level, "is_metal": True, "vbm": None, "cbm": None, "direct_gap": None, "crossing": crossing}
