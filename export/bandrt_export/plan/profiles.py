"""The sizes that a plan is built for: optimisation profiles, divided by atoms so that each computes in little memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

from bandrt.batch import most_together
from bandrt.manifest import Bucket, Profile
from bandrt.recipe import GraphRecipe

DEFAULT_MAX_ATOMS = 128
DEFAULT_MAX_BATCH = 256
ATOM_BUCKETS = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Largest crystals of the optimisation profiles, as far as a plan reaches. TensorRT reserves what the largest batch of the largest
crystals would need, and bounds what depends on both ends of a range by both: with twofold ranges that is near what batches take."""
ALONE_BUCKETS = (16, 64, 256, 1024)
"""The same of crystals alone, which take little memory."""
ATOMS_AT_ONCE = 2432
"""Atoms, padding included, of the largest batch of the largest crystals of a profile, so that it computes in less than 1.5 GB:
`fast` takes 0.6 MB an atom, by TensorRT-RTX 1.7."""
ATOMS_AT_ONCE_OF_HAMILTONIANS = 1024
"""The same of learned Hamiltonians, of which each pair of atoms holds 81 numbers for each member."""
CRYSTALS_OF_HAMILTONIANS = 16
"""In a batch, at most. Their k-points are thousands of matrices, of which some are solved at once; TensorRT-RTX 1.7 asks for memory
of the machine that builds by the square of their number, and reserves more scratch for 64 crystals than for 16."""
Range = tuple[int, int, int]
"""Least, usual and largest size."""
SLOTS_FACTOR = 4
"""How many times the recipe's neighbours an atom may have in a plan, where edges run from the centre and their ends pile up."""
USUAL_BONDS, MOST_BONDS = 48, 128
"""Neighbours of an atom where the recipe takes all within reach of a bond: what a plan is fastest at, and what it holds."""


def profile_of(max_atoms: int, max_batch: int, *, alone: bool = True, atoms_at_once: int = ATOMS_AT_ONCE) -> Profile:
    """Divide all sizes into buckets by atoms. A batch holds no more crystals than the pipeline puts together of such a size.

    Args:
        max_atoms: of the largest crystal.
        max_batch: crystals in a batch.
        alone: whether single crystals have buckets of their own. The k-points of a learned Hamiltonian are a batch already, and
            plans are as large, and take as long to build, as they have buckets.
        atoms_at_once: in a batch of the largest crystals of a bucket, unless that is one.
    """
    buckets: list[Bucket] = []
    if alone:
        buckets += [Bucket(smallest, largest, 1, 1) for smallest, largest in _ranges(ALONE_BUCKETS, max_atoms)]
    for smallest, largest in _ranges(ATOM_BUCKETS, max_atoms):
        most = max(1, min(max_batch, most_together(smallest), atoms_at_once // largest))
        if not alone:
            buckets.append(Bucket(smallest, largest, 1, most))
        elif most > 1:
            buckets.append(Bucket(smallest, largest, 2, most))
    return Profile(max_atoms=max_atoms, max_batch=max_batch, buckets=tuple(sorted(buckets, key=lambda one: one.min_atoms)))


def _ranges(edges: Sequence[int], max_atoms: int) -> list[tuple[int, int]]:
    """Ranges of atoms, ends included, up to the largest crystal."""
    ends = [0, *(edge for edge in edges if edge < max_atoms), max_atoms]
    return [(below + 1, largest) for below, largest in pairwise(ends)]


def slots_of(graph: GraphRecipe) -> tuple[int, int]:
    """How many neighbour slots a plan shall be fastest at, and how many it takes where their number is free."""
    if graph.rule == "nearest":
        return graph.n_neighbors, SLOTS_FACTOR * graph.n_neighbors
    return USUAL_BONDS, MOST_BONDS


def ranges_of(bucket: Bucket, slots: Range, n_mesh: int) -> dict[str, Range]:
    """Least, usual and largest size of each free dimension of the contract, by its symbol, in the profile of a bucket."""
    return {
        "B": (bucket.min_batch, bucket.max_batch, bucket.max_batch),
        "C": (0, bucket.max_batch, bucket.max_batch),
        "N": (bucket.min_atoms, bucket.max_atoms, bucket.max_atoms),
        "D": slots,
        "M": (1, n_mesh, n_mesh),
    }


def with_scratch(buckets: Sequence[Bucket], found: Sequence[int]) -> tuple[Bucket, ...]:
    """Buckets with the bytes that each computes in, where the builder has said it of every one, in their order."""
    if len(found) != len(buckets):
        return tuple(buckets)
    return tuple(dataclasses.replace(bucket, scratch_bytes=n) for bucket, n in zip(buckets, found, strict=True))
