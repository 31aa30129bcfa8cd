"""Densities of states: every state once, parts that add up, and what other programs read of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import bandrt
from bandrt.errors import ArgumentError, InputError
from bandrt.hamiltonian.filling import fermi_level
from bandrt.manifest import ZERO_GAP_EV
from bandrt.spectra.bands import bands_at
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian
from bandrt.spectra.dos import DensityOfStates, density_of_states
from bandrt.spectra.kpoints import place
from bandrt.spectra.masses import band_edges
from bandrt.spectra.mesh import zone_mesh
from tests.support.pencil_hamiltonians import FLAT_EV, HOPPING_EV, LEVEL_EV, cubic_band, cubic_hamiltonian

MESH = (8, 8, 8)
PBE_GAP_EV = 4.77
"""Of MgO, by the labels of this project."""


@pytest.fixture(scope="module")
def dos(magnesia: CrystalHamiltonian) -> DensityOfStates:
    return density_of_states(magnesia, mesh=MESH, window=(-60.0, 80.0), step=0.05)


def test_every_state_is_counted_once(dos: DensityOfStates, magnesia: CrystalHamiltonian) -> None:
    highest = magnesia.eigenvalues(zone_mesh(MESH).frac_kpoints).max()
    whole = density_of_states(magnesia, mesh=MESH, window=(-80.0, float(highest) + 1.0), step=0.05)
    assert whole.below == 0.0
    assert whole.integrated[-1] == pytest.approx(2.0 * magnesia.n_bands, abs=1e-6)


def test_in_the_gap_all_electrons_are_below(dos: DensityOfStates) -> None:
    assert dos.integrated[int(np.searchsorted(dos.energies, dos.efermi))] == pytest.approx(dos.electrons, abs=1e-6)


def test_parts_add_up_to_the_whole(dos: DensityOfStates) -> None:
    scale = dos.total.max()
    assert dos.projected.sum(axis=1) == pytest.approx(dos.total, abs=1e-5 * scale)
    for parts in (dos.by_element().values(), dos.by_shell().values(), [dos.of_atoms([0]), dos.of_atoms([1])]):
        assert np.sum(list(parts), axis=0) == pytest.approx(dos.total, abs=1e-5 * scale)


def test_symmetry_changes_neither_the_whole_nor_a_part(alloy: CrystalHamiltonian) -> None:
    """Beside all points that time reversal leaves."""
    only_identity = dataclasses.replace(alloy.cell, rotations=np.stack([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)]))
    choices = {"mesh": (6, 6, 6), "window": (-12.0, 8.0), "step": 0.25}
    few, every = (density_of_states(one, **choices) for one in (alloy, dataclasses.replace(alloy, cell=only_identity)))  # type: ignore[arg-type]
    assert few.integrated == pytest.approx(every.integrated, abs=2e-3)
    assert np.cumsum(few.projected, axis=0) * few.spacing == pytest.approx(
        np.cumsum(every.projected, axis=0) * few.spacing, abs=2e-2
    )
    assert few.efermi == pytest.approx(every.efermi, abs=1e-3)


def test_it_agrees_with_counting_states(alloy: CrystalHamiltonian) -> None:
    """States of random k-points in bins of half an eV."""
    dos = density_of_states(alloy, mesh=(20, 20, 18), window=(-8.0, 4.0), step=0.5)
    points = np.random.default_rng(5).random((4000, 3))
    edges = np.append(dos.energies - 0.25, dos.energies[-1] + 0.25)
    counted = np.histogram(alloy.eigenvalues(points), edges)[0] * 2.0 / len(points) / 0.5
    assert dos.total == pytest.approx(counted, abs=0.03 * counted.max())


def test_how_states_of_one_energy_are_mixed_decides_nothing(magnesia: CrystalHamiltonian) -> None:
    dos = density_of_states(magnesia, mesh=(6, 6, 6), window=(-8.0, 12.0), step=0.1)
    for shell, names in (("p", ("px", "py", "pz")), ("d", ("dxy", "dyz", "dxz")), ("d", ("dx2", "dz2"))):
        for atom in (0, 1):
            alike = [c for c, orbital in enumerate(dos.orbitals) if orbital.atom == atom and orbital.name in names]
            for column in alike[1:]:
                error = np.abs(dos.projected[:, column] - dos.projected[:, alike[0]]).max()
                assert error < 1e-4 * dos.projected[:, alike].max(), (shell, atom)


def test_orbitals_of_one_shell_are_alike_in_a_cubic_crystal(dos: DensityOfStates) -> None:
    of_oxygen = [column for column, orbital in enumerate(dos.orbitals) if orbital.element == "O" and orbital.l == 1]
    for column in of_oxygen[1:]:
        assert dos.projected[:, column] == pytest.approx(dos.projected[:, of_oxygen[0]], abs=2e-3 * dos.total.max())


def test_oxygen_p_is_below_the_gap_of_magnesia(dos: DensityOfStates) -> None:
    shells = dos.by_shell()
    valence = (dos.energies < 0.0) & (dos.energies > -10.0)
    assert shells["O", "p"][valence].sum() > 0.6 * dos.total[valence].sum()


def test_gap_and_edges_are_those_of_the_engine(dos: DensityOfStates, magnesia: CrystalHamiltonian) -> None:
    assert not dos.is_metal
    assert dos.band_gap == pytest.approx(magnesia.band_gap, abs=1e-3)
    assert dos.efermi == pytest.approx(0.0, abs=1e-3)
    assert dos.vbm is not None
    assert dos.cbm is not None
    assert dos.direct_gap is not None
    assert dos.vbm.frac_kpoint == dos.cbm.frac_kpoint == dos.direct_gap.frac_kpoint == (0.0, 0.0, 0.0)
    assert dos.direct_gap.energy == pytest.approx(dos.band_gap)
    inside = (dos.energies > dos.vbm.energy + 0.06) & (dos.energies < dos.cbm.energy - 0.06)
    assert inside.any()
    assert np.abs(dos.total[inside]).max() < 1e-9


def test_the_gap_of_magnesia_is_that_of_pbe(dos: DensityOfStates) -> None:
    assert abs(dos.band_gap - PBE_GAP_EV) < 0.55  # with the lattice constant of PBE, see the test below


def test_the_gap_of_magnesia_in_the_cell_of_its_label(accurate: bandrt.Engine) -> None:
    a = 4.19  # Å
    cell = bandrt.Crystal.checked(0.5 * a * (np.ones((3, 3)) - np.eye(3)), [12, 8], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert density_of_states(accurate.hamiltonian(cell), mesh=MESH, step=0.1).band_gap == pytest.approx(PBE_GAP_EV, abs=0.5)


def test_the_fermi_level_of_a_metal_is_that_of_smeared_states(alloy: CrystalHamiltonian) -> None:
    """By the engine's own function of filling, with little smearing, on the same mesh."""
    dos = density_of_states(alloy, mesh=(16, 16, 12), step=0.1)
    mesh = zone_mesh((16, 16, 12))
    smeared = fermi_level(alloy.eigenvalues(mesh.frac_kpoints), mesh.weights, alloy.electrons, 0.05)
    assert dos.is_metal
    assert dos.efermi == pytest.approx(smeared, abs=0.1)
    assert [one.band for one in dos.crossing]
    for one in dos.crossing:
        assert one.lowest < dos.efermi < one.highest
    assert dos.at_efermi is not None
    assert dos.at_efermi > 0.1


def test_smearing_brings_states_from_outside_of_the_window() -> None:
    hamiltonian = cubic_hamiltonian(electrons=3.0)
    wide, narrow = (
        density_of_states(hamiltonian, mesh=(8, 8, 8), window=window, step=0.05, smearing=0.3)
        for window in ((LEVEL_EV - 15.0, LEVEL_EV + 15.0), (LEVEL_EV - 1.0, LEVEL_EV + 1.0))
    )
    first = int(np.argmin(np.abs(wide.energies - narrow.energies[0])))
    same = slice(first, first + len(narrow.energies))
    np.testing.assert_allclose(narrow.energies, wide.energies[same], atol=1e-9)
    np.testing.assert_allclose(narrow.total, wide.total[same], rtol=1e-6)
    np.testing.assert_allclose(narrow.projected, wide.projected[same], atol=1e-6)
    np.testing.assert_allclose(narrow.integrated, wide.integrated[same], rtol=1e-6)


@pytest.mark.parametrize("window", [(1.0, 6.0), (-6.0, -1.0)])
def test_states_at_a_fermi_level_outside_the_window_are_not_told(alloy: CrystalHamiltonian, window: tuple[float, float]) -> None:
    dos = density_of_states(alloy, mesh=(6, 6, 4), window=window, step=0.1)
    assert dos.is_metal
    assert dos.at_efermi is None
    assert dos.summary()["states_at_efermi"] is None


def test_a_half_full_band_is_a_metal_with_its_level_in_the_middle() -> None:
    dos = density_of_states(cubic_hamiltonian(electrons=3.0), mesh=(12, 12, 12), window=(-2.0, 12.0))
    assert dos.is_metal
    assert dos.efermi == pytest.approx(LEVEL_EV, abs=1e-3)
    assert [one.band for one in dos.crossing] == [1]
    assert dos.band_gap == 0.0
    assert dos.summary()["vbm_ev"] is None


def test_bands_that_touch_are_a_metal_as_everywhere() -> None:
    """Half an meV, which rounding could make of nothing."""
    touching = cubic_hamiltonian(flat_ev=LEVEL_EV - 6.0 * HOPPING_EV - 0.5 * ZERO_GAP_EV)
    assert density_of_states(touching, mesh=(4, 4, 4), window=(-2.0, 12.0), step=0.1).is_metal
    assert bands_at(touching, [[0.0, 0.0, 0.0]]).is_metal
    assert not bands_at(touching, [[0.5, 0.0, 0.0]]).is_metal
    with pytest.raises(InputError) as caught:
        band_edges(touching)
    assert caught.value.code == "no-band-edges"


def test_what_the_engine_calls_a_metal_no_mesh_makes_an_insulator() -> None:
    metal = dataclasses.replace(cubic_hamiltonian(), is_metal=True, band_gap=0.0, kpath_gap=0.06)
    dos = density_of_states(metal, mesh=(2, 2, 2), window=(-2.0, 12.0), step=0.1)
    assert (dos.is_metal, dos.band_gap, dos.vbm) == (True, 0.0, None)
    assert dos.summary()["band_gap_of_kpath_ev"] == bands_at(metal, [[0.0, 0.0, 0.0]]).summary()["band_gap_of_kpath_ev"] == 0.06
    with pytest.raises(InputError, match=r"a metal; on the k-path alone, as in `bandrt infer`, gap 0.060 eV"):
        band_edges(metal)


def test_a_cubic_band_has_the_states_of_its_cosines() -> None:
    dos = density_of_states(cubic_hamiltonian(), mesh=(24, 24, 24), window=(-2.0, 12.0), step=0.1)
    sample = np.random.default_rng(1).random((1_000_000, 3))
    edges = np.append(dos.energies - 0.05, dos.energies[-1] + 0.05)
    expected = np.histogram(cubic_band(sample), edges)[0] * 2.0 / len(sample) / 0.1
    expected[np.abs(dos.energies - FLAT_EV) < 0.04] += 2.0 / 0.1
    assert dos.total == pytest.approx(expected, abs=0.03)
    assert dos.band_gap == pytest.approx(LEVEL_EV - 6 * HOPPING_EV - FLAT_EV, abs=1e-4)
    mean = dos.moment(1, 0.0, 12.0)
    assert mean == pytest.approx(LEVEL_EV, abs=1e-3)
    assert dos.moment(2, 0.0, 12.0) - mean**2 == pytest.approx(6 * HOPPING_EV**2, rel=0.02)  # cut straight between 24 points


def test_what_is_flat_is_counted(dos: DensityOfStates) -> None:
    assert (dos.n_bands, dos.n_flat_levels) == (21, 3)
    assert dos.summary().items() >= {"n_bands": 21, "n_flat_levels": 3}.items()


def test_smearing_keeps_states(dos: DensityOfStates) -> None:
    spread = dos.smeared(0.3)
    assert spread.total.sum() == pytest.approx(dos.total.sum(), rel=1e-6)
    assert spread.projected.sum(axis=1) == pytest.approx(spread.total, abs=1e-5 * dos.total.max())
    assert spread.total.max() < dos.total.max()
    width = np.sqrt(spread.moment(2, -100, 100) - spread.moment(1, -100, 100) ** 2)
    narrow = np.sqrt(dos.moment(2, -100, 100) - dos.moment(1, -100, 100) ** 2)
    assert width**2 - narrow**2 == pytest.approx(0.09, rel=0.05)


def test_pymatgen_reads_the_document(dos: DensityOfStates) -> None:
    pytest.importorskip("pymatgen")
    from pymatgen.electronic_structure.core import Orbital, OrbitalType, Spin
    from pymatgen.electronic_structure.dos import CompleteDos

    theirs = CompleteDos.from_dict(json.loads(json.dumps(dos.as_dict())))
    assert theirs.densities[Spin.up] == pytest.approx(dos.total)
    assert theirs.energies == pytest.approx(dos.energies)
    assert theirs.efermi == dos.efermi
    assert theirs.structure.formula == "Mg1 O1"
    for element, expected in dos.by_element().items():
        found = {str(key): value for key, value in theirs.get_element_dos().items()}[element]
        assert found.densities[Spin.up] == pytest.approx(expected, abs=1e-6)
    p = sum(values for (_, shell), values in dos.by_shell().items() if shell == "p")
    assert theirs.get_spd_dos()[OrbitalType.p].densities[Spin.up] == pytest.approx(p, abs=1e-5)
    oxygen = next(site for site in theirs.structure if site.specie.symbol == "O")
    [column] = [c for c, o in enumerate(dos.orbitals) if o.element == "O" and o.name == "py"]
    assert theirs.get_site_orbital_dos(oxygen, Orbital.py).densities[Spin.up] == pytest.approx(dos.projected[:, column])
    assert theirs.get_gap(tol=1e-3, abs_tol=True) == pytest.approx(dos.band_gap, abs=2 * dos.spacing + 0.05)
    again = CompleteDos.from_dict(theirs.as_dict())
    assert again.get_gap(tol=1e-3, abs_tol=True) == theirs.get_gap(tol=1e-3, abs_tol=True)
    assert dos.to_pymatgen().densities[Spin.up] == pytest.approx(dos.total)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mesh": (0, 1, 1)},
        {"mesh": "8"},
        {"mesh": 8},
        {"mesh": ((8, 8), 8)},
        {"mesh": {8, 9, 10}},
        {"density": -1},
        {"window": (3.0, -3.0)},
        {"window": (3.0,)},
        {"window": (-3.0, 0.0, 3.0)},
        {"window": None},
        {"window": "58"},
        {"step": 0.0},
        {"window": (0.0, float("nan"))},
    ],
)
def test_what_makes_no_density_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ArgumentError) as caught:
        density_of_states(cubic_hamiltonian(), **wrong)  # type: ignore[arg-type]
    assert caught.value.code == "bad-argument"


def test_where_an_edge_is_is_told_without_rounding_noise() -> None:
    assert str(place(np.array([0.5, -1.693e-17, 1 / 3]))) == "(0.5, 0.0, 0.3333333333)"
    assert str(place(np.array([-0.0, 1e-17, -0.25]))) == "(0.0, 0.0, -0.25)"


def test_it_says_what_it_is(dos: DensityOfStates) -> None:
    assert repr(dos).startswith("DensityOfStates(MgO, 2801 energies, 8 x 8 x 8 k-points, gap 4.")


def test_a_mesh_that_would_take_the_memory_of_the_machine_is_refused_at_once(magnesia: CrystalHamiltonian) -> None:
    for choice in ({"mesh": (125, 125, 125)}, {"density": 1.4e5}):
        with pytest.raises(ArgumentError, match=next(iter(choice))) as refused:
            density_of_states(magnesia, **choice)  # type: ignore[arg-type]
        assert refused.value.code == "bad-argument"
