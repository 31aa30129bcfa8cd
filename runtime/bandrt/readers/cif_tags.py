"""Tags of a CIF and what stands behind them: names in one spelling, values without quotes, numbers without uncertainty."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import cast

from gemmi import cif

COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
CARTESIAN = ("_atom_site_cartn_x", "_atom_site_cartn_y", "_atom_site_cartn_z")
DOTTED_X = "_atom_site.fract_x"  # newer dictionaries write a dot
DOTTED_CARTESIAN_X = "_atom_site.cartn_x"
MODULATED = re.compile(r"_(cell_modulation|cell_wave_vector|cell_subsystem_|\w*_ssg_|atom_site_\w*(fourier|special_func))")
_SYMMETRY_LIKE = re.compile(
    r"_(?!geom|refln|diffrn|publ|journal|audit|exptl|chemical|citation|atom_|struct_)"
    r"\w*(symmetry|space_?group|(layer|rod|plane)_?group|spgr|symop|symm_op|as_xyz|hermann|h_m$|int_tables|(?<![a-z])sg_|hall)"
)
"""Of tags in small letters with underscores for dots and hyphens: whatever may speak of the space group."""
STANDARD_TAG = re.compile(r"_(symmetry|space_?group)_(?!magn)")
_SAYS_NOTHING = re.compile(
    r"\w*(_ids?|cell_setting|crystal_system|laue_class|patterson\w*|point_group\w*|_details|_comment|bravais_type|centring_type"
    r"|\w*schoenflies|wyckoff\w*|transform\w*|multiplicity|_mxmymz|_text)"
)
"""Tags that leave open which operations there are; `cif_symmetry_words` reads some."""
OPERATION_TAG = re.compile(r"\w*(as_xyz|operation_xyz|symop_xyz|pos_xyz)")
MAGNETIC_TAG = re.compile(r"\w*magn\w*(operation_xyz|as_xyz)")
MAGNETIC_CENTRING_TAG = re.compile(r"\w*magn\w*(centering|centring)_xyz")
NAME_TAG = re.compile(r"\w*(h_?m|hermann_?mauguin|group_name|group_symbol|name_short)(_alt|_full|_ref|_extended)?")
NUMBER_TAG = re.compile(r"\w*(it_number|int_?tables?_(no|num|number)|group_number|group_no)")
_FRACTION = re.compile(r"([+-]?\d{1,6})/([1-9]\d{0,5})", re.ASCII)
_BEYOND_ANY_CELL = 1e9
STRUCTURAL = re.compile(r"_(cell_(length|angle|formula_units)_|atom_site_(?!aniso)|chemical_formula_sum)")


@lru_cache(maxsize=4096)
def plain_tag(tag: str) -> str:
    """A tag in small letters, with underscores for dots and hyphens, as it is told from others here."""
    return tag.lower().replace(".", "_").replace("-", "_")


@lru_cache(maxsize=4096)
def speaks_of_symmetry(tag: str) -> bool:
    plain = plain_tag(tag)
    return bool(MODULATED.match(plain) or (_SYMMETRY_LIKE.match(plain) and not _SAYS_NOTHING.fullmatch(plain)))


def pair_of(item: cif.Item) -> tuple[str, str]:
    """Tag and value of an item that is neither a loop nor a frame."""
    tag, value = cast("tuple[str, str]", item.pair)
    return tag, value


@lru_cache(maxsize=4096)
def value_of(token: str) -> str:
    """A value without its quotes; empty for one that says nothing, even in quotes."""
    value = str(cif.as_string(token)).strip()
    return "" if value in ("?", ".") else value


def first_value(block: cif.Block, tags: tuple[str, ...]) -> str:
    """The first of several names for one item that has a value; empty if none has."""
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and (said := value_of(value)):
            return said
    return ""


def cif_number(token: str) -> float:
    """A CIF number, uncertainty dropped: ``0.333(2)`` is 0.333, and ``1/4`` is 0.25; nan if it is none."""
    number = float(cif.as_number(token))
    if math.isnan(number):
        written = value_of(token)
        number = float(cif.as_number(written))
        if math.isnan(number) and (fraction := _FRACTION.fullmatch(written)):
            number = int(fraction[1]) / int(fraction[2])
    return number


def whole_of(token: str) -> int:
    """A number of things as files write it, ``4`` or ``4.0``; 0 for what is none, or more than any cell holds."""
    number = cif_number(token)
    return int(number) if number.is_integer() and 0.0 < number < _BEYOND_ANY_CELL else 0


def cif_numbers(tokens: list[str]) -> list[float]:
    """The same of many."""
    if "_" not in "".join(tokens):  # to Python, 1_0 is ten
        try:
            return list(map(float, tokens))
        except ValueError:
            pass
    return list(map(cif_number, tokens))
