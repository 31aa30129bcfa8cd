"""Objects of pymatgen from their documents."""

from __future__ import annotations

from typing import Any

from bandrt.errors import MissingPackageError


def complete_dos(document: dict[str, Any]) -> Any:
    """A ``CompleteDos``.

    Raises:
        MissingPackageError: pymatgen is not installed.
    """
    try:
        from pymatgen.electronic_structure.dos import CompleteDos
    except ImportError as error:
        raise MissingPackageError("pymatgen", "pymatgen", "converting to a CompleteDos") from error
    return CompleteDos.from_dict(document)


def band_structure(document: dict[str, Any]) -> Any:
    """A ``BandStructureSymmLine`` or a ``BandStructure``, whichever the document is of.

    Raises:
        MissingPackageError: pymatgen is not installed.
    """
    try:
        from pymatgen.electronic_structure.bandstructure import BandStructure, BandStructureSymmLine
    except ImportError as error:
        raise MissingPackageError("pymatgen", "pymatgen", "converting to a BandStructure") from error
    kind = BandStructureSymmLine if document["labels_dict"] else BandStructure
    return kind.from_dict(document)
