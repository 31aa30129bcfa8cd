"""Gap, metal rule and band edges, against brute force and against pymatgen."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandrt.bands.band_structure import DEGENERACY_EV, BandStructure, gaps, in_order
from bandrt.crystal import Crystal
from bandrt.features import featurize
from bandrt.kpaths.path import Walk, sample
from bandrt.manifest import ZERO_GAP_EV, BandRule
from bandrt.recipe import KpathRecipe, Recipe

GAP_TOLERANCE_EV = 1e-6
RULE = BandRule()
CUBIC = Crystal.checked(4.0 * np.eye(3), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
NODES = {"Γ": (0, 0, 0), "X": (0.5, 0, 0), "M": (0.5, 0.5, 0), "R": (0.5, 0.5, 0.5)}


def band_structure(energies: np.ndarray, *, walk: str = "ΓXMΓRXMRΓ", rule: BandRule = RULE) -> BandStructure:
    path = sample(
        Walk(np.array([NODES[v] for v in walk], float), tuple(walk), CUBIC.reciprocal), energies.shape[1], "setyawan_curtarolo"
    )
    return BandStructure(
        energies, path.frac_kpoints, path.kpoint_distance, path.labels, path.label_indices, CUBIC, 221, "Pm-3m", path.scheme, rule
    )


def is_flat_metal(bands: BandStructure) -> bool:
    """Whether it is a metal whose halves touch without width: no level crosses a band, so pymatgen has no metal for it."""
    return bands.is_metal and bool((np.ptp(bands.energies[2:4], axis=1) < 4 * DEGENERACY_EV).all())


def parabolas(gap: float, *, valence_at: int = 0, conduction_at: int = 0, n_kpoints: int = 64) -> BandStructure:
    """Six bands with extrema at chosen k-points and mid-gap at zero."""
    k = np.arange(n_kpoints) / n_kpoints
    down = -gap / 2 - (k - k[valence_at]) ** 2
    up = gap / 2 + (k - k[conduction_at]) ** 2
    return band_structure(np.stack([down - 2, down - 1, down, up, up + 1, up + 2]))


@st.composite
def random_energies(draw: st.DrawFn) -> np.ndarray:
    """Smooth bands anywhere around zero: wide, flat, overlapping, gapped, all above or all below."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([0.0, 0.05, 0.5, 3.0]))
    spread = draw(st.sampled_from([0.05, 1.0, 4.0]))
    shift = draw(st.sampled_from([-1.0, 0.0, 0.0, 1.0]))
    k = np.linspace(0, 2 * np.pi, 40)
    centers = np.sort(generator.normal(0, spread, 6)) + shift
    waves = sum(generator.normal(0, 1, (6, 1)) * np.cos(n * k + generator.uniform(0, 6, (6, 1))) for n in (1, 2, 3))
    return in_order(centers[:, None] + width * waves).astype(np.float32)


@given(random_energies())
@settings(max_examples=200, deadline=None)
def test_gap_and_metal_follow_the_rule_by_brute_force(energies: np.ndarray) -> None:
    bands = band_structure(energies)
    table = energies.tolist()
    valence, conduction = max(map(max, table[:3])), min(map(min, table[3:]))
    crosses = any(max(band) > RULE.metal_tolerance_ev and min(band) < -RULE.metal_tolerance_ev for band in table)
    metal = crosses or conduction - valence <= ZERO_GAP_EV
    assert bands.is_metal == metal
    assert bands.band_gap == (0.0 if metal else pytest.approx(conduction - valence, abs=GAP_TOLERANCE_EV))


@given(random_energies(), st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=200, deadline=None)
def test_bands_beyond_the_window_change_nothing_that_is_said_of_a_crystal(energies: np.ndarray, below: int, above: int) -> None:
    six = band_structure(energies)
    lower = energies.min(axis=0) - np.linspace(0.5, 0.0, 40) * np.arange(below, 0, -1)[:, None]  # they may cross zero, too
    upper = energies.max(axis=0) + np.linspace(0.0, 0.5, 40) * np.arange(1, above + 1)[:, None]
    every = np.concatenate([lower, energies, upper]).astype(np.float32)
    wide = band_structure(every, rule=BandRule(6 + below + above, 3 + below))
    for name in ("band_gap", "direct_gap", "is_metal", "is_direct", "efermi", "vbm", "cbm", "verdict"):
        assert getattr(wide, name) == getattr(six, name), name
    theirs = wide.to_pymatgen()
    assert theirs.nb_bands == len(every)
    if is_flat_metal(six):
        return
    assert theirs.is_metal() == six.is_metal
    assert theirs.get_band_gap()["energy"] == pytest.approx(six.band_gap, abs=GAP_TOLERANCE_EV)
    if not six.is_metal:  # pymatgen compares edges of one visit alone
        assert theirs.get_direct_band_gap() == pytest.approx(float((energies[3] - energies[2]).min()), abs=GAP_TOLERANCE_EV)
        assert theirs.get_direct_band_gap() >= six.direct_gap - GAP_TOLERANCE_EV


@given(random_energies())
@settings(max_examples=200, deadline=None)
def test_edges_are_the_extreme_energies_of_the_halves(energies: np.ndarray) -> None:
    bands = band_structure(energies)
    if bands.is_metal:
        assert bands.vbm is None
        assert bands.cbm is None
        assert not bands.is_direct
        return
    assert bands.vbm is not None
    assert bands.cbm is not None
    assert bands.cbm.energy - bands.vbm.energy == pytest.approx(bands.band_gap, abs=GAP_TOLERANCE_EV)
    assert energies[2, bands.vbm.kpoint_index] == pytest.approx(bands.vbm.energy, abs=DEGENERACY_EV)
    assert energies[3, bands.cbm.kpoint_index] == pytest.approx(bands.cbm.energy, abs=DEGENERACY_EV)
    apart = np.array(bands.vbm.frac_kpoint) - np.array(bands.cbm.frac_kpoint)
    assert bands.is_direct == (np.abs(apart - np.round(apart)).max() < 1e-6)


@given(random_energies())
@settings(max_examples=60, deadline=None)
def test_pymatgen_agrees_on_gap_and_metal(energies: np.ndarray) -> None:
    bands = band_structure(energies)
    theirs = bands.to_pymatgen()
    if is_flat_metal(bands):
        return
    assert theirs.is_metal() == bands.is_metal
    assert theirs.get_band_gap()["energy"] == pytest.approx(bands.band_gap, abs=GAP_TOLERANCE_EV)
    if not bands.is_metal:
        assert theirs.get_vbm()["energy"] == pytest.approx(bands.vbm.energy, abs=GAP_TOLERANCE_EV)
        assert theirs.get_cbm()["energy"] == pytest.approx(bands.cbm.energy, abs=GAP_TOLERANCE_EV)


def test_many_band_structures_are_judged_at_once_as_one_by_one() -> None:
    generator = np.random.default_rng(3)
    energies = in_order(generator.normal(0, 1, (20, 6, 1)) + generator.normal(0, 0.2, (20, 6, 30)))
    gap, metal = gaps(energies, RULE)
    for i, one in enumerate(energies):
        bands = band_structure(one)
        assert (gap[i], metal[i]) == (bands.band_gap, bands.is_metal)
    assert 0 < metal.sum() < 20


def test_a_half_filled_isolated_band_makes_a_metal() -> None:
    k = np.linspace(0, 2 * np.pi, 64)
    energies = np.stack([k * 0 - 5, k * 0 - 4, np.cos(k), k * 0 + 3, k * 0 + 4, k * 0 + 5])
    assert band_structure(energies).is_metal
    assert band_structure(energies).efermi == 0.0
    assert band_structure(energies).to_pymatgen().is_metal()


def test_an_edge_a_little_beyond_zero_leaves_an_insulator_an_insulator() -> None:
    bands = parabolas(1.0)
    shifted = band_structure(bands.energies + 0.5 + RULE.metal_tolerance_ev / 2)
    assert not shifted.is_metal
    assert shifted.band_gap == pytest.approx(1.0)
    assert shifted.efermi == pytest.approx(0.5 + RULE.metal_tolerance_ev / 2)
    assert not shifted.to_pymatgen().is_metal()


@pytest.mark.parametrize("gap", [-1e-6, 0.0, 1e-6, 0.9 * ZERO_GAP_EV])
@pytest.mark.parametrize("flat", [None, 2, 3])
def test_touching_halves_are_a_metal_here_and_in_pymatgen(gap: float, flat: int | None) -> None:
    energies = parabolas(gap).energies.copy()
    if flat is not None:  # one of the bands that touch has no width
        energies[flat] = energies[flat].max() if flat == 2 else energies[flat].min()
    bands = band_structure(in_order(energies))
    assert (bands.is_metal, bands.band_gap) == (True, 0.0)
    assert bands.to_pymatgen().is_metal()


def test_halves_that_do_not_touch_are_an_insulator() -> None:
    assert not parabolas(1.1 * ZERO_GAP_EV).is_metal


def test_a_direct_gap_shows_both_edges_at_the_same_visit_of_the_corner() -> None:
    bands = parabolas(1.0)
    at_gamma = [int(i) for i, label in zip(bands.label_indices, bands.labels, strict=True) if label == "Γ"]
    energies = np.tile(bands.energies[:, -1:], 64)
    energies[2, at_gamma] = -0.5 + np.array([0.0, 2e-5, 1e-5])  # rounding noise of an engine
    energies[3, at_gamma] = +0.5 + np.array([0.0, 1e-5, -1e-5])
    bands = band_structure(energies)
    assert bands.is_direct
    assert bands.vbm.kpoint_index == bands.cbm.kpoint_index
    assert bands.vbm.label == bands.cbm.label == "Γ"


def test_a_gap_is_direct_where_an_engine_gives_a_corner_other_energies_at_each_visit() -> None:
    bands = parabolas(1.0)
    at_gamma = [int(i) for i, label in zip(bands.label_indices, bands.labels, strict=True) if label == "Γ"]
    energies = np.tile(bands.energies[:, -1:], 64)
    energies[2, at_gamma] = -0.5 + np.array([0.0, -0.004, -0.002])
    energies[3, at_gamma] = +0.5 + np.array([0.003, 0.0, 0.002])
    bands = band_structure(energies)
    assert bands.is_direct
    assert bands.direct_gap == bands.band_gap == pytest.approx(1.0)
    assert bands.vbm.label == bands.cbm.label == "Γ"
    assert (bands.vbm.kpoint_index, bands.cbm.kpoint_index) == (at_gamma[0], at_gamma[1])
    assert bands.to_pymatgen().get_band_gap()["direct"]


def test_an_indirect_gap_names_its_corners() -> None:
    path = parabolas(1.0)
    at_x = int(path.label_indices[1])
    bands = parabolas(1.0, valence_at=0, conduction_at=at_x)
    assert (bands.vbm.label, bands.cbm.label) == ("Γ", "X")
    assert bands.cbm.frac_kpoint == (0.5, 0.0, 0.0)
    assert not bands.is_direct
    assert bands.direct_gap > bands.band_gap
    assert parabolas(1.0, conduction_at=at_x + 1).cbm.label is None


def test_center_and_dispersion_rebuild_the_energies() -> None:
    bands = parabolas(1.0, conduction_at=9)
    assert bands.band_center.shape == (6,)
    np.testing.assert_allclose(bands.band_center[:, None] + bands.band_dispersion, bands.energies, atol=1e-12)
    np.testing.assert_allclose(bands.band_dispersion.mean(axis=1), 0, atol=1e-12)


def test_pymatgen_keeps_every_branch_label_and_length() -> None:
    bands = parabolas(1.0)
    theirs = bands.to_pymatgen()
    names = [f"{a}-{b}".replace("Γ", "\\Gamma") for a, b in zip(bands.labels[:-1], bands.labels[1:], strict=True)]
    assert [b["name"] for b in theirs.branches] == names
    ends = [theirs.distance[b["end_index"]] for b in theirs.branches]
    np.testing.assert_allclose(ends, bands.kpoint_distance[bands.label_indices[1:]], atol=1e-9)
    np.testing.assert_allclose(theirs.lattice_rec.matrix, CUBIC.reciprocal, atol=1e-12)
    assert theirs.structure.composition.reduced_formula == "NaCl"


@pytest.mark.parametrize("scheme", ["latimer_munro", "setyawan_curtarolo"])
def test_pymatgen_keeps_every_branch_of_real_crystals(examples: Path, scheme: str) -> None:
    for file in sorted(examples.glob("*.cif"))[::7]:
        features = featurize(file, Recipe(kpath=KpathRecipe(scheme=scheme)))
        path = features.kpath
        wave = np.cos(2 * np.pi * path.frac_kpoints).sum(axis=1)
        bands = BandStructure(
            np.linspace(-3, 3, 6)[:, None] + 0.1 * wave, path.frac_kpoints, path.kpoint_distance, path.labels, path.label_indices,
            features.crystal, features.space_group, features.space_group_symbol, path.scheme, RULE,
        )  # fmt: skip
        theirs = bands.to_pymatgen()
        names = [f"{a}-{b}".replace("Γ", "\\Gamma").replace("Σ", "\\Sigma") for a, b in pairwise(path.labels)]
        assert [b["name"] for b in theirs.branches] == names
        ends = [theirs.distance[b["end_index"]] for b in theirs.branches]
        np.testing.assert_allclose(ends, path.kpoint_distance[path.label_indices[1:]], atol=1e-6)


def test_pymatgen_sees_a_branch_of_two_points_as_a_branch() -> None:
    bands = parabolas(1.0, n_kpoints=9)  # nine vertices on nine points: every branch is one step
    assert len(bands.labels) == 9
    theirs = bands.to_pymatgen()
    assert len(theirs.branches) == 8
    assert theirs.distance[-1] == pytest.approx(bands.kpoint_distance[-1])
    assert theirs.get_band_gap()["energy"] == pytest.approx(bands.band_gap, abs=GAP_TOLERANCE_EV)


def test_pymatgen_tells_points_of_one_name_apart() -> None:
    bands = parabolas(1.0)
    twice = BandStructure(
        bands.energies, bands.frac_kpoints, bands.kpoint_distance, tuple("ΓXXΓRXXRΓ"), bands.label_indices, CUBIC, 221, "Pm-3m",
        bands.scheme, RULE,
    )  # fmt: skip
    assert [b["name"] for b in twice.to_pymatgen().branches][:3] == ["\\Gamma-X", "X-X'", "X'-\\Gamma"]


def test_pymatgen_round_trips_through_json() -> None:
    from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine

    theirs = parabolas(1.0, conduction_at=20).to_pymatgen()
    again = BandStructureSymmLine.from_dict(json.loads(json.dumps(theirs.as_dict(), default=lambda a: a.tolist())))
    assert [b["name"] for b in again.branches] == [b["name"] for b in theirs.branches]
    assert again.get_band_gap()["energy"] == pytest.approx(theirs.get_band_gap()["energy"])


def test_a_band_structure_is_plain_json() -> None:
    for gap, at in product((1.0, 0.0), (0, 20)):
        bands = parabolas(gap, conduction_at=at)
        again = json.loads(json.dumps(bands.as_dict()))
        assert again["band_gap"] == bands.band_gap
        assert (again["vbm"] is None) == bands.is_metal
        np.testing.assert_array_equal(again["energies"], bands.energies)


def test_energies_cannot_change_under_a_gap_that_was_told() -> None:
    given = parabolas(1.0).energies.copy()
    bands = band_structure(given)
    assert bands.band_gap == pytest.approx(1.0)
    given[3:] += 0.5  # the caller's own
    for one in (bands, copy.deepcopy(bands), pickle.loads(pickle.dumps(bands))):
        with pytest.raises(ValueError, match="read-only"):
            one.energies[3:] += 0.5
        assert one.band_gap == pytest.approx(1.0)
    apart = dataclasses.replace(bands, energies=bands.energies + np.array([0, 0, 0, 0.5, 0.5, 0.5])[:, None])
    assert apart.band_gap == pytest.approx(1.5)
