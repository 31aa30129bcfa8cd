"""The linear tetrahedron method: how many states lie below an energy, exactly so for energies that are linear between the points.

Each small cell of the mesh is cut into six tetrahedra along its shortest diagonal. How much of one lies below an energy is shared
among its four corners, so that what a state is made of is integrated, too.
Source: P. E. Blöchl, O. Jepsen and O. K. Andersen, Phys. Rev. B 49, 16223 (1994), appendix B, without the corrections for metals.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.spectra.mesh import ZoneMesh

Floats = NDArray[np.float64]
CHUNK = 400_000
"""Pairs of a tetrahedron and an energy that are worked on at once."""
HALVINGS = 60
"""Of the interval that holds the Fermi level."""


class Tetrahedra(NamedTuple):
    """Tetrahedra that fill the Brillouin zone; those of equal corners are one.

    Attributes:
        corners: (T, 4), which of the kept points of the mesh.
        share: (T,) of the zone; they add up to one.
    """

    corners: NDArray[np.int64]
    share: Floats


class BandBelow(NamedTuple):
    """How much of one band lies below each of some ascending energies.

    Attributes:
        first: the first energy that is not below the whole band.
        weights: (P, m), the share of each kept point at that energy and the m - 1 after it; at all that follow it is the point's
            whole weight.
    """

    first: int
    weights: Floats


def tetrahedra(mesh: ZoneMesh, reciprocal: Floats) -> Tetrahedra:
    """Cut the zone.

    Args:
        mesh: its points.
        reciprocal: (3, 3) rows, of the crystal.
    """
    n = np.array(mesh.sizes)
    steps = reciprocal / n[:, None]
    diagonals = [np.array([1, sign_b, sign_c]) for sign_b, sign_c in product((1, -1), repeat=2)]
    signs = min(diagonals, key=lambda diagonal: float(np.linalg.norm(diagonal @ steps)))
    start = (signs < 0).astype(np.int64)
    paths = []
    for order in permutations(range(3)):  # from one end of the diagonal to the other along three edges
        corner, path = start.copy(), [start.copy()]
        for axis in order:
            corner[axis] += signs[axis]
            path.append(corner.copy())
        paths.append(path)
    origins = np.stack(np.meshgrid(*(np.arange(size) for size in n), indexing="ij"), axis=-1).reshape(-1, 1, 1, 3)
    x, y, z = np.moveaxis((origins + np.array(paths)[None]) % n, -1, 0)  # (N, 6, 4) each
    corners = np.sort(mesh.like[(x * n[1] + y) * n[2] + z].reshape(-1, 4), axis=1)
    kept = len(mesh.weights)
    first, second = corners[:, 0] * kept + corners[:, 1], corners[:, 2] * kept + corners[:, 3]
    by_corners = np.lexsort((second, first))
    is_new = np.ones(len(corners), np.bool_)
    is_new[1:] = (np.diff(first[by_corners]) != 0) | (np.diff(second[by_corners]) != 0)
    at = np.flatnonzero(is_new)
    counts = np.diff(np.append(at, len(corners)))
    return Tetrahedra(corners[by_corners[at]], counts / len(corners))


def band_below(energies: Floats, zone: Tetrahedra, levels: Floats) -> BandBelow:
    """How much of one band, with energies (P,) at the kept points, lies below levels (L,), ascending."""
    order = np.argsort(energies[zone.corners], axis=1, kind="stable")
    corners = np.take_along_axis(zone.corners, order, 1)
    at_corners = energies[corners]  # (T, 4) ascending
    start = np.searchsorted(levels, at_corners[:, 0], side="right")  # the first level above the lowest corner
    end = np.searchsorted(levels, at_corners[:, 3], side="left")  # and the first that is not below the highest
    start = np.minimum(start, end)  # of corners of one energy
    first, width = int(start.min()), int(end.max() - start.min())
    size = len(energies) * (width + 1)
    inside, steps = np.zeros(size), np.zeros(size)
    place = corners * (width + 1)
    for t, column in _pairs(start, end):
        weights = corner_weights(at_corners[t], levels[column]) * zone.share[t, None]
        inside += np.bincount((place[t] + (column - first)[:, None]).ravel(), weights.ravel(), size)
    quarter = np.repeat(0.25 * zone.share, 4)
    steps += np.bincount((place + (end - first)[:, None]).ravel(), quarter, size)
    shape = (len(energies), width + 1)
    return BandBelow(first, inside.reshape(shape) + steps.reshape(shape).cumsum(axis=1))


def states_below(energies: Floats, zone: Tetrahedra, level: float) -> float:
    """How many states, of bands (P, n), lie below one energy; a full band is one."""
    at_corners = np.sort(energies[zone.corners], axis=1)  # (T, 4, n)
    count = 0.0
    for band in range(energies.shape[1]):
        e = at_corners[:, :, band]
        below = (e[:, 3] <= level).astype(np.float64)
        cut = np.flatnonzero((e[:, 0] < level) & (e[:, 3] > level))
        below[cut] = corner_weights(e[cut], np.full(len(cut), level)).sum(axis=1)
        count += float(zone.share @ below)
    return count


def fermi_level(energies: Floats, zone: Tetrahedra, n_states: float) -> float:
    """The energy below which so many states lie, of bands (P, n); where there is a gap, an energy in it, or its edge."""
    counted = int(np.ceil(n_states)) - 1  # the band that holds the level, if the bands do not overlap
    low, high = float(energies[:, counted:].min()), float(energies[:, : counted + 1].max())
    low, high = min(low, high) - 1e-6, max(low, high) + 1e-6
    touched = (energies.max(axis=0) > low) & (energies.min(axis=0) < high)
    full = float((energies.max(axis=0) <= low).sum())
    for _ in range(HALVINGS):
        level = 0.5 * (low + high)
        if full + states_below(energies[:, touched], zone, level) < n_states:
            low = level
        else:
            high = level
    return 0.5 * (low + high)


def corner_weights(corners: Floats, level: Floats) -> Floats:
    """How much of tetrahedra lies below levels (Q,), shared among their corners (Q, 4), in parts of each tetrahedron.

    Args:
        corners: energies, ascending.
        level: above the first corner of each and below the last.
    """
    e1, e2, e3, e4 = corners.T
    weights = np.empty_like(corners)
    low, high = level <= e2, level > e3
    middle = ~(low | high)

    a, b, c, d = (value[low] for value in (e1, e2, e3, e4))
    x = level[low] - a
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 0.25 * (x / (b - a)) * (x / (c - a)) * (x / (d - a))
        weights[low] = np.stack(
            [share * (4 - x / (b - a) - x / (c - a) - x / (d - a)), *(share * x / (v - a) for v in (b, c, d))], 1
        )

    a, b, c, d = (value[middle] for value in (e1, e2, e3, e4))
    e = level[middle]
    ca, da, cb, db = c - a, d - a, c - b, d - b
    c1 = 0.25 * (e - a) / da * (e - a) / ca
    c2 = 0.25 * (e - a) / da * ((e - b) / cb) * ((c - e) / ca)
    c3 = 0.25 * ((e - b) / db) * ((e - b) / cb) * ((d - e) / da)
    weights[middle] = np.stack(
        [
            c1 + (c1 + c2) * (c - e) / ca + (c1 + c2 + c3) * (d - e) / da,
            c1 + c2 + c3 + (c2 + c3) * (c - e) / cb + c3 * (d - e) / db,
            (c1 + c2) * (e - a) / ca + (c2 + c3) * (e - b) / cb,
            (c1 + c2 + c3) * (e - a) / da + c3 * (e - b) / db,
        ],
        1,
    )

    a, b, c, d = (value[high] for value in (e1, e2, e3, e4))
    x = d - level[high]
    share = 0.25 * (x / (d - a)) * (x / (d - b)) * (x / (d - c))
    weights[high] = np.stack(
        [*(0.25 - share * x / (d - v) for v in (a, b, c)), 0.25 - share * (4 - x / (d - a) - x / (d - b) - x / (d - c))], 1
    )
    return weights


def _pairs(start: NDArray[np.int64], end: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Every tetrahedron with every level from its start to before its end, some at a time."""
    counts = end - start
    total = np.cumsum(counts)
    at = 0
    while at < len(counts):
        before = int(total[at - 1]) if at else 0
        until = max(at + 1, int(np.searchsorted(total, before + CHUNK, side="right")))
        part = counts[at:until]
        which = np.repeat(np.arange(at, until), part)
        if len(which):
            offset = np.arange(len(which)) - np.repeat(np.cumsum(part) - part, part)
            yield which, start[which] + offset
        at = until
