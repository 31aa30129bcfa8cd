"""The tetrahedron method against formulas, and against counting."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.spectra.mesh import ZoneMesh, zone_mesh
from bandrt.spectra.tetrahedra import band_below, corner_weights, fermi_level, states_below, tetrahedra

CUBE = 2.0 * np.pi * np.eye(3)
EXACT = 1e-12
"""Parts of a band: rounding."""
ROUNDING_EV = 1e-3
"""At an edge the number of states grows by the third power of the energy, so that rounding is seen by its third root."""


def cut(sizes: tuple[int, int, int]) -> tuple[ZoneMesh, object]:
    mesh = zone_mesh(sizes)
    return mesh, tetrahedra(mesh, CUBE)


def counted(energies: np.ndarray, mesh: ZoneMesh, levels: np.ndarray) -> np.ndarray:
    """How much of one band lies below each level."""
    below = band_below(energies, tetrahedra(mesh, CUBE), levels)
    found = np.zeros(len(levels))
    inside = below.weights.sum(axis=0)[: len(levels) - below.first]
    found[below.first : below.first + len(inside)] = inside
    found[below.first + len(inside) :] = 1.0
    return found


def cosines(kpoints: np.ndarray, dimensions: int) -> np.ndarray:
    return -2.0 * np.cos(2.0 * np.pi * kpoints[:, :dimensions]).sum(axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_the_integrals_over_the_part_below(seed: int) -> None:
    """Against a mean over many points of a tetrahedron, of its own four coordinates."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.normal(size=4))
    inside = rng.dirichlet(np.ones(4), size=400_000)
    for level in rng.uniform(corners[0], corners[3], size=4):
        expected = (inside * (inside @ corners < level)[:, None]).mean(axis=0)
        assert corner_weights(corners[None], np.array([level]))[0] == pytest.approx(expected, abs=2e-3)


def test_weights_are_continuous_where_formulas_change() -> None:
    corners = np.array([[0.0, 0.3, 0.7, 1.0]])
    for level in (0.3, 0.7):
        low, high = (corner_weights(corners, np.array([level + step])) for step in (-1e-9, 1e-9))
        assert low == pytest.approx(high, abs=1e-7)


@pytest.mark.parametrize("corners", [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0.5, 1], [0, 0.5, 0.5, 1]])
def test_equal_corners_make_no_trouble(corners: list[float]) -> None:
    levels = np.linspace(0.0, 1.0, 23)[1:-1]
    weights = corner_weights(np.tile(np.array(corners, float), (len(levels), 1)), levels)
    assert np.isfinite(weights).all()
    assert (np.diff(weights.sum(axis=1)) > 0.0).all()
    assert (weights.sum(axis=1) < 1.0).all()


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 4), (5, 5, 5)])
def test_tetrahedra_fill_the_zone_and_share_it_as_points_do(sizes: tuple[int, int, int]) -> None:
    mesh = zone_mesh(sizes)
    zone = tetrahedra(mesh, CUBE)
    assert zone.share.sum() == pytest.approx(1.0, abs=EXACT)
    shares = np.bincount(zone.corners.ravel(), np.repeat(0.25 * zone.share, 4), len(mesh.weights))
    assert shares == pytest.approx(mesh.weights, abs=EXACT)


def test_a_chain_has_its_inverse_root() -> None:
    """``N(E) = 1/2 + asin(E / 2t) / pi``."""
    mesh, _ = cut((400, 1, 1))
    levels = np.linspace(-1.95, 1.95, 40)
    expected = 0.5 + np.arcsin(levels / 2.0) / np.pi
    assert counted(cosines(mesh.frac_kpoints, 1), mesh, levels) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("dimensions", "sizes"), [(2, (60, 60, 1)), (3, (24, 24, 24))])
def test_square_and_cubic_lattices_agree_with_counting(dimensions: int, sizes: tuple[int, int, int]) -> None:
    mesh, _ = cut(sizes)
    levels = np.linspace(-2.0 * dimensions, 2.0 * dimensions, 60)
    sample = np.random.default_rng(0).random((2_000_000, 3))
    expected = np.searchsorted(np.sort(cosines(sample, dimensions)), levels) / len(sample)
    assert counted(cosines(mesh.frac_kpoints, dimensions), mesh, levels) == pytest.approx(expected, abs=3e-3)


def test_a_square_lattice_has_its_logarithm_in_the_middle() -> None:
    """The density is ``K(sqrt(1 - (E / 4t)^2)) / (2 pi^2 t)``, here at a quarter of 4t, K by the agm."""
    mesh, _ = cut((240, 240, 1))
    a, b = 1.0, 0.25  # K(k) = pi / (2 agm(1, sqrt(1 - k^2))), and sqrt(1 - k^2) = E / 4t
    while a - b > 1e-15:
        a, b = 0.5 * (a + b), np.sqrt(a * b)
    expected = np.pi / (2.0 * a) / (2.0 * np.pi**2)
    below = counted(cosines(mesh.frac_kpoints, 2), mesh, np.array([0.95, 1.05]))
    assert (below[1] - below[0]) / 0.1 == pytest.approx(expected, rel=5e-3)


def test_free_electrons_have_a_root() -> None:
    """``N(E) = 4 pi / 3 E^(3/2)`` for ``E = |k|^2``, k in units of the cube that is the zone."""
    mesh, _ = cut((40, 40, 40))
    energies = (mesh.frac_kpoints**2).sum(axis=1)
    levels = np.linspace(0.05, 0.24, 12)
    assert counted(energies, mesh, levels) == pytest.approx(4.0 * np.pi / 3.0 * levels**1.5, rel=1.5e-2)


def test_symmetry_changes_nothing() -> None:
    """A cube's 48 operations, as permutations of axes with signs."""
    from itertools import permutations, product

    operations = np.array(
        [
            np.diag(signs) @ np.eye(3, dtype=np.int64)[list(order)]
            for order in permutations(range(3))
            for signs in product((1, -1), repeat=3)
        ]
    )
    full, small = zone_mesh((12, 12, 12)), zone_mesh((12, 12, 12), operations)
    assert len(small.weights) < len(full.weights) / 8
    levels = np.linspace(-5.9, 5.9, 30)
    kept, every = (counted(cosines(mesh.frac_kpoints, 3), mesh, levels) for mesh in (small, full))
    assert kept == pytest.approx(every, abs=EXACT)


def test_a_flat_band_is_a_step() -> None:
    mesh, _ = cut((3, 3, 3))
    assert counted(np.full(len(mesh.weights), 0.5), mesh, np.array([0.0, 0.499, 0.5, 1.0])).tolist() == pytest.approx([0, 0, 1, 1])


@pytest.mark.parametrize("electrons", [0.25, 0.5, 0.8])
def test_below_the_fermi_level_lie_as_many_states(electrons: float) -> None:
    mesh, _ = cut((10, 10, 10))
    zone = tetrahedra(mesh, CUBE)
    bands = np.stack([cosines(mesh.frac_kpoints, 3), 1.0 - cosines(mesh.frac_kpoints, 3)], axis=1)
    level = fermi_level(bands, zone, 2 * electrons)
    assert states_below(bands, zone, level) == pytest.approx(2 * electrons, abs=1e-9)


def test_a_half_full_cubic_band_is_filled_to_its_middle() -> None:
    mesh, _ = cut((12, 12, 12))
    assert fermi_level(cosines(mesh.frac_kpoints, 3)[:, None], tetrahedra(mesh, CUBE), 0.5) == pytest.approx(0.0, abs=1e-6)


def test_of_an_insulator_it_is_in_the_gap() -> None:
    mesh, _ = cut((6, 6, 6))
    bands = np.stack([cosines(mesh.frac_kpoints, 3), 20.0 + cosines(mesh.frac_kpoints, 3)], axis=1)
    assert 6.0 - ROUNDING_EV <= fermi_level(bands, tetrahedra(mesh, CUBE), 1.0) <= 14.0
