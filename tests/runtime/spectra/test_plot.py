"""Figures of densities of states, of several crystals and of zones: what is drawn, where, and within the frame."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bandrt.bands.branches import branches
from bandrt.bands.figures import CREATOR, save_figure
from bandrt.bands.over import plot_over
from bandrt.bands.reference import compared, same_path
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError
from bandrt.kpaths import kpath_of
from bandrt.spectra.bands import SampledBands, bands_along
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian
from bandrt.spectra.dos import DensityOfStates, density_of_states
from bandrt.spectra.plot import draw_bands, draw_dos, energy_range, plot_dos
from bandrt.spectra.zone import draw_zone, plot_zone, zone_edges
from bandrt.symmetry.standard_cell import standardize
from tests.support.figure_texts import first_line

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

CELLS = {
    "cubic": Crystal.checked(3.0 * np.eye(3), [11], [[0, 0, 0]]),
    "fcc": Crystal.checked(2.1 * (np.ones((3, 3)) - np.eye(3)), [12], [[0, 0, 0]]),
    "bcc": Crystal.checked(1.5 * (np.ones((3, 3)) - 2 * np.eye(3)), [11], [[0, 0, 0]]),
    "hexagonal": Crystal.checked(
        [[3, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5]], [12, 12], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    ),
    "triclinic": Crystal.checked([[3, 0, 0], [0.5, 4, 0], [-0.7, 0.4, 5]], [12, 8], [[0, 0, 0], [0.4, 0.3, 0.2]]),
}
N_EDGES = {"cubic": 12, "fcc": 36, "bcc": 24, "hexagonal": 18, "triclinic": 36}


@pytest.fixture(scope="module")
def bands(magnesia: CrystalHamiltonian) -> SampledBands:
    return bands_along(magnesia, "GXW")


@pytest.fixture(scope="module")
def dos(magnesia: CrystalHamiltonian) -> DensityOfStates:
    return density_of_states(magnesia, mesh=(6, 6, 6), step=0.05)


@pytest.mark.parametrize(("by", "parts"), [("total", 0), ("element", 2), ("shell", 4)])
@pytest.mark.parametrize("upright", [False, True])
def test_a_density_is_drawn_with_its_parts(by: str, parts: int, upright: bool, dos: DensityOfStates) -> None:
    ax = plot_dos(dos, Figure().add_subplot(), by=by, upright=upright)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "total"
    assert len(labels) - 1 >= parts
    [total] = [line for line in ax.lines if line.get_label() == "total"]
    energies, values = (total.get_ydata(), total.get_xdata()) if upright else (total.get_xdata(), total.get_ydata())
    assert energies == pytest.approx(dos.energies)
    assert values == pytest.approx(dos.total)
    assert (ax.get_ylim() if upright else ax.get_xlim()) == pytest.approx(energy_range(dos.band_gap))
    name = ax.get_xlabel() if upright else ax.get_ylabel()
    expected = "DOS (1/eV) per cell, both spins" if upright else "density of states, both spins (1/eV per primitive cell)"
    assert name.replace("\n", " ") == expected
    if by == "element":
        colors = {line.get_label(): line.get_color() for line in ax.lines}
        assert colors["O"] != colors["Mg"]


def test_bands_and_density_share_their_energies(bands: SampledBands, dos: DensityOfStates) -> None:
    figure = draw_bands([bands, bands], [dos, dos], names=["one", "other"], window=(-5.0, 7.0))
    axes = figure.axes
    assert len(axes) == 4
    assert {ax.get_ylim() for ax in axes} == {(-5.0, 7.0)}
    assert [ax.get_title(loc="right").strip() for ax in axes[::2]] == ["one", "other"]
    assert axes[0].get_ylabel() == "energy (eV)"
    assert axes[2].get_ylabel() == ""


@pytest.mark.parametrize("name", ["mp-1265", "a name of some length", 6 * "a very long name "])
@pytest.mark.parametrize("make", ["bands", "dos"])
def test_no_text_is_cut_off_or_on_another(make: str, name: str, bands: SampledBands, dos: DensityOfStates) -> None:
    figure = draw_bands([bands], [dos], names=[name]) if make == "bands" else draw_dos(dos, name=name)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    renderer, frame = figure.canvas.get_renderer(), figure.bbox
    titles = [t for ax in figure.axes for t in (ax.title, ax._left_title, ax._right_title, *ax.texts) if t.get_text().strip()]
    boxes = [first_line(title, renderer) for title in titles]
    assert boxes
    for box in boxes:
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
    names = [box for title, box in zip(titles, boxes, strict=True) if title not in figure.axes[0].texts]
    for one, other in pairwise(names):
        assert not one.overlaps(other)


@pytest.mark.parametrize(("width", "height"), [(3.0, 3.0), (None, None)])
def test_what_axes_are_of_is_not_cut_off(
    width: float | None, height: float | None, bands: SampledBands, dos: DensityOfStates
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for figure in (draw_bands([bands], [dos], width=width, height=height), draw_dos(dos, width=width, height=height)):
        FigureCanvasAgg(figure).draw()
        renderer, frame = figure.canvas.get_renderer(), figure.bbox
        labels = [label for ax in figure.axes for label in (ax.xaxis.label, ax.yaxis.label) if label.get_text()]
        assert len(labels) == 2
        for box in (label.get_window_extent(renderer) for label in labels):
            assert frame.x0 <= box.x0 < box.x1 <= frame.x1
            assert frame.y0 <= box.y0 < box.y1 <= frame.y1


def test_a_short_name_stands_beside_the_title(bands: SampledBands, dos: DensityOfStates) -> None:
    figure = draw_bands([bands], [dos], names=["MgO_mp-1265.vasp"])
    assert figure.axes[0].get_title(loc="right") == "MgO_mp-1265.vasp"


def test_bands_and_density_are_counted_from_one_zero(bands: SampledBands, dos: DensityOfStates) -> None:
    figure = draw_bands([bands], [dos], zero="vbm")
    beside = figure.axes[1]
    [total] = [line for line in beside.lines if line.get_label() == "total"]
    assert bands.vbm is not None
    assert total.get_ydata() == pytest.approx(dos.energies - bands.vbm.energy)
    assert figure.axes[0].get_ylim() == beside.get_ylim() == pytest.approx((-6.0, bands.band_gap + 6.0))
    assert figure.axes[0].get_ylabel() == "energy from VBM (eV)"


def test_figures_are_written_with_their_maker(tmp_path: Path, dos: DensityOfStates) -> None:
    for kind in ("png", "svg"):
        save_figure(draw_dos(dos), tmp_path / f"a.{kind}")
        save_figure(draw_dos(dos), tmp_path / f"b.{kind}")
        assert CREATOR.encode() in (tmp_path / f"a.{kind}").read_bytes()
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_the_error_is_written_over_bands_of_both(bands: SampledBands) -> None:
    shifted = dataclasses.replace(bands, energies=bands.energies + 0.25)
    ax = plot_over(bands, shifted, Figure().add_subplot())
    assert "mean error 0.25 eV" in ax.get_title(loc="left")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["DFT", "predicted"]
    fewer = dataclasses.replace(
        shifted,
        energies=shifted.energies[4:10],
        rule=dataclasses.replace(bands.rule, n_bands=6, n_valence=3),
        first_band=4,
        n_nonempty=bands.n_nonempty - 4,
    )
    assert compared(bands, same_path(fewer, bands), branches(bands)).error_ev == pytest.approx(0.25)


def test_bands_of_other_k_points_are_not_compared(bands: SampledBands, magnesia: CrystalHamiltonian) -> None:
    with pytest.raises(ArgumentError):
        plot_over(bands, bands_along(magnesia, "GX"))


@pytest.mark.parametrize("name", CELLS)
def test_a_zone_has_its_edges(name: str) -> None:
    """Every end is as near to Γ as to two other reciprocal lattice points or more, and nearer to none."""
    cell = standardize(CELLS[name])
    edges = zone_edges(cell.crystal)
    assert len(edges) == N_EDGES[name]
    whole = np.stack(np.meshgrid(*3 * [np.arange(-3, 4)], indexing="ij"), axis=-1).reshape(-1, 3)
    lattice = whole[whole.any(axis=1)] @ cell.crystal.reciprocal
    for edge in edges:
        for end in edge:
            beyond = np.linalg.norm(end - lattice, axis=1) - np.linalg.norm(end)
            assert beyond.min() > -1e-9
            assert (beyond < 1e-9).sum() >= 3
        middle = 0.5 * (edge[0] + edge[1])
        assert (np.abs(np.linalg.norm(middle - lattice, axis=1) - np.linalg.norm(middle)) < 1e-9).sum() >= 2


def test_a_zone_is_drawn_with_the_labels_of_a_path() -> None:
    cell = standardize(CELLS["fcc"])
    ax = plot_zone(cell.crystal, kpath_of(cell), Figure().add_subplot(projection="3d"))
    texts = {text.get_text() for text in ax.texts}
    assert {"Γ", "X", "W", "L", "$b_1$"} <= texts
    assert draw_zone(cell.crystal).axes[0].texts
    with pytest.raises(ArgumentError):
        plot_zone(cell.crystal, None, Figure().add_subplot())


def test_what_is_drawn_on_and_by_what_is_checked(dos: DensityOfStates, bands: SampledBands) -> None:
    with pytest.raises(ArgumentError):
        plot_dos(dos, by="atom")
    with pytest.raises(ArgumentError):
        plot_dos(dos, "axes")
    with pytest.raises(ArgumentError):
        draw_bands([bands], names=["a", "b"])
    with pytest.raises(ArgumentError):
        plot_over(bands, bands, "axes")
