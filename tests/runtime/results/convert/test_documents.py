"""pymatgen documents: pymatgen reads back what was predicted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.results.convert import convert
from bandrt.results.prediction import Prediction
from bandrt.results.summary import summary
from tests.support.predicted_crystals import CUBIC, predicted, write_results

pytest.importorskip("pymatgen.core")
from pymatgen.core import Structure
from pymatgen.electronic_structure.bandstructure import BandStructureSymmLine
from pymatgen.electronic_structure.core import Spin


@pytest.fixture
def lines(out: Path) -> list[dict[str, Any]]:
    convert(out, out / "bands.jsonl.gz", "pymatgen")
    return [json.loads(line) for line in gzip.open(out / "bands.jsonl.gz", "rt", encoding="utf-8")]


def test_pymatgen_reads_every_line_back(lines: list[dict[str, Any]], predictions: list[Prediction]) -> None:
    for line, prediction in zip(lines, predictions, strict=True):
        read, given = BandStructureSymmLine.from_dict(line), prediction.band_structure.to_pymatgen()
        np.testing.assert_array_equal(read.bands[Spin.up], given.bands[Spin.up])
        np.testing.assert_array_equal([k.frac_coords for k in read.kpoints], [k.frac_coords for k in given.kpoints])
        assert [k.label for k in read.kpoints] == [k.label for k in given.kpoints]
        assert read.branches == given.branches
        assert len(read.branches) == len(prediction.band_structure.labels) - 1
        assert (read.efermi, read.is_metal(), read.get_band_gap()) == (given.efermi, given.is_metal(), given.get_band_gap())
        assert read.structure == given.structure == Structure.from_dict(line["structure"])


def test_without_pymatgen_a_line_is_what_pymatgen_writes(lines: list[dict[str, Any]], predictions: list[Prediction]) -> None:
    for line, prediction in zip(lines, predictions, strict=True):
        theirs = prediction.band_structure.to_pymatgen()
        expected = json.loads(json.dumps(theirs.as_dict() | {"structure": theirs.structure.as_dict()}, default=int))
        assert {name: line[name] for name in expected} == expected


def test_a_line_says_what_the_summary_says(lines: list[dict[str, Any]], predictions: list[Prediction]) -> None:
    for line, prediction in zip(lines, predictions, strict=True):
        expected = summary(prediction) | {"path": prediction.path.replace("\udce9", "\\udce9")}
        assert {name: line[name] for name in expected} == expected | {"warnings": list(prediction.warnings)}
        assert line["method"] == "bandrt 0.1.0, engine eeeeeeeeeeee"
    assert [line["is_metal"] for line in lines] == [False, True, False]
    assert lines[1]["vbm_ev"] is None


def test_equal_results_give_equal_files(out: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        convert(out, tmp_path / name, "pymatgen")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_an_error_that_nothing_is_known_of_is_null_as_json_has_it(tmp_path: Path) -> None:
    lonely = predicted("lonely", CUBIC, warnings=("isolated-atom:Na",), uncertainty=float("nan"))
    convert(write_results(tmp_path / "out", [[lonely]]), tmp_path / "bands.jsonl", "pymatgen")

    def refused(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    line = json.loads((tmp_path / "bands.jsonl").read_text(encoding="utf-8"), parse_constant=refused)
    assert line["uncertainty_ev"] is None
