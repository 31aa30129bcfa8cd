"""Queries on columns of a table of results, such as ``band_gap_ev > 1 and is_metal == false``.

A query is comparisons joined by ``and`` and ``or``, of which ``and`` binds closer, with parentheses. A comparison is a column, one
of ``== != < <= > >=``, and a value: a number, ``true`` or ``false``, a text in quotes or a bare word, or ``none``. Texts are equal
as they stand. Of a column of words, such as ``warnings``, ``==`` asks whether the word, or the part of it before a colon, is among
them. A value that is missing, such as the band edges of a metal, or that is nan, is ``none``, and satisfies no other comparison.
Columns that were kept of the inputs are cells: a number where the cell is one and is compared with one, else a text. A column may
stand in quotes.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bandrt.errors import UsageError
from bandrt.quoting import did_you_mean, nearest, quoted, shortened
from bandrt.readers.text import real_number

ColumnKind = Literal["number", "truth", "text", "words", "cell"]
"""What a column holds."""
Value = float | bool | str | None
ColumnValues = Mapping[str, Any]
"""One crystal, by column: numbers, truths, texts, tuples of words or texts of cells as its `ColumnKind` says; None: missing."""

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<comparison>==|!=|<=|>=|<|>)|(?P<bracket>[()])|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s()<>=!"']+))""", re.VERBOSE
)
_MISWRITTEN = {"=>": ">=", "=<": "<=", "=": "=="}
_TRUTHS = {"true": True, "false": False}
_MAX_DEPTH = 50
"""Parentheses inside each other."""


class QueryError(UsageError):
    """A query cannot be understood: ``query-syntax``, ``query-column`` or ``query-value``."""


@dataclass(frozen=True)
class Comparison:
    """One column compared with one value."""

    column: str
    kind: ColumnKind
    sign: str
    value: Value

    def matches(self, row: ColumnValues) -> bool:
        """Whether a crystal satisfies it."""
        found = row[self.column]
        if isinstance(found, float) and math.isnan(found):
            found = None
        if self.value is None:
            return (found is None or found == ()) == (self.sign == "==")
        if found is None:
            return False
        if self.kind == "words":
            among = any(self.value in (word, word.partition(":")[0]) for word in found)
            return among == (self.sign == "==")
        if self.kind == "cell" and isinstance(self.value, float):
            if found.lower() == "nan":
                return False
            found = _number(found)
            if found is None:  # a text, which is neither smaller nor larger than a number, nor equal to one
                return self.sign == "!="
        return _COMPARISONS[self.sign](found, self.value)


@dataclass(frozen=True)
class Either:
    """Satisfied by what satisfies any of its parts."""

    parts: tuple[Query, ...]

    def matches(self, row: ColumnValues) -> bool:
        """Whether a crystal satisfies it."""
        return any(part.matches(row) for part in self.parts)


@dataclass(frozen=True)
class All:
    """Satisfied by what satisfies every one of its parts."""

    parts: tuple[Query, ...]

    def matches(self, row: ColumnValues) -> bool:
        """Whether a crystal satisfies it."""
        return all(part.matches(row) for part in self.parts)


Query = Comparison | Either | All


def parse_query(text: str, columns: Mapping[str, ColumnKind]) -> Query:
    """Understand a query; nothing of it is ever run as code.

    Args:
        text: the query.
        columns: which there are, and what they hold.

    Raises:
        QueryError: ``query-syntax``; ``query-column`` with the columns there are; ``query-value`` for a value that the column
            cannot be compared with.
    """
    parser = _Parser(text, _tokens(text), columns)
    query = parser.either(0)
    parser.end()
    return query


def columns_of(query: Query) -> frozenset[str]:
    """The columns that a query asks for."""
    if isinstance(query, Comparison):
        return frozenset((query.column,))
    return frozenset().union(*map(columns_of, query.parts))


class _Token(NamedTuple):
    kind: str
    """``comparison``, ``bracket``, ``quoted``, ``word`` or ``end``."""
    text: str


def _tokens(text: str) -> list[_Token]:
    tokens, position, end = list[_Token](), 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].strip()
            written = next((f"; write {right}" for wrong, right in _MISWRITTEN.items() if rest.startswith(wrong)), "")
            raise QueryError("query-syntax", f"{quoted(text)}: cannot be understood from {quoted(rest)} on{written}")
        assert match.lastgroup is not None
        tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return [*tokens, _Token("end", "")]


class _Parser:
    """Goes through the tokens of a query once, from left to right."""

    def __init__(self, text: str, tokens: list[_Token], columns: Mapping[str, ColumnKind]) -> None:
        self._text, self._tokens, self._columns = text, tokens, columns
        self._next = 0

    def either(self, depth: int) -> Query:
        """Parts joined by ``or``."""
        parts = [self._all(depth)]
        while self._takes_word("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def end(self) -> None:
        """Nothing may follow."""
        if self._token.kind != "end":
            raise self._misunderstood("and, or, or the end")

    def _all(self, depth: int) -> Query:
        parts = [self._part(depth)]
        while self._takes_word("and"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _part(self, depth: int) -> Query:
        if self._token != ("bracket", "("):
            return self._comparison()
        if depth == _MAX_DEPTH:
            raise QueryError("query-syntax", f"a query may have {_MAX_DEPTH} parentheses inside each other at most")
        self._next += 1
        inside = self.either(depth + 1)
        if self._token != ("bracket", ")"):
            raise self._misunderstood("and, or, or )")
        self._next += 1
        return inside

    def _comparison(self) -> Comparison:
        column = _unquoted(self._take(("word", "quoted"), "a column"))
        if column not in self._columns:
            meant = did_you_mean(nearest(column, self._columns))
            there = f"{meant} There" if meant else "there"
            raise QueryError("query-column", f"there is no column {quoted(column)}; {there} are {_listed(self._columns)}")
        sign = self._take(("comparison",), "a comparison (== != < <= > >=)").text
        if self._token.kind not in ("word", "quoted"):
            raise self._misunderstood("a value")
        token, kind = self._tokens[self._next], self._columns[column]
        self._next += 1
        is_none = token.kind == "word" and token.text.lower() == "none"
        value = None if is_none else _value(column, kind, token)
        if sign not in ("==", "!=") and not isinstance(value, float):
            raise QueryError(
                "query-value", f"{column} {sign} {shortened(token.text)}: only numbers are smaller or larger; use == or !="
            )
        return Comparison(column, kind, sign, value)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _takes_word(self, word: str) -> bool:
        found = self._token.kind == "word" and self._token.text.lower() == word
        self._next += found
        return found

    def _take(self, kinds: Collection[str], wanted: str) -> _Token:
        if self._token.kind not in kinds:
            raise self._misunderstood(wanted)
        self._next += 1
        return self._tokens[self._next - 1]

    def _misunderstood(self, wanted: str) -> QueryError:
        found = "the end" if self._token.kind == "end" else quoted(self._token.text)
        return QueryError("query-syntax", f"{quoted(self._text)}: {wanted} is needed where {found} stands")


def _value(column: str, kind: ColumnKind, token: _Token) -> Value:
    word = _unquoted(token)
    if kind == "cell":
        number = None if token.kind == "quoted" else _number(word)
        return word if number is None else number
    if kind in ("text", "words"):
        return word
    if kind == "truth":
        if word.lower() in _TRUTHS:
            return _TRUTHS[word.lower()]
        raise QueryError("query-value", f"{column} is true or false, not {quoted(word)}")
    if word.lower() == "nan":
        raise QueryError("query-value", f"{column}: nothing is smaller, larger or equal to nan; a missing value is none")
    number = _number(word)
    if number is None:
        raise QueryError("query-value", f"{column} is a number, and {quoted(word)} is none")
    return number


def _number(text: str) -> float | None:
    """The number that a text is; None for any other text, such as 1_2, which is twelve to Python, and for nan."""
    try:
        number = real_number(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _unquoted(token: _Token) -> str:
    return token.text[1:-1] if token.kind == "quoted" else token.text


def _listed(columns: Collection[str]) -> str:
    return ", ".join(columns)
