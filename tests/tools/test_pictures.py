"""The pictures of the README and of the pages state what the shipped engines predict."""

from __future__ import annotations

from pathlib import Path

import pytest

import bandrt
from tests.support.scripts import load_script

pytest.importorskip("torch", reason="the pictures show DFT bands through the data sets of training")
Image = pytest.importorskip("PIL.Image")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "draw", "of"),
    [
        ("predicted-beside-dft", "predicted_beside_dft", "accurate"),
        ("shortlist", "shortlist", "accurate"),
        ("page-of-crystals", "page_of_crystals", "accurate"),
        ("over-dft", "over_dft", "accurate"),
        ("magnesia", "magnesia", "accurate"),
    ],
)
def test_a_picture_states_what_a_shipped_engine_predicts(name: str, draw: str, of: str) -> None:
    pictures = load_script(ROOT / "tools" / "pictures.py")
    with bandrt.load(of, threads=1) as engine:
        stated = pictures.captions(getattr(pictures, draw)(engine))
    with Image.open(ROOT / "docs" / "images" / f"{name}.png") as picture:
        assert picture.text["Description"] == stated, "draw them again: python tools/pictures.py"


def test_the_learning_curve_is_the_stored_one() -> None:
    pictures = load_script(ROOT / "tools" / "pictures.py")
    with Image.open(ROOT / "docs" / "images" / "learning-curve.png") as picture:
        assert picture.text["Description"] == pictures.captions(pictures.learning_curve())
