"""``bandrt train download``: band structures of the Materials Project, with the user's own key."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import get_args

import click

from bandrt.cli import EXIT_SOME_FAILED, options, say_done
from bandrt.cli.progress import Progress
from bandrt.errors import BandrtError, NotFoundError
from bandrt_train.data.sources.materials_project import (
    DEFAULT_SCHEME,
    FAILED,
    DownloadReport,
    DownloadScheme,
    SearchCriteria,
    check_download_folder,
    download,
    failed_downloads,
    open_client,
    read_ids,
    remembered_ids,
    scheme_of,
    search,
)

KEY_VARIABLE = "MP_API_KEY"
KEY_PAGE = "https://next-gen.materialsproject.org/api"


@click.command("download", short_help="Download band structures of the Materials Project.")
@options.out("Folder for the documents; those that are there are kept.", required=True)
@click.option("--ids", "ids_file", type=options.PATH, help="File with ids, such as mp-149.")
@click.option("--elements", help="Search for crystals that have all of these elements, e.g. Ga,As.")
@click.option("--chemsys", help="Search for crystals of these elements and no others, e.g. Ga-As.")
@click.option("--all", "everything", is_flag=True, help="Search for all crystals.")
@click.option("--max-atoms", type=click.IntRange(1), default=30, show_default=True, help="Of the cell, in a search.")
@click.option("--magnetic", is_flag=True, help="Search for magnetic crystals too; bands with spin do not train.")
@click.option("--max", "limit", type=click.IntRange(1), help="At most so many of what a search finds.")
@click.option(
    "--scheme",
    type=click.Choice(get_args(DownloadScheme)),
    help=f"K-path that the bands were computed on; that of the folder, or {DEFAULT_SCHEME}, by default.",
)
@click.option(
    "--key-file", type=options.PATH,
    help=f"File with your key, from {KEY_PAGE}; by default it is taken from {KEY_VARIABLE} in the environment.",
)  # fmt: skip
@options.quiet()
def command(
    out: Path,
    ids_file: Path | None,
    elements: str | None,
    chemsys: str | None,
    everything: bool,
    max_atoms: int,
    magnetic: bool,
    limit: int | None,
    scheme: DownloadScheme | None,
    key_file: Path | None,
    quiet: bool,
) -> int:
    """Download band structures of the Materials Project.

    The folder is what `bandrt train dataset` reads. The same command again fetches what is missing, and nothing twice; without a
    selection it goes on with the last one.

    \b
    Example:
      bandrt train download --elements Ga,As -o mp

    Exit codes: 0 all there, 1 stopped by an error, 2 wrong usage, 3 finished but some could not be had, 130 interrupted.
    """
    check_download_folder(out)
    scheme = scheme_of(out, scheme)
    if sum((ids_file is not None, bool(elements or chemsys), everything)) > 1:
        raise click.UsageError("--ids, --all and a search by --elements or --chemsys exclude each other")
    key = (os.environ.get(KEY_VARIABLE, "") if key_file is None else _read_key(key_file)).strip()
    if not key:
        raise click.UsageError(f"a key is needed: set {KEY_VARIABLE} or give --key-file; it is free, see {KEY_PAGE}")
    searching = bool(elements or chemsys or everything)
    ids = [] if searching else remembered_ids(out) if ids_file is None else read_ids(ids_file)
    client = open_client(key)
    if searching:
        wanted = tuple(word.strip() for word in (elements or "").split(",") if word.strip())
        ids = search(client, SearchCriteria(wanted, chemsys, max_atoms, magnetic), limit)
        click.echo(f"{len(ids)} crystals found", err=True)
    try:
        with Progress("band structures", quiet=quiet) as progress:
            done = download(ids, out, client, scheme=scheme, on_progress=lambda state: _show(progress, state))
    except KeyboardInterrupt:
        click.echo(f"{out}: what is fetched is kept; go on with: bandrt train download -o {out}", err=True)
        raise
    say_done(f"{done.kept + done.fetched} of {done.total} band structures in {out}, {done.fetched} of them new")
    if not done.failed:
        return 0
    failures = failed_downloads(out)
    examples = {failure.code: failure for failure in reversed(failures)}
    say_done(f"{done.failed} could not be had, all of them in {out / FAILED}; run again to try them again:")
    for code, n in Counter(failure.code for failure in failures).most_common():
        say_done(f"  {n} {code}, such as {examples[code].id}: {examples[code].message}")
    return EXIT_SOME_FAILED


def _read_key(file: Path) -> str:
    """The text of a file; of a pipe, too, from which programs that keep keys hand them over."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError("file-not-found", f"{file}: no such file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise BandrtError("unreadable", f"{file}: {reason}; the file with the key cannot be read") from error


def _show(progress: Progress, state: DownloadReport) -> None:
    progress.show(state.done, state.total, f"{state.failed} failed, {state.kept} there before", before=state.kept)
