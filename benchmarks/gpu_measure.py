"""How far energies are from those of the CPU, and how many crystals a second an engine computes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import gpu_roofline
import numpy as np

from bandrt.bands.band_structure import gaps, in_order
from bandrt.contract import BAND_ENERGIES
from bandrt.engine.session import Inputs, OutOfMemoryError, Outputs, Session
from bandrt.engine.shapes import most_crystals
from bandrt.manifest import Manifest

if TYPE_CHECKING:
    from gpu_stages import Check, Json

LIMITS_EV = {"fp32": {"max": 1e-3}, "fp16": {"mean": 5e-3, "gap": 20e-3}, "bf16": {"mean": 50e-3}}
"""What energies and gaps may differ by on another device."""


def apart(found: np.ndarray, expected: np.ndarray, manifest: Manifest, precision: str) -> Json:
    """How far energies are from those of the CPU, eV: of crystals that are metals to both or to none, how many are not, and gaps.

    Raises:
        AssertionError: further than they may be.
    """
    whole = np.isfinite(found).all(axis=(1, 2)) & np.isfinite(expected).all(axis=(1, 2))
    if not whole.any():
        raise AssertionError("no crystal has finite energies on both sides")
    (gap, metal), (gap_expected, was_metal) = (gaps(in_order(one[whole]), manifest.bands) for one in (found, expected))
    same = metal == was_metal
    difference = np.abs(found - expected)[whole][same]
    report: Json = {
        "max": float(difference.max(initial=0.0)),
        "mean": float(difference.mean()) if difference.size else 0.0,
        "gap": float(np.abs(gap - gap_expected)[same & ~metal].max(initial=0.0)),
        "metal_flips": int((~same).sum()),
        "crystals": len(found),
        "not_finite": int((~whole).sum()),
        "limits": LIMITS_EV[precision],
    }
    if any(report[name] > limit for name, limit in LIMITS_EV[precision].items()) or report["metal_flips"] * 10 > len(found):
        raise AssertionError(f"beyond the limits: {report}")
    return report


def warm(run: Callable[[Inputs], Any], stream: list[Inputs], check: Check, atoms: int | None) -> Json:
    """Throughput of batches one after another."""

    def whole() -> None:
        for batch in stream:
            run(batch)

    return throughput(whole, sum(len(one["kpoints"]) for one in stream), check, atoms)


def throughput(whole: Callable[[], Any], crystals: int, check: Check, atoms: int | None) -> Json:
    """Crystals per second of the fastest of several passes, after two that are not counted.

    Args:
        whole: one pass.
        crystals: in it.
        check: says how often.
        atoms: of a crystal, where a result is one of the engine whose speed was estimated: on which side of that it falls.
    """
    taken = timed(whole, max(1, check.repeats // 4))
    report: Json = {"crystals": crystals, "passes": len(taken), "crystals_per_s": crystals / taken[0]}
    if atoms is not None and (side := gpu_roofline.side(report["crystals_per_s"], check.gpu, atoms)):
        report["estimate"] = side
    return report


def timed(run: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each run, the fastest first, after two that are not counted, where shapes are compiled and a graph is captured."""
    taken = []
    for _ in range(2 + repeats):
        started = perf_counter()
        run()
        taken.append(perf_counter() - started)
    return sorted(taken[2:])


def fits(session: Session, batch: Inputs) -> bool:
    """Whether an engine takes a batch."""
    most = most_crystals(session.manifest, batch["neighbor_index"].shape[1])
    return most is None or len(batch["kpoints"]) <= most


def energies(outputs: Outputs | OutOfMemoryError) -> np.ndarray:
    """Band energies, eV; a batch without memory is an error here."""
    if isinstance(outputs, OutOfMemoryError):
        raise outputs
    return outputs[BAND_ENERGIES]
