"""The recipe that each variant is trained with, and what it can not do without."""

from __future__ import annotations

from bandrt.recipe import GraphRecipe, KpathRecipe, Recipe
from bandrt_train.model_config import TrainableVariant

GRAPHS: dict[TrainableVariant, GraphRecipe] = {
    "paper": GraphRecipe(),
    "fourier": GraphRecipe(),
    "bloch": GraphRecipe(n_neighbors=32, tie_rule="complete_shells"),
}
"""The neighbours of each variant."""


def default_recipe(variant: TrainableVariant, kpath: KpathRecipe | None = None) -> Recipe:
    """The recipe that a data set for `variant` is made with, on the given k-path or on the default one."""
    return Recipe(graph=GRAPHS[variant], kpath=kpath or KpathRecipe())


def unmet(variant: TrainableVariant, recipe: Recipe) -> str | None:
    """What a variant needs and a recipe lacks, in words; None when nothing is missing.

    The loops of ``bloch`` pair k-points with lattice translations, and have the symmetry of the crystal only over whole shells.
    """
    if variant != "bloch":
        return None
    needs = {
        "k-points in the fractional frame": recipe.kpath.frame == "fractional",
        "complete shells of neighbours": recipe.graph.tie_rule == "complete_shells",
        "periodic images of an atom as its neighbours": recipe.graph.self_images,
    }
    return next((need for need, met in needs.items() if not met), None)
