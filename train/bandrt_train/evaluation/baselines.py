"""Baselines: what can be said of a crystal without a model, from the training crystals alone.

*Training mean*: every band flat at its mean over the training crystals; where they teach gaps alone, the kind that most of them
are, metal or not, and the mean gap of their non-metals.

*Nearest neighbour*: what the training crystal of the most similar composition (`composition.descriptors`) has, its own gap, and
metal or not, included. Of equally similar ones it is one of the same space group, then the first by id. Its bands stand on
another path in general: every band is put at the centre of the neighbour's, and where both walks have the same labels in the same
order, the band follows the neighbour's, segment by segment at equal shares of each; otherwise it is flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bandrt.bands.band_structure import in_order
from bandrt.manifest import BandRule
from bandrt_train.data.composition import descriptors
from bandrt_train.data.dataset import Dataset, Entry
from bandrt_train.data.targets import Targets
from bandrt_train.evaluation.metrics import Floats, Predicted, known_energies

TIE = 1e-9
"""Compositions that differ by less are equally near."""
MAX_ROWS = 256
"""Crystals compared with all training crystals at a time."""


def training_mean(training: Sequence[Targets], n: int) -> Floats:
    """Every band flat at its mean over the training crystals, (n, n_bands, K), eV."""
    centers = known_energies(training).mean(axis=-1).mean(axis=0).filled(0.0)  # (n_bands,)
    n_kpoints = training[0].energies.shape[1]
    return np.broadcast_to(centers[None, :, None], (n, len(centers), n_kpoints)).astype(np.float64)


def mean_of_bands(training: Sequence[Targets], n: int, rule: BandRule) -> Predicted:
    """The training mean of bands, for n crystals."""
    return Predicted.from_energies(training_mean(training, n), rule)


def mean_of_gaps(training: Dataset, n: int) -> Predicted:
    """The training mean where gaps alone are known, for n crystals."""
    gaps = np.array([training.records[i]["band_gap_ev"] for i in training.indices("train")])
    metal = np.array([training.records[i]["is_metal"] for i in training.indices("train")])
    mean = float(gaps[~metal].mean()) if not metal.all() else 0.0
    return Predicted(np.full(n, mean), np.full(n, bool(metal.mean() > 0.5)))


def nearest(records: Sequence[dict[str, Any]], training: Dataset) -> list[int]:
    """The entry of the training split of `training` that is nearest to each crystal.

    Args:
        records: what ``entries.jsonl`` says of the crystals.
        training: a data set with a training split.
    """
    candidates = sorted(training.indices("train"), key=lambda i: str(training.records[i]["id"]))
    known = descriptors([training.records[i]["formula"] for i in candidates])
    groups = np.array([training.records[i]["space_group"] for i in candidates])
    wanted = descriptors([record["formula"] for record in records])
    found: list[int] = []
    for start in range(0, len(records), MAX_ROWS):
        some = wanted[start : start + MAX_ROWS]
        squared = (some**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2.0 * some @ known.T  # (chunk, n_candidates)
        for record, row in zip(records[start : start + MAX_ROWS], squared, strict=True):
            tied = np.flatnonzero(row <= row.min() + TIE)
            same = tied[groups[tied] == record["space_group"]]
            found.append(candidates[int((same if len(same) else tied)[0])])
    return found


def neighbours_bands(
    entries: Iterable[Entry], neighbours: Iterable[Entry], training: Sequence[Targets], rule: BandRule
) -> Predicted:
    """Give every crystal the bands, the gap and the kind of its neighbour.

    Args:
        entries: n crystals.
        neighbours: the nearest training crystal of each.
        training: where bands that a neighbour does not label have their centres from.
        rule: which bands they are.
    """
    fallback = training_mean(training, 1)[0, :, 0]  # (n_bands,)
    energies, gap, metal = [], [], []
    for entry, other in zip(entries, neighbours, strict=True):
        energies.append(transferred(entry, other, fallback))
        gap.append(other.targets.band_gap)
        metal.append(other.targets.is_metal)
    ordered = np.asarray(in_order(np.stack(energies)), dtype=np.float64)
    return Predicted(np.array(gap, dtype=np.float64), np.array(metal, dtype=np.bool_), ordered, rule.n_valence)


def neighbours_gaps(training: Dataset, neighbours: Sequence[int]) -> Predicted:
    """Give every crystal the gap and the kind of its neighbour, of which no more is known."""
    gaps = np.array([training.records[i]["band_gap_ev"] for i in neighbours], dtype=np.float64)
    return Predicted(gaps, np.array([training.records[i]["is_metal"] for i in neighbours], dtype=np.bool_))


def transferred(entry: Entry, other: Entry, fallback: Floats) -> Floats:
    """The bands of `other` on the path of `entry`, (n_bands, K), eV: its centres, and its dispersions if the walks are alike.

    Args:
        entry: whose path.
        other: whose bands.
        fallback: (n_bands,) eV, centres for bands that `other` does not label.
    """
    known = known_energies([other.targets])[0]  # (n_bands, K)
    centers = known.mean(axis=-1).filled(np.nan)
    centers = np.where(np.isnan(centers), fallback, centers)
    path, theirs = entry.features.kpath, other.features.kpath
    flat: Floats = np.repeat(centers[:, None], known.shape[1], axis=1)
    if path.labels != theirs.labels or not path.labels:
        return flat
    # each vertex on its counterpart, the points between at equal shares of the segment
    position = np.interp(np.arange(known.shape[1]), path.label_indices, theirs.label_indices)
    for band, curve in enumerate(known):
        here = np.flatnonzero(~np.ma.getmaskarray(curve))
        if len(here) == len(curve):  # a curve with holes has no shape to speak of
            flat[band] = np.interp(position, here, curve.data)
            flat[band] += centers[band] - flat[band].mean()
    return flat
