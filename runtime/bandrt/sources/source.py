"""One crystal still to be read: where it is, and what is needed to read it in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bandrt.arguments import check_fields
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.outcomes import outcome_of, typed
from bandrt.quoting import quoted, shortened
from bandrt.readers import Format, parse
from bandrt.readers.text import read_file

DAMAGED = "damaged-file"
"""The warning of crystals from a compressed file that cannot be read to its end."""


@dataclass(frozen=True)
class Source:
    """A crystal that was found but not yet read; small, and can be sent to another process.

    Attributes:
        id: unique in a run and the same in the next one over the same inputs.
        path: where it is, for people: ``crystals/Si.cif``, ``table.csv.gz:12``, ``all.zip:cells/Si.cif``.
        format: how its text is written.
        content: the file; or the text, of a table row, frame or archive member; or why there is none.
        kept: what columns of its table say that were asked for, as text by column; a column that the table lacks is not there.
        notes: warnings of what the text does not tell, e.g. ``damaged-file`` of where it was found; the crystal has them, too.
    """

    id: str
    path: str
    format: Format
    content: Path | str | InputError
    kept: dict[str, str] = field(default_factory=dict, hash=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)

    def __repr__(self) -> str:
        return f"Source({quoted(shortened(self.id, 50))}, {quoted(self.path)}, {self.format})"

    def read(self) -> Crystal:
        """Read the crystal.

        Raises:
            InputError: stage ``read``, by a stable code.
        """
        return self._parsed(self.text())

    def text(self) -> str:
        """The text that makes the crystal: a file, decompressed; a row, frame or member of one.

        Raises:
            InputError: stage ``read``, by a stable code.
        """
        if isinstance(self.content, InputError):
            raise self.content
        with typed("reader-failed", name=self.path):
            return read_file(self.content, name=self.path) if isinstance(self.content, Path) else self.content

    def checked(self) -> tuple[str, Callable[[], Crystal]]:
        """The checksum of the text, or, where there is none, of the reason; and what reads the crystal from just that text."""
        text = outcome_of(self.text)
        if isinstance(text, InputError):
            return reason_sha256(text.code, text.message), partial(_raise, text)
        return text_sha256(text), partial(self._parsed, text)

    def notes_now(self, before: Sequence[str]) -> Sequence[str]:
        """The notes of the crystal, which had some when it was read before, of the same text.

        It is read again only where these are of the text, or of what the text does not tell and may no longer be so.
        """
        if [note for note in before if note != DAMAGED] == [note for note in self.notes if note != DAMAGED]:
            return self.notes
        crystal = outcome_of(self.read)
        return before if isinstance(crystal, InputError) else crystal.notes

    def _parsed(self, text: str) -> Crystal:
        crystal = parse(text, self.format, name=self.path)
        return crystal.with_notes((*crystal.notes, *self.notes)) if self.notes else crystal


@dataclass(frozen=True)
class Listed:
    """Sources that a program hands over, where others give paths to find them at.

    Attributes:
        name: where they are from, for the record of a run.
        sources: at least one; ids are unique.
    """

    name: str
    sources: tuple[Source, ...]


def text_sha256(text: str) -> str:
    """Checksum of a text in UTF-8, in hexadecimal: of a plain file, that of its bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def reason_sha256(code: str, message: str) -> str:
    """Checksum of why there is no text, which stands in the place of that of the text."""
    return text_sha256(f"{code}: {message}")


def _raise(error: InputError) -> Crystal:
    raise error


@dataclass(frozen=True)
class Candidate:
    """A source that has not got its final id.

    Attributes:
        source: with the id it would like.
        fallback_id: the id it gets if another source has that one.
    """

    source: Source
    fallback_id: str


def refused(source_id: str, path: str, code: str, reason: str, kept: dict[str, str] | None = None) -> Candidate:
    """A source that cannot be opened; reading it raises the reason."""
    return Candidate(Source(source_id, path, "cif", InputError(code, f"{path}: {reason}"), kept or {}), path)


def row_candidate(
    source_id: str,
    path: str,
    fallback_id: str,
    written: tuple[Format, str] | InputError,
    kept: dict[str, str] | InputError,
    notes: tuple[str, ...] = (),
) -> Candidate:
    """The crystal of a row or entry, which is refused if it has none, or what shall be kept of it is no good."""
    if isinstance(written, InputError):
        return refused(source_id, path, written.code, written.message, None if isinstance(kept, InputError) else kept)
    if isinstance(kept, InputError):
        return refused(source_id, path, kept.code, kept.message)
    return Candidate(Source(source_id, path, *written, kept, notes), fallback_id)
