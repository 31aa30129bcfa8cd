"""Outputs of an engine as results: band structures with doubts and expected errors, or why a crystal has none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bandrt.arguments import unchecked
from bandrt.bands.band_structure import BandStructure, in_order, read_only
from bandrt.bands.frame import out_of_frame
from bandrt.bands.on_path import Energies
from bandrt.contract import BAND_ENERGIES, UNCERTAINTY
from bandrt.domain import NO_INFERENCE, expected_error, of_filling
from bandrt.domain import warnings as domain_warnings
from bandrt.engine.memory import CrystalOutputs
from bandrt.errors import EngineError, InputError
from bandrt.features import Features
from bandrt.manifest import BandRule, Manifest
from bandrt.results.prediction import Failure, Prediction, Result, Ticket


def results_of(batch: Sequence[tuple[Ticket, Features]], rows: Sequence[CrystalOutputs], manifest: Manifest) -> list[Result]:
    """What an engine gave for a batch, as results.

    Args:
        batch: crystals, as they were given to the engine.
        rows: outputs for each of them, or why there are none.
        manifest: of the engine.

    Returns:
        For each crystal a prediction; or a failure, where the engine failed at it, has too few bands or gave no finite numbers.
    """
    return [_result(*one, row, bands, manifest) for one, row, bands in zip(batch, rows, _whole_bands(rows), strict=True)]


def _result(ticket: Ticket, features: Features, row: CrystalOutputs, whole: Energies | None, manifest: Manifest) -> Result:
    name = ticket.path or ticket.id
    if isinstance(row, EngineError):
        return Failure.of(InputError(row.code, f"{name}: {row.message}", stage="predict"), ticket)
    rule, uncertainty = manifest.bands, float(row[UNCERTAINTY]) if UNCERTAINTY in row else None
    if whole is None:
        energies = row[BAND_ENERGIES]  # (n_bands, n_kpoints)
        if manifest.solver is not None and np.isnan(energies).all():
            message = f"{name}: the Hamiltonian of this engine has too few bands around the Fermi level"
            return Failure.of(InputError("too-few-bands", message, stage="predict"), ticket)
        energies, rule = out_of_frame(energies, rule)
        whole = in_order(energies) if np.isfinite(energies).all() else None
    if whole is None or not (uncertainty is None or math.isfinite(uncertainty)):
        message = f"{name}: the engine gave energies that are not finite numbers"
        return Failure.of(InputError("non-finite-energies", message, stage="predict"), ticket)
    bands = band_structure(features, whole, rule)
    nothing = (NO_INFERENCE,) if manifest.is_null else ()
    unfilled = of_filling(features.crystal, is_metal=bands.is_metal)
    doubts = (*nothing, *domain_warnings(features.crystal, manifest.training), *ticket.warnings, *unfilled)
    expected = None if uncertainty is None else expected_error(uncertainty, doubts)
    return unchecked(
        Prediction,
        id=ticket.id,
        path=ticket.path,
        band_structure=bands,
        warnings=doubts,
        uncertainty_ev=expected,
        input_sha256=ticket.input_sha256,
        kept=dict(ticket.kept),
    )


def _whole_bands(rows: Sequence[CrystalOutputs]) -> list[Energies | None]:
    """Bands numbered by energy, (n_bands, n_kpoints), of each crystal of a batch that has all of them; None of the others."""
    given = [place for place, row in enumerate(rows) if not isinstance(row, EngineError)]
    found: list[Energies | None] = [None] * len(rows)
    if not given:
        return found
    energies = np.stack([row[BAND_ENERGIES] for row in rows if not isinstance(row, EngineError)])
    is_whole = np.isfinite(energies).all(axis=(1, 2)).tolist()
    # quicker than to order them once more
    is_ordered = np.greater_equal(energies[:, 1:], energies[:, :-1]).all(axis=(1, 2)).tolist()
    for place, bands, whole, ordered in zip(given, energies, is_whole, is_ordered, strict=True):
        if whole:
            found[place] = bands.copy() if ordered else in_order(bands)  # a copy: whoever keeps it does not keep the batch
    return found


def band_structure(features: Features, energies: Energies, rule: BandRule) -> BandStructure:
    """Put energies, (n_bands, n_kpoints) in eV, finite and in order, on the path of the crystal they were predicted for."""
    kpath = features.kpath
    return unchecked(
        BandStructure,
        energies=read_only(energies),
        frac_kpoints=kpath.frac_kpoints,
        kpoint_distance=kpath.kpoint_distance,
        labels=kpath.labels,
        label_indices=kpath.label_indices,
        crystal=features.crystal,
        space_group=features.space_group,
        space_group_symbol=features.space_group_symbol,
        scheme=kpath.scheme,
        rule=rule,
    )
