"""``bandrt convert``."""

from __future__ import annotations

from pathlib import Path

import click

from bandrt.cli import options, say_done
from bandrt.cli.progress import Progress
from bandrt.files import check_file
from bandrt.results.choice import choose, query_of
from bandrt.results.convert import OUTPUT_FORMATS, SUFFIXES, OutputFormat, convert, kind_of
from bandrt.results.derived import check_replaced
from bandrt.results.store import CONVERTED, existing_parts

_SUFFIXES = ", ".join(f"{kind} ({', '.join(endings)})" for kind, endings in SUFFIXES.items())


@click.command("convert", short_help="Write results as pymatgen documents, HDF5 or Parquet.")
@click.argument("results", metavar="OUT", type=options.PATH)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--to", "kind", type=click.Choice(OUTPUT_FORMATS), help=f"What to make of the results: {_SUFFIXES}; by default what -o ends in."
)
@click.option("--where", metavar="QUERY", help="Those whose columns of summary.csv satisfy this, as in `bandrt plot`.")
@options.out(f"File to write; by default {', '.join(f'OUT/{name}' for name in CONVERTED.values())}.")
@options.overwrite("Replace the file if it is there already.")
@options.quiet()
def command(
    results: Path,
    ids: tuple[str, ...],
    kind: OutputFormat | None,
    where: str | None,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Write the results in OUT, or those of crystals ID..., to one file.

    Its name is printed. ID is the id of a crystal, or a pattern such as "mp-1*".

    pymatgen: a BandStructureSymmLine document a line, with its crystal and summary, which `bandrt train dataset` reads, too;
    .jsonl is not compressed. hdf5: the arrays of all crystals, one after the other. parquet: a row for each crystal.

    \b
    Examples:
      bandrt convert bands --to parquet
      bandrt convert bands --where "band_gap_ev > 1" -o gapped.jsonl.gz

    Exit codes: 0 written, 1 stopped by an error, 2 wrong usage.
    """
    kind, path = _target(results, kind, out)
    existing_parts(results)
    query = None if where is None else query_of(where, results)
    wanted = [one.id for one in choose(results, ids, query)] if ids or query is not None else ()
    check_file(path, overwrite=overwrite)
    if out is None:
        check_replaced(path)
    with Progress("crystals", quiet=quiet) as progress:
        convert(results, path, kind, ids=wanted, on_progress=progress.show)
    say_done(options.printed(path))


def _target(results: Path, kind: OutputFormat | None, out: Path | None) -> tuple[OutputFormat, Path]:
    """What to write and where: either may say the other."""
    if out is None:
        if kind is None:
            raise click.UsageError(f"say what to make of the results with --to, or which file with -o: {_SUFFIXES}")
        return kind, results / CONVERTED[kind]
    asked = kind_of(out)
    if asked is None or kind not in (None, asked):
        wanted = _SUFFIXES if kind is None else " or ".join(SUFFIXES[kind])
        raise click.UsageError(f"{out} is no {'file of results' if kind is None else f'{kind} file'}; its name ends in {wanted}")
    return asked, out
