"""The formula that a CIF states, beside the atoms that its symmetry makes."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.quoting import quoted
from bandrt.readers.species import species_number

_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?(?=\s|$|[A-Z])\s*")

_BEYOND_ANY_CELL = 1e15
"""An amount that no cell holds; a larger one is no less wrong."""

_LAST_DIGIT = 0.7
"""How many of its last digits an amount may be off, that of 2/3 cut to 0.66 included; 0.99 is not 1."""
_ROUNDING = 1e-9


@lru_cache(maxsize=1024)
def amounts_of(formula: str) -> dict[int, int]:
    """Whole amounts by atomic number of a formula like ``Sr1 Ti1 O3``; empty for other amounts and for free text."""
    amounts: dict[int, int] = {}
    for number, written in _terms_of(formula):
        amount = min(float(written), _BEYOND_ANY_CELL)
        if not amount.is_integer():
            return {}
        amounts[number] = amounts.get(number, 0) + int(amount)
    return {number: amount for number, amount in amounts.items() if amount}


def _terms_of(formula: str) -> list[tuple[int, str]]:
    """Atomic numbers and amounts as they are written; nothing of free text."""
    terms: list[tuple[int, str]] = []
    end = 0
    while end < len(formula):
        match = _AMOUNT.match(formula, end)
        number = species_number(match[1]) if match else 0
        if match is None or not number:
            return []
        terms.append((number, match[2] or "1"))
        end = match.end()
    return terms


def check_composition(formula: str, written_units: str, numbers: NDArray[np.int32], name: str) -> None:
    """Compare the atoms with the formula the file states: the only trace of a file cut at the end of a row.

    The formula is of one unit, of which the cell holds Z, or (as pymatgen writes it) of the whole cell.

    Raises:
        InputError: ``composition-mismatch``.
    """
    written = numbers.tolist()
    found = {number: written.count(number) for number in set(written)}
    stated = amounts_of(formula)
    if not stated:
        _check_fractions(formula, found, name)
        return
    units = int(written_units) if written_units.isdecimal() and len(written_units) < 10 else 0
    first = next(iter(stated))
    times = found.get(first, 0) // stated[first]
    whole_cell = times == 1 and (not units or math.gcd(*stated.values()) % units == 0)
    right_number = times >= 1 if not units else times == units or whole_cell
    if not right_number or found != {number: times * amount for number, amount in stated.items()}:
        content = " ".join(f"{SYMBOLS[number]}{amount}" for number, amount in sorted(found.items()))
        unit = f"{units} x {quoted(formula)}" if units else f"a multiple of {quoted(formula)}"
        raise InputError("composition-mismatch", f"{name}: the cell holds {content}, the file states {unit}; it may be cut short")


def _check_fractions(formula: str, found: dict[int, int], name: str) -> None:
    """Compare the atoms with a formula of amounts that are not whole, by their ratios.

    Raises:
        InputError: ``composition-mismatch``.
    """
    terms = [(number, written) for number, written in _terms_of(formula) if float(written)]
    if len({number for number, _ in terms}) != len(terms):
        return
    least, most = 0.0, math.inf
    for number, written in terms:
        amount, unit = float(written), 10.0 ** -len(written.partition(".")[2]) if "." in written else 0.0
        least = max(least, found.get(number, 0) / (amount + _LAST_DIGIT * unit + _ROUNDING))
        most = min(most, found.get(number, 0) / max(amount - _LAST_DIGIT * unit - _ROUNDING, _ROUNDING))
    if terms and (least > most or {number for number, _ in terms} != set(found)):
        content = " ".join(f"{SYMBOLS[number]}{amount}" for number, amount in sorted(found.items()))
        raise InputError(
            "composition-mismatch",
            f"{name}: the cell holds {content}, the file states {quoted(formula)}, which is no multiple of it;"
            " a site may not be full",
        )
