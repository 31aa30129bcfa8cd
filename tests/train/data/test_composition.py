"""Composition: formulas as numbers, checked against pymatgen's periodic table."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition, Element

from bandrt_train.data.composition import PROPERTY_UNIT, descriptors, elements_among, elements_of, fractions


def test_a_formula_is_taken_apart() -> None:
    assert elements_of("O3SrTi") == ("O", "Sr", "Ti")
    assert elements_of("C60") == ("C",)
    assert elements_among(["O3SrTi", "HLi", "CO2"]) == ("H", "Li", "C", "O", "Ti", "Sr")
    shares = fractions("O3SrTi")
    assert (shares[8], shares[38], shares[22], shares.sum()) == pytest.approx((0.6, 0.2, 0.2, 1.0))


def test_similar_chemistry_is_near() -> None:
    names = ["ClNa", "BrNa", "ClK", "MgO", "GaAs", "Cu"]
    vectors = descriptors(names)
    order = np.argsort(np.linalg.norm(vectors - vectors[0], axis=1), kind="stable")
    assert {names[i] for i in order[1:3]} == {"BrNa", "ClK"}
    assert names[order[-1]] == "Cu" or names[order[-1]] == "GaAs"


def test_the_numbers_of_a_formula_do_not_depend_on_how_it_is_written() -> None:
    np.testing.assert_allclose(descriptors(["O3SrTi"]), descriptors(["SrTiO3"]), atol=1e-12)
    np.testing.assert_allclose(descriptors(["H2O"]), descriptors(["H4O2"]), atol=1e-12)


def test_means_and_deviations_are_those_of_pymatgens_periodic_table() -> None:
    formula = "SrTiO3"
    elements = [Element.from_Z(z) for z in range(1, 119)]
    groups = np.array([3 if e.block == "f" else e.group for e in elements], dtype=float)
    periods = np.array([e.row for e in elements], dtype=float)
    amounts = Composition(formula).fractional_composition
    for column, values in ((119, groups), (120, periods)):
        scaled = (values - values.mean()) / (PROPERTY_UNIT * values.std())
        mean = sum(share * scaled[e.Z - 1] for e, share in amounts.items())
        deviation = sum(share * abs(scaled[e.Z - 1] - mean) for e, share in amounts.items())
        found = descriptors([formula])[0]
        assert found[column] == pytest.approx(mean, abs=1e-6)
        assert found[column + 3] == pytest.approx(deviation, abs=1e-6)
