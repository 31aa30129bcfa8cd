"""``bandrt export``: checkpoint to engine."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.engine import ONNX_SUFFIX, PLAN_SUFFIX, SHIPPED_ENGINES, read_manifest
from bandrt.engine.plan.file import sidecar
from bandrt.files import check_file, scratch_folder
from bandrt.manifest import MAX_BANDS, BandRule, Manifest, Precision, Solver
from bandrt_export.output import describe
from bandrt_train.cli.checkpoint_path import CHECKPOINT, require_model
from bandrt_train.cli.conventions import conventions_options
from bandrt_train.model.released.config import Conventions

if TYPE_CHECKING:
    from bandrt.engine.plan.tensorrt import PlanBackend

PLAN_OPTIONS = ("--backend", "--target", "--max-atoms", "--max-batch")


@click.command("export", short_help="Turn a checkpoint into a verified engine.")
@click.argument("source", type=CHECKPOINT, metavar="CKPT")
@options.out("Engine to write: model.onnx, or model.plan for TensorRT.", required=True)
@options.overwrite("Replace the engine if it is there already.")
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16"]),
    help="Of the matrix products; all else is fp32. fp32 by default.",
)  # fmt: skip
@click.option(
    "--solver", type=click.Choice(["graph", "lapack"]),
    help="Of a learned Hamiltonian: lapack, in the runtime on the CPU, as ONNX engines have it by default; graph, in the engine"
    " itself, as all plans have it.",
)  # fmt: skip
@click.option(
    "--hand-over", type=click.Choice([*SHIPPED_ENGINES, "none"]),
    help="Engine that predicts crystals of elements which this one knows too little of: V to Ni, and all of which it was trained on"
    " no bands. fast for a learned Hamiltonian by default, none for others.",
)  # fmt: skip
@click.option(
    "--bands", type=click.IntRange(BandRule().n_bands, MAX_BANDS), metavar="N",
    help="Of a learned Hamiltonian: bands that the engine gives, an even number, half of them below the Fermi level; 6 by default.",
)  # fmt: skip
@click.option(
    "--limit-ev", type=options.Number(min=0.0, min_open=True),
    help="Largest energy difference from the checkpoint's model, in eV. For fp32 1e-4 by default, 1e-3 for the variants released"
    " and hamiltonian; fp16 is judged by the mean (5 meV) and by the gaps (20 meV).",
)  # fmt: skip
@click.option("--backend", type=click.Choice(["tensorrt", "tensorrt-rtx"]), help="For a plan: which package builds and runs it.")
@click.option(
    "--target", "targets", multiple=True, metavar="SM",
    help="For a tensorrt-rtx plan: a GPU generation, e.g. sm89; may be repeated; all by default.",
)  # fmt: skip
@click.option("--max-atoms", type=click.IntRange(1), help="For a plan: atoms of the largest crystal.")
@click.option("--max-batch", type=click.IntRange(1), help="For a plan: crystals in a batch.")
@conventions_options
@options.quiet()
def command(
    source: Path,
    out: Path,
    overwrite: bool,
    precision: Precision | None,
    solver: Solver | None,
    hand_over: str | None,
    bands: int | None,
    limit_ev: float | None,
    backend: PlanBackend | None,
    targets: tuple[str, ...],
    max_atoms: int | None,
    max_batch: int | None,
    conventions: Conventions | None,
    quiet: bool,
) -> None:
    """Turn the checkpoint CKPT into a verified engine.

    CKPT is a checkpoint of `bandrt train`, one of the authors' released code, or `fast` or `accurate` for that of the engine which
    comes with bandrt. The engine is compared with the checkpoint's model on real crystals of several sizes, and written only if it
    agrees within the limits. A plan is built from such an ONNX engine; CKPT may also be one that is already there.

    A checkpoint of the released code does not say how its data were laid out; --edges, --frame, --species-index and
    --scheme say it. They are written into the engine. A wrong choice gives wrong bands, and no error.

    \b
    Examples:
      bandrt export run/checkpoint.pt -o model.onnx
      bandrt export shipped -o model.plan --backend tensorrt-rtx

    Exit codes: 0 written, 1 stopped by an error, such as an engine that differs too much, 2 wrong usage.
    """
    require_model(source)
    kind = out.suffix.lower()
    for path in {ONNX_SUFFIX: (out,), PLAN_SUFFIX: (out, sidecar(out))}.get(kind, ()):
        check_file(path, overwrite=overwrite)
    _log_progress(quiet)
    if kind == ONNX_SUFFIX:
        for name, value in zip(PLAN_OPTIONS, (backend, targets, max_atoms, max_batch), strict=True):
            if value:
                raise click.UsageError(f"{name} is for plans; {out.name} is none")
        if source.suffix.lower() == ONNX_SUFFIX:
            raise click.UsageError(f"{source.name} is an ONNX engine already; give the checkpoint that it was made from")
        manifest = _export_onnx(
            source,
            out,
            precision=precision,
            solver=solver,
            hand_over=hand_over,
            bands=bands,
            conventions=conventions,
            limit_ev=limit_ev,
            quiet=quiet,
        )
    elif kind == PLAN_SUFFIX:
        if solver == "lapack":
            raise click.UsageError("a plan holds its solver itself; leave out --solver lapack")
        if backend is None:
            raise click.UsageError("a plan needs --backend: tensorrt-rtx (builds without a GPU), or tensorrt (builds on the GPU)")
        from bandrt_export import plan

        sizes = {"max_atoms": max_atoms or plan.DEFAULT_MAX_ATOMS, "max_batch": max_batch or plan.DEFAULT_MAX_BATCH}
        plan.prepare(out, backend=backend, targets=targets)
        if source.suffix.lower() == ONNX_SUFFIX:
            _require_as_it_is(source, precision, solver, hand_over, bands, limit_ev)
            manifest = plan.build_plan(source, out, backend=backend, targets=targets, **sizes)
        else:
            with scratch_folder() as folder:
                model = folder / f"{out.stem}.onnx"
                _export_onnx(
                    source,
                    model,
                    precision=precision,
                    solver=solver,
                    default_solver="graph",
                    hand_over=hand_over,
                    bands=bands,
                    conventions=conventions,
                    limit_ev=limit_ev,
                    quiet=quiet,
                )
                manifest = plan.build_plan(model, out, backend=backend, targets=targets, **sizes)
    else:
        raise click.UsageError(f"{out.name}: name the engine *.onnx or *.plan")
    say_done(describe(manifest, out))


def _export_onnx(
    source: Path,
    out: Path,
    *,
    precision: Precision | None,
    solver: Solver | None,
    default_solver: Solver = "lapack",
    hand_over: str | None,
    bands: int | None,
    conventions: Conventions | None,
    limit_ev: float | None,
    quiet: bool,
) -> Manifest:
    from bandrt_export.onnx import export_onnx  # torch takes seconds to import

    with Progress("predictions compared", quiet=quiet) as progress:
        return export_onnx(
            source,
            out,
            precision=precision or "fp32",
            solver=solver,
            default_solver=default_solver,
            hand_over=hand_over,
            bands=bands,
            conventions=conventions,
            limit_ev=limit_ev,
            on_progress=progress.show,
        )


def _require_as_it_is(
    model: Path,
    precision: Precision | None,
    solver: Solver | None,
    hand_over: str | None,
    bands: int | None,
    limit_ev: float | None,
) -> None:
    """An ONNX engine has its precision, solver, hand-over and bands, and has passed its gate."""
    manifest = read_manifest(model)
    other = "none" if manifest.hand_over is None else manifest.hand_over.engine
    for option, given, found in (
        ("precision", precision, manifest.precision),
        ("solver", solver, manifest.solver),
        ("hand-over", hand_over, other),
        ("bands", bands, manifest.bands.n_bands),
    ):
        if given not in (None, found):
            raise click.UsageError(f"{model.name} has {option} {found}; export the checkpoint with --{option} {given}")
    if limit_ev is not None:
        raise click.UsageError(f"--limit-ev is for checkpoints; {model.name} was verified when it was exported")


def _log_progress(quiet: bool) -> None:
    logger = logging.getLogger("bandrt_export")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
