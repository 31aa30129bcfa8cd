"""Band documents read as plain JSON say the same as pymatgen's reading of them."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.computed.documents import BandDocument, DocumentText, parse_document
from bandrt.errors import InputError

EVERY = 32
"""One label in so many is compared with pymatgen."""


def as_pymatgen(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine

        return BandStructureSymmLine.from_dict(json.loads(text))


def without(text: str, *keys: str, **changed: Any) -> DocumentText:
    values = json.loads(text)
    for key in keys:
        del values[key]
    return DocumentText("some.json", "some", json.dumps({**values, **changed}))


def assert_same(document: BandDocument, oracle: Any) -> None:
    np.testing.assert_allclose(document.frac_kpoints, [k.frac_coords for k in oracle.kpoints])
    np.testing.assert_allclose(document.energies, list(oracle.bands.values()))
    np.testing.assert_allclose(document.reciprocal, oracle.lattice_rec.matrix)
    assert document.efermi == oracle.efermi
    assert document.labels == tuple(k.label for k in oracle.kpoints)
    assert document.branches.tolist() == [[b["start_index"], b["end_index"]] for b in oracle.branches]


def test_a_document_reads_as_pymatgen_reads_it(label_texts: list[DocumentText]) -> None:
    for text in label_texts[::EVERY]:
        document, oracle = parse_document(text), as_pymatgen(text.text)
        assert_same(document, oracle)
        assert document.crystal is not None
        np.testing.assert_allclose(document.crystal.lattice, oracle.structure.lattice.matrix)
        np.testing.assert_allclose(document.crystal.frac_coords, oracle.structure.frac_coords)
        assert document.crystal.atomic_numbers.tolist() == list(oracle.structure.atomic_numbers)


def test_branches_left_out_of_a_document_are_found_from_its_labels(label_texts: list[DocumentText]) -> None:
    for text in label_texts[::EVERY]:
        assert_same(parse_document(without(text.text, "branches")), as_pymatgen(text.text))


def test_materials_project_documents_read_as_pymatgen_reads_them(shared: Path) -> None:
    for name in ("Cu2O_361_bandstructure", "CaO_2605_bandstructure", "bs_ZnS_old", "VBr2_971787_bandstructure"):
        text = gzip.decompress((shared / "data" / "mp-bands" / f"{name}.json.gz").read_bytes()).decode()
        assert_same(parse_document(DocumentText(name, name, text)), as_pymatgen(text))


def test_occupied_bands_are_counted_from_the_first_that_is_there(label_texts: list[DocumentText]) -> None:
    occupied = json.loads(label_texts[0].text)["n_occupied"]
    document = parse_document(without(label_texts[0].text, n_occupied=occupied + 5, first_band=5, trusted_below_ev=2.5))
    assert (document.n_occupied, document.trusted_below) == (occupied, 2.5)
    assert parse_document(label_texts[0]).trusted_below == float("inf")


@pytest.mark.parametrize(
    "change",
    [
        {"kpoints": [[0, 0, 0]]},
        {"kpoints": "Γ"},
        {"bands": {"1": [[float("nan")]]}},
        {"efermi": None},
        {"efermi": float("inf")},
        {"branches": [{"start_index": 0, "end_index": 100000}]},
        {"lattice_rec": {"matrix": [1, 2]}},
        {"n_occupied": float("inf")},
    ],
)
def test_a_document_that_contradicts_itself_is_malformed(change: dict[str, Any], label_texts: list[DocumentText]) -> None:
    with pytest.raises(InputError, match=r"some\.json") as caught:
        parse_document(without(label_texts[0].text, **change))
    assert caught.value.code == "malformed"


def test_kpoints_in_another_unit_are_refused_before_lines_are_looked_up(label_texts: list[DocumentText]) -> None:
    kpoints = json.loads(label_texts[0].text)["kpoints"]
    with pytest.raises(InputError, match="decimal point or a unit") as caught:
        parse_document(without(label_texts[0].text, kpoints=[[1e3 * f for f in k] for k in kpoints]))
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("change", [{"efermi": "0.1_9"}, {"efermi": "0.19"}, {"efermi": True}, {"efermi": [5.0]}])
def test_a_fermi_level_that_is_no_number_is_refused(change: dict[str, Any], label_texts: list[DocumentText]) -> None:
    """Nor is one made up where there is none."""
    for document in (without(label_texts[0].text, **change), without(label_texts[0].text, "efermi")):
        with pytest.raises(InputError, match="efermi") as caught:
            parse_document(document)
        assert caught.value.code == "malformed"


@pytest.mark.parametrize("wrong", ["1_0", "1.0", None])
@pytest.mark.parametrize("name", ["bands", "kpoints"])
def test_energies_and_kpoints_are_numbers(name: str, wrong: object, label_texts: list[DocumentText]) -> None:
    values = json.loads(label_texts[0].text)[name]
    rows = values["1"] if name == "bands" else values
    rows[0] = [wrong] * len(rows[0])
    with pytest.raises(InputError, match="number") as caught:
        parse_document(without(label_texts[0].text, **{name: values}))
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("text", ["", "{", "[]", "17", '{"lattice": {}, "sites": []}', "[" * 100_000])
def test_text_that_is_no_band_structure_is_malformed(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_document(DocumentText("some.json", "some", text))
    assert caught.value.code == "malformed"


def test_a_partially_occupied_structure_is_refused(label_texts: list[DocumentText]) -> None:
    structure = json.loads(label_texts[0].text)["structure"]
    structure["sites"][0]["species"][0]["occu"] = 0.5
    with pytest.raises(InputError) as caught:
        parse_document(without(label_texts[0].text, structure=structure))
    assert caught.value.code == "partial-occupancy"
