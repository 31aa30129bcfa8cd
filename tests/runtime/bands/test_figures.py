"""Styles, sizes and files of figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandrt.bands.figures import CREATOR, OURS, look, new_figure, save_figure, save_pages, styled
from bandrt.bands.page import draw_page
from bandrt.bands.plot import draw
from bandrt.errors import ArgumentError, UsageError
from tests.support.predicted_crystals import CUBIC, predicted

pytest.importorskip("matplotlib")
BANDS = predicted("a", CUBIC).band_structure


def test_colours_are_ours_unless_a_style_has_its_own() -> None:
    assert look() == OURS
    with styled("dark_background"):
        dark = look()
        axes = draw(BANDS).axes[0]
        assert (dark.ink, dark.paper) == ("white", "black")
        assert {dark.valence, dark.conduction} <= {line.get_color() for line in axes.lines}
        assert axes.yaxis.label.get_color() == "white"
    assert look() == OURS


def test_a_style_may_be_a_file(tmp_path: Path) -> None:
    from matplotlib import rcParams

    style = tmp_path / "mine.mplstyle"
    style.write_text("axes.facecolor: lightgrey\ntext.usetex: True\n", encoding="utf-8")
    with styled(style):
        assert look().paper == "lightgrey"
        assert not rcParams["text.usetex"], "names of k-points are not written for TeX"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ggplt", "did you mean ggplot?"),
        ("zzzz", "there are Solarize_Light2"),
        ("https://example.org/style.mplstyle", "nor a file"),
        ("os.path", "nor a file"),
        ("", "nor a file"),
    ],
)
def test_what_is_no_style_is_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error, styled(name):
        pass
    assert error.value.code == "bad-style"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"no style at all\n", b"figure.dpi: many\n"])
def test_a_file_that_is_no_style_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.mplstyle").write_bytes(content)
    with pytest.raises(UsageError) as error, styled(tmp_path / "s.mplstyle"):
        pass
    assert error.value.code == "bad-style"


def test_pixels_and_inches_are_those_that_are_asked_for(tmp_path: Path) -> None:
    from matplotlib.image import imread

    save_figure(draw(BANDS, width=4.0, height=3.0), tmp_path / "a.png", dpi=50)
    assert imread(tmp_path / "a.png").shape[:2] == (150, 200)
    for dpi in (0, 5, 10_000, float("nan"), "many"):
        with pytest.raises(ArgumentError):
            save_figure(draw(BANDS), tmp_path / "b.png", dpi=dpi)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="at most 235 for a figure of 60"):
        save_figure(new_figure(60, 60), tmp_path / "b.png", dpi=300)
    with pytest.raises(ArgumentError):
        draw(BANDS, width=100.0)
    assert not (tmp_path / "b.png").exists()


def test_pages_are_one_file_that_says_who_made_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_pages((draw(BANDS, name=str(page)) for page in range(2)), tmp_path / f"{name}.pdf")
    written = (tmp_path / "a.pdf").read_bytes()
    assert written == (tmp_path / "b.pdf").read_bytes()
    assert written.count(b"/Type /Page ") == 2
    assert CREATOR.encode() in written


def test_a_style_in_which_no_letter_can_be_drawn_is_refused(tmp_path: Path) -> None:
    style = tmp_path / "s.mplstyle"
    style.write_text("font.size: 1e9\n", encoding="utf-8")
    with pytest.raises(UsageError, match="nothing can be drawn") as error, styled(style):
        save_figure(draw(BANDS), tmp_path / "a.png")
    assert error.value.code == "bad-style"
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_a_figure_without_room_for_its_axes_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="1 by 1 inches"):
        save_figure(draw(BANDS, width=1, height=1), tmp_path / f"a.{kind}")
    with pytest.raises(ArgumentError, match="leave no room"):
        save_pages([draw(BANDS, width=1, height=1)], tmp_path / "a.pdf")
    with pytest.raises(ArgumentError, match="3 by 1 inches"):
        draw_page([BANDS] * 9, width=3, height=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [{"width": 0}, {"height": 0}])
def test_nothing_is_no_size(size: dict[str, float]) -> None:
    with pytest.raises(ArgumentError):
        draw(BANDS, **size)
    with pytest.raises(ArgumentError):
        draw_page([BANDS], **size)
