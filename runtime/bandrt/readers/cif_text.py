"""The text of a CIF taken apart, and the one block of it that has a crystal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gemmi import cif

from bandrt.errors import InputError
from bandrt.readers.cif2 import as_cif1, looks_like_cif2, says_cif2
from bandrt.readers.cif_tags import (
    CARTESIAN,
    COORDINATES,
    DOTTED_CARTESIAN_X,
    DOTTED_X,
    STRUCTURAL,
    pair_of,
    plain_tag,
    speaks_of_symmetry,
)
from bandrt.readers.text import check_not_empty

_BLOCK_NAME = re.compile(r"^data_[^\s]*(?:[ \t]+(?!_|loop_|save_|#)[^\s#]+)+[ \t]*$", re.IGNORECASE | re.MULTILINE)
_MARKS_OF_THE_END = "\x1a\x00"
"""Control-Z of DOS, and zeros of a file that was not written to its end."""
_TYPESET = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\u207b\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u200a\u202f\u3000", " "),
        **dict(zip("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹", "01234567890123456789", strict=True)),
        **{"⁺": "+", "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8"},
        "\ufeff": "",
        "\u200b": "",
    }
)
_OVERLINED = re.compile("([1-6])[\u0304\u0305]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_GEMMI_PLACE = re.compile(r"^\w+:(\d+):\d+\(\d+\): ")


def structure_block(text: str, name: str) -> tuple[cif.Block, list[cif.Block]]:
    """The one block that has atoms, and the others.

    Raises:
        InputError: ``empty-file``, ``not-a-crystal``, ``cif-syntax`` or ``several-blocks``.
    """
    text = _in_ascii(text)
    check_not_empty(text, name=name)
    document = _document(text, name)
    if len(document) == 1:
        return document[0], []
    with_atoms = [block for block in document if has_atoms(block)]
    with_cell = [block for block in with_atoms if has_cell(block)]
    if len(with_cell) == 1:
        with_atoms = with_cell
    if len(with_atoms) > 1:
        names = ", ".join(block.name for block in with_atoms[:5]) + (", ..." if len(with_atoms) > 5 else "")
        raise InputError("several-blocks", f"{name}: {len(with_atoms)} crystals in one file ({names}); write one file for each")
    if not with_atoms:
        raise InputError("not-a-crystal", f"{name}: no data block has atom sites")
    return with_atoms[0], [block for block in document if block is not with_atoms[0]]


def _in_ascii(text: str) -> str:
    """The text as the parser wants it: without marks of its beginning and end, and in ASCII.

    Letters that are none stand in names of people and places, mostly. What typesetting has made of signs and digits is undone, and
    what is left is a sign that no number, element or symmetry has: not a question mark, which would say that nothing is known.
    """
    text = text.removeprefix("\ufeff").rstrip(_MARKS_OF_THE_END)
    if text.isascii():
        return text
    return _NOT_ASCII.sub("@", _OVERLINED.sub(r"-\1", text).translate(_TYPESET))


def _document(text: str, name: str) -> cif.Document:
    """The text taken apart; blanks in the name of a block, and tags that come twice, do no harm where they do not matter."""
    document, reason = _parsed(as_cif1(text) if says_cif2(text) else text)
    if document is None:
        document = next((found for other in _repaired(text) if (found := _parsed(other)[0])), None)
    if document is None:
        if "data_" not in text.lower():
            raise InputError("not-a-crystal", f"{name}: this is not a CIF, no data_ block in it")
        raise InputError("cif-syntax", f"{name}: {reason}; the file may be cut short")
    for block in document:
        _check_tags(block, name)
    return document


def _repaired(text: str) -> Iterator[str | None]:
    """The text in other readings of what is often written wrongly."""
    joined = _BLOCK_NAME.sub(lambda line: re.sub(r"[ \t]+", "_", line[0]), text)
    if looks_like_cif2(text):
        yield as_cif1(joined)
    elif joined != text or says_cif2(text):
        yield joined


def _parsed(text: str | None) -> tuple[cif.Document | None, str]:
    """The document, or why there is none."""
    if text is None:
        return None, "this is not the syntax of CIF 2.0"
    try:
        return cif.read_string(text, check_level=0), ""
    except (ValueError, RuntimeError) as error:
        return None, _GEMMI_PLACE.sub(r"line \1: ", str(error)).removeprefix("string: ")


def _check_tags(block: cif.Block, name: str) -> None:
    """Refuse a tag without a value, and one that comes twice, unless it says nothing of the structure or the same again."""
    seen: dict[str, str] = {}
    for item in block:
        loop = item.loop
        pairs = [pair_of(item)] if item.pair is not None else [(tag, "") for tag in loop.tags] if loop is not None else []
        for written, value in pairs:
            if not value and loop is None:
                raise InputError(
                    "cif-syntax", f"{name}: tag {written} has no value in block {block.name!r}; the file may be cut short"
                )
            tag = plain_tag(written)
            if tag in seen and not (value and seen[tag] == value) and (STRUCTURAL.match(tag) or speaks_of_symmetry(tag)):
                raise InputError("cif-syntax", f"{name}: tag {written} comes twice in block {block.name!r}; keep the right one")
            seen.setdefault(tag, value)


def has_cell(block: cif.Block) -> bool:
    """Whether the block says how long the first vector of a cell is."""
    return any(len(block.find_values(tag)) for tag in ("_cell_length_a", "_cell.length_a"))


def has_atoms(block: cif.Block) -> bool:
    """Whether the block has positions of atoms."""
    return any(len(block.find_values(tag)) for tag in (COORDINATES[0], DOTTED_X, CARTESIAN[0], DOTTED_CARTESIAN_X))
