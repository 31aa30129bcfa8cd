"""The layout of a released ``ckpt.pt``.

It is a dictionary of ``model``, ``optimizer``, ``model_args``, ``iter_num``, ``best_val_loss`` and ``config``. Only ``model`` and
``model_args`` decide what the model computes; iterations and loss are kept for the record.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from torch import Tensor

from bandrt.errors import BandrtError
from bandrt.quoting import with_article
from bandrt_train.model.config import ConfigError
from bandrt_train.model.released.config import Conventions, ReleasedConfig

COMPILED_PREFIX = "_orig_mod."
"""What ``torch.compile`` puts before the name of every parameter."""
ARGUMENTS = {
    "d_model": "d_model",
    "enc_heads": "encoder_heads",
    "enc_num_layers": "encoder_layers",
    "dec_heads": "decoder_heads",
    "dec_num_layers": "decoder_layers",
    "dropout": "dropout",
}
"""Fields of `ReleasedConfig` by their names in ``model_args``."""
RECORDED = {"iter_num": "iterations", "best_val_loss": "best_validation_loss"}
"""Figures kept, by their names in the file."""


class LayoutError(BandrtError):
    """A file in the released layout with a part that is missing or not understood."""


class ReleasedParts(NamedTuple):
    """What a released checkpoint says, in our words."""

    config: ReleasedConfig
    state: dict[str, Tensor]
    metrics: dict[str, float]


def is_released(content: Any) -> bool:
    """Whether the content of a torch file looks like a released checkpoint."""
    return isinstance(content, dict) and "kind" not in content and {"model", "model_args"} <= content.keys()


def read_released(content: dict[str, Any], conventions: Conventions) -> ReleasedParts:
    """Translate the content of a released checkpoint; whether parameters fit the configuration is for the caller to check.

    Raises:
        LayoutError: ``layout-invalid``, naming the key and what was found.
        ConfigError: ``config-invalid``.
    """
    return ReleasedParts(
        dataclasses.replace(_config(content["model_args"]), species_index=conventions.species_index),
        _state(content["model"]),
        {ours: float(content[name]) for name, ours in RECORDED.items() if _is_number(content.get(name))},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1)


def _config(arguments: Any) -> ReleasedConfig:
    if not isinstance(arguments, dict):
        raise LayoutError("layout-invalid", f"model_args is {with_article(type(arguments).__name__)}, expected a dictionary")
    for name in sorted(ARGUMENTS.keys() - arguments.keys()):
        raise LayoutError("layout-invalid", f"model_args has no {name}; needed: {', '.join(ARGUMENTS)}")
    for name in sorted(map(str, arguments.keys() - ARGUMENTS.keys())):
        raise LayoutError("layout-invalid", f"model_args has {name}, which is not known here; known: {', '.join(ARGUMENTS)}")
    for name, value in arguments.items():
        expected = int | float if name == "dropout" else int
        if not isinstance(value, expected) or isinstance(value, bool):
            raise ConfigError("config-invalid", f"model_args: {name} is {value!r}, expected a number")
    return ReleasedConfig(**{ARGUMENTS[name]: value for name, value in arguments.items()})


def _state(model: Any) -> dict[str, Tensor]:
    if not isinstance(model, dict) or not all(isinstance(one, Tensor) for one in model.values()):
        raise LayoutError("layout-invalid", "model is not a dictionary of tensors")
    state: dict[str, Tensor] = {}
    for name, tensor in model.items():
        plain = str(name).removeprefix(COMPILED_PREFIX)
        if plain in state:
            raise LayoutError("layout-invalid", f"model holds {plain} twice, with and without {COMPILED_PREFIX}")
        state[plain] = tensor
    return state
