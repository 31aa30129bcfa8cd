"""Calibrating: predict what an engine has not learned, and fit how far it is off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bandrt.errors import UsageError
from bandrt.predict import Engine
from bandrt_train.data.dataset import Refusal
from bandrt_train.evaluation.screening.fit import fit_gap_calibration
from bandrt_train.evaluation.screening.held_out import held_out_directness, held_out_gaps
from bandrt_train.evaluation.screening.labelled import FITTED, TESTED, checksum
from bandrt_train.evaluation.screening.report import Calibrated


def calibrate(
    engine: Engine,
    tables: Sequence[Path],
    labels: Sequence[Path],
    refusals: list[Refusal],
    *,
    max_atoms: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibrated:
    """Predict what an engine has not learned, and fit its calibration.

    Args:
        engine: open, with the engine that it hands crystals over to.
        tables: of gaps.
        labels: band structures that tell direct from indirect; none: nothing is known of these.
        refusals: labels that cannot be used are appended.
        max_atoms: of crystals in the tables.
        progress: told how many of a split are predicted, and of how many.

    Raises:
        EvaluationError: ``empty-split`` or ``too-few-crystals``.
        InputError: ``not-a-gap-table``, ``no-input``.
        NotFoundError: ``file-not-found``.
        UsageError: ``null-engine``.
        BandrtError: ``fold-held-out``, or ``other-recipe`` of the engine that it hands crystals over to.
    """
    if engine.manifest.is_null:
        raise UsageError("null-engine", f"{engine.path.name}: this engine computes nothing that could be calibrated")
    gaps = {split: held_out_gaps(engine, tables, split, max_atoms=max_atoms, progress=progress) for split in (FITTED, TESTED)}
    direct = held_out_directness(engine, labels, refusals) if labels else None
    other = engine.hands_over_to
    sums = (engine.manifest.checkpoint_sha256, "" if other is None else other.manifest.checkpoint_sha256, checksum(gaps[FITTED]))
    known = None if direct is None else (direct.held_out[FITTED], direct.known)
    return Calibrated(fit_gap_calibration(gaps[FITTED], known, checksums=sums), gaps, direct)
