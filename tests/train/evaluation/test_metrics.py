"""Evaluation: errors that can be worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.manifest import BandRule
from bandrt_train.data.targets import MappingReport, Targets
from bandrt_train.evaluation.baselines import training_mean
from bandrt_train.evaluation.metrics import choose_metal_tolerance, evaluate, interval
from bandrt_train.evaluation.tables import text_table

RULE = BandRule(metal_tolerance_ev=0.1)
REPORT = MappingReport(1.0, (), 0.0, 0.0)
LEVELS = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
WAVE = 0.25 * np.cos(np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False))
"""eV, of mean zero, between -0.25 and 0.25."""


def labels(bands: NDArray[np.float64], *, metal: bool = False, mask: NDArray[np.bool_] | None = None) -> Targets:
    gap = 0.0 if metal else float(bands[3].min() - bands[2].max())
    known = np.broadcast_to(True if mask is None else mask, bands.shape)
    return Targets(np.where(known, bands, 0.0).astype(np.float32), known, metal, gap, REPORT)


def insulator(shift: float = 0.0) -> NDArray[np.float64]:
    return LEVELS[:, None] + shift + WAVE


def metal(depth: float) -> NDArray[np.float64]:
    """The third band crosses zero by `depth` on both sides, half filled, and touches no other band."""
    bands = LEVELS[:, None] + np.zeros(8)
    bands[2] = depth * WAVE / 0.25
    return bands


def test_a_perfect_prediction_has_no_error() -> None:
    bands = np.stack([insulator(), metal(0.5)])
    result = evaluate(bands, [labels(bands[0]), labels(bands[1], metal=True)], RULE)
    for errors in (result.total, result.nonmetal, result.metal):
        assert errors.energy_mae_ev == pytest.approx(0.0, abs=1e-6)
        assert errors.metal_accuracy == 1.0
    assert result.nonmetal.gap_mae_ev == pytest.approx(0.0, abs=1e-6)
    assert result.metal.gap_mae_ev is None
    assert (result.total.n_crystals, result.nonmetal.n_crystals, result.metal.n_crystals) == (2, 1, 1)


def test_a_rigid_shift_is_an_error_of_the_centres_alone() -> None:
    result = evaluate(insulator(0.3)[None], [labels(insulator())], RULE)
    assert result.total.center_mae_ev == pytest.approx(0.3, abs=1e-6)
    assert result.total.dispersion_mae_ev == pytest.approx(0.0, abs=1e-6)
    assert result.total.energy_mae_ev == pytest.approx(0.3, abs=1e-6)
    assert result.total.gap_mae_ev == pytest.approx(0.0, abs=1e-6)


def test_flat_bands_at_the_right_place_are_an_error_of_the_dispersion_alone() -> None:
    flat = np.repeat(LEVELS[:, None], 8, axis=1)
    result = evaluate(flat[None], [labels(insulator())], RULE)
    assert result.total.center_mae_ev == pytest.approx(0.0, abs=1e-6)
    assert result.total.dispersion_mae_ev == pytest.approx(np.abs(WAVE).mean(), abs=1e-6)
    assert result.total.gap_mae_ev == pytest.approx(0.5, abs=1e-6)


def test_k_points_without_labels_do_not_count() -> None:
    mask = np.arange(8) < 5
    wrong_elsewhere = np.where(mask, insulator(), 50.0)
    result = evaluate(wrong_elsewhere[None], [dataclasses.replace(labels(insulator(), mask=mask), band_gap=1.5)], RULE)
    assert result.total.center_mae_ev == pytest.approx(0.0, abs=1e-6)
    assert result.total.energy_mae_ev == pytest.approx(0.0, abs=1e-6)


def test_bands_without_labels_do_not_count() -> None:
    mask = np.broadcast_to(np.arange(6)[:, None] < 4, (6, 8))
    wrong_above = np.where(mask, insulator(0.3), 50.0)
    result = evaluate(wrong_above[None], [dataclasses.replace(labels(insulator(), mask=mask), band_gap=1.5)], RULE)
    assert result.total.center_mae_ev == pytest.approx(0.3, abs=1e-6)
    assert result.total.dispersion_mae_ev == pytest.approx(0.0, abs=1e-6)
    assert result.total.energy_mae_ev == pytest.approx(0.3, abs=1e-6)


def test_the_order_in_which_a_model_names_its_bands_does_not_matter() -> None:
    result = evaluate(insulator()[None, ::-1], [labels(insulator())], RULE)
    assert result.total.energy_mae_ev == pytest.approx(0.0, abs=1e-6)


def test_an_insulator_predicted_metallic_counts_with_its_whole_gap() -> None:
    result = evaluate(metal(0.5)[None], [labels(insulator())], RULE)
    assert result.total.gap_mae_ev == pytest.approx(1.5, abs=1e-6)
    assert result.total.metal_accuracy == 0.0


def test_the_training_mean_predicts_flat_bands_at_the_mean_of_the_centres() -> None:
    mean = training_mean([labels(insulator(0.2)), labels(insulator(0.4), mask=np.arange(8) > -1)], 3)
    assert mean.shape == (3, 6, 8)
    np.testing.assert_allclose(mean, np.broadcast_to((LEVELS + 0.3)[None, :, None], mean.shape), atol=1e-6)


def test_the_training_mean_of_a_band_is_over_the_crystals_that_label_it() -> None:
    only_valence = np.broadcast_to(np.arange(6)[:, None] < 3, (6, 8))
    mean = training_mean([labels(insulator(0.2)), labels(insulator(0.4), mask=only_valence)], 1)
    np.testing.assert_allclose(mean[0, :, 0], LEVELS + np.where(np.arange(6) < 3, 0.3, 0.2), atol=1e-6)


def test_the_metal_tolerance_separates_metals_from_insulators_whose_bands_slip_past_zero() -> None:
    predicted = np.stack([metal(0.15), metal(0.2), metal(0.4), metal(0.45), insulator()])
    known = [
        labels(insulator()),
        labels(insulator()),
        labels(metal(0.4), metal=True),
        labels(metal(0.4), metal=True),
        labels(insulator()),
    ]
    chosen = choose_metal_tolerance(predicted, known, RULE)
    assert 0.2 < chosen.metal_tolerance_ev < 0.4
    assert evaluate(predicted, known, chosen).total.metal_accuracy == 1.0


def test_a_tolerance_that_already_separates_is_kept() -> None:
    predicted = np.stack([metal(0.05), metal(0.4)])
    assert choose_metal_tolerance(predicted, [labels(insulator()), labels(metal(0.4), metal=True)], RULE) == RULE


def test_without_metals_the_tolerance_stays() -> None:
    assert choose_metal_tolerance(insulator()[None], [labels(insulator())], RULE) == RULE


def test_the_table_shows_both_models_and_dashes_where_there_is_nothing_to_say() -> None:
    result = evaluate(insulator(0.3)[None], [labels(insulator())], RULE)
    lines = text_table({"model": result, "training mean": result}).splitlines()
    assert lines[0].split() == ["total", "non-metal", "metal"]
    assert "energy MAE, eV model 0.300 0.300 -" in [" ".join(line.split()) for line in lines]
    assert result.flat("validation")["validation/energy_mae_ev"] == pytest.approx(0.3, abs=1e-6)
    assert "validation/metal/energy_mae_ev" not in result.flat("validation")


def test_every_number_is_what_loops_over_the_definitions_give() -> None:
    rng = np.random.default_rng(3)
    n, n_bands, n_kpoints = 9, 6, 8
    predicted = rng.normal(size=(n, n_bands, n_kpoints)) + LEVELS[:, None]
    known = []
    for i in range(n):
        mask = rng.random((n_bands, n_kpoints)) < 0.7
        mask[5] = False if i % 3 == 0 else mask[5]
        energies = np.where(mask, np.sort(rng.normal(size=(n_bands, n_kpoints)) + LEVELS[:, None], axis=0), 0.0)
        known.append(Targets(energies.astype(np.float32), mask, i % 2 == 0, 0.0 if i % 2 == 0 else 0.3 * i, REPORT))
    result = evaluate(predicted, known, RULE).total

    energy, center, dispersion, gap, right = [], [], [], [], []
    true_positive = labelled = positive = 0
    for bands, target in zip(predicted, known, strict=True):
        ordered = [sorted(bands[:, k]) for k in range(n_kpoints)]
        per_band: list[tuple[float, float, float]] = []
        for b in range(n_bands):
            errors = [ordered[k][b] - float(target.energies[b, k]) for k in range(n_kpoints) if target.mask[b, k]]
            if errors:
                mean = sum(errors) / len(errors)
                spread = sum(abs(e - mean) for e in errors) / len(errors)
                per_band.append((sum(map(abs, errors)) / len(errors), abs(mean), spread))
        for one, column in zip(zip(*per_band, strict=True), (energy, center, dispersion), strict=True):
            column.append(sum(one) / len(one))
        top = [max(ordered[k][b] for k in range(n_kpoints)) for b in range(n_bands)]
        bottom = [min(ordered[k][b] for k in range(n_kpoints)) for b in range(n_bands)]
        own = min(bottom[3:]) - max(top[:3])
        is_metal = own <= 0 or any(t > 0.1 and b < -0.1 for t, b in zip(top, bottom, strict=True))
        if not target.is_metal:
            gap.append(abs((0.0 if is_metal else own) - target.band_gap))
        right.append(is_metal == target.is_metal)
        true_positive += is_metal and target.is_metal
        labelled += target.is_metal
        positive += is_metal
    assert result.energy_mae_ev == pytest.approx(sum(energy) / n, abs=1e-6)
    assert result.center_mae_ev == pytest.approx(sum(center) / n, abs=1e-6)
    assert result.dispersion_mae_ev == pytest.approx(sum(dispersion) / n, abs=1e-6)
    assert result.gap_mae_ev == pytest.approx(sum(gap) / len(gap), abs=1e-6)
    assert result.metal_accuracy == pytest.approx(sum(right) / n)
    precision, recall = true_positive / positive, true_positive / labelled
    assert result.metal_f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_gaps_alone_are_judged_without_bands() -> None:
    nothing = np.zeros((6, 8), dtype=bool)
    known = [Targets(np.zeros((6, 8), np.float32), nothing, metal, gap, REPORT) for metal, gap in ((False, 2.0), (True, 0.0))]
    result = evaluate(np.stack([insulator(), metal(0.5)]), known, RULE)
    assert result.total.energy_mae_ev is None
    assert result.total.gap_mae_ev == pytest.approx(0.5, abs=1e-6)
    assert (result.total.metal_accuracy, result.total.metal_f1) == (1.0, 1.0)
    assert result.nonmetal.metal_f1 is None


def test_the_interval_of_a_mean_is_that_of_the_normal_law_when_there_are_many() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    low, high = interval(np.concatenate([values, [np.nan]])) or (0.0, 0.0)
    standard_error = values.std(ddof=1) / 1000**0.5
    assert low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.15 * standard_error)
    assert high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.15 * standard_error)
    assert interval(values) == interval(values)
    assert interval(values[:1]) is None
