"""Direct or indirect: against pymatgen on the labels of this project, and errors that can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.bands.band_structure import DEGENERACY_EV, BandStructure
from bandrt.computed.around_fermi import select_bands
from bandrt.computed.documents import DocumentText
from bandrt.computed.lines import document_crystal
from bandrt.manifest import BandRule
from bandrt_train.data.hamiltonian.bands import LAST_AND_NEXT
from bandrt_train.data.sources.folders import find_documents
from bandrt_train.data.targets import MappingReport, Targets
from bandrt_train.evaluation.directness import SAME_EV, TRUSTED_EV, decided_by_tolerance, edges
from bandrt_train.evaluation.metrics import Predicted, average, crystal_errors

LABELS = Path(__file__).parents[3] / "train" / "labels"
N_DOCUMENTS = 60
ROUNDING_EV = 1e-6
RULE = BandRule()
REPORT = MappingReport(1.0, (), 0.0, 0.0)
N_KPOINTS = 9
FLAT = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])[:, None] + np.zeros(N_KPOINTS)


def bands(*, top: int, bottom: int, depth: float = 0.3, gap: float = 2.0) -> NDArray[np.float64]:
    """Six bands whose valence maximum and conduction minimum lie at chosen k-points, `depth` eV from the rest."""
    energies = FLAT.copy()
    energies[2] = -gap / 2 - depth
    energies[3] = gap / 2 + depth
    energies[2, top], energies[3, bottom] = -gap / 2, gap / 2
    return energies


def label(energies: NDArray[np.float64], known: NDArray[np.bool_] | None = None, *, metal: bool = False) -> Targets:
    mask = np.ones(energies.shape, bool) if known is None else np.broadcast_to(known, energies.shape)
    gap = 0.0 if metal else float(energies[3].min() - energies[2].max())
    return Targets(np.where(mask, energies, 0.0).astype(np.float32), mask, metal, gap, REPORT)


def documents() -> Iterator[DocumentText]:
    """Real labels of non-metals, as pymatgen reads them."""
    every = (source for source in find_documents([LABELS]) if not json.loads(source.text)["is_metal_label"])
    return islice(every, N_DOCUMENTS)


def test_gaps_of_real_labels_are_those_that_pymatgen_finds() -> None:
    bandstructure = pytest.importorskip("pymatgen.electronic_structure.bandstructure")
    n_direct = 0
    for source in documents():
        theirs = bandstructure.BandStructureSymmLine.from_dict(json.loads(source.text))
        document = source.read().document
        selected = select_bands(document, LAST_AND_NEXT)
        expected = theirs.get_band_gap()
        known = np.ones((1, *selected.energies.shape), bool)
        ours = edges(selected.energies[None], known, LAST_AND_NEXT.n_valence)
        crystal = document_crystal(document)
        structure = BandStructure(
            selected.energies, document.frac_kpoints, np.zeros(len(document.frac_kpoints)), (), np.zeros(0, np.int64), crystal, 1,
            "P1", "latimer_munro", LAST_AND_NEXT,
        )  # fmt: skip
        for gap, direct_gap in ((ours.gap[0], ours.direct_gap[0]), (structure.band_gap, structure.direct_gap)):
            assert gap == pytest.approx(expected["energy"], abs=ROUNDING_EV)
            assert direct_gap == pytest.approx(theirs.get_direct_band_gap(), abs=ROUNDING_EV)
        excess = theirs.get_direct_band_gap() - expected["energy"]
        if expected["direct"]:  # pymatgen compares names and places of k-points, and not energies
            assert structure.is_direct
        assert structure.is_direct == (excess <= DEGENERACY_EV)
        n_direct += structure.is_direct
    assert 0 < n_direct < N_DOCUMENTS


def test_direct_and_indirect_gaps_are_told_apart_and_their_sizes_compared() -> None:
    direct, indirect = bands(top=2, bottom=2), bands(top=2, bottom=5)
    labels = [label(direct), label(indirect), label(indirect), label(direct), label(FLAT, metal=True)]
    said = np.stack([direct, indirect, direct, bands(top=2, bottom=2, gap=1.5), FLAT])
    errors = crystal_errors(Predicted.from_energies(said, RULE), labels)
    np.testing.assert_array_equal(errors.direct_right, [1.0, 1.0, 0.0, 1.0, np.nan])
    np.testing.assert_array_equal(errors.indirect, [0.0, 1.0, 1.0, 0.0, np.nan])
    np.testing.assert_allclose(errors.direct_gap_ev, [0.0, 0.0, 0.3, 0.5, np.nan], atol=ROUNDING_EV)
    means = average(errors, np.ones(5, bool))
    assert (means.direct_accuracy, means.indirect_share) == (0.75, 0.5)
    assert means.direct_gap_mae_ev == pytest.approx(0.2)


def test_a_predicted_metal_is_neither_direct_nor_indirect() -> None:
    crossing = FLAT.copy()
    crossing[2] = np.linspace(-1.0, 2.0, N_KPOINTS)
    errors = crystal_errors(
        Predicted.from_energies(np.stack([crossing] * 2), RULE), [label(bands(top=1, bottom=n)) for n in (1, 4)]
    )
    np.testing.assert_array_equal(errors.direct_right, [0.0, 0.0])
    np.testing.assert_allclose(errors.direct_gap_ev, [2.0, 2.3], atol=ROUNDING_EV)


def test_valleys_that_differ_by_less_than_the_tolerance_are_one() -> None:
    close = bands(top=2, bottom=5, depth=0.4 * SAME_EV)
    close[3, 2] = close[3, 5] + 0.4 * SAME_EV
    apart = bands(top=2, bottom=5, depth=4 * SAME_EV)
    errors = crystal_errors(Predicted.from_energies(np.stack([close, close]), RULE), [label(close), label(apart)])
    np.testing.assert_array_equal(errors.direct_right, [1.0, 0.0])
    assert decided_by_tolerance(errors.excess_ev) == 1


def test_only_k_points_with_labels_are_compared() -> None:
    known = np.arange(N_KPOINTS) != 8
    said = bands(top=2, bottom=5)
    said[3, 8], said[2, 8] = 0.2, -0.3  # direct, at a k-point of which nothing is known
    labelled = label(bands(top=2, bottom=5), known)
    errors = crystal_errors(Predicted.from_energies(said[None], RULE), [labelled])
    assert errors.direct_right[0] == 1.0
    assert errors.direct_gap_ev[0] == pytest.approx(0.0, abs=ROUNDING_EV)


def test_labels_that_leave_out_an_edge_are_not_judged() -> None:
    energies = bands(top=2, bottom=5, depth=2 * TRUSTED_EV)
    errors = crystal_errors(Predicted.from_energies(energies[None], RULE), [label(energies, np.arange(N_KPOINTS) != 5)])
    assert np.isnan([errors.direct_right[0], errors.indirect[0], errors.direct_gap_ev[0]]).all()
    nothing = crystal_errors(Predicted.from_energies(energies[None], RULE), [label(energies, np.zeros(N_KPOINTS, bool))])
    assert np.isnan([nothing.direct_right[0], nothing.excess_ev[0], nothing.direct_gap_ev[0]]).all()


def test_what_knows_gaps_alone_says_nothing_of_direct_or_indirect() -> None:
    errors = crystal_errors(Predicted(np.array([2.0]), np.array([False])), [label(bands(top=2, bottom=5))])
    means = average(errors, np.ones(1, bool))
    assert (means.direct_accuracy, means.indirect_share, means.direct_gap_mae_ev) == (None, None, None)
