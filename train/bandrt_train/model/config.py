"""The shape of a model: every number that decides its parameters, in one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bandrt.arguments import check_choices
from bandrt.errors import BandrtError

NodeFeatureKind = Literal["one_hot", "elemental", "elemental_one_hot"]
OwnVariant = Literal["paper", "fourier", "bloch"]


class ConfigError(BandrtError):
    """A model configuration that no model can have."""


def require(config: object, name: str, holds: bool, allowed: str) -> None:
    """Refuse a field of a model configuration of which what is asked for does not hold.

    Raises:
        ConfigError: ``config-invalid``, naming the field, the value found and what is allowed.
    """
    if not holds:
        raise ConfigError("config-invalid", f"model configuration: {name} is {getattr(config, name)}, allowed: {allowed}")


@dataclass(frozen=True)
class ModelConfig:
    """The paper's Bandformer or a variant of it: how wide, how deep, and what it is told about atoms.

    Raises:
        ConfigError: ``config-invalid``, naming the field, the value found and what is allowed.
        ArgumentError: ``bad-argument`` for a word that is none of a field's.
    """

    variant: OwnVariant = "paper"
    """Which architecture; names the reference module here and the dense module of the export."""
    node_features: NodeFeatureKind = "one_hot"
    """What an atom starts from: its atomic number alone, a table of element properties, or both."""
    d_model: int = 192
    """Width of atoms and k-points; a multiple of `n_heads` and of 6 (cosine and sine of three components)."""
    n_heads: int = 6
    """Attention heads, in the encoder and in the decoder."""
    encoder_layers: int = 4
    """Rounds of messages between neighbouring atoms."""
    decoder_layers: int = 4
    """Rounds of attention along the path and from the path to the atoms."""
    d_feedforward: int = 384
    """Inner width of the feed-forward blocks."""
    n_gaussians: int = 41
    """Gaussians that an interatomic distance is expanded in, evenly from 0 to `max_distance`."""
    max_distance: float = 8.0
    """Å: centre of the last Gaussian; the cutoff of the graph."""
    edge_values: bool = False
    """Whether messages carry the distance too, ``v_j + W e_ij``. Eq. 1 alone lets distances only weigh the neighbours,
    so in a crystal of one element, where all neighbours say the same, no distance is ever seen."""
    dropout: float = 0.1
    """Share of activations dropped in training, in attention weights and feed-forward blocks."""
    n_hoppings: int = 16
    """Channels of hoppings whose closed loops the k-points of ``bloch`` feel; no other variant has them."""
    kpoint_encoding: bool = True
    """Whether a k-point is told its coordinates. Only ``bloch`` can do without, and its bands then have the symmetry of the crystal
    exactly."""
    crystal_counts: bool = False
    """Whether atoms are told how many atoms and electrons their crystal has (see `counts`); averages over atoms, as the paper's
    model takes them, cannot tell."""
    atomic_levels: bool = False
    """Whether bands start from the filled levels of the atoms (see `levels`). Only ``bloch`` can."""
    n_modes: int = 64
    """Fourier modes of a band over its path, the mean among them, of which ``fourier`` makes it; no other variant has them. On our
    DFT labels 64 modes leave out 4 meV of the energies, on average, and 32 modes 15 meV."""
    kpoint_stride: int = 1
    """``bloch`` computes every so many of the points of a path and interpolates the others (see `stride`)."""
    n_bands: int = 6
    """Bands predicted, around the Fermi level."""
    n_kpoints: int = 256
    """Points of the path."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in (
            "d_model",
            "n_heads",
            "encoder_layers",
            "decoder_layers",
            "d_feedforward",
            "n_hoppings",
            "n_modes",
            "kpoint_stride",
            "n_bands",
            "n_kpoints",
        ):
            require(self, name, getattr(self, name) >= 1, "1 or more")
        require(self, "kpoint_encoding", self.kpoint_encoding or self.variant == "bloch", f"true in the {self.variant} variant")
        strides = self.variant == "bloch" or self.kpoint_stride == 1
        require(self, "kpoint_stride", strides, f"1 in the {self.variant} variant")
        require(self, "kpoint_stride", self.kpoint_stride < self.n_kpoints, f"less than n_kpoints = {self.n_kpoints}")
        require(self, "atomic_levels", self.variant == "bloch" or not self.atomic_levels, f"false in the {self.variant} variant")
        most = self.n_kpoints // 2
        fits = self.variant != "fourier" or self.n_modes <= most
        require(self, "n_modes", fits, f"at most {most} with n_kpoints = {self.n_kpoints}")
        require(self, "n_gaussians", self.n_gaussians >= 2, "2 or more")
        require(self, "max_distance", 0 < self.max_distance < math.inf, "a positive distance in Å")
        require(self, "dropout", 0 <= self.dropout < 1, "from 0 up to, not including, 1")
        require(self, "d_model", self.d_model % self.n_heads == 0, f"a multiple of n_heads = {self.n_heads}")
        require(self, "d_model", self.d_model % 6 == 0 and self.d_model >= 12, "a multiple of 6, at least 12")

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads
