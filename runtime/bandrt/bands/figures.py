"""Figures of matplotlib: the axes they are drawn on, the look a style gives them, and the files they become."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from warnings import catch_warnings, filterwarnings

from bandrt.arguments import checked_number, not_allowed
from bandrt.errors import MissingPackageError, UsageError, reason_of
from bandrt.files import from_home, replaced
from bandrt.quoting import did_you_mean, nearest, quoted

FIGURE_FORMATS = ("png", "svg", "pdf")
CREATOR = "bandrt.bands.plot"
"""Who made a figure, as its file says."""
DPI = 200.0
"""Of figures in pixels, where nobody says."""
LEAST_DPI, MOST_DPI = 20.0, 1200.0
LEAST_INCHES, MOST_INCHES = 1.0, 60.0
"""Width and height of a figure."""
MOST_PIXELS = 200_000_000
"""Of a figure: memory for 800 MB of them."""
NAMED = "default"
"""A style that matplotlib knows beside those it lists."""


class Look(NamedTuple):
    """Colours of a figure: ours, told apart by every kind of colour vision and in grey, unless a style has its own."""

    valence: str
    conduction: str
    ink: str
    soft: str
    """Of names, which say less than titles."""
    faint: str
    paper: str


OURS = Look("#0072B2", "#D55E00", "#222222", "#666666", "#B0B0B0", "white")


def look() -> Look:
    """The colours that hold now: a style that changes those of lines, or of texts, is followed."""
    from matplotlib import rcParams, rcParamsDefault

    def changed(name: str) -> bool:
        return bool(rcParams[name] != rcParamsDefault[name])

    lines = rcParams["axes.prop_cycle"].by_key().get("color", []) if changed("axes.prop_cycle") else []
    first, second = (lines[0], lines[1]) if len(lines) > 1 else (OURS.valence, OURS.conduction)
    own_ink = changed("text.color")
    ink, soft = (str(rcParams["text.color"]),) * 2 if own_ink else (OURS.ink, OURS.soft)
    paper = str(rcParams["axes.facecolor"]) if changed("axes.facecolor") else OURS.paper
    return Look(str(first), str(second), ink, soft, OURS.faint, paper)


@contextmanager
def styled(style: str | Path | None) -> Iterator[None]:
    """Draw and save figures in a style of matplotlib.

    Args:
        style: one of ``matplotlib.style.available``, or a file; None changes nothing. Texts are never set by TeX: names of k-points
            are not written for it.

    Raises:
        UsageError: ``bad-style`` for what is neither, or in which nothing can be drawn.
        MissingPackageError: matplotlib is not installed.
    """
    if style is None:
        yield
        return
    require_matplotlib()
    from matplotlib.style import context

    try:
        with context([_known_style(style), {"text.usetex": False}]):
            yield
    except RuntimeError as error:  # of the library that draws letters
        raise UsageError("bad-style", f"style {style}: nothing can be drawn in it ({reason_of(error)})") from error


def check_style(style: object) -> None:
    """Refuse what is no style before the work; see `styled`."""
    if style is not None:
        _known_style(str(style))


def _known_style(style: str | Path) -> str | dict[str, Any]:
    """The name of a style, or what a file says; nothing is looked for anywhere else."""
    from matplotlib import rc_params_from_file
    from matplotlib.style import available

    name = str(style)
    if name in available or name == NAMED:
        return name
    path = Path(from_home(name))
    if not path.is_file():
        meant = did_you_mean(nearest(name, available)) or f"there are {', '.join(a for a in available if a[0] != '_')}"
        raise UsageError("bad-style", f"style {quoted(name)} is neither one of matplotlib nor a file; {meant}")
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # which tells lines that it passes over
    try:
        found = dict(rc_params_from_file(path, fail_on_error=True, use_default_template=False))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError("bad-style", f"style {path}: cannot be read ({error})") from error
    finally:
        logger.setLevel(level)
    if not found:
        raise UsageError("bad-style", f"style {path}: no line of it is one of a style, such as font.size: 9")
    return found


def require_matplotlib(*, extra: str = "plot", what: str = "drawing a band structure") -> None:
    """Find out before the work that figures cannot be drawn.

    Args:
        extra: of this package, that installs matplotlib.
        what: needs it.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("matplotlib", extra, what) from error


def axes_or_new(ax: Any, inches: tuple[float, float]) -> Any:
    """The axes that are given; without, those of a new figure of ``pyplot``, so wide and high.

    Raises:
        ArgumentError: ``bad-argument`` for what is no axes.
    """
    from matplotlib import pyplot
    from matplotlib.axes import Axes

    if ax is None:
        return pyplot.subplots(figsize=inches, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise not_allowed("ax", ax, "None, or axes of matplotlib, such as pyplot.subplots() gives beside the figure")
    return ax


def new_figure(width: float, height: float) -> Any:
    """A figure so many inches wide and high, whose axes keep out of each other's way.

    Raises:
        ArgumentError: ``bad-argument`` for a size that no figure has.
    """
    from matplotlib.figure import Figure

    size = [
        checked_number(what, inches, at_least=LEAST_INCHES, at_most=MOST_INCHES)
        for what, inches in (("width", width), ("height", height))
    ]
    return Figure(figsize=(size[0], size[1]), layout="constrained")


def lay_out(figure: Any) -> None:
    """Give axes the places that they will have: texts are set by how wide they are.

    Raises:
        ArgumentError: ``bad-argument`` where texts leave no room for axes.
    """
    with _roomy(figure):
        figure.get_layout_engine().execute(figure)


@contextmanager
def _roomy(figure: Any) -> Iterator[None]:
    """Refuse a figure in which texts leave no room for axes, of which matplotlib warns."""
    with catch_warnings():
        filterwarnings("error", message="constrained_layout not applied", category=UserWarning)
        try:
            yield
        except UserWarning as error:
            width, height = figure.get_size_inches()
            allowed = "a larger one, or fewer crystals on it: its texts leave no room for what is drawn"
            raise not_allowed("a figure", f"{width:g} by {height:g} inches", allowed) from error


def inches_of(ax: Any) -> float:
    """How wide axes are."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def save_figure(figure: Any, path: Path, *, dpi: float | None = None) -> None:
    """Write a matplotlib ``Figure`` to a file, whose suffix says the format: png, svg or pdf; equal figures give equal files.

    Args:
        figure: the figure.
        path: the file.
        dpi: pixels per inch, `DPI` for None.

    Raises:
        ArgumentError: ``bad-argument`` for a `dpi` that is none, too many pixels, or a figure too small for its texts.
    """
    kind = path.suffix.lstrip(".").lower()
    with _reproducible(), _roomy(figure), replaced(path, "wb") as file:
        figure.savefig(file, format=kind, dpi=_checked_dpi(figure, kind, dpi), metadata=_about(kind))


def save_pages(figures: Iterable[Any], path: Path, *, dpi: float | None = None) -> None:
    """Write figures to the pages of one PDF, one at a time; see `save_figure`."""

    with _reproducible(), replaced(path, "wb") as file:
        _write_pages(figures, file, dpi)


def _write_pages(figures: Iterable[Any], file: IO[bytes], dpi: float | None) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(file, metadata=_about("pdf")) as pages:
        for figure in figures:
            with _roomy(figure):
                pages.savefig(figure, dpi=_checked_dpi(figure, "pdf", dpi))


def _about(kind: str) -> dict[str, str | None] | None:
    """What a file says of itself; no time, so that equal figures are equal files."""
    about: dict[str, dict[str, str | None]] = {
        "png": {"Software": CREATOR},
        "svg": {"Creator": CREATOR, "Date": None},
        "pdf": {"Creator": CREATOR, "CreationDate": None},
    }
    return about.get(kind)


@contextmanager
def _reproducible() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "bandrt", "pdf.fonttype": 42, "savefig.bbox": None}), catch_warnings():
        filterwarnings("ignore", message="Glyph", category=UserWarning)  # a letter that the font lacks becomes a box
        yield


def _checked_dpi(figure: Any, kind: str, dpi: float | None) -> float:
    found = checked_number("dpi", DPI if dpi is None else dpi, at_least=LEAST_DPI, at_most=MOST_DPI)
    width, height = (float(inches) for inches in figure.get_size_inches())
    most = (MOST_PIXELS / (width * height)) ** 0.5
    if kind == "png" and found > most:
        raise not_allowed("dpi", dpi, f"at most {int(most)} for a figure of {width:.1f} by {height:.1f} inches; or write *.pdf")
    return found
