"""The sampling rule."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.kpaths.path import KPath, Walk, sample, sample_walks

SQUARE = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0, 0]], dtype=float)
EXACT = 1e-12
"""Fractional or relative: rounding of a few additions."""


def random_walk(seed: int, n_vertices: int) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(n_vertices, 3)) * 10.0 ** rng.uniform(-3, 0, size=(n_vertices, 1))
    return vertices, rng.normal(size=(3, 3)), tuple(map(str, range(n_vertices)))


@pytest.mark.parametrize("seed", range(20))
def test_every_vertex_is_a_grid_point_and_segments_are_equally_spaced(seed: int) -> None:
    vertices, reciprocal, labels = random_walk(seed, 5 + seed)
    path = sample(Walk(vertices, labels, reciprocal), 256, "latimer_munro")
    assert path.frac_kpoints.shape == (256, 3)
    assert path.label_indices[0] == 0
    assert path.label_indices[-1] == 255
    assert (np.diff(path.label_indices) >= 1).all()
    np.testing.assert_array_equal(path.frac_kpoints[path.label_indices], vertices)
    for first, last in zip(path.label_indices[:-1], path.label_indices[1:], strict=True):
        inside = np.diff(path.frac_kpoints[first : last + 1], axis=0)
        np.testing.assert_allclose(inside, inside[:1].repeat(len(inside), axis=0), atol=EXACT)


@pytest.mark.parametrize("seed", range(20))
def test_distance_is_the_length_of_the_walk(seed: int) -> None:
    vertices, reciprocal, labels = random_walk(seed, 5 + seed)
    path = sample(Walk(vertices, labels, reciprocal), 256, "latimer_munro")
    steps = np.linalg.norm(np.diff(path.frac_kpoints @ reciprocal, axis=0), axis=1)
    assert path.kpoint_distance[0] == 0.0
    np.testing.assert_allclose(np.diff(path.kpoint_distance), steps, atol=1e-11)


def test_vertices_fall_on_the_nearest_grid_point() -> None:
    path = sample(Walk(SQUARE, ("Γ", "X", "M", "Γ"), np.eye(3)), 101, "latimer_munro")
    length = 1 + 0.5**0.5
    assert path.label_indices.tolist() == [0, round(50 / length), round(100 / length), 100]


@pytest.mark.parametrize("noise", [0.0, 1e-7, -1e-7])
def test_ties_go_up_whatever_the_rounding_noise(noise: float) -> None:
    vertices = np.array([[0, 0, 0], [1.0 + noise, 0, 0], [2, 0, 0]])  # the middle of 255 steps
    path = sample(Walk(vertices, ("Γ", "X", "Γ"), np.eye(3)), 256, "latimer_munro")
    assert path.label_indices.tolist() == [0, 128, 255]


def test_short_segments_at_either_end_keep_a_step_each() -> None:
    vertices = np.array([[0, 0, 0], [1e-9, 0, 0], [2e-9, 0, 0], [1, 0, 0], [1 + 1e-9, 0, 0], [1 + 2e-9, 0, 0]])
    path = sample(Walk(vertices, tuple("abcdef"), np.eye(3)), 256, "latimer_munro")
    assert path.label_indices.tolist() == [0, 1, 2, 253, 254, 255]


def test_a_walk_needs_as_many_points_as_it_has_vertices() -> None:
    assert len(sample(Walk(SQUARE, tuple("abca"), np.eye(3)), 4, "latimer_munro").frac_kpoints) == 4
    with pytest.raises(InputError, match="3 segments, 3 k-points hold 1 to 2") as refused:
        sample(Walk(SQUARE, tuple("abca"), np.eye(3)), 3, "latimer_munro")
    assert (refused.value.code, refused.value.stage) == ("kpath-failed", "kpath")


@pytest.mark.parametrize("vertices", [SQUARE[:1], SQUARE[[0, 0]], SQUARE * np.nan])
def test_a_walk_without_length_is_refused(vertices: NDArray[np.float64]) -> None:
    with pytest.raises(InputError) as refused:
        sample(Walk(vertices, ("Γ",) * len(vertices), np.eye(3)), 256, "setyawan_curtarolo")
    assert refused.value.code == "kpath-failed"


def test_walks_of_all_lengths_are_sampled_together_as_alone() -> None:
    walks = [Walk(vertices, labels, reciprocal) for vertices, reciprocal, labels in (random_walk(n, 2 + n) for n in range(40))]
    walks[7] = Walk(SQUARE * np.nan, tuple("abca"), np.eye(3))
    walks[9] = Walk(SQUARE[:1], ("a",), np.eye(3))
    for n_kpoints in (30, 256):
        paths = sample_walks(walks, n_kpoints, "latimer_munro")
        for i, (walk, path) in enumerate(zip(walks, paths, strict=True)):
            if i in (7, 9) or len(walk.vertices) > n_kpoints:
                assert isinstance(path, InputError)
                continue
            assert isinstance(path, KPath)
            alone = sample(walk, n_kpoints, "latimer_munro")
            np.testing.assert_array_equal(path.frac_kpoints, alone.frac_kpoints)
            np.testing.assert_array_equal(path.kpoint_distance, alone.kpoint_distance)
            np.testing.assert_array_equal(path.label_indices, alone.label_indices)
            assert path.labels == walk.labels
