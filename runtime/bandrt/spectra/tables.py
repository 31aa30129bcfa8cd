"""Bands and densities of states as tables in text, with commas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bandrt.spectra.bands import SampledBands
from bandrt.spectra.dos import DensityOfStates


def bands_table(bands: SampledBands) -> Iterator[str]:
    """A row for each k-point.

    Its columns are ``k1``, ``k2``, ``k3``, fractional; ``distance_per_angstrom``, the length of the path up to it in 1/Å, and
    ``label``, both empty where there is no path; ``band_0_ev`` and so on, energies of all bands, numbered from the lowest of all.
    """
    names = [f"band_{number}_ev" for number in range(bands.first_band, bands.first_band + len(bands.energies))]
    yield _row(["k1", "k2", "k3", "distance_per_angstrom", "label", *names])
    labels = dict(zip(bands.label_indices.tolist(), bands.labels, strict=True))
    for index, (place, distance) in enumerate(zip(bands.shown_kpoints, bands.kpoint_distance, strict=True)):
        numbers = [f"{value:.8f}" for value in (place + 0.0)]
        length = f"{distance:.6f}" if bands.is_path else ""
        yield _row([*numbers, length, labels.get(index, ""), *(f"{e:.6f}" for e in bands.energies[:, index])])


def dos_table(dos: DensityOfStates) -> Iterator[str]:
    """A row for each energy.

    Its columns are ``energy_ev``; ``total_per_ev``, all states/eV of a primitive cell, both spins; ``Mg_s_per_ev`` and so on, those
    of s, p and d of each element; ``states_below``, the electrons that the cell would hold if all states up to there were filled.
    """
    shells = dos.by_shell()
    yield _row(["energy_ev", "total_per_ev", *(f"{element}_{shell}_per_ev" for element, shell in shells), "states_below"])
    for row in np.column_stack([dos.energies, dos.total, *shells.values(), dos.integrated]):
        yield _row([f"{value:.6f}" for value in row + 0.0])


def _row(cells: list[str]) -> str:
    return ",".join(cells) + "\n"
