"""Documents that are written without pymatgen are those that pymatgen writes, to the last digit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.document import document
from bandrt.features import featurize_many
from bandrt.outputs import band_structure as on_path_of
from bandrt.recipe import KpathRecipe, Recipe, Scheme
from tests.runtime.bands.test_band_structure import RULE, band_structure, parabolas, random_energies
from tests.support.predicted_crystals import with_more_bands

pytest.importorskip("pymatgen.core")


def is_pymatgens(bands: BandStructure) -> None:
    theirs = bands.to_pymatgen()
    expected = {**theirs.as_dict(), "structure": theirs.structure.as_dict()}
    assert json.dumps(document(bands)) == json.dumps(expected, default=int)


@given(random_energies())
@settings(max_examples=60, deadline=None)
def test_whatever_the_bands(energies: np.ndarray) -> None:
    is_pymatgens(band_structure(energies))


@pytest.mark.parametrize("conduction_at", [0, 20, 63])
def test_of_direct_and_indirect_gaps_at_named_and_other_kpoints(conduction_at: int) -> None:
    is_pymatgens(parabolas(1.0, valence_at=20, conduction_at=conduction_at))


def test_of_more_bands_than_six() -> None:
    is_pymatgens(with_more_bands(parabolas(1.0), below=2, above=3))


def test_where_one_name_stands_for_two_places() -> None:
    bands = band_structure(np.tile(np.arange(-3.0, 3.0)[:, None], 40).astype(np.float32), walk="ΓXMΓ")
    moved = bands.frac_kpoints.copy()
    moved[bands.label_indices[1]] += [3e-5, 8e-5, 0.0]  # near the label before, and near enough to neither to be one
    object.__setattr__(bands, "frac_kpoints", moved)
    is_pymatgens(bands)


@pytest.mark.parametrize("scheme", ["latimer_munro", "setyawan_curtarolo"])
def test_of_real_crystals(examples: Path, scheme: Scheme) -> None:
    recipe = Recipe(kpath=KpathRecipe(scheme=scheme))
    made = featurize_many(sorted(path for path in examples.iterdir() if path.suffix in {".cif", ".vasp"})[::4], recipe)
    for seed, features in enumerate(made):
        assert not isinstance(features, Exception)
        energies = np.sort(np.random.default_rng(seed).normal(0, 2, (6, 256)), axis=0)
        energies[3:] += 3.0 * (seed % 2) * np.arange(1, 4)[:, None]
        is_pymatgens(on_path_of(features, energies.astype(np.float32), RULE))
