"""What a converted file says of its numbers: the engine they are from, and their units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bandrt import __version__
from bandrt.manifest import BandRule
from bandrt.results.derived import CONVERTED_BY

UNITS = {
    "energies": "eV, relative to the Fermi level of a metal and to mid-gap of an insulator",
    "band_gap_ev": "eV",
    "direct_gap_ev": "eV",
    "vbm_ev": "eV",
    "cbm_ev": "eV",
    "uncertainty_ev": "eV",
    "frac_kpoints": "fractional in the reciprocal of lattice",
    "kpoint_distance": "1/Å, 2 pi included",
    "lattice": "Å, vectors in rows",
    "frac_coords": "fractional in lattice",
}
"""By the names that arrays have in every format."""

Facts = Mapping[str, str | int | float]
_OF_THE_RUN = ("bandrt_version", "started", "engine", "gpu", "recipe", "versions")


def provenance(run: Mapping[str, Any], engine_sha256: str, rule: BandRule) -> Facts:
    """What is true of every prediction of an engine.

    Args:
        run: ``run.json``, of the last run that wrote to the folder.
        engine_sha256: the engine, from the parts themselves.
        rule: the bands that were asked of it.

    Returns:
        Text and numbers by name; what is nested is JSON.
    """
    recorded = {name: run[name] for name in _OF_THE_RUN if run.get(name) is not None}
    return {
        CONVERTED_BY: f"bandrt {__version__}",
        "engine_sha256": engine_sha256,
        "n_bands": rule.n_bands,
        "n_valence": rule.n_valence,
        "metal_tolerance_ev": rule.metal_tolerance_ev,
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in recorded.items()},
    }


def rule_of(facts: Facts) -> BandRule:
    """The bands that were asked for; those of a crystal that are missing are NaN."""
    return BandRule(int(facts["n_bands"]), int(facts["n_valence"]), float(facts["metal_tolerance_ev"]))
