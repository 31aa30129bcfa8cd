"""Bands and densities of states as tables in text, with commas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bandrt.spectra.bands import SampledBands
from bandrt.spectra.dos import DensityOfStates


def bands_table(bands: SampledBands) -> Iterator[str]:
    """A row for each k-point: its fractional coordinates, its place on the path, its label, and the energies of all bands in eV."""
    names = [f"band_{number}" for number in range(bands.first_band, bands.first_band + len(bands.energies))]
    yield _row(["k1", "k2", "k3", "distance", "label", *names])
    labels = dict(zip(bands.label_indices.tolist(), bands.labels, strict=True))
    for index, (place, distance) in enumerate(zip(bands.shown_kpoints, bands.kpoint_distance, strict=True)):
        numbers = [f"{value:.8f}" for value in (place + 0.0)]
        yield _row([*numbers, f"{distance:.6f}", labels.get(index, ""), *(f"{e:.6f}" for e in bands.energies[:, index])])


def dos_table(dos: DensityOfStates) -> Iterator[str]:
    """A row for each energy in eV: all states/eV, those of s, p and d of each element, and the states below."""
    shells = dos.by_shell()
    yield _row(["energy", "total", *(f"{element}_{shell}" for element, shell in shells), "integrated"])
    for row in np.column_stack([dos.energies, dos.total, *shells.values(), dos.integrated]):
        yield _row([f"{value:.6f}" for value in row + 0.0])


def _row(cells: list[str]) -> str:
    return ",".join(cells) + "\n"
