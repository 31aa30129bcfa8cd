"""The part of the graph contract that every dense model takes."""

from __future__ import annotations

from typing import Final

INPUTS: Final = ("atomic_numbers", "neighbor_index", "neighbor_distance", "neighbor_mask", "atom_mask", "kpoints")
"""In the order of `forward`; a variant may add some."""
