"""``bandrt train``: band data to a data set, a data set to a checkpoint, and what a model is worth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from bandrt.manifest import BandRule
from bandrt.recipe import Frame, KpathRecipe, Scheme
from bandrt_train.fit_cli import fit
from bandrt_train.model_config import TrainableVariant

if TYPE_CHECKING:
    from bandrt_train.dataset import Dataset, Split
    from bandrt_train.dataset_builder import Result

EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def group() -> None:
    """Train models on DFT band structures: dataset, fit, evaluate."""


@group.command()
@click.argument("sources", nargs=-1, required=True, type=EXISTING)
@click.option("-o", "--output", required=True, type=FOLDER, help="Data set folder to write, new or empty.")
@click.option(
    "--variant", type=click.Choice(get_args(TrainableVariant)), default="paper", show_default=True,
    help="Model to train on it: decides the neighbours.",
)  # fmt: skip
@click.option("--scheme", type=click.Choice(get_args(Scheme)), default="latimer_munro", show_default=True, help="K-path.")
@click.option(
    "--frame", type=click.Choice(get_args(Frame)), default="fractional", show_default=True,
    help="Coordinates of the k-points that a model is given: fractional, or Cartesian in 1/Å.",
)  # fmt: skip
@click.option("--n-kpoints", type=click.IntRange(2), default=256, show_default=True, help="Points of the path.")
@click.option("--n-bands", type=click.IntRange(2), default=6, show_default=True, help="Bands around the Fermi level, even.")
@click.option("--validation", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of formulas to validate on.")
@click.option("--test", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of formulas held back.")
@click.option("--seed", default=0, show_default=True, help="Deals formulas to the splits.")
@click.option("--min-mapped", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Refuse what covers less of it.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print the header of the data set as JSON.")
def dataset(
    sources: tuple[Path, ...],
    output: Path,
    variant: TrainableVariant,
    scheme: Scheme,
    frame: Frame,
    n_kpoints: int,
    n_bands: int,
    validation: float,
    test: float,
    seed: int,
    min_mapped: float,
    workers: int,
    as_json: bool,
) -> None:
    """Build a data set from pymatgen BandStructureSymmLine documents (JSON, or one a line), in files and folders.

    A single table (.csv, .csv.gz) with columns material_id, cif and band_gap_pbe_ev becomes a data set of gaps, for fit --gaps.
    """
    from bandrt_train.dataset import DatasetRecipe, SplitRule
    from bandrt_train.dataset_builder import build_dataset, build_gap_dataset
    from bandrt_train.gap_labels import SUFFIXES
    from bandrt_train.recipes import default_recipe, unmet

    if n_bands % 2:
        raise click.UsageError(f"--n-bands is {n_bands}: an even number is needed, half of them below the Fermi level")
    if validation + test >= 1.0:
        raise click.UsageError(f"--validation and --test take {validation + test:.0%} of the data and leave none to train on")
    featurization = default_recipe(variant, KpathRecipe(scheme=scheme, n_kpoints=n_kpoints, frame=frame))
    if missing := unmet(variant, featurization):
        raise click.UsageError(f"the {variant} variant needs {missing}")
    recipe = DatasetRecipe(
        featurization,
        BandRule(n_bands=n_bands, n_valence=n_bands // 2),
        SplitRule(seed, validation, test),
        min_mapped,
    )
    if any(source.name.endswith(SUFFIXES) for source in sources):
        if len(sources) > 1:
            raise click.UsageError("a table of gaps makes a data set of its own: give it alone")
        built = build_gap_dataset(sources[0], output, recipe, workers=workers, progress=_counted)
    else:
        built = build_dataset(sources, output, recipe, workers=workers, progress=_counted)
    click.echo((output / "dataset.json").read_text(encoding="utf-8") if as_json else _summary(built))


group.add_command(fit)


@group.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="validation", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate(model: Path, data: Path, split: Split, as_json: bool) -> None:
    """Compare MODEL, a checkpoint or an engine, with the labels of DATA, beside predicting the training mean."""
    from bandrt_train.dataset import Dataset
    from bandrt_train.evaluate import evaluate as judge
    from bandrt_train.evaluate import text_table, training_mean
    from bandrt_train.predictions import EvaluationError, predict_entries

    opened = Dataset(data)
    entries, training = opened.split(split), opened.split("train")
    if not entries or not training:
        raise EvaluationError("empty-split", f"{data}: the {split if training else 'train'} split has no crystals")
    energies, rule, domain = predict_entries(model, opened, entries)
    targets = [entry.targets for entry in entries]
    evaluations = {"model": judge(energies, targets, rule)}
    if any(entry.targets.mask.any() for entry in training):
        mean = training_mean([entry.targets for entry in training], len(entries))
        evaluations["training mean"] = judge(mean, targets, rule)
    if opened.header.fingerprint not in (domain.data_sha256, domain.gaps_sha256):
        click.echo(f"note: {model} was trained on other data than {data}; formulas of this split may be among them", err=True)
    if as_json:
        values: dict[str, Any] = {name: one.as_dict() for name, one in evaluations.items()}
        click.echo(json.dumps({"split": split, "fingerprint": opened.header.fingerprint, **values}, indent=1))
    else:
        click.echo(f"{split} split of {data}, {len(entries)} crystals")
        click.echo(text_table(evaluations))


def _counted(results: Iterable[Result]) -> Iterator[Result]:
    from tqdm import tqdm

    return iter(tqdm(results, unit="document", disable=None))


def _summary(built: Dataset) -> str:
    from bandrt_train.gap_labels import METHOD

    header = built.header
    mapped = [record["mapping"]["mapped_fraction"] for record in built.records if record["method"] != METHOD]
    counts = ", ".join(f"{n} {split}" for split, n in header.counts.items())
    lines = [f"{header.n_entries} crystals in {built.folder}: {counts}"]
    if mapped:
        complete = sum(share == 1.0 for share in mapped)
        lines.append(f"{sum(mapped) / len(mapped):.2%} of their k-points have labels; {complete} crystals have all")
    else:
        lines.append("of these crystals the gap alone is known: for fit --gaps")
    reasons = Counter(refusal.code for refusal in built.refusals())
    if reasons:
        lines.append(f"{header.n_refused} documents refused: " + ", ".join(f"{n} {code}" for code, n in sorted(reasons.items())))
    return "\n".join(lines)
