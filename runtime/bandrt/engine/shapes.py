"""Shapes of batches on a GPU: which optimisation profile takes a batch, what it is padded to, and how its arrays lie in memory.

Every new shape costs an execution context and a captured graph, so batches are rounded up to few of them: atoms as
`bandrt.batch.bucket_size` does, crystals to the next power of two, or to as many as are ever put together of such a size, within
the profile that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.batch import bucket_size, most_together
from bandrt.contract import INVERSION, TENSORS, Axes, known_sizes, uses_centres
from bandrt.errors import EngineError
from bandrt.manifest import Bucket, Manifest

ALIGNMENT = 256
"""Bytes: where CUDA and TensorRT want arrays to begin."""


class BatchShape(NamedTuple):
    """A shape that a batch is padded to."""

    profile: int
    """The optimisation profile, an index into the manifest's buckets."""
    crystals: int
    atoms: int
    slots: int
    mesh: int = 0
    centred: int = 0
    """Crystals whose centre of inversion is used: all or none, so that there are few shapes."""

    @property
    def padded_atoms(self) -> int:
        """Atoms in the batch, padding included."""
        return self.crystals * self.atoms


def shape_of(inputs: Mapping[str, NDArray[Any]]) -> tuple[int, int, int]:
    """Crystals, atoms and neighbour slots of a padded batch."""
    crystals, atoms, slots = inputs["neighbor_index"].shape
    return crystals, atoms, slots


def mesh_of(inputs: Mapping[str, NDArray[Any]]) -> int:
    """Points of the mesh of a padded batch; 0 without one."""
    return inputs["mesh_weights"].shape[1] if "mesh_weights" in inputs else 0


def centred_of(inputs: Mapping[str, NDArray[Any]]) -> int:
    """Crystals of a padded batch whose centre of inversion is known; 0 without such inputs."""
    return len(inputs.get(INVERSION[0], ()))


def most_crystals(manifest: Manifest, n_atoms: int) -> int | None:
    """Crystals of a size that fit into one batch of an engine; None where it sets no limit, 0 where there is no room for one."""
    profile = manifest.profile
    if not profile.buckets:
        return profile.max_batch
    return max((bucket.max_batch for bucket in profile.buckets if bucket.min_atoms <= n_atoms <= bucket.max_atoms), default=0)


def holds(manifest: Manifest, size: int) -> int | None:
    """As `most_crystals`, of a number of atoms that was rounded up, maybe beyond the largest crystal of the engine."""
    largest = manifest.profile.max_atoms
    return most_crystals(manifest, size if largest is None else min(size, largest))


def padded_atoms(manifest: Manifest, crystals: Sequence[tuple[int, bool]]) -> int:
    """Atoms, padding included, that an engine computes a batch with.

    Args:
        manifest: of the engine.
        crystals: of each the number of atoms, and whether a centre of inversion is known of it.
    """
    kinds: tuple[bool | None, ...] = (True, False) if uses_centres(manifest) else (None,)
    total = 0
    for kind in kinds:
        atoms = [n for n, centred in crystals if kind is None or centred is kind]
        together = (most_crystals(manifest, max(atoms)) if atoms else None) or max(1, len(atoms))
        for start in range(0, len(atoms), together):
            piece = atoms[start : start + together]
            fixed = bool(manifest.profile.buckets)
            total += choose_shape(manifest, len(piece), max(piece), 1).padded_atoms if fixed else len(piece) * max(piece)
    return total


def choose_shape(manifest: Manifest, crystals: int, atoms: int, slots: int, mesh: int = 0, centred: int = 0) -> BatchShape:
    """The shape of the graph contract that a batch is padded to.

    Args:
        manifest: of a plan.
        crystals: in the batch.
        atoms: of the largest crystal.
        slots: neighbours of an atom, at most.
        mesh: points of the largest mesh; it is rounded up as atoms are.
        centred: crystals whose centre of inversion is known.

    Raises:
        EngineError: ``batch-too-large``: no optimisation profile takes it.
    """
    profile, n_neighbors = manifest.profile, manifest.recipe.graph.n_neighbors
    padded_slots = n_neighbors if profile.max_slots is None else min(-(-slots // n_neighbors) * n_neighbors, profile.max_slots)
    for index, bucket in enumerate(profile.buckets):
        if _holds(bucket, crystals, atoms) and slots <= padded_slots:
            padded_atoms = min(bucket_size(atoms), bucket.max_atoms)
            full = max(crystals, most_together(padded_atoms))
            padded_crystals = min(1 << (crystals - 1).bit_length(), full, bucket.max_batch)
            padded_mesh = bucket_size(mesh) if mesh else 0
            padded_crystals = max(padded_crystals, bucket.min_batch)
            used = padded_crystals if centred == crystals and uses_centres(manifest) else 0
            return BatchShape(index, padded_crystals, padded_atoms, padded_slots, padded_mesh, used)
    raise EngineError(
        "batch-too-large",
        f"no optimisation profile of this plan takes {crystals} crystals of {atoms} atoms with {slots} neighbours; it holds up to"
        f" {profile.max_atoms} atoms and {profile.max_batch} crystals: build it again with --max-atoms and --max-batch",
    )


def _holds(bucket: Bucket, crystals: int, atoms: int) -> bool:
    return bucket.min_atoms <= atoms <= bucket.max_atoms and bucket.min_batch <= crystals <= bucket.max_batch


def input_axes(manifest: Manifest, shape: BatchShape) -> dict[str, Axes]:
    """Shapes of the manifest's inputs, by the graph contract."""
    sizes = known_sizes(manifest) | {"B": shape.crystals, "N": shape.atoms, "D": shape.slots, "M": shape.mesh, "C": shape.centred}
    return {name: TENSORS[name].axes(sizes) for name in manifest.inputs}


def without_centres(inputs: Mapping[str, NDArray[Any]], shape: BatchShape) -> dict[str, NDArray[Any]]:
    """A padded batch without the centres of inversion that its shape has no place for."""
    return {name: array[: shape.centred] if name in INVERSION else array for name, array in inputs.items()}


@dataclass(frozen=True)
class Layout:
    """Arrays side by side in one block of bytes, so that a batch is one copy each way."""

    places: dict[str, tuple[int, Axes, np.dtype[Any]]]
    """Of each array: its first byte, shape and type."""
    n_bytes: int

    @classmethod
    def of(cls, axes: Mapping[str, Axes], types: Mapping[str, str]) -> Layout:
        """Lay arrays out one behind another.

        Args:
            axes: their shapes by name.
            types: their types by name, names that are not in `axes` included.
        """
        places: dict[str, tuple[int, Axes, np.dtype[Any]]] = {}
        end = 0
        for name, shape in axes.items():
            dtype = np.dtype(types[name])
            places[name] = (end, shape, dtype)
            end += -(-prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        return cls(places, end)

    def addresses(self, start: int) -> dict[str, int]:
        """Where the arrays are when the block begins at `start`."""
        return {name: start + offset for name, (offset, _, _) in self.places.items()}

    def view(self, block: NDArray[np.uint8], name: str) -> NDArray[Any]:
        """One array in a block."""
        offset, shape, dtype = self.places[name]
        array: NDArray[Any] = block[offset : offset + prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        return array

    def write(self, block: NDArray[np.uint8], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put smaller arrays into a block, with zeros behind them on every axis."""
        for name, (_, shape, _) in self.places.items():
            array, target = arrays[name], self.view(block, name)
            if array.shape != shape:
                target.fill(0)
            target[tuple(slice(size) for size in array.shape)] = array

    def read(self, block: NDArray[np.uint8], crystals: int) -> dict[str, NDArray[Any]]:
        """Copy the first crystals of every array out of a block."""
        return {name: self.view(block, name)[:crystals].copy() for name in self.places}
