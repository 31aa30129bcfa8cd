"""``bandrt export``: checkpoint to engine."""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.engine import ONNX_SUFFIX, PLAN_SUFFIX, SHIPPED_ENGINES, read_manifest
from bandrt.engine.plan.file import sidecar
from bandrt.files import check_file, scratch_folder
from bandrt.manifest import MAX_BANDS, BandRule, Manifest, Precision, Solver
from bandrt.quoting import printable
from bandrt_export import triton as repository
from bandrt_export.output import describe
from bandrt_train.cli.checkpoint_path import CHECKPOINT, require_model
from bandrt_train.cli.conventions import conventions_options
from bandrt_train.model.released.config import Conventions
from bandrt_train.weights import SHIPPED_CHECKPOINTS

if TYPE_CHECKING:
    from bandrt.engine.plan.tensorrt import PlanBackend

PLAN_OPTIONS = ("--backend", "--target", "--max-atoms", "--max-batch", "--refittable")


class _Choices(NamedTuple):
    """How an engine is made; what was not asked for is None."""

    precision: Precision | None
    solver: Solver | None
    hand_over: str | None
    bands: int | None
    limit_ev: float | None
    backend: PlanBackend | None
    targets: tuple[str, ...]
    max_atoms: int | None
    max_batch: int | None
    refittable: bool
    conventions: Conventions | None


@click.command("export", short_help="Turn a checkpoint into a verified engine.")
@click.argument("source", type=CHECKPOINT, metavar="CKPT")
@options.out("Engine to write: model.onnx, or model.plan for TensorRT.")
@click.option(
    "--triton", type=options.OutPath(), metavar="DIR",
    help="In place of -o: a model repository for Triton to write into, with a model that takes the text of CIFs and answers in"
    " JSON, and the engine itself.",
)  # fmt: skip
@click.option("--python", metavar="PYTHON", help="For --triton: the interpreter with bandrt on the server; this one by default.")
@click.option(
    "--trtexec", is_flag=True,
    help="In place of -o: print the line by which trtexec of TensorRT builds a plan of the ONNX engine CKPT, with the shapes of all"
    " inputs.",
)  # fmt: skip
@options.overwrite(
    "Replace the engine if it is there already; of models in the repository, version 1 and config.pbtxt. Their other versions stay,"
    " and a config.pbtxt that was edited is kept as config.pbtxt.before."
)
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
@click.option("--refittable", is_flag=True, help="For a plan: its weights may be changed later with --refit; needs a GPU.")
@click.option(
    "--refit", type=options.PATH, metavar="PLAN",
    help="Write this plan with the weights of CKPT, of the same shape, in place of building one; needs a GPU.",
)  # fmt: skip
@conventions_options
@options.quiet()
def command(
    source: Path,
    out: Path | None,
    triton: Path | None,
    python: str | None,
    trtexec: bool,
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
    refittable: bool,
    refit: Path | None,
    conventions: Conventions | None,
    quiet: bool,
) -> None:
    """Turn the checkpoint CKPT into a verified engine, or into a model repository for Triton.

    CKPT is a checkpoint of `bandrt train`, one of the authors' released code, or `fast` or `accurate` for that of the engine which
    comes with bandrt. The engine is compared with the checkpoint's model on real crystals of several sizes, and written only if it
    agrees within the limits. A plan is built from such an ONNX engine; CKPT may also be one that is already there.

    A checkpoint of the released code does not say how its data were laid out; --edges, --frame, --species-index and
    --scheme say it. They are written into the engine. A wrong choice gives wrong bands, and no error.

    \b
    Examples:
      bandrt export run/checkpoint.pt -o model.onnx
      bandrt export shipped -o model.plan --backend tensorrt-rtx
      bandrt export shipped --triton models
      bandrt export model.onnx --trtexec
      bandrt export run/checkpoint.pt --refit old.plan -o new.plan

    Exit codes: 0 written, 1 stopped by an error, such as an engine that differs too much, 2 wrong usage.
    """
    if (out is not None) + (triton is not None) + trtexec != 1:
        raise click.UsageError("name the engine to write with -o, or a model repository with --triton, or --trtexec")
    if python is not None and triton is None:
        raise click.UsageError("--python is for --triton")
    if refit is not None and (out is None or out.suffix.lower() != PLAN_SUFFIX):
        raise click.UsageError("--refit writes a plan: name it *.plan with -o")
    require_model(source)
    choices = _Choices(
        precision, solver, hand_over, bands, limit_ev, backend, targets, max_atoms, max_batch, refittable, conventions
    )
    if trtexec:
        _print_trtexec(source, choices)
    elif triton is not None:
        _to_triton(source, triton, choices, python=python, overwrite=overwrite, quiet=quiet)
    elif out is not None:
        for path in {ONNX_SUFFIX: (out,), PLAN_SUFFIX: (out, sidecar(out))}.get(out.suffix.lower(), ()):
            check_file(path, overwrite=overwrite)
        make = _to_engine if refit is None else partial(_refitted, plan=refit)
        made = make(source, out, choices, quiet=quiet)
        say_done(describe(made, out))


def _print_trtexec(source: Path, choices: _Choices) -> None:
    """Print the line for an engine that is there already, such as one that ships."""
    sizes = {"max_atoms": choices.max_atoms, "max_batch": choices.max_batch}
    if any(choices._replace(max_atoms=None, max_batch=None)):
        raise click.UsageError("--trtexec is of an engine as it is; only --max-atoms and --max-batch go with it")
    engine = {path: SHIPPED_ENGINES[name] for name, path in SHIPPED_CHECKPOINTS.items()}.get(source, source)
    if engine.suffix.lower() != ONNX_SUFFIX:
        raise click.UsageError(f"--trtexec: {engine.name} is no ONNX engine; export it first, and give the ONNX engine")
    from bandrt_export.plan.trtexec import trtexec

    say_done(trtexec(engine, **sizes))


def _to_triton(source: Path, out: Path, choices: _Choices, *, python: str | None, overwrite: bool, quiet: bool) -> None:
    """Write a model repository; an engine that is there already, such as one that ships, is taken as it is."""
    repository.check(out, overwrite=overwrite)
    is_engine = source.suffix.lower() in (ONNX_SUFFIX, PLAN_SUFFIX)
    if not any(choices):
        shipped = {path: SHIPPED_ENGINES[name] for name, path in SHIPPED_CHECKPOINTS.items()}
        source = shipped.get(source, source)
        is_engine = is_engine or source in shipped.values()
    if is_engine and not any(choices):
        written = repository.write(source, out, python=python)
    elif choices.backend == "tensorrt-rtx":
        raise click.UsageError("Triton runs no plans of tensorrt-rtx; give --backend tensorrt, or none for an ONNX engine")
    else:
        with scratch_folder() as folder:
            engine = folder / f"model{ONNX_SUFFIX if choices.backend is None else PLAN_SUFFIX}"
            _to_engine(source, engine, choices, quiet=quiet)
            written = repository.write(engine, out, python=python)
    for kept in written.kept:
        edited = kept.with_name(repository.CONFIG)
        click.echo(
            printable(f"note: {edited} was edited; it is kept as {kept.name}, and the new one has none of its changes"), err=True
        )
    if python is not None and shutil.which(python) is None:
        click.echo(printable(f"note: there is no {python} on this machine; the server needs one, with bandrt"), err=True)
    say_done(f"{describe(written.manifest, out)}\nmodels {repository.CRYSTALS} (texts of CIFs to JSON) and {repository.ARRAYS}")


def _to_engine(source: Path, out: Path, choices: _Choices, *, quiet: bool) -> Manifest:
    """Make an engine of the kind that its name says."""
    _log_progress(quiet)
    kind = out.suffix.lower()
    if kind == ONNX_SUFFIX:
        given = (choices.backend, choices.targets, choices.max_atoms, choices.max_batch, choices.refittable)
        for name, value in zip(PLAN_OPTIONS, given, strict=True):
            if value:
                raise click.UsageError(f"{name} is for plans; {out.name} is none")
        if source.suffix.lower() == ONNX_SUFFIX:
            raise click.UsageError(f"{source.name} is an ONNX engine already; give the checkpoint that it was made from")
        return _export_onnx(source, out, choices, quiet=quiet)
    if kind != PLAN_SUFFIX:
        raise click.UsageError(f"{out.name}: name the engine *.onnx or *.plan")
    return _export_plan(source, out, choices, quiet=quiet)


def _refitted(source: Path, out: Path, choices: _Choices, *, plan: Path, quiet: bool) -> Manifest:
    """Write a plan with other weights; what else is to be chosen, the plan has."""
    if any(choices._replace(limit_ev=None, conventions=None)):
        raise click.UsageError("--refit takes over all that the plan has; leave out options of how an engine is made")
    from bandrt_export.plan import refit

    _log_progress(quiet)
    manifest = refit.prepare(plan, out)
    if source.suffix.lower() == ONNX_SUFFIX:
        return refit.refit(plan, source, out)
    with scratch_folder() as folder:
        model = folder / f"{out.stem}{ONNX_SUFFIX}"
        _export_onnx(source, model, choices._replace(**_taken_over(manifest)), quiet=quiet)
        return refit.refit(plan, model, out)


def _taken_over(manifest: Manifest) -> dict[str, Any]:
    """Choices by which a checkpoint becomes an engine like that of a plan."""
    learned = manifest.solver is not None
    return {
        "precision": manifest.precision,
        "solver": manifest.solver,
        "hand_over": "none" if manifest.hand_over is None else manifest.hand_over.engine,
        "bands": manifest.bands.n_bands if learned else None,
    }


def _export_plan(source: Path, out: Path, choices: _Choices, *, quiet: bool) -> Manifest:
    if choices.solver == "lapack":
        raise click.UsageError("a plan holds its solver itself; leave out --solver lapack")
    if choices.backend is None:
        raise click.UsageError("a plan needs --backend: tensorrt-rtx (builds without a GPU), or tensorrt (builds on the GPU)")
    is_made = source.suffix.lower() == ONNX_SUFFIX
    if is_made:
        _require_as_it_is(source, choices)
    from bandrt_export.plan.build import build_plan, prepare
    from bandrt_export.plan.profiles import DEFAULT_MAX_ATOMS, DEFAULT_MAX_BATCH

    sizes = {"max_atoms": choices.max_atoms or DEFAULT_MAX_ATOMS, "max_batch": choices.max_batch or DEFAULT_MAX_BATCH}
    refittable = choices.refittable
    prepare(out, backend=choices.backend, targets=choices.targets, refittable=refittable)
    if is_made:
        return build_plan(source, out, backend=choices.backend, targets=choices.targets, refittable=refittable, **sizes)
    with scratch_folder() as folder:
        model = folder / f"{out.stem}{ONNX_SUFFIX}"
        _export_onnx(source, model, choices, default_solver="graph", quiet=quiet)
        return build_plan(model, out, backend=choices.backend, targets=choices.targets, refittable=refittable, **sizes)


def _export_onnx(source: Path, out: Path, choices: _Choices, *, default_solver: Solver = "lapack", quiet: bool) -> Manifest:
    from bandrt_export.onnx import export_onnx  # torch takes seconds to import

    with Progress("predictions compared", quiet=quiet) as progress:
        return export_onnx(
            source,
            out,
            precision=choices.precision or "fp32",
            solver=choices.solver,
            default_solver=default_solver,
            hand_over=choices.hand_over,
            bands=choices.bands,
            conventions=choices.conventions,
            limit_ev=choices.limit_ev,
            on_progress=progress.show,
        )


def _require_as_it_is(model: Path, choices: _Choices) -> None:
    """An ONNX engine has its precision, solver, hand-over and bands, and has passed its gate."""
    manifest = read_manifest(model)
    other = "none" if manifest.hand_over is None else manifest.hand_over.engine
    for option, given, found in (
        ("precision", choices.precision, manifest.precision),
        ("solver", choices.solver, manifest.solver),
        ("hand-over", choices.hand_over, other),
        ("bands", choices.bands, manifest.bands.n_bands),
    ):
        if given not in (None, found):
            raise click.UsageError(f"{model.name} has {option} {found}; export the checkpoint with --{option} {given}")
    if choices.limit_ev is not None:
        raise click.UsageError(f"--limit-ev is for checkpoints; {model.name} was verified when it was exported")


def _log_progress(quiet: bool) -> None:
    logger = logging.getLogger("bandrt_export")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
