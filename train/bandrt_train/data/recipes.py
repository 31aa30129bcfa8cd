"""The recipe that each variant is trained with, and what it cannot do without."""

from __future__ import annotations

from dataclasses import replace

from bandrt.recipe import GraphRecipe, KpathRecipe, MeshRecipe, Recipe
from bandrt_train.model.config import OwnVariant
from bandrt_train.model.hamiltonian.pairs import REACH, REACH_ANGSTROM
from bandrt_train.model.released.config import Conventions, ReleasedConfig
from bandrt_train.model.variants import CONFIGS, BandVariant, Config

GRAPHS: dict[OwnVariant, GraphRecipe] = {
    "paper": GraphRecipe(),
    "fourier": GraphRecipe(),
    "bloch": GraphRecipe(n_neighbors=32, tie_rule="complete_shells"),
}
"""The neighbours of each variant; those of ``released`` are a matter of its `Conventions`."""
HAMILTONIAN_MESH = MeshRecipe(spacing=0.25, most=12, symmetry="point_group", kept=256, smearing=0.1)
"""What fills the bands of ``hamiltonian``. Of 220 labelled metals the Fermi level lies 0.041 eV on average from that of linear
tetrahedra on a fine mesh; of k and -k alone, 0.45 1/Å apart and smeared by 0.15 eV, 0.104 eV."""
HAMILTONIAN_RECIPE = Recipe(graph=GraphRecipe(rule="bonds", cutoff=REACH_ANGSTROM, reach=REACH), mesh=HAMILTONIAN_MESH)
"""What engines of ``hamiltonian`` are fed: the pairs that it is trained on, the usual path, and the mesh that fills its bands."""


def default_recipe(variant: BandVariant, kpath: KpathRecipe | None = None, conventions: Conventions | None = None) -> Recipe:
    """The recipe that a data set for `variant` is made with.

    Args:
        variant: the model to train on it.
        kpath: which k-points; by default as many as the variant has.
        conventions: edges and species of ``released``, whose path and frame are those of `kpath`.
    """
    kpath = kpath or KpathRecipe(n_kpoints=CONFIGS[variant]().n_kpoints)
    if variant != "released":
        return Recipe(graph=GRAPHS[variant], kpath=kpath)
    chosen = replace(conventions or Conventions(), scheme=kpath.scheme, frame=kpath.frame)
    return chosen.recipe(ReleasedConfig(n_kpoints=kpath.n_kpoints, species_index=chosen.species_index))


def unmet(model: Config, recipe: Recipe) -> str | None:
    """What a model needs and a recipe lacks, in words; None when nothing is missing.

    The loops of ``bloch`` pair k-points with lattice translations, and have the symmetry of the crystal only over whole shells.
    ``released`` has a fixed table of species, and stays what its authors trained by its neighbours.
    """
    needs = {"a fixed number of nearest neighbours": recipe.graph.rule == "nearest"}
    if isinstance(model, ReleasedConfig):
        needs |= {
            "the 12 nearest neighbours of each atom": recipe.graph == GraphRecipe(direction=recipe.graph.direction),
            f"no elements beyond number {model.max_atomic_number}, with species_index = {model.species_index!r}": (
                recipe.max_atomic_number <= model.max_atomic_number
            ),
        }
    elif model.variant == "bloch":
        needs |= {
            "k-points in the fractional frame": recipe.kpath.frame == "fractional",
            "complete shells of neighbours": recipe.graph.tie_rule == "complete_shells",
            "periodic images of an atom as its neighbours": recipe.graph.self_images,
        }
    return next((need for need, met in needs.items() if not met), None)
