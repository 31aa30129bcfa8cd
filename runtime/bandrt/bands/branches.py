"""In which order the lines of a walk are drawn, and where each stands on the axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.on_path import BandEdge, BandsOnPath
from bandrt.bands.on_path import segments as segments_of
from bandrt.errors import UsageError
from bandrt.kpaths.spelling import parse_path
from bandrt.quoting import quoted

_SAME_KPOINT = 1e-6
"""Fractional: k-points closer than this are one."""

_Place = tuple[int, int, int]
"""A k-point that can be compared: its fractional coordinates in units of `_SAME_KPOINT`."""


class Branch(NamedTuple):
    """A line between two labelled points, as it is drawn."""

    kpoints: NDArray[np.int64]
    """Which k-points of the walk, in drawing order."""
    labels: tuple[str, str]
    distance: NDArray[np.float64]
    """Position of each k-point on the axis, 1/Å."""
    joined: bool
    """Whether it goes on where the branch before it ends."""


class _Line(NamedTuple):
    kpoints: NDArray[np.int64]
    labels: tuple[str, str]
    ends: tuple[_Place, _Place]

    def reversed(self) -> _Line:
        return _Line(self.kpoints[::-1], self.labels[::-1], self.ends[::-1])


def branches(bands: BandsOnPath, *, full_walk: bool = False, segments: Sequence[str] = ()) -> list[Branch]:
    """Choose what is drawn, and in which order.

    The walk is closed, so it passes some lines twice. Each line is drawn once: from Γ along lines not yet drawn, in the order of
    the walk, and where there is none left, on from a point where a single line ends.

    Args:
        bands: the band structure.
        full_walk: draw the walk as it is, repeats included.
        segments: draw these alone, in this order and direction, each once: labels such as ``G-X`` or ``G-X-W``.

    Raises:
        UsageError: ``unknown-label``, ``bad-path``, or ``unknown-segment`` for one that is not on the walk.
    """
    walked = _lines(bands)
    ordered = _chosen(_each_once(walked), segments) if segments else walked if full_walk else _each_once(walked)
    drawn: list[Branch] = []
    offset, before = 0.0, None
    for line in ordered:
        distance = np.abs(bands.kpoint_distance[line.kpoints] - bands.kpoint_distance[line.kpoints[0]]) + offset
        drawn.append(Branch(line.kpoints, line.labels, distance, before == line.ends[0]))
        offset, before = float(distance[-1]), line.ends[1]
    return drawn


def ticks(drawn: list[Branch]) -> list[tuple[float, str]]:
    """Positions and names along the axis; ``X|K`` where the drawing jumps."""
    marks = [(0.0, drawn[0].labels[0])]
    for branch, following in zip(drawn, [*drawn[1:], None], strict=True):
        jump = f"|{following.labels[0]}" if following is not None and not following.joined else ""
        marks.append((float(branch.distance[-1]), branch.labels[1] + jump))
    return marks


def _lines(bands: BandsOnPath) -> list[_Line]:
    names = dict(zip(bands.label_indices.tolist(), bands.labels, strict=True))
    return [
        _Line(np.arange(start, end + 1), (names[start], names[end]), (_place(bands, start), _place(bands, end)))
        for start, end in segments_of(bands)
    ]


def _each_once(walked: list[_Line]) -> list[_Line]:
    """Every line once, in few strokes of the pen."""
    first_pass: dict[frozenset[_Place], _Line] = {}
    for line in walked:
        first_pass.setdefault(frozenset(line.ends), line)
    left = list(first_pass.values())
    ordered: list[_Line] = []
    pen = walked[0].ends[0]
    while left:
        index = next((i for i, line in enumerate(left) if pen in line.ends), None)
        if index is None:
            ends = Counter(end for line in left for end in line.ends)
            pen = next((end for line in left for end in line.ends[::-1] if ends[end] % 2), left[0].ends[0])
            continue
        line = left.pop(index)
        ordered.append(line if line.ends[0] == pen else line.reversed())
        pen = ordered[-1].ends[1]
    return ordered


def _chosen(lines: list[_Line], wanted: Sequence[str]) -> list[_Line]:
    """The lines that are asked for; of several between points of two names, all."""
    labels = tuple(dict.fromkeys(label for line in lines for label in line.labels))
    found: dict[frozenset[_Place], _Line] = {}
    for text in wanted:
        for pair in (pair for part in parse_path(text, labels) for pair in pairwise(part)):
            between = [line for line in lines if set(line.labels) == set(pair)]
            if not between:
                there = ", ".join("-".join(line.labels) for line in lines)
                raise UsageError("unknown-segment", f"segment {quoted(text)}: {'-'.join(pair)} is not on the path; it has {there}")
            for line in between:
                found.setdefault(frozenset(line.ends), line if line.labels == pair else line.reversed())
    return list(found.values())


def edge_places(bands: BandsOnPath, drawn: list[Branch], edge: BandEdge) -> list[float]:
    """Where on the axis the k-point of a band edge is drawn, also if it is one of another pass over the same line."""
    wanted = bands.frac_kpoints[edge.kpoint_index]
    found: set[float] = set()
    for branch in drawn:
        start, end = bands.frac_kpoints[branch.kpoints[[0, -1]]]
        share = float((wanted - start) @ (end - start) / ((end - start) @ (end - start)))
        off_line = np.abs(wanted - start - share * (end - start)).max()
        if off_line < _SAME_KPOINT and -_SAME_KPOINT < share < 1.0 + _SAME_KPOINT:
            first, last = float(branch.distance[0]), float(branch.distance[-1])
            found.add(first + min(1.0, max(0.0, share)) * (last - first))
    return sorted(found)


def _place(bands: BandsOnPath, index: int) -> _Place:
    a, b, c = np.round(bands.frac_kpoints[index] / _SAME_KPOINT).astype(np.int64).tolist()
    return a, b, c
