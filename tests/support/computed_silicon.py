"""Silicon with made-up bands: computed on three lines, and predicted on the path of an engine."""

from __future__ import annotations

import numpy as np

from bandrt.bands.band_structure import BandStructure
from bandrt.computed.documents import BandDocument
from bandrt.crystal import Crystal
from bandrt.features import featurize_crystal
from bandrt.manifest import BandRule
from bandrt.recipe import KpathRecipe, Recipe
from tests.support.small_vasprun import DIVISIONS, LATTICE, POSITIONS, bands, line_kpoints

SILICON = Crystal.checked(LATTICE, [14, 14], POSITIONS)
MIDDLE = 5.5
"""eV, of the gap of `bands`."""
LINEAR_EV = 0.02
"""What linear interpolation between nine points of a line may be off."""


def computed(crystal: Crystal = SILICON, *, order: tuple[int, ...] = (0, 1, 2), n_lines: int = 3, first: int = 0) -> BandDocument:
    """Bands on Γ-X, X-W and Γ-L, told in a cell whose vectors are in this order."""
    kpoints = line_kpoints()[first * DIVISIONS : n_lines * DIVISIONS]
    starts = np.arange(0, len(kpoints), DIVISIONS)
    labels: list[str | None] = [None] * len(kpoints)
    for line, ends in enumerate((("\\Gamma", "X"), ("X", "W"), ("\\Gamma", "L"))[first:n_lines]):
        labels[line * DIVISIONS], labels[(line + 1) * DIVISIONS - 1] = ends
    turned = Crystal.checked(crystal.lattice[list(order)], crystal.atomic_numbers.tolist(), crystal.frac_coords[:, list(order)])
    return BandDocument(
        id="computed", crystal=turned, reciprocal=turned.reciprocal, frac_kpoints=kpoints[:, list(order)],
        energies=bands(kpoints)[None], efermi=5.2, branches=np.stack([starts, starts + DIVISIONS - 1], axis=1),
        labels=tuple(labels), is_metal=False,
    )  # fmt: skip


def predicted(*, error: float = 0.0, crystal: Crystal = SILICON) -> BandStructure:
    """The same bands on the path of an engine, all of them too high by some error."""
    features = featurize_crystal(crystal, Recipe(kpath=KpathRecipe(scheme="setyawan_curtarolo")))
    path = features.kpath
    energies = bands(path.frac_kpoints)[1:7] - MIDDLE + error
    return BandStructure(
        energies, path.frac_kpoints, path.kpoint_distance, path.labels, path.label_indices, features.crystal, features.space_group,
        features.space_group_symbol, path.scheme, BandRule(),
    )  # fmt: skip
