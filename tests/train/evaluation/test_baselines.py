"""Baselines: neighbours that can be named by hand, and bands carried from one path to another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bandrt.manifest import BandRule
from bandrt_train.evaluation.baselines import mean_of_bands, mean_of_gaps, nearest, neighbours_bands, neighbours_gaps, transferred
from tests.support.salt_data import LEVELS, band_entry, bands, dataset, gap_entry, salt

NO_FALLBACK = np.full(6, np.nan)


def record(formula: str, space_group: int) -> dict[str, object]:
    return {"formula": formula, "space_group": space_group}


def test_the_neighbour_is_the_training_crystal_of_the_most_similar_composition(tmp_path: Path) -> None:
    data = dataset(
        tmp_path / "data",
        [
            gap_entry("a", salt("Ga", "As"), 0.5),
            gap_entry("b", salt("K", "Br"), 4.0),
            gap_entry("c", salt("Na", "Br"), 4.1, "validation"),
        ],
    )
    assert nearest([record("BrNa", 225), record("AsIn", 216)], data) == [1, 0]


def test_of_equal_compositions_the_same_space_group_wins_then_the_first_id(tmp_path: Path) -> None:
    data = dataset(
        tmp_path / "data",
        [
            gap_entry("d", salt("K", "Br"), 1.0),
            gap_entry("c", salt("K", "Br"), 2.0),
            gap_entry("b", salt("K", "Br", cesium_chloride=True), 3.0),
            gap_entry("a", salt("Ga", "As"), 4.0),
        ],
    )
    assert [r["space_group"] for r in data.records] == [225, 225, 221, 225]
    assert nearest([record("BrNa", 225), record("BrNa", 221), record("BrNa", 62)], data) == [1, 2, 2]


def test_many_crystals_are_compared_as_few_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metals = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr")
    data = dataset(tmp_path / "data", [gap_entry(m, salt(m, "O"), 1.0) for m in metals])
    wanted = [record(f"{m}S", 225) for m in metals]
    together = nearest(wanted, data)
    assert [data.records[i]["id"] for i in together] == list(metals)
    monkeypatch.setattr("bandrt_train.evaluation.baselines.MAX_ROWS", 3)
    assert nearest(wanted, data) == together


def test_on_an_equal_walk_the_neighbours_bands_are_taken_over() -> None:
    own, other = band_entry("a", salt("Na", "Cl", 4.0), bands(0.0)), band_entry("b", salt("K", "Br", 4.6), bands(0.3, 0.2))
    assert own.features.kpath.labels == other.features.kpath.labels
    np.testing.assert_allclose(transferred(own, other, NO_FALLBACK), bands(0.3, 0.2), atol=1e-6)


def test_corners_of_the_walk_meet_their_counterparts() -> None:
    own, other = band_entry("a", salt("Na", "Cl"), bands(0.0)), band_entry("b", salt("K", "Br"), bands(0.3))
    path = other.features.kpath
    moved = path.label_indices + np.where((path.label_indices > 0) & (path.label_indices < 31), -1, 0)
    other = dataclasses.replace(
        other, features=dataclasses.replace(other.features, kpath=dataclasses.replace(path, label_indices=moved))
    )
    found = transferred(own, other, NO_FALLBACK)
    at_corners = bands(0.3)[:, moved]
    offset = (at_corners - found[:, own.features.kpath.label_indices]).mean(axis=1)  # the centre is kept on the own path
    np.testing.assert_allclose(found[:, own.features.kpath.label_indices] + offset[:, None], at_corners, atol=1e-6)
    np.testing.assert_allclose(found.mean(axis=1), LEVELS, atol=1e-6)
    assert np.abs(offset).max() < 0.05


def test_on_another_walk_bands_are_flat_at_the_neighbours_centres() -> None:
    own = band_entry("a", salt("Na", "Cl", cesium_chloride=True), bands(0.0))
    other = band_entry("b", salt("K", "Br"), bands(0.3, 0.2))
    np.testing.assert_allclose(transferred(own, other, NO_FALLBACK), np.repeat(LEVELS[:, None] + 0.2, 32, axis=1), atol=1e-6)


def test_a_band_with_holes_is_flat_and_one_without_labels_stands_at_the_training_mean() -> None:
    own, other = band_entry("a", salt("Na", "Cl"), bands(0.0)), band_entry("b", salt("K", "Br"), bands(0.3))
    mask = np.ones((6, 32), dtype=bool)
    mask[4, 5:] = False
    mask[5] = False
    other = dataclasses.replace(other, targets=dataclasses.replace(other.targets, mask=mask))
    found = transferred(own, other, np.arange(10.0, 16.0))
    np.testing.assert_allclose(found[:4], bands(0.3)[:4], atol=1e-6)
    np.testing.assert_allclose(found[4], bands(0.3)[4, :5].mean(), atol=1e-6)
    np.testing.assert_allclose(found[5], 15.0)


def test_the_neighbour_lends_its_own_gap_and_kind() -> None:
    entries = [band_entry("a", salt("Na", "Cl", cesium_chloride=True), bands(0.0)), band_entry("b", salt("K", "Cl"), bands(0.0))]
    others = [band_entry("c", salt("Li", "F"), bands(0.4)), band_entry("d", salt("K", "Br"), bands(0.1), metal=True)]
    found = neighbours_bands(iter(entries), iter(others), [other.targets for other in others], BandRule())
    np.testing.assert_allclose(found.gap, [others[0].targets.band_gap, 0.0])  # flat bands would have a gap of 2 eV
    assert found.gap[0] < 1.3
    assert found.metal.tolist() == [False, True]


def test_gaps_alone_are_taken_from_the_neighbour(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", [gap_entry("a", salt("Na", "Cl"), 5.0), gap_entry("b", salt("Ga", "As"), 0.0)])
    found = neighbours_gaps(data, [1, 0, 0])
    assert found.gap.tolist() == [0.0, 5.0, 5.0]
    assert found.metal.tolist() == [True, False, False]
    assert found.energies is None


def test_the_mean_of_gaps_is_the_commoner_kind_and_the_mean_gap_of_non_metals(tmp_path: Path) -> None:
    gaps = {"Na": 5.0, "K": 4.0, "Ga": 0.0, "In": 0.0, "Al": 0.0}
    data = dataset(tmp_path / "data", [gap_entry(s, salt(s, "P"), gap) for s, gap in gaps.items()])
    found = mean_of_gaps(data, 2)
    assert found.gap.tolist() == [4.5, 4.5]
    assert found.metal.tolist() == [True, True]


def test_the_mean_of_bands_is_judged_as_bands_are() -> None:
    training = [band_entry("a", salt("Na", "Cl"), bands(0.3, 0.2)).targets, band_entry("b", salt("K", "Cl"), bands(0.1)).targets]
    found = mean_of_bands(training, 3, BandRule())
    np.testing.assert_allclose(found.gap, 2.0, atol=1e-6)
    assert not found.metal.any()
