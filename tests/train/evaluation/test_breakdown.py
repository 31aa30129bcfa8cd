"""Breakdown and calibration: groups that can be counted by hand, ranks checked against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bandrt_train.evaluation.breakdown import by_crystal_system, by_element, crystal_system, quintiles
from bandrt_train.evaluation.calibration import calibration, spearman
from bandrt_train.evaluation.metrics import CrystalErrors


def errors(energy: list[float]) -> CrystalErrors:
    values = np.array(energy)
    metal = np.zeros(len(values), dtype=bool)
    return CrystalErrors(values, values, values, values, metal, metal, values, values, values)


@pytest.mark.parametrize(
    ("space_group", "system"),
    [
        (1, "triclinic"), (2, "triclinic"), (3, "monoclinic"), (15, "monoclinic"), (16, "orthorhombic"), (75, "tetragonal"),
        (142, "tetragonal"), (143, "trigonal"), (167, "trigonal"), (168, "hexagonal"), (194, "hexagonal"),
        (195, "cubic"), (230, "cubic"),
    ],
)  # fmt: skip
def test_space_groups_belong_to_systems(space_group: int, system: str) -> None:
    assert crystal_system(space_group) == system


def test_every_crystal_counts_for_its_system_and_for_each_of_its_elements() -> None:
    records = [
        {"formula": "ClNa", "space_group": 225},
        {"formula": "C", "space_group": 227},
        {"formula": "CaCO3", "space_group": 167},
    ]
    one = errors([0.1, 0.3, 0.5])
    systems = by_crystal_system(one, records)
    assert list(systems) == ["trigonal", "cubic"]
    assert systems["cubic"].energy_mae_ev == pytest.approx(0.2)
    elements = by_element(one, records)
    assert list(elements) == ["C", "O", "Na", "Cl", "Ca"]
    assert (elements["C"].n_crystals, elements["C"].energy_mae_ev) == (2, pytest.approx(0.4))
    assert (elements["Cl"].n_crystals, elements["Cl"].energy_mae_ev) == (1, pytest.approx(0.1))


def test_quintiles_go_from_the_best_fifth_to_the_worst_and_show_its_middle() -> None:
    values = np.random.default_rng(0).permutation(np.arange(25) / 10.0)
    found = quintiles(np.concatenate([values, [np.nan]]), n_examples=1)
    assert [q.name for q in found] == ["Q1", "Q2", "Q3", "Q4", "Q5"]
    assert [q.n_crystals for q in found] == [5] * 5
    for rank, q in enumerate(found):
        assert (q.from_ev, q.to_ev) == pytest.approx((0.5 * rank, 0.5 * rank + 0.4))
        assert q.mean_ev == pytest.approx(0.5 * rank + 0.2)
        assert values[q.examples[0]] == pytest.approx(0.5 * rank + 0.2)
    assert quintiles(np.array([1.0, 2.0, np.nan, 3.0, 4.0])) == []


def test_examples_are_different_crystals_also_of_small_fifths() -> None:
    for q in quintiles(np.arange(7.0)):
        assert len(set(q.examples)) == len(q.examples) == min(3, q.n_crystals)


def test_the_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 8, 50).astype(float)  # many ties
    second = first + rng.normal(size=50)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert spearman(first, np.exp(first)) == pytest.approx(1.0)
    assert spearman(first, np.ones(50)) is None


def test_reliability_compares_expected_and_made_errors_from_the_surest_fifth_on() -> None:
    expected = np.array([0.5, 0.1, 0.4, 0.2, 0.3, 9.0])
    made = np.array([1.0, 0.2, 0.8, 0.4, 0.6, np.nan])
    found = calibration(expected, made)
    assert found is not None
    assert (found.n_crystals, found.spearman) == (5, pytest.approx(1.0))
    assert [one.expected_ev for one in found.reliability] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert [one.found_ev for one in found.reliability] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found.found_ev == pytest.approx(2 * found.expected_ev)
    assert calibration(expected, np.full(6, np.nan)) is None
