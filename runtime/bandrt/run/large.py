"""Crystals so large that an engine with a solver takes minutes for each, where another one takes seconds."""

from __future__ import annotations

from bandrt.manifest import Manifest

LARGE_ATOMS = 100
"""Of a primitive cell; more of them take the solver more than half a minute of a core, 216 over five."""


def is_slow(manifest: Manifest, device: str, n_atoms: int) -> bool:
    """Whether an engine takes minutes for a crystal of so many atoms."""
    return manifest.solver is not None and device == "cpu" and n_atoms > LARGE_ATOMS


def slow_said(name: str, n_atoms: int) -> str:
    """What to say before such crystals are computed.

    Args:
        name: of the largest that is known.
        n_atoms: of its primitive cell.
    """
    return (
        f"{name} has {n_atoms} atoms in its primitive cell, and this engine takes minutes for each crystal of more than"
        f" {LARGE_ATOMS}; --engine fast takes seconds"
    )
