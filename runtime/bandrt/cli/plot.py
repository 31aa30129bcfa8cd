"""``bandrt plot``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import click

from bandrt.bands.figures import FIGURE_FORMATS, require_matplotlib, save_figure, save_pages, styled
from bandrt.bands.page import MOST_ACROSS, draw_page
from bandrt.bands.plot import draw
from bandrt.bands.reference import Reference, compared, onto_path
from bandrt.bands.view import View, Zero
from bandrt.cli import options
from bandrt.cli.figure_options import energies_options, look_options, zero_option
from bandrt.cli.progress import Progress
from bandrt.computed.by_id import documents_of
from bandrt.computed.documents import BandDocument
from bandrt.errors import UsageError
from bandrt.files import check_file, check_folder
from bandrt.quoting import printable, shortened
from bandrt.results.choice import Chosen, choose, query_of
from bandrt.results.damage import undamaged
from bandrt.results.derived import check_replaced
from bandrt.results.file_names import file_names
from bandrt.results.parts import read_part
from bandrt.results.prediction import Prediction
from bandrt.results.store import PLOTS, existing_parts, is_store

UNASKED = 100
"""Crystals that are drawn without `--all`: half a minute."""
PAGES = "pages"
"""What figures of pages are called in a folder."""
_MOST_NAMED = 6


class Page(click.ParamType[tuple[int, int]]):
    """``ROWSxCOLUMNS``."""

    name = "page"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Rows and columns."""
        found = re.fullmatch(r"\s*(\d{1,3})\s*[xX×]\s*(\d{1,3})\s*", str(value))
        rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
        if not (1 <= rows <= MOST_ACROSS and 1 <= columns <= MOST_ACROSS):
            self.fail(f"{value}: rows and columns, each 1 to {MOST_ACROSS}, such as 4x3", param, ctx)
        return rows, columns


class Choices(NamedTuple):
    """What every figure of a call has in common."""

    view: View
    page: tuple[int, int] | None
    size: tuple[float | None, float | None]
    """Inches, width and height."""
    documents: dict[str, BandDocument]
    """DFT bands by id."""


@click.command("plot", short_help="Draw predicted band structures.")
@click.argument("results", metavar="OUT", type=options.PATH)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--where", metavar="QUERY", help="Those of them whose columns of summary.csv satisfy this, see below.")
@click.option("--all", "everything", is_flag=True, help=f"All of OUT, if there is no ID; and more than {UNASKED} crystals.")
@options.out("Figure file (*.png, *.svg or *.pdf) of one crystal, or with --page of several; or folder. OUT/plots by default.")
@options.overwrite("Replace figures that are there already.")
@click.option("--format", "kind", type=click.Choice(FIGURE_FORMATS), help="png by default, or what the file name says.")
@click.option("--page", metavar="ROWSxCOLUMNS", type=Page(), help="So many crystals on a page, on one axis of energies.")
@click.option("--dft", metavar="PATH", type=options.PATH, help="DFT bands to draw below the predicted ones, see below.")
@click.option(
    "--segment", "segments", metavar="LABELS", multiple=True, help="This part of the path alone, such as G-X; repeatable."
)
@energies_options()
@zero_option()
@click.option("--full-walk", is_flag=True, help="Draw segments as often as the walk passes them.")
@look_options()
@options.quiet()
def command(
    results: Path,
    ids: tuple[str, ...],
    where: str | None,
    everything: bool,
    out: Path | None,
    overwrite: bool,
    kind: str | None,
    page: tuple[int, int] | None,
    dft: Path | None,
    segments: tuple[str, ...],
    ymin: float | None,
    ymax: float | None,
    zero: Zero | None,
    full_walk: bool,
    style: str | None,
    dpi: float | None,
    width: float | None,
    height: float | None,
    quiet: bool,
) -> None:
    """Draw the band structures of some crystals in the results of `bandrt infer`, OUT.

    ID is the id of a crystal, or a pattern such as "mp-1*". The names of the figures are printed. Figures that are there already
    are an error, and nothing is drawn, unless --overwrite is given. Pages are those of one PDF, or numbered figures.

    QUERY compares columns with values by == != < <= > >=, joined by and, or and parentheses; none stands for a missing value, and
    a warning is compared by what comes before its colon. Columns that --keep carried through may be asked for, too, in quotes if
    their names have blanks.

    --dft is a file or folder of bands that were computed, as `bandrt train dataset` reads them: JSON of pymatgen's
    BandStructureSymmLine, one a file or a line, or vasprun.xml. Documents belong to crystals by their ids, inside or as names of
    files. They may have been computed on other k-points: symmetry brings them onto the predicted path. The mean error of the bands
    that both have is written into the figure, over the segments that were computed as a whole. Each is counted from its own zero:
    mid-gap, the Fermi level of a metal, or what --zero says.

    \b
    Examples:
      bandrt plot bands mp-149 "mp-1*"
      bandrt plot bands --where "band_gap_ev > 1 and is_direct == true" --page 4x3 -o direct.pdf
      bandrt plot bands mp-149 -o silicon.pdf --dft computed --zero vbm --ymin -6 --ymax 6
      bandrt plot bands mp-149 -o gx.png --segment G-X --style ggplot --dpi 300

    Exit codes: 0 drawn, 1 stopped by an error, 2 wrong usage.
    """
    existing_parts(results)
    if not (ids or where is not None or everything):
        raise click.UsageError("which crystals? give their ids, a --where, or --all")
    if dft is not None and is_store(dft):
        raise click.UsageError(f"--dft {dft}: holds predictions, not computed bands; `bandrt convert` makes documents of them")
    view = View(ymin, ymax, zero, segments, full_walk)
    query = None if where is None else query_of(where, results)
    file = _figure_file(out, kind)
    require_matplotlib()
    with styled(style):
        chosen = choose(results, ids, query)
        if file is not None and len(chosen) > 1 and page is None:
            raise click.UsageError(f"{file} is one figure and {len(chosen)} crystals are asked for; give a folder, or --page")
        if len(chosen) > UNASKED and not everything:
            raise click.UsageError(f"{len(chosen)} crystals; add --all if you want so many, or choose fewer")
        if segments:
            _check_segments(chosen, view)
        paths = _paths(chosen, file, results / PLOTS if out is None else out, kind or FIGURE_FORMATS[0], page, overwrite=overwrite)
        documents = {} if dft is None else documents_of(dft, [one.id for one in chosen])
        if page is not None:
            page = min(page[0], -(-len(chosen) // page[1])), page[1]  # of a single page no more rows than it has crystals for
        choices = Choices(view, page, (width, height), documents)
        with Progress("crystals", quiet=quiet) as progress:
            _write(progress, chosen, paths, choices, dpi)


def _paths(
    chosen: Sequence[Chosen], file: Path | None, folder: Path, kind: str, page: tuple[int, int] | None, *, overwrite: bool
) -> list[Path]:
    """Where each figure goes, found out before the work; of pages in one PDF, its name alone."""
    n_pages = len(chosen) if page is None else -(-len(chosen) // (page[0] * page[1]))
    if file is None:
        check_folder(folder)
        named = file_names((one.id for one in chosen), kind) if page is None else [f"{PAGES}.{kind}"]
        paths = [folder / name for name in named]
    else:
        paths = [file]
    if page is not None and n_pages > 1 and paths[0].suffix.lower() != ".pdf":
        digits = len(str(n_pages))
        paths = [paths[0].with_stem(f"{paths[0].stem}-{number:0{digits}d}") for number in range(1, n_pages + 1)]
    for path in paths:
        check_file(path, overwrite=overwrite)
        if file is None:
            check_replaced(path)
    return paths


def _write(progress: Progress, chosen: Sequence[Chosen], paths: Sequence[Path], choices: Choices, dpi: float | None) -> None:
    """Draw all figures, say what could not be drawn of them, and print their names."""
    each = 1 if choices.page is None else choices.page[0] * choices.page[1]
    notes: list[str] = []
    predictions = progress.counted(_read(chosen), len(chosen))
    figures = (_figure(page, choices, notes) for page in iter(lambda: list(islice(predictions, each)), []))
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    if choices.page is not None and paths[0].suffix.lower() == ".pdf":
        save_pages(figures, paths[0], dpi=dpi)
        progress.echo(options.printed(paths[0]))
    else:
        for path, figure in zip(paths, figures, strict=True):
            save_figure(figure, path, dpi=dpi)
            progress.echo(options.printed(path))
    for note in notes:
        click.echo(printable(note), err=True)


def _figure(predictions: Sequence[Prediction], choices: Choices, notes: list[str]) -> Any:
    """One figure, of a crystal or a page of them."""
    view, (width, height) = choices.view, choices.size
    shown: dict[str, Any] = {
        "ymin": view.ymin, "ymax": view.ymax, "zero": view.zero, "segments": view.segments, "full_walk": view.full_walk,
        "width": width, "height": height,
    }  # fmt: skip
    if choices.page is None and not choices.documents:
        return draw(predictions[0].band_structure, name=predictions[0].id, **shown)
    rows, columns = choices.page or (1, 1)
    bands = [one.band_structure for one in predictions]
    return draw_page(
        bands, names=[one.id for one in predictions], references=[_reference(one, choices, notes) for one in predictions],
        rows=rows, columns=columns, **shown,
    )  # fmt: skip


def _reference(prediction: Prediction, choices: Choices, notes: list[str]) -> Reference | None:
    """DFT bands of a crystal, if it has any; what of them is not drawn, and what is without them, is noted."""
    if not choices.documents:
        return None
    document, bands, view = choices.documents.get(prediction.id), prediction.band_structure, choices.view
    if document is None:
        notes.append(f"{shortened(prediction.id)}: no DFT bands; drawn alone")
        return None
    reference = onto_path(document, bands)
    found = compared(bands, reference, view.branches(bands), view.zero)
    parts = [str(found)]
    if found.alone:
        parts.append(f"predicted alone: {_few(found.alone)}")
    if found.left_out:
        parts.append(f"of DFT left out, not on the path: {_few(found.left_out)}")
    notes.append(f"{shortened(prediction.id)}: {'; '.join(parts)}")
    return reference


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _check_segments(chosen: Sequence[Chosen], view: View) -> None:
    """Find out before the first figure that a crystal has not the segments that are asked for.

    Raises:
        UsageError: ``unknown-label``, ``bad-path``, ``unknown-segment``, naming the crystal.
    """
    for prediction in _read(chosen):
        try:
            view.branches(prediction.band_structure)
        except UsageError as error:
            raise UsageError(error.code, f"{shortened(prediction.id)}: {error.message}") from None


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


def _read(chosen: Iterable[Chosen]) -> Iterator[Prediction]:
    """The predictions in the order in which they were chosen; one part is in memory."""
    held: dict[str, Prediction] = {}
    part: Path | None = None
    for one in chosen:
        if one.part != part:
            with undamaged():
                held, part = {prediction.id: prediction for prediction in read_part(one.part)}, one.part
        yield held[one.id]
