"""The formula that a CIF states, beside the atoms that its symmetry makes."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.readers.species import species_number

_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?(?=\s|$|[A-Z])\s*")


@lru_cache(maxsize=1024)
def amounts_of(formula: str) -> dict[int, int]:
    """Whole amounts by atomic number of a formula like ``Sr1 Ti1 O3``; empty for other amounts and for free text."""
    amounts: dict[int, int] = {}
    end = 0
    while end < len(formula):
        match = _AMOUNT.match(formula, end)
        number = species_number(match[1]) if match else 0
        amount = float(match[2] or 1) if match else 0.0
        if match is None or not number or not amount.is_integer():  # nor is what overflows
            return {}
        amounts[number] = amounts.get(number, 0) + int(amount)
        end = match.end()
    return {number: amount for number, amount in amounts.items() if amount}


def check_composition(formula: str, written_units: str, numbers: NDArray[np.int32], name: str) -> None:
    """Compare the atoms with the formula the file states: the only trace of a file cut at the end of a row.

    The formula is of one unit, of which the cell holds Z, or (as pymatgen writes it) of the whole cell.

    Raises:
        InputError: ``composition-mismatch``.
    """
    stated = amounts_of(formula)
    if not stated:
        return
    written = numbers.tolist()
    found = {number: written.count(number) for number in set(written)}
    units = int(written_units) if written_units.isdecimal() and len(written_units) < 10 else 0
    first = next(iter(stated))
    times = found.get(first, 0) // stated[first]
    whole_cell = times == 1 and (not units or math.gcd(*stated.values()) % units == 0)
    right_number = times >= 1 if not units else times == units or whole_cell
    if not right_number or found != {number: times * amount for number, amount in stated.items()}:
        content = " ".join(f"{SYMBOLS[number]}{amount}" for number, amount in sorted(found.items()))
        unit = f"{units} x {formula!r}" if units else f"a multiple of {formula!r}"
        raise InputError("composition-mismatch", f"{name}: the cell holds {content}, the file states {unit}; it may be cut short")
