"""How names, formulas and titles are written in figures: no letter on another, none beyond the axes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bandrt.bands.figures import look
from bandrt.quoting import shortened

_LETTER_INCHES = 0.08
"""Width of a letter of a label, at `LABEL_POINTS`."""
LABEL_POINTS = 10.0
_LABEL_LINES = 3
"""So many lines of labels at most."""
_TITLE_INCHES, _NAME_INCHES = 0.092, 0.065
"""Width of a letter of the title, at 12 points, and of the name, at 8."""


def pretty_label(label: str) -> str:
    """A k-point's name as it is printed: ``X_1`` with a subscript, ``X'`` with a prime."""
    return re.sub(r"_(\w+)", r"$_{\1}$", label).replace("'", "′")


def pretty_formula(formula: str) -> str:
    """A formula with subscripts."""
    return re.sub(r"(\d+)", r"$_{\1}$", formula)


def pretty_space_group(symbol: str) -> str:
    """A Hermann-Mauguin symbol with bars and subscripts, in italics."""
    return "$" + re.sub(r"_(\d)", r"_{\1}", re.sub(r"-(\d)", r"\\bar{\1}", symbol)) + "$"


def set_titles(axes: Any, title: str, name: str, inches: float) -> None:
    """The title and, right of it or, where that is too narrow, above it, the name: no letter on another, none beyond the axes."""
    wide = _TITLE_INCHES * len(re.sub(r"\\bar|[${}_]", "", title))
    name = shortened(name, max(12, int(inches / _NAME_INCHES)))
    beside = wide + _NAME_INCHES * (len(name) + 2) <= inches
    axes.set_title(title, loc="left", fontsize=12 * min(1.0, max(0.5, inches / wide)), color=look().ink)
    axes.set_title(
        name if beside or not name else f"{name}\n", loc="right", fontsize=8, color=look().soft, parse_math=False, linespacing=2.2
    )


def tick_texts(marks: list[tuple[float, str]], inches: float, *, points: float = LABEL_POINTS) -> list[str]:
    """Names as printed, of which the axis gives so many inches per 1/Å; one that would touch another is set a line lower.

    Args:
        marks: position and name of each, in order.
        inches: per 1/Å.
        points: how high letters are.
    """
    letter = _LETTER_INCHES * points / LABEL_POINTS
    ends = [-np.inf] * _LABEL_LINES  # where the last name of each line ends
    texts = []
    for position, name in marks:
        middle, half = position * inches, letter * (len(name) + 1) / 2
        line = next((number for number, end in enumerate(ends) if middle - half >= end), int(np.argmin(ends)))
        ends[line] = middle + half
        texts.append("\n" * line + pretty_label(name))
    return texts


def set_path_axis(ax: Any, marks: list[tuple[float, str]], inches: float, *, points: float = LABEL_POINTS) -> None:
    """Name the points of a path along axes so many inches wide."""
    length = marks[-1][0]
    ax.set_xlim(0.0, length)
    ax.set_xticks([position for position, _ in marks], tick_texts(marks, inches / length, points=points), fontsize=points)
    ax.tick_params(axis="x", length=0, pad=5)
    ax.tick_params(axis="y", direction="in", labelsize=0.9 * points)
