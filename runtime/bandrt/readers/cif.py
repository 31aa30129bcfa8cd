"""Crystals from CIF text, symmetry expanded; a file that was cut short is refused, never read as a smaller crystal."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import gemmi
import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.readers.cif_plain import plain_cif
from bandrt.readers.cif_symmetry import IDENTITY, Operations, expand, fits_cell, named_operations, parse_operations
from bandrt.readers.species import is_full, label_number, partial_occupancy, species_number, unknown_species

_COSINES = {90.0: 0.0, 120.0: -0.5, 60.0: 0.5}  # exact, so that right angles stay right
_COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_DOTTED_X = "_atom_site.fract_x"  # newer dictionaries write a dot
_OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz")
_NAMES = ("_symmetry_space_group_name_h-m", "_space_group_name_h-m_alt", "_space_group.name_h-m_alt", "_space_group_name_h-m_full")
_HALL = ("_symmetry_space_group_name_hall", "_space_group_name_hall", "_space_group.name_hall")
_NUMBERS = ("_symmetry_int_tables_number", "_space_group_it_number", "_space_group.it_number")
_FORMULA = ("_chemical_formula_sum", "_chemical_formula.sum")
_FORMULA_UNITS = ("_cell_formula_units_z", "_cell.formula_units_z")
_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?(?=\s|$|[A-Z])\s*")
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
            ``ambiguous-symmetry``, ``composition-mismatch`` or ``overlapping-atoms``.
    """
    if plain := plain_cif(text):
        lattice = _lattice(plain.lengths, plain.angles, name)
        numbers, coords = _sites(plain.columns, name)
        _check_composition(plain.formula, plain.units, numbers, name)
        return Crystal.checked(lattice, numbers, coords, name=name)
    block = _structure_block(text, name)
    lengths, angles = _cell(block, name)
    lattice = _lattice(lengths, angles, name)
    numbers, coords = _sites(_columns(block, name), name)
    candidates = _operations(block, angles, name)
    formula, units = _first_value(block, _FORMULA), _first_value(block, _FORMULA_UNITS)
    if len(candidates) == 1 and len(candidates[0].rotations) == 1:
        _check_composition(formula, units, numbers, name)
        return Crystal.checked(lattice, numbers, coords, name=name)
    return _expanded(formula, units, candidates, lattice, numbers, coords, name)


def _structure_block(text: str, name: str) -> cif.Block:
    """The one block that has atoms."""
    if not text or text.isspace():
        raise InputError("empty-file", f"{name}: the file is empty")
    if not text.isascii():
        text = text.encode("ascii", "replace").decode()  # only names of people and places; gemmi wants ASCII values
    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        if "data_" not in text.lower():
            raise InputError("not-a-crystal", f"{name}: this is not a CIF, no data_ block in it") from None
        reason = _GEMMI_PLACE.sub(r"line \1: ", str(error)).removeprefix("string: ")
        raise InputError("cif-syntax", f"{name}: {reason}; the file may be cut short") from None
    if len(document) == 1:
        return document[0]
    with_atoms = [block for block in document if _has_atoms(block)]
    if len(with_atoms) > 1:
        names = ", ".join(block.name for block in with_atoms[:5]) + (", ..." if len(with_atoms) > 5 else "")
        raise InputError("several-blocks", f"{name}: {len(with_atoms)} crystals in one file ({names}); write one file for each")
    if not with_atoms:
        raise InputError("not-a-crystal", f"{name}: no data block has atom sites")
    return with_atoms[0]


def _has_atoms(block: cif.Block) -> bool:
    return any(len(block.find_values(tag)) for tag in (_COORDINATES[0], _DOTTED_X))


def _first_value(block: cif.Block, tags: tuple[str, ...]) -> str:
    """The first of several names for one item that has a value; empty if none has."""
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and value not in ("?", "."):
            return str(cif.as_string(value)).strip()
    return ""


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
        site = numbers.index(0)
        raise unknown_species(cif.as_string(written[site]), name=name, site=_place(labels, site))
    return np.array(numbers, dtype=np.int32), np.array(axes).T.copy()  # (n_sites, 3)


def _place(labels: list[str], site: int) -> str:
    return f"site {site + 1} ({labels[site]})"


def _check_full(columns: dict[str, list[str]], labels: list[str], name: str) -> None:
    """Refuse partial occupancy and hydrogen atoms that are counted but not placed."""
    occupancies = columns.get("_atom_site_occupancy", [])
    for token in set(occupancies) - {"1", "1.0", "?", "."}:
        if not is_full(_number(token)):
            raise partial_occupancy(token, name=name, site=_place(labels, occupancies.index(token)))
    hydrogens = columns.get("_atom_site_attached_hydrogens", [])
    for token in set(hydrogens) - {"0", "?", "."}:
        place = _place(labels, hydrogens.index(token))
        raise InputError("cif-incomplete", f"{name}: {place} has {token} hydrogen atoms without positions; place them")


def _operations(block: cif.Block, angles: list[float], name: str) -> list[Operations]:
    """The space group, as its operations; more than one where the file leaves the origin open."""
    for tag in _OPERATIONS:
        column = block.find_values(tag)
        triplets = tuple([column[i] for i in range(len(column))])  # many times faster than to iterate over it
        if triplets:
            try:
                return [parse_operations(triplets)]
            except ValueError as error:
                raise InputError("bad-symmetry", f"{name}: {error}") from None
    hall = _first_value(block, _HALL)
    if hall:
        try:
            triplets = tuple(operation.triplet() for operation in gemmi.symops_from_hall(hall))
            return [parse_operations(triplets)]
        except (ValueError, RuntimeError):
            raise InputError("bad-symmetry", f"{name}: Hall symbol {hall!r} cannot be read") from None
    hermann_mauguin, number = _first_value(block, _NAMES), _first_value(block, _NUMBERS)
    if not hermann_mauguin and not number:
        return [IDENTITY]
    candidates = named_operations(hermann_mauguin, int(number) if number.isdecimal() else 0, alpha=angles[0], gamma=angles[2])
    if not candidates:
        raise InputError("bad-symmetry", f"{name}: space group {hermann_mauguin or number!r} is unknown; list its operations")
    return candidates


def _expanded(
    formula: str,
    units: str,
    candidates: list[Operations],
    lattice: NDArray[np.float64],
    numbers: NDArray[np.int32],
    coords: NDArray[np.float64],
    name: str,
) -> Crystal:
    """The whole cell from the listed sites, by the one candidate that fits cell and composition."""
    crystals, refusals = [], []
    for operations in candidates:
        try:
            if not fits_cell(operations, lattice):
                raise InputError("bad-symmetry", f"{name}: the symmetry operations do not fit the unit cell")
            all_numbers, all_coords = expand(operations, numbers, coords, lattice)
            _check_composition(formula, units, all_numbers, name)
            crystals.append(Crystal.checked(lattice, all_numbers, all_coords, name=name))
        except InputError as refusal:
            refusals.append(refusal)
    if not crystals:
        raise refusals[0]
    if len(crystals) > 1:
        raise InputError(
            "ambiguous-symmetry",
            f"{name}: this space group has two choices of origin and the file does not say which; list its operations",
        )
    return crystals[0]


@lru_cache(maxsize=1024)
def _amounts(formula: str) -> dict[int, int]:
    """Whole amounts by atomic number of a formula like ``Sr1 Ti1 O3``; empty for other amounts and for free text."""
    amounts: dict[int, int] = {}
    end = 0
    while end < len(formula):
        match = _AMOUNT.match(formula, end)
        number = species_number(match[1]) if match else 0
        amount = float(match[2] or 1) if match else 0.0
        if match is None or not number or amount != int(amount):
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
    units = int(written_units) if written_units.isdecimal() else 0
    first = next(iter(stated))
    times = found.get(first, 0) // stated[first]
    whole_cell = times == 1 and (not units or math.gcd(*stated.values()) % units == 0)
    right_number = times >= 1 if not units else times == units or whole_cell
    if not right_number or found != {number: times * amount for number, amount in stated.items()}:
        content = " ".join(f"{SYMBOLS[number]}{amount}" for number, amount in sorted(found.items()))
        unit = f"{units} x {formula!r}" if units else f"a multiple of {formula!r}"
        raise InputError("composition-mismatch", f"{name}: the cell holds {content}, the file states {unit}; it may be cut short")
