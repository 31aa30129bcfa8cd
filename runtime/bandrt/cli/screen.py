"""``bandrt screen``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bandrt.cli import options, say_done
from bandrt.cli.criteria import criteria_options
from bandrt.quoting import counted

if TYPE_CHECKING:
    from bandrt.screening.criteria import Criteria
    from bandrt.screening.hits import ExpectedHits
    from bandrt.screening.shortlist import Shortlist

TOP = 200
_SHOWN = (
    ("id", "id"), ("formula", "formula"), ("p_match", "p_match"), ("band_gap_ev", "gap, eV"), ("direct_gap_ev", "direct gap, eV"),
    ("uncertainty_ev", "uncertainty, eV"), ("warnings", "warnings"),
)  # fmt: skip
"""Columns that are printed, and what they are called."""
_LONGEST_CELL = 40


@click.command("screen", short_help="Rank predicted crystals by the probability that they are what is wanted.")
@click.argument("results", nargs=-1, required=True, metavar="OUT...", type=options.PATH)
@criteria_options
@click.option("--top", type=click.IntRange(1), default=TOP, show_default=True, metavar="N", help="How many crystals to give.")
@click.option("--refined", type=options.PATH, help="Results of bandrt refine, in the place of those of the same crystals.")
@click.option("--as-predicted", is_flag=True, help="Those that are predicted to be what is wanted, without probabilities.")
@click.option("--engine", type=options.ENGINE, help="Where the engine of the runs is, if not where it was.")
@options.out("File (*.csv, *.jsonl, *.parquet) or folder of CIF files to write; by default a table is printed.")
@options.overwrite("Replace files that are there already.")
@options.as_json("the shortlist and its counts")
def command(
    results: tuple[Path, ...],
    criteria: Criteria,
    top: int,
    refined: Path | None,
    as_predicted: bool,
    engine: Path | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Rank the crystals in folders of results, OUT..., by the probability that their labels are what is wanted.

    p_match is the probability that DFT, not the prediction, meets --gap and --direct or --indirect, from how far off the engine was
    on crystals that it had not learned. The other criteria are known, and choose which crystals are ranked. How many hits to expect
    is told on standard error, with a range of 95 %.

    \b
    Examples:
      bandrt screen bands --gap 1.0:1.6 --top 20
      bandrt screen bands more-bands --gap 1.0:1.6 --direct --exclude Pb,Cd -o hits.csv
      bandrt screen bands --gap 4: --where "warnings != magnetic" --top 50 -o to-compute

    Exit codes: 0 done, 1 stopped by an error, 2 wrong usage.
    """
    from bandrt.screening.shortlist import screen
    from bandrt.screening.write import check_target, write

    if out is not None:
        check_target(out, overwrite=overwrite)
    shortlist = screen(results, criteria, top=top, refined=refined, engine=engine, as_predicted=as_predicted)
    if out is not None:
        write(shortlist, out, overwrite=overwrite)
    for line in _said(shortlist):
        click.echo(line, err=True)
    if as_json:
        say_done(options.json_text(_values(shortlist)))
    elif out is not None:
        say_done(options.printed(out))
    elif len(shortlist):
        say_done(_table(shortlist, with_run=refined is not None))


def _said(shortlist: Shortlist) -> list[str]:
    """What to say of a shortlist: what became of all crystals, and how many hits to expect."""
    from bandrt.domain import NOTHING_IN_WORDS

    counts, hits, all_hits = shortlist.counts, shortlist.hits, shortlist.all_hits
    failed = f", {counted(counts.failed, 'input')} failed and {_have(counts.failed)} none" if counts.failed else ""
    predicted = f"{counted(counts.predicted, 'crystal')} {_are(counts.predicted)} predicted{failed}"
    lines = [f"{predicted}; {counts.considered} of them {_are(counts.considered)} considered"]
    if counts.unknown:
        lines.append(f"{counts.unknown} of these {_have(counts.unknown)} no probability: {NOTHING_IN_WORDS}")
    lines += shortlist.notes
    if hits is None or all_hits is None:
        given = f", the first {len(shortlist)} of them given" if len(shortlist) < counts.listed else ""
        return [*lines, f"{counts.listed} {_are(counts.listed)} predicted to be what is wanted{given}; no probabilities"]
    if counts.listed > len(shortlist):
        lines.append(f"of all {counts.listed}, {_expected(all_hits)}")
    return [*lines, f"of these {len(shortlist)}, {_expected(hits)}"]


def _expected(hits: ExpectedHits) -> str:
    from bandrt.screening.hits import INTERVAL

    return f"{counted(round(hits.expected), 'hit')} expected ({100 * INTERVAL:g} %: {hits.low} to {hits.high})"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _values(shortlist: Shortlist) -> dict[str, object]:
    """A shortlist as plain values of JSON."""
    from bandrt.results.summary import json_values

    hits, all_hits = (None if one is None else one._asdict() for one in (shortlist.hits, shortlist.all_hits))
    return {
        "counts": shortlist.counts._asdict(),
        "hits": hits,
        "all_hits": all_hits,
        "notes": list(shortlist.notes),
        "crystals": [json_values(row) for row in shortlist],
    }


def _table(shortlist: Shortlist, *, with_run: bool) -> str:
    """The columns that matter most, laid out for people; from which folder of results each row is, too, if that is asked for."""
    from bandrt.quoting import shortened
    from bandrt.results.summary import written

    columns = [(name, title) for name, title in _SHOWN if name in shortlist.columns]
    rows = [[title for _, title in columns]]
    for row in shortlist:
        values = (f"{value:.3f}" if isinstance(value := row[name], float) else written(value) for name, _ in columns)
        rows.append([shortened(value, _LONGEST_CELL) for value in values])
    if with_run:
        for cells, run in zip(rows, ["from", *_runs(shortlist)], strict=True):
            cells.insert(1, shortened(run, _LONGEST_CELL))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _runs(shortlist: Shortlist) -> list[str]:
    """The folder of results of each row by its name, or by its path where two have one name."""
    from bandrt.quoting import printable

    folders = [Path(row["out"]) for row in shortlist]
    names = {folder: folder.name for folder in folders}
    are_names = len({*names.values()}) == len(names) and all(names.values())
    return [printable(names[folder] if are_names else str(folder)) for folder in folders]
