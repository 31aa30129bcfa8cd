"""What an export says: while it works, and of what it wrote."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from bandrt.manifest import Manifest, ParityReport, TrainingDomain

HEARTBEAT_S = 10.0
"""How often a long step says that it is alive."""


@contextmanager
def heartbeat(doing: str) -> Iterator[None]:
    """Say what is being done, every `HEARTBEAT_S` that it still is, and at the end how long it took."""
    log, started, done = logging.getLogger(__name__), perf_counter(), threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_S):
            log.info("%s, %.0f s", doing, perf_counter() - started)

    log.info(doing)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    log.info("%s: done in %.1f s", doing, perf_counter() - started)


def describe(manifest: Manifest, output: Path) -> str:
    """What was written, for people."""
    backend, profile = manifest.backend, manifest.profile
    lines = [
        f"{output}: {manifest.variant} model, {manifest.bands.n_bands} bands at {manifest.recipe.kpath.n_kpoints} k-points"
        f" ({manifest.recipe.kpath.scheme}), {manifest.precision}, opset {backend.opset}",
        _training(manifest.training),
    ]
    if manifest.ensemble is not None:
        lines.append(f"the mean of {len(manifest.ensemble.members)} such models, with the error to expect of each crystal")
    if manifest.variant == "released":
        known = "trained with" if manifest.training.n_crystals else "assumed, for the checkpoint does not say:"
        lines.append(
            f"{known} edges {manifest.recipe.graph.direction}, k-points"
            f" {manifest.recipe.kpath.frame}, species by {manifest.model['species_index']}, paths {manifest.recipe.kpath.scheme}"
        )
    if backend.name != "onnx":
        lines.append(
            f"{backend.name} {backend.version} plan for {', '.join(backend.targets)}: up to {profile.max_atoms} atoms and"
            f" {profile.max_batch} crystals in {len(profile.buckets)} optimisation profiles"
        )
    if manifest.parity is not None:
        lines.append(("its ONNX graph: " if backend.name != "onnx" else "") + summary(manifest.parity))
    return "\n".join(lines)


def held(found: float, limit: float | None) -> str:
    """An error in eV, and what it is held to."""
    return f"{found:.2g} eV" + ("" if limit is None else f" (limit {limit:.2g})")


def summary(report: ParityReport) -> str:
    """The report in one line for people."""
    sizes = f"{report.n_atoms[0]} to {report.n_atoms[-1]} atoms, batches of {', '.join(map(str, report.batch_sizes))}"
    figures: tuple[str, ...] = (
        f"max {held(report.max_energy_error_ev, report.limit_ev)}",
        f"mean {held(report.mean_energy_error_ev, report.mean_limit_ev)}",
        f"gaps within {held(report.max_gap_change_ev, report.gap_limit_ev)}",
    )
    doubt = report.max_uncertainty_change_ev
    if doubt is not None:
        figures += (f"uncertainties within {held(doubt, report.gap_limit_ev)}",)
    return (
        f"parity with {report.reference}: {', '.join(figures)}, {report.metal_flips} metal flips"
        f" on {report.n_crystals} crystals ({sizes})"
    )


def _training(domain: TrainingDomain) -> str:
    if not domain.n_crystals:
        return "trained on data that the checkpoint does not describe"
    return f"trained on {domain.n_crystals} crystals of {len(domain.elements)} elements {domain.functional}".rstrip()
