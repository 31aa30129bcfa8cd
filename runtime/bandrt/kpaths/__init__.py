"""High-symmetry k-paths: from a standard primitive cell to labelled k-points on one continuous walk.

`latimer_munro` and `setyawan_curtarolo` select lines, `eulerian` walks over them, `path` puts points on the walk.
`brillouin_zone`, `selection`, `wedge` and `templates` are the Latimer-Munro scheme's; `special_points` and `labels`
hold the conventional names, which both use. `mesh` is for what a path does not see: how far bands are filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from bandrt.errors import InputError
from bandrt.items import called, crystal_of, one_of
from bandrt.kpaths import latimer_munro, setyawan_curtarolo
from bandrt.kpaths.path import KPath, sample_walks
from bandrt.outcomes import only, onward, outcome_of
from bandrt.recipe import KpathRecipe, Scheme
from bandrt.symmetry.standard_cell import StandardCell, standardize

__all__ = ["KPath", "kpath", "kpath_of", "kpaths_of"]


def kpath_of(cell: StandardCell, recipe: KpathRecipe = KpathRecipe()) -> KPath:  # noqa: B008
    """Compute the k-path of a standard primitive cell.

    Args:
        cell: from `bandrt.symmetry.standard_cell.standardize`.
        recipe: scheme and number of points.

    Raises:
        InputError: ``kpath-failed``, when the walk has more segments than the recipe has points, or when the Laue
            group of the cell does not belong to its lattice.
    """
    return only(kpaths_of([cell], recipe))


def kpaths_of(cells: Sequence[StandardCell], recipe: KpathRecipe = KpathRecipe()) -> list[KPath | InputError]:  # noqa: B008
    """Do as `kpath_of` for each of several cells, faster; an error is given back in the place of the path."""
    walk = latimer_munro.walk if recipe.scheme == "latimer_munro" else setyawan_curtarolo.walk
    return onward(
        [outcome_of(partial(walk, cell)) for cell in cells], lambda walks: sample_walks(walks, recipe.n_kpoints, recipe.scheme)
    )


def kpath(item: Any, scheme: Scheme = "latimer_munro", *, n_kpoints: int = 256) -> KPath:
    """Compute the k-path of anything that is a crystal.

    Args:
        item: a path, CIF text, a pymatgen or ASE object, a `bandrt.Crystal`.
        scheme: which convention selects the lines.
        n_kpoints: how many points, 2 to 100,000.

    Returns:
        The path, fractional in the reciprocal of the standard primitive cell; `bandrt.featurize` gives that cell as well.

    Raises:
        InputError: the crystal cannot be read or used.
        ArgumentError: ``bad-argument`` for what is not one item, or a scheme or a number of points that cannot be.
    """
    recipe = KpathRecipe(scheme=scheme, n_kpoints=n_kpoints)
    name = called(one_of(item))
    return kpath_of(standardize(crystal_of(item, name=name), name=name), recipe)
