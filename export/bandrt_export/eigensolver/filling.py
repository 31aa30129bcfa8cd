"""Electrons into bands, in the graph: where the energy zero is, metal or not, and which bands are those around the Fermi level.

The same as `bandrt.hamiltonian.filling`, with bands counted from half filling: those below the ones that are solved for
are full, and those above are empty. Electrons are counted as what is above half filling less what is missing below it, so that a
level in the middle of a gap is found in fp32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bandrt.hamiltonian.filling import HALF, WITHIN_EV
from bandrt.manifest import ZERO_GAP_EV, BandRule
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
    """(B, 2 * n_kept) float32: indices of these bands. Electrons would fill the first half, the last of them perhaps by half."""
    exists: Value
    """(B, 2 * n_kept) bool: which of them there are."""
    unpaired: Value
    """(B, 1) float32: electrons, less those that would fill these bands and all below; -1 where the last is half full."""
    is_crystal: Value
    """(B, 1) bool: whether there is any band; there is none where all is padding."""
    is_partial: Value
    """(B, 1) bool: whether electrons fill some bands and leave some empty."""
    n_kept: int
    """Bands up to half filling, and as many above it."""


def occupation(electrons: Value, on_site: Value, flat_levels: Value, n_orbitals: int, nowhere_ev: float, n_kept: int) -> Occupation:
    """Count bands and electrons.

    Args:
        electrons: (B,).
        on_site: (B, N, o, o) eV.
        flat_levels: (B, N, o) eV.
        n_orbitals: o.
        nowhere_ev: orbitals and flat levels from there on are none.
        n_kept: bands to count up to half filling, and as many above it.
    """
    constant = electrons.graph.constant
    total = electrons.reshape(-1, 1)
    n_filled = op("Ceil", total * 0.5 - HALF)
    orbitals = (on_site * constant(np.eye(n_orbitals))).sum(3, keepdims=False)  # (B, N, o)
    there = (orbitals < nowhere_ev).cast(FLOAT) + (flat_levels < nowhere_ev).cast(FLOAT)
    n_bands = there.sum(1, 2, keepdims=False).reshape(-1, 1)
    wanted = n_filled + constant([np.arange(2 * n_kept) - n_kept])
    return Occupation(
        wanted=wanted,
        exists=(wanted >= 0.0) & (wanted < n_bands),
        unpaired=total - n_filled * 2.0,
        is_crystal=n_bands > 0.0,
        is_partial=(n_filled > 0.0) & (n_filled < n_bands),
        n_kept=n_kept,
    )


def window(
    energies: Value,
    mesh_weights: Value,
    occupied: Occupation,
    *,
    n_kpoints: int,
    rule: BandRule,
    smearing_ev: float,
) -> Value:
    """Choose bands around the highest nonempty one, with the zero at the Fermi level of a metal and at mid-gap of an insulator.

    Args:
        energies: (B, K + M, 2 * n_kept) eV: the bands around half filling, first along the path and then on the mesh.
        mesh_weights: (B, M), 0 where the mesh has no point.
        occupied: how they are filled.
        n_kpoints: K.
        rule: which to choose.
        smearing_ev: of the Fermi function that finds the Fermi level of a metal.

    Returns:
        (B, n_bands, K) eV. NaN for a band that a crystal has not, and for all of them where one of those is missing that decide
        on gap and metal; finite where all is padding.
    """
    path, mesh = energies.cut(1, 0, n_kpoints), energies.cut(1, n_kpoints)
    fermi = _fermi_level(mesh, mesh_weights, occupied, smearing_ev)
    on_mesh = (mesh_weights > 0.0).unsqueeze(2)
    kept, places = occupied.n_kept, np.arange(2 * occupied.n_kept)
    top, bottom = _highest_valence(path, kept), _lowest_conduction(path, kept)  # (B, 1)
    mesh_top = _highest_valence(on_mesh.where(mesh, -FAR_EV), kept)
    mesh_bottom = _lowest_conduction(on_mesh.where(mesh, FAR_EV), kept)
    bottom_of_all, top_of_all = bottom.least(mesh_bottom), top.most(mesh_top)
    gap = bottom_of_all - top_of_all
    is_odd = occupied.unpaired < -0.5
    is_metal = is_odd | (gap <= ZERO_GAP_EV)
    low, high = is_odd.where(_lowest_valence(path, kept), bottom_of_all), is_odd.where(top, top_of_all)
    margin = ((high - low) * 0.5).least(WITHIN_EV)
    zero = is_metal.where(fermi.most(low + margin).least(high - margin), (top + bottom) * 0.5)
    bands = path.transpose(0, 2, 1) - zero.unsqueeze(2)  # (B, 2 * kept, K)
    exists = occupied.exists.cast(FLOAT)
    above = energies.graph.constant([places >= kept])
    crossing = (bands.min(2, keepdims=False) < -ZERO_GAP_EV).cast(FLOAT) * exists * above * is_metal.cast(FLOAT)
    first = crossing.sum(1) + float(kept - rule.n_valence)  # (B, 1)
    rows = first + energies.graph.constant([np.arange(rule.n_bands)])  # (B, n_bands)
    chosen = rows.unsqueeze(2).equals(energies.graph.constant([[places]])).cast(FLOAT)  # (B, n_bands, 2 * kept)
    there = (chosen * exists.unsqueeze(1)).sum(2, keepdims=False)  # (B, n_bands)
    deciding = range(rule.n_bands)[rule.window]
    n_found = there.cut(1, deciding.start, deciding.stop).sum(1)  # (B, 1)
    is_right = occupied.is_partial & (n_found > len(deciding) - 0.5) & (there > 0.5)
    return (occupied.is_crystal & ~is_right).unsqueeze(2).where(np.nan, chosen @ bands)


def _highest_valence(energies: Value, n_kept: int) -> Value:
    """The top of the last band up to half filling, (B, 1), of bands (B, k-points, 2 * n_kept)."""
    return energies.cut(2, n_kept - 1, n_kept).max(1, keepdims=False)


def _lowest_valence(energies: Value, n_kept: int) -> Value:
    """The bottom of that band, (B, 1)."""
    return energies.cut(2, n_kept - 1, n_kept).min(1, keepdims=False)


def _lowest_conduction(energies: Value, n_kept: int) -> Value:
    """The bottom of the band after it, (B, 1)."""
    return energies.cut(2, n_kept, n_kept + 1).min(1, keepdims=False)


def _fermi_level(mesh: Value, weights: Value, occupied: Occupation, smearing_ev: float) -> Value:
    """Up to where bands of a mesh (B, M, 2 * n_kept), eV, hold the electrons: (B, 1) eV."""
    constant = mesh.graph.constant
    counted = (weights > 0.0).unsqueeze(2) & occupied.exists.unsqueeze(1)
    low = counted.where(mesh, FAR_EV).min(1, 2, keepdims=False).reshape(-1, 1) - BEYOND_EV
    high = counted.where(mesh, -FAR_EV).max(1, 2, keepdims=False).reshape(-1, 1) + BEYOND_EV
    width = high - low
    side = constant(np.where(np.arange(2 * occupied.n_kept) < occupied.n_kept, -1.0, 1.0)[:, None])  # (2 * n_kept, 1)
    share = (weights.unsqueeze(2) * occupied.exists.unsqueeze(1).cast(FLOAT) * 2.0).unsqueeze(3)  # (B, M, 2 * n_kept, 1)
    cuts = constant([(np.arange(CUTS) + 1.0) / (CUTS + 1)])
    for _ in range(ROUNDS):
        levels = low + width * cuts  # (B, CUTS)
        depth = (levels.unsqueeze(1, 2) - mesh.unsqueeze(3)) * side * (1.0 / smearing_ev)  # (B, M, 2 * n_kept, CUTS)
        moved = side / (op("Exp", (depth * -1.0).least(MOST_EXPONENT)) + 1.0)  # electrons above half filling, less holes below
        excess = (moved * share).sum(1, 2, keepdims=False)  # (B, CUTS)
        width = width * (1.0 / (CUTS + 1))
        low = low + (excess < occupied.unpaired).cast(FLOAT).sum(1) * width
    return low + width * 0.5
