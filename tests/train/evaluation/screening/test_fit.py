"""A calibration finds again what predictions were made with, and a wrong one is found out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bandrt.screening.features import PredictedGaps
from bandrt.screening.probability import probability_of_gap
from bandrt_train.evaluation.errors import EvaluationError
from bandrt_train.evaluation.screening.fit import fit_gap_calibration
from bandrt_train.evaluation.screening.labelled import HeldOut, checksum
from bandrt_train.evaluation.screening.reliability import direct_reliability, gap_reliability

SUMS = ("a" * 64, "", "b" * 64)


def drawn(n: int, seed: int, *, uncertainty: bool = True) -> HeldOut:
    """Crystals of an engine whose gaps are a tenth too large and err in proportion to its uncertainty, those of magnets twice that.

    Of what is called a metal a tenth is none, of what is called a non-metal a tenth is a metal, and of magnets 0.45.
    """
    generator = np.random.default_rng(seed)
    gap = np.where(generator.uniform(size=n) < 0.5, 0.0, generator.gamma(2.0, 1.2, size=n) + 0.05)
    doubt = generator.uniform(0.2, 1.0, size=n)
    magnetic = generator.uniform(size=n) < 0.3
    error = generator.laplace(size=n) * 0.5 * doubt * np.where(magnetic, 2.0, 1.0)
    of_non_metals = np.where(gap == 0.0, generator.gamma(2.0, 0.5, size=n), np.abs(0.9 * gap + error))
    right = generator.uniform(size=n) < np.where(gap == 0.0, 0.1, np.where(magnetic, 0.55, 0.9))
    return HeldOut(
        tuple(f"m-{i}" for i in range(n)),
        tuple(f"f-{i}" for i in range(n)),
        np.where(right, of_non_metals, 0.0),
        PredictedGaps(
            gap, gap, gap == 0.0, doubt if uncertainty else np.full(n, np.nan), np.where(magnetic, "magnetic:Fe", "layered")
        ),
    )


def misses(rows: list[dict[str, Any]]) -> list[float]:
    """How far expected numbers of hits are off in windows of gaps, as shares of those found."""
    return [abs(row["all"]["expected"] / row["all"]["found"] - 1.0) for row in rows if row["high_ev"] > 0.0]


@pytest.mark.parametrize("uncertainty", [True, False])
def test_as_many_hits_are_expected_as_are_found_on_crystals_that_nothing_was_fitted_to(uncertainty: bool) -> None:
    calibration = fit_gap_calibration(drawn(3000, 0, uncertainty=uncertainty), checksums=SUMS)
    rows = gap_reliability(calibration, drawn(20000, 1, uncertainty=uncertainty))
    assert max(misses(rows)) < 0.15
    for row in rows:
        assert row["all"]["low"] <= row["all"]["expected"] <= row["all"]["high"]
        for part in row["reliability"]:
            if part["n_crystals"] > 200:
                assert part["found"] / part["n_crystals"] == pytest.approx(part["expected"] / part["n_crystals"], abs=0.1)
    assert bool(calibration.uncertainty_range_ev) is uncertainty


def test_the_most_probable_are_hits_more_often_than_those_that_are_predicted_to_be() -> None:
    calibration = fit_gap_calibration(drawn(1500, 0), checksums=SUMS)
    [row] = [row for row in gap_reliability(calibration, drawn(6000, 1)) if row["low_ev"] == 1.0]
    plainly = row["as_predicted"]
    assert row["most_probable"][1]["found"] / 200 > 1.2 * plainly["found"] / plainly["n_crystals"]


def test_a_calibration_of_shuffled_labels_is_found_out() -> None:
    held_out, tested = drawn(1500, 0), drawn(6000, 1)
    shuffled = dataclasses.replace(held_out, labels=np.random.default_rng(2).permutation(held_out.labels))
    right, wrong = (gap_reliability(fit_gap_calibration(one, checksums=SUMS), tested)[1] for one in (held_out, shuffled))
    assert (right["low_ev"], right["high_ev"]) == (1.0, 1.6)
    assert wrong["most_probable"][1]["found"] < 0.8 * right["most_probable"][1]["found"]
    assert max(
        abs(part["found"] - part["expected"]) / part["n_crystals"] for part in wrong["reliability"] if part["n_crystals"] > 200
    ) > (
        2
        * max(
            abs(part["found"] - part["expected"]) / part["n_crystals"] for part in right["reliability"] if part["n_crystals"] > 200
        )
    )


def test_the_errors_of_magnets_and_of_large_uncertainties_are_larger_and_the_overestimate_is_taken_off() -> None:
    calibration = fit_gap_calibration(drawn(2000, 0), checksums=SUMS)
    assert calibration.log_scale.weights["magnetic"] > 0.2
    assert calibration.log_scale.weights["log_uncertainty"] > 0.3
    assert calibration.shift.weights["gap"] == pytest.approx(-0.1, abs=0.05)
    assert calibration.called_nonmetal.weights["magnetic"] < -1.0
    assert "handed-over" not in calibration.shift.weights  # no crystal was


def test_the_same_crystals_give_the_same_calibration_and_their_order_does_not_matter_to_its_checksum() -> None:
    held_out = drawn(500, 0)
    assert fit_gap_calibration(held_out, checksums=SUMS) == fit_gap_calibration(drawn(500, 0), checksums=SUMS)
    back = held_out.part(np.arange(500)[::-1])
    assert checksum(back) == checksum(held_out) != checksum(held_out.part(np.arange(499)))
    assert HeldOut.from_columns(held_out.as_columns()).as_columns() == held_out.as_columns()


def test_a_formula_counts_once_whatever_number_of_crystals_has_it() -> None:
    held_out = drawn(600, 0)
    twice = HeldOut.from_columns({name: [*values, *values] for name, values in held_out.as_columns().items()})
    one, other = (fit_gap_calibration(some, checksums=SUMS) for some in (held_out, twice))
    window = (1.0, 1.6)
    np.testing.assert_allclose(
        probability_of_gap(one, held_out.predicted, *window), probability_of_gap(other, held_out.predicted, *window), atol=0.02
    )


def test_crystals_that_err_together_show_in_the_dispersion() -> None:
    """Twenty-five crystals of a family share one error: numbers of hits vary more than those of crystals that err one by one."""
    alone = drawn(1500, 0)
    generator = np.random.default_rng(3)
    family = np.repeat(np.arange(60), 25)
    centre = generator.gamma(2.0, 1.0, size=60)[family]
    error = generator.normal(0.0, 0.8, size=60)[family]
    label = np.where(generator.uniform(size=1500) < 0.5, 0.0, np.maximum(centre + error, 0.01))
    gap = np.where(label == 0.0, 0.0, np.maximum(centre + generator.normal(0.0, 0.02, size=1500), 0.01))
    together = HeldOut(
        alone.ids,
        tuple(f"f-{one}" for one in family),
        label,
        dataclasses.replace(alone.predicted, gap_ev=gap, direct_gap_ev=gap, is_metal=gap == 0.0),
    )
    assert fit_gap_calibration(alone, checksums=SUMS).dispersion < 1.6
    assert fit_gap_calibration(together, checksums=SUMS).dispersion > 2.5


def directness(n: int, seed: int, *, skill: bool) -> HeldOut:
    generator = np.random.default_rng(seed)
    direct = generator.uniform(size=n) < 0.35
    told = direct if skill else generator.uniform(size=n) < 0.35
    excess = np.where(told, generator.exponential(0.02, size=n), generator.exponential(0.5, size=n))
    gap = np.ones(n)
    return HeldOut(
        tuple(map(str, range(n))), tuple(f"f-{i}" for i in range(n)), direct.astype(np.float64),
        PredictedGaps(gap, gap + excess, np.zeros(n, np.bool_), np.full(n, 0.4), np.full(n, "")),
    )  # fmt: skip


def test_an_engine_that_tells_direct_gaps_is_told_from_one_that_does_not() -> None:
    held_out = drawn(300, 0)
    for skill in (True, False):
        some = directness(800, 4, skill=skill)
        calibration = fit_gap_calibration(held_out, (some, some.labels), checksums=SUMS)
        assert calibration.direct is not None
        assert (calibration.direct.log_odds is not None) is skill
        assert (calibration.direct.n_crystals, calibration.direct.n_labels) == (800, 800)
        tested = direct_reliability(calibration, directness(400, 5, skill=skill))
        assert tested is not None
        assert tested["all"]["found"] == pytest.approx(tested["all"]["expected"], rel=0.25)
        assert len(tested["reliability"]) > 3 if skill else len(tested["reliability"]) == 1
    assert fit_gap_calibration(held_out, checksums=SUMS).direct is None
    few = directness(8, 4, skill=True)
    known = fit_gap_calibration(held_out, (few, few.labels), checksums=SUMS).direct
    assert known is not None
    assert known.log_odds is None


def test_too_few_crystals_are_refused() -> None:
    with pytest.raises(EvaluationError, match="predicted metals or more") as caught:
        fit_gap_calibration(drawn(20, 0), checksums=SUMS)
    assert caught.value.code == "too-few-crystals"


def test_crystals_of_which_nothing_can_be_expected_are_in_neither() -> None:
    held_out = drawn(800, 0)
    unknown = held_out.predicted.uncertainty_ev.copy()
    unknown[:40] = np.nan
    some = dataclasses.replace(held_out, predicted=dataclasses.replace(held_out.predicted, uncertainty_ev=unknown))
    calibration = fit_gap_calibration(some, checksums=SUMS)
    assert calibration.n_crystals == 760
    assert calibration == fit_gap_calibration(some.part(~np.isnan(unknown)), checksums=SUMS)
    assert gap_reliability(calibration, some)[0]["all"]["n_crystals"] == 760
