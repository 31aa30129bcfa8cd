"""Predictions of an engine as labels: the folder of a run of ``bandrt infer``, from which a faster model may learn.

A prediction counts less the less its engine is sure of it (`weight_of`). Those that the engine handed over to another one, and
those of which it does not know how far they are off, are refused.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bandrt.computed.documents import BandDocument, Reading
from bandrt.domain import is_handed_over
from bandrt.errors import InputError
from bandrt.results.damage import undamaged
from bandrt.results.parts import part_ids
from bandrt.results.prediction import Prediction
from bandrt.results.store import existing_parts, read, read_run

SURE_EV = 0.25
"""Predictions that are expected to err by no more than this count in full."""


class PredictionSource(NamedTuple):
    """One prediction, not yet turned into a document."""

    name: str
    id: str
    prediction: Prediction
    method: str

    def stamp(self) -> str:
        """Checksum of all that its document says, and of what decides whether there is one."""
        bands, uncertainty = self.prediction.band_structure, self.prediction.uncertainty_ev
        said = [self.id, self.method, bool(bands.is_metal), None if uncertainty is None else float(uncertainty)]
        digest = hashlib.sha256(repr([*said, is_handed_over(self.prediction.warning_codes)]).encode())
        for array in (bands.energies, bands.frac_kpoints, bands.crystal.lattice, bands.crystal.frac_coords):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(bands.crystal.atomic_numbers.tobytes())
        return digest.hexdigest()

    def read(self) -> Reading:
        """Make a document of it.

        Raises:
            InputError: ``no-teacher`` for one that another engine made, or that nothing is known of.
        """
        return Reading(_document(self.prediction, self.method), self.stamp())


def find_predictions(folder: Path) -> Iterator[PredictionSource]:
    """Yield every prediction of a run, in the order of its inputs.

    Raises:
        OutputError: what `bandrt.results.store.read` raises.
    """
    engine = read_run(folder).get("engine") or {}
    method = f"bandrt {engine.get('sha256', '')[:12]}".strip()
    for prediction in read(folder):
        yield PredictionSource(f"{folder}: {prediction.id}", prediction.id, prediction, method)


def count_predictions(folder: Path) -> int:
    """How many there are.

    Raises:
        OutputError: ``output-not-found`` or ``part-damaged``.
    """
    with undamaged():
        return sum(len(part_ids(path)) for path in existing_parts(folder))


def weight_of(uncertainty_ev: float) -> float:
    """What a prediction counts: the inverse of its expected error, as the likelihood of errors that follow Laplace's law has it."""
    return min(1.0, SURE_EV / uncertainty_ev) if uncertainty_ev > 0.0 else 1.0


def _document(prediction: Prediction, method: str) -> BandDocument:
    if is_handed_over(prediction.warning_codes):
        raise InputError("no-teacher", f"{prediction.id}: was handed over to another engine, which is not to be learned from")
    uncertainty = prediction.uncertainty_ev
    if uncertainty is not None and math.isnan(uncertainty):
        raise InputError("no-teacher", f"{prediction.id}: the engine cannot say how far its prediction is off")
    bands = prediction.band_structure
    names: list[str | None] = [None] * bands.energies.shape[1]
    for label, place in zip(bands.labels, bands.label_indices.tolist(), strict=True):
        names[place] = label
    return BandDocument(
        id=prediction.id,
        crystal=bands.crystal,
        reciprocal=bands.crystal.reciprocal,
        frac_kpoints=bands.frac_kpoints,
        energies=bands.energies[None].astype(np.float64),
        efermi=0.0,
        branches=np.stack([bands.label_indices[:-1], bands.label_indices[1:]], axis=1).astype(np.intp),
        labels=tuple(names),
        is_metal=bands.is_metal,
        method=method,
        weight=1.0 if uncertainty is None else weight_of(uncertainty),
    )
