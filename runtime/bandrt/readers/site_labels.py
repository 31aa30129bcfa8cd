"""What the label of a site says against its type: another element, a mixture, a vacancy, a group whose atoms are not all listed."""

from __future__ import annotations

import re
from collections.abc import Collection

from bandrt.elements import ATOMIC_NUMBERS
from bandrt.readers.species import SECOND_ELEMENT, species_number

_VACANCY = re.compile(r"vac|□", re.IGNORECASE)
_WATER = re.compile(r"(?:wat|o?w\d*$|h[23]o|d2o|oh|ho)(?![a-z])|water", re.IGNORECASE)
_GROUP = re.compile(r"(?:AlH4|BF4|BH4|CH3|CH4|CN|CO3|ClO4|ND[34]|NH[34]|NO[23]|PF6|PO4|SCN|SO4)(?![a-z])")
_SYMBOL = re.compile(r"[A-Z][a-z]?")
_TWO_LETTERS = re.compile(r"([A-Z][a-z])(?:[\s_(\[-]*(\d)|$)")
_TWO_ELEMENTS = re.compile(r"([A-Z][a-z])([A-Z][a-z])(?![a-z])")
_SHARED = re.compile(r"[/,;|&+~:=*]|\.\d")
"""Within a label of two elements: they share the site."""
_HYDROGEN, _CARBON, _OXYGEN = (ATOMIC_NUMBERS[symbol] for symbol in ("H", "C", "O"))


def misnamed(label: str, number: int, held: Collection[int]) -> str:
    """What the label of a site says that its type does not, in words; empty if it says nothing else.

    Names such as ``CA`` and ``CO`` of carbon say nothing, nor do those of one letter, by which many sites are called.

    Args:
        label: as it is written.
        number: atomic number by the type.
        held: those of all sites.
    """
    if _VACANCY.match(label):
        return "its label is that of a vacancy"
    members = _members(label)
    if number in members - {_HYDROGEN} and not members <= set(held):
        return "its label is that of a group of atoms, which are not all listed"
    named = _elements_sharing(label)
    if len(named) > 1 and (_SHARED.search(label) or not named <= set(held)):
        return "its label is that of several elements"
    other = _TWO_LETTERS.match(label)
    if other and ATOMIC_NUMBERS.get(other[1], number) != number and not _is_lettered(other[1], bool(other[2]), number):
        return "its label is that of another element"
    return ""


def _members(label: str) -> set[int]:
    """The elements of the group that a label names; none if it names none."""
    if _WATER.match(label):
        return {_HYDROGEN, _OXYGEN}
    group = _GROUP.match(label)
    return {species_number(symbol) for symbol in _SYMBOL.findall(group[0])} if group else set()


def _elements_sharing(label: str) -> set[int]:
    """The elements that a label names one after the other, ``(Fe,Ni)1``; single letters count where a sign joins two."""
    bare = label.lstrip("([{")
    if pair := _TWO_ELEMENTS.match(bare):
        named = {ATOMIC_NUMBERS.get(symbol, 0) for symbol in pair.groups()}
        return set() if 0 in named else named
    first = _SYMBOL.match(bare)
    if first is None:
        return set()
    seconds = (second[second.lastindex or 0] for second in SECOND_ELEMENT.finditer(bare, first.end()))
    shared = bool(_SHARED.search(bare))
    named = {species_number(symbol) for symbol in seconds if len(symbol) > 1 or symbol in "HD" or shared}
    return {species_number(first[0])} | named - {0} if named - {0} and species_number(first[0]) else set()


def _is_lettered(letters: str, has_number: bool, number: int) -> bool:
    """Whether the second letter may tell atoms of hydrogen, or unnumbered ones of carbon, apart: ``Ha``, ``Ho1``, ``Ca``."""
    return (number == _HYDROGEN and letters[0] == "H") or (number == _CARBON and letters[0] == "C" and not has_number)
