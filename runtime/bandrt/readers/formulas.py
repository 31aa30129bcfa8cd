"""Chemical formulas as files write them: how much of which element, and whether atoms that were counted contradict it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from bandrt.elements import SYMBOLS
from bandrt.quoting import quoted
from bandrt.readers.species import species_number

_CHARGE = re.compile(r"(?:\s\(?(?:\d*[+-]|[+-]\d*)\)?|(?<=[A-Za-z)\]}])[+-])$", re.ASCII)
"""Behind a formula; of ``O42-`` it may be 2- or only -, so that the amounts cannot be read."""
_JOINT = re.compile(r"[*·•;]|,(?!\d)")
"""Between the parts of a formula, ``CaO2*H2``."""
_TOKEN = re.compile(
    r"(?:(?P<symbol>[A-Z][a-z]?)|(?P<amount>\d++\.?+\d*+|\.\d++)(?:\(\d{1,4}\))?(?!\.)|(?P<open>[(\[{])|(?P<close>[)\]}]))\s*+",
    re.ASCII,
)
_ATTACHED, _APART = re.compile(r"[A-Za-z)\]}][.\d]"), re.compile(r"[A-Za-z)\]}]\s+[.\d]")
"""An amount right behind what it is of, or after a blank."""
_PARTNERS = {")": "(", "]": "[", "}": "{"}
_WORD = re.compile(r"[^\W\d_]+")
_SYMBOL = re.compile(r"[A-Z][a-z]?|.", re.DOTALL)
_VARIABLES = "xyzδ"
"""What stands for an amount in ``Fe(1-x) Ni(x) S``."""
_LONGEST, _DEEPEST = 10_000, 8
"""Characters, and brackets in each other: no formula has more."""

_BEYOND_ANY_CELL = 1e15
"""An amount that no cell holds; a larger one is no less wrong."""

_LAST_DIGIT = 0.7
"""How many of its last digits an amount may be off, that of 2/3 cut to 0.66 included; 0.99 is not 1."""
_ROUNDING = 1e-9


class Amount(NamedTuple):
    """How much there is of an element, or of what stands between brackets.

    Attributes:
        value: per formula.
        digit: what one more in the last digit that is written adds; 0 for whole numbers.
    """

    value: float
    digit: float


_ONE = Amount(1.0, 0.0)
_Terms = list[tuple[int, Amount]]


@lru_cache(maxsize=1024)
def amounts_of(formula: str) -> dict[int, int]:
    """Whole amounts by atomic number of a formula like ``Sr1 Ti1 O3`` or ``Ca(OH)2``; empty for other amounts and for free text."""
    amounts = _amounts_in(formula)
    if not all(amount.value.is_integer() for amount in amounts.values()):
        return {}
    return {number: int(amount.value) for number, amount in amounts.items() if amount.value}


def contradiction_of(formula: str, found: Mapping[int, int], units: int = 0) -> str:
    """What is wrong with the atoms of a cell beside a formula: one of a unit, of which it holds several, or of the whole cell.

    Where amounts cannot be read, the elements that the formula names have to be those of the cell; a phrase says nothing.

    Args:
        formula: as the file writes it.
        found: how many atoms the cell holds of each atomic number.
        units: how many formula units the cell holds; 0 if the file does not say.

    Returns:
        What is found and what is stated, in words; empty if they agree.
    """
    stated, amounts = amounts_of(formula), _amounts_in(formula)
    if stated:
        wrong, why = _is_no_multiple(stated, found, units), "it may be cut short"
        whose = f"{units} x {quoted(formula)}" if units else f"a multiple of {quoted(formula)}"
    elif amounts:
        wrong, why = _has_other_ratios(amounts, found), "a site may not be full"
        whose = f"{quoted(formula)}, which is no multiple of it"
    else:
        named = _elements_in(formula)
        wrong, why = bool(named) and named != set(found), "atoms may be missing"
        whose = f"{quoted(formula)}, which has other elements"
    content = " ".join(f"{SYMBOLS[number]}{amount}" for number, amount in sorted(found.items()))
    return f"the cell holds {content}, the file states {whose}; {why}" if wrong else ""


def _is_no_multiple(stated: Mapping[int, int], found: Mapping[int, int], units: int) -> bool:
    """Whether the atoms are not so many units, or the whole cell, of a formula with whole amounts."""
    first = next(iter(stated))
    times = found.get(first, 0) // stated[first]
    whole_cell = times == 1 and (not units or math.gcd(*stated.values()) % units == 0)
    right_number = times >= 1 if not units else times == units or whole_cell
    return not right_number or found != {number: times * amount for number, amount in stated.items()}


def _has_other_ratios(amounts: Mapping[int, Amount], found: Mapping[int, int]) -> bool:
    """Whether the atoms are no multiple of a formula with other amounts, as far as its digits tell."""
    least, most = 0.0, math.inf
    for number, (amount, digit) in amounts.items():
        least = max(least, found.get(number, 0) / (amount + _LAST_DIGIT * digit + _ROUNDING))
        most = min(most, found.get(number, 0) / max(amount - _LAST_DIGIT * digit - _ROUNDING, _ROUNDING))
    return least > most or amounts.keys() != found.keys()


@lru_cache(maxsize=1024)
def _amounts_in(formula: str) -> dict[int, Amount]:
    """Amounts by atomic number, without those that are zero; empty where they cannot be read."""
    text = _CHARGE.sub("", formula.strip()) if len(formula) <= _LONGEST else ""
    terms = _terms_of(text)
    if not terms and _is_in_capitals(text):  # CA1 O2
        terms = _terms_of(text.title())
    amounts: dict[int, Amount] = {}
    for number, (value, digit) in terms:
        before = amounts.get(number, Amount(0.0, 0.0))
        amounts[number] = Amount(min(before.value + value, _BEYOND_ANY_CELL), before.digit + digit)
    return {number: amount for number, amount in amounts.items() if amount.value}


def _is_in_capitals(text: str) -> bool:
    """Whether it has capitals alone, and a number, which no abbreviation has."""
    return text.isupper() and any(map(str.isdigit, text))


def _terms_of(text: str) -> _Terms:
    """Elements and amounts as they follow each other; nothing of free text."""
    terms: _Terms = []
    for part in _JOINT.split(text.rstrip(" ,;")):
        of_part = _terms_of_part(part.strip())
        if not of_part:
            return []
        terms += of_part
    return terms


def _terms_of_part(text: str) -> _Terms:
    """The same of what has no joint in it; a number may stand before it, ``2H2O``."""
    levels: list[_Terms] = [[]]
    opened: list[str] = []
    if _ATTACHED.search(text) and _APART.search(text):  # O 2 H2 O: two atoms of oxygen, or two molecules of water
        return []
    last: _Terms = []  # what an amount that follows is of
    units, end = _ONE, 0
    while end < len(text):
        token = _TOKEN.match(text, end)
        if token is None or len(levels) > _DEEPEST:
            return []
        if token["symbol"]:
            last = [(species_number(token["symbol"]), _ONE)]
            levels[-1] += last
        elif token["open"]:
            opened.append(token["open"])
            levels.append([])
            last = []
        elif token["close"]:
            if not opened or opened.pop() != _PARTNERS[token["close"]]:
                return []
            last = levels.pop()
            levels[-1] += last
        elif last:
            levels[-1][-len(last) :] = _times(last, _amount_of(token["amount"]))
            last = []
        elif end == 0:
            units = _amount_of(token["amount"])
        else:
            return []
        end = token.end()
    return [] if opened or not all(number for number, _ in levels[0]) else _times(levels[0], units)


def _times(terms: _Terms, units: Amount) -> _Terms:
    return [
        (number, Amount(min(value * units.value, _BEYOND_ANY_CELL), value * units.digit + digit * units.value))
        for number, (value, digit) in terms
    ]


def _amount_of(written: str) -> Amount:
    """The number that is written."""
    digit = 10.0 ** -len(written.partition(".")[2]) if "." in written else 0.0
    return Amount(min(float(written), _BEYOND_ANY_CELL), digit)


def _elements_in(text: str) -> frozenset[int]:
    """The elements that a formula names, whatever their amounts; none of a phrase, such as ``rock salt``."""
    if text.endswith(".") or len(text) > _LONGEST:
        return frozenset()
    named: set[int] = set()
    for word in _WORD.findall(text):
        numbers = _elements_of_word(word)
        if not numbers and _is_in_capitals(text) and len(word) == 2:
            numbers = {species_number(word.title())}
        if numbers is None or 0 in numbers:
            return frozenset()
        named |= numbers
    return frozenset(named)


def _elements_of_word(word: str) -> set[int] | None:
    """The elements of letters that stand together, variables aside; None if there are other letters among them."""
    numbers: set[int] = set()
    for letters in _SYMBOL.findall(word):
        symbol = letters if species_number(letters) and letters not in _VARIABLES else letters.rstrip(_VARIABLES)
        number = species_number(symbol) if symbol[:1].isupper() else 0
        if symbol and not number:
            return None
        numbers |= {number} if symbol else set()
    return numbers
