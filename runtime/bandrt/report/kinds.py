"""Warnings and failures by kind: how many crystals each is of, what it means, and some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bandrt.domain import code_of
from bandrt.error_codes import CODES, WARNINGS, ErrorCode
from bandrt.results.prediction import Failure
from bandrt.screening.table import SummaryTable

MOST_EXAMPLES = 3


class Kind(NamedTuple):
    """What has one code."""

    code: str
    n: int
    """Crystals, or inputs that failed."""
    cause: str
    """What the code means; empty for one that another version of bandrt writes."""
    mend: str
    """What the user can do."""
    examples: tuple[str, ...]
    """Some of them: of warnings their ids, of failures what was said."""


def kinds_of_warnings(table: SummaryTable) -> list[Kind]:
    """The warnings of predictions, the most common first."""
    said = ((code, id) for id, words in zip(table.values("id"), table.values("warnings"), strict=True) for code in _codes(words))
    return _kinds(said, WARNINGS)


def kinds_of_failures(failures: Sequence[Failure]) -> list[Kind]:
    """Why inputs have no prediction, the most common first."""
    return _kinds(((one.code, f"{one.id}: {one.message}") for one in failures), CODES)


def _codes(words: Iterable[str]) -> list[str]:
    """Each code that a crystal has, once."""
    return list(dict.fromkeys(map(code_of, words)))


def _kinds(said: Iterable[tuple[str, str]], meanings: Mapping[str, ErrorCode]) -> list[Kind]:
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for code, example in said:
        counts[code] += 1
        some = examples.setdefault(code, [])
        if len(some) < MOST_EXAMPLES:
            some.append(example)
    unknown = ErrorCode(
        "", "This version of bandrt does not know this code.", "See the documentation of the version that wrote it."
    )
    return [
        Kind(code, count, meaning.cause, meaning.mend, tuple(examples[code]))
        for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if (meaning := meanings.get(code, unknown))
    ]
