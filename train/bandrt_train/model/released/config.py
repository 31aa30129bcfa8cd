"""The shape of a released model, and what its checkpoints leave unsaid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bandrt.arguments import check_choices
from bandrt.recipe import Direction, Frame, GraphRecipe, KpathRecipe, Recipe, Scheme
from bandrt_train.model.config import require

N_SPECIES = 100
"""Rows of the table of species; which element row 0 belongs to is `ReleasedConfig.species_index`."""
MAX_LAYERS = 256
"""No model has more; a damaged file may say so."""

SpeciesIndex = Literal["atomic_number", "atomic_number_minus_one"]


@dataclass(frozen=True)
class ReleasedConfig:
    """The authors' later Bandformer: how wide and how deep.

    Raises:
        ConfigError: ``config-invalid``, naming the field, the value found and what is allowed.
        ArgumentError: ``bad-argument`` for a word that is none of a field's.
    """

    variant: Literal["released"] = "released"
    """Which architecture; names the reference module here and the dense module of the export."""
    d_model: int = 768
    """Width of atoms and modes; a multiple of both numbers of heads and of 6 (cosine and sine of three components)."""
    encoder_heads: int = 6
    """Attention heads between neighbouring atoms."""
    encoder_layers: int = 6
    """Rounds of messages between neighbouring atoms."""
    decoder_heads: int = 6
    """Attention heads along the path and from the path to the atoms."""
    decoder_layers: int = 6
    """Rounds of attention along the path and from the path to the atoms."""
    dropout: float = 0.1
    """Share of activations dropped in training, in the decoder."""
    species_index: SpeciesIndex = "atomic_number"
    """Which row of the species table an element has."""
    n_bands: int = 6
    """Bands predicted, around the Fermi level."""
    n_kpoints: int = 128
    """Points of the path."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("d_model", "encoder_heads", "decoder_heads", "n_bands"):
            require(self, name, getattr(self, name) >= 1, "1 or more")
        for name in ("encoder_layers", "decoder_layers"):
            require(self, name, 1 <= getattr(self, name) <= MAX_LAYERS, f"1 to {MAX_LAYERS}")
        require(self, "n_kpoints", self.n_kpoints >= 2 and self.n_kpoints % 2 == 0, "an even number, at least 2")
        require(self, "dropout", 0 <= self.dropout < 1, "from 0 up to, not including, 1")
        for name in ("encoder_heads", "decoder_heads"):
            require(self, name, self.d_model % getattr(self, name) == 0, f"a divisor of d_model = {self.d_model}")
        require(self, "d_model", self.d_model % 6 == 0 and self.d_model >= 12, "a multiple of 6, at least 12")

    @property
    def n_modes(self) -> int:
        """Fourier modes of a real function on the path."""
        return self.n_kpoints // 2 + 1

    @property
    def first_atomic_number(self) -> int:
        """The element in row 0 of the species table; 0 is none."""
        return 1 if self.species_index == "atomic_number_minus_one" else 0

    @property
    def max_atomic_number(self) -> int:
        """The heaviest element that the table of species has a row for."""
        return self.first_atomic_number + N_SPECIES - 1


@dataclass(frozen=True)
class Conventions:
    """How the data of a released checkpoint were laid out. The file does not say, so each is a choice; it goes into the manifest.

    The defaults are what this project would have done; a wrong choice gives wrong bands, and no error.
    """

    direction: Direction = "to_center"
    """Which way messages run between an atom and its 12 nearest neighbours, see `GraphRecipe.direction`."""
    frame: Frame = "fractional"
    """Coordinates of the k-points."""
    species_index: SpeciesIndex = "atomic_number"
    """Which row of the species table an element has."""
    scheme: Scheme = "latimer_munro"
    """Which path the k-points lie on."""

    def __post_init__(self) -> None:
        check_choices(self)

    @classmethod
    def of(cls, recipe: Recipe, species_index: SpeciesIndex) -> Conventions:
        """What was assumed for a model that is fed by a recipe."""
        return cls(recipe.graph.direction, recipe.kpath.frame, species_index, recipe.kpath.scheme)

    def recipe(self, config: ReleasedConfig) -> Recipe:
        """What an engine of such a checkpoint must be fed."""
        return Recipe(
            graph=GraphRecipe(direction=self.direction),
            kpath=KpathRecipe(scheme=self.scheme, n_kpoints=config.n_kpoints, frame=self.frame),
            max_atomic_number=config.max_atomic_number,
        )
