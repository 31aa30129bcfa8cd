"""Computed bands brought onto the path of predicted ones: by symmetry, segment by segment, and only of the same crystal."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from bandrt.bands.branches import branches
from bandrt.bands.reference import compared, onto_path, same_path
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, InputError
from tests.support.computed_silicon import LINEAR_EV, computed, predicted
from tests.support.small_vasprun import DIVISIONS, LATTICE, POSITIONS
from tests.support.small_vasprun import bands as made_up


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_bands_on_other_k_points_are_those_of_the_path_where_they_were_computed(order: tuple[int, ...]) -> None:
    bands = predicted()
    reference = onto_path(computed(order=order), bands)
    there = np.isfinite(reference.energies).all(axis=0)
    np.testing.assert_allclose(reference.energies[:, there], bands.energies[:, there], atol=LINEAR_EV)
    found = compared(bands, reference, branches(bands))
    whole = {"-".join(sorted(branch.labels)) for branch in branches(bands)} - {"-".join(sorted(n.split("-"))) for n in found.alone}
    assert whole == {"X-Γ", "W-X", "L-Γ"}
    assert found.n_compared == 3
    assert found.left_out == ()


def test_each_is_counted_from_its_own_zero() -> None:
    bands = predicted(error=0.25)
    reference = onto_path(computed(), bands)
    drawn = branches(bands)
    assert compared(bands, reference, drawn).error_ev == pytest.approx(0.25, abs=LINEAR_EV)
    assert compared(bands, reference, drawn, "vbm").error_ev == pytest.approx(0.0, abs=LINEAR_EV)
    assert compared(bands, reference, drawn, "midgap").error_ev == pytest.approx(0.0, abs=LINEAR_EV)
    assert str(compared(bands, reference, drawn)).endswith(f"on 3 of {len(drawn)} segments")


def test_bands_of_both_are_matched_from_the_highest_filled_one() -> None:
    one = computed()
    fewer = dataclasses.replace(one, energies=one.energies[:, 2:6])
    reference = onto_path(fewer, predicted())
    assert (len(reference.energies), reference.n_nonempty) == (4, 2)
    assert compared(predicted(error=0.25), reference, branches(predicted())).error_ev == pytest.approx(0.25, abs=LINEAR_EV)


def test_lines_that_are_not_on_the_path_are_left_out_and_named() -> None:
    one = computed()
    aside = np.linspace([0.0, 0.0, 0.0], [0.31, 0.11, 0.05], DIVISIONS)
    kpoints = np.concatenate([one.frac_kpoints, aside])
    more = dataclasses.replace(
        one, frac_kpoints=kpoints, energies=made_up(kpoints)[None], branches=np.concatenate([one.branches, [[27, 35]]]),
        labels=(*one.labels, "\\Gamma", *[None] * 8),
    )  # fmt: skip
    assert onto_path(more, predicted()).left_out == ("Γ-(0.31, 0.11, 0.05)",)


def test_bands_that_share_no_segment_are_refused() -> None:
    one = computed(n_lines=1)
    aside = np.linspace([0.02, 0.01, 0.0], [0.31, 0.11, 0.05], DIVISIONS)
    with pytest.raises(InputError, match=r"lie on no segment of the path; it has Γ-X") as error:
        onto_path(dataclasses.replace(one, frac_kpoints=aside), predicted())
    assert error.value.code == "no-common-path"
    reference = onto_path(one, predicted())
    with pytest.raises(InputError, match="no segment was computed as a whole") as error:
        compared(predicted(), reference, branches(predicted(), segments=["G-L"]))
    assert error.value.code == "no-common-path"


@pytest.mark.parametrize(
    ("crystal", "words"),
    [
        (Crystal.checked(LATTICE, [14, 6], POSITIONS), "SiC with 2 atoms"),
        (Crystal.checked(1.05 * LATTICE, [14, 14], POSITIONS), "a primitive cell of 4.05, 4.05, 4.05 Å, predicted: 3.86"),
        (Crystal.checked(LATTICE, [14, 14], POSITIONS * 0.9), "space group R"),
    ],
)
def test_bands_of_another_crystal_are_refused(crystal: Crystal, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as error:
        onto_path(computed(crystal), predicted())
    assert error.value.code == "other-crystal"


def test_a_lattice_that_was_relaxed_otherwise_is_the_same_crystal() -> None:
    assert onto_path(computed(Crystal.checked(1.01 * LATTICE, [14, 14], POSITIONS)), predicted()).energies.shape[0] == 6


def test_a_document_without_a_structure_is_refused() -> None:
    with pytest.raises(InputError) as error:
        onto_path(dataclasses.replace(computed(), crystal=None), predicted())
    assert error.value.code == "no-structure"


def test_the_level_of_a_computed_metal_is_its_fermi_level() -> None:
    one = dataclasses.replace(computed(), efermi=4.45, is_metal=None)
    reference = onto_path(one, predicted())
    assert {level.name for level in reference.levels.values()} == {"$E_\\mathrm{F}$"}


def test_other_bands_on_the_same_path_are_compared_as_they_are() -> None:
    first, second = predicted(), predicted(error=0.5)
    assert compared(first, same_path(second, first), branches(first)).error_ev == pytest.approx(0.5)
    with pytest.raises(ArgumentError):
        same_path(predicted(crystal=Crystal.checked(np.eye(3) * 3, [29], [[0, 0, 0]])), first)
