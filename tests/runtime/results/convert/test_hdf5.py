"""HDF5: the arrays are those of the parts, without a seam."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.results.convert import convert
from bandrt.results.prediction import Prediction

h5py = pytest.importorskip("h5py")


@pytest.fixture
def file(out: Path) -> Iterator[Any]:
    convert(out, out / "bands.h5", "hdf5")
    with h5py.File(out / "bands.h5") as opened:
        yield opened


def test_every_crystal_is_a_row(file: Any, predictions: list[Prediction]) -> None:
    atoms = list(pairwise(file["atom_offsets"][:]))
    assert len(atoms) == len(predictions)
    for row, prediction in enumerate(predictions):
        bands, crystal = prediction.band_structure, prediction.crystal
        assert file["id"].asstr()[row] == prediction.id
        for name in ("energies", "frac_kpoints", "kpoint_distance"):
            given = getattr(bands, name)
            np.testing.assert_array_equal(file[name][row], given)
            assert file[name].dtype == given.dtype
        n_vertices = len(bands.labels)
        assert tuple(file["labels"].asstr()[row, :n_vertices]) == bands.labels
        assert set(file["labels"].asstr()[row, n_vertices:]) <= {""}
        np.testing.assert_array_equal(file["label_indices"][row, :n_vertices], bands.label_indices)
        assert (file["label_indices"][row, n_vertices:] == -1).all()
        np.testing.assert_array_equal(file["lattice"][row], crystal.lattice)
        np.testing.assert_array_equal(file["atomic_numbers"][slice(*atoms[row])], crystal.atomic_numbers)
        np.testing.assert_array_equal(file["frac_coords"][slice(*atoms[row])], crystal.frac_coords)
        assert file["band_gap_ev"][row] == bands.band_gap
        assert file["is_direct"][row] == bands.is_direct
        assert file["uncertainty_ev"][row] == prediction.uncertainty_ev
    assert file["labels"].shape[1] == max(len(p.band_structure.labels) for p in predictions)
    assert len({len(p.band_structure.labels) for p in predictions}) > 1


def test_metals_have_no_edges_and_names_are_text(file: Any) -> None:
    assert file["is_metal"][:].tolist() == [False, True, False]
    assert np.isnan(file["vbm_ev"][:]).tolist() == np.isnan(file["cbm_ev"][:]).tolist() == [False, True, False]
    assert file["path"].asstr()[2] == "caf\\udce9.cif"
    assert file["warnings"].asstr()[:].tolist() == ["magnetic:Fe;spin-orbit:Pb", "", ""]
    assert file["formula"].asstr()[0] == "CsCl"
    assert file["n_atoms"][:].tolist() == [2, 2, 3]


def test_units_and_origin_are_in_the_file(file: Any) -> None:
    assert file["energies"].attrs["units"].startswith("eV")
    assert file["kpoint_distance"].attrs["units"].startswith("1/Å")
    assert file.attrs["engine_sha256"] == "e" * 64
    assert (file.attrs["n_valence"], file.attrs["metal_tolerance_ev"]) == (3, 0.1)
    assert json.loads(file.attrs["versions"]) == {"python": "3.11", "numpy": "2.0"}
    assert file.attrs["bandrt_version"] == "0.1.0"
    assert "inputs" not in file.attrs


def test_datasets_are_compressed_in_chunks_that_can_grow(file: Any) -> None:
    for dataset in file.values():
        assert dataset.compression == "gzip"
        assert dataset.maxshape[0] is None
    assert file["energies"].fletcher32


FULL_DISK = """
import resource, sys
from bandrt.cli import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))  # a file system answers alike when it is full
sys.exit(run(["convert", sys.argv[2], "--to", "hdf5"]))
"""


@pytest.mark.parametrize("size", [0, 1000, 20_000])
def test_a_full_disk_is_an_error_and_no_crash(out: Path, size: int) -> None:
    pytest.importorskip("resource")
    ended = subprocess.run([sys.executable, "-c", FULL_DISK, str(size), str(out)], capture_output=True, text=True, check=False)
    assert ended.stderr.startswith(f"error [output-unwritable]: {out / 'bands.h5'}: cannot be written (")
    assert ended.returncode == 1
    assert not [path.name for path in out.iterdir() if "h5" in path.name]
