"""Figures: every line once, labels where they belong, edges marked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.branches import branches, edge_places, ticks
from bandrt.bands.lettering import pretty_formula, pretty_label, pretty_space_group
from bandrt.bands.on_path import BandEdge
from bandrt.bands.plot import draw, plot, save
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, MissingPackageError
from bandrt.features import featurize_crystal
from bandrt.manifest import BandRule
from bandrt.recipe import KpathRecipe, Recipe
from tests.support.figure_texts import first_line

pytest.importorskip("matplotlib")

FCC = Crystal.checked(2.8 * (np.ones((3, 3)) - np.eye(3)), [31, 33], [[0, 0, 0], [0.25, 0.25, 0.25]])
TRICLINIC = Crystal.checked(
    [[5.1, 0, 0], [0.3, 5.2, 0], [-0.9, 0.2, 5.3]], [40, 8, 1], [[0.27, 0.04, 0.2], [0.07, 0.33, 0.34], [0.5, 0.7, 0.5]]
)


def bands_of(crystal: Crystal, scheme: str = "setyawan_curtarolo", *, gap: float = 1.0) -> BandStructure:
    """Bands that bend once from Γ outward, with the band edges at Γ."""
    features = featurize_crystal(crystal, Recipe(kpath=KpathRecipe(scheme=scheme)))  # type: ignore[arg-type]
    bend = (2 - 2 * np.cos(2 * np.pi * features.kpath.frac_kpoints)).sum(axis=1) / 6
    levels = np.array([-2 - gap / 2, -1 - gap / 2, -gap / 2, gap / 2, 1 + gap / 2, 2 + gap / 2])
    energies = levels[:, None] + np.array([-1, -1, -1, 1, 1, 1])[:, None] * bend
    path = features.kpath
    return BandStructure(
        energies, path.frac_kpoints, path.kpoint_distance, path.labels, path.label_indices, features.crystal, features.space_group,
        features.space_group_symbol, path.scheme, BandRule(),
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["setyawan_curtarolo", "latimer_munro"])
@pytest.mark.parametrize("crystal", [FCC, TRICLINIC], ids=["fcc", "triclinic"])
def test_every_line_of_the_walk_is_drawn_once(crystal: Crystal, scheme: str) -> None:
    bands = bands_of(crystal, scheme)

    def line(start: int, end: int) -> frozenset[tuple[float, ...]]:
        return frozenset(tuple(np.round(bands.frac_kpoints[i], 6)) for i in (start, end))

    walked = [line(a, b) for a, b in zip(bands.label_indices[:-1], bands.label_indices[1:], strict=True)]
    drawn = [line(b.kpoints[0], b.kpoints[-1]) for b in branches(bands)]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == set(walked)
    assert len(branches(bands, full_walk=True)) == len(walked) > len(drawn)


@pytest.mark.parametrize("crystal", [FCC, TRICLINIC], ids=["fcc", "triclinic"])
def test_the_axis_is_continuous_and_as_long_as_the_lines(crystal: Crystal) -> None:
    bands = bands_of(crystal)
    drawn = branches(bands)
    assert drawn[0].distance[0] == 0.0
    assert drawn[0].labels[0] == "Γ"
    for branch, following in pairwise(drawn):
        assert branch.distance[-1] == following.distance[0]
        assert following.joined == (
            np.abs(bands.frac_kpoints[branch.kpoints[-1]] - bands.frac_kpoints[following.kpoints[0]]).max() < 1e-6
        )
        if following.joined:
            assert branch.labels[1] == following.labels[0]
    for branch in drawn:
        cartesian = bands.frac_kpoints[branch.kpoints] @ bands.crystal.reciprocal
        steps = np.linalg.norm(np.diff(cartesian, axis=0), axis=1)
        np.testing.assert_allclose(np.diff(branch.distance), steps, atol=1e-9)


def test_the_pen_is_lifted_as_little_as_can_be() -> None:
    jumps = [not b.joined for b in branches(bands_of(TRICLINIC))[1:]]
    assert sum(jumps) == 3  # seven lines from Γ: eight odd ends make four strokes


def test_a_jump_names_both_points() -> None:
    drawn = branches(bands_of(TRICLINIC))
    names = [name for _, name in ticks(drawn)]
    assert len(names) == len(drawn) + 1
    assert sum("|" in name for name in names) == 3


def test_the_full_walk_is_the_walk() -> None:
    bands = bands_of(FCC)
    marks = ticks(branches(bands, full_walk=True))
    assert tuple(name for _, name in marks) == bands.labels
    np.testing.assert_allclose([x for x, _ in marks], bands.kpoint_distance[bands.label_indices], atol=1e-9)


def test_edges_are_marked_wherever_their_kpoint_is_drawn() -> None:
    axes = draw(bands_of(FCC), name="GaAs").axes[0]
    markers = [line for line in axes.lines if line.get_marker() == "o"]
    at_gamma = [x for x, name in ticks(branches(bands_of(FCC))) if "Γ" in name.split("|")]
    assert [line.get_ydata()[0] for line in markers] == [-0.5, 0.5]
    for line in markers:
        np.testing.assert_allclose(line.get_xdata(), at_gamma)
    assert "1.00 eV direct gap" in axes.get_title(loc="left")
    assert axes.get_title(loc="right") == "GaAs"
    assert "mid-gap" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", ["", "GaAs", "POSCAR_a_name_that_is_long_mp-924128", "long_" * 40])
@pytest.mark.parametrize("columns", [1, 3])
def test_side_by_side_no_text_stands_on_another_or_leaves_its_axes(columns: int, name: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * columns, 4))
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.subplots(1, columns, squeeze=False).flat:
        plot(bands_of(TRICLINIC), axes, name=name)
    figure.draw(renderer)
    for axes in figure.axes:
        frame = axes.get_window_extent(renderer)
        titles = [first_line(one, renderer) for one in (axes.title, axes._left_title, axes._right_title) if one.get_text()]
        assert not any(one.overlaps(other) for one, other in combinations(titles, 2))
        for text in [*titles, *(text.get_window_extent(renderer) for text in axes.texts)]:
            assert frame.x0 - 1 <= text.x0 < text.x1 <= frame.x1 + 1
        names = [label.get_window_extent(renderer) for label in axes.get_xticklabels()]
        assert not any(one.overlaps(other) for one, other in pairwise(names))


def test_an_edge_of_another_pass_over_a_line_is_marked_where_that_is_drawn() -> None:
    bands = bands_of(TRICLINIC)
    drawn = branches(bands)
    for index in range(len(bands.frac_kpoints)):
        edge = BandEdge(0.0, index, (0.0, 0.0, 0.0), None)
        found = edge_places(bands, drawn, edge)
        assert found
        for place in found:
            branch = next(one for one in drawn if one.distance[0] <= place <= one.distance[-1])
            fractional = [np.interp(place, branch.distance, bands.frac_kpoints[branch.kpoints, axis]) for axis in range(3)]
            at_end = np.isclose(place, [branch.distance[0], branch.distance[-1]]).any()
            assert at_end or np.allclose(fractional, bands.frac_kpoints[index], atol=1e-6)


def test_a_metal_shows_its_fermi_level_and_no_edges() -> None:
    axes = draw(bands_of(FCC, gap=-0.5)).axes[0]
    assert not [line for line in axes.lines if line.get_marker() == "o"]
    assert axes.get_title(loc="left").endswith("metal")
    assert "$E_\\mathrm{F}$" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_equal_bands_give_equal_files(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        save(bands_of(FCC), tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_names_are_set_as_the_field_prints_them() -> None:
    assert pretty_label("X_1|Γ") == "X$_{1}$|Γ"
    assert pretty_label("X_1'|P''") == "X$_{1}$′|P′′"
    assert pretty_formula("Al2O3") == "Al$_{2}$O$_{3}$"
    assert pretty_space_group("F-43m") == r"$F\bar{4}3m$"
    assert pretty_space_group("P6_3/mmc") == "$P6_{3}/mmc$"


@pytest.fixture
def closed_figures() -> Iterator[None]:
    """Forgets the figures that `pyplot` keeps."""
    from matplotlib import pyplot

    before = pyplot.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


@pytest.mark.usefixtures("closed_figures")
def test_a_band_structure_draws_itself_on_new_axes() -> None:
    from matplotlib import pyplot

    bands = bands_of(FCC)
    axes = bands.plot(name="GaAs")
    assert axes.figure is pyplot.gcf(), "what pyplot.show() shows"
    expected = draw(bands, name="GaAs").axes[0]
    assert len(axes.lines) == len(expected.lines)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [tick.get_text() for tick in expected.get_xticklabels()]
    assert axes.get_title(loc="right") == "GaAs"
    assert len(bands.plot(full_walk=True).lines) > len(axes.lines)


@pytest.mark.usefixtures("closed_figures")
def test_a_band_structure_draws_itself_on_axes_that_are_there() -> None:
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2)
    assert bands_of(FCC).plot(left) is left
    assert bands_of(FCC).plot(ax=right) is right
    assert len(left.lines) == len(right.lines) > 0
    assert pyplot.get_fignums() == [figure.number]
    inset = figure.subfigures(1, 2)[1].subplots()
    assert plot(bands_of(FCC), inset) is inset


def test_what_is_no_axes_is_refused() -> None:
    from matplotlib.figure import Figure

    for wrong in (Figure(), "axes", np.array([Figure().subplots()])):
        with pytest.raises(ArgumentError, match=r"ax is .*, allowed: None, or axes of matplotlib"):
            bands_of(FCC).plot(wrong)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (bands_of(FCC).plot, lambda: draw(bands_of(FCC))):
        with pytest.raises(MissingPackageError, match=r"pip install 'bandrt\[plot\]'"):
            call()


def test_a_name_with_dollars_is_no_formula(tmp_path: Path) -> None:
    save(bands_of(FCC), tmp_path / "a.svg", name="$x^{$")
    assert (tmp_path / "a.svg").stat().st_size > 0
