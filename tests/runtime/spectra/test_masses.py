"""Effective masses: of cosines by a formula, of crystals by finite differences, and what symmetry says of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt.cli import run
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.spectra import masses
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian
from bandrt.spectra.masses import HBAR2_OVER_M, BandExtremum, band_edges, masses_document
from tests.support.pencil_hamiltonians import HOPPING_EV, LATTICE_CONSTANT, cubic_hamiltonian

ISOTROPY = 1e-3
"""Relative: what symmetry makes equal, from a network in fp32."""
MAGNESIA = Crystal.checked(2.105 * (np.ones((3, 3)) - np.eye(3)), [12, 8], [[0, 0, 0], [0.5, 0.5, 0.5]])
GALLIUM_NITRIDE = Crystal.checked(
    [[3.19, 0, 0], [-1.595, 3.19 * 0.75**0.5, 0], [0, 0, 5.19]], [31, 31, 7, 7],
    [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.377], [2 / 3, 1 / 3, 0.877]],
)  # fmt: skip


def differences(
    hamiltonian: CrystalHamiltonian, edge: BandExtremum, direction: tuple[float, float, float], step: float = 6e-3
) -> list[float]:
    """Masses of the bands of an edge along a direction, by second differences of eigenvalues, heaviest last."""
    way = step * np.array(direction) @ np.linalg.inv(hamiltonian.crystal.reciprocal)
    energies = [np.linalg.eigvalsh(hamiltonian.smooth.at((np.array(edge.kpoint) + sign * way)[None]))[0] for sign in (-1, 0, 1)]
    level = edge.energy + hamiltonian.zero_ev
    own = np.abs(energies[1] - level) < 2e-3
    bend = (energies[0] + energies[2] - 2 * energies[1])[own] / step**2 * (-1 if edge.carrier == "hole" else 1)
    return sorted(HBAR2_OVER_M / bend)


@pytest.mark.parametrize("a", [LATTICE_CONSTANT, 5.5])
def test_a_cubic_band_has_the_mass_of_its_cosine(a: float) -> None:
    """``m = hbar² / (2 t a²)``, here in masses of the electron."""
    hole, electron = band_edges(cubic_hamiltonian(a=a))
    expected = HBAR2_OVER_M / (2.0 * HOPPING_EV * a**2)
    assert electron.kpoint == (0.0, 0.0, 0.0)
    assert electron.label == "Γ"
    assert electron.valleys == 1
    assert [mass.mass for mass in electron.masses] == pytest.approx(3 * [expected], rel=1e-5)
    assert electron.conductivity_mass == pytest.approx(expected, rel=1e-5)
    assert electron.dos_mass == pytest.approx(expected, rel=1e-5)
    assert [mass.mass for mass in hole.masses] == [None, None, None]  # a flat level


def test_where_a_band_bends_both_ways_there_is_no_mass_of_its_density() -> None:
    """Two negative masses have a positive product."""
    for bends, mass in (((4.0, 1.0, 2.0), 0.5), ((4.0, -1.0, 2.0), None), ((4.0, -1.0, -2.0), None)):
        edge = BandExtremum("electron", 0.0, (0.0, 0.0, 0.0), None, (1,), 1, np.diag(bends), ())
        assert edge.dos_mass == (None if mass is None else pytest.approx(mass))


def test_a_flat_band_has_no_mass() -> None:
    """Not an infinite one, nor 155,000, and no warning of a division."""
    for bends in ((0.0, 0.0, 0.0), (2.0, -1.0, -1.0), (1e-7, 2e-7, 3e-7)):
        edge = BandExtremum("electron", 0.0, (0.0, 0.0, 0.0), None, (1,), 1, np.diag(bends), ())
        assert edge.conductivity_mass is None
        assert edge.dos_mass is None
        json.dumps(edge.as_dict(), allow_nan=False)
    layer = BandExtremum("electron", 0.0, (0.0, 0.0, 0.0), None, (1,), 1, np.diag([2.0, 2.0, 6e-6]), ())
    assert layer.conductivity_mass == pytest.approx(0.75, rel=1e-5)
    assert layer.dos_mass is None


def test_the_electron_of_magnesia_is_light_and_isotropic(magnesia: CrystalHamiltonian) -> None:
    hole, electron = band_edges(magnesia)
    found = [mass.mass for mass in electron.masses]
    assert all(mass is not None and 0.3 < mass < 0.5 for mass in found)
    assert found == pytest.approx(3 * [found[0]], rel=ISOTROPY)
    assert {(mass.carrier, mass.band, mass.degeneracy, mass.label) for mass in electron.masses} == {("electron", 7, 1, "Γ")}
    assert len(hole.bands) == 3
    assert hole.inverse_mass is None


@pytest.mark.parametrize("crystal", [MAGNESIA, GALLIUM_NITRIDE], ids=["cubic", "hexagonal"])
def test_masses_are_those_of_differences(crystal: Crystal, accurate: bandrt.Engine) -> None:
    hamiltonian = accurate.hamiltonian(crystal)
    for edge in band_edges(hamiltonian):
        for direction in {mass.direction for mass in edge.masses}:
            own = sorted(mass.mass for mass in edge.masses if mass.direction == direction and mass.mass is not None)
            assert own == pytest.approx(differences(hamiltonian, edge, direction), rel=0.02)


def test_bands_that_meet_are_numbered_by_their_energy_beside_the_edge(accurate: bandrt.Engine) -> None:
    hole, _ = band_edges(accurate.hamiltonian(MAGNESIA))
    for axis in ("[100]", "[110]", "[111]"):
        masses = [mass.mass for mass in sorted(hole.masses, key=lambda one: one.band) if mass.axis == axis]
        assert masses == sorted(masses)  # type: ignore[type-var]
        assert len(masses) == 3


def test_equal_directions_are_told_once(accurate: bandrt.Engine) -> None:
    hole, _ = band_edges(accurate.hamiltonian(MAGNESIA))
    assert {mass.axis for mass in hole.masses} == {"[100]", "[110]", "[111]"}


def test_a_hexagonal_crystal_is_isotropic_across_its_axis(accurate: bandrt.Engine) -> None:
    _, electron = band_edges(accurate.hamiltonian(GALLIUM_NITRIDE))
    along = [mass for mass in electron.masses if abs(mass.direction[2]) > 0.999]
    across = [mass.mass for mass in electron.masses if abs(mass.direction[2]) < 1e-3]
    assert len(along) == 1
    assert len(across) == 2
    assert across[0] == pytest.approx(across[1], rel=ISOTROPY)


def test_rotations_and_supercells_change_nothing(accurate: bandrt.Engine) -> None:
    angle = 0.4
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    doubled = Crystal.checked(
        np.diag([1, 2, 1]) @ MAGNESIA.lattice @ turn, [8, 12, 8, 12], [[0.5, 0.25, 0.5], [0, 0, 0], [0.5, 0.75, 0.5], [0, 0.5, 0]]
    )
    for one, other in zip(*(band_edges(accurate.hamiltonian(crystal)) for crystal in (MAGNESIA, doubled)), strict=True):
        assert [mass.mass for mass in other.masses] == pytest.approx([mass.mass for mass in one.masses], rel=1e-3)
        assert other.energy == pytest.approx(one.energy, abs=1e-3)


def test_an_extremum_between_points_of_the_mesh_is_found(accurate: bandrt.Engine) -> None:
    """The conduction minimum of silicon lies on the way from Γ to X, and has six valleys with two masses."""
    silicon = Crystal.checked(2.715 * (np.ones((3, 3)) - np.eye(3)), [14, 14], [[0, 0, 0], [0.25, 0.25, 0.25]])
    hamiltonian = accurate.hamiltonian(silicon)
    coarse, fine = (band_edges(hamiltonian, density=density)[1] for density in (60.0, 2000.0))
    assert coarse.energy == pytest.approx(fine.energy, abs=1e-4)
    dense = hamiltonian.eigenvalues(np.linspace([0, 0, 0], [0.5, 0, 0.5], 2001))[:, hamiltonian.n_filled].min()
    assert fine.energy <= dense + 1e-5
    if fine.valleys == 6:
        masses = sorted(mass.mass for mass in fine.masses if mass.mass is not None)
        assert masses[0] == pytest.approx(masses[1], rel=1e-2)
        assert masses[2] > 2 * masses[0]


def test_an_extremum_on_a_plane_of_symmetry_has_as_many_valleys_as_images(accurate: bandrt.Engine, examples: Path) -> None:
    """The search ends beside the plane, which is along no axis of it; it must not take the images of one valley for several."""
    hamiltonian = accurate.hamiltonian(examples / "Bi2Se3_mp-541837.vasp")
    hole = band_edges(hamiltonian)[0]
    assert hole.label is None
    apart: list[np.ndarray] = []
    for image in hamiltonian.cell.rotations @ np.array(hole.kpoint):
        ways = [(image - other - np.round(image - other)) @ hamiltonian.crystal.reciprocal for other in apart]
        if all(np.linalg.norm(way) > 0.01 for way in ways):
            apart.append(image)
    assert hole.valleys == len(apart) == 6
    assert abs(hole.kpoint[0] - hole.kpoint[1]) < 1e-9  # the plane is (x, x, z)
    steps = 1e-3 * np.concatenate([np.eye(3), -np.eye(3)]) @ np.linalg.inv(hamiltonian.crystal.reciprocal)
    bands = np.linalg.eigvalsh(hamiltonian.smooth.at(np.array(hole.kpoint) + steps))
    valence = bands[:, np.abs(bands[0] - hole.energy - hamiltonian.zero_ev).argmin()]
    assert np.abs(valence[:3] - valence[3:]).max() / 2e-3 < 1e-4  # eV Å: it goes neither up nor down from there


def test_the_search_ends_at_the_extremum_of_a_valley_that_lies_askew(accurate: bandrt.Engine) -> None:
    """Forty times as heavy along as across, and along no axis: steps along axes stop beside it."""
    hamiltonian = accurate.hamiltonian(MAGNESIA)
    reciprocal, exact = hamiltonian.crystal.reciprocal, np.array([0.211, 0.087, -0.134])
    long = np.array([1.0, 0.7, 0.3]) / np.linalg.norm([1.0, 0.7, 0.3])
    bend = 2.0 * (np.eye(3) - np.outer(long, long)) + 0.05 * np.outer(long, long)

    class Askew:
        """One band of a quadratic valley, and another far above it."""

        def at(self, kpoints: np.ndarray) -> np.ndarray:
            way = (kpoints - exact) @ reciprocal
            found = np.zeros((len(kpoints), 2, 2), complex)
            found[:, 0, 0], found[:, 1, 1] = np.einsum("ki,ij,kj->k", way, bend, way), 50.0
            return found

        def derivatives(self, kpoint: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            first, second = np.zeros((3, 2, 2), complex), np.zeros((3, 3, 2, 2), complex)
            first[:, 0, 0], second[:, :, 0, 0] = 2.0 * bend @ ((kpoint - exact) @ reciprocal), 2.0 * bend
            return self.at(kpoint[None])[0], first, second

    stand_in: Any = SimpleNamespace(crystal=hamiltonian.crystal, smooth=Askew())
    beside = exact + 0.02 * np.array([1.0, 0.6, 0.4]) @ np.linalg.inv(reciprocal)
    refined = masses._refined(stand_in, beside, 0)
    assert np.linalg.norm((refined - exact) @ reciprocal) < 1e-9


def test_from_a_saddle_it_is_gone_on_along_the_axis_that_leads_down() -> None:
    """Six hundred times as steep across as along: steps along Cartesian axes stay where they are."""
    reciprocal = np.array([[2.0, 0.0, 0.0], [0.4, 1.8, 0.0], [0.1, -0.3, 1.5]])
    axes = np.linalg.qr(np.array([[1.0, 0.7, 0.3], [0.2, -1.0, 0.4], [0.5, 0.1, 1.0]]).T)[0].T
    saddle, valley = np.array([0.5, 0.0, 0.5]), 0.13  # 1/Å from the saddle

    def energy(kpoints: np.ndarray) -> np.ndarray:
        along, *across = axes @ reciprocal.T @ (kpoints - saddle).T
        return -0.1 * along**2 + 0.05 * along**4 / valley**2 + 60.0 * np.square(across).sum(axis=0)

    def edge(curvatures: list[float]) -> BandExtremum:
        tensor = axes.T @ np.diag(curvatures) @ axes
        return BandExtremum("electron", 0.0, (0.5, 0.0, 0.5), None, (0,), 1, tensor, ())

    assert masses._lowest(energy, saddle, 0.1, reciprocal)[1] == 0.0
    found = masses._beyond_saddle(energy, edge([-0.2, 120.0, 120.0]), saddle, reciprocal)
    assert found is not None
    assert np.abs(axes @ reciprocal.T @ (found[0] - saddle)) == pytest.approx([valley, 0.0, 0.0], abs=1e-3)
    assert found[1] == pytest.approx(-0.05 * valley**2, rel=1e-3)
    assert masses._beyond_saddle(energy, edge([0.2, 120.0, 120.0]), saddle, reciprocal) is None


def test_an_edge_beside_a_saddle_at_a_labelled_point_is_found(accurate: bandrt.Engine) -> None:
    """CaAlSiH: the conduction band of the label is flat from M to L."""
    places = [[0.0, 0.0, 0.00008], [2 / 3, 1 / 3, 0.54289], [1 / 3, 2 / 3, 0.43411], [2 / 3, 1 / 3, 0.91623]]
    lattice = [[4.14328, 0.0, 0.0], [-2.07164, 3.58819, 0.0], [0.0, 0.0, 4.69823]]
    hamiltonian = accurate.hamiltonian(Crystal.checked(lattice, [20, 13, 14, 1], places))
    electron = band_edges(hamiltonian)[1]
    away = 0.2 * np.random.default_rng(0).standard_normal((2000, 3)) @ np.linalg.inv(hamiltonian.crystal.reciprocal)
    beside = hamiltonian.eigenvalues(np.concatenate([electron.kpoint + away, hamiltonian.kpath.frac_kpoints]))
    assert electron.energy < beside[:, hamiltonian.n_filled].min() + masses.SNAP_EV


def test_the_starts_of_a_search_are_not_the_same_by_symmetry(magnesia: CrystalHamiltonian) -> None:
    points = np.concatenate([magnesia.kpath.frac_kpoints, -magnesia.kpath.frac_kpoints])
    energies = magnesia.eigenvalues(points)[:, magnesia.n_filled]
    starts = masses._starts(magnesia, points, energies, 0.1)
    assert len(starts) == masses.STARTS
    assert len({round(float(magnesia.eigenvalues(start[None])[0, magnesia.n_filled]), 4) for start in starts}) == len(starts)


def test_a_metal_has_no_edges(alloy: CrystalHamiltonian) -> None:
    with pytest.raises(InputError) as caught:
        band_edges(alloy)
    assert caught.value.code == "no-band-edges"


def test_the_document_is_plain_json(magnesia: CrystalHamiltonian) -> None:
    document = json.loads(json.dumps(masses_document(magnesia, band_edges(magnesia))))
    assert {mass["carrier"] for mass in document["masses"]} == {"electron", "hole"}
    for mass in document["masses"]:
        assert mass.keys() == {"carrier", "mass", "direction", "axis", "kpoint", "label", "band", "degeneracy"}
        assert np.linalg.norm(mass["direction"]) == pytest.approx(1.0)
    assert [edge["degeneracy"] for edge in document["edges"]] == [3, 1]
    assert document["units"]["mass"] == "m_e"
    masses = {name for name in (*document["masses"][0], *document["edges"][0]) if "mass" in name}
    assert masses <= document["units"].keys()
    assert document["band_gap_ev"] == pytest.approx(magnesia.band_gap, abs=1e-3)


def test_the_command_writes_and_prints_them(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    crystal, out = str(examples / "MgO_mp-1265.vasp"), tmp_path / "masses.json"
    assert run(["masses", crystal]) == 0
    assert "electrons: 2." in (said := capsys.readouterr().out)
    assert "m_e along a principal axis (1.000, 0.000, 0.000), band 7" in said
    assert sum(" m_e along " in line for line in said.splitlines()) == 12
    assert run(["masses", crystal, "-o", str(out)]) == 0
    assert len(json.loads(out.read_text(encoding="utf-8"))["masses"]) == 12
    capsys.readouterr()
    assert run(["masses", str(examples / "CuAu_mp-522.vasp")]) == 1
    assert "no-band-edges" in capsys.readouterr().err
    assert run(["masses", crystal, "-o", str(tmp_path / "masses.csv")]) == 2
