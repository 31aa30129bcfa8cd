"""Where texts of a matplotlib figure are drawn."""

from __future__ import annotations

from typing import Any


def first_line(title: Any, renderer: Any) -> Any:
    """Where the first line of a text is drawn: the second, if there is one, is empty."""
    box = title.get_window_extent(renderer)
    if title.get_text().endswith("\n"):
        box.y0 = box.y1 - 1.2 * title.get_fontsize() * title.get_figure().dpi / 72
    return box
