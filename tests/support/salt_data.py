"""Small data sets of rock salts whose bands are known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.features import featurize_crystal
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.data.dataset import Dataset, DatasetRecipe, Entry, Refusal, Split
from bandrt_train.data.gap_labels import METHOD, gap_targets
from bandrt_train.data.targets import MappingReport, Targets
from bandrt_train.data.writer import DatasetWriter

RECIPE = Recipe(kpath=KpathRecipe(n_kpoints=32))
LEVELS = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
FULL = MappingReport(1.0, (), 0.0, 0.0)


def salt(first: str, second: str, a: float = 4.0, *, cesium_chloride: bool = False) -> Crystal:
    """A compound of two elements in the rock-salt structure (Fm-3m), or in that of CsCl (Pm-3m)."""
    lattice = a * (np.eye(3) if cesium_chloride else np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]) / 2**0.5)
    return Crystal.checked(lattice, [SYMBOLS.index(first), SYMBOLS.index(second)], [[0, 0, 0], [0.5, 0.5, 0.5]])


def bands(width: float, shift: float = 0.0) -> NDArray[np.float64]:
    """Levels with a wave of an amplitude in eV along the path, (6, 32)."""
    wave = width * np.cos(np.linspace(0.0, 2.0 * np.pi, 32, endpoint=False))
    return LEVELS[:, None] + shift + wave


def band_entry(name: str, crystal: Crystal, energies: NDArray[np.float64], split: Split = "train", *, metal: bool = False) -> Entry:
    """A crystal all of whose bands are labelled."""
    gap = 0.0 if metal else float(energies[3].min() - energies[2].max())
    targets = Targets(energies.astype(np.float32), np.ones(energies.shape, dtype=bool), metal, gap, FULL)
    return _entry(name, crystal, targets, split, "DFT-PBE")


def gap_entry(name: str, crystal: Crystal, gap: float, split: Split = "train") -> Entry:
    """A crystal of which the gap alone is known."""
    return _entry(name, crystal, gap_targets(gap, 6, 32), split, METHOD)


def dataset(folder: Path, entries: list[Entry], refusals: tuple[Refusal, ...] = ()) -> Dataset:
    """Write a data set."""
    writer = DatasetWriter(folder, DatasetRecipe(RECIPE))
    for entry in entries:
        writer.add(entry)
    for refusal in refusals:
        writer.refuse(refusal)
    return writer.close()


def _entry(name: str, crystal: Crystal, targets: Targets, split: Split, method: str) -> Entry:
    features = featurize_crystal(crystal, RECIPE, name=name)
    return Entry(name, crystal.hill_formula, split, features, targets, method, name)
