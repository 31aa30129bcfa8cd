"""Items: what callers hand over to be read, one or many; what each of them is called, and its crystal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bandrt.arguments import not_allowed
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.files import from_home
from bandrt.readers import is_text, to_crystal
from bandrt.readers.documents import is_document
from bandrt.readers.objects import is_ase_atoms, is_pymatgen_molecule, is_pymatgen_structure, structure_within
from bandrt.sources.folders import label_of
from bandrt.sources.kinds import stem_of
from bandrt.sources.source import Source
from bandrt.sources.tables import ID_COLUMNS
from bandrt.sources.unique import SeenStrings, SharedStrings, UniqueIds

ALLOWED = (
    "a path (str or Path), CIF text or JSON text, a pymatgen Structure, an ASE Atoms, a Crystal, a Source, or a list, tuple,"
    " generator, array or column of these"
)
"""What can be read, for people."""

_BLOCK = re.compile(r"^data_(\S+)", re.IGNORECASE | re.MULTILINE)


def is_one(given: Any) -> bool:
    """Whether it is one item; a structure is, though one could go through its sites, and so are a path and a text."""
    return (
        isinstance(given, str | os.PathLike | Crystal | Source)
        or (isinstance(given, Mapping) and is_document(given))
        or is_ase_atoms(given)
        or is_pymatgen_structure(given)
        or is_pymatgen_molecule(given)
        or structure_within(given) is not None
    )


def items_of(given: Any, *, what: str = "items") -> Iterable[Any]:
    """The items of what was handed over: one item alone, or many as they come.

    Args:
        given: one item, or anything that gives items when one goes through it.
        what: the argument, as the caller knows it.

    Raises:
        ArgumentError: ``bad-argument`` for what is neither: a dictionary of crystals, an open file, bytes, a whole table, nothing.
    """
    if is_one(given):
        return (given,)
    if hasattr(given, "columns") and hasattr(given, "dtypes"):
        raise not_allowed(what, given, "a column of the table, such as table['path'] or table['cif']")
    if hasattr(given, "read"):
        raise not_allowed(what, given, "the path of the file, or its text")
    if isinstance(given, Mapping):
        raise not_allowed(what, given, f"{ALLOWED}; of a dictionary of crystals, give its values()")
    if isinstance(given, bytes | bytearray | memoryview):
        raise not_allowed(what, given, f"{ALLOWED}; of bytes, give the text, such as given.decode()")
    if isinstance(given, type):
        raise not_allowed(what, given, ALLOWED)
    try:
        iter(given)
    except TypeError:
        raise not_allowed(what, given, ALLOWED) from None
    found: Iterable[Any] = given
    return found


def crystal_of(item: Any, *, name: str | None = None) -> Crystal:
    """The crystal of one item.

    Args:
        item: anything `bandrt.readers.to_crystal` takes, or a `Source`.
        name: what to call it in an error; the file name for a path.

    Raises:
        InputError: stage ``read``, by a stable code.
    """
    return item.read() if isinstance(item, Source) else to_crystal(item, name=name)


def found_at(item: Any) -> str:
    """Where an item is read; empty for an object in memory, and for a path that no file has."""
    if isinstance(item, Source):
        return item.path
    is_path = not is_text(item) if isinstance(item, str) else isinstance(item, os.PathLike)
    if not is_path:
        return ""
    path = from_home(os.fsdecode(item))
    return "" if any(letter in path for letter in "\0\n\r") else path


def kept_with(item: Any) -> tuple[tuple[str, str], ...]:
    """Columns of its table that come along with an item: those of a source."""
    return tuple(item.kept.items()) if isinstance(item, Source) else ()


def name_of(item: Any) -> str:
    """What an item is called, by itself; empty for one that does not say.

    That is the id of a source; the name of a file, without its ending, as `bandrt infer` calls it; the ``material_id``, ``id`` or
    ``name`` that an object carries (pymatgen: its ``properties``; ASE: its ``info``); the data block of a CIF's text.
    """
    if isinstance(item, Source):
        return item.id
    if path := _file_of(item):
        return stem_of(os.path.basename(path))
    if isinstance(item, str):
        return next((block[1] for block in _BLOCK.finditer(item, 0, 100_000) if block[1].lower() != "global"), "")
    if isinstance(item, Crystal):
        return ""
    if isinstance(item, Mapping):
        return _carried(item) or _carried(item.get("properties"))
    if is_ase_atoms(item):
        return _carried(getattr(item, "info", None))
    if (structure := structure_within(item)) is not None:
        columns = {column: getattr(item, column, None) for column in ID_COLUMNS}
        return _carried(columns) or _carried(getattr(structure, "properties", None))
    return _carried(getattr(item, "properties", None))


def called(item: Any, order: int | None = None) -> str:
    """What to call an item in an error: its file name, the place it was found at, or the name it carries; else its place.

    Args:
        item: one item.
        order: its place among many; None of one alone.
    """
    if isinstance(item, Source):
        return item.path
    return os.path.basename(found_at(item)) or name_of(item) or ("crystal" if order is None else place_of(order))


class ItemIds:
    """Gives each of many items an id of its own, by the rules of `bandrt.sources.find` where they are files.

    Files that share a name are known beforehand if the items are all there; as they come, the first keeps the name it shares.
    """

    def __init__(self, items: Any = ()) -> None:
        """Look at the items, without going through them if that can be done only once.

        Args:
            items: what `items_of` gives.
        """
        self._ids, self._files = UniqueIds(), SeenStrings()
        self._shared_stems, self._shared_names = SharedStrings(), SharedStrings()
        if isinstance(items, list | tuple | np.ndarray) or hasattr(items, "to_list"):
            for path in dict.fromkeys(os.path.abspath(path) for item in items if (path := _file_of(item))):
                self._shared_stems.add(stem_of(os.path.basename(path)))
                self._shared_names.add(os.path.basename(path))

    def id_of(self, item: Any, crystal: Crystal | InputError, order: int) -> str:
        """The id of the next item.

        Args:
            item: one of the items.
            crystal: what was read of it; an item that does not say what it is called has its formula, or its place.
            order: its place.
        """
        if path := _file_of(item):
            name, label = os.path.basename(path), label_of(path)
            stem = stem_of(name)
            wanted = stem if stem not in self._shared_stems else label if name in self._shared_names else name
            is_new = self._files.add(os.path.abspath(path))
            return self._ids.unique(wanted, label) if is_new else self._ids.unique(wanted)
        return self._ids.unique(name_of(item) or (place_of(order) if isinstance(crystal, InputError) else crystal.formula))


def _file_of(item: Any) -> str:
    """The path of an item that is a file; empty for any other."""
    path = "" if isinstance(item, Source) else found_at(item)
    return path if os.path.basename(path) else ""


def place_of(order: int) -> str:
    """An item by its place among those that were handed over, as Python counts them: ``items[0]``."""
    return f"items[{order}]"


def _carried(values: Any) -> str:
    """The id among some values."""
    if not isinstance(values, Mapping):
        return ""
    written = (str(values[column]).strip() for column in ID_COLUMNS if values.get(column) is not None)
    return next((text for text in written if text and text.isprintable()), "")


def one_of(given: Any, *, what: str = "item") -> Any:
    """What was handed over where one item is taken.

    Raises:
        ArgumentError: ``bad-argument`` for many, or for what is none.
    """
    if not is_one(given):
        items_of(given, what=what)  # what is wrong with it, if it is neither one nor many
        raise not_allowed(what, given, f"one item: {ALLOWED.partition(', or a list')[0]}")
    return given
