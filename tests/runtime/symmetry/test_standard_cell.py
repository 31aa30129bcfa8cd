"""One crystal, one standard cell: whatever cell, order, origin or orientation it came in."""

from __future__ import annotations

import gzip
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from moyopy import operations_from_number
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import to_crystal
from bandrt.recipe import SymmetryRecipe
from bandrt.sources.tables import csv_records
from bandrt.symmetry.prototypes import prototype_of
from bandrt.symmetry.standard_cell import StandardCell, standardize
from tests.support.other_cells import CHANGES, changed_at_once, random_crystal, rotated

LATTICE_TOLERANCE = 1e-5
"""Å: rounding of skewed supercells, amplified by the finder's reductions, stays a thousand times below."""
INTENSITY_TOLERANCE = 1e-5
"""Of a structure factor per electron: the same, at reciprocal vectors of up to six cells."""
PYMATGEN_TOLERANCE = 2e-3
"""Å: spglib and moyo idealise a lattice that is off by up to the tolerance of 0.01 Å each in their own way."""

LAUE_ORDERS = (
    (range(1, 3), 2), (range(3, 16), 4), (range(16, 75), 8), (range(75, 89), 8), (range(89, 143), 16), (range(143, 149), 6),
    (range(149, 168), 12), (range(168, 177), 12), (range(177, 195), 24), (range(195, 207), 24), (range(207, 231), 48),
)  # fmt: skip
CHIRAL = [
    *(1, 3, 4, 5), *range(16, 25), *range(75, 81), *range(89, 99), *range(143, 147), *range(149, 156), *range(168, 174),
    *range(177, 183), *range(195, 200), *range(207, 215),
]  # fmt: skip
BRAVAIS = ("aP", "mP", "mC", "oP", "oC", "oI", "oF", "tP", "tI", "hP", "hR", "cP", "cI", "cF")


def structure_factors(crystal: Crystal, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """|F| per electron at reciprocal vectors (n, 3) in fractional coordinates."""
    waves = np.exp(2j * np.pi * crystal.frac_coords @ vectors.T)
    return np.asarray(abs(crystal.atomic_numbers @ waves) / crystal.atomic_numbers.sum())


VECTORS = np.indices((9, 9, 5)).reshape(3, -1).T - np.array([4, 4, 0.0])


def difference(one: StandardCell, other: StandardCell) -> str | None:
    """What tells two standard cells apart that should describe the same crystal the same way, or None."""
    if one.space_group != other.space_group:
        return f"space groups {one.space_group}, {other.space_group}"
    shift = abs(one.crystal.lattice - other.crystal.lattice).max()
    if shift > LATTICE_TOLERANCE:
        return f"lattices {shift:.2g} Å apart"
    if not np.array_equal(one.rotations, other.rotations):
        return "Laue groups"
    if sorted(np.bincount(one.orbits)) != sorted(np.bincount(other.orbits)):
        return "orbits"
    change = abs(structure_factors(one.crystal, VECTORS) - structure_factors(other.crystal, VECTORS)).max()
    return f"orientations: structure factors {change:.2g} apart" if change > INTENSITY_TOLERANCE else None


def displacements(crystal: Crystal, cutoff: float) -> NDArray[np.float64]:
    """Vectors from every atom to every image of every atom that may lie within a cutoff, (n_atoms, n_atoms, n_images, 3), Å."""
    heights = 2 * np.pi / np.linalg.norm(crystal.reciprocal, axis=1)
    reach = np.ceil(cutoff / heights).astype(int) + 1
    images = np.indices(2 * reach + 1).reshape(3, -1).T - reach
    coords = crystal.frac_coords % 1.0
    return np.asarray((coords[None, :, None] + images - coords[:, None, None]) @ crystal.lattice)


def pair_distances(crystal: Crystal, cutoff: float) -> dict[tuple[int, int], NDArray[np.float64]]:
    """Sorted distances below a cutoff, Å, from each element to each other, all cells counted."""
    distance = np.linalg.norm(displacements(crystal, cutoff), axis=-1)
    found = {}
    for p in np.unique(crystal.atomic_numbers):
        for q in np.unique(crystal.atomic_numbers):
            some = distance[crystal.atomic_numbers == p][:, crystal.atomic_numbers == q].ravel()
            found[int(p), int(q)] = np.sort(some[some < cutoff])
    return found


def handedness(crystal: Crystal) -> float:
    """A pseudoscalar: it changes sign in a mirror, and nothing else changes it (per atom)."""
    delta = displacements(crystal, 4.0)
    squared = (delta**2).sum(axis=-1)
    weight = crystal.atomic_numbers[None, :, None]
    moments = [np.einsum("ijk,ijkx->ix", weight * np.exp(-squared / width**2), delta) for width in (0.8, 1.1, 1.5)]
    return float(np.mean(np.linalg.det(np.stack(moments, axis=1)) * crystal.atomic_numbers))


@pytest.fixture(scope="module")
def real_crystals(examples: Path) -> dict[str, Crystal]:
    """The example crystals: all fourteen Bravais lattices."""
    files = sorted(p for p in examples.iterdir() if p.suffix in (".cif", ".vasp") or p.name.startswith("POSCAR"))
    return {p.name: to_crystal(p) for p in files}


@pytest.fixture(scope="module")
def many_crystals(shared: Path) -> list[tuple[str, Crystal]]:
    """Two hundred and fifty real crystals, evenly from the whole table."""
    with gzip.open(shared / "data" / "structures.csv.gz", "rt", encoding="utf-8", newline="") as table:
        rows = list(csv_records(table)[1])
    return [(row["material_id"], to_crystal(row["cif"])) for row in rows[:: len(rows) // 250]]


def test_the_examples_cover_all_bravais_lattices(real_crystals: dict[str, Crystal]) -> None:
    assert {standardize(c).bravais for c in real_crystals.values()} == set(BRAVAIS)


@pytest.mark.parametrize("change", CHANGES)
def test_a_real_crystal_has_one_standard_cell(change: str, real_crystals: dict[str, Crystal]) -> None:
    rng = np.random.default_rng(1)
    told_apart = {
        name: difference(standardize(crystal), standardize(CHANGES[change](crystal, rng)))
        for name, crystal in real_crystals.items()
    }
    assert {name: what for name, what in told_apart.items() if what} == {}


def test_many_real_crystals_have_one_standard_cell_each(many_crystals: list[tuple[str, Crystal]]) -> None:
    rng = np.random.default_rng(2)
    told_apart = {n: difference(standardize(c), standardize(changed_at_once(c, rng))) for n, c in many_crystals}
    assert {name: what for name, what in told_apart.items() if what} == {}


@pytest.mark.parametrize("equal_lengths", [False, True], ids=["general lattice", "lattice with more symmetry than the crystal"])
def test_in_every_space_group_a_crystal_has_one_standard_cell(equal_lengths: bool) -> None:
    rng = np.random.default_rng(3)
    told_apart = {}
    for number in range(1, 231):
        crystal = random_crystal(number, rng, equal_lengths=equal_lengths)
        cell = standardize(crystal)
        assert cell.space_group == number
        told_apart[number] = difference(cell, standardize(changed_at_once(crystal, rng)))
    assert {number: what for number, what in told_apart.items() if what} == {}


def test_a_standard_cell_is_its_own_standard_cell(real_crystals: dict[str, Crystal]) -> None:
    for name, crystal in real_crystals.items():
        cell = standardize(crystal)
        assert difference(cell, standardize(cell.crystal)) is None, name


@pytest.mark.parametrize("excess", [0.0, 1e-9, 1e-6, 3e-5])
def test_nearly_equal_lengths_do_not_make_the_orientation_a_matter_of_rounding(excess: float) -> None:
    rng = np.random.default_rng(4)
    for number in (1, 2, 5, 12, 14, 19, 25, 38, 43, 63, 72):
        crystal = random_crystal(number, rng, equal_lengths=True)
        stretched = Crystal(crystal.lattice * (1 + excess * np.eye(3)[1]), crystal.atomic_numbers, crystal.frac_coords)
        cell = standardize(stretched)
        for _ in range(5):
            assert difference(cell, standardize(changed_at_once(stretched, rng))) is None, number


def test_rounding_in_files_does_not_turn_a_crystal(many_crystals: list[tuple[str, Crystal]]) -> None:
    rng = np.random.default_rng(5)
    for name, crystal in many_crystals[::4]:
        turned = rotated(crystal, rng)
        rounded = Crystal(turned.lattice.round(7), turned.atomic_numbers, turned.frac_coords.round(7))
        one, other = standardize(crystal), standardize(rounded)
        change = abs(structure_factors(one.crystal, VECTORS) - structure_factors(other.crystal, VECTORS)).max()
        assert change < 1e-4, name


def test_the_standard_cell_is_the_same_crystal(real_crystals: dict[str, Crystal]) -> None:
    for name, crystal in real_crystals.items():
        cell = standardize(crystal)
        cutoff = 1.5 * (crystal.volume / crystal.n_atoms) ** (1 / 3) + 1.0
        given, standard = pair_distances(crystal, cutoff), pair_distances(cell.crystal, cutoff)
        copies = crystal.n_atoms / cell.crystal.n_atoms
        assert copies == pytest.approx(crystal.volume / cell.crystal.volume, rel=1e-3), name
        for pair, distances in standard.items():
            inside = distances[distances < cutoff - 0.02]
            np.testing.assert_allclose(given[pair][: round(len(inside) * copies)], np.repeat(inside, round(copies)), atol=0.02)


def test_a_chiral_crystal_keeps_its_hand_in_cells_of_either_hand() -> None:
    rng = np.random.default_rng(6)
    several = [number for number in CHIRAL for _ in range(5 if number < 75 else 1)]  # where lengths order the axes, in other orders
    for turn, number in enumerate(several):
        crystal = random_crystal(number, rng)
        left_handed = turn % 2 == 1
        if left_handed:
            crystal = Crystal(crystal.lattice[[1, 0, 2]], crystal.atomic_numbers, crystal.frac_coords[:, [1, 0, 2]])
        cell = standardize(crystal)
        assert np.linalg.det(cell.crystal.lattice) > 0
        assert handedness(cell.crystal) == pytest.approx(handedness(crystal), rel=0.01), number
        assert np.sign(np.linalg.det(cell.basis_change)) == (-1 if left_handed else 1)


def test_k_points_are_carried_over_by_the_basis_change(real_crystals: dict[str, Crystal]) -> None:
    rng = np.random.default_rng(7)
    for name, crystal in real_crystals.items():
        given = changed_at_once(crystal, rng)
        cell = standardize(given)
        k = VECTORS @ cell.basis_change.T
        length, standard_length = (np.linalg.norm(f @ c.reciprocal, axis=1) for f, c in ((VECTORS, given), (k, cell.crystal)))
        np.testing.assert_allclose(standard_length, length, rtol=2e-3, err_msg=name)
        # a reciprocal vector of the given cell that is none of the standard cell is forbidden, the others have the same |F|
        whole = (abs(k - np.rint(k)) < 1e-6).all(axis=1)
        expected = np.where(whole, structure_factors(cell.crystal, k), 0.0)
        np.testing.assert_allclose(structure_factors(given, VECTORS), expected, atol=0.02, err_msg=name)


def test_the_rotations_are_the_laue_group_of_the_crystal() -> None:
    rng = np.random.default_rng(8)
    for number in range(1, 231):
        cell = standardize(random_crystal(number, rng))
        group = {tuple(r.ravel()) for r in cell.rotations}
        assert len(group) == len(cell.rotations) == next(order for numbers, order in LAUE_ORDERS if number in numbers)
        assert tuple(np.eye(3, dtype=int).ravel()) in group
        assert tuple(-np.eye(3, dtype=int).ravel()) in group
        products = np.einsum("aij,bjk->abik", cell.rotations, cell.rotations).reshape(-1, 9)
        assert {tuple(p) for p in products} == group
        assert [tuple(r.ravel()) for r in cell.rotations] == sorted(group)
        metric = cell.crystal.reciprocal @ cell.crystal.reciprocal.T
        np.testing.assert_allclose(
            cell.rotations.transpose(0, 2, 1) @ metric @ cell.rotations, metric[None].repeat(len(group), 0), atol=1e-8
        )
        few = VECTORS[::7]
        for rotation in cell.rotations:
            np.testing.assert_allclose(
                structure_factors(cell.crystal, few @ rotation.T), structure_factors(cell.crystal, few), atol=1e-6
            )


def test_orbits_are_the_equivalent_atoms(real_crystals: dict[str, Crystal]) -> None:
    assert standardize(real_crystals["MgO_mp-1265.vasp"]).orbits.tolist() == [0, 1]
    rng = np.random.default_rng(9)
    for number in (2, 14, 62, 88, 148, 167, 205, 227):  # general positions: one orbit per element, as large as the point group
        cell = standardize(changed_at_once(random_crystal(number, rng), rng))
        elements = np.unique(cell.crystal.atomic_numbers)
        assert cell.orbits.tolist() == np.searchsorted(elements, cell.crystal.atomic_numbers).tolist()
        assert np.bincount(cell.orbits).tolist() == [len(cell.rotations)] * len(elements)


def test_the_conventional_lattice_holds_the_primitive_one(real_crystals: dict[str, Crystal]) -> None:
    lattice_points = {"P": 1, "C": 2, "I": 2, "F": 4, "R": 3}
    for name, crystal in real_crystals.items():
        cell = standardize(crystal)
        multiples = cell.conventional @ np.linalg.inv(cell.crystal.lattice)
        np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-9, err_msg=name)
        assert np.linalg.det(multiples) == pytest.approx(lattice_points[cell.bravais[1]])


def pymatgen_disagrees(crystal: Crystal, *, conventional_too: bool = False) -> str | None:
    """How pymatgen's primitive standard lattice differs, or None; crystals where it is not well defined count as agreeing.

    Left out: triclinic cells (LLL reduction depends on the cell given), crystals near another symmetry (spglib and moyo find
    different groups), and monoclinic right angles and tetragonal a = c (pymatgen sorts these axes by rounding).
    """
    from pymatgen.core import Lattice, Structure
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    cell = standardize(crystal)
    lengths = np.linalg.norm(cell.conventional, axis=1)
    right_angle = cell.bravais[0] == "m" and abs(cell.conventional[2, 1]) < 1e-3
    ambiguous = cell.bravais == "aP" or right_angle or (cell.bravais[0] == "t" and abs(lengths[0] - lengths[2]) < 1e-3)
    structure = Structure(Lattice(crystal.lattice), crystal.atomic_numbers, crystal.frac_coords)
    analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
    if ambiguous or analyzer.get_space_group_number() != cell.space_group:
        return None
    expected = analyzer.get_primitive_standard_structure(international_monoclinic=False).lattice.matrix
    if analyzer.get_space_group_symbol() != cell.space_group_symbol:
        return f"symbols {analyzer.get_space_group_symbol()}, {cell.space_group_symbol}"
    off = abs(expected - cell.crystal.lattice).max()
    if conventional_too and cell.bravais != "hR":  # pymatgen turns the rhombohedral cell, not its hexagonal axes
        conventional = analyzer.get_conventional_standard_structure(international_monoclinic=False).lattice.matrix
        off = max(off, abs(conventional - cell.conventional).max())
    return f"{cell.bravais} {cell.space_group}: {off:.2g} Å" if off > PYMATGEN_TOLERANCE else None


def test_the_lattice_is_the_primitive_standard_lattice_of_pymatgen(
    many_crystals: list[tuple[str, Crystal]], real_crystals: dict[str, Crystal]
) -> None:
    pytest.importorskip("pymatgen")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: pymatgen_disagrees(crystal) for name, crystal in [*many_crystals, *real_crystals.items()]}
    assert {name: what for name, what in found.items() if what} == {}


def test_both_lattices_are_those_of_pymatgen_up_to_the_first_cubic_space_groups() -> None:
    pytest.importorskip("pymatgen")
    rng = np.random.default_rng(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {number: pymatgen_disagrees(random_crystal(number, rng), conventional_too=True) for number in range(3, 200)}
    assert {number: what for number, what in found.items() if what} == {}


def test_triclinic_vectors_are_the_shortest_and_reciprocal_angles_all_acute_or_none() -> None:
    rng = np.random.default_rng(11)
    for _ in range(50):
        lattice = standardize(random_crystal(2, rng)).crystal.lattice
        edges = np.linalg.norm(lattice, axis=1)
        assert edges[0] <= edges[1] <= edges[2]
        combinations = np.indices((5, 5, 5)).reshape(3, -1).T - 2
        lengths = np.linalg.norm(combinations @ lattice, axis=1)
        assert edges[1] == pytest.approx(lengths[combinations[:, 1:].any(axis=1)].min())
        assert edges[2] == pytest.approx(lengths[combinations[:, 2] != 0].min())
        reciprocal = np.linalg.inv(lattice).T
        products = [reciprocal[i] @ reciprocal[j] for i, j in ((0, 1), (0, 2), (1, 2))]
        assert all(p > 0 for p in products) or all(p <= 0 for p in products)


def without_prototypes(crystals: list[Crystal]) -> list[StandardCell]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bandrt.symmetry.standard_cell.prototype_of", lambda crystal: None)
        return [standardize(crystal) for crystal in crystals]


def test_a_crystal_of_a_prototype_has_the_cell_that_is_found_for_it_alone(many_crystals: list[tuple[str, Crystal]]) -> None:
    crystals = [crystal for _, crystal in many_crystals if prototype_of(crystal)]
    assert len(crystals) > 20
    for crystal, alone in zip(crystals, without_prototypes(crystals), strict=True):
        cell = standardize(crystal)
        assert difference(cell, alone) is None
        np.testing.assert_allclose(cell.crystal.lattice, alone.crystal.lattice, rtol=1e-12)
        np.testing.assert_allclose(cell.conventional, alone.conventional, rtol=1e-12)
        np.testing.assert_array_equal(cell.crystal.atomic_numbers, alone.crystal.atomic_numbers)
        assert (cell.space_group_symbol, cell.bravais) == (alone.space_group_symbol, alone.bravais)
        k = VECTORS @ cell.basis_change.T
        whole = (abs(k - np.rint(k)) < 1e-6).all(axis=1)
        expected = np.where(whole, structure_factors(cell.crystal, k), 0.0)
        np.testing.assert_allclose(structure_factors(crystal, VECTORS), expected, atol=1e-9)


def test_atoms_on_a_cubic_lattice_with_less_symmetry_have_the_cell_that_is_found_for_them() -> None:
    layers = Crystal(3.9 * np.eye(3), np.array([29, 79], dtype=np.int32), np.array([[0, 0, 0], [0.5, 0.5, 0]]))
    operations = operations_from_number(200)
    rotations, translations = np.array(operations.rotations), np.array(operations.translations)
    sites = [(rotations @ site + translations) % 1.0 for site in ([0, 0, 0], [0, 0.125, 0.375], [0, 0.5, 0.125])]
    coords = [np.unique(images, axis=0) for images in sites]
    crystals = [layers]
    for elements in ((8, 26, 53), (53, 26, 8)):
        numbers = np.repeat(elements, [len(images) for images in coords]).astype(np.int32)
        crystals.append(Crystal(9.0 * np.eye(3), numbers, np.concatenate(coords)))
    for crystal, alone, space_group in zip(crystals, without_prototypes(crystals), (123, 200, 200), strict=True):
        assert prototype_of(crystal)
        cell = standardize(crystal)
        assert cell.space_group == space_group
        assert difference(cell, alone) is None


@pytest.mark.parametrize("symprec", [1e-5, 0.1])
def test_at_extreme_tolerances_every_crystal_is_searched(
    symprec: float, real_crystals: dict[str, Crystal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bandrt.symmetry.standard_cell.prototype_of", lambda crystal: pytest.fail("a prototype stood for the crystal")
    )
    assert standardize(real_crystals["MgO_mp-1265.vasp"], SymmetryRecipe(symprec=symprec)).space_group == 225


def test_crystals_of_one_prototype_share_nothing_that_can_be_changed(real_crystals: dict[str, Crystal]) -> None:
    magnesia = real_crystals["MgO_mp-1265.vasp"]
    one, other = standardize(magnesia), standardize(magnesia)
    for array in (*vars(one.crystal).values(), one.orbits, one.basis_change, one.conventional):
        array += 1
    assert difference(other, standardize(magnesia)) is None
    assert other.orbits.tolist() == [0, 1]


def test_a_supercell_says_nothing_to_the_user(
    real_crystals: dict[str, Crystal], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        standardize(CHANGES["repeated"](real_crystals["SnSe_mp-691.vasp"], np.random.default_rng(0)))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_atoms_on_top_of_each_other_are_refused_with_a_reason() -> None:
    twice = Crystal(np.eye(3) * 3.0, np.array([14, 14], dtype=np.int32), np.array([[0, 0, 0], [0, 0, 0.002]]))
    with pytest.raises(InputError, match=r"twice\.cif: no space group found") as caught:
        standardize(twice, name="twice.cif")
    assert (caught.value.code, caught.value.stage) == ("symmetry-failed", "symmetry")
