"""``bandrt plot``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from bandrt.bands.plot import FORMATS, save
from bandrt.results.store import PLOTS, read_one


@click.command("plot")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Figure file (for one ID) or folder; OUT/plots by default.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="png by default, or what the file name says.")
@click.option("--full-walk", is_flag=True, help="Draw segments as often as the walk passes them.")
def command(out: Path, ids: tuple[str, ...], output: Path | None, kind: str | None, full_walk: bool) -> None:
    """Draw the band structures of crystals ID... from the results in OUT; the names of the figures are printed."""
    as_file = output is not None and output.suffix.lstrip(".").lower() in FORMATS and not output.is_dir()
    if as_file and len(ids) > 1:
        raise click.UsageError(f"{output} is one figure and {len(ids)} ids are asked for; give a folder")
    if as_file and output is not None and kind not in (None, output.suffix.lstrip(".").lower()):
        raise click.UsageError(f"{output} is no {kind} file")
    for name in ids:
        bands = read_one(out, name)
        folder = out / PLOTS if output is None else output
        path = output if as_file and output is not None else folder / f"{_file_name(name)}.{kind or 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(bands, path, name=name, full_walk=full_walk)
        click.echo(str(path))


def _file_name(name: str) -> str:
    """An id without what cannot be in a file name."""
    return re.sub(r"[/\\:\0]", "_", name).lstrip(".") or "_"
