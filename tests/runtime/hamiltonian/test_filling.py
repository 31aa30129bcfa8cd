"""Filling: bands are counted from half filling, wherever their energies are."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.bands.band_structure import gaps
from bandrt.engine import SHIPPED_ENGINES, read_manifest
from bandrt.errors import InputError
from bandrt.hamiltonian.filling import KEPT, Filled, fermi_level, fill, is_odd, n_filled
from bandrt.manifest import BandRule


def test_a_half_filled_band_ends_at_its_middle() -> None:
    energies, weights = np.linspace(-2.0, 2.0, 401)[:, None], np.full(401, 1 / 401)
    assert fermi_level(energies, weights, 1.0, 0.05) == pytest.approx(0.0, abs=1e-4)
    assert fermi_level(energies, weights, 0.5, 0.05) == pytest.approx(-1.0, abs=0.02)


def test_points_of_no_weight_do_not_move_the_fermi_level() -> None:
    energies, weights = np.linspace(-2.0, 2.0, 401)[:, None], np.full(401, 1 / 401)
    padded = fermi_level(np.concatenate([energies, np.full((5, 1), -1.9)]), np.concatenate([weights, np.zeros(5)]), 1.0, 0.05)
    assert padded == pytest.approx(fermi_level(energies, weights, 1.0, 0.05), abs=1e-9)


@pytest.mark.parametrize(("electrons", "bands", "odd"), [(8.0, 4, False), (7.0, 4, True), (8.0000001, 4, False), (1.0, 1, True)])
def test_electrons_fill_bands_in_pairs(electrons: float, bands: int, odd: bool) -> None:
    assert (n_filled(electrons), is_odd(electrons)) == (bands, odd)


def test_the_gap_is_that_of_path_and_mesh_and_the_zero_that_of_the_path() -> None:
    path, mesh = np.array([[0.0, 3.0], [0.5, 4.0]]), np.array([[0.8, 2.8]])
    filled = fill(path, mesh, np.ones(1), 2.0, smearing_ev=0.15)
    assert not filled.is_metal
    assert filled.band_gap == pytest.approx(2.0)
    np.testing.assert_allclose(filled.energies[KEPT - 1 : KEPT + 1], path.T - 1.75)
    assert np.isnan(filled.energies[: KEPT - 1]).all()


def test_bands_that_overlap_off_the_path_make_a_metal() -> None:
    filled = fill(np.array([[0.0, 3.0]]), np.array([[3.0, 4.0], [0.0, 2.0]]), np.full(2, 0.5), 2.0, smearing_ev=0.15)
    assert filled.is_metal
    assert filled.band_gap == 0.0
    assert filled.energies[KEPT, 0] == pytest.approx(0.5, abs=1e-3)  # E_F lies midway between 2 and 3


@pytest.mark.parametrize("overlap", [0.0005, 0.004, 0.008, 0.012, 0.018, 0.03, 0.05])
def test_an_overlap_however_small_makes_a_metal_of_what_an_engine_gives(overlap: float) -> None:
    """A window that went up by a band must not show the distance to the next as a gap, where that band is one by itself."""
    rule = read_manifest(SHIPPED_ENGINES["accurate"]).bands
    turn = np.cos(np.linspace(-np.pi, np.pi, 4001))
    valence, conduction = 0.5 * (overlap - 1.0 + turn), 0.5 * (1.0 + turn - overlap)
    energies = np.stack([valence - 6, valence - 4, valence - 2, valence, conduction, *(conduction + up for up in (3, 5, 7))], 1)
    filled = fill(energies, energies, np.full(4001, 1 / 4001), 8.0, smearing_ev=0.02)
    assert filled.is_metal
    assert gaps(filled.given(rule), rule) == (0.0, True)


@pytest.mark.parametrize("width", [0.003, 0.004, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("electrons", [3.0, 5.0])
def test_an_odd_number_of_electrons_makes_a_metal_of_narrow_bands(width: float, electrons: float) -> None:
    """Of three bands narrower than the Fermi function is wide, five electrons of six leave its level above them all."""
    rule = read_manifest(SHIPPED_ENGINES["accurate"]).bands
    turn = 0.5 * width * np.cos(np.linspace(-np.pi, np.pi, 401))
    centres = (-30.0, -20.0, -12.0, 0.0, 0.0, 0.0, 3.0, 4.0, 5.0)
    energies = np.stack([centre + turn for centre in centres], 1)
    filled = fill(energies, energies, np.full(401, 1 / 401), 6.0 + electrons, smearing_ev=0.1)
    assert filled.is_metal
    assert gaps(filled.given(rule), rule) == (0.0, True)


def test_a_half_full_band_that_is_the_same_everywhere_is_at_the_fermi_level() -> None:
    energies = np.tile([-9.0, 0.0, 3.0], (5, 1))
    filled = fill(energies, energies, np.full(5, 0.2), 3.0, smearing_ev=0.1)
    assert filled.energies[KEPT - 1] == pytest.approx(np.zeros(5), abs=0.003)


@pytest.mark.parametrize("heavy", [1.0, 30.0])
def test_bands_that_touch_do_so_at_the_fermi_level_however_heavy_one_of_them_is(heavy: float) -> None:
    k = np.linspace(-0.5, 0.5, 101)
    path = np.stack([-8.0 * k**2 / heavy, 8.0 * k**2], 1)
    mesh = np.stack([path[::20, 0], path[::20, 1]], 1)
    filled = fill(path, mesh, np.full(len(mesh), 1 / len(mesh)), 2.0, smearing_ev=0.1)
    assert filled.is_metal
    assert filled.energies[KEPT - 1].max() == pytest.approx(0.0, abs=1e-9)
    assert filled.energies[KEPT].min() == pytest.approx(0.0, abs=1e-9)


def test_the_fermi_level_of_a_semimetal_lies_where_its_bands_overlap() -> None:
    k = np.linspace(-0.5, 0.5, 101)
    path = np.stack([0.02 - 0.4 * k**2, -0.02 + 9.0 * k**2], 1)
    filled = fill(path, path, np.full(101, 1 / 101), 2.0, smearing_ev=0.1)
    top, bottom = filled.energies[KEPT - 1].max(), filled.energies[KEPT].min()
    assert fermi_level(path, np.full(101, 1 / 101), 2.0, 0.1) > 0.03
    assert bottom < -0.03 < 0.0 <= top


def test_the_window_is_a_view_on_counted_bands() -> None:
    energies = np.arange(2.0 * KEPT)[:, None] - KEPT + 0.5
    rule = BandRule()
    metal, other = Filled(energies - 1.0, True, 0.0), Filled(energies, False, 1.0)
    np.testing.assert_allclose(other.window(rule)[:, 0], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(metal.window(rule)[:, 0], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(metal.window(rule, KEPT)[:, 0], [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5])
    assert len(other.window(BandRule(n_bands=12, n_valence=6))) == 12


def test_bands_around_the_fermi_level_that_are_not_there_are_nan() -> None:
    energies = np.arange(4.0)[:, None] - 1.5
    insulator = Filled(energies, False, 1.0)
    around = insulator.around(BandRule(8, 5))[:, 0]
    np.testing.assert_array_equal(around, [np.nan, np.nan, np.nan, -1.5, -0.5, 0.5, 1.5, np.nan])
    np.testing.assert_array_equal(insulator.around(BandRule(2, 1), n_nonempty=9), np.full((2, 1), np.nan))
    np.testing.assert_array_equal(insulator.around(BandRule(2, 1), n_nonempty=-9), np.full((2, 1), np.nan))


def test_every_band_is_kept_where_all_are_wanted() -> None:
    path = np.arange(40.0)[None] + 0.25
    filled = fill(path, path, np.ones(1), 12.0, smearing_ev=0.15, kept=None)
    there = ~np.isnan(filled.energies[:, 0])
    np.testing.assert_allclose(filled.energies[there, 0], np.arange(40.0) - 5.5)
    assert (len(filled.energies), int(there.argmax()), filled.n_nonempty) == (2 * 34, 34 - 6, 34)
    mesh = np.repeat([-1.0, 0.0, 5.0], [5, 1, 34])[None]  # E_F is near 0
    metal = fill(np.repeat([-0.2, 5.0], [30, 10])[None], mesh, np.ones(1), 12.0, smearing_ev=0.15, kept=None)
    assert metal.n_nonempty == 34 + (30 - 6)  # more bands reach below the Fermi level than are kept otherwise


@pytest.mark.parametrize("electrons", [0.0, 4.0, 6.0])
def test_electrons_that_leave_no_band_empty_or_fill_none_are_refused(electrons: float) -> None:
    with pytest.raises(InputError) as refused:
        fill(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]), np.ones(1), electrons, smearing_ev=0.15)
    assert refused.value.code == "too-few-bands"
