"""Crystals from CIF text, symmetry expanded; a file that was cut short is refused, never read as a smaller crystal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, cast

import gemmi
import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.readers.cif_plain import plain_cif
from bandrt.readers.cif_symmetry import (
    IDENTITY,
    Operations,
    agree,
    all_settings_of_number,
    expand,
    fits_cell,
    hall_operations,
    is_standard,
    magnetic_operations,
    named_settings,
    parse_operations,
    setting_operations,
    settings_of_code,
    settings_of_number,
)
from bandrt.readers.species import is_full, label_number, partial_occupancy, species_number, unknown_species

_COSINES = {90.0: 0.0, 120.0: -0.5, 60.0: 0.5}  # exact, so that right angles stay right
_COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_DOTTED_X = "_atom_site.fract_x"  # newer dictionaries write a dot
_MODULATED = re.compile(r"_(cell_modulation|cell_wave_vector|cell_subsystem_|\w*_ssg_|atom_site_\w*(fourier|special_func))")
_SYMMETRY_LIKE = re.compile(
    r"_(?!geom|refln|diffrn|publ|journal|audit|exptl|chemical|citation|atom_|struct_)"
    r"\w*(symmetry|space_?group|spgr|symop|symm_op|as_xyz|hermann|h_m$|int_tables|_sg_|hall)"
)
"""Of tags in small letters with underscores for dots and hyphens: whatever may speak of the space group."""
_STANDARD_TAG = re.compile(r"_(symmetry|space_?group)_(?!magn)")
_SAYS_NOTHING = re.compile(
    r"\w*(_ids?|cell_setting|crystal_system|laue_class|patterson\w*|point_group\w*|_details|_comment|bravais_type|centring_type"
    r"|wyckoff\w*|transform\w*|multiplicity|_mxmymz|_text)"
)
"""Tags that leave open which operations there are."""
_OPERATION_TAG = re.compile(r"\w*(as_xyz|operation_xyz|symop_xyz|pos_xyz)")
_MAGNETIC_TAG = re.compile(r"\w*magn\w*(operation_xyz|as_xyz)")
_MAGNETIC_CENTRING_TAG = re.compile(r"\w*magn\w*(centering|centring)_xyz")
_NAME_TAG = re.compile(r"\w*(h_?m|hermann_?mauguin|group_name|group_symbol|name_short)(_alt|_full|_ref|_extended)?")
_NUMBER_TAG = re.compile(r"\w*(it_number|int_?tables?_(no|num|number)|group_number|group_no)")
_TRIVIAL = {"p1", "1", "c1", "c1^1", "triclinic"}
"""What a tag says of a crystal without symmetry."""
_FORMULA = ("_chemical_formula_sum", "_chemical_formula.sum")
_FORMULA_UNITS = ("_cell_formula_units_z", "_cell.formula_units_z")
_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?(?=\s|$|[A-Z])\s*")
_BLOCK_NAME = re.compile(r"^data_[^\s]*(?:[ \t]+(?!_|loop_|save_|#)[^\s#]+)+[ \t]*$", re.IGNORECASE | re.MULTILINE)
_STRUCTURAL = re.compile(r"_(cell_(length|angle|formula_units)_|atom_site_(?!aniso)|chemical_formula_sum)")
_GEMMI_PLACE = re.compile(r"^\w+:(\d+):\d+\(\d+\): ")


def read_cif(text: str, *, name: str = "crystal") -> Crystal:
    """Read the one crystal of a CIF.

    Symmetry comes from the operations if they are listed, else from the Hall symbol, the Hermann-Mauguin name or the
    space-group number; a file with none of these lists every atom. Lattice vector a lies along x, b in the xy plane.

    Args:
        text: the whole file.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``empty-file``, ``not-a-crystal``, ``cif-syntax``, ``cif-incomplete``, ``several-blocks``, ``no-atoms``,
            ``bad-lattice``, ``bad-coordinates``, ``unknown-species``, ``partial-occupancy``, ``bad-symmetry``,
            ``ambiguous-symmetry``, ``contradicting-symmetry``, ``modulated``, ``composition-mismatch`` or ``overlapping-atoms``.
    """
    if plain := plain_cif(text):
        lattice = _lattice(plain.lengths, plain.angles, name)
        numbers, coords = _sites(plain.columns, name)
        _check_composition(plain.formula, plain.units, numbers, name)
        return Crystal.checked(lattice, numbers, coords, name=name)
    block, others = _structure_block(text, name)
    lengths, angles = _cell(block, name)
    lattice = _lattice(lengths, angles, name)
    numbers, coords = _sites(_columns(block, name), name)
    statements = _statements(_symmetry_items(block, name), name)
    if not statements:
        for other in others:
            if any(
                len(c.rotations) > 1 for statement in _statements(_symmetry_items(other, name), name) for c in statement.candidates
            ):
                raise InputError(
                    "bad-symmetry", f"{name}: the symmetry stands in block {other.name!r}, the atoms in {block.name!r}"
                )
    formula, units = _first_value(block, _FORMULA), _first_value(block, _FORMULA_UNITS)
    return _expanded(formula, units, statements or [_NO_SYMMETRY], lattice, numbers, coords, name)


def _structure_block(text: str, name: str) -> tuple[cif.Block, list[cif.Block]]:
    """The one block that has atoms, and the others."""
    if not text or text.isspace():
        raise InputError("empty-file", f"{name}: the file is empty")
    if not text.isascii():
        text = text.encode("ascii", "replace").decode()  # only names of people and places; gemmi wants ASCII values
    document = _document(text, name)
    if len(document) == 1:
        return document[0], []
    with_atoms = [block for block in document if _has_atoms(block)]
    if len(with_atoms) > 1:
        names = ", ".join(block.name for block in with_atoms[:5]) + (", ..." if len(with_atoms) > 5 else "")
        raise InputError("several-blocks", f"{name}: {len(with_atoms)} crystals in one file ({names}); write one file for each")
    if not with_atoms:
        raise InputError("not-a-crystal", f"{name}: no data block has atom sites")
    return with_atoms[0], [block for block in document if not _has_atoms(block)]


def _document(text: str, name: str) -> cif.Document:
    """The text taken apart; blanks in the name of a block, and tags that come twice, do no harm where they do not matter."""
    try:
        try:
            document = cif.read_string(text, check_level=0)
        except ValueError:
            joined = _BLOCK_NAME.sub(lambda line: re.sub(r"[ \t]+", "_", line[0]), text)
            if joined == text:
                raise
            document = cif.read_string(joined, check_level=0)
    except (ValueError, RuntimeError) as error:
        if "data_" not in text.lower():
            raise InputError("not-a-crystal", f"{name}: this is not a CIF, no data_ block in it") from None
        if text.lstrip().startswith("#\\#CIF_2"):
            raise InputError(
                "cif-syntax", f"{name}: triple quotes, lists and tables of CIF 2.0 are not read; save it as CIF 1.1"
            ) from None
        reason = _GEMMI_PLACE.sub(r"line \1: ", str(error)).removeprefix("string: ")
        raise InputError("cif-syntax", f"{name}: {reason}; the file may be cut short") from None
    for block in document:
        _check_tags(block, name)
    return document


def _check_tags(block: cif.Block, name: str) -> None:
    """Refuse a tag without a value, and one that comes twice, unless it says nothing of the structure or the same again."""
    seen: dict[str, str] = {}
    for item in block:
        loop = item.loop
        pairs = [_pair(item)] if item.pair is not None else [(tag, "") for tag in loop.tags] if loop is not None else []
        for written, value in pairs:
            if not value and loop is None:
                raise InputError(
                    "cif-syntax", f"{name}: tag {written} has no value in block {block.name!r}; the file may be cut short"
                )
            tag = _plain_tag(written)
            if tag in seen and not (value and seen[tag] == value) and (_STRUCTURAL.match(tag) or _speaks_of_symmetry(tag)):
                raise InputError("cif-syntax", f"{name}: tag {written} comes twice in block {block.name!r}; keep the right one")
            seen.setdefault(tag, value)


def _pair(item: cif.Item) -> tuple[str, str]:
    """Tag and value of an item that is neither a loop nor a frame."""
    tag, value = cast("tuple[str, str]", item.pair)
    return tag, value


@lru_cache(maxsize=4096)
def _plain_tag(tag: str) -> str:
    """A tag in small letters, with underscores for dots and hyphens, as it is told from others here."""
    return tag.lower().replace(".", "_").replace("-", "_")


def _has_atoms(block: cif.Block) -> bool:
    return any(len(block.find_values(tag)) for tag in (_COORDINATES[0], _DOTTED_X))


def _first_value(block: cif.Block, tags: tuple[str, ...]) -> str:
    """The first of several names for one item that has a value; empty if none has."""
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and (said := _said(value)):
            return said
    return ""


@lru_cache(maxsize=4096)
def _said(token: str) -> str:
    """A value without its quotes; empty for one that says nothing, even in quotes."""
    value = str(cif.as_string(token)).strip()
    return "" if value in ("?", ".") else value


def _cell(block: cif.Block, name: str) -> tuple[list[float], list[float]]:
    """Cell lengths in Å and angles in degrees."""
    values = []
    for item in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"):
        value = block.find_value(f"_cell_{item}") or block.find_value(f"_cell.{item}")
        if value is None:
            if not _has_atoms(block):
                raise InputError("not-a-crystal", f"{name}: no unit cell and no atom sites in it")
            raise InputError("cif-incomplete", f"{name}: _cell_{item} is missing")
        values.append(_number(value))
        if not math.isfinite(values[-1]):
            raise InputError("bad-lattice", f"{name}: _cell_{item} is {value!r}, a number is needed")
    return values[:3], values[3:]


def _lattice(lengths: list[float], angles: list[float], name: str) -> NDArray[np.float64]:
    """Lattice vectors in rows, Å: a along x, b in the xy plane."""
    a, b, c = lengths
    cos_alpha, cos_beta, cos_gamma = (_COSINES.get(angle, math.cos(math.radians(angle))) for angle in angles)
    sin_gamma = math.sqrt(max(0.0, 1.0 - cos_gamma**2))
    squared = 1.0 - cos_alpha**2 - cos_beta**2 - cos_gamma**2 + 2.0 * cos_alpha * cos_beta * cos_gamma
    if min(lengths) <= 0.0 or min(angles) <= 0.0 or max(angles) >= 180.0 or squared <= 0.0 or sin_gamma == 0.0:
        raise InputError("bad-lattice", f"{name}: no cell has lengths {lengths} Å with angles {angles}°")
    x, y = cos_beta, (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    return np.array([[a, 0.0, 0.0], [b * cos_gamma, b * sin_gamma, 0.0], [c * x, c * y, c * math.sqrt(squared) / sin_gamma]])


def _number(token: str) -> float:
    """A CIF number, uncertainty dropped: ``0.333(2)`` is 0.333; nan if it is none."""
    try:
        return float(token)
    except ValueError:
        return float(cif.as_number(token))


def _columns(block: cif.Block, name: str) -> dict[str, list[str]]:
    """Columns of the atom-site loop by lower-case name, one token per site."""
    loop = block.find_loop(_COORDINATES[0]).get_loop() or block.find_loop(_DOTTED_X).get_loop()
    if loop is not None:
        tags, values = loop.tags, loop.values
        width = len(tags)
        columns = {tag.lower().replace("site.", "site_"): values[i::width] for i, tag in enumerate(tags)}
    else:  # a single atom may be written without a loop
        pairs = (item.pair for item in block if item.pair is not None)
        columns = {tag.lower().replace("site.", "site_"): [value] for tag, value in pairs}
    if not columns.get(_COORDINATES[0]):
        raise InputError("no-atoms", f"{name}: a unit cell but no fractional atom positions; the file may be cut short")
    for tag in _COORDINATES:
        if tag not in columns:
            raise InputError("cif-incomplete", f"{name}: {tag} is missing")
    flags = columns.get("_atom_site_calc_flag", [])
    if "dum" in (
        flags := [_said(flag).lower() for flag in flags]
    ):  # the dictionary of CIF: a dummy site, with meaningless coordinates
        columns = {
            tag: [value for value, flag in zip(values, flags, strict=True) if flag != "dum"] for tag, values in columns.items()
        }
        if not columns[_COORDINATES[0]]:
            raise InputError("no-atoms", f"{name}: every site is a dummy")
    return columns


def _sites(columns: dict[str, list[str]], name: str) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Atomic numbers (n_sites,) and fractional coordinates (n_sites, 3) of the sites the file lists."""
    try:
        axes = [list(map(float, columns[tag])) for tag in _COORDINATES]
    except ValueError:
        axes = [[_number(token) for token in columns[tag]] for tag in _COORDINATES]
    symbols = columns.get("_atom_site_type_symbol")
    labels = columns.get("_atom_site_label") or symbols or [""] * len(axes[0])
    for tag, values in zip(_COORDINATES, axes, strict=True):
        if not math.isfinite(sum(values)):
            site = next(i for i, value in enumerate(values) if not math.isfinite(value))
            raise InputError("bad-coordinates", f"{name}: {tag} of {_place(labels, site)} is {columns[tag][site]!r}")
    _check_full(columns, labels, name)
    written, number_of = (labels, label_number) if symbols is None else (symbols, species_number)
    numbers = [number_of(token) or number_of(cif.as_string(token)) for token in written]
    if 0 in numbers:
        numbers = [number or _by_label(written, labels, site, name) for site, number in enumerate(numbers)]
    return np.array(numbers, dtype=np.int32), np.array(axes).T.copy()  # (n_sites, 3)


def _by_label(written: list[str], labels: list[str], site: int, name: str) -> int:
    """Atomic number of a site whose type is not known: its label says which, if the type says nothing.

    Raises:
        InputError: ``unknown-species``.
    """
    number = 0 if _said(written[site]) else label_number(cif.as_string(labels[site]))
    if not number:
        raise unknown_species(cif.as_string(written[site]) or written[site], name=name, site=_place(labels, site))
    return number


def _place(labels: list[str], site: int) -> str:
    return f"site {site + 1} ({labels[site]})"


def _check_full(columns: dict[str, list[str]], labels: list[str], name: str) -> None:
    """Refuse partial occupancy, alternative sites and hydrogen atoms that are counted but not placed."""
    occupancies = columns.get("_atom_site_occupancy", [])
    for token in set(occupancies) - {"1", "1.0", "?", "."}:
        if not is_full(_number(token)):
            raise partial_occupancy(token, name=name, site=_place(labels, occupancies.index(token)))
    _check_alternatives(columns, labels, name)
    hydrogens = columns.get("_atom_site_attached_hydrogens", [])
    for token in set(hydrogens) - {"0", "?", "."}:
        place = _place(labels, hydrogens.index(token))
        raise InputError("cif-incomplete", f"{name}: {place} has {token} hydrogen atoms without positions; place them")


@lru_cache(maxsize=4096)
def _speaks_of_symmetry(tag: str) -> bool:
    plain = _plain_tag(tag)
    return bool(_MODULATED.match(plain) or (_SYMMETRY_LIKE.match(plain) and not _SAYS_NOTHING.fullmatch(plain)))


class _Statement(NamedTuple):
    """One thing that the file says of its symmetry.

    Attributes:
        text: what it says, for a message.
        candidates: what it may mean.
        loose: whether it names the group only, as the number does, and leaves the setting to the other statements.
    """

    text: str
    candidates: list[Operations]
    loose: bool


_NO_SYMMETRY = _Statement("no symmetry", [IDENTITY], loose=False)


def _symmetry_items(block: cif.Block, name: str) -> dict[str, list[str]]:
    """What the tags that speak of symmetry say, by tag in plain letters; only what says something."""
    items: dict[str, list[str]] = {}
    for item in block:
        columns: list[tuple[str, list[str]]] = []
        loop = item.loop
        if item.pair is not None:
            tag, value = _pair(item)
            columns = [(tag, [value])]
        elif loop is not None and any(map(_speaks_of_symmetry, tags := loop.tags)):
            values = loop.values
            columns = [(tag, values[i :: len(tags)]) for i, tag in enumerate(tags)]
        for written, tokens in columns:
            if not _speaks_of_symmetry(written):
                continue
            tag = _plain_tag(written)
            said = [value for token in tokens if (value := _said(token))]
            if _OPERATION_TAG.fullmatch(tag) and (not tokens or 0 < len(said) < len(tokens)):
                raise InputError("bad-symmetry", f"{name}: {written} lacks an operation; the file may be damaged")
            if _MODULATED.match(tag):
                said = [value for value in said if value != "0"]
                if said:
                    message = f"{name}: {written} says {said[0]!r}: a modulated structure is not periodic; use an approximant"
                    raise InputError("modulated", message)
            elif said:
                items.setdefault(tag, []).extend(said)
    return items


def _statements(items: dict[str, list[str]], name: str) -> list[_Statement]:
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
        standard = _STANDARD_TAG.match(tag)
        if _MAGNETIC_CENTRING_TAG.fullmatch(tag) and any(map(_MAGNETIC_TAG.fullmatch, items)):
            continue
        if _MAGNETIC_TAG.fullmatch(tag) or (standard and _OPERATION_TAG.fullmatch(tag)):
            exact.append(_listed(tag, values, items, name))
        elif standard and tag.endswith("coordinate_system_code"):
            code = values[0].lower()
        elif standard and "hall" in tag:
            halls += values
        elif standard and _NUMBER_TAG.fullmatch(tag):
            numbers += values
        elif standard and _NAME_TAG.fullmatch(tag):
            names += [(value, tag) for value in values if not value.isdecimal()]
            numbers += [value for value in values if value.isdecimal()]
        else:
            unknown += [f"{tag} {value!r}" for value in values if not _is_trivial(value)]

    for hall in halls:
        if operations := hall_operations(hall):
            exact.append(_Statement(f"Hall symbol {hall!r}", [operations], loose=False))
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
            named.append(_named(f"space group {hermann_mauguin!r}", settings, loose=loose))
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
            named.append(_named(f"space group number {number}", settings, loose=not code))
        else:
            unknown.append(f"space group number {written!r}" + (f" with code {code!r}" if code else ""))
    if code and not named:
        unknown.append(f"coordinate-system code {code!r}")
    if unknown and not (exact or named):
        raise InputError("bad-symmetry", f"{name}: {unknown[0]} is not understood; list the symmetry operations")
    return exact + named


def _listed(tag: str, values: list[str], items: dict[str, list[str]], name: str) -> _Statement:
    """What a list of operations says; that of a magnetic group together with its centring."""
    try:
        if _MAGNETIC_TAG.fullmatch(tag):
            centring = [value for other, centred in items.items() if _MAGNETIC_CENTRING_TAG.fullmatch(other) for value in centred]
            operations = magnetic_operations(tuple(values), tuple(centring))
        else:
            operations = parse_operations(tuple(values))
    except ValueError as error:
        raise InputError("bad-symmetry", f"{name}: {error}") from None
    return _Statement(f"{tag} with {len(operations.rotations)} operation(s)", [operations], loose=False)


def _named(text: str, settings: Iterable[gemmi.SpaceGroup], *, loose: bool) -> _Statement:
    return _Statement(text, [setting_operations(setting) for setting in settings], loose=loose)


def _is_trivial(value: str) -> bool:
    """Whether a value says that a crystal has no symmetry, ``P 1``, ``1`` or ``x, y, z``."""
    plain = re.sub(r"[\s_+]", "", value).lower()
    return plain in _TRIVIAL or plain == "x,y,z"


def _expanded(
    formula: str,
    units: str,
    statements: list[_Statement],
    lattice: NDArray[np.float64],
    numbers: NDArray[np.int32],
    coords: NDArray[np.float64],
    name: str,
) -> Crystal:
    """The whole cell from the listed sites, by the one meaning of the first statement that fits all the rest."""
    crystals, refusals = [], []
    first, *others = statements
    for operations in first.candidates:
        try:
            if not fits_cell(operations, lattice):
                raise InputError("bad-symmetry", f"{name}: the symmetry operations do not fit the unit cell")
            all_numbers, all_coords = (
                expand(operations, numbers, coords, lattice) if len(operations.rotations) > 1 else (numbers, coords)
            )
            for other in others:
                if not any(agree(operations, c, numbers, coords, lattice, loose=other.loose) for c in other.candidates):
                    raise InputError(
                        "contradicting-symmetry",
                        f"{name}: {first.text} and {other.text} make different crystals of these sites; remove what is wrong",
                    )
            _check_composition(formula, units, all_numbers, name)
            crystals.append(Crystal.checked(lattice, all_numbers, all_coords, name=name))
        except InputError as refusal:
            refusals.append(refusal)
    if not crystals:
        raise refusals[0]
    if len(crystals) > 1:
        raise InputError(
            "ambiguous-symmetry",
            f"{name}: this space group has several settings that fit and the file does not say which; list its operations",
        )
    return crystals[0]


def _check_alternatives(columns: dict[str, list[str]], labels: list[str], name: str) -> None:
    """Refuse disorder groups, unless all that is left of them is one alternative whose sites are said to be full."""
    groups = columns.get("_atom_site_disorder_group")
    if groups is None:
        return
    assemblies = columns.get("_atom_site_disorder_assembly", ["."] * len(groups))
    occupancies = columns.get("_atom_site_occupancy", ["."] * len(groups))
    first: dict[str, str] = {}
    for site, (group, assembly, occupancy) in enumerate(zip(groups, assemblies, occupancies, strict=True)):
        said = _said(group)
        if said in ("", "0"):
            continue
        if first.setdefault(_said(assembly), said) != said or said.startswith("-") or not _said(occupancy):
            raise InputError(
                "partial-occupancy",
                f"{name}: {_place(labels, site)} is one of several alternatives, disorder group {said!r}; keep one, fully occupied",
            )


@lru_cache(maxsize=1024)
def _amounts(formula: str) -> dict[int, int]:
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


def _check_composition(formula: str, written_units: str, numbers: NDArray[np.int32], name: str) -> None:
    """Compare the atoms with the formula the file states: the only trace of a file cut at the end of a row.

    The formula is of one unit, of which the cell holds Z, or (as pymatgen writes it) of the whole cell.
    """
    stated = _amounts(formula)
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
