"""What a figure shows: energies, zero and segments, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from bandrt.bands.branches import branches
from bandrt.bands.view import View, level
from bandrt.errors import ArgumentError, UsageError
from tests.support.predicted_crystals import CUBIC, predicted

BANDS = predicted("a", CUBIC, gap=1.0, doped=0.2).band_structure
METAL = predicted("b", CUBIC, gap=-0.5).band_structure


@pytest.mark.parametrize(("zero", "energy", "name"), [("vbm", -0.3, "VBM"), ("midgap", 0.2, "mid-gap"), ("efermi", 0.2, "mid-gap")])
def test_a_level_of_an_insulator_is_what_is_asked_for(zero: Any, energy: float, name: str) -> None:
    assert level(BANDS, zero) == (pytest.approx(energy, abs=1e-6), name)
    assert View(zero=zero).shift(BANDS) == pytest.approx(energy, abs=1e-6)


@pytest.mark.parametrize("zero", [None, "vbm", "midgap", "efermi"])
def test_the_level_of_a_metal_is_its_fermi_level(zero: Any) -> None:
    assert level(METAL, zero) == (METAL.efermi, "$E_\\mathrm{F}$")


def test_energies_are_as_predicted_unless_a_zero_is_asked_for() -> None:
    assert View().shift(BANDS) == 0.0
    assert View().axis_name(["VBM"]) == "energy (eV)"
    assert View(zero="vbm").axis_name(["VBM", "$E_\\mathrm{F}$", "VBM"]) == "energy from VBM or $E_\\mathrm{F}$ (eV)"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ymin": "low"}, {"ymax": float("nan")}, {"ymin": 1.0, "ymax": 1.0}, {"ymin": -1e6}, {"zero": "cbm"}, {"zero": ""},
        {"segments": 3}, {"segments": [3]}, {"segments": [""]}, {"full_walk": 1}, {"segments": ["G-X"], "full_walk": True},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_view_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as error:
        View(**wrong)
    assert error.value.code == "bad-argument"


@pytest.mark.parametrize("text", ["G-X", "Γ-X", "gamma-X", "ΓX", "\\Gamma-X"])
def test_a_segment_is_named_as_people_write_it(text: str) -> None:
    [one] = branches(BANDS, segments=[text])
    assert one.labels == ("Γ", "X")
    assert one.distance[0] == 0.0


def test_segments_are_drawn_in_their_order_and_direction_and_each_once() -> None:
    drawn = branches(BANDS, segments=["X-G-R", "R-M", "M-R"])
    assert [one.labels for one in drawn] == [("X", "Γ"), ("Γ", "R"), ("R", "M")]
    assert all(one.joined for one in drawn[1:])
    assert [one.labels for one in branches(BANDS, segments=["X-M", "G-R"])] == [("X", "M"), ("Γ", "R")]
    assert not branches(BANDS, segments=["X-M", "G-R"])[1].joined


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("G-W", "unknown-label", "this crystal has Γ"),
        ("G", "bad-path", "from one label to another"),
        ("Γ-Γ", "bad-path", "from one label to another"),
        ("", "bad-path", "from one label to another"),
    ],
)
def test_a_segment_that_is_not_there_is_refused_with_those_that_are(text: str, code: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        branches(BANDS, segments=[text])
    assert error.value.code == code


def test_a_line_that_the_path_does_not_go_is_refused_with_those_it_goes() -> None:
    from tests.support.predicted_crystals import TRICLINIC

    bands = predicted("c", TRICLINIC).band_structure
    first, *_, last = sorted({label for label in bands.labels if label != "Γ"})
    with pytest.raises(UsageError, match=rf"{first}-{last} is not on the path; it has Γ-") as error:
        branches(bands, segments=[f"{first}-{last}"])
    assert error.value.code == "unknown-segment"
