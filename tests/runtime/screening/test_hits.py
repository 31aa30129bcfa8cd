"""The number of hits against every way in which it can come about, and against drawing it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bandrt.screening import hits
from bandrt.screening.hits import expected_hits, poisson_binomial


def test_the_distribution_is_that_of_all_ways_to_hit_and_miss() -> None:
    p = np.random.default_rng(0).uniform(size=9)
    expected = np.zeros(10)
    for hit in itertools.product((False, True), repeat=9):
        expected[sum(hit)] += math.prod(one if is_hit else 1.0 - one for one, is_hit in zip(p, hit, strict=True))
    np.testing.assert_allclose(poisson_binomial(p), expected, rtol=1e-12)


def test_equal_probabilities_give_the_binomial_distribution() -> None:
    expected = [math.comb(300, n) * 0.3**n * 0.7 ** (300 - n) for n in range(301)]
    np.testing.assert_allclose(poisson_binomial(np.full(300, 0.3)), expected, rtol=1e-9, atol=1e-300)


def test_the_range_holds_the_number_in_95_of_100_draws_and_no_narrower_one_does() -> None:
    generator = np.random.default_rng(1)
    p = generator.beta(0.5, 1.0, size=120)
    drawn = (generator.uniform(size=(20000, 120)) < p).sum(axis=1)
    found = expected_hits(p)
    assert found.expected == pytest.approx(p.sum())
    assert ((drawn >= found.low) & (drawn <= found.high)).mean() >= 0.95
    assert ((drawn > found.low) & (drawn < found.high)).mean() < 0.95


def test_of_many_crystals_the_normal_distribution_says_the_same_to_within_a_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    p = np.random.default_rng(2).uniform(0.0, 0.2, size=1500)
    exact = expected_hits(p)
    monkeypatch.setattr(hits, "MOST_EXACT", 100)
    normal = expected_hits(p)
    assert abs(normal.low - exact.low) <= 1
    assert abs(normal.high - exact.high) <= 1


def test_crystals_that_err_together_and_a_fit_that_is_off_widen_the_range() -> None:
    p = np.full(400, 0.25)
    alone, together, off = expected_hits(p), expected_hits(p, 4.0), expected_hits(p, 1.0, 0.2)
    assert (together.high - together.low) == pytest.approx(2 * (alone.high - alone.low), abs=2)
    # 75 is the variance, so log-odds that are off by 0.2 move the mean by 15, where chance alone moves it by 8.7
    assert (off.high - off.low) == pytest.approx(math.sqrt(1 + 0.2**2 * 75) * (alone.high - alone.low), abs=2)
    assert alone.expected == together.expected == off.expected == 100.0


@pytest.mark.parametrize(("p", "expected"), [([], (0.0, 0, 0)), ([1.0, 1.0, 0.0], (2.0, 2, 2))])
def test_where_nothing_is_left_to_chance_the_range_is_a_number(p: list[float], expected: tuple[float, int, int]) -> None:
    assert expected_hits(np.array(p)) == expected
