"""``bandrt verify``: an engine against what it was made from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bandrt.cli import EXIT_FATAL, EXIT_SOME_FAILED, options
from bandrt.cli.progress import Progress
from bandrt.engine import require_there as require_engine
from bandrt_export.output import held
from bandrt_train.cli.checkpoint_path import CHECKPOINT, require_model

if TYPE_CHECKING:
    from bandrt_export.verify import Verification


@click.command("verify", short_help="Compare an engine with what it was made from.")
@click.argument("model", type=options.ENGINE)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=options.PATH)
@click.option(
    "--against", required=True, metavar="CKPT|MODEL", type=CHECKPOINT,
    help="The checkpoint MODEL was made from (shipped: that of the shipped engine), or another engine, which runs on the CPU.",
)  # fmt: skip
@options.device(f"Where MODEL runs: {options.DEVICES}; by default the CPU, for a plan the first GPU.")
@click.option(
    "--limit-ev", type=options.Number(min=0.0, min_open=True), default=None, show_default="1e-4, released variant 1e-3",
    help="Largest energy difference, in eV; fp16 is judged by the mean (5 meV) and by the gaps (20 meV).",
)  # fmt: skip
@options.as_json("the outcome")
@options.quiet()
def command(
    model: Path, paths: tuple[Path, ...], against: Path, device: str | None, limit_ev: float | None, as_json: bool, quiet: bool
) -> int:
    """Compare the engine MODEL with what it was made from, crystal by crystal.

    PATH is what `bandrt infer` takes. Without a PATH, crystals of 1 to 40 atoms that come with bandrt are taken. Every crystal is
    compared in batches of several sizes.

    \b
    Examples:
      bandrt verify model.onnx --against run/checkpoint.pt
      bandrt verify model.plan --against model.onnx crystals

    Exit codes: 0 the two agree within the limits, 1 they do not, 2 wrong usage, 3 they do, but some inputs could not be used.
    """
    require_engine(model)
    require_model(against)
    from bandrt_export.verify import verify  # torch takes seconds to import

    with Progress("predictions compared", quiet=quiet) as progress:
        found = verify(model, against, paths, device=device, limit_ev=limit_ev, on_progress=progress.show)
    for failure in found.failures:
        click.echo(f"left out [{failure.code}]: {failure.message}", err=True)
    click.echo(options.json_text(_as_dict(found)) if as_json else "\n".join(_lines(found, model)))
    if not found.passed:
        return EXIT_FATAL
    return EXIT_SOME_FAILED if found.failures else 0


def _lines(found: Verification, model: Path) -> list[str]:
    report = found.report
    sizes = f"{report.n_atoms[0]} to {report.n_atoms[-1]} atoms, batches of {', '.join(map(str, report.batch_sizes))}"
    predictions = report.n_crystals * len(report.batch_sizes)
    doubt = report.max_uncertainty_change_ev
    rows = [
        ("compared", f"{report.n_crystals} crystals of {sizes}"),
        (
            "energies",
            f"differ by {held(report.max_energy_error_ev, report.limit_ev)} at most,"
            f" {held(report.mean_energy_error_ev, report.mean_limit_ev)} on average",
        ),
        ("gaps", f"change by {held(report.max_gap_change_ev, report.gap_limit_ev)} at most"),
        ("metals", f"{report.metal_flips} of {predictions} predictions flipped between metal and insulator"),
        *([("uncertainty", f"changes by {held(doubt, report.gap_limit_ev)} at most")] if doubt is not None else []),
        ("own error", _own_error(found)),
        ("verdict", "passed" if found.passed else "FAILED"),
    ]
    if not found.same_checkpoint:
        rows.append(("note", "the two were made from different checkpoints"))
    return [f"{model.name} against {report.reference}", *(f"  {name:<11}  {text}" for name, text in rows)]


def _own_error(found: Verification) -> str:
    """How wrong the model is by itself, so that a user sees whether the difference matters."""
    own, rounding = found.own_error_ev, found.report.mean_energy_error_ev
    if own is None:
        return "not known: the engine does not say"
    times = f", {own / rounding:.2g} times the mean difference" if rounding else ""
    return f"{own:.3g} eV on average on held-out crystals{times}"


def _as_dict(found: Verification) -> dict[str, object]:
    return {
        "passed": found.passed,
        "same_checkpoint": found.same_checkpoint,
        "own_energy_mae_ev": found.own_error_ev,
        "report": dataclasses.asdict(found.report),
        "left_out": [dataclasses.asdict(failure) for failure in found.failures],
    }
