"""Direct gaps of walks that pass k-points more than once."""

from __future__ import annotations

import numpy as np

from bandrt.bands.visits import direct_gaps


def by_brute_force(kpoints: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> float:
    found = np.inf
    for k in kpoints:
        apart = kpoints - k
        same = np.abs(apart - np.round(apart)).max(axis=1) < 1e-6
        found = min(found, bottom[same].min() - top[same].max())
    return float(found)


def test_visits_count_together_in_each_of_many_walks() -> None:
    generator = np.random.default_rng(0)
    corners = generator.choice([0.0, 1 / 3, 0.5, 0.625, 0.123456789], (7, 40, 3))
    kpoints = corners + generator.integers(-1, 2, corners.shape) + generator.normal(0, 1e-12, corners.shape)
    top, bottom = generator.normal(-1, 0.3, (7, 40)), generator.normal(1, 0.3, (7, 40))
    found = direct_gaps(kpoints, top, bottom)
    assert found.tolist() == [by_brute_force(*one) for one in zip(kpoints, top, bottom, strict=True)]
    assert found.tolist() == [float(direct_gaps(*one)) for one in zip(kpoints, top, bottom, strict=True)]
    assert (found >= (bottom.min(axis=1) - top.max(axis=1))).all()
    assert (found <= (bottom - top).min(axis=1)).all()


def test_a_walk_of_one_kpoint_has_a_gap() -> None:
    assert direct_gaps(np.zeros((1, 3)), np.array([-1.0]), np.array([2.0])) == 3.0


def test_of_no_walk_there_is_none() -> None:
    assert direct_gaps(np.zeros((0, 5, 3)), np.zeros((0, 5)), np.zeros((0, 5))).shape == (0,)
