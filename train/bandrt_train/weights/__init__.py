"""The checkpoint that the shipped engine was exported from, for engines of other precision or backend."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SHIPPED: Final = Path(__file__).with_name("shipped.pt")
