"""The shape of a learned Hamiltonian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bandrt.arguments import check_choices
from bandrt_train.model.config import require

MAX_LAYERS = 16
"""More rounds of messages than any crystal has use for; a damaged file may say so."""


@dataclass(frozen=True)
class HamiltonianConfig:
    """A learned tight-binding Hamiltonian: how wide and how deep the network of its hoppings is.

    Raises:
        ConfigError: ``config-invalid``, naming the field, the value found and what is allowed.
        ArgumentError: ``bad-argument`` for a word that is none of a field's.
    """

    variant: Literal["hamiltonian"] = "hamiltonian"
    """Which architecture."""
    width: int = 64
    """Of atoms and pairs in the network."""
    n_layers: int = 2
    """Rounds of messages between atoms within reach of each other."""
    n_gaussians: int = 24
    """That a distance is expanded in, twice: in Å, and in sums of covalent radii."""
    dropout: float = 0.1
    """Share of activations dropped in training."""
    overlap: bool = False
    """Whether orbitals overlap, to first order, so that an atom also hops to another by way of a third. Models that do not say
    were trained without."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("width", "n_gaussians"):
            require(self, name, getattr(self, name) >= 1, "1 or more")
        require(self, "n_layers", 0 <= self.n_layers <= MAX_LAYERS, f"0 to {MAX_LAYERS}")
        require(self, "dropout", 0.0 <= self.dropout < 1.0, "from 0 up to, not including, 1")
