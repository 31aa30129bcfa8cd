"""The text of a CIF taken apart, and the one block of it that has a crystal."""

from __future__ import annotations

import re

from gemmi import cif

from bandrt.errors import InputError
from bandrt.readers.cif_tags import COORDINATES, DOTTED_X, STRUCTURAL, pair_of, plain_tag, speaks_of_symmetry

_BLOCK_NAME = re.compile(r"^data_[^\s]*(?:[ \t]+(?!_|loop_|save_|#)[^\s#]+)+[ \t]*$", re.IGNORECASE | re.MULTILINE)
_GEMMI_PLACE = re.compile(r"^\w+:(\d+):\d+\(\d+\): ")


def structure_block(text: str, name: str) -> tuple[cif.Block, list[cif.Block]]:
    """The one block that has atoms, and the others."""
    if not text or text.isspace():
        raise InputError("empty-file", f"{name}: the file is empty")
    if not text.isascii():
        text = text.encode("ascii", "replace").decode()  # only names of people and places; gemmi wants ASCII values
    document = _document(text, name)
    if len(document) == 1:
        return document[0], []
    with_atoms = [block for block in document if has_atoms(block)]
    if len(with_atoms) > 1:
        names = ", ".join(block.name for block in with_atoms[:5]) + (", ..." if len(with_atoms) > 5 else "")
        raise InputError("several-blocks", f"{name}: {len(with_atoms)} crystals in one file ({names}); write one file for each")
    if not with_atoms:
        raise InputError("not-a-crystal", f"{name}: no data block has atom sites")
    return with_atoms[0], [block for block in document if not has_atoms(block)]


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


def has_atoms(block: cif.Block) -> bool:
    return any(len(block.find_values(tag)) for tag in (COORDINATES[0], DOTTED_X))
