"""The variants: the configuration of each, and reading one from plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bandrt.typed_values import from_mapping
from bandrt_train.model.config import ConfigError, ModelConfig, OwnVariant
from bandrt_train.model.released.config import ReleasedConfig

Config = ModelConfig | ReleasedConfig
"""The configuration of any variant; its field `variant` says which."""
BandVariant = OwnVariant | Literal["released"]
"""The variants that learn bands themselves: all but ``hamiltonian``."""
CONFIGS: dict[BandVariant, type[Config]] = {
    "paper": ModelConfig,
    "fourier": ModelConfig,
    "bloch": ModelConfig,
    "released": ReleasedConfig,
}
"""The configuration of each variant."""


def read_model_config(values: Any, *, name: str) -> Config:
    """Build the configuration of a model from JSON or TOML values; the paper's variant where none is named.

    Raises:
        ConfigError: ``config-invalid`` for a variant that is none, or a value that no model can have.
        ManifestError: for a key that this variant does not know, or a value of the wrong kind, naming it.
    """
    variant = values.get("variant", "paper") if isinstance(values, Mapping) else "paper"
    if variant == "hamiltonian":
        raise ConfigError("config-invalid", f"{name}: a learned Hamiltonian is trained by: bandrt train hamiltonian fit")
    if variant not in CONFIGS:
        raise ConfigError("config-invalid", f"{name}: model.variant is {variant!r}, allowed: {', '.join(CONFIGS)}")
    return from_mapping(CONFIGS[variant], values, name=name, where="model.")
