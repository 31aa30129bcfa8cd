"""The atom sites that a CIF lists: which element each holds, where it lies, and that it is full."""

from __future__ import annotations

import math

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from bandrt.errors import InputError
from bandrt.readers.cif_tags import COORDINATES, DOTTED_X, cif_number, value_of
from bandrt.readers.species import is_full, label_number, partial_occupancy, species_number, unknown_species


def site_columns(block: cif.Block, name: str) -> dict[str, list[str]]:
    """Columns of the atom-site loop by lower-case name, one token per site."""
    loop = block.find_loop(COORDINATES[0]).get_loop() or block.find_loop(DOTTED_X).get_loop()
    if loop is not None:
        tags, values = loop.tags, loop.values
        width = len(tags)
        columns = {tag.lower().replace("site.", "site_"): values[i::width] for i, tag in enumerate(tags)}
    else:  # a single atom may be written without a loop
        pairs = (item.pair for item in block if item.pair is not None)
        columns = {tag.lower().replace("site.", "site_"): [value] for tag, value in pairs}
    if not columns.get(COORDINATES[0]):
        raise InputError("no-atoms", f"{name}: a unit cell but no fractional atom positions; the file may be cut short")
    for tag in COORDINATES:
        if tag not in columns:
            raise InputError("cif-incomplete", f"{name}: {tag} is missing")
    flags = columns.get("_atom_site_calc_flag", [])
    if "dum" in (
        flags := [value_of(flag).lower() for flag in flags]
    ):  # the dictionary of CIF: a dummy site, with meaningless coordinates
        columns = {
            tag: [value for value, flag in zip(values, flags, strict=True) if flag != "dum"] for tag, values in columns.items()
        }
        if not columns[COORDINATES[0]]:
            raise InputError("no-atoms", f"{name}: every site is a dummy")
    return columns


def sites_of(columns: dict[str, list[str]], name: str) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Atomic numbers (n_sites,) and fractional coordinates (n_sites, 3) of the sites the file lists."""
    try:
        axes = [list(map(float, columns[tag])) for tag in COORDINATES]
    except ValueError:
        axes = [[cif_number(token) for token in columns[tag]] for tag in COORDINATES]
    symbols = columns.get("_atom_site_type_symbol")
    labels = columns.get("_atom_site_label") or symbols or [""] * len(axes[0])
    for tag, values in zip(COORDINATES, axes, strict=True):
        if not math.isfinite(sum(values)):
            site = next(i for i, value in enumerate(values) if not math.isfinite(value))
            raise InputError("bad-coordinates", f"{name}: {tag} of {_place(labels, site)} is {columns[tag][site]!r}")
    _check_full(columns, labels, name)
    written, number_in = (labels, label_number) if symbols is None else (symbols, species_number)
    numbers = [number_in(token) or number_in(cif.as_string(token)) for token in written]
    if 0 in numbers:
        numbers = [number or _by_label(written, labels, site, name) for site, number in enumerate(numbers)]
    return np.array(numbers, dtype=np.int32), np.array(axes).T.copy()  # (n_sites, 3)


def _by_label(written: list[str], labels: list[str], site: int, name: str) -> int:
    """Atomic number of a site whose type is not known: its label says which, if the type says nothing.

    Raises:
        InputError: ``unknown-species``.
    """
    number = 0 if value_of(written[site]) else label_number(cif.as_string(labels[site]))
    if not number:
        raise unknown_species(cif.as_string(written[site]) or written[site], name=name, site=_place(labels, site))
    return number


def _place(labels: list[str], site: int) -> str:
    return f"site {site + 1} ({labels[site]})"


def _check_full(columns: dict[str, list[str]], labels: list[str], name: str) -> None:
    """Refuse partial occupancy, alternative sites and hydrogen atoms that are counted but not placed."""
    occupancies = columns.get("_atom_site_occupancy", [])
    for token in set(occupancies) - {"1", "1.0", "?", "."}:
        if not is_full(cif_number(token)):
            raise partial_occupancy(token, name=name, site=_place(labels, occupancies.index(token)))
    _check_alternatives(columns, labels, name)
    hydrogens = columns.get("_atom_site_attached_hydrogens", [])
    for token in set(hydrogens) - {"0", "?", "."}:
        place = _place(labels, hydrogens.index(token))
        raise InputError("cif-incomplete", f"{name}: {place} has {token} hydrogen atoms without positions; place them")


def _check_alternatives(columns: dict[str, list[str]], labels: list[str], name: str) -> None:
    """Refuse disorder groups, unless all that is left of them is one alternative whose sites are said to be full."""
    groups = columns.get("_atom_site_disorder_group")
    if groups is None:
        return
    assemblies = columns.get("_atom_site_disorder_assembly", ["."] * len(groups))
    occupancies = columns.get("_atom_site_occupancy", ["."] * len(groups))
    first: dict[str, str] = {}
    for site, (group, assembly, occupancy) in enumerate(zip(groups, assemblies, occupancies, strict=True)):
        said = value_of(group)
        if said in ("", "0"):
            continue
        if first.setdefault(value_of(assembly), said) != said or said.startswith("-") or not value_of(occupancy):
            raise InputError(
                "partial-occupancy",
                f"{name}: {_place(labels, site)} is one of several alternatives, disorder group {said!r}; keep one, fully occupied",
            )
