"""``bandrt train hamiltonian``: train and score learned tight-binding Hamiltonians."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.files import check_file, check_folder
from bandrt_train.cli.checkpoint_path import CHECKPOINT

if TYPE_CHECKING:
    from bandrt_train.data.dataset import Refusal, Split
    from bandrt_train.evaluation.hamiltonian.scores import Scored

SPLITS: dict[str, tuple[Split, ...]] = {"held-out": ("validation", "test"), "validation": ("validation",), "test": ("test",)}
LABELS = click.option(
    "--labels", multiple=True, required=True, type=options.PATH, help="Band structures, as for train dataset; may be repeated."
)
EXAMPLES = 5
"""Refusals that are told in full."""


@click.group(short_help="Train and score learned tight-binding Hamiltonians.")
def hamiltonian() -> None:
    """Train and score the variant that learns a tight-binding Hamiltonian and takes its eigenvalues.

    \b
    Example:
      bandrt train hamiltonian fit train/configs/hamiltonian.toml --labels train/labels -o run
      bandrt train hamiltonian score run --labels train/labels --beside fast
    """


@hamiltonian.command(short_help="Train a learned Hamiltonian.")
@click.argument("config", type=options.PATH)
@LABELS
@options.out("Run folder to write, new or empty.", required=True)
@options.overwrite("Delete an earlier run in the folder and start again.")
@click.option(
    "--tight-binding", type=options.PATH, help="Band structures of a cheaper method, learned before and beside the labels."
)
@click.option("--gaps", multiple=True, type=options.PATH, help="Table of gaps (.csv, .csv.gz) to learn from too; may be repeated.")
@click.option(
    "--folds", type=click.IntRange(2),
    help="Deal formulas to so many folds, in the place of the splits, and train once without each, into fold-0 and so on.",
)  # fmt: skip
@click.option("--fold", type=click.IntRange(0), help="Of --folds this one alone, from 0, into the run folder itself.")
@click.option("--seed", type=options.SEED, help="In the place of the configuration's, for the members of an ensemble.")
@options.threads("of training")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, to the same result; begin it if there is none.")
@options.quiet()
def fit(
    config: Path,
    labels: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    tight_binding: Path | None,
    gaps: tuple[Path, ...],
    folds: int | None,
    fold: int | None,
    seed: int | None,
    threads: int | None,
    resume: bool,
    quiet: bool,
) -> None:
    """Train the learned Hamiltonian that CONFIG, a TOML file, describes.

    Band structures are read as they are, without a data set: bands are learned where they were computed. The weights of the last
    epoch, averaged, are checkpoint.pt in the run folder, beside log.csv with a row for each epoch.

    \b
    Examples:
      bandrt train hamiltonian fit train/configs/hamiltonian.toml --labels train/labels -o run
      bandrt train hamiltonian fit train/configs/hamiltonian.toml --labels train/labels --folds 5 -o folds

    Exit codes: 0 trained, 1 stopped by an error, 2 wrong usage, 130 interrupted; then the same command with --resume goes on.
    """
    if overwrite and resume:
        raise click.UsageError("--overwrite starts again, --resume goes on; choose one")
    if fold is not None and (folds is None or fold >= folds):
        raise click.UsageError(f"--fold {fold} needs --folds of more than {fold}")
    check_folder(out)
    from dataclasses import replace

    import torch

    from bandrt_train.data.hamiltonian.bands import read_bands
    from bandrt_train.data.hamiltonian.folds import FoldRule, HeldOut
    from bandrt_train.data.hamiltonian.gaps import read_gaps
    from bandrt_train.fit.hamiltonian.config import read_hamiltonian_config
    from bandrt_train.fit.hamiltonian.run import NO_LABELS, fit_hamiltonian
    from bandrt_train.fit.run_folder import check_run_folder

    settings = read_hamiltonian_config(config)
    if seed is not None:
        settings = replace(settings, seed=seed)
    chosen = [fold] if fold is not None else list(range(folds)) if folds else [None]
    several = fold is None and folds is not None
    runs = {out / f"fold-{number}" if several else out: number for number in chosen}
    for folder in runs:
        check_run_folder(folder, resume=resume, overwrite=overwrite)
    if threads is not None:
        torch.set_num_threads(threads)
    found = read_bands(labels, settings.bands)
    cheap = (
        NO_LABELS
        if tight_binding is None
        else read_bands([tight_binding], settings.bands, max_atoms=settings.tight_binding.max_atoms)
    )
    _tell((*found.refusals, *cheap.refusals))
    elements = frozenset(number for one in found.bands for number in one.pairs.atomic_numbers.tolist())
    known = read_gaps(gaps, elements=elements, max_atoms=settings.gaps.max_atoms)
    click.echo(f"{len(found.bands)} labelled crystals, {len(cheap.bands)} of tight binding, {len(known)} gaps", err=True)
    for folder, number in runs.items():
        held_out = HeldOut(settings.splits, None if number is None or folds is None else FoldRule(folds, number))
        with Progress("epochs", quiet=quiet) as progress:

            def show(epoch: int, row: dict[str, float], bar: Progress = progress) -> None:
                bar.show(epoch, None, ", ".join(f"{name} {value:.3f}" for name, value in row.items() if "/" in name))

            try:
                result = fit_hamiltonian(
                    settings,
                    found,
                    folder,
                    held_out=held_out,
                    tight_binding=cheap,
                    gaps=known,
                    resume=resume,
                    overwrite=overwrite,
                    progress=show,
                )
            except KeyboardInterrupt:
                click.echo(f"{out}: to go on, give the same command with --resume", err=True)
                raise
        if result.validation_ev is not None:
            click.echo(f"validation split: bands counted by electrons are off by {result.validation_ev:.3f} eV")
        click.echo(f"checkpoint: {result.checkpoint}")


@hamiltonian.command(short_help="Score learned Hamiltonians on formulas that they held out.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=options.PATH)
@LABELS
@click.option(
    "--split", type=click.Choice(list(SPLITS)), default="held-out", show_default=True,
    help="Which formulas: those that a model did not learn, or one of the splits of them.",
)  # fmt: skip
@click.option(
    "--beside", type=CHECKPOINT, help="Checkpoint of six bands, or fast, to compare with where neither has learned."
)  # fmt: skip
@options.out("JSON file to write, with every crystal.")
@options.overwrite("Replace the file if it is there already.")
@options.threads("of the models")
@options.as_json("the scores")
@options.quiet()
def score(
    runs: tuple[Path, ...],
    labels: tuple[Path, ...],
    split: str,
    beside: Path | None,
    out: Path | None,
    overwrite: bool,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score learned Hamiltonians on labelled crystals of formulas that they have not learned.

    Each RUN is a run folder or a checkpoint. A crystal is predicted by all that held its formula out, as one ensemble: give the
    runs of all folds to score every label, or those of several seeds. `counted` is the error when the six bands are counted by
    electrons, `energy` when the model judges which bands are not empty, as labels do.

    --beside takes a checkpoint whose data set was split as by default, and compares on the crystals that neither has learned.

    \b
    Examples:
      bandrt train hamiltonian score run --labels train/labels --beside fast
      bandrt train hamiltonian score folds/fold-* --labels train/labels -o scores.json

    Exit codes: 0 scored, crystals that were left out are told; 1 stopped by an error, 2 wrong usage.
    """
    if out is not None:
        check_file(out, overwrite=overwrite)
    import torch

    from bandrt.files import replaced
    from bandrt.recipe import Recipe
    from bandrt_train.checkpoint import load_checkpoint
    from bandrt_train.evaluation.hamiltonian.cases import usable_cases
    from bandrt_train.evaluation.hamiltonian.scores import (
        by_class,
        direct_line,
        direct_rule,
        part,
        rows,
        score_beside,
        score_table,
        unseen_by,
    )
    from bandrt_train.evaluation.hamiltonian.scores import score as scored_by
    from bandrt_train.hamiltonian_checkpoint import load_hamiltonian

    if threads is not None:
        torch.set_num_threads(threads)
    members = [load_hamiltonian(_checkpoint_of(path)) for path in runs]
    other = None if beside is None else load_checkpoint(beside)
    left_out: list[Refusal] = []

    def held_out(formula: str) -> bool:
        return any(one.held_out.split(formula) in SPLITS[split] for one in members)

    cases = usable_cases(labels, Recipe() if other is None else other.recipe, left_out, wanted=held_out)
    with Progress("crystals", quiet=quiet) as progress:
        scored, refused = scored_by(members, cases, splits=SPLITS[split], progress=lambda n: progress.show(n, None, ""))
    left_out += refused
    _tell(left_out)
    values: dict[str, Any] = {
        "members": [one.sha256 for one in members],
        "split": split,
        "classes": by_class(scored),
        "direct": direct_rule(scored),
        "left_out": [{"id": one.id, "code": one.code, "message": one.message} for one in left_out],
        "crystals": rows(scored),
    }
    said = [f"{len(scored.cases)} crystals of formulas that were held out, eV:", score_table(values["classes"])]
    said.append(direct_line(values["direct"]))
    if other is not None and (both := unseen_by(other.training, scored.cases)).any():
        ours = part(scored, both)
        theirs: Scored = score_beside(other, ours.cases)
        values["beside"] = {"model": other.sha256, "own": by_class(ours), "other": by_class(theirs)}
        said += [f"\n{len(ours.cases)} of them that {beside} has not learned either:", score_table(values["beside"]["own"])]
        said += [f"\n{beside} on the same:", score_table(values["beside"]["other"])]
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replaced(out) as file:
            json.dump(values, file, ensure_ascii=False, indent=1, allow_nan=False)
    click.echo(options.json_text(values) if as_json else "\n".join(said))


@hamiltonian.command(short_help="Put several learned Hamiltonians into one checkpoint.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=options.PATH)
@LABELS
@click.option(
    "--split", type=click.Choice(list(SPLITS)), default="held-out", show_default=True,
    help="Which formulas the uncertainty is fitted to: those that the members did not learn, or one of the splits of them.",
)  # fmt: skip
@click.option(
    "--judge", "judges", multiple=True, type=options.PATH,
    help="Ensemble of the same kind that held out other formulas, as of a fold: the uncertainty is fitted to its errors there;"
    " may be repeated.",
)  # fmt: skip
@options.out("Checkpoint to write.", required=True)
@options.overwrite("Replace the checkpoint if it is there already.")
@options.threads("of the models")
@options.quiet()
def ensemble(
    runs: tuple[Path, ...],
    labels: tuple[Path, ...],
    split: str,
    judges: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    threads: int | None,
    quiet: bool,
) -> None:
    """Put trained Hamiltonians, the members of an ensemble, into one checkpoint.

    Each RUN is a run folder or a checkpoint, of the same configuration, data and held-out formulas, and of a seed of its own. The
    ensemble takes the mean of their Hamiltonians, so a crystal is solved once, and from how far they disagree the error to expect:
    uncertainty_ev. That is fitted to labelled crystals of formulas that the members held out, or, with --judge, to the many more
    that ensembles of all folds held out; then those that the members held out test it.

    \b
    Examples:
      bandrt train hamiltonian ensemble run-0 run-1 --labels train/labels -o ensemble.pt
      bandrt train hamiltonian ensemble run-0 run-1 --labels train/labels --judge fold-0.pt --judge fold-1.pt -o ensemble.pt

    Exit codes: 0 written, crystals that were left out are told; 1 stopped by an error, 2 wrong usage.
    """
    if len(runs) < 2:
        raise click.UsageError("one run makes no ensemble; give two or more")
    check_file(out, overwrite=overwrite)
    import torch

    from bandrt_train.evaluation.hamiltonian.scores import by_class, score_table
    from bandrt_train.evaluation.tables import shown
    from bandrt_train.fit.hamiltonian.combine import build_hamiltonian_ensemble

    if threads is not None:
        torch.set_num_threads(threads)
    with Progress("crystals", quiet=quiet) as progress:
        result = build_hamiltonian_ensemble(
            [_checkpoint_of(path) for path in runs],
            labels,
            out,
            judges=judges,
            splits=SPLITS[split],
            progress=lambda n: progress.show(n, None, ""),
        )
    _tell(result.refusals)
    rule, found = result.ensemble, result.calibration
    said = [
        f"{len(result.scored.cases)} crystals of formulas that were held out, eV:",
        score_table(by_class(result.scored)),
        f"uncertainty {rule.floor_ev:.3g} eV + {rule.slope:.3g} times the disagreement, fitted to {rule.n_crystals} crystals;"
        f" of what the members held out {found.expected_ev:.3f} eV expected, {found.found_ev:.3f} eV found, rank correlation"
        f" {shown(found.spearman)}",
        f"checkpoint: {result.checkpoint}",
    ]
    say_done("\n".join(said))


def _checkpoint_of(run: Path) -> Path:
    """The checkpoint in a run folder, or the file itself."""
    return run / "checkpoint.pt" if run.is_dir() else run


def _tell(refusals: Sequence[Refusal]) -> None:
    """Say on standard error what could not be used."""
    for one in refusals[:EXAMPLES]:
        click.echo(f"left out [{one.code}]: {one.message}", err=True)
    if len(refusals) > EXAMPLES:
        click.echo(f"and {len(refusals) - EXAMPLES} more", err=True)
