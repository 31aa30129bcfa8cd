"""The Latimer-Munro scheme against pymatgen on real crystals, its shipped table against the builder, and its choices.

The golden file holds what pymatgen selects for 387 real crystals of 199 space groups; `tools/golden_latimer_munro.py` made it.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.kpaths import kpath_of, latimer_munro, templates
from bandrt.kpaths.brillouin_zone import ORDERS, VANISHING, equivalent_superbases, reduced_superbase, reordered
from bandrt.kpaths.eulerian import closed_walk
from bandrt.kpaths.selection import build_template
from bandrt.symmetry.standard_cell import StandardCell, standardize

GOLDEN = Path(__file__).parent / "golden" / "latimer_munro_segments.json.gz"
FRACTIONAL = 1e-4
"""Fractional coordinates: two symmetry finders symmetrise a cell that is symmetric to 0.01 Å; other points are further away."""

LOST_BY_PYMATGEN = {"mp-559092", "mp-1218370", "mp-1225654", "mp-1078358", "mp-1078300"}
"""pymatgen selects every line that we do, but when it moves them into one wedge it finds no equivalent of one of them there,
and leaves that line out. All are rhombohedral, Laue group -3m."""


TWO_NAMES = ({"K", "U"}, {"Q", "X"})
"""Points that have a name each in the convention although a reciprocal lattice vector makes them equivalent."""


@cache
def golden() -> dict[str, tuple[dict[str, Any], StandardCell]]:
    entries = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    return {entry["material_id"]: (entry, standard_cell(entry)) for entry in entries}


def standard_cell(entry: dict[str, Any]) -> StandardCell:
    return standardize(Crystal.checked(entry["lattice"], entry["atomic_numbers"], entry["frac_coords"]))


def equivalent(ours: NDArray[np.float64], theirs: NDArray[np.float64], cell: StandardCell) -> NDArray[np.bool_]:
    """Which segments, (n, 2, 3) and (m, 2, 3), are carried to each other by the Laue group and a reciprocal vector, (n, m)."""
    found = np.zeros((len(ours), len(theirs)), dtype=bool)
    for ends in (ours, ours[:, ::-1]):
        images = np.einsum("rij,nej->rnei", cell.rotations, ends)
        delta = images[:, :, None] - theirs  # (n_operations, n, m, 2, 3)
        shift = np.rint(delta[..., :1, :])  # one reciprocal vector for both ends
        found |= (np.abs(delta - shift) < FRACTIONAL).all(axis=(-1, -2)).any(axis=0)
    return found


def is_ambiguous(cell: StandardCell) -> bool:
    """Whether the Laue group is -3. Then a point that is on no special line and is joined to Γ has partners that differ by a
    reciprocal lattice vector, and the lines from Γ to two of them need not be equivalent: which one is taken is a choice."""
    return len(cell.rotations) == 6


def segments_of(cell: StandardCell) -> NDArray[np.float64]:
    path = latimer_munro.segments(cell)
    return path.nodes[np.array(path.edges)]


@cache
def unmatched(stage: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each crystal, our segments that pymatgen lacks, and those of pymatgen that we lack."""
    found = {}
    for name, (entry, cell) in golden().items():
        ours, theirs = segments_of(cell), np.array(entry[stage]) @ cell.basis_change.T
        match = equivalent(ours, theirs, cell)
        found[name] = ours[~match.any(axis=1)], theirs[~match.any(axis=0)]
    return found


def differs_by_choice(ours: NDArray[np.float64], theirs: NDArray[np.float64], cell: StandardCell) -> bool:
    """Whether these are one line each from Γ, to two equivalent points of an ambiguous cell."""
    if (
        not is_ambiguous(cell)
        or len(ours) != 1
        or len(theirs) != 1
        or np.abs([ours[0, 0], theirs[0].prod(axis=0)]).max() > FRACTIONAL
    ):
        return False
    points = np.array([ours[0, 1], theirs[0].sum(axis=0)])[:, None].repeat(2, axis=1)
    return bool(equivalent(points[:1], points[1:], cell).all())


def test_the_golden_file_covers_the_space_groups() -> None:
    assert len(golden()) >= 380
    assert len({entry["space_group"] for entry, _ in golden().values()}) >= 195
    assert all(entry["space_group"] == cell.space_group for entry, cell in golden().values())


def test_the_selected_lines_are_those_pymatgen_selects() -> None:
    for name, (ours, theirs) in unmatched("selected").items():
        assert len(ours) == len(theirs) == 0 or differs_by_choice(ours, theirs, golden()[name][1]), name


def test_the_segments_are_those_of_pymatgens_path_but_for_what_it_loses() -> None:
    lost = set()
    for name, (ours, theirs) in unmatched("segments").items():
        if len(ours) == 1 and len(theirs) == 0:
            lost.add(name)
        else:
            assert len(ours) == len(theirs) == 0 or differs_by_choice(ours, theirs, golden()[name][1]), name
    assert lost == LOST_BY_PYMATGEN


def test_no_two_segments_of_a_path_are_equivalent() -> None:
    for _, cell in golden().values():
        ours = segments_of(cell)
        assert (equivalent(ours, ours, cell) == np.eye(len(ours), dtype=bool)).all()


def test_the_table_holds_what_the_builder_makes() -> None:
    table = templates.table()
    assert len(table) == 51
    for key, template in table.items():
        assert build_template(*key) == template


def test_the_table_survives_writing_and_reading() -> None:
    text = templates.to_json(templates.table())
    assert templates.from_json(text) == templates.table()
    with pytest.raises(ValueError, match="format 0, this version reads 1"):
        templates.from_json(text.replace('"format":1', '"format":0'))


def test_without_the_table_paths_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [cell for _, cell in list(golden().values())[::20]]
    shipped = [kpath_of(cell) for cell in cells]
    latimer_munro._placement.cache_clear()
    monkeypatch.setattr(latimer_munro, "table", dict)
    for cell, before in zip(cells, shipped, strict=True):
        after = kpath_of(cell)
        np.testing.assert_array_equal(after.frac_kpoints, before.frac_kpoints)
        assert after.labels == before.labels
    latimer_munro._placement.cache_clear()


def test_the_frame_does_not_depend_on_the_superbase_the_reduction_ends_at() -> None:
    for _, cell in list(golden().values())[::20]:
        reciprocal = cell.crystal.reciprocal
        reduced = reduced_superbase(reciprocal @ reciprocal.T)
        frames = {
            templates.canonical_frame(reordered(base, order), cell.rotations)
            for base in equivalent_superbases(reduced)
            for order in ORDERS[::7]
        }
        assert len(frames) == 1


@pytest.mark.parametrize("noise", [1e-12, 1e-9, 1e-7])
def test_noise_in_the_lattice_moves_no_point_and_changes_no_name(noise: float) -> None:
    rng = np.random.default_rng(0)
    for _, cell in list(golden().values())[::3]:
        path = kpath_of(cell)
        lattice = cell.crystal.lattice @ (np.eye(3) + noise * rng.normal(size=(3, 3)))
        noisy = StandardCell(**{**vars(cell), "crystal": Crystal(lattice, cell.crystal.atomic_numbers, cell.crystal.frac_coords)})
        moved = kpath_of(noisy)
        assert moved.labels == path.labels
        np.testing.assert_allclose(moved.frac_kpoints, path.frac_kpoints, atol=100 * noise)


@pytest.mark.parametrize("exponent", range(1, 10))
def test_nearly_right_angles_give_a_path_inside_the_zone(exponent: int) -> None:
    angle = np.radians(90 + 10.0**-exponent)
    lattice = np.array([[3, 0, 0], [0, 4, 0], [5 * np.cos(angle), 0, 5 * np.sin(angle)]])
    square = standardize(Crystal.checked(np.diag([3.0, 4.0, 5.0]), [29], [[0, 0, 0]]))
    two_fold = np.array([np.eye(3), np.diag([-1, 1, -1])], dtype=int)
    rotations = np.concatenate([two_fold, -two_fold])
    cell = StandardCell(**{**vars(square), "crystal": Crystal(lattice, *[square.crystal.atomic_numbers, np.zeros((1, 3))]),
                           "rotations": rotations, "bravais": "mP", "conventional": lattice})  # fmt: skip
    reciprocal = cell.crystal.reciprocal
    cartesian = kpath_of(cell).frac_kpoints @ reciprocal
    neighbors = np.array([g for g in product(range(-2, 3), repeat=3) if any(g)]) @ reciprocal
    beyond = cartesian @ neighbors.T / (neighbors**2).sum(axis=1) - 0.5
    assert beyond.max() < 2 * VANISHING


def test_names_do_not_depend_on_the_crystal_met_first() -> None:
    cells = [cell for _, cell in golden().values()]
    forward = [latimer_munro.segments(cell).labels for cell in cells]
    latimer_munro._placement.cache_clear()
    backward = [latimer_munro.segments(cell).labels for cell in cells[::-1]][::-1]
    assert backward == forward


def test_names_are_unique_and_equivalent_points_share_one_but_for_primes() -> None:
    for _, cell in golden().values():
        path = latimer_munro.segments(cell)
        reciprocal = cell.crystal.reciprocal
        orbits = latimer_munro.placement_of(reciprocal @ reciprocal.T, cell.rotations).template.orbits
        assert path.labels[0] == "Γ"
        assert len(set(path.labels)) == len(path.labels)
        stems: dict[int, set[str]] = {}
        for label, orbit in zip(path.labels, orbits, strict=True):
            stems.setdefault(orbit, set()).add(label.rstrip("'"))
        assert all(len(found) == 1 or found in TWO_NAMES for found in stems.values())
        assert sum(map(len, stems.values())) == len(set().union(*stems.values()))


def test_only_laue_group_3_needs_a_bridge() -> None:
    bridged = set()
    for _, cell in golden().values():
        path = latimer_munro.segments(cell)
        reached, size = {0}, 0
        while len(reached) > size:
            size = len(reached)
            reached |= {node for edge in path.edges if reached & set(edge) for node in edge}
        if len(reached) < len(path.nodes):
            bridged.add((cell.bravais[0], len(cell.rotations)))
    assert bridged == {("h", 6)}


def fcc(space_group_of: str) -> StandardCell:
    coords = {"copper": [[0, 0, 0]], "zincblende": [[0, 0, 0], [0.25, 0.25, 0.25]]}[space_group_of]
    return standardize(Crystal.checked(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.0, [30, 16][: len(coords)], coords))


@pytest.mark.parametrize("name", ["copper", "zincblende"])
def test_the_face_centred_cubic_path_has_its_textbook_names(name: str) -> None:
    cell = fcc(name)
    path = latimer_munro.segments(cell)
    lines = {frozenset((path.labels[a], path.labels[b])) for a, b in path.edges}
    expected = "ΓL ΓX ΓK ΓU LK LW XU XW KW UW".split()
    assert lines <= {frozenset(line) for line in [*expected, "ΓW", "LU"]}
    assert set(path.labels) == set("ΓXLWKU")
    walk = [path.labels[node] for node in closed_walk(len(path.nodes), path.edges)]
    assert list(kpath_of(cell).labels) == walk
    assert walk[0] == walk[-1] == "Γ"


def test_a_laue_group_of_another_lattice_is_refused() -> None:
    cell = fcc("copper")
    wrong = StandardCell(
        **{**vars(cell), "crystal": Crystal(np.diag([2.0, 3.0, 4.0]), *[cell.crystal.atomic_numbers, np.zeros((1, 3))])}
    )
    with pytest.raises(InputError) as refused:
        latimer_munro.segments(wrong)
    assert (refused.value.code, refused.value.stage) == ("kpath-failed", "kpath")
