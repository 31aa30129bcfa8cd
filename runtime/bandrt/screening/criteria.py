"""What is wanted of a crystal: what its label shall be, which has a probability, and what is known of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bandrt.arguments import check_type, checked_items, checked_number, checked_whole, not_allowed
from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import ArgumentError, UsageError
from bandrt.quoting import quoted
from bandrt.readers.text import integer, real_number

MAX_GAP_EV = 1000.0
N_SPACE_GROUPS = 230
_N = TypeVar("_N", int, float)
_ELEMENT = re.compile(r"[A-Z][a-z]?")


@dataclass(frozen=True)
class Criteria:
    """What is wanted; what is left out is not asked.

    Attributes:
        gap: the smallest and the largest gap, eV, both included; inf: no end. A metal has a gap of 0.
        direct: whether the gap shall be direct, or indirect; a metal has neither.
        elements: which a crystal shall contain, all of them.
        exclude: which it shall not contain, none of them.
        max_atoms: most atoms of its primitive cell.
        space_groups: ranges of numbers, from and to, of which its space group shall be in one.
        where: a condition on columns of ``summary.csv``, as `bandrt.results.query` reads it.
    """

    gap: tuple[float, float] | None = None
    direct: bool | None = None
    elements: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_atoms: int | None = None
    space_groups: tuple[tuple[int, int], ...] = ()
    where: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be wanted.

        Raises:
            ArgumentError: ``bad-argument``, naming the field.
        """
        if self.gap is not None:
            object.__setattr__(self, "gap", _checked_gap(self.gap))
        check_type("direct", self.direct, bool | None)
        for name in ("elements", "exclude"):
            symbols = getattr(self, name)
            check_type(name, symbols, tuple[str, ...])
            if not isinstance(symbols, tuple) or set(symbols) - set(ATOMIC_NUMBERS):
                raise not_allowed(name, symbols, "symbols of elements")
        if self.max_atoms is not None:
            checked_whole("max_atoms", self.max_atoms, at_least=1)
        check_type("space_groups", self.space_groups, tuple)
        for one in self.space_groups:
            low, high = _pair("each of space_groups", one)
            least = checked_whole("a space group", low, at_least=1, at_most=N_SPACE_GROUPS)
            checked_whole("a space group", high, at_least=least, at_most=N_SPACE_GROUPS)
        check_type("where", self.where, str | None)

    @property
    def is_of_label(self) -> bool:
        """Whether anything is wanted that the label decides, and that has a probability."""
        return self.gap is not None or self.direct is not None

    def admits_metals(self) -> bool:
        """Whether a metal can be what is wanted of a label."""
        return self.direct is None and (self.gap is None or self.gap[0] <= 0.0)


def _checked_gap(gap: object) -> tuple[float, float]:
    low, high = _pair("gap", gap)
    low = checked_number("the lower end of gap", low, at_least=0.0, at_most=MAX_GAP_EV)
    if high == math.inf:
        return low, math.inf
    high = checked_number("the upper end of gap", high, at_least=0.0, at_most=MAX_GAP_EV)
    if high < low:
        raise ArgumentError("bad-argument", f"the lower end of gap, {low:g} eV, is above the upper one, {high:g} eV")
    return low, high


def _pair(what: str, given: object) -> tuple[object, object]:
    low, high = checked_items(what, given, 2, "two numbers, the smallest and the largest")
    return low, high


def parse_gap(text: str) -> tuple[float, float]:
    """``1.0:1.6``, ``1:`` or ``:0.5``: from and to, in eV.

    Raises:
        UsageError: ``bad-criterion``.
    """
    low, high = _ends(text, real_number, "a gap is LO:HI in eV, such as 1.0:1.6, 1: or :0.5")
    return _accepted(text, lambda: _checked_gap((0.0 if low is None else low, math.inf if high is None else high)))


def parse_elements(text: str) -> tuple[str, ...]:
    """``O,F``: symbols of elements.

    Raises:
        UsageError: ``bad-criterion``.
    """
    symbols = tuple(one.strip() for one in text.split(",") if one.strip())
    if unknown := [one for one in symbols if one not in ATOMIC_NUMBERS]:
        raise _bad(text, f"{quoted(unknown[0])} is no element; symbols are parted by commas, such as O,F")
    if not symbols:
        raise _bad(text, "no element is named")
    return symbols


def parse_space_groups(text: str) -> tuple[tuple[int, int], ...]:
    """``225``, ``195:230`` or ``216,225``: numbers and ranges of them.

    Raises:
        UsageError: ``bad-criterion``.
    """
    found = []
    for one in text.split(","):
        said = "space groups are numbers from 1 to 230, or ranges, such as 216,225 or 195:230"
        low, high = _ends(one if ":" in one else f"{one}:{one}", integer, said)
        pair = (1 if low is None else low, N_SPACE_GROUPS if high is None else high)
        if 1 <= pair[1] < pair[0] <= N_SPACE_GROUPS:
            raise _bad(text, f"{pair[0]} is above {pair[1]}; {said}")
        if not 1 <= pair[0] <= pair[1] <= N_SPACE_GROUPS:
            raise _bad(text, said)
        found.append(pair)
    return tuple(found)


def elements_of(formula: str) -> frozenset[str]:
    """The elements of a formula: ``{"Sr", "Ti", "O"}`` of ``SrTiO3``."""
    return frozenset(_ELEMENT.findall(formula))


def _ends(text: str, number: Callable[[str], _N], said: str) -> tuple[_N | None, _N | None]:
    low, colon, high = text.strip().partition(":")
    if not colon or not (low or high):
        raise _bad(text, said)
    try:
        return (number(low) if low else None), (number(high) if high else None)
    except ValueError:
        raise _bad(text, said) from None


def _accepted(text: str, check: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    try:
        return check()
    except UsageError as error:
        raise _bad(text, error.message) from None


def _bad(text: str, why: str) -> UsageError:
    return UsageError("bad-criterion", f"{quoted(text)}: {why}")
