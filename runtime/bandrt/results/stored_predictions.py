"""The predictions in a folder that is written to: its parts, their lines in ``summary.csv``, and what is known of each.

A part is whole or not there; those of earlier runs are verified before they are believed. Lines follow the parts, and a part is
revised when a prediction in it no longer counts, or its input has another place or path. Before one is taken out that is not simply
made again, its part is set aside.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bandrt.bands.frame import frame_of
from bandrt.domain import codes_of, is_handed_over, of_reading, with_reading
from bandrt.errors import OutputInTheWayError
from bandrt.manifest import BandRule
from bandrt.results.arrays import Arrays, frame_in, kept_of, stacked
from bandrt.results.damage import BadPartError, undamaged, unlost
from bandrt.results.lines import Lines
from bandrt.results.part_rows import rows_of
from bandrt.results.parts import FORMAT_VERSION, Restated, part_arrays, revise_part, write_part
from bandrt.results.prediction import Prediction, Ticket
from bandrt.results.store import SET_ASIDE, SUMMARY, part_files, part_number, part_path
from bandrt.results.summary import kept_cells, summary_header
from bandrt.results.summary_lines import cells_of, kept_in, line_of, path_in, restated_line, warnings_in
from bandrt.results.texts import as_written


class Kept(NamedTuple):
    """A result of an earlier run that is that of an input of this one."""

    n_atoms: int
    """In the primitive cell; 0 of a failure."""
    handed_over: bool = False
    """Whether another engine made it than that of the run."""


class NewPart(NamedTuple):
    """A part, and its lines of the summary, as they will be written."""

    number: int
    tickets: Sequence[Ticket]
    """Of its predictions, in their order."""
    predictions: Sequence[Prediction]
    frame: BandRule
    """The bands that were asked for."""
    arrays: Arrays
    lines: Sequence[bytes]


class StoredPredictions:
    """Predictions on disk, those of earlier runs included."""

    def __init__(self, folder: Path, *, engine_sha256: str, bands: BandRule | None, keep: Sequence[str], uncertainty: bool) -> None:
        """Know of none yet.

        Args:
            folder: of the results.
            engine_sha256: the engine of this run.
            bands: those that are asked of it; None: those that the crystals of each part have.
            keep: columns of the inputs that stand in the summary after ours.
            uncertainty: whether the engine estimates its errors.
        """
        self.n = 0
        """How many there are."""
        self.n_set_aside = 0
        """Those of earlier runs that are no longer counted, since their inputs have changed or are gone."""
        self.warning_codes: Counter[str] = Counter()
        """How many have a warning, by its code."""
        self._folder = folder
        self._engine_sha256 = engine_sha256
        self._bands = bands
        self._keep = tuple(keep)
        self._summary = Lines(folder / SUMMARY, header=line_of(summary_header(keep, uncertainty=uncertainty)))
        self._next_part = 0
        self._restated: dict[int, Restated] = {}  # what kept predictions say otherwise of their inputs, by their row
        self._unsorted_parts: set[int] = set()  # whose inputs have other places or paths now
        self._saved_parts: set[int] = set()  # that were set aside

    @property
    def n_lines(self) -> int:
        """Lines in the summary, those included that are taken out at the end."""
        return len(self._summary.rows)

    def load(self) -> None:
        """Verify every part of earlier runs, set damaged ones aside, and make the summary of what is left."""
        self._summary.open(self._earlier())
        rows = self._summary.rows
        self.n = len(rows)
        order = np.argsort(rows["id"], kind="stable")
        again = np.flatnonzero(np.diff(rows["id"][order]) == 0)  # replaced by a run that was killed before it took the old one out
        self.remove([int(row) for row in order[again]], set_aside=False)

    def _earlier(self) -> Iterator[bytes]:
        for path in part_files(self._folder):
            number = part_number(path)
            self._next_part = number + 1
            try:
                with unlost():
                    arrays = part_arrays(path)
                    rows = rows_of(arrays, frame_in(arrays, path), self._keep, path)
            except BadPartError as error:
                aside = _set_aside(self._folder, path)
                path.unlink()
                logging.getLogger(__name__).warning("its crystals are predicted again, and it is kept as %s: %s", aside, error)
                continue
            self._require_same(arrays, path)
            inputs = (arrays[name].tolist() for name in ("id", "input_sha256", "input_order"))
            told = zip(rows, *inputs, np.diff(arrays["atom_offsets"]).tolist(), strict=True)
            for place, (cells, id, input_sha256, order, n_atoms) in enumerate(told):
                line = line_of(cells)
                self._summary.remember(id, input_sha256, line, order=order, part=number, place=place, n_atoms=n_atoms)
                self.warning_codes.update(codes_of(warnings_in(cells)))
                yield line

    def _require_same(self, arrays: Arrays, path: Path) -> None:
        """Refuse to go on with a part that this run would not make.

        Raises:
            OutputInTheWayError: ``output-version``, ``engine-differs`` or ``options-differ``.
        """
        if (version := int(arrays["format_version"])) != FORMAT_VERSION:
            raise OutputInTheWayError(
                "output-version",
                f"{self._folder}: holds results of format {version}, which do not say of which input they are; this bandrt goes"
                f" on with format {FORMAT_VERSION}: write to another folder, or start again with --overwrite",
            )
        if (engine := str(arrays["engine_sha256"])) != self._engine_sha256:
            raise OutputInTheWayError(
                "engine-differs",
                f"{self._folder}: holds predictions of another engine ({_short(engine)}, this one is"
                f" {_short(self._engine_sha256)}); resume with that engine or write to another folder",
            )
        n_bands = frame_in(arrays, path).n_bands
        if self._bands is not None and self._bands.n_bands != n_bands:
            raise self._begun_otherwise("bands", n_bands, self._bands.n_bands)
        keeps = {tuple(kept) for kept in kept_of(arrays) or ()}
        for kept in keeps - {self._keep}:
            raise self._begun_otherwise("keep", list(kept), list(self._keep))

    def _begun_otherwise(self, choice: str, before: object, now: object) -> OutputInTheWayError:
        return OutputInTheWayError(
            "options-differ",
            f"{self._folder}: was begun with other choices: {choice} was {before} and is {now};"
            " go on with what it has, or write to another folder",
        )

    def kept(self, ticket: Ticket, notes_now: Callable[[Sequence[str]], Sequence[str]]) -> Kept | None:
        """What an earlier run has of just this input, whose path, kept columns and notes are taken over; None: it has nothing.

        Args:
            ticket: the input.
            notes_now: from the notes that a prediction of it has of how it was read, those that it has now.
        """
        row = self._summary.earlier(ticket.id)
        if row is None or not self._summary.is_of(row, ticket.input_sha256):
            return None
        cells = cells_of(self._summary.line(row))
        path, kept, warnings = path_in(cells), kept_in(cells, self._keep), warnings_in(cells)
        if _file_name(path) != _file_name(as_written(ticket.path)):
            return None
        notes = of_reading(warnings)
        now = warnings if (new := tuple(notes_now(notes))) == notes else with_reading(warnings, new)
        if (path, kept, warnings) != (as_written(ticket.path), kept_cells(dict(ticket.kept), self._keep), now):
            self._restate(row, Restated(ticket.path, dict(ticket.kept), now))
        self._meet(row, ticket)
        return Kept(int(self._summary.rows["n_atoms"][row]), is_handed_over(warnings))

    def _restate(self, row: int, restated: Restated) -> None:
        self.warning_codes -= Counter(codes_of(self._warnings_of(row)))
        self.warning_codes.update(codes_of(restated.warnings))
        self._restated[row] = restated
        self._unsorted_parts.add(int(self._summary.rows["part"][row]))

    def _warnings_of(self, row: int) -> tuple[str, ...]:
        restated = self._restated.get(row)
        return warnings_in(cells_of(self._summary.line(row))) if restated is None else restated.warnings

    def _meet(self, row: int, ticket: Ticket) -> None:
        rows = self._summary.rows
        if rows["order"][row] != ticket.order:
            self._unsorted_parts.add(int(rows["part"][row]))
        rows["order"][row] = ticket.order
        rows["met"][row] = True

    def new_part(self, tickets: Sequence[Ticket], predictions: Sequence[Prediction]) -> NewPart:
        """A part of new predictions, in the order in which they stand here."""
        frame = self._bands or frame_of([p.band_structure for p in predictions])
        arrays = stacked(predictions, frame, [ticket.order for ticket in tickets])
        rows = rows_of(arrays, frame, self._keep, part_path(self._folder, self._next_part))
        return NewPart(self._next_part, tickets, predictions, frame, arrays, [line_of(cells) for cells in rows])

    def replace(self, part: NewPart) -> None:
        """Take out what earlier runs have of the inputs of a part that is to be written."""
        self.take_out([p.id for p in part.predictions], [p.input_sha256 for p in part.predictions])

    def write(self, part: NewPart) -> None:
        """Write a part; its predictions count from now on."""
        write_part(part_path(self._folder, part.number), part.arrays, part.frame, engine_sha256=self._engine_sha256)
        self._next_part += 1
        self.n += len(part.predictions)

    def enter(self, part: NewPart) -> None:
        """Write the lines of a part that is there now."""
        for place, (ticket, prediction, line) in enumerate(zip(part.tickets, part.predictions, part.lines, strict=True)):
            self._summary.remember(
                prediction.id, prediction.input_sha256, line, order=ticket.order, part=part.number, place=place,
                n_atoms=prediction.crystal.n_atoms, met=True,
            )  # fmt: skip
        self._summary.write(b"".join(part.lines))

    def take_out(self, ids: Sequence[str], checksums: Sequence[str]) -> None:
        """Take out what earlier runs predicted for inputs that have new results; what had another content is set aside."""
        found = [
            (row, checksum) for id, checksum in zip(ids, checksums, strict=True) if (row := self._summary.earlier(id)) is not None
        ]
        same = {row for row, checksum in found if self._summary.is_of(row, checksum)}
        self.remove(sorted(same), set_aside=False)
        self.remove([row for row, _ in found if row not in same])

    def remove(self, rows: Sequence[int], *, set_aside: bool = True) -> None:
        """Take predictions out of the summary and their parts."""
        if not rows:
            return
        table = self._summary.rows
        for row in rows:
            table["gone"][row] = True
            self.warning_codes -= Counter(codes_of(self._warnings_of(row)))
        self.n -= len(rows)
        self.n_set_aside += len(rows) if set_aside else 0
        for number in sorted({int(table["part"][row]) for row in rows}):
            if set_aside and number not in self._saved_parts:
                _set_aside(self._folder, part_path(self._folder, number))
                self._saved_parts.add(number)
            self._revise(number)

    def _revise(self, number: int) -> None:
        """Write a part as the rows of the summary have it."""
        table = self._summary.rows
        in_part = np.flatnonzero((table["part"] == number) & ~table["gone"])
        in_part = in_part[np.argsort(table["order"][in_part], kind="stable")]
        restated = {int(table["place"][row]): self._restated[row] for row in map(int, in_part) if row in self._restated}
        path = part_path(self._folder, number)
        with undamaged():
            revise_part(path, table["place"][in_part].astype(np.intp), table["order"][in_part], restated)
        table["place"][in_part] = np.arange(len(in_part))
        table["part"][(table["part"] == number) & table["gone"]] = -1
        self._unsorted_parts.discard(number)

    def unmet(self) -> Iterator[tuple[int, str]]:
        """Rows and paths of those whose inputs this run has not met."""
        for row in self._summary.unmet().tolist():
            yield row, path_in(cells_of(self._summary.line(row)))

    def number_unmet(self, *, after: int) -> None:
        """Give those whose inputs were not looked for their places after all others.

        Args:
            after: the last place that a failure has.
        """
        rows = self._summary.rows
        others = self._summary.unmet()
        if not len(others):
            return
        first = 1 + max(int(rows["order"][rows["met"]].max(initial=-1)), after)
        others = others[np.argsort(rows["order"][others], kind="stable")]
        rows["order"][others] = first + np.arange(len(others))
        self._unsorted_parts.update(int(number) for number in np.unique(rows["part"][others]))

    def sort_parts(self) -> None:
        """Put predictions in the order of the inputs in their parts, under the paths that these have now."""
        for number in sorted(self._unsorted_parts):
            self._revise(number)

    def sort_lines(self) -> None:
        """Put the lines of the summary in the order of the inputs."""
        gone = self._summary.rows["gone"]
        changed = {
            row: restated_line(self._summary.line(row), restated, self._keep)
            for row, restated in self._restated.items()
            if not gone[row]
        }
        self._summary.sort(changed)

    def close(self) -> None:
        """Let go of the summary."""
        self._summary.close()


def _set_aside(folder: Path, part: Path) -> Path:
    """Keep a part under another name, beside the parts that count."""
    place = folder / SET_ASIDE
    place.mkdir(exist_ok=True)
    names = (f"{part.stem}{f'-{n}' if n else ''}.npz" for n in itertools.count())
    copy = next(place / name for name in names if not os.path.lexists(place / name))
    try:
        os.link(part, copy)
    except OSError:  # a file system without links
        shutil.copyfile(part, copy)
    return copy


def _short(engine_sha256: str) -> str:
    """The beginning of a checksum, or of each of two engines."""
    return "+".join(one[:12] for one in engine_sha256.split("+"))


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
