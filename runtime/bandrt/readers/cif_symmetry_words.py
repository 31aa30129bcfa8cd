"""What a CIF says of its symmetry besides the space group: crystal system, lattice, Laue class, point group, Schoenflies symbol.

None of these tells which operations there are, but each can contradict them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

import gemmi
import numpy as np
from gemmi import cif

from bandrt.errors import InputError
from bandrt.readers.cif_symmetry import Operations
from bandrt.readers.cif_tags import pair_of, plain_tag, value_of
from bandrt.readers.symmetry_agreement import setting_of

_WORD_TAG = re.compile(
    r"_(symmetry|space_?group)_(?!magn)(?P<kind>cell_setting|crystal_system|laue_class|point_group(_h_?m)?|bravais_type|centring_type"
    r"|name_schoenflies|patterson_name_h_?m)"
)
WORD_PARTS = ("setting", "crystal_system", "laue", "point_group", "bravais", "centring", "schoenflies", "patterson")
"""Of the tags of such words, in small letters: a text without any has none."""
_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
_SYSTEM_WORDS = {
    **{system: (system,) for system in _SYSTEMS},
    "trigonal": ("trigonal", "hexagonal"),
    "hexagonal": ("trigonal", "hexagonal"),
    "rhombohedral": ("trigonal",),
    "isometric": ("cubic",),
    "anorthic": ("triclinic",),
}
_BRAVAIS = re.compile(r"([amothc])([PABCSFIRH])")
_FAMILIES = {
    "a": ("triclinic",),
    "m": ("monoclinic",),
    "o": ("orthorhombic",),
    "t": ("tetragonal",),
    "h": ("trigonal", "hexagonal"),
    "c": ("cubic",),
}
_SCHOENFLIES = re.compile(r"([cdsto])(\d?)([hvdis]?)[\^\-.\s]+(\d{1,2})")
_FIRST_NUMBERS = {
    **{"c1": 1, "ci": 2, "s2": 2, "c2": 3, "cs": 6, "c2h": 10, "d2": 16, "c2v": 25, "d2h": 47, "c4": 75, "s4": 81, "c4h": 83},
    **{"d4": 89, "c4v": 99, "d2d": 111, "d4h": 123, "c3": 143, "c3i": 147, "s6": 147, "d3": 149, "c3v": 156, "d3d": 162},
    **{"c6": 168, "c3h": 174, "c6h": 175, "d6": 177, "c6v": 183, "d3h": 187, "d6h": 191, "t": 195, "th": 200, "o": 207, "td": 215},
    "oh": 221,
}
"""Of each point group, the number of its first space group; the symbols of Schoenflies count from there."""
_NO_SYMMETRY = frozenset({"triclinic", "anorthic", "p", "ap", "1", "-1", "c1^1", "p-1", "p1"})
"""Words that a crystal without symmetry may carry."""

_WITHOUT_AXES = {
    **{"-31m": "-3m", "-3m1": "-3m", "12/m1": "2/m", "112/m": "2/m", "2/m11": "2/m", "m3": "m-3", "m3m": "m-3m"},
    **{"312": "32", "321": "32", "31m": "3m", "3m1": "3m", "-4m2": "-42m", "-62m": "-6m2", "121": "2", "112": "2", "211": "2"},
    **{"2mm": "mm2", "m2m": "mm2", "1m1": "m", "11m": "m", "m11": "m"},
}
"""Point groups by symbols that say how they lie to the axes, too."""

Test = Callable[[Operations], bool | None]
"""Whether operations are as a word says; None where that is not known."""


def symmetry_words(block: cif.Block) -> list[tuple[str, str]]:
    """Tag and value of everything that a block says of its symmetry in such words."""
    found = []
    for item in block:
        loop = item.loop
        if item.pair is not None:
            pairs = [pair_of(item)]
        elif loop is not None and loop.length() == 1:
            pairs = list(zip(loop.tags, loop.values, strict=True))
        else:
            continue
        found += [(tag, value_of(value)) for tag, value in pairs if _is_word_tag(tag) and value_of(value)]
    return found


@lru_cache(maxsize=4096)
def _is_word_tag(tag: str) -> bool:
    return _WORD_TAG.fullmatch(plain_tag(tag)) is not None


def check_words(words: Iterable[tuple[str, str]], meanings: Iterable[Operations], *, stated: bool, name: str) -> None:
    """Refuse words that contradict the symmetry, or that are all that a file says of it.

    Args:
        words: tag and value of each.
        meanings: what the other statements mean, by any of which a word may be true.
        stated: whether there are such statements.
        name: what to call the file.

    Raises:
        InputError: ``contradicting-symmetry`` or ``bad-symmetry``.
    """
    groups = list(meanings)
    for tag, word in words:
        if not stated and word.lower().replace(" ", "") not in _NO_SYMMETRY:
            message = f"{name}: {tag} says {word!r}, which leaves its operations open; list them, or name the space group"
            raise InputError("bad-symmetry", message)
        test = _test_of(tag, word)
        if stated and test is not None and all(test(operations) is False for operations in groups):
            message = f"{name}: {tag} says {word!r}, the space group is none of that kind; remove what is wrong"
            raise InputError("contradicting-symmetry", message)


def _test_of(tag: str, word: str) -> Test | None:
    """What a word says of operations; None if it is not understood."""
    match = _WORD_TAG.fullmatch(plain_tag(tag))
    kind = match["kind"] if match else ""
    if kind in ("cell_setting", "crystal_system"):
        systems = _SYSTEM_WORDS.get(word.lower())
        return None if systems is None else lambda operations: crystal_system(operations) in systems
    if kind == "bravais_type":
        bravais = _BRAVAIS.fullmatch(word)
        return None if bravais is None else lambda operations: _is_lattice(operations, bravais[2], _FAMILIES[bravais[1]])
    if kind == "centring_type":
        return (lambda operations: _is_lattice(operations, word[0].upper(), _SYSTEMS)) if word[0].upper() in "PABCFIRH" else None
    if kind == "name_schoenflies":
        number = schoenflies_number(word)
        return None if number is None else lambda operations: _of_setting(operations, lambda setting: setting.number == number)
    if _plain(word) not in _point_groups():
        return None
    if kind == "laue_class":
        return lambda operations: _of_setting(operations, lambda setting: _plain(setting.laue_str()) == _plain(word))
    if kind.startswith("point_group"):
        return lambda operations: _of_setting(operations, lambda setting: _plain(setting.point_group_hm()) == _plain(word))
    return None


@lru_cache(maxsize=1)
def _point_groups() -> frozenset[str]:
    return frozenset(_plain(setting.point_group_hm()) for setting in gemmi.spacegroup_table())


def _plain(symbol: str) -> str:
    """The symbol of a point group in one spelling."""
    plain = re.sub(r"[\s_]", "", symbol).lower()
    return _WITHOUT_AXES.get(plain, plain)


def _of_setting(operations: Operations, test: Callable[[gemmi.SpaceGroup], bool]) -> bool | None:
    setting = setting_of(operations)
    return None if setting is None else test(setting)


def schoenflies_number(symbol: str) -> int | None:
    """Number of a space group by the symbol of Schoenflies, ``O_h^5``; None if it is not understood."""
    match = _SCHOENFLIES.fullmatch(re.sub(r"[_{}]", "", symbol.lower()).strip("^~"))
    first = _FIRST_NUMBERS.get("".join(match.groups()[:3])) if match else None
    if match is None or first is None:
        return None
    number = first + int(match[4]) - 1
    following = min((other for other in _FIRST_NUMBERS.values() if other > first), default=231)
    return number if first <= number < following else None


def crystal_system(operations: Operations) -> str:
    """The crystal system that a group of operations belongs to."""
    signs = np.rint(np.linalg.det(operations.rotations))
    turns = np.unique(operations.rotations * signs[:, None, None], axis=0)  # the proper part of each
    twofold, threefold, fourfold, sixfold = (int((np.trace(turns, axis1=1, axis2=2) == trace).sum()) for trace in (-1, 0, 1, 2))
    if threefold > 2:
        return "cubic"
    if sixfold:
        return "hexagonal"
    if threefold:
        return "trigonal"
    if fourfold:
        return "tetragonal"
    return {0: "triclinic", 1: "monoclinic"}.get(twofold, "orthorhombic")


def _is_lattice(operations: Operations, letter: str, systems: tuple[str, ...]) -> bool:
    """Whether the pure translations are those of a centring, and the crystal system is one of these."""
    pure = (operations.rotations == np.eye(3)).all(axis=(1, 2))
    n_translations = len(np.unique(np.round(operations.translations[pure] % 1.0, 3) % 1.0, axis=0))
    expected = {"P": (1,), "R": (1, 3), "H": (3,), "F": (4,), "S": (2,)}.get(letter, (2,))
    return n_translations in expected and crystal_system(operations) in systems
