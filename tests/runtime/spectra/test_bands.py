"""Bands on paths and k-points of the user's own, and the files that say which."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt.bands.branches import branches
from bandrt.bands.on_path import segments
from bandrt.bands.reference import compared, same_path
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, BandrtError, InputError, UsageError
from bandrt.kpaths.spelling import parse_path
from bandrt.spectra import kpoints
from bandrt.spectra.bands import SampledBands, bands_along, bands_at
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian
from bandrt.spectra.kpoints import read_kpoints
from bandrt.spectra.masses import band_edges, masses_document
from bandrt.spectra.tables import bands_table
from tests.support.pencil_hamiltonians import cubic_band, cubic_hamiltonian


def test_a_path_passes_its_labels_in_order(magnesia: CrystalHamiltonian) -> None:
    bands = bands_along(magnesia, "G-X-W-K-G|U-L")
    assert bands.labels == ("Γ", "X", "W", "K", "Γ", "U", "L")
    assert len(segments(bands)) == 5
    steps = np.linalg.norm(np.diff(bands.frac_kpoints, axis=0) @ magnesia.crystal.reciprocal, axis=1)
    jump = bands.label_indices[5] - 1
    assert np.delete(steps, jump).max() < 1 / 60 + 1e-9
    assert np.delete(np.diff(bands.kpoint_distance), jump) == pytest.approx(np.delete(steps, jump))
    assert bands.kpoint_distance[jump] == bands.kpoint_distance[jump + 1]


def test_segments_are_the_shortest_between_their_labels(magnesia: CrystalHamiltonian) -> None:
    """In units of 2 pi / a: from Γ to X 1, from X to W 1/2, from W to K sqrt(2)/4, from K to Γ 3 sqrt(2)/4."""
    bands = bands_along(magnesia, "GXWKG")
    lengths = np.diff(bands.kpoint_distance[bands.label_indices])
    a = (4.0 * magnesia.crystal.volume) ** (1 / 3)
    assert lengths / (2.0 * np.pi / a) == pytest.approx([1.0, 0.5, np.sqrt(2) / 4, 3 * np.sqrt(2) / 4], rel=1e-6)


def test_bands_at_labels_are_those_of_the_full_path(magnesia: CrystalHamiltonian) -> None:
    full, part = bands_along(magnesia), bands_along(magnesia, "X-W-L")
    for label, index in zip(part.labels, part.label_indices, strict=True):
        [*places] = [i for i, name in zip(full.label_indices, full.labels, strict=True) if name == label]
        assert part.energies[:, index] == pytest.approx(full.energies[:, places[0]], abs=1e-3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("G-X-W", [["Γ", "X", "W"]]),
        ("gxw|ul", [["Γ", "X", "W"], ["U", "L"]]),
        ("Γ X, U-L", [["Γ", "X"], ["U", "L"]]),
        ("Gamma-X", [["Γ", "X"]]),
    ],
)
def test_paths_are_written_in_several_ways(text: str, expected: list[list[str]], magnesia: CrystalHamiltonian) -> None:
    assert parse_path(text, magnesia.kpath.labels) == expected


@pytest.mark.parametrize(
    ("text", "code"), [("G-Z", "unknown-label"), ("G", "bad-path"), ("G-X|L", "bad-path"), ("XX", "bad-path"), ("", "bad-path")]
)
def test_what_is_no_path_is_refused(text: str, code: str, magnesia: CrystalHamiltonian) -> None:
    with pytest.raises(UsageError) as caught:
        bands_along(magnesia, text)
    assert caught.value.code == code
    assert code != "unknown-label" or "W" in caught.value.message


def test_any_k_points_give_all_bands() -> None:
    points = np.random.default_rng(2).random((7, 3))
    bands = bands_at(cubic_hamiltonian(), points)
    assert bands.energies[1] == pytest.approx(cubic_band(points), abs=1e-5)
    assert not bands.is_path
    assert bands.rule.n_valence == 1
    assert bands.summary()["n_kpoints"] == 7


def test_bands_nearer_than_the_engine_found_say_the_gap_of_the_crystal(accurate: bandrt.Engine, examples: Path) -> None:
    hamiltonian = accurate.hamiltonian(examples / "K2PdSe2_mp-1069706.cif")
    edges = band_edges(hamiltonian)
    nearer, along = bands_at(hamiltonian, [edge.kpoint for edge in edges]), bands_along(hamiltonian)
    assert nearer.of_crystal_ev == pytest.approx(nearer.band_gap) == pytest.approx(edges[1].energy - edges[0].energy, abs=1e-4)
    assert nearer.of_crystal_ev < along.of_crystal_ev == hamiltonian.band_gap
    assert along.of_crystal_ev <= along.band_gap
    document = masses_document(hamiltonian, edges)
    assert document["band_gap_ev"] < document["band_gap_of_kpath_ev"]


def test_some_bands_are_those_around_half_filling(magnesia: CrystalHamiltonian) -> None:
    every, six = bands_along(magnesia, "GX"), bands_along(magnesia, "GX", n_bands=6)
    assert six.first_band == magnesia.n_filled - 3
    assert (six.energies == every.energies[six.first_band : six.first_band + 6]).all()
    assert six.rule.n_valence == 3
    assert six.summary()["n_filled"] == magnesia.n_filled
    [two] = [bands_along(magnesia, "GX", n_bands=2)]
    assert two.band_gap == pytest.approx(every.band_gap)


def test_k_points_of_the_original_cell_are_told_back_in_it(accurate: bandrt.Engine) -> None:
    """In the cubic cell of MgO, X is at (1, 0, 0) or an image of it, and bands of the primitive cell are given there."""
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cubic = Crystal.checked(4.21 * np.eye(3), [12] * 4 + [8] * 4, np.concatenate([basis, basis + np.array([0.5, 0, 0])]))
    hamiltonian = accurate.hamiltonian(cubic)
    along = bands_along(hamiltonian, "G-X", original_cell=True)
    assert sorted(np.abs(along.shown_kpoints[-1]).round(6)) == [0, 0, 1]
    assert along.shown_crystal.lattice.tolist() == cubic.lattice.tolist()
    there = bands_at(hamiltonian, [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], original_cell=True)
    for column in there.energies.T:
        assert column == pytest.approx(along.energies[:, -1], abs=1e-3)
    assert there.shown_kpoints == pytest.approx(np.array([[1.0, 0, 0], [0, -1.0, 0]]), abs=1e-9)


@pytest.mark.parametrize("path", [None, "GXW|UL"])
@pytest.mark.parametrize("original_cell", [False, True])
def test_pymatgen_reads_paths(path: str | None, original_cell: bool, magnesia: CrystalHamiltonian) -> None:
    pytest.importorskip("pymatgen")
    from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine
    from pymatgen.electronic_structure.core import Spin

    bands = bands_along(magnesia, path, original_cell=original_cell)
    theirs = BandStructureSymmLine.from_dict(json.loads(json.dumps(bands.as_dict())))
    assert len(theirs.branches) == len(segments(bands))
    assert theirs.nb_bands == len(bands.energies)
    assert theirs.get_band_gap()["energy"] == pytest.approx(bands.band_gap, abs=1e-6)
    assert theirs.get_band_gap()["direct"] is True
    names = [branch["name"].replace("\\Gamma", "Γ") for branch in theirs.branches]
    if path:
        assert names == ["Γ-X", "X-W", "U-L"]
    assert theirs.distance[-1] == pytest.approx(bands.kpoint_distance[-1], rel=1e-6)
    assert theirs.bands[Spin.up].min() == pytest.approx(bands.energies.min())
    assert theirs.structure.composition.reduced_formula == "MgO"
    assert bands.to_pymatgen().nb_bands == theirs.nb_bands


def test_pymatgen_reads_other_k_points(alloy: CrystalHamiltonian) -> None:
    pytest.importorskip("pymatgen")
    from pymatgen.electronic_structure.bandstructure import BandStructure

    bands = bands_at(alloy, np.random.default_rng(0).random((30, 3)))
    theirs = BandStructure.from_dict(json.loads(json.dumps(bands.as_dict())))
    assert theirs.is_metal()
    assert [kpoint.frac_coords.tolist() for kpoint in theirs.kpoints] == bands.frac_kpoints.tolist()
    assert bands.summary()["crossing_bands"]
    assert type(bands.to_pymatgen()).__name__ == "BandStructure"


def test_a_table_has_a_row_for_each_k_point(magnesia: CrystalHamiltonian) -> None:
    bands = bands_along(magnesia, "GX", n_bands=4)
    header, *rows = [line.rstrip("\n").split(",") for line in bands_table(bands)]
    numbered = ["band_5_ev", "band_6_ev", "band_7_ev", "band_8_ev"]
    assert header == ["k1", "k2", "k3", "distance_per_angstrom", "label", *numbered]
    assert float(rows[-1][3]) == pytest.approx(bands.kpoint_distance[-1], abs=1e-6)
    assert len(rows) == bands.energies.shape[1]
    assert [rows[0][4], rows[-1][4]] == ["Γ", "X"]
    assert [float(cell) for cell in rows[3][5:]] == pytest.approx(bands.energies[:, 3], abs=1e-6)


def test_k_points_that_are_no_path_have_no_distance_on_one(magnesia: CrystalHamiltonian) -> None:
    header, *rows = csv.reader(bands_table(bands_at(magnesia, [[0.0, 0.0, 0.0], [0.5, 0.0, 0.5]])))
    for row in rows:
        told = dict(zip(header, row, strict=True))
        assert (told["distance_per_angstrom"], told["label"]) == ("", "")
        assert told["band_0_ev"]


def test_flat_levels_are_counted_among_the_bands(magnesia: CrystalHamiltonian) -> None:
    """Magnesium has three, 2p, which are the lowest bands."""
    assert bands_along(magnesia, "GX").n_flat_levels == 3
    for n_bands, lowest in ((14, 0), (12, 1), (10, 2), (8, 3)):
        some = bands_at(magnesia, [[0.1, 0.2, 0.3]], n_bands=n_bands)
        assert (some.first_band, some.n_flat_levels) == (lowest, 3 - lowest)
        assert some.summary()["n_flat_levels"] == 3 - lowest


def test_k_points_are_read_from_lines_and_from_json(tmp_path: Path) -> None:
    text, listed, named = tmp_path / "k.txt", tmp_path / "k.json", tmp_path / "n.json"
    text.write_text("# a mesh\n0 0 0  1.0\n\n1/3, 1/3,0, # K\n-0.5\t, 0 , 5e-1,2\n", encoding="utf-8")
    listed.write_text("[[0, 0, 0], [0.25, 0, 0]]", encoding="utf-8")
    named.write_text('{"kpoints": [[0, 0, 0.5]]}', encoding="utf-8")
    assert read_kpoints(text) == pytest.approx(np.array([[0, 0, 0], [1 / 3, 1 / 3, 0], [-0.5, 0, 0.5]]))
    assert read_kpoints(listed).tolist() == [[0, 0, 0], [0.25, 0, 0]]
    assert read_kpoints(named).tolist() == [[0, 0, 0.5]]
    named.write_text('{"generation_style": "Reciprocal", "kpoints": [[0, 0, 0.25]]}', encoding="utf-8")
    assert read_kpoints(named).tolist() == [[0, 0, 0.25]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("k.txt", "0 0\n"), ("k.txt", "0 0 x\n"), ("k.txt", "0 0 1/0\n"), ("k.txt", "# none\n"), ("k.txt", "0 0 nan\n"),
        ("k.txt", "0 0 1_0\n"), ("k.txt", "0,5 0 0\n"), ("k.txt", "0 0 0, 5\n"), ("k.txt", "0,,0 0\n"), ("k.txt", ",0 0 0\n"),
        ("k.txt", "1 0 0 0\n2 0.5 0 0\n3 0.5 0.5 0\n"), ("k.txt", "0 0 0 -1\n"),
        ("k.txt", "0 0 0 X\n"), ("k.txt", "0 0 0 1 1\n"), ("k.txt", "0 0 0 ! X\n"), ("k.json", "[[0, 0, 0, 1]]"),
        ("k.json", '{"generation_style": "Gamma", "kpoints": [[4, 4, 4]]}'),
        ("k.json", "{}"), ("k.json", "[1, 2]"), ("k.json", "["), ("k.json", "[]"),
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BandrtError) as caught:
        read_kpoints(tmp_path / name)
    assert caught.value.code == "bad-kpoints"
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0 0 0\n1 0.5 0 0\n2 0.5 0.5 0\n", "numbered in the first column"),
        ("0, 0, 0, 0\n\n1, 0.5, 0, 0 # X\n", "numbered in the first column"),
        ("0.0e+00 0 0 0\n1.0e+00 0.5 0 0\n", "numbered in the first column"),
        ("17 0 0 0\n18 0.5 0 0\n", "numbered in the first column"),
        ("0 0 0 1\n1 0 0 1\n", "may be, numbered"),
        ("1 0 0 0\n", "may be numbered"), ("0 0.5 0 0\n", "may be numbered"), ("0 0 0 0.5\n", "may be numbered"),
        ("0 0.5 0.5 1\n", "may be numbered"),
        ("1 0 0 1\n", "may be numbered"), ("3 0.5 0 0\n", "may be numbered"),
        ("4 4 4\n0 0 0\n", "begins with 4 4 4, as a file of a mesh does"), ("2 2 2\n", "mesh"), ("8 8 1\n0 0 0\n", "mesh"),
    ],
)  # fmt: skip
def test_numbers_that_may_be_something_else_than_k_points_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text(text, encoding="utf-8")
    with pytest.raises(BandrtError, match=words) as caught:
        read_kpoints(tmp_path / "k.txt")
    assert caught.value.code == "bad-kpoints"


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("0 0 0 1\n", [[0, 0, 0]]), ("0 0 0 48\n", [[0, 0, 0]]), ("0 0 0 0\n", [[0, 0, 0]]),
        ("1/3 0 0 1\n", [[1 / 3, 0, 0]]), ("0.5 0 0 0\n", [[0.5, 0, 0]]), ("-1 0 0 1\n", [[-1, 0, 0]]),
        ("0 0 0 1\n0 0.5 0 6\n1 0 0 1\n", [[0, 0, 0], [0, 0.5, 0], [1, 0, 0]]), ("0 0 0 1\n0 0 0 1\n", [[0, 0, 0], [0, 0, 0]]),
        ("0 0 0\n1 0 0\n2 0 0\n", [[0, 0, 0], [1, 0, 0], [2, 0, 0]]), ("1 1 1\n4 4 4\n", [[1, 1, 1], [4, 4, 4]]),
        ("2 2 0\n", [[2, 2, 0]]), ("1 0 0\n", [[1, 0, 0]]),
    ],
)  # fmt: skip
def test_what_can_only_be_k_points_is_read_with_and_without_weights(text: str, points: list[list[float]], tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text(text, encoding="utf-8")
    assert read_kpoints(tmp_path / "k.txt").tolist() == points


@pytest.mark.parametrize(("limit", "most"), [("MAX_KPOINTS_BYTES", 500), ("MAX_KPOINTS", 20)])
@pytest.mark.parametrize("ending", ["txt", "json"])
def test_a_file_of_too_many_is_refused(limit: str, most: int, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kpoints, limit, most)
    file = tmp_path / f"k.{ending}"
    file.write_text(json.dumps(100 * [[0, 0, 0]]) if ending == "json" else 100 * "0 0 0\n", encoding="utf-8")
    with pytest.raises(BandrtError, match="too much for k-points" if limit == "MAX_KPOINTS_BYTES" else "more than 20") as caught:
        read_kpoints(file)
    assert caught.value.code == "bad-kpoints"


def test_what_is_no_hamiltonian_is_refused() -> None:
    with pytest.raises(ArgumentError):
        bands_along("MgO")  # type: ignore[arg-type]


def test_it_says_what_it_is(magnesia: CrystalHamiltonian) -> None:
    assert repr(bands_along(magnesia, "GX")).startswith("SampledBands(MgO, 21 bands x ")


@pytest.mark.parametrize("name", ["CuAu_mp-522.vasp", "MgO_mp-1265.vasp"])
def test_the_same_bands_are_compared_with_themselves(name: str, accurate: bandrt.Engine, examples: Path) -> None:
    """Six bands of a metal are around the highest nonempty one, these are counted from half filling."""
    all_bands = bands_along(accurate.hamiltonian(examples / name))
    six = next(iter(accurate.predict([examples / name]))).band_structure
    assert compared(all_bands, same_path(six, all_bands), branches(all_bands)).error_ev < 1e-4
    assert compared(six, same_path(all_bands, six), branches(six)).error_ev < 1e-4
    assert (all_bands.n_nonempty > all_bands.rule.n_valence) == ("CuAu" in name)
    few = bands_along(accurate.hamiltonian(examples / name), n_bands=2)
    if "CuAu" in name:
        with pytest.raises(InputError, match="ask for more bands") as caught:
            compared(few, dataclasses.replace(same_path(six, few), energies=six.energies[3:], n_nonempty=0), branches(few))
        assert caught.value.code == "too-few-bands"


def overlapping(frac_kpoints: list[list[float]], *, at_ev: float, **changes: Any) -> SampledBands:
    """Two bands that overlap by 0.2 eV around an energy, at two k-points."""
    bands = bands_at(cubic_hamiltonian(), frac_kpoints, n_bands=2)
    energies = np.array([[at_ev - 1.0, at_ev + 0.1], [at_ev - 0.1, at_ev + 1.0]])
    return dataclasses.replace(bands, **{"energies": energies, "is_metal": True, "of_crystal_ev": 0.0} | changes)


def test_the_fermi_level_of_a_metal_at_these_k_points_alone_is_where_its_bands_overlap() -> None:
    pytest.importorskip("pymatgen")
    points = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
    for at_ev in (-1.5, 2.5):  # the zero, mid-gap of the k-path, lies in none of these bands
        bands = overlapping(points, at_ev=at_ev)
        assert at_ev - 0.1 < bands.efermi < at_ev + 0.1
        assert bands.to_pymatgen().is_metal()
        assert bands.crossing == (0, 1)
    across = overlapping(points, at_ev=0.05)
    assert across.efermi == 0.0
    apart = overlapping(points, at_ev=0.0, energies=np.array([[-2.0, -1.0], [1.0, 2.0]]))
    assert apart.efermi == 0.0, "a metal elsewhere"
    assert apart.crossing == ()


def test_a_half_full_band_of_one_level_is_below_its_fermi_level() -> None:
    pytest.importorskip("pymatgen")
    flat = overlapping([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], at_ev=0.0, energies=np.array([[0.0, 0.0], [5.0, 6.0]]))
    assert flat.is_metal
    assert flat.to_pymatgen().get_band_gap()["energy"] == pytest.approx(5.0)
