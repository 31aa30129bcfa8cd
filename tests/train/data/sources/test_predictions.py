"""The folder of a run is band data: predictions come back as they were, and count as much as their engine is sure of them."""

from __future__ import annotations

import dataclasses
import math
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from bandrt_train.data.builder import build_dataset
from bandrt_train.data.dataset import DatasetRecipe
from bandrt_train.data.sources.folders import count_documents, find_documents
from bandrt_train.data.sources.predictions import SURE_EV, find_predictions, weight_of
from tests.support.predicted_crystals import CUBIC, METAL, RECIPE, TRICLINIC, predicted, write_results


def test_predictions_become_entries_with_their_energies(tmp_path: Path) -> None:
    given = [predicted("a", CUBIC), predicted("b", METAL, gap=0.5, doped=0.4), predicted("c", TRICLINIC, uncertainty=1.0)]
    run = write_results(tmp_path / "out", [given[:1], given[1:]])
    assert count_documents([run]) == 3
    built = build_dataset([run], tmp_path / "dataset", DatasetRecipe(RECIPE))
    assert [entry.id for entry in built] == ["a", "b", "c"]
    for entry, prediction in zip(built, given, strict=True):
        bands = prediction.band_structure
        assert entry.method == "bandrt eeeeeeeeeeee"
        assert entry.targets.mask.all()
        assert (entry.targets.is_metal, entry.targets.band_gap) == (bands.is_metal, pytest.approx(bands.band_gap, abs=1e-6))
        corners = bands.label_indices  # between them labels may be taken from an equivalent line with other k-points
        np.testing.assert_allclose(entry.targets.energies[:, corners], bands.energies[:, corners] - bands.efermi, atol=1e-5)
    assert [entry.targets.weight for entry in built] == [1.0, 1.0, SURE_EV]


def test_what_another_engine_made_or_nothing_is_known_of_is_refused(tmp_path: Path) -> None:
    given = [
        predicted("kept", CUBIC),
        predicted("handed", METAL, warnings=("handed-over:fast", "magnetic:Fe")),
        predicted("unknown", TRICLINIC, uncertainty=math.nan),
    ]
    built = build_dataset([write_results(tmp_path / "out", [given])], tmp_path / "dataset", DatasetRecipe(RECIPE))
    assert [entry.id for entry in built] == ["kept"]
    assert [(refusal.id, refusal.code) for refusal in built.refusals()] == [("handed", "no-teacher"), ("unknown", "no-teacher")]


def test_weights_fall_with_the_expected_error_and_are_never_more_than_one() -> None:
    assert [weight_of(error) for error in (0.0, 0.1, SURE_EV, 2 * SURE_EV, 10 * SURE_EV)] == [
        1.0,
        1.0,
        1.0,
        0.5,
        pytest.approx(0.1),
    ]


def test_a_source_can_be_handed_to_another_process_and_is_known_again(tmp_path: Path) -> None:
    given = [predicted("a", CUBIC), predicted("b", CUBIC, gap=1.001)]
    first, second = find_predictions(write_results(tmp_path / "out", [given]))
    assert pickle.loads(pickle.dumps(first)).stamp() == first.stamp()
    assert first.stamp() != second.stamp()
    assert [source.stamp() for source in find_documents([tmp_path / "out"])] == [first.stamp(), second.stamp()]


def test_what_decides_on_an_entry_beside_its_bands_is_part_of_the_stamp(tmp_path: Path) -> None:
    given = predicted("a", METAL, gap=0.5, doped=0.4, uncertainty=1.0)
    [source] = find_predictions(write_results(tmp_path / "out", [[given]]))
    made = source.prediction
    bands = made.band_structure
    insulating = dataclasses.replace(bands, rule=dataclasses.replace(bands.rule, metal_tolerance_ev=1.0))
    assert bands.is_metal
    assert not insulating.is_metal
    others = [
        source._replace(method="bandrt ffffffffffff"),
        *(
            source._replace(prediction=dataclasses.replace(made, **change))
            for change in (
                {"uncertainty_ev": 2.0},
                {"uncertainty_ev": None},
                {"uncertainty_ev": math.nan},
                {"warnings": ("handed-over:fast",)},
                {"band_structure": insulating},
            )
        ),
    ]
    assert len({one.stamp() for one in (source, *others)}) == 1 + len(others)
    noted = source._replace(prediction=dataclasses.replace(made, warnings=("magnetic:Fe",)))
    assert noted.stamp() == source.stamp()  # says nothing of the entry


def test_a_resumed_data_set_has_the_weights_of_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    build_dataset([write_results(tmp_path / "out", [[predicted("a", CUBIC, uncertainty=1.0)]])], folder, DatasetRecipe(RECIPE))
    shutil.rmtree(tmp_path / "out")
    run = write_results(tmp_path / "out", [[predicted("a", CUBIC, uncertainty=2.0)]])
    [entry] = build_dataset([run], folder, DatasetRecipe(RECIPE), resume=True)
    assert entry.targets.weight == SURE_EV / 2.0
