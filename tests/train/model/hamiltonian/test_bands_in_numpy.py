"""Bands in NumPy are those of the model in torch, in whatever form H(k) is made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from bandrt.contract import NOWHERE
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.features import featurize_crystal
from bandrt.hamiltonian import bloch, eigenvalues
from bandrt.hamiltonian.bands import filled_bands
from bandrt.hamiltonian.bloch import BlochSum
from bandrt.hamiltonian.derivatives import SmoothHamiltonian
from bandrt.hamiltonian.filling import Filled
from bandrt.hamiltonian.hoppings import Hoppings, hoppings_of
from bandrt.hamiltonian.inversion import disagreement, inversion_of
from bandrt.recipe import MeshRecipe
from bandrt.symmetry.inversion import Inversion
from bandrt_train.model.hamiltonian.model import LearnedHamiltonian, bloch_sum
from bandrt_train.model.hamiltonian.pairs import find_pairs
from tests.support.hamiltonian_tensors import hamiltonian_tensors
from tests.support.small_hamiltonians import (
    ALUMINIUM,
    GALLIUM_ARSENIDE,
    OVERLAPPING,
    SALT,
    SILICON,
    TRICLINIC,
    bands_of,
    plain_mesh,
    predict,
    small_model,
)

ENERGY_TOLERANCE_EV = 2e-4
"""fp32 rounding of matrices with eigenvalues of some 30 eV."""
UP, HALVED = np.array([0.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.5])
MODEL, OVERLAPPING_MODEL = small_model(), small_model(config=OVERLAPPING)
KPOINTS = np.concatenate([np.linspace([0.0, 0.0, 0.0], [0.5, 0.25, 0.5], 9), [[0.13, -0.71, 0.37], [0.5, 0.5, 0.0]]])
CUPRITE = Crystal(
    4.27 * np.eye(3),
    np.array([29, 29, 29, 29, 8, 8], np.int32),
    np.array([[0.25, 0.25, 0.25], [0.75, 0.75, 0.25], [0.75, 0.25, 0.75], [0.25, 0.75, 0.75], [0, 0, 0], [0.5, 0.5, 0.5]]),
)
RUTILE = Crystal(
    np.diag([4.59, 4.59, 2.96]),
    np.array([8, 22, 8, 22, 8, 8], np.int32),
    np.array([[0.305, 0.305, 0], [0, 0, 0], [0.695, 0.695, 0], [0.5, 0.5, 0.5], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]]) + 0.1,
)
"""Titanium lies at centres, oxygen beside them, and the centre is not at the origin."""
CENTRIC = {"silicon": SILICON, "salt": SALT, "aluminium": ALUMINIUM, "cuprite": CUPRITE, "rutile": RUTILE}
OTHERS = {"gallium arsenide": GALLIUM_ARSENIDE, "triclinic": TRICLINIC}
ALL = [pytest.param(one, id=name) for name, one in (CENTRIC | OTHERS).items()]


def parts(crystal: Crystal, model: LearnedHamiltonian = MODEL, **size: int) -> tuple[dict[str, Any], Hoppings]:
    tensors = {name: values[0] for name, values in hamiltonian_tensors(model, [crystal], **size).items()}
    names = ("hoppings", "on_site", "neighbor_index", "neighbor_image", "neighbor_mask")
    return tensors, hoppings_of(*(tensors[name] for name in names), n_atoms=crystal.n_atoms, overlaps=tensors.get("overlaps"))


def inversion(tensors: dict[str, Any], hoppings: Hoppings) -> Inversion | None:
    filled = tensors["neighbor_mask"]
    vectors = (tensors["neighbor_direction"] * tensors["neighbor_distance"][..., None])[filled]
    return inversion_of(hoppings, vectors, tensors["atomic_numbers"][tensors["atom_mask"]])


def filled(crystal: Crystal, kpoints: np.ndarray, *, exact: bool = True, **size: int) -> Filled:
    tensors, hoppings = parts(crystal, **size)
    flat = tensors["flat_levels"][tensors["flat_levels"] < NOWHERE]
    return filled_bands(
        hoppings,
        flat,
        kpoints,
        plain_mesh(crystal.lattice),
        float(tensors["electrons"]),
        smearing_ev=MeshRecipe().smearing,
        inversion=inversion(tensors, hoppings),
        exact=exact,
    )


@pytest.mark.parametrize("crystal", ALL)
def test_matrices_are_those_of_the_model(crystal: Crystal) -> None:
    [solid] = MODEL.real_space([find_pairs(crystal)])
    with torch.no_grad():
        expected = bloch_sum(solid, torch.from_numpy(KPOINTS)).numpy()
    found = BlochSum(parts(crystal)[1]).at(KPOINTS)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("crystal", ALL)
@pytest.mark.parametrize("panel_bytes", [bloch.PANEL_BYTES, 1])
def test_bands_of_overlapping_orbitals_are_those_of_the_model(
    crystal: Crystal, panel_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From complex matrices, and from real ones where there is a centre."""
    monkeypatch.setattr(bloch, "PANEL_BYTES", panel_bytes)
    tensors, hoppings = parts(crystal, OVERLAPPING_MODEL)
    expected = bands_of(OVERLAPPING_MODEL, crystal, KPOINTS)
    centre = inversion(tensors, hoppings)
    assert (centre is not None) == any(crystal is one for one in CENTRIC.values())
    flat = tensors["flat_levels"][tensors["flat_levels"] < NOWHERE]
    for known in (None, centre):
        found = eigenvalues.eigenvalues(BlochSum(hoppings, known), KPOINTS)
        whole = np.sort(np.concatenate([found, np.broadcast_to(flat, (len(found), len(flat)))], axis=1), axis=1)
        np.testing.assert_allclose(whole, expected, atol=ENERGY_TOLERANCE_EV)


def test_overlap_matters_to_bands() -> None:
    _, hoppings = parts(SILICON, OVERLAPPING_MODEL)
    without = hoppings._replace(overlap=None)
    apart = eigenvalues.eigenvalues(BlochSum(hoppings), KPOINTS) - eigenvalues.eigenvalues(BlochSum(without), KPOINTS)
    assert np.abs(apart).max() > 0.1


def test_a_centre_that_overlaps_deny_is_none() -> None:
    tensors, hoppings = parts(SALT, OVERLAPPING_MODEL)
    assert inversion(tensors, hoppings) is not None
    assert hoppings.overlap is not None
    hoppings.overlap[-1, 0, 1] += 0.1
    assert inversion(tensors, hoppings) is None


def test_derivatives_of_overlapping_orbitals_are_those_of_differences() -> None:
    _, hoppings = parts(TRICLINIC, OVERLAPPING_MODEL)
    smooth, step, kpoint = SmoothHamiltonian(hoppings, TRICLINIC.lattice), 1e-4, np.array([0.13, -0.21, 0.37])
    own, first, second = smooth.derivatives(kpoint)
    np.testing.assert_allclose(own, smooth.at(kpoint[None])[0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.eigvalsh(own), eigenvalues.eigenvalues(BlochSum(hoppings), kpoint[None])[0], atol=2e-4)
    to_frac = TRICLINIC.lattice.T / (2.0 * np.pi)  # of a Cartesian wave vector, 1/Å
    for axis in range(3):
        way = step * to_frac[axis]
        before, after = (smooth.derivatives(kpoint + sign * way) for sign in (-1, 1))
        np.testing.assert_allclose(first[axis], (after[0] - before[0]) / (2.0 * step), atol=1e-4)
        np.testing.assert_allclose(second[axis], (after[1] - before[1]) / (2.0 * step), atol=1e-3)


@pytest.mark.parametrize("crystal", ALL)
@pytest.mark.parametrize("panel_bytes", [bloch.PANEL_BYTES, 1])
def test_eigenvalues_are_those_of_the_model(crystal: Crystal, panel_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made at once, or a few rows at a time."""
    monkeypatch.setattr(bloch, "PANEL_BYTES", panel_bytes)
    tensors, hoppings = parts(crystal)
    [solid] = MODEL.real_space([find_pairs(crystal)])
    with torch.no_grad():
        expected = torch.linalg.eigvalsh(bloch_sum(solid, torch.from_numpy(KPOINTS))).numpy()
    for one in {None, inversion(tensors, hoppings) and "its own"}:
        own = BlochSum(hoppings, inversion(tensors, hoppings) if one else None)
        np.testing.assert_allclose(eigenvalues.eigenvalues(own, KPOINTS), expected, atol=ENERGY_TOLERANCE_EV)


@pytest.mark.parametrize("crystal", [pytest.param(one, id=name) for name, one in CENTRIC.items()])
def test_a_centre_of_inversion_is_found_and_makes_matrices_real(crystal: Crystal) -> None:
    tensors, hoppings = parts(crystal, n_atoms=crystal.n_atoms + 2, n_slots=150)
    found = inversion(tensors, hoppings)
    assert found is not None
    assert disagreement(hoppings, found) < 1e-5
    np.testing.assert_array_equal(found.partner[found.partner], np.arange(crystal.n_atoms))
    assert BlochSum(hoppings, found).at(KPOINTS).dtype == np.float32


@pytest.mark.parametrize("crystal", [pytest.param(one, id=name) for name, one in OTHERS.items()])
def test_no_centre_is_found_where_there_is_none(crystal: Crystal) -> None:
    assert inversion(*parts(crystal)) is None


def test_a_centre_that_the_hamiltonian_does_not_have_is_not_believed() -> None:
    tensors, hoppings = parts(SILICON)
    bent = hoppings.block.copy()
    bent[0, 0, 0] += 0.01
    assert inversion(tensors, hoppings) is not None
    assert inversion(tensors, hoppings._replace(block=bent)) is None


def test_chains_that_do_not_see_each_other_have_no_centre_that_is_known() -> None:
    """Where they lie to each other does not follow from their pairs."""
    apart = Crystal(np.diag([2.0, 30.0, 30.0]), np.array([6, 6], np.int32), np.array([[0, 0, 0], [0.3, 0.5, 0.5]]))
    tensors, hoppings = parts(apart)
    assert inversion(tensors, hoppings) is None
    expected = bands_of(MODEL, apart, KPOINTS)
    np.testing.assert_allclose(eigenvalues.eigenvalues(BlochSum(hoppings), KPOINTS), expected, atol=ENERGY_TOLERANCE_EV)


def test_where_k_and_its_opposite_are_the_same_matrices_are_real() -> None:
    own = BlochSum(parts(TRICLINIC)[1])
    assert own.is_real_at(KPOINTS).tolist() == [True, *[False] * 9, True]
    corner = np.array([[0.5, 0.5, 0.0]])
    np.testing.assert_allclose(own.at(corner, real=True), own.at(corner), atol=1e-5)


def test_single_precision_is_near_double() -> None:
    own = BlochSum(parts(RUTILE)[1]).at(KPOINTS)
    np.testing.assert_allclose(eigenvalues.eigvalsh(own), np.linalg.eigvalsh(own.astype(np.complex128)), atol=ENERGY_TOLERANCE_EV)


@pytest.mark.parametrize("chunk_bytes", [1, eigenvalues.CHUNK_BYTES])
def test_threads_and_chunks_change_nothing_but_rounding(chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    own = BlochSum(parts(GALLIUM_ARSENIDE)[1])
    expected = eigenvalues.eigenvalues(own, KPOINTS)
    monkeypatch.setattr(eigenvalues, "CHUNK_BYTES", chunk_bytes)
    with ThreadPoolExecutor(3) as pool:
        found = eigenvalues.eigenvalues(BlochSum(parts(GALLIUM_ARSENIDE)[1]), KPOINTS, pool=pool, threads=3)
    np.testing.assert_allclose(found, expected, atol=ENERGY_TOLERANCE_EV)


def test_linear_algebra_has_its_threads_back_afterwards() -> None:
    functions = eigenvalues._blas_threads()
    if functions is None:
        pytest.skip("this NumPy has another library of linear algebra")
    read, write = functions
    before = read()
    write(2)
    try:
        with eigenvalues.single_threaded_blas():
            assert read() == 1
        assert read() == 2
    finally:
        write(before)


@pytest.mark.parametrize("crystal", ALL)
def test_filled_bands_are_those_that_the_model_predicts(crystal: Crystal) -> None:
    expected = predict(MODEL, find_pairs(crystal), KPOINTS)
    found = filled(crystal, KPOINTS, n_atoms=crystal.n_atoms + 1)
    np.testing.assert_allclose(found.energies, expected.energies, atol=2 * ENERGY_TOLERANCE_EV)
    assert found.is_metal == expected.is_metal
    assert found.band_gap == pytest.approx(expected.band_gap, abs=2 * ENERGY_TOLERANCE_EV)


def test_the_order_of_atoms_and_the_frame_change_nothing() -> None:
    expected = filled(RUTILE, KPOINTS)
    order = np.array([3, 0, 5, 2, 1, 4])
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    other = Crystal(RUTILE.lattice @ turn, RUTILE.atomic_numbers[order], RUTILE.frac_coords[order] + np.array([1.0, 0.0, -2.0]))
    found = filled(other, KPOINTS)
    np.testing.assert_allclose(found.energies, expected.energies, atol=2 * ENERGY_TOLERANCE_EV)


def test_a_supercell_has_the_bands_of_its_cell() -> None:
    """Those of the doubled cell at K are those of the cell at K / 2 and (K + 1) / 2 along the doubled vector."""
    doubled = Crystal(
        np.diag([1.0, 1.0, 2.0]) @ SALT.lattice,
        np.tile(SALT.atomic_numbers, 2),
        np.concatenate([SALT.frac_coords, SALT.frac_coords + UP]) * HALVED,
    )
    tensors, hoppings = parts(doubled)
    found = eigenvalues.eigenvalues(BlochSum(hoppings, inversion(tensors, hoppings)), KPOINTS)
    own = BlochSum(parts(SALT)[1])
    half = [eigenvalues.eigenvalues(own, (KPOINTS + shift * UP) * HALVED) for shift in (0, 1)]
    np.testing.assert_allclose(found, np.sort(np.concatenate(half, axis=1), axis=1), atol=2 * ENERGY_TOLERANCE_EV)


def test_large_crystals_are_interpolated_unless_they_must_be_exact() -> None:
    cubic = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    perovskites = Crystal(
        np.diag([4.0, 4.0, 12.0]),
        np.tile(np.array([38, 22, 8, 8, 8], np.int32), 3),
        np.concatenate([(cubic + layer * UP) / np.array([1.0, 1.0, 3.0]) for layer in range(3)]),
    )
    kpoints = np.linspace([0.0, 0.0, 0.0], [0.5, 0.5, 0.0], 33)
    exact, near = filled(perovskites, kpoints), filled(perovskites, kpoints, exact=False)
    np.testing.assert_allclose(exact.energies, predict(MODEL, find_pairs(perovskites), kpoints).energies, atol=1e-3)
    apart = np.abs(near.energies - exact.energies)
    assert 0.0 < float(np.nanmean(apart)) < 0.01
    assert (
        float(np.nanmax(np.abs((near.energies - near.energies[:, :1]) - (exact.energies - exact.energies[:, :1]))[:, ::2])) < 0.01
    )


def test_a_crystal_with_more_electrons_than_its_bands_hold_is_refused() -> None:
    _, hoppings = parts(ALUMINIUM)
    with pytest.raises(InputError) as refused:
        filled_bands(hoppings, np.zeros(0), KPOINTS, (np.zeros((1, 3)), np.ones(1)), 18.0, smearing_ev=0.1)
    assert refused.value.code == "too-few-bands"


def test_what_is_not_a_number_is_not_taken_for_one() -> None:
    _, hoppings = parts(SILICON)
    broken = hoppings._replace(block=np.where(np.arange(9) == 3, np.nan, hoppings.block).astype(np.float32))
    assert np.isnan(eigenvalues.eigenvalues(BlochSum(broken), KPOINTS)).all()
    found = filled_bands(broken, np.zeros(0), KPOINTS, (np.zeros((1, 3)), np.ones(1)), 8.0, smearing_ev=0.1)
    assert not np.isfinite(found.energies).any()
    assert not np.isnan(found.energies).any()  # which would say that there are no such bands


def test_paths_of_crystals_are_solved_as_they_come() -> None:
    """In single precision, of the standard cell, with its own path."""
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    features = featurize_crystal(Crystal(SILICON.lattice @ turn, SILICON.atomic_numbers, SILICON.frac_coords))
    expected = predict(MODEL, find_pairs(features.crystal), features.kpoints.astype(np.float64))
    np.testing.assert_allclose(filled(features.crystal, features.kpoints).energies, expected.energies, atol=2 * ENERGY_TOLERANCE_EV)
