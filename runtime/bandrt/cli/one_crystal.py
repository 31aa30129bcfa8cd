"""Arguments and options of commands that ask an engine for the Hamiltonian of one crystal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

import bandrt
from bandrt.bands.figures import FIGURE_FORMATS, check_style, require_matplotlib, save_figure, styled
from bandrt.cli import options, say_done
from bandrt.cli.options import Command
from bandrt.domain import NOTHING_EXPECTED, NOTHING_IN_WORDS, codes_of, of_reading
from bandrt.errors import UsageError
from bandrt.files import check_file, replaced
from bandrt.quoting import counted, did_you_mean, nearest, printable, shortened
from bandrt.results.choice import choose
from bandrt.results.damage import undamaged
from bandrt.results.parts import read_part
from bandrt.results.prediction import Prediction
from bandrt.results.store import PARTS, check_no_record
from bandrt.sources import find
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian

MOST_NAMED = 5


def crystal_arguments() -> Callable[[Command], Command]:
    """``CRYSTAL`` or ``OUT ID``."""

    def decorate(command: Command) -> Command:
        command = click.argument("id", metavar="[ID]", required=False)(command)
        return click.argument("source", metavar="CRYSTAL|OUT", type=options.PATH)(command)

    return decorate


def engine_options() -> Callable[[Command], Command]:
    """``--engine``, ``--no-hand-over`` and ``--threads``."""

    def decorate(command: Command) -> Command:
        command = options.threads("of the engine")(command)
        command = options.no_hand_over("Take its Hamiltonian also of a crystal that it would leave to another engine.")(command)
        return click.option(
            "--engine", metavar="ENGINE", type=options.ENGINE, default="accurate", show_default=True,
            help="An engine that ends at a Hamiltonian: a *.onnx file, or the name of one.",
        )(command)  # fmt: skip

    return decorate


def energies_option(of: str) -> Callable[[Command], Command]:
    """``--window``: from and to which energy."""
    return click.option("--window", metavar="LOW:HIGH", help=f"Energies {of}, eV, such as -6:8.")


def hamiltonian(
    source: Path, id: str | None, engine: Path, threads: int | None, *, no_hand_over: bool, original_cell: bool = False
) -> tuple[CrystalHamiltonian, str]:
    """The Hamiltonian of the crystal that is named, and what the crystal is called.

    Args:
        source: a file, or a folder of results.
        id: of a crystal in it.
        engine: the model file.
        threads: of the engine.
        no_hand_over: whether it is asked of crystals, too, that it would leave to another engine.
        original_cell: whether the cell is wanted that the crystal came in.

    Raises:
        UsageError: ``which-crystal``, ``no-original-cell``, ``no-hamiltonian``.
        BandrtError: the crystal cannot be read or used, or the engine not opened.
    """
    item, name = _crystal(source, id, original_cell=original_cell)
    with bandrt.load(engine, threads=threads, hand_over=not no_hand_over) as opened:
        return opened.hamiltonian(item, name=name), name


def _crystal(source: Path, id: str | None, *, original_cell: bool) -> tuple[Any, str]:
    if source.is_dir():
        if id is None:
            is_results = (source / PARTS).is_dir()
            mend = "is a folder of results; give the id of a crystal in it, too"
            raise UsageError(
                "which-crystal", f"{source}: {mend if is_results else 'is a folder, but none of results; name a file in it'}"
            )
        chosen = choose(source, [id])
        if len(chosen) > 1:
            raise UsageError("which-crystal", f"{source}: {len(chosen)} crystals are called so; give the id of one")
        with undamaged():
            [found] = [one for one in read_part(chosen[0].part) if one.id == chosen[0].id]
        if original_cell:
            raise _no_original_cell(source, found)
        return found.crystal.with_notes(of_reading(found.warnings)), found.id
    if id is None:
        return source, source.name
    several = list(find(source))
    for one in several:
        if one.id == id:
            return one, id
    ids = [one.id for one in several]
    meant = did_you_mean(nearest(id, ids, 3)) or f"it holds {', '.join(shortened(one, 40) for one in ids[:MOST_NAMED])}"
    raise UsageError("which-crystal", f"{source}: holds no crystal {shortened(id, 80)}; {meant}")


def _no_original_cell(results: Path, found: Prediction) -> UsageError:
    """The error of a stored crystal of which the cell is asked for that it came in."""
    file = f"the file that was read, {shortened(found.path, 200)}," if found.path else "a file of the crystal"
    return UsageError(
        "no-original-cell",
        f"{results}: results hold the standard primitive cell of {shortened(found.id, 80)} alone; name {file} in their place, or"
        " leave out --original-cell",
    )


def checked_out(out: Path | None, *, overwrite: bool, look: Mapping[str, object] | None = None) -> str:
    """The format of the file that is asked for, found out before the work: ``json``, ``csv``, or one of figures; empty for none.

    Args:
        out: the file.
        overwrite: whether it may replace one.
        look: options that only figures have, by name; None for those that are not given.

    Raises:
        OutputError: it cannot be written.
        UsageError: ``bad-style``.
        MissingPackageError: matplotlib is not installed.
    """
    given = [f"--{name}" for name, value in (look or {}).items() if value is not None]
    if given and (out is None or out.suffix.removeprefix(".").lower() not in FIGURE_FORMATS):
        raise click.UsageError(f"{', '.join(given)}: of figures, which -o names: *.{', *.'.join(FIGURE_FORMATS)}")
    if out is None:
        return ""
    kind = out.suffix.removeprefix(".").lower()
    known = ("json", "csv", *FIGURE_FORMATS)
    if kind not in known:
        raise click.UsageError(f"{out}: files are {', '.join(f'*.{one}' for one in known)}")
    if kind in FIGURE_FORMATS:
        require_matplotlib(what="drawing a figure")
        check_style((look or {}).get("style"))
    check_no_record(out)
    check_file(out, overwrite=overwrite)
    return kind


def energies(text: str | None) -> tuple[float, float] | None:
    """What ``--window`` says."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low, high = 0.0, 0.0
    if not low < high < float("inf"):
        raise click.BadParameter("two energies in eV, the lower first, such as -6:8", param_hint="--window")
    return low, high


def write(
    out: Path | None,
    kind: str,
    *,
    document: Callable[[], dict[str, Any]],
    table: Callable[[], Iterable[str]],
    figure: Callable[[], Any],
    style: str | None = None,
    dpi: float | None = None,
) -> None:
    """Write what is found, if a file is asked for.

    Args:
        out: the file.
        kind: its format, from `checked_out`.
        document: makes what is written as JSON.
        table: makes the lines of a table.
        figure: makes a figure.
        style: of a figure, see `bandrt.bands.figures.styled`.
        dpi: of a figure, pixels per inch.
    """
    if out is None:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if kind == "json":
        with replaced(out) as file:
            json.dump(document(), file, ensure_ascii=False, allow_nan=False)
    elif kind == "csv":
        with replaced(out) as file:
            file.writelines(table())
    else:
        with styled(style):
            save_figure(figure(), out, dpi=dpi)


def flat_levels(n: int) -> str:
    """How many of some bands are levels of inner shells, for people, to follow a number of bands; nothing of none."""
    return f", with {counted(n, 'flat level')} of inner shells" if n else ""


def tell(found: CrystalHamiltonian, summary: Mapping[str, Any], lines: Iterable[str], *, out: Path | None, as_json: bool) -> None:
    """Say what is found, or where it is written, and on standard error why less of it is to be trusted."""
    _warn(found)
    if as_json:
        say_done(options.json_text(summary))
    else:
        say_done("\n".join(lines) if out is None else options.printed(out))


def _warn(found: CrystalHamiltonian) -> None:
    if found.warnings:
        click.echo(printable(f"warnings: {', '.join(found.warnings)}"), err=True)
    if found.uncertainty_ev is not None:
        click.echo(f"energies are {found.uncertainty_ev:.2f} eV off on average, the engine expects", err=True)
    elif codes_of(found.warnings) & NOTHING_EXPECTED:
        click.echo(f"how far energies are off is not known: {NOTHING_IN_WORDS}", err=True)
