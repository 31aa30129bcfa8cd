"""Paths as people write them: labels that differ in case alone, names of Γ, and subscripts."""

from __future__ import annotations

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import UsageError
from bandrt.kpaths import kpath_of
from bandrt.kpaths.spelling import parse_path
from bandrt.spectra.kpoints import lines_between
from bandrt.symmetry.standard_cell import standardize

LABELS = ("Γ", "X", "X_1", "F", "f", "g", "P'", "Σ_1", "K", "Γ")
A, B, C = 5.35, 5.41, 13.15
"""Å, of the face-centred cell of La2CuO4, Fmmm."""
LANTHANUM_CUPRATE = Crystal.checked(
    [[0, B / 2, C / 2], [A / 2, 0, C / 2], [A / 2, B / 2, 0]], [57, 57, 29, 8, 8, 8, 8],
    [[0.361, 0.361, -0.361], [-0.361, -0.361, 0.361], [0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0],
     [0.182, 0.182, -0.182], [-0.182, -0.182, 0.182]],
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("F-f", "F f"), ("f-F", "f F"), ("FfX", "F f X"), ("G-F", "Γ F"), ("G-f", "Γ f"), ("k-F", "K F"), ("x-f", "X f"),
        ("x1-X_1-X", None), ("X1-X", "X_1 X"), ("x_1-X", "X_1 X"), ("p'-K", "P' K"), ("σ1-Σ1", None), ("σ1-K", "Σ_1 K"),
    ],
)  # fmt: skip
def test_a_label_is_taken_as_it_is_written_and_in_the_other_case_only_where_there_is_no_such(text: str, line: str | None) -> None:
    if line is None:
        with pytest.raises(UsageError, match="from one label to another"):
            parse_path(text, LABELS)
    else:
        assert parse_path(text, LABELS) == [line.split()]


@pytest.mark.parametrize("gamma", ["G", "Γ", "γ", "Gamma", "GAMMA", "gamma", "\\Gamma", "\\GAMMA"])
def test_gamma_has_its_names_whatever_other_points_are_called(gamma: str) -> None:
    assert parse_path(f"X-{gamma}-g", LABELS) == [["X", "Γ", "g"]]
    assert parse_path(f"{gamma}X", LABELS) == [["Γ", "X"]]


def test_a_small_g_is_gamma_where_no_point_has_that_letter() -> None:
    assert parse_path("g-X", LABELS) == [["g", "X"]]
    assert parse_path("g-x", ("Γ", "X")) == [["Γ", "X"]]


def test_g_is_no_other_point_where_there_is_no_gamma() -> None:
    with pytest.raises(UsageError) as caught:
        parse_path("G-X", ("g", "X"))
    assert caught.value.code == "unknown-label"


@pytest.mark.parametrize(
    ("word", "words"), [("ς", "'ς' may be Σ or σ"), ("Q", "this crystal has Γ X Σ σ"), ("İ", "this crystal has Γ")]
)
def test_what_may_be_several_or_is_none_is_refused_with_those_that_there_are(word: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_path(f"X-{word}", ("Γ", "X", "Σ", "σ", "I"))
    assert caught.value.code == "unknown-label"


def test_every_label_of_a_crystal_is_understood_as_itself() -> None:
    """Its path has a point g."""
    cell = standardize(LANTHANUM_CUPRATE)
    kpath = kpath_of(cell)
    assert {"Γ", "g", "g'"} <= set(kpath.labels)
    for label in set(kpath.labels) - {"Γ"}:
        assert parse_path(f"Γ-{label}", kpath.labels) == [["Γ", label]]
    for gamma, is_at_it in (("G", True), ("g", False)):
        start = lines_between(parse_path(f"{gamma}-X", kpath.labels), kpath, cell).frac_kpoints[0]
        assert (np.abs(start).max() < 1e-9) == is_at_it
