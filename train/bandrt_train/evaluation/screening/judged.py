"""A calibration tested on a data set that a model was judged on: hits that are expected and found."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandrt.domain import expected_error
from bandrt.domain import warnings as domain_warnings
from bandrt.graph.bonded_network import network_warnings
from bandrt.screening.features import PredictedGaps
from bandrt_train.evaluation.directness import edges
from bandrt_train.evaluation.judgement import MODEL, Judgement
from bandrt_train.evaluation.screening.labelled import HeldOut
from bandrt_train.evaluation.screening.reliability import gap_reliability


def judged_hits(judgement: Judgement) -> list[dict[str, Any]] | None:
    """What `gap_reliability` says of a judgement; None of a model without a calibration, and of what it has learned.

    A calibration with a hand-over is none of the engine alone, which an evaluation is of.
    """
    calibration = judgement.predictions.model.calibration
    if calibration is None or calibration.hand_over_sha256 or judgement.split == "train":
        return None
    return gap_reliability(calibration, judged_gaps(judgement))


def judged_gaps(judgement: Judgement) -> HeldOut:
    """The crystals of a judgement as `bandrt infer` would predict them."""
    predicted, doubts = judgement.predicted[MODEL], judgement.predictions.uncertainty_ev
    assert predicted.energies is not None  # of a model, which predicts bands
    codes = []
    for index in judgement.indices:
        features = judgement.dataset[index].features
        network = network_warnings([features.crystal], [features])[0]
        codes.append((*domain_warnings(features.crystal, judgement.predictions.model.training), *network))
    direct = edges(predicted.energies, np.ones(predicted.energies.shape, np.bool_), predicted.n_valence).direct_gap
    said = PredictedGaps(
        gap_ev=np.asarray(predicted.gap, np.float64),
        direct_gap_ev=np.where(predicted.metal, 0.0, direct),
        is_metal=predicted.metal,
        uncertainty_ev=np.full(len(codes), np.nan)
        if doubts is None
        else np.array([expected_error(float(doubt), some) for doubt, some in zip(doubts, codes, strict=True)]),
        warnings=np.array([";".join(some) for some in codes], np.str_),
    )
    records = judgement.records
    return HeldOut(
        tuple(record["id"] for record in records),
        tuple(record["formula"] for record in records),
        np.array([0.0 if target.is_metal else target.band_gap for target in judgement.targets]),
        said,
    )
