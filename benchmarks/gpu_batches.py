"""Batches to check a GPU with: of distinct crystals, of random numbers, or from a folder that another machine prepared.

A stream is a list of batches of one shape whose crystals all differ; streams are called by the atoms of their crystals.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bandrt.batch import is_centred, pad
from bandrt.contract import TENSORS, known_sizes, uses_centres
from bandrt.crystal import Crystal
from bandrt.engine.session import Inputs
from bandrt.manifest import Manifest

if TYPE_CHECKING:  # what runs on streams of another machine needs no gemmi and no moyopy
    from bandrt.features import Features

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "crystals"
LABELS = ROOT / "train" / "labels"
ATOMS = (2, 8, 20, 64)
"""Sizes of crystals that streams are made of."""
SMALLEST = 0.75
"""A crystal stands in a stream if it has so many of its atoms at least; the rest is padding."""
STRAIN = 0.03
"""By how much lattices are stretched or pressed, so that there are enough distinct crystals."""
BETWEEN = {
    "atomic_numbers": (1, 84),
    "neighbor_distance": (2, 6),
    "neighbor_mask": (1, 2),
    "atom_mask": (1, 2),
    "kpoints": (-0.5, 0.5),
    "mesh_kpoints": (-0.5, 0.5),
    "neighbor_image": (-1, 2),
    "neighbor_direction": (-0.5, 0.5),
}
"""What random numbers lie between, whole ones rounded down; masks are true everywhere."""

Streams = dict[int, list[Inputs]]


class Wanted(NamedTuple):
    """A stream to make."""

    atoms: int
    batch_size: int
    n_batches: int


class Pool:
    """Real crystals, featurised once, by which streams are filled."""

    def __init__(self, crystals: Sequence[Crystal], manifest: Manifest) -> None:
        """Featurise crystals; needs gemmi and moyopy."""
        from bandrt.features import featurize

        self._manifest = manifest
        self._crystals: dict[int, list[Crystal]] = {}
        for crystal in crystals:
            atoms = len(featurize(crystal, manifest.recipe).atomic_numbers)
            self._crystals.setdefault(atoms, []).append(crystal)

    def stream(self, wanted: Wanted) -> list[Inputs]:
        """Batches of distinct crystals; none where there is no crystal of such a size.

        An engine that uses centres of inversion takes crystals with and without one apart, so each batch is of one kind.
        """
        from bandrt.features import featurize

        near = [one for atoms in range(int(SMALLEST * wanted.atoms), wanted.atoms + 1) for one in self._crystals.get(atoms, [])]
        total = wanted.batch_size * wanted.n_batches
        found: dict[bool, list[Features]] = {False: [], True: []}
        batches: list[Inputs] = []
        for crystal in distinct(near, total):
            features = featurize(crystal, self._manifest.recipe)
            if len(features.atomic_numbers) > wanted.atoms:
                continue  # strained across a tolerance of the symmetry
            kind = found[is_centred(features) and uses_centres(self._manifest)]
            kind.append(features)
            if len(kind) == wanted.batch_size:
                batches.append(pad(kind, n_atoms=wanted.atoms))
                kind.clear()
        return batches or [pad(kind, n_atoms=wanted.atoms) for kind in found.values() if kind]


def distinct(crystals: Sequence[Crystal], count: int) -> Iterator[Crystal]:
    """Crystals that all differ: first as they are, then each with lattices that were strained by ever other factors."""
    if not crystals:
        return
    n_rounds = -(-count // len(crystals))
    factors = np.r_[1.0, np.random.default_rng(0).uniform(1 - STRAIN, 1 + STRAIN, n_rounds)]
    for place in range(count):
        round_, which = divmod(place, len(crystals))
        crystal = crystals[which]
        yield crystal if round_ == 0 else dataclasses.replace(crystal, lattice=crystal.lattice * factors[round_])


def real_crystals(table: Path | None = None, *, labels: bool = True) -> list[Crystal]:
    """The example crystals and, unless they are not wanted, those of the labels in this checkout; or those of a table."""
    from bandrt.readers.documents import crystal_of_document
    from bandrt.sources import find

    if table is not None:
        return [crystal for source in find([table]) if (crystal := readable(source)) is not None]
    examples = [crystal for source in find([EXAMPLES]) if (crystal := readable(source)) is not None]
    labelled = []
    for shard in sorted(LABELS.glob("*.jsonl.gz")) if labels else ():
        with gzip.open(shard, "rt", encoding="utf-8") as lines:
            labelled += [crystal_of_document(json.loads(line), name=shard.name) for line in lines]
    return examples + labelled


def readable(source: object) -> Crystal | None:
    """The crystal of a source, None where it cannot be read."""
    from bandrt.errors import InputError

    try:
        return source.read()  # type: ignore[attr-defined,no-any-return]
    except InputError:
        return None


def random_stream(manifest: Manifest, wanted: Wanted, *, slots: int) -> list[Inputs]:
    """Batches of numbers that no crystal has, of the right shapes and types."""
    rng = np.random.default_rng(wanted.atoms)
    sizes = {"B": wanted.batch_size, "N": wanted.atoms, "D": slots, "M": 64, "C": 0} | known_sizes(manifest)
    return [{name: _random(name, sizes, rng) for name in manifest.inputs} for _ in range(wanted.n_batches)]


def _random(name: str, sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    tensor = TENSORS[name]
    axes = tensor.axes(sizes)
    if name == "mesh_weights":
        return np.full(axes, 1 / sizes["M"], tensor.dtype)
    low, high = (BETWEEN | {"neighbor_index": (0, sizes["N"])}).get(name, (0, 1))
    numbers = rng.uniform(low, high, axes)
    return (np.floor(numbers) if tensor.dtype != "float32" else numbers).astype(tensor.dtype)


def save(path: Path, streams: Streams) -> None:
    """Write streams for a machine that cannot make them."""
    named = {
        f"{atoms}/{place}/{name}": array
        for atoms, batches in streams.items()
        for place, batch in enumerate(batches)
        for name, array in batch.items()
    }
    np.savez_compressed(path, allow_pickle=False, **named)


def load(path: Path) -> Streams:
    """Read what `save` wrote."""
    streams: dict[int, dict[int, Inputs]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            atoms, place, name = key.split("/")
            streams.setdefault(int(atoms), {}).setdefault(int(place), {})[name] = arrays[key]
    return {atoms: [batches[place] for place in sorted(batches)] for atoms, batches in streams.items()}
