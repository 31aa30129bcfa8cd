"""Documents of JSON: what they say twice has to agree."""

from __future__ import annotations

import json
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
        (JARVIS | {"angles": [90.0, 90.0, 90.05]}, ""),
        (JARVIS | {"angles": [90.0, 90.0, 60.0]}, "contradicting-document"),
        (JARVIS | {"angles": ["right", 90.0, 90.0]}, "not-a-crystal"),
    ],
)
def test_what_a_document_says_twice_has_to_agree(document: dict[str, Any], code: str) -> None:
    found = outcome_of(lambda: to_crystal(document))
    assert (found.code if isinstance(found, InputError) else "") == code
    if isinstance(found, Crystal):
        assert np.allclose(found.frac_coords, [[0.0] * 3, [0.5] * 3])


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"alpha": 90.0, "beta": 90.0, "gamma": 90.0, "volume": 64.0}, ""),
        ({"alpha": None, "volume": None}, ""),
        ({"gamma": 120.0}, "contradicting-document"),
        ({"alpha": 89.0}, "contradicting-document"),
        ({"volume": 128.0}, "contradicting-document"),
    ],
)
def test_angles_and_volume_have_to_be_those_of_the_vectors(changed: dict[str, Any], code: str) -> None:
    document = pymatgen_document()
    document["lattice"] |= changed
    found = outcome_of(lambda: to_crystal(document))
    assert (found.code if isinstance(found, InputError) else "") == code


def test_angles_are_opposite_to_their_axes() -> None:
    skewed = {"lattice_mat": [[4, 0, 0], [0, 5, 0], [0, 1, 6]], "coords": [[0, 0, 0]], "elements": ["Po"], "cartesian": False}
    assert to_crystal(skewed | {"angles": [80.538, 90, 90]}).n_atoms == 1
    assert isinstance(outcome_of(lambda: to_crystal(skewed | {"angles": [90, 80.538, 90]})), InputError)


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"occupancy": 0.5}, "partial-occupancy"),
        ({"Occupancies": 0}, "partial-occupancy"),
        ({"occupancy": 1.0}, ""),
        ({"occupancy": None, "magmom": 0.0}, ""),
        ({"occupancy": "half"}, "not-a-crystal"),
    ],
)
def test_an_occupancy_among_the_properties_of_a_site_is_not_passed_over(properties: dict[str, Any], code: str) -> None:
    document = pymatgen_document()
    document["sites"][1]["properties"] = properties
    found = outcome_of(lambda: to_crystal(document))
    assert (found.code if isinstance(found, InputError) else "") == code


def test_the_same_of_a_structure_of_pymatgen() -> None:
    core = pytest.importorskip("pymatgen.core")
    for occupancy, code in ((0.5, "partial-occupancy"), (1, "")):
        properties = {"occupancy": [1.0, occupancy]}
        structure = core.Structure(core.Lattice.cubic(4.0), ["Cs", "Cl"], [[0] * 3, [0.5] * 3], site_properties=properties)
        found = outcome_of(lambda structure=structure: to_crystal(structure))  # type: ignore[misc]
        assert (found.code if isinstance(found, InputError) else "") == code


def of_chlorine(**changed: Any) -> list[dict[str, Any]]:
    """The species of the document, that of chlorine changed."""
    caesium, chlorine = OPTIMADE["species"]
    return [caesium, chlorine | changed]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"assemblies": [{"sites_in_groups": [[0], [1]], "group_probabilities": [0.3, 0.7]}]}, "partial-occupancy"),
        ({"assemblies": []}, ""),
        ({"assemblies": None, "structure_features": None}, ""),
        ({"structure_features": ["assemblies"]}, "partial-occupancy"),
        ({"structure_features": ["implicit_atoms"]}, "not-a-crystal"),
        ({"structure_features": ["site_attachments"]}, "not-a-crystal"),
        ({"structure_features": ["_of_tomorrow"]}, "not-a-crystal"),
        ({"nperiodic_dimensions": 3}, ""),
        ({"nperiodic_dimensions": 2}, "not-periodic"),
        ({"dimension_types": None, "nperiodic_dimensions": 2}, "not-periodic"),
        ({"dimension_types": [1, 1, 0], "lattice_vectors": [[4, 0, 0], [0, 4, 0], [None] * 3]}, "not-periodic"),
        ({"species": [*of_chlorine(), *of_chlorine()]}, ""),
        ({"species": [*of_chlorine(), of_chlorine(chemical_symbols=["Br"])[1]]}, "contradicting-document"),
        ({"species": of_chlorine(attached=["H"])}, "not-a-crystal"),
        ({"species": of_chlorine(attached=["H"], nattached=[3])}, "not-a-crystal"),
        ({"species": of_chlorine(attached=None, nattached=None)}, ""),
        ({"species": of_chlorine(attached=["H"], nattached=[0])}, ""),
        ({"species": of_chlorine(chemical_symbols=["Cl", "vacancy"], concentration=[0.5, 0.5])}, "partial-occupancy"),
        ({"elements": ["Cs", "Cl"], "nelements": 2}, ""),
        ({"elements": ["Cl", "Cs", "O"]}, "contradicting-document"),
        ({"elements": None, "chemical_formula_reduced": None}, ""),
        ({"chemical_formula_reduced": "ClCs"}, ""),
        ({"chemical_formula_reduced": "Cl2Cs2"}, ""),
        ({"chemical_formula_reduced": "ClCsO3"}, "contradicting-document"),
        ({"chemical_formula_reduced": "Cl0.5Cs0.5"}, ""),
        ({"species": json.dumps(OPTIMADE["species"])}, ""),
        ({"species": "[{"}, "not-a-crystal"),
        ({"species": "[" * 100_000}, "not-a-crystal"),
    ],
)
def test_what_optimade_says_beside_the_sites_is_not_passed_over(changed: dict[str, Any], code: str) -> None:
    found = outcome_of(lambda: to_crystal(OPTIMADE | changed))
    assert (found.code if isinstance(found, InputError) else "") == code
