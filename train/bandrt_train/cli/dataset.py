"""``bandrt train dataset``: band data to a data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.files import check_folder
from bandrt.manifest import BandRule
from bandrt.recipe import MAX_KPOINTS, Frame, KpathRecipe, Scheme
from bandrt_train.cli.conventions import conventions_options
from bandrt_train.model.config import ModelConfig
from bandrt_train.model.released.config import Conventions, ReleasedConfig
from bandrt_train.model.variants import CONFIGS, BandVariant

if TYPE_CHECKING:
    from bandrt_train.data.builder import BuildOptions, BuildReport
    from bandrt_train.data.dataset import Dataset

GAP_TABLES, RELEASED = (".csv", ".csv.gz"), ".pt"
"""Names of files that make a data set of their own."""


@click.command(short_help="Build a data set from band structures or a table of gaps.")
@click.argument("sources", nargs=-1, required=True, type=options.PATH)
@options.out("Data set folder to write, new or empty.", required=True)
@options.overwrite("Delete an earlier data set in the folder and build again.")
@click.option(
    "--variant", type=click.Choice(list(CONFIGS)), default="paper", show_default=True,
    help="Model to train on it: decides neighbours and points of the path.",
)  # fmt: skip
@click.option("--scheme", type=click.Choice(get_args(Scheme)), default="latimer_munro", show_default=True, help="K-path.")
@click.option(
    "--frame", type=click.Choice(get_args(Frame)), default="fractional", show_default=True,
    help="Coordinates of the k-points that a model is given: fractional, or Cartesian in 1/Å.",
)  # fmt: skip
@click.option("--n-kpoints", type=click.IntRange(2, MAX_KPOINTS), help="Points of the path; by default 256, for released 128.")
@click.option("--n-bands", type=click.IntRange(2), default=6, show_default=True, help="Bands around the Fermi level, even.")
@click.option("--validation", type=options.Number(0, 1), default=0.1, show_default=True, help="Share of formulas to validate on.")
@click.option("--test", type=options.Number(0, 1), default=0.1, show_default=True, help="Share of formulas held back.")
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Deals formulas to the splits.")
@click.option("--min-mapped", type=options.Number(0, 1), default=0.5, show_default=True, help="Refuse what covers less of it.")
@click.option("--resume", is_flag=True, help="Go on with the folder: keep what is built of the same documents, do the rest.")
@click.option(
    "--part-size", type=click.IntRange(1),
    help="Crystals in a file, 32 by default: what an interruption costs. From other files training draws in another order.",
)  # fmt: skip
@options.workers("Processes that make entries of documents.", default=1)
@partial(
    conventions_options,
    fields=("direction", "species_index"),
    only_for="--variant released and data set files of the released code",
)
@options.as_json("the header of the data set")
@options.quiet()
def dataset(
    sources: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    variant: BandVariant,
    scheme: Scheme,
    frame: Frame,
    n_kpoints: int | None,
    n_bands: int,
    validation: float,
    test: float,
    seed: int,
    min_mapped: float,
    resume: bool,
    part_size: int | None,
    workers: int,
    conventions: Conventions | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build a data set from band structures along lines, in files and folders.

    SOURCES hold pymatgen BandStructureSymmLine documents (.json, .json.gz, or one a line in .jsonl, .jsonl.gz) and VASP runs
    (vasprun.xml, vasprun.xml.gz). Tables (.csv, .csv.gz) with columns material_id, cif and band_gap_pbe_ev become a data set of
    gaps, for fit --gaps; a column weight may say what each counts, from 0 to 1. A single data set file (.pt) of the Bandformer
    authors' released code, graphs and bands without crystals, becomes one of its own; what it leaves unsaid are options.

    \b
    Examples:
      bandrt train dataset mp -o data --variant bloch --workers 4
      bandrt train dataset table.csv.gz -o gaps --variant bloch

    Exit codes: 0 built, documents that were refused are counted and listed; 1 stopped by an error, 2 wrong usage.
    """
    from bandrt_train.data.builder import build_dataset, build_gap_dataset, build_released_dataset
    from bandrt_train.data.dataset import DatasetRecipe, SplitRule
    from bandrt_train.data.recipes import default_recipe, unmet

    if overwrite and resume:
        raise click.UsageError("--overwrite starts again, --resume goes on; choose one")
    if n_bands % 2:
        raise click.UsageError(f"--n-bands is {n_bands}: an even number is needed, half of them below the Fermi level")
    if validation + test >= 1.0:
        raise click.UsageError(f"--validation and --test take {validation + test:.0%} of the data and leave none to train on")
    tables = [source for source in sources if source.name.lower().endswith(GAP_TABLES)]
    released = next((source for source in sources if source.name.lower().endswith(RELEASED)), None)
    if released is not None and len(sources) > 1:
        raise click.UsageError(f"{released} makes a data set of its own: give it alone")
    if tables and len(tables) < len(sources):
        raise click.UsageError(f"{tables[0]} makes a data set of gaps: give it alone, or with other tables of gaps")
    if released is not None and n_kpoints is not None:
        raise click.UsageError(f"{released} has its own k-points: --n-kpoints does not go with it")
    if released is None and variant != "released" and conventions is not None:
        raise click.UsageError(f"--edges and --species-index are for --variant released and {RELEASED} files of the released code")
    conventions = replace(conventions or Conventions(), scheme=scheme, frame=frame)
    kpath = KpathRecipe(scheme=scheme, n_kpoints=n_kpoints or CONFIGS[variant]().n_kpoints, frame=frame)
    featurization = default_recipe("released" if released is not None else variant, kpath, conventions)
    model = ReleasedConfig(species_index=conventions.species_index) if variant == "released" else ModelConfig(variant=variant)
    if missing := unmet(model, featurization):
        raise click.UsageError(f"the {variant} variant needs {missing}")
    bands, splits = BandRule(n_bands=n_bands, n_valence=n_bands // 2), SplitRule(seed, validation, test)
    recipe = DatasetRecipe(featurization, bands, splits, min_mapped)
    check_folder(out)
    try:
        with Progress("documents", quiet=quiet) as progress:
            how: BuildOptions = {
                "workers": workers,
                "resume": resume,
                "overwrite": overwrite,
                "on_progress": partial(_show, progress),
            }
            if part_size is not None:
                how["part_size"] = part_size
            if released is not None:
                built = build_released_dataset(released, out, recipe, conventions, **how)
            elif tables:
                built = build_gap_dataset(tables, out, recipe, **how)
            else:
                built = build_dataset(sources, out, recipe, **how)
    except KeyboardInterrupt:
        click.echo(f"{out}: what is built is kept; go on with the same command and --resume", err=True)
        raise
    say_done((out / "dataset.json").read_text(encoding="utf-8") if as_json else _summary(built))


def _show(progress: Progress, report: BuildReport) -> None:
    kept = f", {report.kept} kept" if report.kept else ""
    progress.show(report.documents, report.total, f"{report.refused} refused{kept}", before=report.kept)


def _summary(built: Dataset) -> str:
    from bandrt_train.data.gap_labels import METHOD

    header = built.header
    mapped = [record["mapping"]["mapped_fraction"] for record in built.records if record["method"] != METHOD]
    counts = ", ".join(f"{n} {split}" for split, n in header.counts.items())
    lines = [f"{header.n_entries} crystals in {built.folder}: {counts}"]
    if mapped:
        complete = sum(share == 1.0 for share in mapped)
        lines.append(f"{sum(mapped) / len(mapped):.2%} of their k-points have labels; {complete} crystals have all")
    elif built.records:
        lines.append("of these crystals the gap alone is known: for fit --gaps")
    refusals = built.refusals()
    if refusals:
        examples = {refusal.code: refusal.message for refusal in reversed(refusals)}  # the first of each
        lines.append(f"{header.n_refused} documents refused, all of them in {built.folder / 'refused.jsonl'}:")
        lines += [f"  {n} {code}, such as {examples[code]}" for code, n in Counter(r.code for r in refusals).most_common()]
    return "\n".join(lines)
