"""Labels of a learned Hamiltonian: bands are found in the model by counting electrons, whatever inner shells either keeps."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from bandrt.computed.documents import BandDocument, DocumentText, parse_document
from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt_train.data.hamiltonian.bands import BandChoice, CountedBands, count_bands, read_bands
from tests.support.small_hamiltonians import (
    ALUMINIUM,
    FCC,
    GALLIUM_ARSENIDE,
    SALT,
    SILICON,
    bands_of,
    document_of,
    document_text,
    small_model,
)

MODEL = small_model()
WIDE = BandChoice(lowest_ev=-math.inf)
SINGLE = 1e-4
"""eV: labels are kept in single precision."""
CRYSTALS = {"Si": SILICON, "GaAs": GALLIUM_ARSENIDE, "NaCl": SALT, "Al": ALUMINIUM}


def assert_the_bands_are_those_of_the_model(label: CountedBands, document: BandDocument, crystal: Crystal) -> None:
    """The model that made a document finds its own bands in it."""
    own = bands_of(MODEL, crystal, label.kpoints.double().numpy())[:, label.band.numpy()]
    np.testing.assert_allclose(label.energies.numpy(), own - document.efermi, atol=SINGLE)


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_model_finds_its_own_bands(name: str) -> None:
    document = document_of(MODEL, CRYSTALS[name])
    label = count_bands(document, WIDE)
    assert_the_bands_are_those_of_the_model(label, document, CRYSTALS[name])
    half = label.pairs.n_filled
    assert label.band[0] == max(0, half - 6)
    assert label.band[-1] == min(half + 8, label.pairs.n_bands) - 1


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("n_inner", [-2, 1, 3])
def test_inner_shells_of_the_calculation_do_not_matter(name: str, n_inner: int) -> None:
    whole = document_of(MODEL, CRYSTALS[name])
    assert whole.n_electrons is not None
    deep = np.full((1, max(n_inner, 0), len(whole.frac_kpoints)), -200.0)
    energies = np.concatenate([deep, whole.energies[:, max(-n_inner, 0) :]], axis=1)
    other = dataclasses.replace(whole, energies=energies, n_electrons=whole.n_electrons + 2 * n_inner)
    label = count_bands(other, WIDE)
    assert_the_bands_are_those_of_the_model(label, whole, CRYSTALS[name])
    assert label.n_nonempty == count_bands(whole, WIDE).n_nonempty


def test_without_electrons_occupied_bands_count_and_those_left_out_below_are_taken_off() -> None:
    whole = document_of(MODEL, SALT)
    cut = dataclasses.replace(whole, energies=whole.energies[:, 4:], n_electrons=None, n_occupied=4)
    assert_the_bands_are_those_of_the_model(count_bands(cut, WIDE), whole, SALT)
    silent = dataclasses.replace(cut, n_occupied=None)  # an insulator says it by its gap
    assert_the_bands_are_those_of_the_model(count_bands(silent, WIDE), whole, SALT)


def test_the_electrons_of_a_document_are_read_and_those_of_bands_left_out_are_not_counted() -> None:
    document = document_of(MODEL, SALT)
    text = document_text(document).replace('"n_electrons"', '"first_band": 3, "n_occupied": 8, "n_electrons"')
    read = parse_document(DocumentText("shard:1", "shard-1", text))
    assert (read.n_electrons, read.n_occupied) == (10.0, 5)
    assert parse_document(DocumentText("shard:1", "shard-1", document_text(document))).n_electrons == 16.0


def refusal(document: BandDocument) -> str:
    with pytest.raises(InputError) as refused:
        count_bands(document, WIDE)
    return refused.value.code


def test_a_metal_that_does_not_say_how_many_electrons_it_has_is_refused() -> None:
    assert refusal(dataclasses.replace(document_of(MODEL, ALUMINIUM), n_electrons=None)) == "electrons-unknown"


@pytest.mark.parametrize(
    ("crystal", "electrons", "code"),
    [(ALUMINIUM, electrons, "electron-count-conflict") for electrons in (2.0, 3.5, 4.0)]  # a metal, whose bands say nothing of it
    + [(SILICON, electrons, "fermi-level-conflict") for electrons in (6.0, 7.0, 8.5, 9.0)],
)
def test_numbers_of_electrons_that_differ_by_no_filled_shells_are_refused(crystal: Crystal, electrons: float, code: str) -> None:
    assert refusal(dataclasses.replace(document_of(MODEL, crystal), n_electrons=electrons)) == code


def test_an_insulator_of_an_odd_number_of_electrons_is_refused() -> None:
    aluminium = dataclasses.replace(
        document_of(MODEL, SILICON), crystal=ALUMINIUM, n_electrons=None, reciprocal=ALUMINIUM.reciprocal
    )
    assert refusal(aluminium) == "electron-count-conflict"


def test_a_document_without_a_structure_is_refused() -> None:
    assert refusal(dataclasses.replace(document_of(MODEL, SILICON), crystal=None)) == "no-structure"


def test_bands_around_half_filling_count_in_full_others_less_and_untrusted_ones_not() -> None:
    document = document_of(MODEL, SALT)
    choice = BandChoice(lowest_ev=-1e9, outer_weight=0.5)
    label = count_bands(document, choice)
    half = label.pairs.n_filled
    expected = np.where((label.band >= half - 3) & (label.band < half + 4), 1.0, 0.5)
    np.testing.assert_allclose(label.weight.numpy(), np.tile(expected, (len(label.kpoints), 1)))
    trusted = count_bands(dataclasses.replace(document, trusted_below=document.efermi + 3.0), choice).weight.numpy() > 0
    np.testing.assert_array_equal(trusted, label.energies.numpy() < 3.0)
    shallow = count_bands(document, dataclasses.replace(choice, lowest_ev=-2.0))
    np.testing.assert_array_equal((shallow.weight.numpy() > 0).all(axis=0), label.energies.numpy().min(axis=0) > -2.0)


def test_edges_are_where_the_gap_is_and_metals_have_none() -> None:
    insulator, metal = count_bands(document_of(MODEL, SALT), WIDE), count_bands(document_of(MODEL, ALUMINIUM), WIDE)
    top, bottom = insulator.edges
    above = int((insulator.band == insulator.pairs.n_filled).nonzero())
    assert insulator.energies[:, above - 1].argmax() == top
    assert insulator.energies[:, above].argmin() == bottom
    assert float(insulator.energies[top, above - 1] + insulator.energies[bottom, above]) == pytest.approx(0.0, abs=1e-5)
    assert metal.edges == ()


def test_kpoints_are_those_of_the_structure_in_the_document() -> None:
    """A document may count its k-points in another basis of the reciprocal lattice than that of its structure."""
    document, change = document_of(MODEL, SILICON), np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    other = dataclasses.replace(
        document, reciprocal=change @ document.reciprocal, frac_kpoints=document.frac_kpoints @ np.linalg.inv(change)
    )
    np.testing.assert_allclose(count_bands(other, WIDE).kpoints, count_bands(document, WIDE).kpoints, atol=1e-6)


def test_a_folder_is_read_with_each_id_once_and_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    silicon = document_of(MODEL, SILICON, name="si")
    large = Crystal(np.diag([2, 1, 1]) @ (4.05 * FCC), np.array([13, 13], np.int32), np.array([[0, 0, 0], [0.5, 0, 0]]))
    texts = [
        document_text(silicon),
        document_text(silicon),
        document_text(dataclasses.replace(document_of(MODEL, SALT, name="odd"), n_electrons=15.0)),
        document_text(document_of(MODEL, large, name="large")),
        "{}",
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(texts), encoding="utf-8")
    read = read_bands([tmp_path], BandChoice())
    assert [one.id for one in read.bands] == ["si", "large"]
    assert [(one.id, one.code) for one in read.refusals] == [
        ("si", "duplicate-id"),
        ("odd", "fermi-level-conflict"),
        ("labels-5", "malformed"),
    ]
    assert [one.id for one in read_bands([tmp_path], BandChoice(), max_atoms=1).bands] == []
    assert read.sha256 != read_bands([tmp_path], BandChoice(), max_atoms=1).sha256
    assert read.bands[0].formula == "Si"


def test_all_open_labels_can_be_counted(labels: Path) -> None:
    read = read_bands([labels / "dft-pbe-31740742a8d2.jsonl.gz"], BandChoice())  # metals and lanthanides among them
    assert len(read.bands) > 50
    assert read.refusals == ()
    for one in read.bands:
        assert 0 <= one.n_nonempty - one.pairs.n_filled <= 4
        assert one.is_metal or one.n_nonempty == one.pairs.n_filled
