"""Predictions without an engine: real crystals on their real k-paths, with bands that have the symmetry of the crystals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bandrt.bands.band_structure import BandStructure
from bandrt.bands.frame import frame_of
from bandrt.crystal import Crystal
from bandrt.features import featurize_crystal
from bandrt.manifest import BandRule
from bandrt.recipe import KpathRecipe, Recipe
from bandrt.results.arrays import stacked
from bandrt.results.parts import write_part
from bandrt.results.prediction import Failure, Prediction
from bandrt.results.store import ERRORS, PARTS, RUN

ENGINE = "e" * 64
RECIPE = Recipe(kpath=KpathRecipe(n_kpoints=64))
RUN_RECORD = {
    "bandrt_version": "0.1.0",
    "engine": {"variant": "paper", "sha256": ENGINE},
    "versions": {"python": "3.11", "numpy": "2.0"},
    "inputs": ["somewhere"],
}
CUBIC = Crystal.checked(np.eye(3) * 4.12, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
METAL = Crystal.checked(np.eye(3) * 3.0, [29, 30], [[0, 0, 0], [0.5, 0.5, 0.5]])
TRICLINIC = Crystal.checked([[4, 0, 0], [0.3, 5, 0], [0.4, 0.5, 6]], [22, 8, 8], [[0, 0, 0], [0.3, 0.3, 0.3], [0.7, 0.7, 0.7]])
FAILURE = Failure("d", "somewhere/d.cif", "read", "cif-syntax", "it is cut short")


def predicted(
    id: str,
    crystal: Crystal,
    *,
    gap: float = 1.0,
    doped: float = 0.0,
    warnings: tuple[str, ...] = (),
    uncertainty: float | None = 0.25,
) -> Prediction:
    """Six bands that bend by a cosine, as a cubic lattice lets them, about a gap at Γ whose middle lies `doped` eV above zero."""
    features = featurize_crystal(crystal, RECIPE)
    path = features.kpath
    bend = (2 - 2 * np.cos(2 * np.pi * path.frac_kpoints)).sum(axis=1) / 12  # (n_kpoints,)
    levels = np.array([-2 - gap / 2, -1 - gap / 2, -gap / 2, gap / 2, 1 + gap / 2, 2 + gap / 2])
    energies = doped + levels[:, None] + np.array([-0.5, -0.5, -0.5, 0.5, 0.5, 0.5])[:, None] * bend
    bands = BandStructure(
        energies.astype(np.float32), path.frac_kpoints, path.kpoint_distance, path.labels, path.label_indices, features.crystal,
        features.space_group, features.space_group_symbol, path.scheme, BandRule(),
    )  # fmt: skip
    return Prediction(id, f"somewhere/{id}.cif", bands, warnings, uncertainty)


def with_more_bands(bands: BandStructure, *, below: int, above: int) -> BandStructure:
    """The same crystal with more bands, 1 eV apart, flatter the further they are from the others."""
    mean, lowest, highest = bands.energies.mean(axis=0), bands.energies.min(axis=0), bands.energies.max(axis=0)
    bend = mean - mean.mean()
    lower = [lowest - n + 0.3**n * bend for n in range(below, 0, -1)]
    upper = [highest + n + 0.3**n * bend for n in range(1, above + 1)]
    energies = np.stack([*lower, *bands.energies, *upper]).astype(np.float32)
    rule = dataclasses.replace(bands.rule, n_bands=len(energies), n_valence=bands.rule.n_valence + below)
    return dataclasses.replace(bands, energies=energies, rule=rule)


def write_predictions(
    path: Path, predictions: Sequence[Prediction], *, engine_sha256: str = ENGINE, orders: Sequence[int] | None = None
) -> None:
    """A part of these predictions, with the bands that they have."""
    frame = frame_of([one.band_structure for one in predictions])
    write_part(path, stacked(predictions, frame, orders), frame, engine_sha256=engine_sha256)


def write_results(folder: Path, parts: Sequence[Sequence[Prediction]], *, engines: Sequence[str] = ()) -> Path:
    """An output folder as a run leaves it, with one failure."""
    (folder / PARTS).mkdir(parents=True)
    for number, predictions in enumerate(parts):
        write_predictions(
            folder / PARTS / f"part-{number:05d}.npz", predictions, engine_sha256=engines[number] if engines else ENGINE
        )
    (folder / ERRORS).write_text(json.dumps(FAILURE.__dict__) + "\n", encoding="utf-8")
    (folder / RUN).write_text(json.dumps(RUN_RECORD), encoding="utf-8")
    return folder
