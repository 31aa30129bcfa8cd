"""High-symmetry k-paths: from a standard primitive cell to labelled k-points on one continuous walk.

`latimer_munro` and `setyawan_curtarolo` select lines, `eulerian` walks over them, `path` puts points on the walk.
`brillouin_zone`, `selection`, `wedge` and `templates` are the Latimer-Munro scheme's; `special_points` and `labels`
hold the conventional names, which both use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandrt.kpath import latimer_munro, setyawan_curtarolo
from bandrt.kpath.eulerian import closed_walk
from bandrt.kpath.path import KPath, sample
from bandrt.recipe import KpathRecipe

if TYPE_CHECKING:
    from bandrt.symmetry import StandardCell

__all__ = ["KPath", "kpath_of"]


def kpath_of(cell: StandardCell, recipe: KpathRecipe = KpathRecipe()) -> KPath:  # noqa: B008
    """Compute the k-path of a standard primitive cell.

    Args:
        cell: from `bandrt.symmetry.standardize`.
        recipe: scheme and number of points.

    Raises:
        InputError: ``kpath-failed``, when the walk has more segments than the recipe has points, or when the Laue
            group of the cell does not belong to its lattice.
    """
    reciprocal = cell.crystal.reciprocal
    if recipe.scheme == "latimer_munro":
        vertices, labels = latimer_munro.walk(cell, reciprocal)
    else:
        selected = setyawan_curtarolo.segments(cell)
        nodes = list(closed_walk(len(selected.nodes), selected.edges))
        vertices, labels = selected.nodes[nodes], tuple([selected.labels[node] for node in nodes])
    return sample(vertices, labels, reciprocal, recipe.n_kpoints, recipe.scheme)
