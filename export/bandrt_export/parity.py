"""The parity gate: an exported model against the model it was made from, on real crystals, through the runtime's own session."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bandrt.bands import gaps, in_order
from bandrt.batch import pad
from bandrt.crystal import Crystal
from bandrt.engine.session import Session
from bandrt.errors import BandrtError
from bandrt.features import Features, featurize_crystal
from bandrt.manifest import BandRule, ParityReport
from bandrt.recipe import Recipe
from bandrt_train.graph_data import to_batch
from bandrt_train.model import Reference

BATCH_SIZES = (1, 2, 5, 16)
"""Crystals per batch; every crystal is compared once in each."""
EXTRA_ATOMS = (0, 1, 7)
"""Rows of padding added, in turn, to what the largest crystal of a batch needs."""
REFERENCE = "PyTorch Geometric, fp32, CPU"


class ExportError(BandrtError):
    """A checkpoint can not be exported, or what came out is not the same model."""


def packaged_crystals() -> list[Crystal]:
    """Real crystals of 1 to about 40 atoms that come with this package.

    Made by ``export/make_parity_crystals.py`` from the Materials Project (CC BY 4.0).
    """
    entries = json.loads(files("bandrt_export").joinpath("parity_crystals.json").read_text(encoding="utf-8"))["crystals"]
    return [Crystal.checked(e["lattice"], e["atomic_numbers"], e["frac_coords"], name=e["id"]) for e in entries]


def featurize_all(crystals: Sequence[Crystal], recipe: Recipe) -> list[Features]:
    """Featurise crystals for one recipe, smallest first."""
    features = [featurize_crystal(crystal, recipe, name=crystal.formula) for crystal in crystals]
    return sorted(features, key=lambda one: len(one.atomic_numbers))


def compare(
    model: Reference | Session,
    session: Session,
    features: Sequence[Features],
    *,
    rule: BandRule,
    limit_ev: float,
    reference: str = REFERENCE,
) -> ParityReport:
    """Measure how far a session's bands are from the reference model's, in batches of several sizes and paddings.

    Args:
        model: the reference, in evaluation mode, or another session.
        session: the exported model.
        features: crystals featurised with the recipe of both.
        rule: what decides between metal and insulator.
        limit_ev: eV, recorded in the report; `require` judges by it.
        reference: what the report calls the reference.
    """
    worst, total, count, gap_change, flips = 0.0, 0.0, 0, 0.0, 0
    for batch, n_atoms in _batches(features):
        expected = _outputs(model, batch)
        exported = session.run(pad(batch, n_atoms=n_atoms))
        worst = max([worst, *(_largest(exported[name] - expected[name]) for name in exported.keys() & expected.keys())])
        total += float(np.abs(exported["band_energies"] - expected["band_energies"]).sum())
        count += exported["band_energies"].size
        gap, is_metal = gaps(in_order(exported["band_energies"]), rule)
        reference_gap, was_metal = gaps(in_order(expected["band_energies"]), rule)
        same = is_metal == was_metal
        gap_change = max(gap_change, float(np.abs(gap - reference_gap)[same].max(initial=0.0)))
        flips += int((~same).sum())
    return ParityReport(
        reference=reference,
        n_crystals=len(features),
        n_atoms=tuple(sorted({len(one.atomic_numbers) for one in features})),
        batch_sizes=_batch_sizes(len(features)),
        max_energy_error_ev=worst,
        mean_energy_error_ev=total / count,
        max_gap_change_ev=gap_change,
        metal_flips=flips,
        limit_ev=limit_ev,
    )


def _outputs(model: Reference | Session, batch: Sequence[Features]) -> dict[str, NDArray[Any]]:
    """What a reference says, by the names of the graph contract."""
    if not isinstance(model, torch.nn.Module):
        return model.run(pad(batch))
    with torch.inference_mode():
        output = model(to_batch(batch))
    return {
        "band_energies": output.energies.numpy(),
        "band_center": output.center.numpy(),
        "band_dispersion": output.dispersion.numpy(),
    }


def require(report: ParityReport, *, name: str) -> None:
    """Refuse a model that is not the one it was made from.

    Raises:
        ExportError: ``parity-failed``, with the number and the limit.
    """
    if not report.max_energy_error_ev <= report.limit_ev:  # also refuses an error that is not a number
        raise ExportError(
            "parity-failed",
            f"{name}: energies differ from the reference by up to {report.max_energy_error_ev:.3g} eV"
            f" on {report.n_crystals} crystals,"
            f" the limit is {report.limit_ev:.3g} eV; nothing was written (--limit-ev sets another limit)",
        )


def summary(report: ParityReport) -> str:
    """The report in one line for people."""
    sizes = f"{report.n_atoms[0]} to {report.n_atoms[-1]} atoms, batches of {', '.join(map(str, report.batch_sizes))}"
    return (
        f"parity with {report.reference}: max {report.max_energy_error_ev:.2g} eV, mean {report.mean_energy_error_ev:.2g} eV"
        f" (limit {report.limit_ev:.2g}), gaps within {report.max_gap_change_ev:.2g} eV, {report.metal_flips} metal flips"
        f" on {report.n_crystals} crystals ({sizes})"
    )


def _largest(difference: NDArray[Any]) -> float:
    """Largest magnitude; infinite when a number is not one, so that no comparison forgets it."""
    largest = float(np.abs(difference).max())
    return largest if np.isfinite(largest) else float("inf")


def _batch_sizes(n_crystals: int) -> tuple[int, ...]:
    return tuple(size for size in BATCH_SIZES if size <= n_crystals)


def _batches(features: Sequence[Features]) -> Iterator[tuple[Sequence[Features], int]]:
    """Every crystal once per batch size, with the number of atoms to pad to; neighbours in size share a batch, but for the last
    size, where small and large ones meet."""
    sizes = _batch_sizes(len(features))
    for size in sizes:
        stride = -(-len(features) // size)  # batches needed
        for number in range(stride):
            batch = features[number::stride] if size == sizes[-1] else features[number * size : (number + 1) * size]
            largest = max(len(one.atomic_numbers) for one in batch)
            yield batch, largest + EXTRA_ATOMS[number % len(EXTRA_ATOMS)]
