"""Frames: bands of several crystals in one array, some of which a crystal has not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bandrt.bands.frame import frame_of, in_frame, out_of_frame
from bandrt.errors import ArgumentError
from bandrt.manifest import BandRule
from tests.support.predicted_crystals import CUBIC, predicted, with_more_bands

SIX = predicted("a", CUBIC).band_structure
FRAME = BandRule(12, 6)


@pytest.mark.parametrize(("below", "above"), [(0, 0), (1, 3), (3, 0), (3, 3)])
def test_bands_that_a_crystal_has_come_back_from_a_frame_and_the_others_are_nan(below: int, above: int) -> None:
    bands = with_more_bands(SIX, below=below, above=above)
    framed = in_frame(bands, FRAME)
    assert framed.shape == (12, SIX.energies.shape[1])
    assert np.isnan(framed).all(axis=1).tolist() == [True] * (3 - below) + [False] * (6 + below + above) + [True] * (3 - above)
    energies, rule = out_of_frame(framed, FRAME)
    np.testing.assert_array_equal(energies, bands.energies)
    assert rule == bands.rule == BandRule(6 + below + above, 3 + below)


def test_the_smallest_frame_holds_the_lowest_and_the_highest_band_of_several_crystals() -> None:
    several = [with_more_bands(SIX, below=2, above=0), with_more_bands(SIX, below=0, above=3), SIX]
    assert frame_of(several) == BandRule(11, 5)
    assert frame_of([SIX]) == SIX.rule


def test_bands_that_decide_are_never_left_out() -> None:
    broken = np.array(in_frame(SIX, FRAME))
    broken[5] = np.nan
    energies, rule = out_of_frame(broken, FRAME)
    assert rule == BandRule(6, 3)
    assert np.isnan(energies[2]).all()  # which no band structure takes
    with pytest.raises(ArgumentError, match="finite"):
        dataclasses.replace(SIX, energies=energies)
