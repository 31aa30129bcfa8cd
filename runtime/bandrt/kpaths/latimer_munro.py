"""The Latimer-Munro scheme for a crystal: its template, placed in the standard cell and given names.

Which lines are selected is said in `selection`. A point is called what Setyawan and Curtarolo call an equivalent point,
otherwise by a letter: a, b, c ... over the sets of equivalent points, face centres first, then edge midpoints, then
vertices. Further points of one set get primes: X, X', X''.

For some lattices of Laue group -3 the lines fall into two parts; `eulerian.closed_walk` says how they are joined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bandrt.kpaths.brillouin_zone import PAIRS, Superbase, reduced_superbase, vertex_map
from bandrt.kpaths.eulerian import closed_walk
from bandrt.kpaths.labels import Naming, conventional_labels, naming
from bandrt.kpaths.path import Segments, Walk
from bandrt.kpaths.selection import Template, build_template
from bandrt.kpaths.templates import canonical_frame, table

if TYPE_CHECKING:
    from bandrt.symmetry.standard_cell import StandardCell

STRAINS = (1e-3, -1e-3, 3e-4, -3e-4)
"""How far Selling parameters are moved, relative, to tell a point that always has a name from one that meets it by chance."""


@dataclass(frozen=True, eq=False)
class PlacedTemplate:
    """A template in the reciprocal basis of a standard cell: everything but the metric.

    Attributes:
        superbase: the frame of the template, in the reciprocal basis.
        template: the lines.
        walk: (n_vertices,) closed walk over the lines, node indices.
        node_map: (3 n_nodes, 9); times the reciprocal metric in one row, reshaped to (n_nodes, 3), times the inverse
            metric gives the nodes in fractional coordinates.
    """

    superbase: Superbase
    template: Template
    walk: NDArray[np.int64]
    node_map: NDArray[np.float64]


def segments(cell: StandardCell) -> Segments:
    """Give the lines of the Latimer-Munro path; node 0 is Γ, each line is there once.

    Raises:
        InputError: ``kpath-failed`` when the Laue group does not belong to the lattice.
    """
    reciprocal = cell.crystal.reciprocal
    metric = reciprocal @ reciprocal.T
    placement = placement_of(metric, cell.rotations)
    return Segments(_nodes(placement, metric, cell.crystal.lattice), _names(placement, cell)[0], placement.template.edges)


def walk(cell: StandardCell) -> Walk:
    """Give the closed walk over the Latimer-Munro path: that of `eulerian.closed_walk` over `segments`.

    Raises:
        InputError: ``kpath-failed`` when the Laue group does not belong to the lattice.
    """
    reciprocal = cell.crystal.reciprocal
    metric = reciprocal @ reciprocal.T
    placement = placement_of(metric, cell.rotations)
    nodes = _nodes(placement, metric, cell.crystal.lattice)
    return Walk(nodes.take(placement.walk, axis=0), _names(placement, cell)[1], reciprocal)


def placement_of(metric: NDArray[np.float64], rotations: NDArray[np.int64]) -> PlacedTemplate:
    """Find the template of a reciprocal lattice and its Laue group, in the shipped table or else built.

    Args:
        metric: (3, 3), of the reciprocal lattice.
        rotations: (n_operations, 3, 3), on columns of fractional reciprocal coordinates.

    Raises:
        InputError: ``kpath-failed`` when the Laue group does not belong to the lattice.
    """
    return _placement(reduced_superbase(metric), rotations.astype(np.int8).tobytes())


@lru_cache(maxsize=4096)
def _placement(superbase: Superbase, rotations: bytes) -> PlacedTemplate:
    chosen, key = canonical_frame(superbase, np.frombuffer(rotations, dtype=np.int8).reshape(-1, 3, 3))
    template = table().get(key) or build_template(*key)
    node_map = vertex_map(chosen.vectors)[np.array(template.nodes)].mean(axis=1)  # (n_nodes, 3, 9)
    return PlacedTemplate(
        superbase=chosen,
        template=template,
        walk=np.array(closed_walk(len(template.nodes), template.edges)),
        node_map=node_map.reshape(-1, 9),
    )


def _nodes(placement: PlacedTemplate, metric: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the nodes are, (n_nodes, 3) fractional, from the reciprocal metric and the direct lattice."""
    inverse = lattice @ lattice.T / (4 * np.pi**2)
    return np.asarray((placement.node_map @ metric.ravel()).reshape(-1, 3) @ inverse)


def _names(placement: PlacedTemplate, cell: StandardCell) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels of the nodes and of the walk."""
    known, key = _known_names(placement), naming(cell)
    if key not in known:
        labels = _unique(_conventional(placement, cell), placement.template.orbits)
        known[key] = labels, tuple([labels[node] for node in placement.walk])
    return known[key]


@lru_cache(maxsize=4096)
def _known_names(placement: PlacedTemplate) -> dict[Naming, tuple[tuple[str, ...], tuple[str, ...]]]:
    """What `_names` found for earlier cells of the template, by naming."""
    return {}


def _unique(conventional: list[str | None], orbits: tuple[int, ...]) -> tuple[str, ...]:
    """Name every node: Γ, the conventional name or the letter of its orbit, with primes from the second use on."""
    uses: dict[str, int] = {}
    labels = []
    for node, orbit in enumerate(orbits):
        base = "Γ" if node == 0 else conventional[node] or chr(ord("a") + orbit - 1)
        labels.append(base + "'" * uses.get(base, 0))
        uses[base] = uses.get(base, 0) + 1
    return tuple(labels)


def _conventional(placement: PlacedTemplate, cell: StandardCell) -> list[str | None]:
    """The conventional name of each node, where it has one in all lattices of this template and naming.

    Names are kept for later crystals, so they must not depend on which crystal came first. In one with special lattice
    parameters a node can meet a special point by chance; a small strain parts them again.
    """
    strained = [_strained(placement, cell, strain) for strain in STRAINS]
    same = [other for other in strained if naming(other) == naming(cell)]
    same = same or [cell]  # a variation that is itself defined by an equality
    options = []
    for other in same:
        reciprocal = other.crystal.reciprocal
        nodes = _nodes(placement, reciprocal @ reciprocal.T, other.crystal.lattice)
        options.append(conventional_labels(nodes, other))
    return [names[0] if len(set(names)) == 1 else None for names in zip(*options, strict=True)]


def _strained(placement: PlacedTemplate, cell: StandardCell, strain: float) -> StandardCell:
    """A cell with the same template and slightly other lattice parameters."""
    reciprocal = cell.crystal.reciprocal
    rows = np.array(placement.superbase.vectors)
    products = rows @ reciprocal @ reciprocal.T @ rows.T  # (4, 4): v_i . v_j
    for b, (i, j) in enumerate(PAIRS):
        change = strain * np.sqrt(b + 2.0) * products[i, j]  # unlike factors, so that no ratio of parameters is kept
        products[[i, j, i, j], [j, i, i, j]] += change, change, -change, -change
    inverse = np.linalg.inv(rows[:3])
    metric = inverse @ products[:3, :3] @ inverse.T
    metric = np.einsum("rji,jk,rkl->il", cell.rotations, metric, cell.rotations) / len(cell.rotations)
    lattice = np.linalg.cholesky(4 * np.pi**2 * np.linalg.inv(metric)).astype(np.float64)
    conventional = cell.conventional @ np.linalg.inv(cell.crystal.lattice) @ lattice
    return replace(cell, crystal=replace(cell.crystal, lattice=lattice), conventional=conventional)
