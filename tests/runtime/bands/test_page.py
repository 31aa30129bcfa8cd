"""Several crystals on a page: one axis of energies, no text on another, none beyond the page."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from bandrt.bands.over import plot_over
from bandrt.bands.page import draw_page
from bandrt.bands.reference import onto_path, same_path
from bandrt.errors import ArgumentError
from tests.support.computed_silicon import computed
from tests.support.computed_silicon import predicted as silicon
from tests.support.figure_texts import first_line
from tests.support.predicted_crystals import CUBIC, METAL, TRICLINIC, predicted

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

BANDS = [
    predicted("a", CUBIC, gap=4.0).band_structure,
    predicted("b", METAL, gap=-1.0).band_structure,
    predicted("c", TRICLINIC).band_structure,
]


def test_crystals_of_a_page_share_their_energies() -> None:
    figure = draw_page(BANDS, names=["one", "two", "three"], columns=2)
    axes = figure.axes
    assert len(axes) == 4
    assert len({one.get_ylim() for one in axes[:3]}) == 1
    low, high = axes[0].get_ylim()
    assert all(low < one.energies.min() and one.energies.max() < high for one in BANDS)
    assert [one.get_title(loc="right").strip() for one in axes[:3]] == ["one", "two", "three"]
    assert [one.get_ylabel() for one in axes[:3]] == ["energy (eV)", "", "energy (eV)"]
    assert not axes[3].axison


@pytest.mark.parametrize("limits", [{"ymin": -2.0, "ymax": 3.0}, {"ymin": -2.0}, {"ymax": 3.0}], ids=str)
def test_energies_of_a_page_are_those_that_are_asked_for(limits: dict[str, float]) -> None:
    for axes in draw_page(BANDS, **limits).axes[:3]:  # type: ignore[arg-type]
        low, high = axes.get_ylim()
        assert low == pytest.approx(limits.get("ymin", low))
        assert high == pytest.approx(limits.get("ymax", high))
        if "ymin" not in limits:
            assert low < min(one.energies.min() for one in BANDS)


def test_a_zero_is_that_of_each_crystal() -> None:
    figure = draw_page(BANDS, zero="vbm")
    for axes, bands in zip(figure.axes, BANDS, strict=True):
        top = max(float(line.get_ydata().max()) for line in axes.lines[: bands.rule.n_valence] if len(line.get_ydata()) > 2)
        if not bands.is_metal:
            assert top == pytest.approx(0.0, abs=1e-6)
    assert figure.axes[0].get_ylabel() == "energy from VBM or $E_\\mathrm{F}$ (eV)"


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("name", ["mp-149", 8 * "a very long name "])
def test_no_text_of_a_page_is_on_another_or_beyond_it(name: str, columns: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    references = [None, None, None, onto_path(computed(), silicon())]
    figure = draw_page([*BANDS, silicon()], names=[name] * 4, columns=columns, zero="vbm", references=references)
    FigureCanvasAgg(figure).draw()
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    boxes: list[Any] = []
    for axes in figure.axes:
        if axes.axison:
            titles = [first_line(one, renderer) for one in (axes._left_title, axes._right_title) if one.get_text().strip()]
            names = [one.get_window_extent(renderer) for one in axes.get_xticklabels()]
            below = [box for one, box in zip(axes.get_xticklabels(), names, strict=True) if not one.get_text().startswith("\n")]
            assert not any(one.overlaps(other) for one, other in combinations([*titles, *below], 2))
            boxes += [*titles, *names, *(one.get_window_extent(renderer) for one in axes.texts)]
    boxes += [one.get_window_extent(renderer) for one in figure.legends[0].get_texts()]
    for box in boxes:
        assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1


def test_an_edge_that_is_not_drawn_leaves_the_page_as_it_is() -> None:
    """A mark without a place once took all the room."""
    figure = draw_page([BANDS[0]] * 2, segments=["X-M"])
    widths = [axes.get_window_extent().width for axes in figure.axes]
    assert min(widths) > 0.35 * figure.bbox.width


def test_the_error_stands_over_predicted_and_computed_bands() -> None:
    bands = silicon(error=0.25)
    ax = plot_over(bands, onto_path(computed(), bands), Figure().add_subplot(), name="mp-149")
    assert "mean error 0.25 eV on 3 of " in ax.get_title(loc="left")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["DFT", "predicted"]
    assert ax.get_title(loc="right").strip() == "mp-149"
    drawn = next(line for line in ax.lines if line.get_label() == "predicted")
    assert np.isfinite(drawn.get_ydata()).all()
    from_edge = plot_over(bands, onto_path(computed(), bands), Figure().add_subplot(), zero="vbm")
    assert "mean error 0.0" in from_edge.get_title(loc="left")
    assert "VBM" in [text.get_text() for text in from_edge.texts]


def test_zeros_that_differ_are_told() -> None:
    insulator, metal = BANDS[0], predicted("d", CUBIC, gap=-1.0).band_structure
    ax = plot_over(insulator, same_path(metal, insulator), Figure().add_subplot(), zero="vbm")
    assert [text.get_text() for text in ax.texts] == ["0: VBM predicted, $E_\\mathrm{F}$ DFT"]
    assert ax.get_ylabel() == "energy from VBM or $E_\\mathrm{F}$ (eV)"


def test_what_is_no_page_is_refused() -> None:
    for wrong in (
        {"rows": 1, "columns": 2}, {"rows": 0.5}, {"columns": 13}, {"names": ["a"]}, {"references": [None]}, {"width": 0.1},
        {"height": 1000.0}, {"zero": "cbm"}, {"ymin": 100.0}, {"columns": 0}, {"names": "abc"}, {"names": [1, 2, 3]},
        {"references": [BANDS[0]] * 3},
    ):  # fmt: skip
        with pytest.raises(ArgumentError):
            draw_page(BANDS, **wrong)  # type: ignore[arg-type]
    for none in ([], None, BANDS[0]):
        with pytest.raises(ArgumentError):
            draw_page(none)  # type: ignore[arg-type]


def test_what_is_no_reference_is_refused() -> None:
    for wrong in ({"reference": None}, {"reference": computed()}, {"reference": BANDS[0], "names": "ab"}):
        with pytest.raises(ArgumentError):
            plot_over(BANDS[0], **wrong)
    with pytest.raises(ArgumentError):
        onto_path(BANDS[0], BANDS[0])  # type: ignore[arg-type]
