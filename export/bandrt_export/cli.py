"""``bandrt export``: checkpoint to engine."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from bandrt.manifest import Manifest


@click.command("export", short_help="Turn a checkpoint into an engine.")
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="CKPT")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Engine to write, e.g. model.onnx."
)
@click.option(
    "--limit-ev", type=click.FloatRange(min=0.0, min_open=True), default=1e-4, show_default=True,
    help="Largest energy difference from the checkpoint's model, in eV.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
def command(checkpoint: Path, output: Path, limit_ev: float, quiet: bool) -> None:
    """Turn the checkpoint CKPT into an engine.

    The engine is compared with the checkpoint's model on real crystals of several sizes, and written only if all energies agree
    within the limit.
    """
    if output.suffix != ".onnx":
        raise click.UsageError(f"{output.name}: this version writes ONNX engines; name the output {output.stem}.onnx")
    from bandrt_export.onnx import export_onnx  # torch takes seconds to import

    _log_progress(quiet)
    manifest = export_onnx(checkpoint, output, limit_ev=limit_ev)
    click.echo(describe(manifest, output))


def describe(manifest: Manifest, output: Path) -> str:
    """What was written, for people."""
    from bandrt_export.parity import summary

    lines = [
        f"{output}: {manifest.variant} model, {manifest.bands.n_bands} bands at {manifest.recipe.kpath.n_kpoints} k-points"
        f" ({manifest.recipe.kpath.scheme}), {manifest.precision}, opset {manifest.backend.opset}",
        f"trained on {manifest.training.n_crystals} crystals of {len(manifest.training.elements)} elements"
        f" {manifest.training.functional}".rstrip(),
    ]
    if manifest.parity is not None:
        lines.append(summary(manifest.parity))
    return "\n".join(lines)


def _log_progress(quiet: bool) -> None:
    logger = logging.getLogger("bandrt_export")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
