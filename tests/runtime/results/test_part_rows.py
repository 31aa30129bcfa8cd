"""Rows of a whole part are those of its predictions, and there are none of a part that has to be looked at."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.bands.frame import frame_of
from bandrt.results.arrays import Arrays, frame_in, kept_of, predictions_of, stacked
from bandrt.results.part_rows import part_rows, rows_of
from bandrt.results.parts import part_arrays
from bandrt.results.prediction import Prediction
from bandrt.results.summary import summary_row
from tests.support.predicted_crystals import CUBIC, METAL, TRICLINIC, predicted, with_more_bands, write_predictions

KEEP = ("owner", "=x")


@pytest.fixture(scope="module")
def predictions() -> list[Prediction]:
    made = [
        predicted('a,"b"', CUBIC, warnings=("magnetic:Fe", "layered")),
        predicted("=c", METAL, gap=0.5, doped=0.4, uncertainty=math.nan),
        predicted("d\né", TRICLINIC, gap=0.5),
        predicted("e", CUBIC, gap=-0.2),
        predicted("f", CUBIC, gap=5e-4),
    ]
    return [dataclasses.replace(one, kept={"owner": f"-{one.id}", "=x": ""}) for one in made]


def arrays_of(predictions: list[Prediction], folder: Path) -> Arrays:
    write_predictions(folder / "part-00000.npz", predictions, engine_sha256="e" * 64)
    return part_arrays(folder / "part-00000.npz")


def expected(arrays: Arrays, keep: tuple[str, ...] = KEEP) -> list[list[str]]:
    return [summary_row(one, keep) for one in predictions_of(arrays, Path("part"))]


def rows(arrays: Arrays, keep: tuple[str, ...] = KEEP) -> list[list[str]] | None:
    return part_rows(arrays, frame_in(arrays, Path("part")), keep)


def test_they_are_those_of_the_predictions(predictions: list[Prediction], tmp_path: Path) -> None:
    arrays = arrays_of(predictions, tmp_path)
    assert rows(arrays) == expected(arrays)
    assert {row[7] for row in expected(arrays)} == {"true", "false"}
    bare = [dataclasses.replace(one, kept={}, uncertainty_ev=None) for one in predictions]
    arrays = arrays_of(bare, tmp_path)
    assert rows(arrays, ()) == expected(arrays, ())


def test_more_bands_change_nothing(predictions: list[Prediction], tmp_path: Path) -> None:
    wide = [
        dataclasses.replace(one, band_structure=with_more_bands(one.band_structure, below=2, above=1)) for one in predictions[:3]
    ]
    arrays = arrays_of(wide, tmp_path)
    assert rows(arrays) == expected(arrays)


def test_crystals_that_lack_bands_are_looked_at_one_by_one(predictions: list[Prediction], tmp_path: Path) -> None:
    wide = with_more_bands(predictions[0].band_structure, below=2, above=1)
    arrays = arrays_of([dataclasses.replace(predictions[0], band_structure=wide), *predictions[1:]], tmp_path)
    assert rows(arrays) is None


def test_rows_of_what_is_about_to_be_written_are_those_of_what_is_read_back(predictions: list[Prediction], tmp_path: Path) -> None:
    exact = [dataclasses.replace(one, uncertainty_ev=0.12345750001 + n) for n, one in enumerate(predictions)]
    lacking = [dataclasses.replace(exact[0], band_structure=with_more_bands(exact[0].band_structure, below=2, above=1)), *exact]
    for given in (predictions, exact, lacking):
        frame = frame_of([one.band_structure for one in given])
        assert rows_of(stacked(given, frame), frame, KEEP, Path("part")) == expected(arrays_of(given, tmp_path))


def _set(name: str, place: Any, value: Any) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name][place] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("energies", (0, 0, 0), math.inf),
        _set("space_group", 1, 231),
        _set("scheme", 0, "none"),
        _set("label_indices", (0, 1), -1),
        _set("label_indices", (0, 1), 64),
        _set("lattice", (0, 0, 0), math.nan),
        _set("lattice", (0, 0), 0.0),
        _set("lattice", (0, 0, 0), 1e5),
        _set("atomic_numbers", 0, 0),
        _set("atomic_numbers", 0, 119),
        _set("frac_coords", (0, 0), 1e7),
        _set("frac_coords", (0, 0), math.nan),
        _set("uncertainty_ev", 0, math.inf),
        _set("kept", 0, '{"owner": 1}'),
        _set("kept", 0, "[]"),
        _set("kept", 0, "{"),
    ],
)
def test_what_is_no_prediction_has_none(change: Callable[[Arrays], None], predictions: list[Prediction], tmp_path: Path) -> None:
    arrays = arrays_of(predictions, tmp_path)
    assert np.isfinite(arrays["energies"]).all()
    change(arrays)
    assert rows(arrays) is None


def test_paths_of_another_length_have_none(predictions: list[Prediction], tmp_path: Path) -> None:
    arrays = arrays_of(predictions, tmp_path)
    assert rows(arrays | {"kpoint_distance": arrays["kpoint_distance"][:, 1:]}) is None


def test_what_was_kept_is_told(predictions: list[Prediction], tmp_path: Path) -> None:
    arrays = arrays_of(predictions, tmp_path)
    assert kept_of(arrays) == [one.kept for one in predictions]
    del arrays["kept"]
    assert kept_of(arrays) == [{}] * len(predictions)
