"""Targets: the right bands, the right zero, and energies on our path that symmetry allows and nothing else."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.computed.around_fermi import select_bands
from bandrt.computed.documents import BandDocument, DocumentText, parse_document
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.kpaths import kpath_of
from bandrt.manifest import BandRule
from bandrt.recipe import KpathRecipe
from bandrt.symmetry.standard_cell import StandardCell, standardize
from bandrt_train.data.targets import Targets, make_targets, round_trip_error
from tests.support.band_documents import read_documents

RULE = BandRule()
LM, SC = KpathRecipe(), KpathRecipe(scheme="setyawan_curtarolo")
SAME_ENERGY_EV = 3e-3
"""eV: the band solver's own noise between equivalent k-points."""
ROUNDING_EV = 1e-5
"""eV: k-points are rounded to seven decimals in the labels."""


def prepared(document: BandDocument, recipe: KpathRecipe = LM) -> tuple[StandardCell, Any]:
    assert document.crystal is not None
    cell = standardize(document.crystal, name=document.id)
    return cell, kpath_of(cell, recipe)


HARTREE_EV = 27.211386
SILENT: dict[str, Any] = {"n_electrons": None, "n_occupied": None, "is_metal": None}


def in_units_of(document: BandDocument, unit_ev: float) -> dict[str, Any]:
    """Energies in another unit than they should be in."""
    return {"energies": document.energies / unit_ev, "efermi": document.efermi / unit_ev}


def found_gap(document: BandDocument) -> float:
    """The gap above the occupied bands, eV."""
    filled = document.n_occupied or 0
    return float(document.energies[0, filled].min() - document.energies[0, filled - 1].max())


def between_lower_bands(document: BandDocument) -> float | None:
    """A level in the widest gap below the occupied bands' top that leaves enough of them; None where no gap is 0.1 eV wide."""
    energies = document.energies[0]
    gaps = [(float(energies[n].min() - energies[n - 1].max()), n) for n in range(RULE.n_valence, document.n_occupied or 0)]
    width, n = max(gaps, default=(0.0, 0))
    return float(energies[n].min()) - width / 2.0 if width > 0.1 else None


def targets_of(document: BandDocument, recipe: KpathRecipe = LM) -> Targets:
    cell, kpath = prepared(document, recipe)
    return make_targets(document, cell, kpath, RULE)


@pytest.fixture(scope="module")
def documents(label_texts: list[DocumentText]) -> list[BandDocument]:
    """Every sixteenth label with enough bands."""
    return [d for d in map(parse_document, label_texts[::16]) if (d.n_occupied or 0) >= RULE.n_valence]


def one_of_each_symmetry(texts: list[DocumentText]) -> list[BandDocument]:
    """One label with enough bands per Bravais lattice and number of Laue operations."""
    chosen: dict[tuple[str, int], BandDocument] = {}
    for text in texts:
        document = parse_document(text)
        assert document.crystal is not None
        if (document.n_occupied or 0) < RULE.n_valence:
            continue
        cell = standardize(document.crystal, name=document.id)
        chosen.setdefault((cell.bravais, len(cell.rotations)), document)
    return list(chosen.values())


def test_bands_around_mid_gap_agree_with_pymatgens_band_edges(label_texts: list[DocumentText]) -> None:
    from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine
    from pymatgen.electronic_structure.core import Spin

    for text in label_texts[::16]:
        document = parse_document(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            oracle = BandStructureSymmLine.from_dict(json.loads(text.text))
            gap, vbm, metal = oracle.get_band_gap()["energy"], oracle.get_vbm(), oracle.is_metal()
        if (document.n_occupied or 0) < RULE.n_valence:
            continue
        bands = select_bands(document, RULE)
        assert bands.is_metal == metal
        if not metal:
            assert bands.band_gap == pytest.approx(gap, abs=1e-6)
            assert bands.first_band + RULE.n_valence - 1 == max(vbm["band_index"][Spin.up])
            assert bands.energies[2].max() == pytest.approx(-gap / 2, abs=1e-6)
            assert bands.energies[3].min() == pytest.approx(gap / 2, abs=1e-6)


def test_metals_keep_their_fermi_level(documents: list[BandDocument]) -> None:
    metals = [d for d in documents if d.is_metal]
    assert metals
    for document in metals:
        bands = select_bands(document, RULE)
        first = bands.first_band
        np.testing.assert_array_equal(bands.energies, document.energies[0][first : first + 6] - document.efermi)
        assert bands.energies[2].min() < 0.0 < bands.energies[3].min() + 1e-9 or bands.energies[3].min() >= 0.0
        assert bands.band_gap == 0.0


@pytest.mark.parametrize(
    ("name", "gap"),
    [("CaO_2605_bandstructure", 3.635), ("Cu2O_361_bandstructure", 0.505), ("si_bandstructure_line", 0.612)],
)
def test_gaps_of_materials_project_documents_are_the_known_ones(shared: Path, name: str, gap: float) -> None:
    [document] = read_documents(shared / "data" / "mp-bands" / f"{name}.json.gz")
    assert select_bands(document, RULE).band_gap == pytest.approx(gap, abs=1e-3)


def test_a_materials_project_document_maps_fully_onto_its_own_kind_of_path(shared: Path) -> None:
    for name in ("Cu2O_361_bandstructure", "Cu2O_361_bandstructure_continuous", "bs_ZnS_old"):
        [document] = read_documents(shared / "data" / "mp-bands" / f"{name}.json.gz")
        targets = targets_of(document, SC)
        assert targets.report.mapped_fraction == 1.0, (name, targets.report)
        assert targets.energies[3].min() - targets.energies[2].max() == pytest.approx(targets.band_gap, abs=0.02)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: {"energies": np.concatenate([d.energies, d.energies + 0.01])}, "spin-polarised"),
        (lambda d: {"energies": d.energies[:, :5], "is_metal": None, "n_occupied": None}, "too-few-bands"),
        (lambda d: {"energies": d.energies[:, -11:], "n_occupied": None}, "too-few-bands"),
        (lambda d: {"n_occupied": d.n_occupied + 1}, "fermi-level-conflict"),
        (lambda d: {"efermi": float(d.energies[0, d.n_occupied].mean())}, "fermi-level-conflict"),
        (lambda d: {"n_electrons": d.n_electrons + 2.0, "n_occupied": None}, "fermi-level-conflict"),
        (lambda d: {"n_electrons": d.n_electrons - 1.0}, "fermi-level-conflict"),
        (lambda d: in_units_of(d, HARTREE_EV), "gap-conflict"),
        (lambda d: in_units_of(d, HARTREE_EV / 2.0), "gap-conflict"),
        (lambda d: in_units_of(d, 0.001), "gap-conflict"),
        (lambda d: in_units_of(d, 0.001) | {"is_metal": True}, "gap-conflict"),
        (lambda d: {"band_gap": found_gap(d) + 0.02}, "gap-conflict"),
        (lambda d: {"band_gap": (found_gap(d) - 0.6) / 1.31}, "gap-conflict"),
        (lambda d: {"efermi": between_lower_bands(d), "n_occupied": None}, "fermi-level-conflict"),
        (lambda d: {"band_gap": found_gap(d), "efermi": float(d.energies[0, d.n_occupied].mean()), **SILENT}, "gap-conflict"),
    ],
)
def test_documents_without_the_bands_wanted_are_refused(
    documents: list[BandDocument], change: Callable[[Any], dict[str, Any]], code: str
) -> None:
    insulator = next(d for d in documents if not d.is_metal and found_gap(d) > 1.0 and between_lower_bands(d) is not None)
    with pytest.raises(InputError, match=insulator.id) as caught:
        select_bands(dataclasses.replace(insulator, **change(insulator)), RULE)
    assert caught.value.code == code


def test_stated_gaps_may_be_rounded_or_of_a_mesh(documents: list[BandDocument]) -> None:
    insulator = next(d for d in documents if not d.is_metal and found_gap(d) > 2.0)
    gap = found_gap(insulator)
    for stated in (None, gap + 0.009, gap, gap - 0.49, gap / 1.29):
        assert select_bands(dataclasses.replace(insulator, band_gap=stated), RULE).band_gap == pytest.approx(gap, abs=1e-9)


def test_bands_that_touch_at_one_kpoint_have_the_gap_that_pymatgen_states_of_them(documents: list[BandDocument]) -> None:
    insulator = next(d for d in documents if not d.is_metal)
    filled, energies = insulator.n_occupied or 0, insulator.energies.copy()
    top, bottom = float(energies[0, filled - 1].max()), int(energies[0, filled].argmin())
    energies[:, filled:] += 0.1 - found_gap(insulator)
    energies[0, filled, bottom] = top
    touching = dataclasses.replace(insulator, energies=energies, efermi=top)
    stated = float(energies[energies > top].min()) - top
    assert stated > 0.05
    assert select_bands(dataclasses.replace(touching, band_gap=stated), RULE).band_gap == 0.0
    with pytest.raises(InputError) as caught:
        select_bands(dataclasses.replace(touching, band_gap=stated + 0.02), RULE)
    assert caught.value.code == "gap-conflict"


def test_a_spin_polarised_document_is_refused(shared: Path) -> None:
    [document] = read_documents(shared / "data" / "mp-bands" / "NiO_19009_bandstructure.json.gz")
    with pytest.raises(InputError) as caught:
        select_bands(document, RULE)
    assert caught.value.code == "spin-polarised"


def test_a_document_without_a_structure_is_refused(documents: list[BandDocument]) -> None:
    cell, kpath = prepared(documents[0])
    with pytest.raises(InputError) as caught:
        make_targets(dataclasses.replace(documents[0], crystal=None), cell, kpath, RULE)
    assert caught.value.code == "no-structure"


def test_a_known_metal_whose_path_misses_the_fermi_surface_stays_a_metal(documents: list[BandDocument]) -> None:
    insulator = next(d for d in documents if not d.is_metal and found_gap(d) < 0.5)
    bands = select_bands(dataclasses.replace(insulator, is_metal=True), RULE)
    assert (bands.is_metal, bands.band_gap) == (True, 0.0)


def test_labels_cover_their_own_path_and_agree_where_symmetry_says_so(documents: list[BandDocument]) -> None:
    fractions = []
    for document in documents:
        report = targets_of(document).report
        fractions.append(report.mapped_fraction)
        assert report.symmetry_spread_ev < 0.02, (document.id, report)
    assert np.mean(fractions) > 0.98


def cosine_bands(document: BandDocument) -> tuple[BandDocument, Callable[[NDArray[np.float64]], NDArray[np.float64]], float]:
    """Bands, means over the group of ``cos(2 pi k.R)``, with the symmetry that pymatgen finds, in the document's frame.

    Returns:
        The document with these bands, the function itself, and what linear interpolation costs at most: h^2 R^2 / 8 for steps h.
    """
    from pymatgen.core import Lattice, Structure
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    crystal = document.crystal
    assert crystal is not None
    structure = Structure(Lattice(crystal.lattice), crystal.atomic_numbers.tolist(), crystal.frac_coords)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operations = SpacegroupAnalyzer(structure, symprec=0.01).get_symmetry_operations()
    turned = np.array([np.rint(operation.rotation_matrix) for operation in operations])  # act on direct fractional columns
    rng = np.random.default_rng(len(turned))
    hops = rng.integers(-1, 2, size=(4, 3))
    stars = np.einsum("oij,bj->boi", turned, hops)  # (n_bands, n_ops, 3)

    def energies(frac: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.cos(2.0 * np.pi * np.einsum("boi,ki->bok", stars, frac)).mean(axis=1))

    steps = np.linalg.norm(np.diff(document.frac_kpoints @ document.reciprocal, axis=0), axis=1)
    within = max(steps[first:last].max(initial=0.0) for first, last in document.branches)
    reach = np.linalg.norm(stars @ crystal.lattice, axis=-1).max()
    cost = (within * reach) ** 2 / 8.0
    return dataclasses.replace(document, energies=energies(document.frac_kpoints)[None]), energies, cost


def test_bands_known_everywhere_come_out_right_on_our_path(label_texts: list[DocumentText]) -> None:
    from bandrt.computed.lines import computed_lines
    from bandrt.computed.mapping import map_kpoints

    tried = one_of_each_symmetry(label_texts)
    assert len(tried) >= 14
    for document in tried:
        synthetic, energies, cost = cosine_bands(document)
        cell, kpath = prepared(document)
        mapping = map_kpoints(kpath.frac_kpoints, computed_lines(synthetic, cell), cell.rotations)
        ours = mapping.interpolate(synthetic.energies[0])[:, mapping.found]
        exact = energies(kpath.frac_kpoints @ np.linalg.inv(cell.basis_change.T))[:, mapping.found]
        assert np.abs(ours - exact).max() < cost + ROUNDING_EV < 0.2, (document.id, cell.bravais, np.abs(ours - exact).max())


def moved(document: BandDocument, rng: np.random.Generator) -> BandDocument:
    """The same calculation written in another cell, orientation, origin and order of atoms."""
    crystal = document.crystal
    assert crystal is not None
    change = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]])[rng.permutation(3)]
    if np.linalg.det(change) < 0:
        change = -change
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if np.linalg.det(rotation) < 0:
        rotation = -rotation
    order = rng.permutation(crystal.n_atoms)
    coords = (crystal.frac_coords[order] + rng.uniform(size=3)) @ np.linalg.inv(change)
    lattice = change @ crystal.lattice @ rotation
    return dataclasses.replace(
        document,
        crystal=Crystal.checked(lattice, crystal.atomic_numbers[order], coords),
        reciprocal=2.0 * np.pi * np.linalg.inv(lattice).T,
        frac_kpoints=document.frac_kpoints @ change.T,
    )


def test_targets_do_not_depend_on_the_cell_the_calculation_was_done_in(label_texts: list[DocumentText]) -> None:
    rng = np.random.default_rng(1)
    for document in one_of_each_symmetry(label_texts):
        here, there = targets_of(document), targets_of(moved(document, rng))
        np.testing.assert_array_equal(here.mask, there.mask)
        assert np.abs(here.energies - there.energies).max() < 5e-3, document.id


def test_bands_of_a_supercell_are_refused(documents: list[BandDocument]) -> None:
    document = next(d for d in documents if not d.is_metal and d.crystal is not None)
    crystal = document.crystal
    assert crystal is not None
    lattice = crystal.lattice * np.array([[2.0], [1.0], [1.0]])
    coords = np.concatenate([crystal.frac_coords * (0.5, 1, 1), crystal.frac_coords * (0.5, 1, 1) + (0.5, 0, 0)])
    double = Crystal.checked(lattice, np.tile(crystal.atomic_numbers, 2), coords)
    folded = dataclasses.replace(document, crystal=double, reciprocal=double.reciprocal)
    with pytest.raises(InputError) as caught:
        targets_of(folded)
    assert caught.value.code == "not-primitive"


def test_what_was_not_computed_is_masked_and_named(documents: list[BandDocument]) -> None:
    document = next(d for d in documents if not d.is_metal and len(d.branches) > 8)
    first, last = document.branches[:3].min(), document.branches[:3].max()
    part = dataclasses.replace(
        document,
        frac_kpoints=document.frac_kpoints[first : last + 1],
        energies=document.energies[:, :, first : last + 1],
        branches=document.branches[:3],
        n_occupied=None,
        is_metal=None,
    )
    whole, targets = targets_of(document), targets_of(part)
    assert 0.0 < targets.report.mapped_fraction < 1.0
    assert targets.report.unmapped
    assert not targets.energies[~targets.mask].any()
    difference = (targets.energies - whole.energies)[targets.mask]  # the gap, and so the zero, is of fewer k-points
    assert np.ptp(difference) < SAME_ENERGY_EV


def test_energies_that_are_not_trusted_are_masked_band_by_band_and_k_by_k(documents: list[BandDocument]) -> None:
    document = next(d for d in documents if not d.is_metal)
    whole = targets_of(document)
    zero = select_bands(document, RULE).zero
    conduction = whole.energies[RULE.n_valence]
    limit = float(np.median(conduction))
    part = targets_of(dataclasses.replace(document, trusted_below=zero + limit))
    np.testing.assert_array_equal(part.mask, whole.energies < limit)
    assert 0.0 < part.mask[RULE.n_valence].mean() < 1.0
    assert part.mask[: RULE.n_valence].all()
    np.testing.assert_array_equal(part.energies, np.where(part.mask, whole.energies, 0.0))
    assert part.report == whole.report


def test_tight_binding_labels_reach_as_far_as_they_are_trusted(shared: Path) -> None:
    usable = 0
    for document in islice(read_documents(shared / "data" / "tb3" / "tb3-00.jsonl.gz"), 40):
        n_nonempty = int((document.energies[0].min(axis=1) < document.efermi).sum())
        if not RULE.n_valence <= n_nonempty <= document.energies.shape[1] - 3:
            continue
        usable += 1
        targets, bands = targets_of(document), select_bands(document, RULE)
        limit = document.trusted_below - bands.zero
        assert limit > 2.9
        assert targets.energies[targets.mask].max() < limit
        np.testing.assert_array_equal(targets.mask[0], targets.mask.any(axis=0))
        assert targets.is_metal is document.is_metal
        if not targets.is_metal:
            assert document.n_occupied == bands.first_band + RULE.n_valence
            assert targets.band_gap == pytest.approx(document.band_gap, abs=0.05)
    assert usable > 30


def test_going_to_the_path_and_back_costs_millielectronvolts(documents: list[BandDocument]) -> None:
    means = []
    for document in documents:
        cell, kpath = prepared(document)
        error = np.abs(round_trip_error(make_targets(document, cell, kpath, RULE), kpath, document, cell, RULE))
        assert np.isfinite(error).mean() > 0.99
        means.append(np.nanmean(error))
    assert np.mean(means) < 4e-3
