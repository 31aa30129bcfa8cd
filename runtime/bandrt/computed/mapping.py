"""Where wanted k-points lie on computed lines, through the symmetry of the crystal.

Two k-points have the same energies when a rotation of the crystal, a reciprocal lattice vector or time reversal takes one to the
other. A wanted k-point is found when one of its images lies on a straight run of computed k-points; its energies are then
interpolated between the two computed neighbours in that run, unless another image lies at a computed k-point. Nothing is ever
continued past the end of a run, or across a corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ON_LINE_TOLERANCE = 5e-4
"""1/Å: an image this close to a line lies on it. At a band velocity of 5 eV Å it is worth 2.5 meV; cells that are symmetric to
within 0.01 Å move the vertices of the Brillouin zone by as much when they are made symmetric."""
EQUALLY_CLOSE = 1e-5
"""1/Å: images whose distances to a line differ by less are equally good."""
ON_POINT = 1e-3
"""Share of a step: a match this close to a computed k-point lies at it."""
STRAIGHT_TOLERANCE = 1e-3
"""Largest sine of the angle between two steps of one straight run."""
JUMP_RATIO = 4.0
"""A step this many times longer than the document's median step is a jump between two separate lines."""
LOOKUP_EXTENT = 0.9
"""Fractional: runs are looked up in pieces shorter than a reciprocal cell, where one lattice vector at most brings an image."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Computed k-points in straight runs.

    Attributes:
        frac_kpoints: (n_kpoints, 3), fractional.
        reciprocal: (3, 3) rows, 1/Å.
        runs: (n_runs, 2) first and last k-point of each; runs may share end points.
    """

    frac_kpoints: NDArray[np.float64]
    reciprocal: NDArray[np.float64]
    runs: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class KMapping:
    """What each wanted k-point is made of: ``(1 - weight) E[left] + weight E[right]``.

    Attributes:
        found: (n_wanted,) bool; the other arrays mean nothing where it is False.
        left: (n_wanted,) index of a computed k-point.
        right: (n_wanted,) its neighbour in the same run (or itself).
        weight: (n_wanted,) between 0 and 1.
        distance: (n_wanted,) 1/Å, from the image to the line.
        alternatives: (n_matches, 3): wanted index, left, right of every equally close match, the chosen one included.
        alternative_weight: (n_matches,).
    """

    found: NDArray[np.bool_]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    weight: NDArray[np.float64]
    distance: NDArray[np.float64]
    alternatives: NDArray[np.intp]
    alternative_weight: NDArray[np.float64]

    def interpolate(self, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energies at the wanted k-points, NaN where not found.

        Args:
            energies: (n_bands, n_kpoints) at the computed k-points.

        Returns:
            (n_bands, n_wanted).
        """
        wanted = (1.0 - self.weight) * energies[:, self.left] + self.weight * energies[:, self.right]
        wanted[:, ~self.found] = np.nan
        return np.asarray(wanted)

    def spread(self, energies: NDArray[np.float64]) -> float:
        """Largest difference between energies computed at different k-points that are one by symmetry, free of interpolation."""
        wanted, left, right = self.alternatives.T
        computed = np.where(self.alternative_weight < 0.5, left, right)
        at_one = np.abs(self.alternative_weight - np.rint(self.alternative_weight)) < ON_POINT
        high = np.full((len(self.found), len(energies)), -np.inf)
        low = np.full((len(self.found), len(energies)), np.inf)
        np.maximum.at(high, wanted[at_one], energies.T[computed[at_one]])
        np.minimum.at(low, wanted[at_one], energies.T[computed[at_one]])
        return float(np.max(high - low, initial=0.0))


def straight_lines(frac_kpoints: NDArray[np.float64], reciprocal: NDArray[np.float64], branches: NDArray[np.intp]) -> Lines:
    """Cut branches at corners and jumps.

    Args:
        frac_kpoints: (n_kpoints, 3).
        reciprocal: (3, 3) rows, 1/Å.
        branches: (n_branches, 2) first and last k-point of each.
    """
    steps = np.diff(frac_kpoints @ reciprocal, axis=0)  # (n_kpoints - 1, 3)
    lengths = np.linalg.norm(steps, axis=1)
    inside = np.zeros(len(lengths), dtype=bool)
    for first, last in branches:
        inside[first:last] = True
    moving = inside & (lengths > EQUALLY_CLOSE)
    typical = np.median(lengths[moving]) if moving.any() else np.inf
    jumps = inside & (lengths > JUMP_RATIO * typical)
    corners = np.zeros(len(frac_kpoints), dtype=bool)
    corners[1:-1] = _turns(steps[:-1], steps[1:], lengths[:-1] * lengths[1:])
    runs: list[tuple[int, int]] = []
    for first, last in branches:
        start = int(first)
        for k in range(first, last):
            if jumps[k]:
                runs.append((start, k))
                start = k + 1
            elif corners[k] and k > start:
                runs.append((start, k))
                start = k
        runs.append((start, int(last)))
    return Lines(frac_kpoints, reciprocal, np.array(runs, dtype=np.intp).reshape(-1, 2))


def _turns(before: NDArray[np.float64], after: NDArray[np.float64], product: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the direction changes between steps (n, 3) whose lengths have this product (n,), 1/Å^2."""
    sine = np.linalg.norm(np.cross(before, after), axis=1)
    backwards = np.einsum("ij,ij->i", before, after) < 0.0
    return np.asarray((product < EQUALLY_CLOSE**2) | backwards | (sine > STRAIGHT_TOLERANCE * product))


def map_kpoints(
    wanted: NDArray[np.float64], lines: Lines, rotations: NDArray[np.int_], *, tolerance: float = ON_LINE_TOLERANCE
) -> KMapping:
    """Find every wanted k-point on computed lines.

    Args:
        wanted: (n_wanted, 3), fractional in the same reciprocal lattice.
        lines: the computed k-points.
        rotations: (n_ops, 3, 3), the Laue group acting on column fractional coordinates.
        tolerance: 1/Å.
    """
    images = np.einsum("oij,kj->koi", rotations, wanted).reshape(-1, 3)  # (n_wanted * n_ops, 3)
    owner = np.repeat(np.arange(len(wanted)), len(rotations))
    margin = tolerance * np.linalg.norm(np.linalg.inv(lines.reciprocal), axis=0)  # fractional, (3,)
    matches = [_matches(images, lines, first, last, margin, tolerance) for first, last in lines.runs]
    sizes = [len(m[0]) for m in matches]
    image, left, right = (np.concatenate([m[i] for m in matches]).astype(np.intp) for i in range(3))
    weight, distance = (np.concatenate([m[i] for m in matches]) for i in (3, 4))
    run = np.repeat(np.arange(len(sizes)), sizes)
    k = owner[image]

    best = np.full(len(wanted), np.inf)
    np.minimum.at(best, k, distance)
    keep = np.flatnonzero(distance <= best[k] + EQUALLY_CLOSE)
    is_between = np.minimum(weight, 1.0 - weight) > ON_POINT
    keep = keep[np.lexsort((right[keep], left[keep], run[keep], is_between[keep], k[keep]))]
    chosen_k, position = np.unique(k[keep], return_index=True)
    chosen = keep[position]
    zeros = np.zeros(len(wanted), dtype=np.intp)
    mapping = KMapping(
        np.isfinite(best),
        zeros,
        zeros.copy(),
        np.zeros(len(wanted)),
        best,
        np.stack([k[keep], left[keep], right[keep]], axis=1),
        weight[keep],
    )
    mapping.left[chosen_k], mapping.right[chosen_k], mapping.weight[chosen_k] = left[chosen], right[chosen], weight[chosen]
    return mapping


def _matches(
    images: NDArray[np.float64], lines: Lines, first: int, last: int, margin: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Images that lie on one run: their index, the computed k-points left and right of them, weight and distance (1/Å)."""
    start, direction = lines.frac_kpoints[first], lines.frac_kpoints[last] - lines.frac_kpoints[first]
    length = float(np.linalg.norm(direction @ lines.reciprocal))
    n_pieces = int(np.ceil(np.abs(direction).max() / LOOKUP_EXTENT)) or 1
    found, shares, distances = [], [], []
    for piece in range(n_pieces):
        ends = start + direction * np.array([[piece], [piece + 1]]) / n_pieces  # (2, 3)
        low, high = ends.min(axis=0) - margin, ends.max(axis=0) + margin
        moved = images + np.ceil(low - images)  # the one lattice image that may lie between low and high
        near = np.flatnonzero((moved <= high).all(axis=1))
        offset = (moved[near] - start) @ lines.reciprocal  # (n_near, 3) 1/Å
        unit = direction @ lines.reciprocal / length if length > 0.0 else np.zeros(3)
        share = np.clip(offset @ unit, 0.0, length)
        distance = np.linalg.norm(offset - share[:, None] * unit, axis=1)
        on = distance < tolerance
        found.append(near[on])
        shares.append(share[on])
        distances.append(distance[on])
    image, share = np.concatenate(found), np.concatenate(shares)
    knots = np.linalg.norm((lines.frac_kpoints[first : last + 1] - start) @ lines.reciprocal, axis=1)  # ascending, 1/Å
    left = np.clip(np.searchsorted(knots, share, side="right") - 1, 0, len(knots) - 1)
    right = np.minimum(left + 1, len(knots) - 1)
    gap = knots[right] - knots[left]
    weight = np.where(gap > 0.0, (share - knots[left]) / np.where(gap > 0.0, gap, 1.0), 0.0)
    return image, left + first, right + first, np.clip(weight, 0.0, 1.0), np.concatenate(distances)
