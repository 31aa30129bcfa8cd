"""Where nothing can be said of the error of a prediction, it is nan, and the prediction is made all the same."""

from __future__ import annotations

import math

import numpy as np

import bandrt
from bandrt.results.summary import json_values


def test_an_isolated_atom_is_predicted_with_an_uncertainty_of_nan() -> None:
    helium = bandrt.Crystal.checked(9.0 * np.eye(3), [2], [[0.0, 0.0, 0.0]])
    with bandrt.load(threads=1) as engine:
        [result] = engine.predict([helium])
    assert isinstance(result, bandrt.Prediction)
    assert "isolated-atom:He" in result.warnings
    assert result.uncertainty_ev is not None
    assert math.isnan(result.uncertainty_ev)


def test_what_is_no_finite_number_is_null_in_json() -> None:
    found = json_values({"uncertainty_ev": math.nan, "band_gap_ev": math.inf, "n_atoms": 2, "warnings": ("layered",)})
    assert found == {"uncertainty_ev": None, "band_gap_ev": None, "n_atoms": 2, "warnings": ["layered"]}
