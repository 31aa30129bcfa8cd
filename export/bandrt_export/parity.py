"""The parity gate: an exported model against the model it was made from, on real crystals, through the runtime's own session."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.bands.band_structure import gaps, in_order
from bandrt.batch import is_centred, pad
from bandrt.contract import BAND_ENERGIES, UNCERTAINTY
from bandrt.crystal import Crystal
from bandrt.engine.hamiltonian import HamiltonianSession
from bandrt.engine.onnx.open import open_onnx
from bandrt.engine.session import Session
from bandrt.features import Features, featurize_crystal
from bandrt.manifest import BandRule, ParityReport, Precision
from bandrt.recipe import Recipe
from bandrt_export.errors import ExportError
from bandrt_export.reference import PYTORCH, reference_of
from bandrt_train.model.ensemble import Model
from bandrt_train.model.hamiltonian.ensemble import HamiltonianModel

BATCH_SIZES = (1, 2, 5, 16)
"""Crystals per batch; every crystal is compared once in each."""
EXTRA_ATOMS = (0, 1, 7)
"""Rows of padding added, in turn, to what the largest crystal of a batch needs."""


class Limits(NamedTuple):
    """What an engine may differ by from the reference, eV; None judges nothing."""

    max_energy_ev: float | None = None
    mean_energy_ev: float | None = None
    gap_ev: float | None = None


HALF_LIMITS = Limits(mean_energy_ev=5e-3, gap_ev=20e-3)
"""Of fp16: far below the error of any model, and what a user sees of it. In fp32, rounding sets the limit of each variant."""


def limits_of(precision: Precision, *, rounding_ev: float, limit_ev: float | None) -> Limits:
    """What an engine is judged by.

    Args:
        precision: of the engine.
        rounding_ev: what fp32 rounding may cost the variant, eV.
        limit_ev: a largest energy difference of the user's own, eV.
    """
    limits = HALF_LIMITS if precision == "fp16" else Limits(max_energy_ev=rounding_ev)
    return limits if limit_ev is None else limits._replace(max_energy_ev=limit_ev)


def packaged_crystals() -> list[Crystal]:
    """Real crystals of 1 to about 40 atoms that come with this package.

    Made by ``tools/parity_crystals.py`` from the Materials Project (CC BY 4.0).
    """
    entries = json.loads(files("bandrt_export").joinpath("parity_crystals.json").read_text(encoding="utf-8"))["crystals"]
    return [Crystal.checked(e["lattice"], e["atomic_numbers"], e["frac_coords"], name=e["id"]) for e in entries]


def featurize_all(crystals: Sequence[Crystal], recipe: Recipe) -> list[Features]:
    """Featurise crystals for one recipe, smallest first."""
    features = [featurize_crystal(crystal, recipe, name=crystal.formula) for crystal in crystals]
    return sorted(features, key=lambda one: len(one.atomic_numbers))


def open_exact(path: Path, *, device: str = "cpu") -> Session:
    """Open an ONNX engine as a check of it wants it: batches are run as they are given, and every k-point is computed.

    Raises:
        BandrtError: as `open_onnx`.
    """
    session = open_onnx(path, device=device, whole_batches=True)
    return HamiltonianSession(session, exact=True) if session.manifest.solver == "lapack" else session


def compare(
    model: Model | HamiltonianModel | Session,
    session: Session,
    features: Sequence[Features],
    *,
    rule: BandRule,
    limits: Limits,
    reference: str = PYTORCH,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_no_bands: Callable[[Features], None] = lambda features: None,
) -> ParityReport:
    """Measure how far a session's bands are from the reference model's, in batches of several sizes and paddings.

    Args:
        model: the reference, in evaluation mode, or another session.
        session: the exported model.
        features: crystals featurised with the recipe of both.
        rule: which bands there are, and what decides between metal and insulator.
        limits: recorded in the report; `require` judges by them.
        reference: what the report calls the reference.
        on_progress: called with how many predictions were compared, and of how many.
        on_no_bands: called with each crystal that has too few bands on both sides, once; the report does not count it.
    """
    standard = reference_of(model, rule, session.manifest.recipe.mesh)
    done, n_predictions = 0, len(features) * len(_batch_sizes(len(features)))
    worst, total, count, gap_change, flips = 0.0, 0.0, 0, 0.0, 0
    doubt: float | None = None
    without: dict[int, Features] = {}
    for batch, n_atoms in _batches(features):
        exported = session.run(pad(batch, n_atoms=n_atoms))
        expected = standard.outputs(batch, exported)
        differences = {name: _largest(_apart(exported[name], expected[name])) for name in exported.keys() & expected.keys()}
        if UNCERTAINTY in differences:
            doubt = max(doubt or 0.0, differences.pop(UNCERTAINTY))
        worst = max(worst, *differences.values())
        total += float(np.abs(_apart(exported[BAND_ENERGIES], expected[BAND_ENERGIES])).sum())
        in_neither = np.isnan(exported[BAND_ENERGIES]) & np.isnan(expected[BAND_ENERGIES])
        count += int((~in_neither).sum())
        without |= {id(batch[place]): batch[place] for place in np.flatnonzero(in_neither.all(axis=(1, 2))).tolist()}
        _, is_metal = gaps(in_order(exported[BAND_ENERGIES]), rule)
        _, was_metal = gaps(in_order(expected[BAND_ENERGIES]), rule)
        moved = np.abs(_apart(_edge_distance(exported[BAND_ENERGIES], rule), _edge_distance(expected[BAND_ENERGIES], rule)))
        gap_change = max(gap_change, float(moved[~(is_metal & was_metal)].max(initial=0.0)))
        flips += int((is_metal != was_metal).sum())
        done += len(batch)
        on_progress(done, n_predictions)
    for one in without.values():
        on_no_bands(one)
    compared = [one for one in features if id(one) not in without]
    return ParityReport(
        reference=reference,
        n_crystals=len(compared),
        n_atoms=tuple(sorted({len(one.atomic_numbers) for one in compared})),
        batch_sizes=_batch_sizes(len(features)),
        max_energy_error_ev=worst,
        mean_energy_error_ev=total / count if count else math.nan,
        max_gap_change_ev=gap_change,
        metal_flips=flips,
        limit_ev=limits.max_energy_ev,
        mean_limit_ev=limits.mean_energy_ev,
        gap_limit_ev=limits.gap_ev,
        max_uncertainty_change_ev=doubt,
    )


def objection(report: ParityReport) -> str | None:
    """What speaks against taking a model for the one it was made from: the number and the limit, or nothing."""
    if not report.n_crystals:
        return "no crystal has as many bands as the model gives, so that nothing was compared"
    of_doubt = report.limit_ev if report.gap_limit_ev is None else report.gap_limit_ev
    judged = (
        ("energies differ from the reference by up to", report.max_energy_error_ev, report.limit_ev, " (--limit-ev sets another)"),
        ("energies differ from the reference on average by", report.mean_energy_error_ev, report.mean_limit_ev, ""),
        ("gaps differ from the reference by up to", report.max_gap_change_ev, report.gap_limit_ev, ""),
        ("uncertainties differ from the reference by up to", report.max_uncertainty_change_ev, of_doubt, ""),
    )
    for what, found, limit, hint in judged:
        if limit is not None and found is not None and not found <= limit:  # also objects to an error that is not a number
            return f"{what} {found:.3g} eV on {report.n_crystals} crystals, the limit is {limit:.3g} eV{hint}"
    return None if np.isfinite(report.max_energy_error_ev) else "not all outputs are finite numbers"


def require(report: ParityReport, *, name: str) -> None:
    """Refuse a model that is not the one it was made from.

    Raises:
        ExportError: ``parity-failed``, with the number and the limit.
    """
    if reason := objection(report):
        raise ExportError("parity-failed", f"{name}: {reason}; nothing was written")


def _edge_distance(energies: NDArray[Any], rule: BandRule) -> NDArray[Any]:
    """From the top of the lower bands to the bottom of the upper ones, (B,) eV; negative where they overlap."""
    ordered = in_order(energies)
    distance: NDArray[Any] = ordered[:, rule.n_valence :].min(axis=(1, 2)) - ordered[:, : rule.n_valence].max(axis=(1, 2))
    return distance


def _apart(exported: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    """Differences; none where both say that a crystal has not as many bands."""
    return np.where(np.isnan(exported) & np.isnan(expected), 0.0, exported - expected)


def _largest(difference: NDArray[Any]) -> float:
    """Largest magnitude; infinite when a number is not one, so that no comparison forgets it."""
    largest = float(np.abs(difference).max())
    return largest if np.isfinite(largest) else float("inf")


def _batch_sizes(n_crystals: int) -> tuple[int, ...]:
    return tuple(size for size in BATCH_SIZES if size <= n_crystals)


def _batches(features: Sequence[Features]) -> Iterator[tuple[Sequence[Features], int]]:
    """Every crystal once per batch size, with the number of atoms to pad to; neighbours in size share a batch, but for the last
    size, where small and large ones meet. Those with a centre of inversion come first, so that it is used."""
    sizes = _batch_sizes(len(features))
    for size in sizes:
        stride = -(-len(features) // size)  # batches needed
        for number in range(stride):
            batch = features[number::stride] if size == sizes[-1] else features[number * size : (number + 1) * size]
            largest = max(len(one.atomic_numbers) for one in batch)
            yield sorted(batch, key=is_centred, reverse=True), largest + EXTRA_ATOMS[number % len(EXTRA_ATOMS)]
