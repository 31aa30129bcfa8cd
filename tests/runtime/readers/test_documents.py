"""Documents of JSON: what they say twice has to agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.outcomes import outcome_of
from bandrt.readers import to_crystal


def pymatgen_document() -> dict[str, Any]:
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": [place] * 3, "xyz": [4.0 * place] * 3, "label": symbol}
        for symbol, place in (("Cs", 0.0), ("Cl", 0.5))
    ]
    return {"lattice": {"matrix": np.diag([4.0] * 3).tolist(), "a": 4.0, "b": 4.0, "c": 4.0}, "sites": sites}


JARVIS = {
    "lattice_mat": np.diag([4.0] * 3).tolist(), "coords": [[0, 0, 0], [2, 2, 2]], "elements": ["Cs", "Cl"], "abc": [4, 4, 4.0],
    "cartesian": True,
}  # fmt: skip
OPTIMADE = {
    "lattice_vectors": np.diag([4.0] * 3).tolist(), "cartesian_site_positions": [[0, 0, 0], [2, 2, 2]], "nsites": 2,
    "species_at_sites": ["Cs", "Cl"], "structure_features": [],
    "species": [{"name": symbol, "chemical_symbols": [symbol], "concentration": [1]} for symbol in ("Cs", "Cl")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, ""),
        ({"abc": [0.25, 0.5, 0.5]}, "contradicting-document"),
        ({"xyz": [6.0, -2.0, 2.001]}, ""),
        ({"xyz": [2.0, 2.0, 2.1]}, "contradicting-document"),
        ({"xyz": [2.0, 2.0]}, "not-a-crystal"),
        ({"xyz": None}, ""),
        ({"abc": [True, 0.5, 0.5]}, "contradicting-document"),
    ],
)
def test_positions_that_a_document_gives_twice_have_to_agree(changed: dict[str, Any], code: str) -> None:
    document = pymatgen_document()
    document["sites"][1] |= changed
    found = outcome_of(lambda: to_crystal(document))
    assert (found.code if isinstance(found, InputError) else "") == code


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (pymatgen_document() | {"lattice": {"matrix": np.diag([4.0] * 3).tolist(), "a": 9.0}}, "contradicting-document"),
        (JARVIS, ""),
        (JARVIS | {"abc": [4.0, 4.0, 4.004]}, ""),
        (JARVIS | {"abc": [4.0, 4.0, 9.0]}, "contradicting-document"),
        (JARVIS | {"cartesian": "True"}, ""),
        (JARVIS | {"cartesian": "False", "coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}, ""),
        (JARVIS | {"cartesian": "angstrom"}, "not-a-crystal"),
        (OPTIMADE, ""),
        (OPTIMADE | {"nsites": 3}, "contradicting-document"),
        (OPTIMADE | {"structure_features": ["disorder"]}, "partial-occupancy"),
    ],
)
def test_what_a_document_says_twice_has_to_agree(document: dict[str, Any], code: str) -> None:
    found = outcome_of(lambda: to_crystal(document))
    assert (found.code if isinstance(found, InputError) else "") == code
    if isinstance(found, Crystal):
        assert np.allclose(found.frac_coords, [[0.0] * 3, [0.5] * 3])
