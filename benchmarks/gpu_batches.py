"""Batches to check a GPU with: of the example crystals, of random numbers, or from a file that another machine wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bandrt.batch import MAX_PADDED_ATOMS, pad
from bandrt.contract import GRAPH_INPUTS, TENSORS
from bandrt.engine.session import Inputs
from bandrt.manifest import Manifest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "crystals"
ATOMS = (4, 12, 30)
"""Sizes of crystals that batches are made of."""
BETWEEN = {
    "atomic_numbers": (1, 84),
    "neighbor_distance": (2, 6),
    "neighbor_mask": (1, 2),
    "atom_mask": (1, 2),
    "kpoints": (-0.5, 0.5),
    "neighbor_image": (-1, 2),
}
"""What random numbers lie between, whole ones rounded down; masks are true everywhere."""
MOST_DIFFERENT = 8
"""Different crystals in a batch; larger batches repeat them."""


def batches_of_examples(manifest: Manifest, sizes: tuple[int, ...]) -> dict[str, Inputs]:
    """Batches of real crystals, by name; needs gemmi and moyopy."""
    from bandrt.features import featurize

    features = [featurize(path, manifest.recipe) for path in sorted(EXAMPLES.glob("*.cif"))]
    made = {}
    for atoms, size in wanted(sizes):
        near = sorted(features, key=lambda one: abs(one.crystal.n_atoms - atoms))[:MOST_DIFFERENT]
        made[f"{size}x{atoms}"] = pad([near[index % len(near)] for index in range(size)])
    return made


def random_batches(manifest: Manifest, sizes: tuple[int, ...]) -> dict[str, Inputs]:
    """Batches of numbers that no crystal has, of the right shapes and types."""
    rng, slots, made = np.random.default_rng(0), manifest.recipe.graph.n_neighbors, {}
    for atoms, size in wanted(sizes):
        lengths = {"B": size, "N": atoms, "D": slots, "K": manifest.recipe.kpath.n_kpoints}
        between = BETWEEN | {"neighbor_index": (0, atoms)}
        inputs = [TENSORS[name] for name in GRAPH_INPUTS]
        values = {one.name: rng.uniform(*between[one.name], one.axes(lengths)) for one in inputs}
        made[f"{size}x{atoms}"] = {
            one.name: (np.floor(values[one.name]) if one.dtype == "int32" else values[one.name]).astype(one.dtype) for one in inputs
        }
    return made


def wanted(sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Atoms and crystals of the batches that a pipeline would make."""
    yield from ((atoms, size) for atoms in ATOMS for size in sizes if atoms * size <= MAX_PADDED_ATOMS)


def save(path: Path, batches: dict[str, Inputs]) -> None:
    """Write batches for a machine that cannot make them."""
    named = {f"{batch}/{name}": array for batch, arrays in batches.items() for name, array in arrays.items()}
    np.savez_compressed(path, allow_pickle=False, **named)


def load(path: Path) -> dict[str, Inputs]:
    """Read what `save` wrote."""
    batches: dict[str, Inputs] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            batch, _, name = key.partition("/")
            batches.setdefault(batch, {})[name] = arrays[key]
    return batches
