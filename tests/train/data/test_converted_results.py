"""What `bandrt convert --to pymatgen` writes is band data like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bandrt.results.convert import convert
from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import DatasetRecipe
from tests.support.band_documents import read_documents
from tests.support.predicted_crystals import CUBIC, METAL, RECIPE, TRICLINIC, predicted, write_results

ROUNDING_EV = 1e-5
"""eV: of float32, twice."""


def test_predictions_come_back_as_documents_and_as_a_data_set(tmp_path: Path) -> None:
    pytest.importorskip("pymatgen.core")
    given = [predicted("a", CUBIC), predicted("b", METAL, gap=0.5, doped=0.4), predicted("c", TRICLINIC, gap=0.5)]
    file = tmp_path / "bands.jsonl.gz"
    convert(write_results(tmp_path / "out", [given[:1], given[1:]]), file, "pymatgen")
    for document, prediction in zip(read_documents(file), given, strict=True):
        bands = prediction.band_structure
        assert document.id == prediction.id
        assert (document.is_metal, document.band_gap) == (bands.is_metal, bands.band_gap)
        assert document.method == "bandrt 0.1.0, engine eeeeeeeeeeee"
        assert document.crystal is not None
        np.testing.assert_allclose(document.crystal.lattice, bands.crystal.lattice)
        np.testing.assert_array_equal(document.crystal.atomic_numbers, bands.crystal.atomic_numbers)
        np.testing.assert_allclose(document.reciprocal, bands.crystal.reciprocal)
    built = build_dataset([file], tmp_path / "dataset", DatasetRecipe(RECIPE))
    assert [entry.id for entry in built] == ["a", "b", "c"]
    for entry, prediction in zip(built, given, strict=True):
        bands = prediction.band_structure
        assert entry.targets.mask.all()
        assert entry.targets.is_metal == bands.is_metal
        np.testing.assert_array_equal(entry.features.kpath.frac_kpoints, bands.frac_kpoints)
        corners = bands.label_indices  # between them labels may be taken from an equivalent line with other k-points
        expected = bands.energies[:, corners] - bands.efermi
        np.testing.assert_allclose(entry.targets.energies[:, corners], expected, atol=ROUNDING_EV)
