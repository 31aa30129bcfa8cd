"""Notebooks: a table that escapes what files are called, a figure where one can be drawn, and never an error."""

from __future__ import annotations

import base64
import copy
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.html import shown
from bandrt.results.prediction import Prediction
from tests.runtime.bands.test_plot import FCC, bands_of

IMAGE = re.compile(r'<img [^>]*src="data:image/png;base64,([^"]+)"/>')


@pytest.fixture(scope="module")
def bands() -> BandStructure:
    return bands_of(FCC)


def test_a_band_structure_is_a_table_and_a_figure(bands: BandStructure) -> None:
    html = bands._repr_html_()
    for text in (
        "GaAs",
        "F-43m (216)",
        "gap 1.00 eV direct",
        "-0.500 eV at Γ",
        "0.500 eV at Γ",
        "setyawan_curtarolo, 256 k-points",
    ):
        assert text in html
    [content] = IMAGE.findall(html)
    assert base64.b64decode(content).startswith(b"\x89PNG")
    assert len(html) < 200_000
    ElementTree.fromstring(f"<div>{html}</div>")


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$x^{$", "a & b", "\udcff.cif", '"quoted"', "two\nlines"])
def test_whatever_a_file_is_called_is_text(bands: BandStructure, name: str) -> None:
    prediction = Prediction(name, f"folder/{name}", bands, warnings=("magnetic:Fe", f"<{name}>"), uncertainty_ev=0.25)
    html = prediction._repr_html_()
    assert "<script>" not in html
    assert len(IMAGE.findall(html)) == 1
    assert "0.250 eV" in html
    assert "magnetic:Fe" in html
    html.encode("utf-8")
    ElementTree.fromstring(f"<div>{html}</div>")


def test_without_matplotlib_there_is_the_table(bands: BandStructure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    html = Prediction("GaAs", "", bands)._repr_html_()
    assert "<img" not in html
    assert "gap 1.00 eV direct" in html
    assert "read from" not in html, "an object in memory has no path"


def test_what_cannot_be_shown_is_left_out(bands: BandStructure) -> None:
    broken = copy.copy(bands)
    object.__setattr__(broken, "energies", np.full_like(bands.energies, np.nan))
    assert "GaAs" in broken._repr_html_()
    empty = copy.copy(bands)
    object.__setattr__(empty, "energies", np.zeros((0, 0)))
    assert empty._repr_html_().startswith("<table>")
    assert shown("a", lambda: {}["b"]) == "<table><caption>a</caption></table>"
