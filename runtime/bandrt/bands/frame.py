"""Bands of several crystals in one array: where more are asked for than a crystal has, those it has not are NaN.

A *frame* is the rule of what was asked for. Band structures hold no NaN: of them such bands are left out, and their own rule says
how many of the others are valence. The bands around the Fermi level that decide on gap and metal are always there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.on_path import Energies
from bandrt.manifest import BandRule


def in_frame(bands: BandStructure, frame: BandRule) -> Energies:
    """Energies of one crystal as rows of a frame, (frame.n_bands, n_kpoints), eV, NaN where it has no such band."""
    missing = frame.n_valence - bands.rule.n_valence
    if len(bands.energies) == frame.n_bands and not missing:
        return bands.energies
    energies = np.full((frame.n_bands, bands.energies.shape[1]), np.nan, bands.energies.dtype)
    energies[missing : missing + len(bands.energies)] = bands.energies
    return energies


def out_of_frame(energies: Energies, frame: BandRule) -> tuple[Energies, BandRule]:
    """The bands that there are of one crystal, and their rule; those that decide on gap and metal are taken to be there.

    Args:
        energies: (frame.n_bands, n_kpoints), eV.
        frame: what was asked for.
    """
    there = np.array(~np.isnan(energies).all(axis=1))  # (n_bands,)
    there[frame.window] = True
    if there.all():
        return energies, frame
    found, valence = int(there.sum()), int(there[: frame.n_valence].sum())
    return energies[there], dataclasses.replace(frame, n_bands=found, n_valence=valence)


def frame_of(bands: Sequence[BandStructure]) -> BandRule:
    """The smallest frame that holds several crystals of one engine."""
    rules = [one.rule for one in bands]
    below = max(rule.n_valence for rule in rules)
    above = max(len(one.energies) - one.rule.n_valence for one in bands)
    return dataclasses.replace(rules[0], n_bands=below + above, n_valence=below)
