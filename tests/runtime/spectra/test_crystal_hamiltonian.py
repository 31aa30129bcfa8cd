"""The Hamiltonian of a crystal: the engine's own bands, anywhere, and what they are made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import bandrt
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, EngineError, InputError, UsageError
from bandrt.spectra.crystal_hamiltonian import ORBITAL_NAMES, CrystalHamiltonian, verdict
from tests.support.pencil_hamiltonians import cubic_band, cubic_hamiltonian

ROUNDING_EV = 2e-4
"""fp32 blocks and eigenvalues of matrices with elements of tens of eV, beside double precision."""
SYMMETRY_EV = 1e-3
"""What symmetry makes equal, from a network in fp32."""
RANDOM = np.random.default_rng(3).uniform(-1.0, 1.0, (12, 3))


@pytest.mark.parametrize("name", ["MgO_mp-1265.vasp", "CuAu_mp-522.vasp", "GaAs_mp-8883.cif", "GaN_mp-830.cif"])
def test_it_gives_the_bands_of_the_engine_on_the_path(name: str, accurate: bandrt.Engine, examples: Path) -> None:
    hamiltonian = accurate.hamiltonian(examples / name)
    [prediction] = accurate.predict(examples / name)
    assert isinstance(prediction, bandrt.Prediction)
    bands = prediction.band_structure
    energies = hamiltonian.eigenvalues(bands.frac_kpoints).T
    first = int(np.abs(energies - bands.energies[0]).max(axis=1).argmin())
    assert energies[first : first + 6] == pytest.approx(bands.energies, abs=ROUNDING_EV)
    assert hamiltonian.is_metal == bands.is_metal
    if not bands.is_metal:
        assert first + 3 == hamiltonian.n_filled
        assert hamiltonian.band_gap <= bands.band_gap + ROUNDING_EV  # its own mesh may see lower
    assert hamiltonian.warnings == prediction.warnings
    assert hamiltonian.uncertainty_ev == pytest.approx(prediction.uncertainty_ev, abs=1e-5)


def test_states_are_made_of_all_orbitals(magnesia: CrystalHamiltonian) -> None:
    states = magnesia.states(RANDOM)
    assert states.weights.shape == (len(RANDOM), magnesia.n_bands, magnesia.n_orbitals) == (12, 21, 18)
    assert states.energies == pytest.approx(magnesia.eigenvalues(RANDOM), abs=ROUNDING_EV)
    assert states.weights.sum(axis=2) == pytest.approx(1.0, abs=1e-5)
    assert [orbital.name for orbital in magnesia.orbitals] == 2 * list(ORBITAL_NAMES)
    oxygen = [orbital.element == "O" and orbital.l == 1 for orbital in magnesia.orbitals]
    assert states.weights[:, magnesia.n_filled - 3 : magnesia.n_filled][:, :, oxygen].sum(axis=2).mean() > 0.6


@pytest.mark.parametrize("name", ["MgO_mp-1265.vasp", "GaAs_mp-8883.cif", "TiO2_mp-2657.cif"])
def test_weights_of_real_matrices_are_those_of_complex_ones(name: str, accurate: bandrt.Engine, examples: Path) -> None:
    """Of states that no other has the energy of; the oracle is LAPACK on complex matrices in double precision."""
    path = examples / name
    if not path.exists():
        path = next(iter(sorted(examples.glob("Al2O3*"))))
    hamiltonian = accurate.hamiltonian(path)
    states = hamiltonian.states(RANDOM[:4])
    energies, vectors = hamiltonian.eigenvectors(RANDOM[:4])
    weights = np.abs(vectors.transpose(0, 2, 1)) ** 2
    flat = set(hamiltonian.terms.flat_levels - hamiltonian.zero_ev)
    n_compared = 0
    for k in range(4):
        hopping = [b for b in range(hamiltonian.n_bands) if not any(abs(states.energies[k, b] - level) < 1e-4 for level in flat)]
        lonely = np.diff(energies[k], prepend=-np.inf, append=np.inf)
        for own, band in enumerate(hopping):
            if min(lonely[own], lonely[own + 1]) > 0.1:
                assert states.weights[k, band] == pytest.approx(weights[k, own], abs=1e-3)
                n_compared += 1
    assert n_compared > 20


def test_its_bands_have_the_symmetry_of_the_crystal(magnesia: CrystalHamiltonian, alloy: CrystalHamiltonian) -> None:
    for hamiltonian in (magnesia, alloy):
        for rotation in hamiltonian.cell.rotations[::7]:
            rotated = hamiltonian.eigenvalues(RANDOM @ rotation.T)
            assert rotated == pytest.approx(hamiltonian.eigenvalues(RANDOM), abs=SYMMETRY_EV)


def test_any_cell_of_a_crystal_gives_the_same(accurate: bandrt.Engine) -> None:
    primitive = Crystal.checked(2.105 * (np.ones((3, 3)) - np.eye(3)), [12, 8], [[0, 0, 0], [0.5, 0.5, 0.5]])
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    doubled = Crystal.checked(
        np.diag([2, 1, 1]) @ primitive.lattice @ turn, [12, 12, 8, 8], [[0, 0, 0], [0.5, 0, 0], [0.25, 0.5, 0.5], [0.75, 0.5, 0.5]]
    )
    one, other = accurate.hamiltonian(primitive), accurate.hamiltonian(doubled)
    assert other.eigenvalues(RANDOM) == pytest.approx(one.eigenvalues(RANDOM), abs=SYMMETRY_EV)


@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 1, 1), (1, 3, 2)])
def test_k_points_of_the_original_cell_keep_their_length(repeat: tuple[int, int, int], accurate: bandrt.Engine) -> None:
    """A k-point is as long in either cell: the standard one is turned, not strained."""
    rutile = Crystal.checked(
        np.diag([4.6, 4.6, 2.95]), [22, 22, 8, 8, 8, 8],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]],
    )  # fmt: skip
    shifts = np.stack(np.meshgrid(*map(np.arange, repeat), indexing="ij"), axis=-1).reshape(-1, 3)
    given = Crystal.checked(
        np.diag(repeat) @ rutile.lattice[[2, 0, 1]],
        np.tile(rutile.atomic_numbers, len(shifts)),
        np.concatenate([(rutile.frac_coords[:, [2, 0, 1]] + shift) / repeat for shift in shifts]),
    )
    hamiltonian = accurate.hamiltonian(given)
    standard = hamiltonian.to_standard(RANDOM)
    lengths = np.linalg.norm(RANDOM @ given.reciprocal, axis=1)
    assert np.linalg.norm(standard @ hamiltonian.crystal.reciprocal, axis=1) == pytest.approx(lengths, rel=1e-6)
    assert hamiltonian.to_original(standard) == pytest.approx(RANDOM, abs=1e-9)


def test_a_pencil_is_enough_for_a_cubic_band() -> None:
    hamiltonian = cubic_hamiltonian()
    energies = hamiltonian.eigenvalues(RANDOM)
    assert energies[:, 0] == pytest.approx(-1.0)
    assert energies[:, 1] == pytest.approx(cubic_band(RANDOM), abs=1e-5)
    assert hamiltonian.eigenvectors(RANDOM)[0][:, 0] == pytest.approx(cubic_band(RANDOM), abs=1e-6)
    assert hamiltonian.states(RANDOM).weights[:, :2, 0] == pytest.approx(1.0, abs=1e-6)


def test_derivatives_are_those_of_differences(magnesia: CrystalHamiltonian) -> None:
    kpoint, step = np.array([0.1, 0.23, -0.31]), 1e-4
    own, first, second = magnesia.smooth.derivatives(kpoint)
    assert own == pytest.approx(magnesia.smooth.at(kpoint[None])[0])
    to_frac = np.linalg.inv(magnesia.crystal.reciprocal)
    for axis in range(3):
        ends = [magnesia.smooth.at((kpoint + sign * step * to_frac[axis])[None])[0] for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(first[axis], abs=1e-4)
        changes = [magnesia.smooth.derivatives(kpoint + sign * step * to_frac[axis])[1] for sign in (1, -1)]
        assert (changes[0] - changes[1]) / (2 * step) == pytest.approx(second[axis], abs=1e-4)


def test_more_threads_change_nothing_but_rounding(magnesia: CrystalHamiltonian) -> None:
    """In single precision, how a product is cut into blocks decides its last digits on some processors."""
    points = np.random.default_rng(0).random((200, 3))
    together = dataclasses.replace(magnesia, threads=2)
    np.testing.assert_allclose(together.eigenvalues(points), magnesia.eigenvalues(points), atol=1e-4, rtol=0)
    np.testing.assert_allclose(together.states(points).weights, magnesia.states(points).weights, atol=1e-3, rtol=0)


@pytest.mark.parametrize("engine", ["fast", "tiny"])
def test_an_engine_of_six_bands_has_none(engine: str, tiny_engine: Path, examples: Path) -> None:
    with bandrt.load(tiny_engine if engine == "tiny" else engine, threads=1) as opened, pytest.raises(UsageError) as caught:
        opened.hamiltonian(examples / "GaAs_mp-8883.cif")
    assert caught.value.code == "no-hamiltonian"
    assert "accurate" in caught.value.message


@pytest.mark.parametrize("kpoints", [[0, 0, 0], [], "Γ", [[0, 0, float("nan")]], [[0, 0]], None])
def test_what_is_no_k_point_is_refused(kpoints: object) -> None:
    with pytest.raises(ArgumentError) as caught:
        cubic_hamiltonian().eigenvalues(kpoints)
    assert "kpoints" in caught.value.message


def test_one_crystal_is_taken_and_not_several(accurate: bandrt.Engine, examples: Path) -> None:
    with pytest.raises(ArgumentError):
        accurate.hamiltonian([examples / "GaAs_mp-8883.cif"])
    with pytest.raises(InputError) as caught:
        accurate.hamiltonian(examples / "lost.cif")
    assert caught.value.code == "file-not-found"


def test_a_closed_engine_is_not_asked(accurate: bandrt.Engine, examples: Path) -> None:
    with bandrt.load("accurate", threads=1) as engine:
        pass
    with pytest.raises(EngineError) as caught:
        engine.hamiltonian(examples / "GaAs_mp-8883.cif")
    assert caught.value.code == "engine-closed"


def test_it_says_what_it_is(magnesia: CrystalHamiltonian) -> None:
    assert repr(magnesia).startswith("CrystalHamiltonian(MgO, 18 orbitals, 14 electrons, gap 4.")


def test_of_a_crystal_that_is_handed_over_only_what_is_asked_for_with_that_in_mind(examples: Path) -> None:
    item = examples / "NiAl_mp-1487.cif"
    with bandrt.load("accurate", threads=1) as engine, pytest.raises(UsageError) as caught:
        engine.hamiltonian(item)
    assert caught.value.code == "no-hamiltonian"
    assert "hand_over=False" in caught.value.message
    assert "accurate leaves crystals with Ni to fast" in caught.value.message
    with bandrt.load("accurate", threads=1, hand_over=False) as engine:
        assert "magnetic:Ni" in engine.hamiltonian(item).warnings


def test_k_points_of_which_rounding_leaves_nothing_are_refused(magnesia: CrystalHamiltonian) -> None:
    with pytest.raises(ArgumentError, match="at most 1e"):
        magnesia.eigenvalues([[1e30, 0.0, 0.0]])


def test_the_gap_of_the_path_is_that_of_a_prediction(
    accurate: bandrt.Engine, magnesia: CrystalHamiltonian, alloy: CrystalHamiltonian
) -> None:
    for own in (magnesia, alloy):
        [predicted] = accurate.predict([own.original])
        assert isinstance(predicted, bandrt.Prediction)
        assert own.kpath_gap == pytest.approx(predicted.band_structure.band_gap, abs=1e-5)
        assert (own.kpath_gap == 0.0) is predicted.band_structure.is_metal


@pytest.mark.parametrize(
    ("is_metal", "band_gap", "kpath_gap", "said"),
    [
        (True, 0.0, 0.0, "metal"),
        (True, 0.0, None, "metal"),
        (False, 1.0, 1.005, "gap 1.000 eV"),
        (False, 1.0, 1.2, "gap 1.000 eV; on the k-path alone, as in `bandrt infer`, gap 1.200 eV"),
        (True, 0.0, 0.005, "metal; on the k-path alone, as in `bandrt infer`, gap 0.005 eV"),
        (False, 0.005, 0.0, "gap 0.005 eV; on the k-path alone, as in `bandrt infer`, metal"),
    ],
)
def test_what_the_path_alone_says_stands_beside_where_it_is_something_else(
    is_metal: bool, band_gap: float, kpath_gap: float | None, said: str
) -> None:
    assert verdict(is_metal, band_gap, kpath_gap) == said
