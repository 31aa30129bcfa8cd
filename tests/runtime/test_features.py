"""Features: one crystal, one input, whatever cell and orientation it came in."""

from __future__ import annotations

import csv
import gzip
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.features import CHUNK, Features, featurize, featurize_cells, featurize_crystal, featurize_many
from bandrt.readers import read_cif
from bandrt.recipe import GraphRecipe, KpathRecipe, MeshRecipe, Recipe, SymmetryRecipe
from bandrt.symmetry.standard_cell import standardize

COORDINATE_TOLERANCE = 2e-4
"""k-points, fractional: files give 6 to 8 digits and symmetrising moves atoms within symprec."""
DISTANCE_TOLERANCE = 1e-4
"""Å, for the same reason."""

SILICON = Crystal.checked(5.43 * (np.ones((3, 3)) - np.eye(3)) / 2, [14, 14], [[0, 0, 0], [0.25, 0.25, 0.25]])
FE4N = Crystal.checked(
    3.80 * np.eye(3), [26, 26, 26, 26, 7], [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5]]
)
RUTILE = Crystal.checked(
    np.diag([4.594, 4.594, 2.959]),
    [22, 22, 8, 8, 8, 8],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
)


def environments(features: Features) -> list[tuple[int, list[tuple[float, int]]]]:
    """Species of every atom with the distances and species of its neighbours, in an order that says nothing of the input's."""
    return sorted(
        (int(z), sorted((round(float(d), 3), int(features.atomic_numbers[j])) for d, j in zip(distances, index, strict=True)))
        for z, distances, index in zip(features.atomic_numbers, features.neighbor_distance, features.neighbor_index, strict=True)
    )


def supercell(crystal: Crystal, seed: int) -> Crystal:
    """The same crystal in a larger, skewed, rotated and shifted cell with its atoms shuffled."""
    random = np.random.default_rng(seed)
    matrix = np.array([[2, 0, 0], [1, 1, 0], [0, -1, 1]])
    shifts = np.array([[0, 0, 0], [1, 0, 0]])
    coords = ((crystal.frac_coords[:, None] + shifts).reshape(-1, 3) + random.uniform(size=3)) @ np.linalg.inv(matrix)
    numbers = crystal.atomic_numbers.repeat(2)
    order = random.permutation(len(numbers))
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    return Crystal.checked(matrix @ crystal.lattice @ turn, numbers[order], coords[order])


def assert_same(one: Features, other: Features) -> None:
    assert one.space_group == other.space_group
    assert one.kpath.labels == other.kpath.labels
    np.testing.assert_allclose(one.crystal.lattice, other.crystal.lattice, atol=DISTANCE_TOLERANCE)
    np.testing.assert_allclose(one.kpoints, other.kpoints, atol=COORDINATE_TOLERANCE)
    for (z, around), (other_z, other_around) in zip(environments(one), environments(other), strict=True):
        assert z == other_z
        assert sorted(s for _, s in around) == sorted(s for _, s in other_around)
        np.testing.assert_allclose([d for d, _ in around], [d for d, _ in other_around], atol=2e-3)


def test_silicon_has_the_features_of_the_contract() -> None:
    features = featurize(SILICON)
    assert (features.space_group, features.space_group_symbol) == (227, "Fd-3m")
    assert {name: (array.shape, array.dtype.name) for name, array in vars(features).items() if isinstance(array, np.ndarray)} == {
        "atomic_numbers": ((2,), "int32"),
        "neighbor_index": ((2, 12), "int32"),
        "neighbor_distance": ((2, 12), "float32"),
        "neighbor_mask": ((2, 12), "bool"),
        "neighbor_image": ((2, 12, 3), "int32"),
        "atom_mask": ((2,), "bool"),
        "kpoints": ((256, 3), "float32"),
        "mesh_kpoints": ((0, 3), "float32"),
        "mesh_weights": ((0,), "float32"),
    }
    assert features.atom_mask.all()
    bond = 5.43 * np.sqrt(3) / 4
    np.testing.assert_allclose(features.neighbor_distance[:, :4], bond, atol=DISTANCE_TOLERANCE)
    np.testing.assert_allclose(features.neighbor_distance[:, 4:], 5.43 / np.sqrt(2), atol=DISTANCE_TOLERANCE)


def test_neighbours_refer_to_the_standard_cell() -> None:
    features = featurize(supercell(RUTILE, 3))
    crystal = features.crystal
    assert crystal.n_atoms == 6
    np.testing.assert_array_equal(features.atomic_numbers, crystal.atomic_numbers)
    for i in range(crystal.n_atoms):
        target = crystal.frac_coords[features.neighbor_index[i]] + features.neighbor_image[i]
        distance = np.linalg.norm((target - crystal.frac_coords[i]) @ crystal.lattice, axis=1)
        np.testing.assert_allclose(distance, features.neighbor_distance[i], atol=1e-5)


@pytest.mark.parametrize("crystal", [SILICON, FE4N, RUTILE], ids=["silicon", "Fe4N", "rutile"])
@pytest.mark.parametrize("scheme", ["latimer_munro", "setyawan_curtarolo"])
def test_a_rotated_shuffled_supercell_has_the_same_features(crystal: Crystal, scheme: str) -> None:
    recipe = Recipe(kpath=KpathRecipe(scheme=scheme))  # type: ignore[arg-type]
    for seed in range(4):
        assert_same(featurize(crystal, recipe), featurize(supercell(crystal, seed), recipe))


def test_real_crystals_have_the_same_features_in_another_cell(shared: Path) -> None:
    with gzip.open(shared / "data" / "structures.csv.gz", "rt", encoding="utf-8") as lines:
        rows = list(islice(csv.DictReader(lines), 3, 4000, 67))
    for seed, row in enumerate(rows):
        crystal = read_cif(row["cif"], name=row["material_id"])
        if crystal.n_atoms <= 40:
            standard = featurize(crystal).crystal  # exactly symmetric, so that the space group cannot change
            assert_same(featurize(standard), featurize(supercell(standard, seed)))


def test_the_recipe_decides_the_frame_of_the_kpoints() -> None:
    fractional = featurize(RUTILE)
    cartesian = featurize(RUTILE, Recipe(kpath=KpathRecipe(frame="cartesian")))
    np.testing.assert_allclose(fractional.kpoints, fractional.kpath.frac_kpoints, atol=1e-6)
    np.testing.assert_allclose(cartesian.kpoints, fractional.kpath.frac_kpoints @ fractional.crystal.reciprocal, atol=1e-6)


def test_the_recipe_decides_slots_points_and_tolerance() -> None:
    distorted = Crystal.checked(FE4N.lattice * [1, 1, 1.002], FE4N.atomic_numbers, FE4N.frac_coords)
    recipe = Recipe(SymmetryRecipe(symprec=0.1), GraphRecipe(n_neighbors=20), KpathRecipe(n_kpoints=128))
    features = featurize(distorted, recipe)
    assert features.space_group == 221
    assert featurize(distorted, Recipe(SymmetryRecipe(symprec=1e-4))).space_group == 123
    assert features.neighbor_index.shape == (5, 20)
    assert features.kpoints.shape == (128, 3)


def test_an_error_names_the_file_at_every_stage(tmp_path: Path) -> None:
    missing = tmp_path / "missing.cif"
    with pytest.raises(InputError, match=r"missing\.cif") as caught:
        featurize(missing)
    assert caught.value.stage == "read"
    with pytest.raises(InputError, match=r"^rutile\.cif: ") as caught:
        featurize(RUTILE, Recipe(kpath=KpathRecipe(n_kpoints=3)), name="rutile.cif")
    assert (caught.value.stage, caught.value.code) == ("kpath", "kpath-failed")
    poscar = tmp_path / "POSCAR"
    poscar.write_text(
        "Si2\n1.0\n0 2.715 2.715\n2.715 0 2.715\n2.715 2.715 0\nSi\n2\ndirect\n0 0 0\n0.25 0.25 0.25\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"^POSCAR: "):
        featurize(poscar, Recipe(kpath=KpathRecipe(n_kpoints=3)))
    with pytest.raises(InputError, match=r"^POSCAR: "):
        featurize(str(poscar), Recipe(kpath=KpathRecipe(n_kpoints=3)))


def test_featurising_a_crystal_is_featurising_the_item() -> None:
    one, other = featurize(RUTILE), featurize_crystal(RUTILE)
    np.testing.assert_array_equal(one.neighbor_index, other.neighbor_index)
    np.testing.assert_array_equal(one.kpoints, other.kpoints)


def test_an_element_the_model_has_no_numbers_for_is_refused() -> None:
    recipe = Recipe(max_atomic_number=21)
    assert len(featurize_crystal(SILICON, recipe).atomic_numbers) == 2
    with pytest.raises(
        InputError, match=r"rutile\.cif: holds Ti \(atomic number 22\), this model knows .* up to Sc \(21\)"
    ) as refused:
        featurize_crystal(RUTILE, recipe, name="rutile.cif")
    assert refused.value.code == "unsupported-element"
    assert refused.value.stage == "graph"


def same_to_the_last_bit(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if is_dataclass(one):
        return all(same_to_the_last_bit(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, InputError):
        return (one.code, one.message, one.stage) == (other.code, other.message, other.stage)
    return bool(one == other)


def alone(item: Any, recipe: Recipe, name: str) -> Features | InputError:
    [outcome] = featurize_many([item], recipe, names=[name])
    return outcome


RECIPES = {
    "default": Recipe(),
    "Setyawan-Curtarolo, Cartesian": Recipe(kpath=KpathRecipe(scheme="setyawan_curtarolo", frame="cartesian", n_kpoints=100)),
    "whole shells, from the centre": Recipe(graph=GraphRecipe(tie_rule="complete_shells", direction="from_center")),
    "bonds and a mesh": Recipe(graph=GraphRecipe(rule="bonds"), mesh=MeshRecipe()),
    "many slots in a short cutoff": Recipe(graph=GraphRecipe(n_neighbors=20, cutoff=4.0, self_images=False)),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_many_at_once_have_the_features_they_have_alone(recipe: Recipe, examples: Path) -> None:
    paths = sorted(path for path in examples.iterdir() if path.suffix in (".cif", ".vasp"))
    many = featurize_many(paths, recipe)
    assert len(many) > 40
    for path, features in zip(paths, many, strict=True):
        assert isinstance(features, Features)
        assert same_to_the_last_bit(features, featurize(path, recipe)), path.name


def test_hundreds_of_real_crystals_at_once_have_the_features_they_have_alone(shared: Path) -> None:
    with gzip.open(shared / "data" / "structures.csv.gz", "rt", encoding="utf-8") as lines:
        texts = [row["cif"] for row in islice(csv.DictReader(lines), 1, 4000, 15)]
    assert len(texts) > 2 * CHUNK
    for text, features in zip(texts, featurize_many(texts), strict=True):
        assert same_to_the_last_bit(features, alone(text, Recipe(), "CIF text"))


TOO_FLAT = Crystal(np.array([[1.0, 0, 0], [0, 1.0, 0], [300.3, 500.2, 0.6]]), np.array([1], dtype=np.int32), np.zeros((1, 3)))
ITEMS: dict[str, Any] = {
    "silicon": SILICON,
    "Fe4N": FE4N,
    "rutile": RUTILE,
    "rutile again": supercell(RUTILE, 5),
    "lone atoms": Crystal.checked(12.0 * np.eye(3), [2, 10], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "a pair in a long cell": Crystal.checked(np.diag([3.0, 3.0, 40.0]), [3, 9], [[0, 0, 0], [0.5, 0.5, 0.05]]),
    "no CIF": "not a\ncrystal",
    "cut short": "data_x\n_cell_length_a 3.0\n",
    "missing": Path("missing.cif"),
    "one atom twice": Crystal(3.0 * np.eye(3), np.array([1, 1], dtype=np.int32), np.zeros((2, 3))),
    "too flat to search": TOO_FLAT,
    "too heavy": Crystal.checked(3.0 * np.eye(3), [94], [[0, 0, 0]]),
    "no object": object(),
}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(ITEMS)), max_size=9), st.integers(3, 40))
def test_features_depend_on_nothing_else_in_the_chunk(names: list[str], n_kpoints: int) -> None:
    recipe = Recipe(kpath=KpathRecipe(n_kpoints=n_kpoints), max_atomic_number=90)
    for name, outcome in zip(names, featurize_many([ITEMS[name] for name in names], recipe, names=names), strict=True):
        assert same_to_the_last_bit(outcome, alone(ITEMS[name], recipe, name)), name


def test_every_error_in_a_chunk_says_once_which_crystal_it_is_about() -> None:
    cell = standardize(SILICON)
    flat = replace(cell, crystal=TOO_FLAT, orbits=np.zeros(1, dtype=np.int32))
    cells = [cell, flat, standardize(ITEMS["too heavy"]), InputError("empty-file", "e.cif: the file is empty"), cell]
    names = ["si.cif", "flat.cif", "pu.cif", "e.cif", "si-too.cif"]
    outcomes = featurize_cells(cells, Recipe(max_atomic_number=90), names=names)
    assert [outcome.code if isinstance(outcome, InputError) else "" for outcome in outcomes] == [
        "", "lattice-too-skewed", "unsupported-element", "empty-file", "",
    ]  # fmt: skip
    for outcome, name in zip(outcomes, names, strict=True):
        if isinstance(outcome, InputError):
            assert outcome.message.startswith(f"{name}: ")
            assert outcome.message.count(name) == 1


def test_nothing_has_no_features() -> None:
    assert featurize_many([]) == []
