"""Space groups by the names, numbers and Hall symbols that people write."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import gemmi
import numpy as np

from bandrt.readers.cif_symmetry import Operations, parse_operations

_OVERLINE = re.compile(r"\\(?:overline|bar)\s*")
_MARKUP = re.compile(r"<[^<>]*>|[${}\\]")
_STATED_NUMBER = re.compile(r"[\s,;]*(?:\(\s*(\d{2,3})\s*\)|\(?\s*(?:no|nr|#)[\s.:]*(\d{1,3})\s*\)?)\s*$", re.IGNORECASE)
_NOT_IN_NAME = re.compile(r"[\s_()'\"~]+")
_SETTING_MARK = re.compile(r"(.+?)(?::|:?origin(?:choice)?|:?(?=[hrsz]))([12hrsz]|[hr][sr]|-?[abc]\d?|[123]?-?[abc]-?[abc]-?[abc])")
_MARKS = {"s": "1", "z": "2", "hs": "h", "hr": "h", "rs": "r", "rr": "r"}
_FULL_SYMBOLS = (
    (re.compile(r"([pfi])[24][123]?/([a-z])-3"), r"\1\2-3"),
    (re.compile(r"([pfi])[24][123]?/([a-z])-32/([a-z])"), r"\1\2-3\3"),
    (re.compile(r"([pabcfi])21?/([a-z])21?/([a-z])21?/([a-z])"), r"\1\2\3\4"),
    (re.compile(r"([pi][46][1-5]?/[a-z])21?/([a-z])21?/([a-z])"), r"\1\2\3"),
    (re.compile(r"([phr]-31?)2/([a-z])(1?)"), r"\1\2\3"),
)
"""Full symbols of the groups that have a shorter one, without blanks."""


@lru_cache(maxsize=1024)
def setting_operations(setting: gemmi.SpaceGroup) -> Operations:
    """The operations of a space group in one of its settings."""
    operations = list(setting.operations())
    return Operations(
        np.array([op.rot for op in operations], dtype=np.float64) / gemmi.Op.DEN,
        np.array([op.tran for op in operations], dtype=np.float64) / gemmi.Op.DEN,
    )


@lru_cache(maxsize=1024)
def hall_operations(symbol: str) -> Operations | None:
    """The operations of a Hall symbol; None if it cannot be read."""
    try:
        return parse_operations(tuple(operation.triplet() for operation in gemmi.symops_from_hall(symbol)))
    except (ValueError, RuntimeError):
        return None


@lru_cache(maxsize=1)
def _settings_by_name() -> dict[str, tuple[gemmi.SpaceGroup, ...]]:
    """Every setting of the space groups by its name without blanks, in small letters."""
    by_name: dict[str, list[gemmi.SpaceGroup]] = {}
    for setting in gemmi.spacegroup_table():
        by_name.setdefault(_key(setting.hm), []).append(setting)
        if (short := _short_name(setting)) and setting.hm.split()[1] == setting.hm.split()[3] == "1":
            by_name.setdefault(short, []).append(setting)  # the short name is that of axis b
        elif setting.ext == "H":
            by_name.setdefault(setting.short_name().lower(), []).append(setting)  # H -3 m is R -3 m in hexagonal axes
    for name, settings in _settings_of_other_axes().items():
        by_name.setdefault(name, list(settings))
    return {name: tuple(settings) for name, settings in by_name.items()}


@lru_cache(maxsize=1)
def _settings_of_other_axes() -> dict[str, tuple[gemmi.SpaceGroup, ...]]:
    """The settings of monoclinic groups with unique axis a or c by their short names."""
    by_name: dict[str, list[gemmi.SpaceGroup]] = {}
    for setting in gemmi.spacegroup_table():
        if (short := _short_name(setting)) and not setting.hm.split()[1] == setting.hm.split()[3] == "1":
            by_name.setdefault(short, []).append(setting)
    return {name: tuple(settings) for name, settings in by_name.items()}


def _short_name(setting: gemmi.SpaceGroup) -> str:
    """The name of a monoclinic setting without the axes that have no symmetry, ``p21/c``; empty for other groups."""
    tokens = setting.hm.split()
    if not (3 <= setting.number <= 15 and len(tokens) == 4):
        return ""
    return (tokens[0] + "".join(token for token in tokens[1:] if token != "1")).lower()


def _key(name: str) -> str:
    return _NOT_IN_NAME.sub("", _STATED_NUMBER.sub("", name)).lower()


def other_axes(hermann_mauguin: str) -> tuple[gemmi.SpaceGroup, ...]:
    """What a short monoclinic name, ``P 21``, stands for where the cell does not allow unique axis b; none for other names."""
    return _settings_of_other_axes().get(_key(_MARKUP.sub("", hermann_mauguin)), ())


@lru_cache(maxsize=1024)
def named_settings(hermann_mauguin: str) -> tuple[gemmi.SpaceGroup, ...]:
    """The settings that a Hermann-Mauguin name may stand for; none if it is unknown.

    Blanks, underscores, capitals and parentheses do not matter; full symbols and those with a mark of the origin or the axes
    (``F d -3 m:2``, ``R -3 c RS``), a number in parentheses and the marks of HTML and LaTeX are read, too. Several settings are
    meant where the name does not say which origin, or which axes of a rhombohedral or monoclinic group.
    """
    name = _MARKUP.sub("", _OVERLINE.sub("-", hermann_mauguin))
    stated = _STATED_NUMBER.search(name)
    key, mark = _key(name), ""
    settings = _settings_by_name().get(key, ())
    if not settings and (marked := _SETTING_MARK.fullmatch(key)):
        key, mark = marked[1], marked[2]
        settings = _settings_by_name().get(key, ())
    if not settings:
        for full, short in _FULL_SYMBOLS:
            if match := full.fullmatch(key):
                settings = _settings_by_name().get(match.expand(short), ())
                break
    if not settings and (other := gemmi.find_spacegroup_by_name(key.capitalize())):  # C m c e
        settings = _settings_by_name()[other.hm.replace(" ", "").lower()]
    if stated:
        settings = tuple(setting for setting in settings if setting.number == int(stated[1] or stated[2]))
    mark = _MARKS.get(mark, mark)
    if mark in ("1", "2"):
        return tuple(setting for setting in settings if setting.ext == mark)
    return settings_of_code(settings, mark) if mark else settings


def settings_of_code(settings: Iterable[gemmi.SpaceGroup], code: str) -> tuple[gemmi.SpaceGroup, ...]:
    """Those of some settings that a coordinate-system code of International Tables stands for, ``b2`` or ``1cab``."""
    return tuple(setting for setting in settings if code in _codes(setting))


def _codes(setting: gemmi.SpaceGroup) -> tuple[str, ...]:
    origin = setting.ext.strip("\0").lower()
    if setting.number > 74 or setting.number < 3:
        return (origin,) if origin else ("1",)
    if setting.number < 16:
        return (
            setting.qualifier,
            setting.qualifier + "1",
        )  # where there is one choice of the cell, some write that it is the first
    axes = setting.qualifier or "abc"
    return (origin + axes,) + ((origin,) if origin and axes == "abc" else ())


@lru_cache(maxsize=256)
def settings_of_number(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """The standard setting of a space group, with both its origins or axes."""
    standard = gemmi.find_spacegroup_by_number(number)
    return _settings_by_name()[standard.hm.replace(" ", "").lower()]


def all_settings_of_number(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """Every setting of a space group."""
    return tuple(setting for setting in gemmi.spacegroup_table() if setting.number == number)


def other_settings_of_number(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """Settings in other axes of a monoclinic or orthorhombic group that is centred, or primitive, as its standard setting is."""
    if not 3 <= number <= 74:
        return ()
    primitive = gemmi.find_spacegroup_by_number(number).hm[0] == "P"
    return tuple(setting for setting in all_settings_of_number(number) if (setting.hm[0] == "P") is primitive)


@lru_cache(maxsize=1024)
def is_standard(settings: tuple[gemmi.SpaceGroup, ...]) -> bool:
    """Whether a name is that of the standard setting, which is often written for the group in any setting."""
    return len({setting.number for setting in settings}) == 1 and set(settings_of_number(settings[0].number)) <= set(settings)
