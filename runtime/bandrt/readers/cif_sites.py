"""The atom sites that a CIF lists: which element each holds, where it lies, and that it is full."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.elements import SYMBOLS
from bandrt.errors import InputError
from bandrt.limits import MAX_FRACTION, WRONG
from bandrt.quoting import quoted
from bandrt.readers.cif_cartesian import fractional_columns
from bandrt.readers.cif_tags import (
    CARTESIAN,
    COORDINATES,
    DOTTED_CARTESIAN_X,
    DOTTED_X,
    cif_number,
    cif_numbers,
    value_of,
)
from bandrt.readers.site_labels import misnamed
from bandrt.readers.species import is_full, label_number, may_count_atoms, partial_occupancy, species_number, unknown_species

_LABEL, _TYPE, _OCCUPANCY = "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy"
_MULTIPLICITY, _HYDROGENS = "_atom_site_symmetry_multiplicity", "_atom_site_attached_hydrogens"
_GROUP, _ASSEMBLY = "_atom_site_disorder_group", "_atom_site_disorder_assembly"
_ALTERNATIVES = (_GROUP, "_atom_site_label_alt_id")
"""Which of several alternatives a site belongs to, in the dictionaries of small and of large molecules."""
_WITH_POSITIONS = (*COORDINATES, _LABEL, _TYPE, _OCCUPANCY, *_ALTERNATIVES, "_atom_site_calc_flag", _MULTIPLICITY, _HYDROGENS)
"""What has to stand in one row with the positions, as it belongs to them by its place only."""
_SHARED_SITE = 1e-3
"""Fraction of a cell: rows nearer than this are of one site."""
_FULLERENES = {"C60": "C59", "C70": "C69"}


class Sites(NamedTuple):
    """The sites of a file.

    Attributes:
        atomic_numbers: (n_sites,).
        frac_coords: (n_sites, 3).
        labels: of each, as written.
        multiplicities: how many atoms each stands for, as written; empty if the file does not say.
        doubt: what is wrong with them unless the formula of the file says the same.
    """

    atomic_numbers: NDArray[np.int32]
    frac_coords: NDArray[np.float64]
    labels: list[str]
    multiplicities: list[str]
    doubt: InputError | None


def site_columns(block: cif.Block, lattice: NDArray[np.float64], name: str) -> dict[str, list[str]]:
    """Columns of the atom-site loop by lower-case name, one token per site.

    Raises:
        InputError: ``no-atoms``, ``cif-incomplete`` or ``bad-coordinates``.
    """
    loop = block.find_loop(COORDINATES[0]).get_loop() or block.find_loop(DOTTED_X).get_loop()
    loop = loop or block.find_loop(CARTESIAN[0]).get_loop() or block.find_loop(DOTTED_CARTESIAN_X).get_loop()
    if loop is not None:
        tags, values = loop.tags, loop.values
        width = len(tags)
        columns = {tag.lower().replace("site.", "site_"): values[i::width] for i, tag in enumerate(tags)}
        _check_together(block, columns, name)
    else:  # a single atom may be written without a loop
        pairs = (item.pair for item in block if item.pair is not None)
        columns = {tag.lower().replace("site.", "site_"): [value] for tag, value in pairs}
    columns = _without_dummies(columns, name)
    if columns.get(CARTESIAN[0]) and not any(map(value_of, columns.get(COORDINATES[0], []))):
        columns |= fractional_columns(block, columns, lattice, name)
    if not columns.get(COORDINATES[0]):
        raise InputError("no-atoms", f"{name}: a unit cell but no atom positions; the file may be cut short")
    for tag in COORDINATES:
        if tag not in columns:
            raise InputError("cif-incomplete", f"{name}: {tag} is missing")
    return columns


def _check_together(block: cif.Block, columns: dict[str, list[str]], name: str) -> None:
    """Refuse what belongs to the sites but stands apart from their positions."""
    for tag in _WITH_POSITIONS:
        if tag not in columns and (block.find_values(tag) or block.find_values(tag.replace("site_", "site.", 1))):
            raise InputError(
                "cif-incomplete", f"{name}: {tag} stands apart from the positions of the sites; write both in one loop"
            )


def _without_dummies(columns: dict[str, list[str]], name: str) -> dict[str, list[str]]:
    """The columns without sites that the dictionary of CIF calls dummies: they have meaningless coordinates."""
    flags = [value_of(flag).lower() for flag in columns.get("_atom_site_calc_flag", [])]
    if "dum" not in flags:
        return columns
    if set(flags) == {"dum"}:
        raise InputError("no-atoms", f"{name}: every site is a dummy")
    return _rows(columns, [row for row, flag in enumerate(flags) if flag != "dum"])


def _rows(columns: dict[str, list[str]], kept: Sequence[int]) -> dict[str, list[str]]:
    return {tag: [values[row] for row in kept] for tag, values in columns.items() if len(values) > kept[-1]}


def sites_of(columns: dict[str, list[str]], name: str) -> Sites:
    """The sites that the file lists.

    Raises:
        InputError: ``bad-coordinates``, ``unknown-species``, ``partial-occupancy`` or ``cif-incomplete``.
    """
    coords = _coordinates(columns, name)
    symbols = columns.get(_TYPE)
    labels = columns.get(_LABEL) or symbols or [""] * len(coords)
    written, number_in = (labels, label_number) if symbols is None else (symbols, species_number)
    numbers = [number_in(token) or number_in(cif.as_string(token)) for token in written]
    kept = _full_rows(columns, numbers, coords, labels, name)
    if len(kept) < len(numbers):
        columns = _rows(columns, kept) | {_OCCUPANCY: ["1"] * len(kept)}
        numbers, coords = [numbers[row] for row in kept], coords[kept]
        labels, written = [labels[row] for row in kept], [written[row] for row in kept]
    for tag in _ALTERNATIVES:
        _check_alternatives(columns, tag, labels, name)
    _check_hydrogens(columns, labels, name)
    if 0 in numbers:
        numbers = [number or _by_label(written, labels, site, name) for site, number in enumerate(numbers)]
    doubt = _doubt(written, labels, numbers, name)
    return Sites(np.array(numbers, dtype=np.int32), coords, labels, columns.get(_MULTIPLICITY, []), doubt)


def _coordinates(columns: dict[str, list[str]], name: str) -> NDArray[np.float64]:
    """Fractional coordinates, (n_sites, 3)."""
    axes = [cif_numbers(columns[tag]) for tag in COORDINATES]
    for tag, values in zip(COORDINATES, axes, strict=True):
        if not (math.isfinite(sum(values)) and min(values) >= -MAX_FRACTION and max(values) <= MAX_FRACTION):
            site = next(row for row, value in enumerate(values) if not abs(value) <= MAX_FRACTION)
            labels = columns.get(_LABEL) or [""] * len(values)
            found = f"{name}: {tag} of {place_of(labels, site)} is {columns[tag][site]!r}"
            if math.isfinite(values[site]):
                raise InputError("coordinate-too-large", f"{found}, at most {MAX_FRACTION:g} is taken; {WRONG}")
            raise InputError("bad-coordinates", found)
    return np.array(axes).T.copy()


def _by_label(written: list[str], labels: list[str], site: int, name: str) -> int:
    """Atomic number of a site whose type is not known: its label says which, if the type says nothing.

    Raises:
        InputError: ``unknown-species``.
    """
    number = 0 if value_of(written[site]) else label_number(cif.as_string(labels[site]))
    if not number:
        raise unknown_species(cif.as_string(written[site]) or written[site], name=name, site=place_of(labels, site))
    return number


def _doubt(written: list[str], labels: list[str], numbers: list[int], name: str) -> InputError | None:
    """What speaks against a site being one atom of its type: a number that may count the atoms of a group, or its label."""
    if any(token[-1:].isdigit() for token in set(written)):
        for site, (token, label) in enumerate(zip(written, labels, strict=True)):
            before = _FULLERENES.get(token)
            if may_count_atoms(token, label) or (before and before not in labels):
                return unknown_species(token, name=name, site=place_of(labels, site))
    held = set(numbers)
    for site, (label, number) in enumerate(zip(labels, numbers, strict=True)):
        if label.rstrip("0123456789") != SYMBOLS[number] and (found := misnamed(value_of(label), number, held)):
            return InputError(
                "species-mismatch",
                f"{name}: {place_of(labels, site)} holds {quoted(value_of(written[site]) or SYMBOLS[number])}, but {found}; mend"
                " one of them, or state the formula, if both are right",
            )
    return None


def place_of(labels: list[str], site: int) -> str:
    """Which site is meant, for people."""
    return f"site {site + 1} ({labels[site]})"


def _full_rows(
    columns: dict[str, list[str]], numbers: list[int], coords: NDArray[np.float64], labels: list[str], name: str
) -> list[int]:
    """The rows of full sites: all, but of rows that fill one site together with one element, as Fe2+ and Fe3+ may, the first.

    Raises:
        InputError: ``partial-occupancy``.
    """
    rows = list(range(len(numbers)))
    tokens = columns.get(_OCCUPANCY)
    if tokens is None or set(tokens) <= {"1", "1.0", "?", "."}:
        return rows
    occupancies = [cif_number(token) if value_of(token) else 1.0 for token in tokens]
    partial = [row for row in rows if not is_full(occupancies[row])]
    merged: set[int] = set()
    for row in partial:
        if row in merged:
            continue
        offset = coords[partial] - coords[row]
        shared = [
            other
            for other, apart in zip(partial, np.abs(offset - np.rint(offset)).max(axis=1).tolist(), strict=True)
            if apart < _SHARED_SITE and numbers[other] == numbers[row] != 0
        ]
        if not is_full(sum(occupancies[other] for other in shared)) or min(occupancies[other] for other in shared) < 0.0:
            raise partial_occupancy(tokens[row], name=name, site=place_of(labels, row))
        merged.update(shared[1:])
    return [row for row in rows if row not in merged]


def _check_hydrogens(columns: dict[str, list[str]], labels: list[str], name: str) -> None:
    """Refuse hydrogen atoms that are counted but not placed."""
    for site, token in enumerate(columns.get(_HYDROGENS, [])):
        if value_of(token) not in ("", "0"):
            message = f"{name}: {place_of(labels, site)} has {token} hydrogen atoms without positions; place them"
            raise InputError("cif-incomplete", message)


def _check_alternatives(columns: dict[str, list[str]], tag: str, labels: list[str], name: str) -> None:
    """Refuse disorder groups, unless all that is left of them is one alternative whose sites are said to be full."""
    groups = columns.get(tag)
    if groups is None:
        return
    assemblies: Iterable[str] = columns.get(_ASSEMBLY, ["."] * len(groups))
    occupancies = columns.get(_OCCUPANCY, ["."] * len(groups))
    first: dict[str, str] = {}
    for site, (group, assembly, occupancy) in enumerate(zip(groups, assemblies, occupancies, strict=True)):
        said = value_of(group)
        if said in ("", "0"):
            continue
        if first.setdefault(value_of(assembly), said) != said or said.startswith("-") or not value_of(occupancy):
            raise InputError(
                "partial-occupancy",
                f"{name}: {place_of(labels, site)} is one of several alternatives, disorder group {said!r}; keep one,"
                " fully occupied",
            )
