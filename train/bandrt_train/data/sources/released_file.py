"""The data set file of the authors' released code: graphs and bands, without the crystals they were made from.

A file that ``torch.save`` wrote: a list of mappings with ``x`` (n_atoms,) rows of the species table, ``edge_index`` (2, n_edges),
messages running from the first row to the second, ``edge_len`` (n_edges,) Å, ``kpoints`` (1, K, 3), ``bands`` (1, n_bands, K) eV.
It is opened with torch's safe loader, which runs no pickled code, and read from disk as needed. It says neither lattice nor
positions nor names of k-points: such entries have NaN for them and space group 0, and train what needs none (not ``bloch``).
What else it leaves unsaid is `bandrt_train.model.released.config.Conventions`; what contradicts them is refused.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.computed.around_fermi import select_bands
from bandrt.computed.documents import BandDocument
from bandrt.crystal import Crystal
from bandrt.elements import MAX_ATOMIC_NUMBER
from bandrt.errors import InputError
from bandrt.features import Features
from bandrt.files import require_there
from bandrt.kpaths.path import KPath
from bandrt.recipe import Recipe
from bandrt_train.data.dataset import DatasetRecipe, Entry, Refusal
from bandrt_train.data.targets import MappingReport, Targets
from bandrt_train.model.released.config import Conventions, ReleasedConfig

SUFFIX = ".pt"
KEYS = ("x", "edge_index", "edge_len", "kpoints", "bands")
METHOD = "DFT, data set of the released Bandformer code"
LONGER = 1e-3
"""Å: how much longer than the cutoff an edge may be."""


class ReleasedItem(NamedTuple):
    """One graph with its bands, not yet checked."""

    name: str
    id: str
    arrays: dict[str, NDArray[Any]]
    """By `KEYS`; empty where they cannot be read."""
    problem: str = ""
    """Why they cannot."""

    def stamp(self) -> str:
        """Checksum of the arrays."""
        digest = hashlib.sha256()
        for key, array in self.arrays.items():
            digest.update(f"{key} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def open_released(file: Path) -> list[Any]:
    """Open a file without running pickled code and without reading its numbers yet.

    Raises:
        NotFoundError: ``file-not-found``.
        InputError: ``unsafe-pickle`` when it holds more than lists, mappings and tensors, ``not-a-released-data-set``.
    """
    import torch

    try:
        items = torch.load(str(require_there(file)), map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError("unsafe-pickle", f"{file}: torch's safe loader refuses it, and nothing else is used ({reason})") from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise InputError("not-a-released-data-set", f"{file}: torch cannot open it ({str(error).splitlines()[0]})") from error
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise InputError("not-a-released-data-set", f"{file}: holds {type(items).__name__}, a list of mappings is needed")
    return items


def released_featurization(file: Path, conventions: Conventions) -> Recipe:
    """The recipe of a file's graphs and k-points, of which there are as many as its first item has.

    Raises:
        InputError: see `open_released`.
    """
    first = next(find_released(file))
    n_kpoints = first.arrays["kpoints"].shape[-2] if not first.problem and first.arrays["kpoints"].ndim >= 2 else 128
    return conventions.recipe(ReleasedConfig(n_kpoints=n_kpoints, species_index=conventions.species_index))


def find_released(file: Path) -> Iterator[ReleasedItem]:
    """Yield the items of a file, in order.

    Raises:
        InputError: see `open_released`.
    """
    for number, item in enumerate(open_released(file), start=1):
        name, identifier = f"{file}:{number}", f"{file.name.removesuffix(SUFFIX)}-{number}"
        missing = next((key for key in KEYS if not hasattr(item.get(key), "numpy")), None)
        if missing is None:
            yield ReleasedItem(name, identifier, {key: item[key].numpy() for key in KEYS})
        else:
            yield ReleasedItem(name, identifier, {}, f"no tensor {missing!r}; needed: {', '.join(KEYS)}")


def make_released_entry(item: ReleasedItem, recipe: DatasetRecipe, conventions: Conventions) -> Entry | Refusal:
    """Turn one item into features and targets, or say why not."""
    try:
        features = _features(item, recipe, conventions)
        targets = _targets(item, recipe)
    except InputError as error:
        return Refusal(item.id, item.name, error.stage, error.code, error.message)
    formula = features.crystal.hill_formula
    return Entry(item.id, formula, recipe.splits.split(formula), features, targets, METHOD, item.stamp())


def _features(item: ReleasedItem, recipe: DatasetRecipe, conventions: Conventions) -> Features:
    if item.problem:
        raise InputError("malformed", f"{item.name}: {item.problem}")
    numbers = item.arrays["x"].reshape(-1).astype(np.int32) + (conventions.species_index == "atomic_number_minus_one")
    edges, lengths = item.arrays["edge_index"], item.arrays["edge_len"].reshape(-1).astype(np.float32)
    kpoints = item.arrays["kpoints"].astype(np.float64)
    wrong = next((z for z in numbers.tolist() if not 1 <= z <= MAX_ATOMIC_NUMBER), None)
    if wrong is not None:
        raise InputError("unknown-species", f"{item.name}: atomic number {wrong} is no element; is --species-index right?")
    if (
        edges.shape != (2, len(lengths))
        or not len(numbers)
        or (len(lengths) and not 0 <= edges.min() <= edges.max() < len(numbers))
    ):
        raise InputError("malformed", f"{item.name}: edges {edges.shape} do not join its {len(numbers)} atoms")
    graph = recipe.featurization.graph
    if not ((lengths > 0) & (lengths <= graph.cutoff + LONGER)).all():
        raise InputError("malformed", f"{item.name}: an edge is not between 0 and {graph.cutoff} Å long")
    if kpoints.shape != (1, recipe.featurization.kpath.n_kpoints, 3) or not np.isfinite(kpoints).all():
        raise InputError(
            "malformed", f"{item.name}: k-points {kpoints.shape}, needed (1, {recipe.featurization.kpath.n_kpoints}, 3)"
        )
    chosen = edges[1] if conventions.direction == "to_center" else edges[0]
    most = int(np.bincount(chosen, minlength=len(numbers)).max())
    if most > graph.n_neighbors:
        side = "hears" if conventions.direction == "to_center" else "speaks to"
        raise InputError(
            "edge-direction",
            f"{item.name}: an atom {side} {most} others, at most {graph.n_neighbors} are chosen; is --edges right?",
        )
    return _as_features(numbers, edges, lengths, kpoints[0], recipe)


def _as_features(
    numbers: NDArray[np.int32],
    edges: NDArray[np.integer],
    lengths: NDArray[np.float32],
    kpoints: NDArray[np.float64],
    recipe: DatasetRecipe,
) -> Features:
    n_atoms, kpath = len(numbers), recipe.featurization.kpath
    order = np.lexsort((lengths, edges[1]))
    source, target = edges[0][order], edges[1][order]
    counts = np.bincount(target, minlength=n_atoms)
    slot = np.arange(len(target)) - (counts.cumsum() - counts)[target]
    shape = (n_atoms, max(1, int(counts.max(initial=0))))
    index, distance, mask = np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    index[target, slot], distance[target, slot], mask[target, slot] = source, lengths[order], True
    unknown = np.full_like(kpoints, np.nan)
    return Features(
        crystal=Crystal.unchecked(np.full((3, 3), np.nan), numbers, np.full((n_atoms, 3), np.nan)),
        space_group=0,
        space_group_symbol="",
        atomic_numbers=numbers,
        neighbor_index=index,
        neighbor_distance=distance,
        neighbor_mask=mask,
        neighbor_image=np.zeros((*shape, 3), np.int32),
        atom_mask=np.ones(n_atoms, np.bool_),
        kpath=KPath(
            kpath.scheme, kpoints if kpath.frame == "fractional" else unknown, unknown[:, 0], (), np.zeros(0, dtype=np.int64)
        ),
        kpoints=kpoints.astype(np.float32),
    )


def _targets(item: ReleasedItem, recipe: DatasetRecipe) -> Targets:
    """The bands as they are, their zero moved to mid-gap for insulators; refused where zero is not their Fermi level."""
    bands, rule, n_kpoints = item.arrays["bands"].astype(np.float64), recipe.bands, recipe.featurization.kpath.n_kpoints
    if bands.shape != (1, rule.n_bands, n_kpoints) or not np.isfinite(bands).all():
        raise InputError("malformed", f"{item.name}: bands {bands.shape}, needed finite (1, {rule.n_bands}, {n_kpoints})")
    document = BandDocument(
        id=item.id, crystal=None, reciprocal=np.full((3, 3), np.nan), frac_kpoints=item.arrays["kpoints"][0], energies=bands,
        efermi=0.0, branches=np.zeros((0, 2), dtype=np.intp), labels=(None,) * n_kpoints,
    )  # fmt: skip
    selected = select_bands(document, rule)
    report = MappingReport(mapped_fraction=1.0, unmapped=(), max_distance=0.0, symmetry_spread_ev=0.0)
    energies = selected.energies.astype(np.float32)
    return Targets(energies, np.ones(energies.shape, np.bool_), selected.is_metal, selected.band_gap, report)
