"""Electrons into bands, in the graph: where the energy zero is, metal or not, and which bands are those around the Fermi level.

The same as `bandrt.hamiltonian.filling`, with bands counted from half filling: those below the ones that are solved for
are full, and those above are empty. Electrons are counted as what is above half filling less what is missing below it, so that a
level in the middle of a gap is found in fp32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bandrt.hamiltonian.filling import HALF, KEPT
from bandrt.manifest import ZERO_GAP_EV
from bandrt_export.eigensolver.graph import FLOAT, Value, op

CUTS, ROUNDS = 15, 7
"""Of the interval that holds the Fermi level, in each round: as much as 28 halvings."""
BEYOND_EV = 1.0
"""How far that interval reaches beyond the bands."""
FAR_EV = 1e6
"""Beyond every band."""
MOST_EXPONENT = 80.0
"""Of what fp32 holds."""


class Occupation(NamedTuple):
    """Which bands B crystals have around half filling, and how the electrons fill them."""

    wanted: Value
    """(B, 2 * KEPT) float32: indices of these bands. Electrons would fill the first `KEPT`, the last of them perhaps by half."""
    exists: Value
    """(B, 2 * KEPT) bool: which of them there are."""
    unpaired: Value
    """(B, 1) float32: electrons, less those that would fill these bands and all below; -1 where the last is half full."""
    is_crystal: Value
    """(B, 1) bool: whether there is any band; there is none where all is padding."""
    is_partial: Value
    """(B, 1) bool: whether electrons fill some bands and leave some empty."""


def occupation(electrons: Value, on_site: Value, flat_levels: Value, n_orbitals: int, nowhere_ev: float) -> Occupation:
    """Count bands and electrons.

    Args:
        electrons: (B,).
        on_site: (B, N, o, o) eV.
        flat_levels: (B, N, o) eV.
        n_orbitals: o.
        nowhere_ev: orbitals and flat levels from there on are none.
    """
    constant = electrons.graph.constant
    total = electrons.reshape(-1, 1)
    n_filled = op("Ceil", total * 0.5 - HALF)
    orbitals = (on_site * constant(np.eye(n_orbitals))).sum(3, keepdims=False)  # (B, N, o)
    there = (orbitals < nowhere_ev).cast(FLOAT) + (flat_levels < nowhere_ev).cast(FLOAT)
    n_bands = there.sum(1, 2, keepdims=False).reshape(-1, 1)
    wanted = n_filled + constant([np.arange(2 * KEPT) - KEPT])
    return Occupation(
        wanted=wanted,
        exists=(wanted >= 0.0) & (wanted < n_bands),
        unpaired=total - n_filled * 2.0,
        is_crystal=n_bands > 0.0,
        is_partial=(n_filled > 0.0) & (n_filled < n_bands),
    )


def window(
    energies: Value,
    mesh_weights: Value,
    occupied: Occupation,
    *,
    n_kpoints: int,
    n_bands: int,
    n_valence: int,
    smearing_ev: float,
) -> Value:
    """Choose bands around the highest nonempty one, with the zero at the Fermi level of a metal and at mid-gap of an insulator.

    Args:
        energies: (B, K + M, 2 * KEPT) eV: the bands around half filling, first along the path and then on the mesh.
        mesh_weights: (B, M), 0 where the mesh has no point.
        occupied: how they are filled.
        n_kpoints: K.
        n_bands: how many to choose.
        n_valence: how many of them are not empty.
        smearing_ev: of the Fermi function that finds the Fermi level of a metal.

    Returns:
        (B, n_bands, K) eV. NaN for a crystal that has not so many; finite where all is padding.
    """
    path, mesh = energies.cut(1, 0, n_kpoints), energies.cut(1, n_kpoints)
    fermi = _fermi_level(mesh, mesh_weights, occupied, smearing_ev)
    on_mesh = (mesh_weights > 0.0).unsqueeze(2)
    top, bottom = _highest_valence(path), _lowest_conduction(path)  # (B, 1)
    mesh_top, mesh_bottom = _highest_valence(on_mesh.where(mesh, -FAR_EV)), _lowest_conduction(on_mesh.where(mesh, FAR_EV))
    gap = bottom.least(mesh_bottom) - top.most(mesh_top)
    is_metal = (occupied.unpaired < -0.5) | (gap <= ZERO_GAP_EV)
    zero = is_metal.where(fermi, (top + bottom) * 0.5)
    bands = path.transpose(0, 2, 1) - zero.unsqueeze(2)  # (B, 2 * KEPT, K)
    exists = occupied.exists.cast(FLOAT)
    above = energies.graph.constant([(np.arange(2 * KEPT) >= KEPT)])
    crossing = (bands.min(2, keepdims=False) < -ZERO_GAP_EV).cast(FLOAT) * exists * above * is_metal.cast(FLOAT)
    first = crossing.sum(1) + float(KEPT - n_valence)  # (B, 1)
    rows = first + energies.graph.constant([np.arange(n_bands)])  # (B, n_bands)
    chosen = rows.unsqueeze(2).equals(energies.graph.constant([[np.arange(2 * KEPT)]])).cast(FLOAT)  # (B, n_bands, 2 * KEPT)
    n_found = (chosen * exists.unsqueeze(1)).sum(1, 2, keepdims=False).reshape(-1, 1)
    is_short = occupied.is_crystal & ~(occupied.is_partial & (n_found > n_bands - 0.5))
    return is_short.unsqueeze(2).where(np.nan, chosen @ bands)


def _highest_valence(energies: Value) -> Value:
    """The top of the last band up to half filling, (B, 1), of bands (B, k-points, 2 * KEPT)."""
    return energies.cut(2, KEPT - 1, KEPT).max(1, keepdims=False)


def _lowest_conduction(energies: Value) -> Value:
    """The bottom of the band after it."""
    return energies.cut(2, KEPT, KEPT + 1).min(1, keepdims=False)


def _fermi_level(mesh: Value, weights: Value, occupied: Occupation, smearing_ev: float) -> Value:
    """Up to where bands of a mesh (B, M, 2 * KEPT), eV, hold the electrons: (B, 1) eV."""
    constant = mesh.graph.constant
    counted = (weights > 0.0).unsqueeze(2) & occupied.exists.unsqueeze(1)
    low = counted.where(mesh, FAR_EV).min(1, 2, keepdims=False).reshape(-1, 1) - BEYOND_EV
    high = counted.where(mesh, -FAR_EV).max(1, 2, keepdims=False).reshape(-1, 1) + BEYOND_EV
    width = high - low
    side = constant(np.where(np.arange(2 * KEPT) < KEPT, -1.0, 1.0)[:, None])  # (2 * KEPT, 1)
    share = (weights.unsqueeze(2) * occupied.exists.unsqueeze(1).cast(FLOAT) * 2.0).unsqueeze(3)  # (B, M, 2 * KEPT, 1)
    cuts = constant([(np.arange(CUTS) + 1.0) / (CUTS + 1)])
    for _ in range(ROUNDS):
        levels = low + width * cuts  # (B, CUTS)
        depth = (levels.unsqueeze(1, 2) - mesh.unsqueeze(3)) * side * (1.0 / smearing_ev)  # (B, M, 2 * KEPT, CUTS)
        moved = side / (op("Exp", (depth * -1.0).least(MOST_EXPONENT)) + 1.0)  # electrons above half filling, less holes below
        excess = (moved * share).sum(1, 2, keepdims=False)  # (B, CUTS)
        width = width * (1.0 / (CUTS + 1))
        low = low + (excess < occupied.unpaired).cast(FLOAT).sum(1) * width
    return low + width * 0.5
