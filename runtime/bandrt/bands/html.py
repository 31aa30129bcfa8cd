"""What notebooks show: a small table, and a figure beside it where matplotlib is installed."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Mapping
from html import escape

from bandrt.bands.on_path import BandsOnPath
from bandrt.bands.plot import draw
from bandrt.errors import MissingPackageError

_LEFT = ' style="text-align:left"'
_DOTS_PER_INCH = 144
"""Twice what the figure is shown at, for sharp lines on fine screens."""
_SHOWN_WIDTH = 480
"""Pixels."""


def shown(title: str, facts: Callable[[], Mapping[str, str]], bands: BandsOnPath | None = None, *, name: str = "") -> str:
    """A table, all of its text escaped, and a figure; never an error: a notebook shows what can be shown.

    Args:
        title: above the table.
        facts: gives values by name; empty ones are left out.
        bands: what is drawn; None: nothing.
        name: shown in the figure.
    """
    try:
        rows = facts()
    except Exception:
        logging.getLogger(__name__).debug("no table", exc_info=True)
        rows = {}
    lines = [f"<tr><th{_LEFT}>{_escaped(name)}</th><td{_LEFT}>{_escaped(value)}</td></tr>" for name, value in rows.items() if value]
    table = f"<table><caption>{_escaped(title)}</caption>{''.join(lines)}</table>"
    return table if bands is None else table + _figure(bands, name=name)


def _escaped(text: str) -> str:
    """Text as HTML has it; file names may hold bytes that are no text."""
    return escape(text.encode("utf-8", "backslashreplace").decode())


def _figure(bands: BandsOnPath, *, name: str = "") -> str:
    """The drawing of bands as an image; empty without matplotlib, or for bands that cannot be drawn: a notebook goes on."""
    try:
        image = io.BytesIO()
        drawing = draw(bands, name=name.encode("utf-8", "backslashreplace").decode())
        drawing.savefig(image, format="png", dpi=_DOTS_PER_INCH)
    except MissingPackageError:
        return ""
    except Exception:
        logging.getLogger(__name__).debug("no figure", exc_info=True)
        return ""
    content = base64.b64encode(image.getvalue()).decode("ascii")
    return f'<img alt="band structure" style="max-width:100%" width="{_SHOWN_WIDTH}" src="data:image/png;base64,{content}"/>'
