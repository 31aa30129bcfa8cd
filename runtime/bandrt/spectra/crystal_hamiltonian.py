"""The Hamiltonian of one crystal, at any k-point, on the energy scale of its bands."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import not_allowed
from bandrt.bands.band_structure import gaps
from bandrt.bands.frame import out_of_frame
from bandrt.batch import pad
from bandrt.contract import N_ORBITALS, UNCERTAINTY
from bandrt.crystal import Crystal
from bandrt.domain import expected_error
from bandrt.domain import warnings as domain_warnings
from bandrt.engine.hamiltonian import HamiltonianSession
from bandrt.engine.session import Session
from bandrt.errors import InputError, UsageError
from bandrt.features import Features
from bandrt.graph.bonded_network import network_warnings
from bandrt.hamiltonian.bands import filled_bands
from bandrt.hamiltonian.bloch import BlochSum
from bandrt.hamiltonian.cell import CellHamiltonian, cell_hamiltonian
from bandrt.hamiltonian.derivatives import SmoothHamiltonian
from bandrt.hamiltonian.eigenvalues import eigenstates, eigenvalues
from bandrt.hamiltonian.filling import Filled, n_filled
from bandrt.kpaths.path import KPath
from bandrt.manifest import BandRule
from bandrt.quoting import shortened
from bandrt.symmetry.standard_cell import StandardCell

Floats = NDArray[np.floating[Any]]
Found = TypeVar("Found")
ORBITAL_NAMES = ("s", "px", "py", "pz", "dxy", "dyz", "dxz", "dx2", "dz2")
"""Of the orbitals of an atom, as pymatgen calls them; ``dx2`` is that of x²-y². Axes are those of the standard primitive cell."""
SHELLS = ("s", "p", "d")
FARTHEST = 1e6
"""Of fractional coordinates of a k-point: of larger ones rounding would leave nothing of where in the zone they are."""
SAME_GAP_EV = 0.01
"""Gaps that differ by no more are told as one."""
L_OF_ORBITAL = (0, 1, 1, 1, 2, 2, 2, 2, 2)


class Orbital(NamedTuple):
    """One orbital of the basis."""

    atom: int
    """Which atom of the standard primitive cell, from 0."""
    element: str
    l: int  # noqa: E741 - what the field calls it
    """0, 1 or 2: s, p or d."""
    name: str
    """One of `ORBITAL_NAMES`."""


class States(NamedTuple):
    """Eigenvalues of H(k), and what their states are made of.

    Attributes:
        energies: (K, n_bands) eV, ascending, on the scale of the bands.
        weights: (K, n_bands, n_orbitals), how much of each orbital is in each state; those of a state add up to one.
    """

    energies: NDArray[np.float64]
    weights: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CrystalHamiltonian:
    """The tight-binding Hamiltonian that an engine says a crystal has: nine orthonormal orbitals an atom, s, p and d.

    Energies are in eV on the scale of the engine's band structures: zero is the Fermi level of a metal and mid-gap, of the extrema
    on the engine's k-path, of an insulator. k-points are fractional in the reciprocal of `crystal` unless it is said otherwise.
    Bands are numbered from 0, the lowest; flat levels of inner shells, which do not hop, are among them.

    Attributes:
        original: the crystal in the cell that it came in.
        cell: the standard primitive cell and its symmetry.
        kpath: the engine's own walk through the Brillouin zone.
        terms: hoppings and levels, on the energy scale of the model.
        zero_ev: where the zero lies on that scale.
        is_metal: whether the engine says that it is one, by its path and its own mesh.
        n_nonempty: how many of its bands are not empty on its path: by these its six bands are chosen.
        band_gap: eV, likewise; 0 for a metal.
        kpath_gap: eV, that of the engine's band structure, which knows the path alone; 0 for a metal. None where it gives none.
        uncertainty_ev: mean absolute error to expect of the energies; None where the engine does not estimate it, or where a
            warning leaves nothing to expect.
        warnings: why that may be more, as of a prediction.
        threads: CPU threads that are used.
    """

    original: Crystal
    cell: StandardCell
    kpath: KPath
    terms: CellHamiltonian
    zero_ev: float
    is_metal: bool
    n_nonempty: int
    band_gap: float
    kpath_gap: float | None = None
    uncertainty_ev: float | None = None
    warnings: tuple[str, ...] = ()
    threads: int = 1
    orbitals: tuple[Orbital, ...] = field(init=False)
    """What the columns of the weights are, (n_orbitals,)."""
    smooth: SmoothHamiltonian = field(init=False)
    """H(k) and its derivatives in double precision, on the energy scale of the model."""
    _bloch: BlochSum = field(init=False)

    def __post_init__(self) -> None:
        orbitals = tuple(
            Orbital(atom, symbol, L_OF_ORBITAL[o], ORBITAL_NAMES[o])
            for atom, symbol in enumerate(self.crystal.symbols)
            for o in range(N_ORBITALS)
        )
        object.__setattr__(self, "orbitals", orbitals)
        object.__setattr__(self, "smooth", SmoothHamiltonian(self.terms.hoppings, self.crystal.lattice))
        object.__setattr__(self, "_bloch", BlochSum(self.terms.hoppings, self.terms.inversion))

    def __repr__(self) -> str:
        verdict = "metal" if self.is_metal else f"gap {self.band_gap:.2f} eV"
        name = shortened(self.crystal.formula, 40)
        return f"CrystalHamiltonian({name}, {self.n_orbitals} orbitals, {self.electrons:g} electrons, {verdict})"

    @property
    def crystal(self) -> Crystal:
        """The standard primitive cell."""
        return self.cell.crystal

    @property
    def electrons(self) -> float:
        """In a cell; two fill a band."""
        return self.terms.electrons

    @property
    def n_orbitals(self) -> int:
        """Orbitals that hop: nine an atom."""
        return self.terms.hoppings.n_orbitals

    @property
    def n_bands(self) -> int:
        """Bands, flat levels among them."""
        return self.n_orbitals + len(self.terms.flat_levels)

    @property
    def flat_levels(self) -> NDArray[np.float64]:
        """(F,) eV, bands that are the same at every k-point: inner shells, and filled d shells that take no part in bonds."""
        return self.terms.flat_levels.astype(np.float64) - self.zero_ev

    @property
    def n_filled(self) -> int:
        """Bands that the electrons would fill one after the other, the last perhaps by half."""
        return n_filled(self.electrons)

    def eigenvalues(self, kpoints: Any) -> NDArray[np.float64]:
        """Energies of all bands, (K, n_bands) eV, ascending, at k-points (K, 3)."""
        points = checked_kpoints(kpoints)
        hopping = self._over_threads(lambda pool: eigenvalues(self._bloch, points, pool=pool, threads=self.threads))
        return np.sort(self._with_flat(self._converged(hopping)), axis=1)

    def states(self, kpoints: Any) -> States:
        """Energies of all bands at k-points (K, 3), and of which orbitals their states are; a flat level is of one alone."""
        points = checked_kpoints(kpoints)
        hopping, made_of = self._over_threads(lambda pool: eigenstates(self._bloch, points, pool=pool, threads=self.threads))
        energies = self._with_flat(self._converged(hopping))
        flat = np.eye(self.n_orbitals, dtype=np.float32)[self.terms.flat_orbitals]  # (F, n_orbitals)
        weights = np.concatenate([made_of, np.broadcast_to(flat, (len(points), *flat.shape))], axis=1)
        order = np.argsort(energies, axis=1, kind="stable")
        return States(np.take_along_axis(energies, order, 1), np.take_along_axis(weights, order[:, :, None], 1))

    def eigenvectors(self, kpoints: Any) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        """Energies of the bands that hop, (K, n_orbitals) eV, and their states, (K, n_orbitals, n_orbitals) in columns.

        Rows are `orbitals`; a Bloch sum takes the phase ``exp(2 pi i k R)`` of the cell that an atom lies in. In double precision.
        """
        energies, vectors = np.linalg.eigh(self.smooth.at(checked_kpoints(kpoints)))
        return energies - self.zero_ev, vectors

    def to_standard(self, kpoints: Any) -> NDArray[np.float64]:
        """k-points (K, 3) in the reciprocal of the standard primitive cell, given in that of the cell that the crystal came in."""
        return checked_kpoints(kpoints) @ self.cell.basis_change.T

    def to_original(self, kpoints: Any) -> NDArray[np.float64]:
        """The way back of `to_standard`."""
        return checked_kpoints(kpoints) @ np.linalg.inv(self.cell.basis_change.T)

    def _over_threads(self, solve: Callable[[Executor | None], Found]) -> Found:
        if self.threads == 1:
            return solve(None)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="bandrt-lapack") as pool:
            return solve(pool)

    def _with_flat(self, hopping: Floats) -> NDArray[np.float64]:
        """Energies on the scale of the bands, (K, n_bands), flat levels last."""
        flat = np.broadcast_to(self.terms.flat_levels, (len(hopping), len(self.terms.flat_levels)))
        return np.concatenate([hopping, flat], axis=1, dtype=np.float64) - self.zero_ev

    def _converged(self, energies: Floats) -> Floats:
        if np.isnan(energies).any():
            raise InputError(
                "non-finite-energies", f"{self.crystal.formula}: eigenvalues of its Hamiltonian do not converge", stage="predict"
            )
        return energies


def verdict(is_metal: bool, band_gap: float, kpath_gap: float | None) -> str:
    """Metal or gap in words, and what the k-path alone says where that is something else.

    Args:
        is_metal: over a mesh.
        band_gap: eV, likewise.
        kpath_gap: eV, see `CrystalHamiltonian`.
    """
    found = "metal" if is_metal else f"gap {band_gap:.3f} eV"
    if kpath_gap is None or (is_metal == (kpath_gap == 0.0) and abs(kpath_gap - band_gap) <= SAME_GAP_EV):
        return found
    on_path = f"gap {kpath_gap:.3f} eV" if kpath_gap else "metal"
    return f"{found}; on the k-path alone, as in `bandrt infer`, {on_path}"


def checked_kpoints(kpoints: Any) -> NDArray[np.float64]:
    """k-points as an array (K, 3) of numbers in reach.

    Raises:
        ArgumentError: ``bad-argument`` for what is none.
    """
    try:
        points = np.array(kpoints, np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1:] != (3,) or not len(points) or not (np.abs(points) <= FARTHEST).all():
        raise not_allowed("kpoints", kpoints, f"numbers of at most {FARTHEST:g} in size, of the shape (K, 3)")
    return points


def hamiltonian_of(session: Session, original: Crystal, cell: StandardCell, features: Features, *, name: str) -> CrystalHamiltonian:
    """Ask an engine for the Hamiltonian of a crystal.

    Args:
        session: of the engine.
        original: the crystal.
        cell: its standard primitive cell.
        features: of the same, by the engine's recipe.
        name: what to call it in an error.

    Raises:
        UsageError: ``no-hamiltonian``, of an engine that has none, or whose file ends at bands.
        InputError: ``too-few-bands``, ``non-finite-energies``.
        EngineError: ``engine-failed``, ``out-of-memory``.
    """
    if not isinstance(session, HamiltonianSession):
        variant, solver = session.manifest.variant, session.manifest.solver
        why = "its solver is in the graph: export it with --solver lapack" if solver else "its variant gives six bands alone"
        raise UsageError("no-hamiltonian", f"this engine ({variant}) gives no Hamiltonian, {why}; take the engine accurate")
    [row] = session.hamiltonians(pad([features]))
    terms = cell_hamiltonian(row)
    if not terms.is_finite:
        raise InputError(
            "non-finite-energies", f"{name}: the engine gave a Hamiltonian that is not finite numbers", stage="predict"
        )
    try:
        filled = filled_bands(
            terms.hoppings,
            terms.flat_levels,
            features.kpoints,
            (features.mesh_kpoints, features.mesh_weights),
            terms.electrons,
            smearing_ev=session.smearing_ev,
            inversion=terms.inversion,
        )
    except InputError as error:
        raise error.about(name) from None
    doubts = (
        *domain_warnings(features.crystal, session.manifest.training),
        *original.notes,
        *network_warnings([features.crystal], [features])[0],
    )
    expected = expected_error(float(row[UNCERTAINTY]), doubts) if UNCERTAINTY in row else math.nan
    of_model = CrystalHamiltonian(
        original=original,
        cell=cell,
        kpath=features.kpath,
        terms=terms,
        zero_ev=0.0,
        is_metal=filled.is_metal,
        n_nonempty=n_filled(terms.electrons) + filled.n_nonempty - len(filled.energies) // 2,
        band_gap=filled.band_gap,
        kpath_gap=_kpath_gap(filled, session.manifest.bands),
        uncertainty_ev=None if math.isnan(expected) else expected,
        warnings=doubts,
        threads=session.threads,
    )
    last = of_model.eigenvalues(features.kpoints[:1])[0, of_model.n_filled - 1]  # the first k-point is always computed
    return replace(of_model, zero_ev=float(last - filled.energies[len(filled.energies) // 2 - 1, 0]))


def _kpath_gap(filled: Filled, rule: BandRule) -> float | None:
    """The gap that a band structure of the path has; None where it lacks bands."""
    energies, own = out_of_frame(filled.around(rule).astype(np.float32), rule)
    return None if np.isnan(energies).any() else float(gaps(energies, own)[0])
