"""Write the engine without inference, ``null``: the manifest of the engine ``fast`` without what a model was trained on.

Run ``python tools/null_engine.py`` after ``fast`` has another recipe; a test compares.
"""

from __future__ import annotations

import dataclasses

from bandrt.contract import BAND_ENERGIES
from bandrt.engine import NULL_ENGINE, SHIPPED_ENGINES, read_manifest
from bandrt.manifest import Backend, Manifest, TrainingDomain


def null_manifest(of: Manifest) -> Manifest:
    """The manifest of an engine that is fed like a given one, and computes nothing."""
    return dataclasses.replace(
        of, model={}, checkpoint_sha256="", outputs=(BAND_ENERGIES,), backend=Backend("null"), training=TrainingDomain(),
        ensemble=None, parity=None, solver=None, hand_over=None, calibration=None, citation="",
    )  # fmt: skip


def main() -> None:
    """Write it."""
    NULL_ENGINE.write_text(null_manifest(read_manifest(SHIPPED_ENGINES["fast"])).to_json() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
