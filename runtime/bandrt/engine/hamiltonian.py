"""Sessions of learned Hamiltonians whose file ends at the Hamiltonian: the rest, up to the bands, is done here with LAPACK."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import BAND_ENERGIES, TENSORS, UNCERTAINTY
from bandrt.cores import available_cores
from bandrt.engine.onnx.slices import MAX_ATOMS, slices
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, Session, run_in_turn
from bandrt.errors import InputError
from bandrt.hamiltonian.bands import filled_bands
from bandrt.hamiltonian.cell import cell_hamiltonian
from bandrt.hamiltonian.eigenvalues import single_threaded_blas
from bandrt.manifest import BandRule, Manifest
from bandrt.recipe import MeshRecipe


class HamiltonianSession:
    """A file that gives Hamiltonians, and LAPACK.

    Crystals that are small enough are divided over threads, the k-points of larger ones.
    """

    def __init__(self, file: Session, *, threads: int | None = None, exact: bool = False, bands: BandRule | None = None) -> None:
        """Take an open session.

        Args:
            file: gives the Hamiltonian tensors of the contract, on the CPU; it is closed with this session.
            threads: CPU threads; None takes every core this process may use.
            exact: compute every k-point, as a check of the model wants it, where large crystals are interpolated otherwise.
            bands: which are given, around the Fermi level; None: those of the file's manifest.
        """
        self._file = file
        self._manifest = file.manifest if bands is None else dataclasses.replace(file.manifest, bands=bands)
        self._threads = threads or available_cores()
        self._exact = exact
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="bandrt-lapack")

    @property
    def manifest(self) -> Manifest:
        """What the model is and what it must be fed, with the bands that are given."""
        return self._manifest

    @property
    def device(self) -> str:
        """Where it runs: ``cpu``."""
        return self._file.device

    def run(self, inputs: Inputs) -> Outputs:
        """Evaluate one padded batch; see `bandrt.engine.session.Session.run`.

        Bands that a crystal has not are NaN, and so are all of its bands where one of those that decide on gap and metal is
        missing. Energies of a Hamiltonian that is not finite are infinite.
        """
        n_crystals, n_atoms = inputs["atom_mask"].shape
        shape = (n_crystals, self.manifest.bands.n_bands, inputs["kpoints"].shape[1])
        outputs: Outputs = {BAND_ENERGIES: np.zeros(shape, np.float32), UNCERTAINTY: np.zeros(n_crystals, np.float32)}
        feeds = {name: inputs[name] for name in self.manifest.inputs}
        try:
            with single_threaded_blas():
                self._solve(inputs["atom_mask"], feeds, outputs)
        except MemoryError as error:
            raise OutOfMemoryError.of_batch(self.device, n_crystals, n_atoms) from error
        return {name: outputs[name] for name in self.manifest.outputs}

    @property
    def smearing_ev(self) -> float:
        """Of the Fermi function that finds the Fermi level of a metal on the mesh of the recipe."""
        return (self.manifest.recipe.mesh or MeshRecipe()).smearing

    @property
    def threads(self) -> int:
        """CPU threads that it may use."""
        return self._threads

    def hamiltonians(self, inputs: Inputs) -> list[Inputs]:
        """What bands are made of: each row of a padded batch, with the Hamiltonian tensors of the contract beside its inputs.

        Raises:
            EngineError: ``engine-failed``, ``out-of-memory``.
        """
        feeds = {name: inputs[name] for name in self.manifest.inputs}
        rows = feeds | self._file.run(feeds)
        return [{name: values[i] for name, values in rows.items()} for i in range(len(inputs["atom_mask"]))]

    def run_many(self, batches: Iterable[Inputs]) -> Iterator[Outputs | OutOfMemoryError]:
        """Evaluate batches one after another; see `bandrt.engine.session.Session.run_many`."""
        return run_in_turn(self.run, batches)

    def close(self) -> None:
        """Free the model and end the threads."""
        self._pool.shutdown()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _solve(self, atom_mask: NDArray[np.bool_], feeds: Inputs, outputs: Outputs) -> None:
        """Write the bands and the uncertainty of each crystal of a batch into its outputs.

        Large crystals are solved as they come, for their memory; small ones together, those of most atoms first.
        """
        together = self._threads > 1 and len(atom_mask) > 1
        small: list[tuple[int, Inputs]] = []
        for part in slices(atom_mask):
            cut = _without_empty_slots(part.of(feeds))
            given = self._file.run(cut)
            outputs[UNCERTAINTY][part.rows] = given[UNCERTAINTY]
            crystals = [{name: values[i] for name, values in (cut | given).items()} for i in range(len(part.rows))]
            if together and part.n_atoms <= MAX_ATOMS:
                small += zip(part.rows.tolist(), crystals, strict=True)
                continue
            for row, crystal in zip(part.rows.tolist(), crystals, strict=True):
                outputs[BAND_ENERGIES][row] = self._bands(crystal, self._pool, self._threads)
        found = self._pool.map(partial(self._bands, pool=None, threads=1), [crystal for _, crystal in reversed(small)])
        for (row, _), energies in zip(reversed(small), found, strict=True):
            outputs[BAND_ENERGIES][row] = energies

    def _bands(self, crystal: Inputs, pool: Executor | None, threads: int) -> NDArray[np.floating[Any]]:
        """Bands of one crystal, (n_bands, K) eV."""
        rule, n_kpoints = self.manifest.bands, len(crystal["kpoints"])
        if not crystal["atom_mask"].any():  # the row is padding
            return np.zeros((rule.n_bands, n_kpoints))
        cell = cell_hamiltonian(crystal)
        if not cell.is_finite:
            return np.full((rule.n_bands, n_kpoints), np.inf)
        try:
            return filled_bands(
                cell.hoppings,
                cell.flat_levels,
                crystal["kpoints"],
                (crystal["mesh_kpoints"], crystal["mesh_weights"]),
                cell.electrons,
                smearing_ev=self.smearing_ev,
                inversion=cell.inversion,
                exact=self._exact,
                kept=None,
                pool=pool,
                threads=threads,
            ).given(rule)
        except InputError:
            return np.full((rule.n_bands, n_kpoints), np.nan)


def _without_empty_slots(inputs: Inputs) -> Inputs:
    """A batch with no more neighbour slots than its crystals have neighbours; slots are filled from the first."""
    used = max(1, int(inputs["neighbor_mask"].sum(axis=2).max()))
    return {name: values[:, :, :used] if "D" in TENSORS[name].dims else values for name, values in inputs.items()}
