"""Symmetry operations of a CIF and what they make of its sites."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

SPECIAL_POSITION_TOLERANCE = 0.1
"""Å: images of one site nearer than this are one atom on a special position written with few digits (0.33 for 1/3)."""
SAME_SITE_TOLERANCE = 0.01
"""Å: two rows of one species nearer than this are one atom that the file lists although symmetry makes it."""
METRIC_TOLERANCE = 0.01
"""How far, relative to its largest element, an operation may change the cell's metric (cells are written with few digits)."""

ROUNDED_TRANSLATION = 4e-4
"""Fraction of a cell: a translation nearer than this to a multiple of 1/24 or a coarser fraction is that fraction."""

_TERM = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)?(?:/(\d+))?\*?([xyz])?", re.IGNORECASE)
_TIME_REVERSAL = re.compile(r",\s*[+-]?1?\s*$")
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
_KEY_STEP = 1e-6
_KEY_SHIFT = np.array([0.31830988618, 0.36787944117, 0.57721566490])
"""Irrational, so that no coordinate a person writes lies on the border between two keys."""


class Operations(NamedTuple):
    """Space-group operations x' = R x + t on fractional coordinates in columns.

    Attributes:
        rotations: (n_ops, 3, 3) float64, of whole numbers.
        translations: (n_ops, 3) float64.
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]


IDENTITY = Operations(np.eye(3)[None], np.zeros((1, 3)))


@lru_cache(maxsize=4096)
def _parse_row(expression: str) -> tuple[list[float], float]:
    """One coordinate of an operation, e.g. ``-y+1/2``: its row of the rotation and its translation."""
    row, shift, end = [0.0, 0.0, 0.0], Fraction(0), 0
    while end < len(expression):
        match = _TERM.match(expression, end)
        if match is None or match.end() == end or (match[2] is None and match[4] is None) or (end and not match[1]):
            raise ValueError(expression)
        value = Fraction(match[2] or 1) / Fraction(match[3] or 1) * (-1 if match[1] == "-" else 1)
        if match[4]:
            row["xyz".index(match[4].lower())] += float(value)
        else:
            simple = value.limit_denominator(24)
            shift += simple if abs(value - simple) < ROUNDED_TRANSLATION else value  # 0.3333 stands for 1/3, 6/805 for itself
        end = match.end()
    return row, float(shift)


@lru_cache(maxsize=1024)
def parse_operations(triplets: tuple[str, ...]) -> Operations:
    """Operations from CIF triplets, ``-y+1/2, x, z``.

    Raises:
        ValueError: a triplet cannot be read, or together they are not a group (a list that was cut short).
    """
    operations = _parse_all(triplets)
    if not _is_group(operations):
        raise ValueError(f"the {len(triplets)} symmetry operations are not a group; the list may be cut short")
    return operations


def _parse_all(triplets: tuple[str, ...]) -> Operations:
    """Operations that need not be a group."""
    rotations, translations = [], []
    for triplet in triplets:
        try:
            parts = [_parse_row(part) for part in re.sub(r"[\s'\";]", "", triplet).split(",")]
        except (ValueError, ZeroDivisionError, OverflowError):
            parts = []
        if len(parts) != 3:
            raise ValueError(f"symmetry operation {triplet!r} cannot be read")
        rotations.append([row for row, _ in parts])
        translations.append([shift for _, shift in parts])
    return Operations(np.array(rotations), np.array(translations))


def _is_group(operations: Operations) -> bool:
    """Whether every product of two operations is, up to a lattice translation, one of them."""
    rotations, translations = operations
    if len(rotations) == 1:
        return bool((rotations[0] == np.eye(3)).all() and not (translations[0] % 1.0).any())
    flat = rotations.reshape(-1, 3)  # (3 n_ops, 3)
    products = (flat @ rotations.transpose(1, 0, 2).reshape(3, -1)).reshape(-1, 3, len(rotations), 3)  # a, i, b, k
    shifts = (flat @ translations.T).reshape(-1, 3, len(rotations)).transpose(0, 2, 1) + translations[:, None]  # a, b, i

    known = np.sort(_operation_keys(rotations.reshape(-1, 9), translations))
    keys = _operation_keys(products.transpose(0, 2, 1, 3).reshape(-1, 9), shifts.reshape(-1, 3))
    return bool((known[np.searchsorted(known, keys).clip(max=len(known) - 1)] == keys).all())


def _operation_keys(matrices: NDArray[np.float64], shifts: NDArray[np.float64]) -> NDArray[np.int64]:
    """One whole number for each operation, the same for translations that differ by a lattice vector; (n,)."""
    wrapped = np.floor((shifts + _KEY_SHIFT) % 1.0 * 1e4).astype(np.int64)
    signs = (matrices + 1.0).astype(np.int64) @ 3 ** np.arange(9)
    return np.asarray(((signs * 10**4 + wrapped[:, 0]) * 10**4 + wrapped[:, 1]) * 10**4 + wrapped[:, 2])


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
    short_of_other_axes: dict[str, list[gemmi.SpaceGroup]] = {}
    for setting in gemmi.spacegroup_table():
        by_name.setdefault(_NOT_IN_NAME.sub("", setting.hm).lower(), []).append(setting)
        tokens = setting.hm.split()
        if 3 <= setting.number <= 15 and len(tokens) == 4:
            name = (tokens[0] + "".join(token for token in tokens[1:] if token != "1")).lower()
            short = by_name if tokens[1] == tokens[3] == "1" else short_of_other_axes  # the short name is that of axis b
            short.setdefault(name, []).append(setting)
        elif setting.ext == "H":
            by_name.setdefault(setting.short_name().lower(), []).append(setting)  # H -3 m is R -3 m in hexagonal axes
    for name, settings in short_of_other_axes.items():
        by_name.setdefault(name, settings)
    return {name: tuple(settings) for name, settings in by_name.items()}


@lru_cache(maxsize=1024)
def named_settings(hermann_mauguin: str) -> tuple[gemmi.SpaceGroup, ...]:
    """The settings that a Hermann-Mauguin name may stand for; none if it is unknown.

    Blanks, underscores, capitals and parentheses do not matter; full symbols and those with a mark of the origin or the axes
    (``F d -3 m:2``, ``R -3 c RS``), a number in parentheses and the marks of HTML and LaTeX are read, too. Several settings are
    meant where the name does not say which origin, or which axes of a rhombohedral or monoclinic group.
    """
    name = _MARKUP.sub("", _OVERLINE.sub("-", hermann_mauguin))
    stated = _STATED_NUMBER.search(name)
    key = _NOT_IN_NAME.sub("", _STATED_NUMBER.sub("", name)).lower()
    mark = ""
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
        return (setting.qualifier,)
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


@lru_cache(maxsize=1024)
def is_standard(settings: tuple[gemmi.SpaceGroup, ...]) -> bool:
    """Whether a name is that of the standard setting, which is often written for the group in any setting."""
    return len({setting.number for setting in settings}) == 1 and set(settings_of_number(settings[0].number)) <= set(settings)


def magnetic_operations(triplets: tuple[str, ...], centrings: tuple[str, ...]) -> Operations:
    """Operations of a magnetic space group on the atoms, ``-y, x, z+1/2, -1``: with time reversal left out.

    Raises:
        ValueError: one cannot be read, or together they are not a group.
    """
    turns, shifts = (
        _parse_all(tuple(_TIME_REVERSAL.sub("", triplet) for triplet in given)) for given in (triplets, centrings or ("x,y,z",))
    )
    rotations = np.concatenate([turns.rotations] * len(shifts.rotations))
    translations = np.concatenate([turns.translations + shift for shift in shifts.translations])
    _, first = np.unique(_operation_keys(rotations.reshape(-1, 9), translations), return_index=True)
    operations = Operations(rotations[np.sort(first)], translations[np.sort(first)] % 1.0)
    if (shifts.rotations != np.eye(3)).any() or not _is_group(operations):
        raise ValueError(f"the {len(triplets)} magnetic symmetry operations are not a group; the list may be cut short")
    return operations


def agree(
    one: Operations,
    other: Operations,
    numbers: NDArray[np.int32],
    coords: NDArray[np.float64],
    lattice: NDArray[np.float64],
    *,
    loose: bool,
) -> bool:
    """Whether two statements of the symmetry do not contradict each other.

    Args:
        one: what is exact, such as the operations that are listed.
        other: what stands beside it.
        numbers: (n_sites,) atomic numbers of the sites.
        coords: (n_sites, 3) fractional.
        lattice: (3, 3) rows, Å.
        loose: whether the other names only the group, in whichever setting.
    """
    group, other_group = _group(one), _group(other)
    if group.operations == other_group.operations:
        return True
    if len(group.operations) == len(other_group.operations):
        if group.setting is None or other_group.setting is None:  # an origin or axes of its own
            return group.classes == other_group.classes
        if loose and group.setting.number == other_group.setting.number:
            return True
    if not fits_cell(other, lattice):  # right for a primitive cell beside the name of the centred group
        centred = len(other_group.operations) > len(other_group.classes)
        return centred and len(group.operations) == len(group.classes) and group.classes == other_group.classes
    return _same_atoms(expand(one, numbers, coords, lattice), expand(other, numbers, coords, lattice), lattice)


class _Group(NamedTuple):
    """What is compared of two space groups.

    Attributes:
        operations: a key of each.
        setting: the one that has exactly these operations; None for an origin or axes of their own.
        classes: determinant and trace of every operation of the point group, sorted: its kind, whatever its axes.
    """

    operations: frozenset[int]
    setting: gemmi.SpaceGroup | None
    classes: list[tuple[int, int]]


def _group(operations: Operations) -> _Group:
    return _group_of_bytes(operations.rotations.tobytes(), operations.translations.tobytes())


@lru_cache(maxsize=1024)
def _group_of_bytes(rotations: bytes, translations: bytes) -> _Group:
    """The same for operations that are not hashed as arrays."""
    turns, shifts = np.frombuffer(rotations).reshape(-1, 3, 3), np.frombuffer(translations).reshape(-1, 3)
    keys = frozenset(_operation_keys(turns.reshape(-1, 9), shifts).tolist())
    point_group = np.unique(turns, axis=0)
    determinants = np.rint(np.linalg.det(point_group)).astype(int).tolist()
    traces = np.rint(np.trace(point_group, axis1=1, axis2=2)).astype(int).tolist()
    return _Group(keys, _setting(turns, shifts), sorted(zip(determinants, traces, strict=True)))


def _setting(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> gemmi.SpaceGroup | None:
    shifts = translations * gemmi.Op.DEN
    if np.abs(shifts - np.rint(shifts)).max() > ROUNDED_TRANSLATION * gemmi.Op.DEN:
        return None
    group = []
    for rotation, shift in zip(rotations, shifts, strict=True):
        operation = gemmi.Op()
        operation.rot = (rotation * gemmi.Op.DEN).astype(int).tolist()
        operation.tran = (np.rint(shift).astype(int) % gemmi.Op.DEN).tolist()
        group.append(operation)
    return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(group))


def _same_atoms(
    some: tuple[NDArray[np.int32], NDArray[np.float64]],
    others: tuple[NDArray[np.int32], NDArray[np.float64]],
    lattice: NDArray[np.float64],
) -> bool:
    """Whether two lists are of the same atoms, to within `SPECIAL_POSITION_TOLERANCE`."""
    (numbers, coords), (other_numbers, other_coords) = some, others
    if len(numbers) != len(other_numbers):
        return False
    for number, position in zip(other_numbers, other_coords, strict=True):
        offset = coords[numbers == number] - position
        offset -= np.rint(offset)
        if not len(offset) or np.linalg.norm(offset @ lattice, axis=1).min() > SPECIAL_POSITION_TOLERANCE:
            return False
    return True


def fits_cell(operations: Operations, lattice: NDArray[np.float64]) -> bool:
    """Whether the operations leave the metric of the cell as it is."""
    metric = lattice @ lattice.T
    turned = np.einsum("aji,jk,akl->ail", operations.rotations, metric, operations.rotations)
    return bool(np.abs(turned - metric).max() < METRIC_TOLERANCE * metric.max())


def expand(
    operations: Operations, numbers: NDArray[np.int32], coords: NDArray[np.float64], lattice: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """All atoms of the cell from the sites a file lists.

    A site within `SPECIAL_POSITION_TOLERANCE` of a special position is first moved onto it: to the mean of the images
    that coincide there.

    Args:
        operations: the space group.
        numbers: (n_sites,) atomic numbers.
        coords: (n_sites, 3) fractional.
        lattice: (3, 3) rows, Å.

    Returns:
        Atomic numbers (n_atoms,) and fractional coordinates (n_atoms, 3), the images of a site together.
    """
    images = _images(operations, coords)
    offset = images - coords[:, None]
    offset -= np.rint(offset)
    fixed = np.linalg.norm(offset @ lattice, axis=2) < SPECIAL_POSITION_TOLERANCE  # (n_sites, n_ops): site symmetry
    centred = coords + (offset * fixed[..., None]).sum(axis=1) / fixed.sum(axis=1)[:, None]
    images = _images(operations, centred)
    keys = np.floor((images + _KEY_SHIFT) % 1.0 / _KEY_STEP).astype(np.int64)
    flat_keys = (keys[..., 0] * 10**6 + keys[..., 1]) * 10**6 + keys[..., 2]  # (n_sites, n_ops)
    atoms: list[NDArray[np.float64]] = []
    kept: list[int] = []
    for site, orbit_keys in enumerate(flat_keys):
        same = [row for row, other in zip(atoms, kept, strict=True) if numbers[other] == numbers[site]]
        if same and _is_among(centred[site], np.concatenate(same), lattice):
            continue
        first = np.sort(np.unique(orbit_keys, return_index=True)[1])
        atoms.append(images[site, first])
        kept.append(site)
    return np.repeat(numbers[kept], [len(orbit) for orbit in atoms]), np.concatenate(atoms)


def _images(operations: Operations, coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every operation on every position, (n_sites, n_ops, 3)."""
    turned = coords @ operations.rotations.reshape(-1, 3).T  # (n_sites, n_ops * 3)
    return np.asarray(turned.reshape(len(coords), -1, 3) + operations.translations)


def _is_among(position: NDArray[np.float64], others: NDArray[np.float64], lattice: NDArray[np.float64]) -> bool:
    """Whether a site lies on one of the atoms, up to lattice translations."""
    offset = others - position
    offset -= np.rint(offset)
    return bool(np.linalg.norm(offset @ lattice, axis=1).min() < SAME_SITE_TOLERANCE)
