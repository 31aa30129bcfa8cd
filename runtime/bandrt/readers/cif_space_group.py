"""What a CIF says of its space group: operations, Hall symbol, name, number and coordinate-system code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import gemmi
from gemmi import cif

from bandrt.errors import InputError
from bandrt.readers.cif_symmetry import IDENTITY, Operations, magnetic_operations, parse_operations
from bandrt.readers.cif_tags import (
    MAGNETIC_CENTRING_TAG,
    MAGNETIC_TAG,
    MODULATED,
    NAME_TAG,
    NUMBER_TAG,
    OPERATION_TAG,
    STANDARD_TAG,
    pair_of,
    plain_tag,
    speaks_of_symmetry,
    value_of,
)
from bandrt.readers.space_groups import (
    all_settings_of_number,
    hall_operations,
    is_standard,
    named_settings,
    other_axes,
    other_settings_of_number,
    setting_operations,
    settings_of_code,
    settings_of_number,
)

_TRIVIAL = {"p1", "1", "c1", "c1^1", "triclinic"}
"""What a tag says of a crystal without symmetry."""


class Statement(NamedTuple):
    """One thing that the file says of its symmetry.

    Attributes:
        text: what it says, for a message.
        candidates: what it may mean.
        loose: whether it names the group only, as the number does, and leaves the setting to the other statements.
        others: what it may mean besides, in axes of which the candidates are the usual ones.
        usual: the name of the first candidate, where there are others.
    """

    text: str
    candidates: list[Operations]
    loose: bool
    others: tuple[Operations, ...] = ()
    usual: str = ""


NO_SYMMETRY = Statement("no symmetry", [IDENTITY], loose=False)


def symmetry_items(block: cif.Block, name: str) -> dict[str, list[str]]:
    """What the tags that speak of symmetry say, by tag in plain letters; only what says something."""
    items: dict[str, list[str]] = {}
    for item in block:
        columns: list[tuple[str, list[str]]] = []
        loop = item.loop
        if item.pair is not None:
            tag, value = pair_of(item)
            columns = [(tag, [value])]
        elif loop is not None and any(map(speaks_of_symmetry, tags := loop.tags)):
            values = loop.values
            columns = [(tag, values[i :: len(tags)]) for i, tag in enumerate(tags)]
        for written, tokens in columns:
            if not speaks_of_symmetry(written):
                continue
            tag = plain_tag(written)
            said = [value for token in tokens if (value := value_of(token))]
            if OPERATION_TAG.fullmatch(tag) and (not tokens or 0 < len(said) < len(tokens)):
                raise InputError("bad-symmetry", f"{name}: {written} lacks an operation; the file may be damaged")
            if MODULATED.match(tag):
                said = [value for value in said if value != "0"]
                if said:
                    message = f"{name}: {written} says {said[0]!r}: a modulated structure is not periodic; use an approximant"
                    raise InputError("modulated", message)
            elif said:
                items.setdefault(tag, []).extend(said)
    return items


def statements_of(items: dict[str, list[str]], name: str) -> list[Statement]:
    """What the file says of its symmetry, the most exact first; nothing if no tag speaks of it.

    Raises:
        InputError: ``bad-symmetry`` where it says something that is not understood and nothing that is, and
            ``contradicting-symmetry`` for a coordinate-system code that the named group does not have.
    """
    exact, named, unknown, code = [], [], [], ""
    halls: list[str] = []
    names: list[tuple[str, str]] = []
    numbers: list[str] = []
    for tag, values in items.items():
        standard = STANDARD_TAG.match(tag)
        if MAGNETIC_CENTRING_TAG.fullmatch(tag) and any(map(MAGNETIC_TAG.fullmatch, items)):
            continue
        if MAGNETIC_TAG.fullmatch(tag) or (standard and OPERATION_TAG.fullmatch(tag)):
            exact.append(_listed(tag, values, items, name))
        elif standard and tag.endswith("coordinate_system_code"):
            code = values[0].lower().lstrip(":")
        elif standard and "hall" in tag:
            halls += values
        elif standard and NUMBER_TAG.fullmatch(tag):
            numbers += values
        elif standard and NAME_TAG.fullmatch(tag):
            names += [(value, tag) for value in values if not value.isdecimal()]
            numbers += [value for value in values if value.isdecimal()]
        else:
            unknown += [f"{tag} {value!r}" for value in values if not _is_trivial(value)]

    for hall in halls:
        if operations := hall_operations(hall):
            exact.append(Statement(f"Hall symbol {hall!r}", [operations], loose=False))
        else:
            unknown.insert(0, f"Hall symbol {hall!r}")
    if exact:
        code = ""  # it says no more than the operations do

    for hermann_mauguin, tag in names:
        settings = named_settings(hermann_mauguin)
        standard_name = bool(settings) and is_standard(settings)
        if settings and code:
            same_group = all_settings_of_number(settings[0].number) if standard_name else ()
            settings = settings_of_code(settings, code) or settings_of_code(same_group, code)
            if not settings:
                message = f"{name}: space group {hermann_mauguin!r} has no setting {code!r}; remove the one that is wrong"
                raise InputError("contradicting-symmetry", message)
        if settings:
            loose = tag.endswith("_ref") or (standard_name and not code)
            named.append(
                _named(
                    f"space group {hermann_mauguin!r}", settings, loose=loose, others=() if code else other_axes(hermann_mauguin)
                )
            )
        else:
            unknown.insert(0, f"space group {hermann_mauguin!r}")
    named.sort(key=lambda statement: statement.loose)

    for written in numbers:
        number = int(written) if written.isdecimal() and len(written) <= 3 else 0
        settings = settings_of_number(number) if 1 <= number <= 230 else ()
        if settings and code:
            settings = settings_of_code(all_settings_of_number(number), code)
        elif unknown and not (exact or named):
            settings = ()  # a number beside a name that is not understood does not mean the standard setting
        if settings:
            others = other_settings_of_number(number) if not code else ()
            named.append(_named(f"space group number {number}", settings, loose=not code, others=others))
        else:
            unknown.append(f"space group number {written!r}" + (f" with code {code!r}" if code else ""))
    if code and not named:
        unknown.append(f"coordinate-system code {code!r}")
    if unknown and not (exact or named):
        raise InputError("bad-symmetry", f"{name}: {unknown[0]} is not understood; list the symmetry operations")
    return exact + named


def _listed(tag: str, values: list[str], items: dict[str, list[str]], name: str) -> Statement:
    """What a list of operations says; that of a magnetic group together with its centring."""
    try:
        if MAGNETIC_TAG.fullmatch(tag):
            centring = [value for other, centred in items.items() if MAGNETIC_CENTRING_TAG.fullmatch(other) for value in centred]
            operations = magnetic_operations(tuple(values), tuple(centring))
        else:
            operations = parse_operations(tuple(values))
    except ValueError as error:
        raise InputError("bad-symmetry", f"{name}: {error}") from None
    return Statement(f"{tag} with {len(operations.rotations)} operation(s)", [operations], loose=False)


def _named(text: str, settings: Iterable[gemmi.SpaceGroup], *, loose: bool, others: Iterable[gemmi.SpaceGroup] = ()) -> Statement:
    usual = tuple(settings)
    besides = tuple(setting_operations(setting) for setting in others if setting not in usual)
    return Statement(text, [setting_operations(setting) for setting in usual], loose, besides, usual[0].hm.replace(" ", ""))


def _is_trivial(value: str) -> bool:
    """Whether a value says that a crystal has no symmetry, ``P 1``, ``1`` or ``x, y, z``."""
    plain = re.sub(r"[\s_+]", "", value).lower()
    return plain in _TRIVIAL or plain == "x,y,z"
