"""Crystals of JSON documents, one at a time: lists, tables of pandas and matbench, databases of JARVIS, responses of OPTIMADE.

A file of gigabytes needs the memory of its largest entry, and of what stands beside its list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from bandrt.errors import InputError
from bandrt.limits import MAX_CRYSTAL_BYTES, too_large
from bandrt.quoting import quoted
from bandrt.readers.documents import is_document
from bandrt.sources.kept import kept_of
from bandrt.sources.kinds import stem_of
from bandrt.sources.source import Candidate, refused, row_candidate
from bandrt.sources.tables import BROKEN_STREAM, STRUCTURE_COLUMN, row_id, structure_of, text_stream

_READ = 1 << 16
"""Characters read at first."""


class Entry(NamedTuple):
    """One of several documents."""

    id: str
    """What it is called; empty if it does not say."""
    value: Any


def documents(
    stream: IO[bytes],
    file_name: str,
    path: str,
    label: str,
    structure_column: str = STRUCTURE_COLUMN,
    keep: Sequence[str] = (),
) -> Iterator[Candidate]:
    """Crystals of a JSON file that holds several; nothing where it is one document, which is read as a whole.

    Args:
        stream: the file's bytes.
        file_name: its name.
        path: where it is, for people; entries are counted from 1.
        label: the file, the same in every run.
        structure_column: the key with the crystals, where entries are rows of a table.
        keep: keys of entries to carry through.
    """
    stem, number = stem_of(file_name), 0
    try:
        with text_stream(stream, file_name) as text:
            for number, entry in enumerate(entries(text), start=1):
                place, name = f"{path}:{number}", entry.id or f"{stem}:{number}"
                found, kept = structure_of(entry.value, structure_column), kept_of(entry.value, keep)
                yield row_candidate(name, place, f"{label}:{number}", found, kept)
    except InputError as error:
        if number:  # else it is read as a whole, which tells what is wrong
            yield refused(f"{stem}:{number + 1}", f"{path}:{number + 1}", error.code, error.message)
    except BROKEN_STREAM as error:
        yield refused(
            f"{stem}:{number + 1}", f"{path}:{number + 1}", "unreadable", f"{error}; nothing after entry {number} can be read"
        )


def entries(text: IO[str]) -> Iterator[Entry]:
    """The entries of a document that holds several; none of one that is a crystal, or nothing that is known.

    Raises:
        InputError: ``json-syntax`` or ``too-large`` at the entry that cannot be read, after those before it.
    """
    reader = _Reader(text)
    if reader.peek() == "[":
        yield from (Entry(row_id(value), value) for value in reader.elements())
        reader.end()
        return
    if reader.peek() != "{":
        return
    beside: dict[str, Any] = {}
    repeated = ""
    for key in reader.members():
        if key == "data" and reader.peek() == "[":
            for place, value in enumerate(reader.elements()):
                yield _of_table(value, place, beside)
        else:
            repeated = key if key in beside else repeated
            beside[key] = reader.value()
    if not is_document(beside) and beside and all(is_document(value) for value in beside.values()):
        yield from (Entry(name, value) for name, value in beside.items())
        if repeated:
            raise InputError("json-syntax", f"{quoted(repeated)} is there more than once, of which the last was taken")
    reader.end()


def _of_table(value: Any, place: int, beside: Mapping[str, Any]) -> Entry:
    """An entry under ``data``: a row by the columns before it, or a document of its own."""
    columns, index = beside.get("columns"), beside.get("index")
    if not isinstance(value, list):
        return Entry(row_id(value), value)
    if not isinstance(columns, list) or len(columns) != len(value):
        return Entry("", None)
    row = dict(zip(map(str, columns), value, strict=True))
    name = index[place] if isinstance(index, list) and place < len(index) else ""
    return Entry(row_id(row) or (name if isinstance(name, str) else ""), row)


class _Reader:
    """JSON, value by value, from a stream of text."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._decoder = json.JSONDecoder()
        self._buffer, self._place, self._ended = "", 0, False

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._place < len(self._buffer) and self._buffer[self._place].isspace():
                self._place += 1
            if self._place < len(self._buffer):
                return self._buffer[self._place]
            if not self._more(_READ):
                return ""

    def elements(self) -> Iterator[Any]:
        """The elements of the list that comes next."""
        self._expect("[")
        while self.peek() != "]":
            yield self.value()
            if self.peek() != "]":
                self._expect(",")
        self._expect("]")

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next, each of which is followed by its value."""
        self._expect("{")
        while self.peek() != "}":
            yield str(self.value())
            if self.peek() != "}":
                self._expect(",")
        self._expect("}")

    def end(self) -> None:
        """Nothing may follow.

        Raises:
            InputError: ``json-syntax``.
        """
        if found := self.peek():
            advice = "write one list of all crystals, or a line for each of a .jsonl file"
            raise InputError("json-syntax", f"{found!r} follows the end of the document, which is not read on; {advice}")

    def value(self) -> Any:
        """The value that comes next; the colon after a key is passed over."""
        self.peek()
        size = _READ
        while True:
            try:
                found, end = self._decoder.raw_decode(self._buffer, self._place)
                if end < len(self._buffer) or self._ended:
                    self._place = end
                    if self.peek() == ":":
                        self._place += 1
                    return found
            except (ValueError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    raise InputError("json-syntax", f"{error}; the file may be cut short") from None
            if len(self._buffer) - self._place > MAX_CRYSTAL_BYTES:
                raise too_large("an entry, or what is not well-formed JSON,")
            self._more(size)
            size *= 2

    def _expect(self, mark: str) -> None:
        if self.peek() != mark:
            raise InputError("json-syntax", f"{mark!r} is needed, found {self.peek()!r}; the file may be cut short")
        self._place += 1

    def _more(self, size: int) -> bool:
        """Read on, and forget what was taken."""
        read = self._text.read(size)
        self._buffer, self._place, self._ended = self._buffer[self._place :] + read, 0, not read
        return bool(read)
