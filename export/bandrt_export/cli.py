"""``bandrt export``: checkpoint to engine."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from bandrt.manifest import Manifest, TrainingDomain
from bandrt_export.conventions import conventions_options
from bandrt_train.released.config import Conventions


@click.command("export", short_help="Turn a checkpoint into an engine.")
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="CKPT")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Engine to write, e.g. model.onnx."
)
@click.option(
    "--limit-ev", type=click.FloatRange(min=0.0, min_open=True), default=None, show_default="1e-4, for the released variant 1e-3",
    help="Largest energy difference from the checkpoint's model, in eV.",
)  # fmt: skip
@conventions_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
def command(checkpoint: Path, output: Path, limit_ev: float | None, conventions: Conventions | None, quiet: bool) -> None:
    """Turn the checkpoint CKPT into an engine: one of `bandrt train`, or one of the authors' released code.

    The engine is compared with the checkpoint's model on real crystals of several sizes, and written only if all energies agree
    within the limit.

    A checkpoint of the released code does not say how its data were laid out; --edges, --kpoint-frame, --species-index and
    --kpath-scheme say it. They are written into the engine. A wrong choice gives wrong bands, and no error.
    """
    if output.suffix != ".onnx":
        raise click.UsageError(f"{output.name}: this version writes ONNX engines; name the output {output.stem}.onnx")
    from bandrt_export.onnx import export_onnx  # torch takes seconds to import

    _log_progress(quiet)
    manifest = export_onnx(checkpoint, output, conventions=conventions, limit_ev=limit_ev)
    click.echo(describe(manifest, output))


def describe(manifest: Manifest, output: Path) -> str:
    """What was written, for people."""
    from bandrt_export.parity import summary

    lines = [
        f"{output}: {manifest.variant} model, {manifest.bands.n_bands} bands at {manifest.recipe.kpath.n_kpoints} k-points"
        f" ({manifest.recipe.kpath.scheme}), {manifest.precision}, opset {manifest.backend.opset}",
        _training(manifest.training),
    ]
    if manifest.variant == "released":
        lines.append(
            f"assumed, for the checkpoint does not say: edges {manifest.recipe.graph.direction}, k-points"
            f" {manifest.recipe.kpath.frame}, species by {manifest.model['species_index']}, paths {manifest.recipe.kpath.scheme}"
        )
    if manifest.parity is not None:
        lines.append(summary(manifest.parity))
    return "\n".join(lines)


def _training(domain: TrainingDomain) -> str:
    if not domain.n_crystals:
        return "trained on data that the checkpoint does not describe"
    return f"trained on {domain.n_crystals} crystals of {len(domain.elements)} elements {domain.functional}".rstrip()


def _log_progress(quiet: bool) -> None:
    logger = logging.getLogger("bandrt_export")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
