"""``bandrt convert``."""

from __future__ import annotations

from pathlib import Path

import click

from bandrt.cli.progress import Progress
from bandrt.results.convert import FORMATS, SUFFIXES, Format, convert
from bandrt.results.store import CONVERTED


@click.command("convert")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--to", "kind", required=True, type=click.Choice(FORMATS), help="What to make of the results.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File to write; by default {', '.join(f'OUT/{name}' for name in CONVERTED.values())}.",
)
def command(out: Path, ids: tuple[str, ...], kind: Format, output: Path | None) -> None:
    """Write the results in OUT, or those of crystals ID..., to one file; its name is printed.

    pymatgen: a BandStructureSymmLine document a line, with its crystal and summary, which `bandrt train dataset` reads, too.
    hdf5: the arrays of all crystals, one after the other. parquet: a row for each crystal.
    """
    path = out / CONVERTED[kind] if output is None else output
    if not path.name.endswith(SUFFIXES[kind]):
        raise click.UsageError(f"{path} is no {kind} file; its name ends in {' or '.join(SUFFIXES[kind])}")
    with Progress("crystals") as progress:
        convert(out, path, kind, ids=ids, on_progress=progress.show)
    click.echo(str(path))
