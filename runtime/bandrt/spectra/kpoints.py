"""k-points of the user's own: a file of them, or a path over labels of the crystal's k-path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import BandrtError
from bandrt.files import require_there
from bandrt.kpaths.path import KPath
from bandrt.limits import MAX_KPOINTS, MAX_KPOINTS_BYTES
from bandrt.quoting import quoted
from bandrt.readers.text import real_number
from bandrt.symmetry.standard_cell import StandardCell

Floats = NDArray[np.float64]
POINTS_PER_ANGSTROM = 60.0
"""k-points per 1/Å of a path: about 250 on that of a small crystal."""
LEAST_STEPS = 10
"""Of a segment."""
_SAME_PLACE = 1e-6
_STYLE, _FRACTIONAL = "generation_style", "Reciprocal"
"""What a ``Kpoints`` of pymatgen calls a list of fractional k-points; the other styles are sizes of a mesh, and ends of lines."""


@dataclass(frozen=True, eq=False)
class KLines:
    """Points on straight segments between labelled ones, in the form of a `bandrt.kpaths.path.KPath`.

    Attributes:
        frac_kpoints: (K, 3), fractional in the reciprocal of the standard primitive cell.
        kpoint_distance: (K,) 1/Å, length of the segments up to each point; a jump from one line to the next has no length.
        labels: of the ends of segments, in order.
        label_indices: (n_labels,) which point each is.
    """

    frac_kpoints: Floats
    kpoint_distance: Floats
    labels: tuple[str, ...]
    label_indices: NDArray[np.int64]


def read_kpoints(path: Path) -> Floats:
    """Read fractional k-points, (K, 3): a line each, of three numbers and maybe a weight, or a list in JSON (``*.json``).

    Empty lines, and what follows a ``#``, are passed over; numbers are parted by blanks or all of them by commas, and may be
    fractions such as ``1/3``. A weight changes nothing of bands. What may be something else is refused: lines that are numbered,
    whose number would be taken for a coordinate, a single line that may be, and a mesh such as ``4 4 4``.

    Raises:
        NotFoundError: ``file-not-found``.
        BandrtError: ``bad-kpoints``, naming the line, or for more than `bandrt.limits.MAX_KPOINTS`.
    """
    path = require_there(path)
    try:
        with path.open("rb") as file:
            read = file.read(MAX_KPOINTS_BYTES + 1)
        text = read.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BandrtError("bad-kpoints", f"{path}: cannot be read as text ({error})") from error
    if len(read) > MAX_KPOINTS_BYTES:
        raise BandrtError("bad-kpoints", f"{path}: is larger than {MAX_KPOINTS_BYTES // 2**20} MiB, too much for k-points")
    if path.suffix.lower() == ".json":
        return _of_json(text, path)
    points: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        words = said.removesuffix(",").split(",", 5) if "," in said else said.split(maxsplit=5)
        try:
            numbers = [_number(word) for word in words]
        except (ValueError, ZeroDivisionError):
            numbers = []
        if len(numbers) not in (3, 4) or not np.isfinite(numbers).all() or min(numbers[3:], default=0.0) < 0.0:
            raise BandrtError(
                "bad-kpoints", f"{path}: line {number} is {quoted(line)}; a k-point is three numbers, with or without a weight"
            )
        points.append(numbers)
        if len(points) > MAX_KPOINTS:
            break
    if (why := _something_else(points)) is not None:
        raise BandrtError("bad-kpoints", f"{path}: {why}")
    return _checked([one[:3] for one in points], path)


def _something_else(points: list[list[float]]) -> str | None:
    """What the numbers of lines are if they are no k-points, or may be none; None of k-points.

    Numbers of lines are whole, each one more than that before it. In a single line any whole number may be one. Γ with a whole
    weight, ``0 0 0 1``, is Γ also as the line 0 of a k-point, but for a reciprocal vector.
    """
    if not points:
        return None
    first, whole = points[0], all(number.is_integer() for number in points[0])
    if len(first) == 3:
        if whole and min(first) >= 1.0 and max(first) > 1.0:
            sizes = " ".join(f"{size:g}" for size in first)
            return f"begins with {sizes}, as a file of a mesh does; list its k-points, or write one that is meant so in a *.json"
        return None
    if not (first[0].is_integer() and first[0] >= 0.0):
        return None
    if len(points) > 1:
        if all(len(one) == 4 and one[0] == number for number, one in enumerate(points, start=int(first[0]))):
            return "its lines are, or may be, numbered in the first column; a k-point comes first, and weights can be left out"
        return None
    if not any(first[:3]) and first[3].is_integer():
        return None
    return (
        "its only line may be numbered in the first column, or have a weight in the fourth; write the k-point's three numbers alone"
    )


def _number(word: str) -> float:
    above, slash, below = word.partition("/")
    return real_number(above) / real_number(below) if slash else real_number(above)


def _of_json(text: str, path: Path) -> Floats:
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            is_mesh = found.get(_STYLE, _FRACTIONAL) != _FRACTIONAL
            found = None if is_mesh else found["kpoints"]
        points = np.array(found, np.float64)
    except (ValueError, TypeError, KeyError, RecursionError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1:] != (3,) or not np.isfinite(points).all():
        raise BandrtError("bad-kpoints", f"{path}: is no list of k-points in JSON, three numbers each, nor has one under kpoints")
    return _checked(points, path)


def _checked(points: Any, path: Path) -> Floats:
    if not 0 < len(points) <= MAX_KPOINTS:
        many = f"more than {MAX_KPOINTS}" if len(points) else "no"
        raise BandrtError("bad-kpoints", f"{path}: holds {many} k-points, 1 to {MAX_KPOINTS} are possible")
    return np.array(points, np.float64)


def place(vector: Floats) -> tuple[float, float, float]:
    """Three coordinates as they are told: without rounding noise, and without the sign of a zero."""
    a, b, c = (float(round(value, 10)) + 0.0 for value in vector)
    return a, b, c


def lines_between(
    lines: list[list[str]], kpath: KPath, cell: StandardCell, *, spacing: float = 1.0 / POINTS_PER_ANGSTROM
) -> KLines:
    """Put points on lines of labels.

    A label has many places, which symmetry takes to each other. A line begins where the k-path first has its label, and goes on to
    the nearest place of the next; of equally near ones to that which the k-path passes, else to the first.

    Args:
        lines: from `bandrt.kpaths.spelling.parse_path`.
        kpath: of the crystal.
        cell: the crystal.
        spacing: 1/Å between two points, or less.
    """
    reciprocal = cell.crystal.reciprocal
    points, distances, labels, indices = [], [], [], []
    at, length = 0, 0.0
    for line in lines:
        here = _own_places(kpath, line[0])[0]
        points.append(here[None])
        distances.append(np.array([length]))
        labels.append(line[0])
        indices.append(at)
        at += 1
        for label in line[1:]:
            there = _nearest(here, label, kpath, cell)
            way = float(np.linalg.norm((there - here) @ reciprocal))
            steps = max(LEAST_STEPS, int(np.ceil(way / spacing)))
            shares = np.arange(1, steps + 1) / steps
            points.append(here + shares[:, None] * (there - here))
            distances.append(length + shares * way)
            at, length, here = at + steps, length + way, there
            labels.append(label)
            indices.append(at - 1)
    return KLines(np.concatenate(points), np.concatenate(distances), tuple(labels), np.array(indices, np.int64))


def _own_places(kpath: KPath, label: str) -> Floats:
    """Where the k-path has a label, (n, 3)."""
    return kpath.frac_kpoints[[index for index, name in zip(kpath.label_indices, kpath.labels, strict=True) if name == label]]


def _nearest(here: Floats, label: str, kpath: KPath, cell: StandardCell) -> Floats:
    own = _own_places(kpath, label)
    images = np.concatenate([own, np.einsum("rij,pj->rpi", cell.rotations, own).reshape(-1, 3)])
    away = np.linalg.norm((images - here) @ cell.crystal.reciprocal, axis=1)
    away[away < _SAME_PLACE] = np.inf
    nearest: Floats = images[int(np.argmax(away < away.min() + _SAME_PLACE))]
    return nearest
