"""Band structures and Brillouin zones as plain numbers, of which the page draws small and large figures."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.branches import branches, edge_places, ticks
from bandrt.bands.on_path import BandEdge
from bandrt.errors import OutputError
from bandrt.results.damage import undamaged
from bandrt.results.parts import part_predictions
from bandrt.results.prediction import Prediction
from bandrt.results.store import existing_parts
from bandrt.spectra.zone import zone_edges

UNIT_EV = 1e-4
"""Energies are whole numbers of this, which is as exact as engines are."""
_DIGITS = 5
"""Of lengths in reciprocal space, 1/Å."""


def predictions_of(folder: Path, ids: Collection[str]) -> dict[str, Prediction]:
    """Predictions of an output folder by their ids.

    Raises:
        OutputError: ``output-not-found``; ``part-damaged`` where a part cannot be read, or none holds a crystal.
    """
    found: dict[str, Prediction] = {}
    for part in existing_parts(folder):
        with undamaged():
            found |= part_predictions(part, ids)
    if lost := next((id for id in ids if id not in found), None):
        raise OutputError("part-damaged", f"{folder}: no part holds {lost}, which its summary.csv has; run again with --resume")
    return found


def drawing(bands: BandStructure) -> dict[str, Any]:
    """What the page draws of a crystal, as values of JSON.

    ``x`` (P,) are places on the axis, 1/Å, ``energies`` (n_bands, P) numbers of `UNIT_EV`; a branch is the line between two
    labelled points, from the ``first`` to the ``last`` of the P, ``ends`` their names and ``k`` their fractional coordinates.
    """
    drawn, edges = branches(bands), (("VBM", bands.vbm), ("CBM", bands.cbm))
    kpoints = np.concatenate([branch.kpoints for branch in drawn])
    lasts = np.cumsum([len(branch.kpoints) for branch in drawn]).tolist()
    ends = [(branch.kpoints[0], branch.kpoints[-1]) for branch in drawn]
    return {
        "symbol": bands.space_group_symbol,
        "n_valence": bands.rule.n_valence,
        "efermi": round(bands.efermi, 4),
        "x": np.concatenate([branch.distance for branch in drawn]).round(_DIGITS).tolist(),
        "energies": np.rint(bands.energies[:, kpoints] / UNIT_EV).astype(np.int64).tolist(),
        "branches": [
            {"first": last - len(branch.kpoints), "last": last - 1, "joined": branch.joined, "ends": list(branch.labels), "k": k}
            for branch, last, k in zip(drawn, lasts, _rounded(bands.frac_kpoints[np.array(ends)]), strict=True)
        ],
        "ticks": [[round(place, _DIGITS), label] for place, label in ticks(drawn)],
        "edges": [_edge(name, edge, edge_places(bands, drawn, edge)) for name, edge in edges if edge is not None],
        "zone": _zone(bands),
    }


def _edge(name: str, edge: BandEdge, places: list[float]) -> dict[str, Any]:
    return {"name": name, "energy": round(edge.energy, 4), "x": [round(place, _DIGITS) for place in places]}


def _zone(bands: BandStructure) -> dict[str, Any]:
    """Edges of the zone, and names of the labelled points with their places, Cartesian in 1/Å, and the reciprocal vectors."""
    reciprocal = bands.crystal.reciprocal
    places = bands.frac_kpoints[bands.label_indices] @ reciprocal
    named = {tuple(_rounded(place)): label for label, place in zip(bands.labels, places, strict=True)}
    return {
        "edges": _rounded(np.array(zone_edges(bands.crystal))),
        "points": [[label, list(place)] for place, label in named.items()],
        "reciprocal": _rounded(reciprocal),
    }


def _rounded(values: NDArray[np.float64]) -> Any:
    return (np.asarray(values, np.float64).round(_DIGITS) + 0.0).tolist()
