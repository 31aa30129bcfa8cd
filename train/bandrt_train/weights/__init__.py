"""The checkpoints that the shipped engines were exported from, for engines of other precision or backend."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

from bandrt.engine import SHIPPED_ENGINES

SHIPPED_CHECKPOINTS: Final = MappingProxyType({name: Path(__file__).with_name(f"{name}.pt") for name in SHIPPED_ENGINES})
"""By the names of the engines."""
