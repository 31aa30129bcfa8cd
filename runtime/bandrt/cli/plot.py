"""``bandrt plot``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from bandrt.bands.plot import FIGURE_FORMATS, require_matplotlib, save
from bandrt.cli import options
from bandrt.cli.progress import Progress
from bandrt.files import check_file, check_folder
from bandrt.results.choice import Chosen, choose, query_of
from bandrt.results.derived import check_replaced
from bandrt.results.file_names import file_names
from bandrt.results.parts import read_part
from bandrt.results.prediction import Prediction
from bandrt.results.store import PLOTS, undamaged

UNASKED = 100
"""Figures that are drawn without `--all`: half a minute."""


@click.command("plot", short_help="Draw predicted band structures.")
@click.argument("results", metavar="OUT", type=options.PATH)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--where", metavar="QUERY", help="Those of them whose columns of summary.csv satisfy this, see below.")
@click.option("--all", "everything", is_flag=True, help=f"All of OUT, if there is no ID; and more than {UNASKED} figures.")
@options.out("Figure file (*.png, *.svg or *.pdf, for one crystal) or folder; OUT/plots by default.")
@options.overwrite("Replace figures that are there already.")
@click.option("--format", "kind", type=click.Choice(FIGURE_FORMATS), help="png by default, or what the file name says.")
@click.option("--full-walk", is_flag=True, help="Draw segments as often as the walk passes them.")
@options.quiet()
def command(
    results: Path,
    ids: tuple[str, ...],
    where: str | None,
    everything: bool,
    out: Path | None,
    overwrite: bool,
    kind: str | None,
    full_walk: bool,
    quiet: bool,
) -> None:
    """Draw the band structures of some crystals in the results of `bandrt infer`, OUT.

    ID is the id of a crystal, or a pattern such as "mp-1*". The names of the figures are printed. Figures that are there already
    are an error, and nothing is drawn, unless --overwrite is given.

    QUERY compares columns with values by == != < <= > >=, joined by and, or and parentheses; none stands for a missing value, and
    a warning is compared by what comes before its colon. Columns that --keep carried through may be asked for, too, in quotes if
    their names have blanks.

    \b
    Examples:
      bandrt plot bands mp-149 "mp-1*"
      bandrt plot bands --where "band_gap_ev > 1 and is_direct == true"
      bandrt plot bands mp-149 -o silicon.pdf

    Exit codes: 0 drawn, 1 stopped by an error, 2 wrong usage.
    """
    if not (ids or where is not None or everything):
        raise click.UsageError("which crystals? give their ids, a --where, or --all")
    query = None if where is None else query_of(where, results)
    file = _figure_file(out, kind)
    require_matplotlib()
    chosen = choose(results, ids, query)
    if file is not None and len(chosen) > 1:
        raise click.UsageError(f"{file} is one figure and {len(chosen)} crystals are asked for; give a folder")
    if len(chosen) > UNASKED and not everything:
        raise click.UsageError(f"{len(chosen)} figures; add --all if you want so many, or choose fewer")
    folder = results / PLOTS if out is None else out
    if file is None:
        check_folder(folder)
    names = file_names((one.id for one in chosen), kind or FIGURE_FORMATS[0])
    paths = [file] if file is not None else [folder / name for name in names]
    for path in paths:
        check_file(path, overwrite=overwrite)
        if file is None:
            check_replaced(path)
    with Progress("figures", quiet=quiet) as progress:
        for number, (path, prediction) in enumerate(zip(paths, _read(chosen), strict=True), start=1):
            path.parent.mkdir(parents=True, exist_ok=True)
            save(prediction.band_structure, path, name=prediction.id, full_walk=full_walk)
            progress.echo(options.printed(path))
            progress.show(number, len(paths))


def _figure_file(out: Path | None, kind: str | None) -> Path | None:
    """The one figure that is asked for; None for a folder of figures."""
    if out is None or os.path.isdir(out) or not out.suffix:
        return None
    suffix = out.suffix.removeprefix(".").lower()
    if suffix not in FIGURE_FORMATS:
        raise click.UsageError(
            f"{out}: figures are {', '.join(f'*.{known}' for known in FIGURE_FORMATS)}; a new folder needs a name without a dot"
        )
    if kind not in (None, suffix):
        raise click.UsageError(f"{out} is no {kind} file")
    return out


def _read(chosen: Sequence[Chosen]) -> Iterator[Prediction]:
    """The predictions in the order in which they were chosen; one part is in memory."""
    held: dict[str, Prediction] = {}
    part: Path | None = None
    for one in chosen:
        if one.part != part:
            with undamaged():
                held, part = {prediction.id: prediction for prediction in read_part(one.part)}, one.part
        yield held[one.id]
