"""Slices: on a CPU, a few crystals of one size after the other are faster than a large padded batch.

What one or a few small crystals need stays in the cache, and no padding is computed: each slice is as long as its largest crystal.
Several threads take a slice each, which divides the work better than many threads inside one small operation.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import TENSORS
from bandrt.hamiltonian.trips import solver_bytes
from bandrt.manifest import Manifest

MAX_CRYSTALS = 4
"""Crystals of a slice at most: enough to share the cost of calling each operation."""
MAX_ATOMS = 24
"""Atoms of a slice at most, if it holds more than one crystal, padding included."""
MAX_PADDING = 2
"""Of them, rows of padding: they cost as much as atoms, and more of them than sharing calls saves."""

BYTES_PER_ATOM, BYTES_PER_PAIR = 500_000, 2_000
"""What evaluating a crystal takes at its peak, as measured of the shipped engine with 500 and 1,000 atoms; pairs are of atoms."""
MAX_BYTES = 1_000_000_000
"""Of crystals that threads evaluate at once."""

SOLVED_BYTES_PER_ATOM = 1_500_000
"""The same of a network that gives a Hamiltonian, with a solver in its graph, whose own memory `bandrt.hamiltonian.trips` knows."""

Tensors = dict[str, NDArray[Any]]
RunTensors = Callable[[Tensors], Tensors]


class Slice(NamedTuple):
    """Some crystals of a batch."""

    rows: NDArray[np.intp]
    """(n,): which."""
    n_atoms: int
    """Atoms of the largest, 1 or more."""

    def of(self, batch: Tensors) -> Tensors:
        """Their part of a batch; centres of inversion are used where all of them have one."""
        return {name: self._cut(TENSORS[name].dims, tensor) for name, tensor in batch.items()}

    def _cut(self, dims: tuple[str | int, ...], tensor: NDArray[Any]) -> NDArray[Any]:
        rows = self.rows[:0] if "C" in dims and self.rows.max() >= len(tensor) else self.rows
        return tensor[rows, : self.n_atoms] if "N" in dims else tensor[rows]


def peak_bytes(n_atoms: int) -> int:
    """About what a model takes to evaluate a crystal, in bytes."""
    return BYTES_PER_ATOM * n_atoms + BYTES_PER_PAIR * n_atoms**2


def peak_of(manifest: Manifest) -> Callable[[Slice], int]:
    """What tells about how many bytes a model takes to evaluate a slice."""
    recipe = manifest.recipe
    if manifest.solver != "graph" or recipe.mesh is None:
        return lambda part: peak_bytes(part.n_atoms)
    n_kpoints = recipe.kpath.n_kpoints + recipe.mesh.most_points

    def peak(part: Slice) -> int:
        n_crystals = len(part.rows)
        return SOLVED_BYTES_PER_ATOM * n_crystals * part.n_atoms + solver_bytes(part.n_atoms, n_crystals * n_kpoints)

    return peak


def slices(atom_mask: NDArray[np.bool_], *, max_crystals: int = MAX_CRYSTALS) -> list[Slice]:
    """Divide a batch, by its atom mask (B, N), into slices of crystals of nearly the same size, small ones first."""
    n_atoms = atom_mask.shape[1]
    sizes = np.where(atom_mask.any(axis=1), n_atoms - np.argmax(atom_mask[:, ::-1], axis=1), 1)
    order = np.argsort(sizes, kind="stable")
    made: list[Slice] = []
    start = 0
    for end in range(1, len(order) + 1):
        if end < len(order):
            held = sizes[order[start : end + 1]]
            padded = len(held) * held[-1]
            if len(held) <= max_crystals and padded <= MAX_ATOMS and padded - held.sum() <= MAX_PADDING:
                continue
        made.append(Slice(order[start:end], int(sizes[order[end - 1]])))
        start = end
    return made


class SlicedRunner:
    """Runs a batch slice by slice."""

    def __init__(self, run: RunTensors, run_alone: RunTensors, threads: int, peak: Callable[[Slice], int]) -> None:
        """Start no thread yet.

        Args:
            run: evaluates a batch with all threads.
            run_alone: evaluates a batch with the thread that calls it; several may call it at once.
            threads: how many there are.
            peak: how many bytes a slice takes, see `peak_of`.
        """
        self._run = run
        self._run_alone = run_alone
        self._threads = threads
        self._peak = peak
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bandrt-slices")  # starts threads when it has work for them

    def run(self, batch: Tensors) -> Tensors:
        """Evaluate a batch; ``atom_mask`` says where crystals end."""
        n_crystals = len(batch["atom_mask"])
        parts = slices(batch["atom_mask"], max_crystals=min(MAX_CRYSTALS, -(-n_crystals // self._threads)))
        side_by_side = self._threads > 1 and len(parts) > 1
        small: list[Slice] = []
        large: list[Slice] = []
        for part in parts:
            (small if side_by_side and self._threads * self._peak(part) <= MAX_BYTES else large).append(part)
        found = list(self._pool.map(lambda part: self._run_alone(part.of(batch)), reversed(small)))[::-1]  # the longest first
        found += [self._run(part.of(batch)) for part in large]  # one by one, for their memory
        outputs = {name: np.empty((n_crystals, *tensor.shape[1:]), tensor.dtype) for name, tensor in found[0].items()}
        for part, of_part in zip([*small, *large], found, strict=True):
            for name, tensor in of_part.items():
                outputs[name][part.rows] = tensor
        return outputs

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
