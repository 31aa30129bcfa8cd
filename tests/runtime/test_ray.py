"""Ray: the columns of an actor, its failures, its threads; and a cluster of two nodes that loses one while it predicts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bandrt
from bandrt import ArgumentError, MissingPackageError, Prediction
from bandrt.cores import available_cores
from bandrt.ray import BANDS, Predictor, given_by_ray

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = [
    *("id", "formula", "space_group", "n_atoms", "band_gap_ev", "direct_gap_ev", "is_metal", "is_direct", "vbm_ev", "cbm_ev"),
    *("warnings", "uncertainty_ev"),
]
TOLERANCE_EV = 1e-5
"""Batches may add in another order."""

pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def predictor(tiny_engine: Path) -> Predictor:
    return Predictor(tiny_engine, threads=1)


@pytest.fixture
def batch(rock_salt: Callable[..., str]) -> dict[str, Any]:
    texts = [rock_salt(), rock_salt(occupancy=0.5), rock_salt(a=4.2, first="Pb", second="Te"), None]
    return {"material_id": np.array(["a", "b", "a", None], object), "cif": np.array(texts, object), "other": np.arange(4)}


def test_a_row_comes_out_for_each_that_goes_in_with_its_own_id(predictor: Predictor, batch: dict[str, Any]) -> None:
    rows = predictor(batch).to_pylist()
    assert [*rows[0]] == [*COLUMNS, "error", "error_message"]
    assert [(row["id"], row["formula"], row["error"]) for row in rows] == [
        ("a", "NaCl", None), ("b", None, "partial-occupancy"), ("a", "TePb", None), ("", None, "no-cif-column"),
    ]  # fmt: skip
    assert rows[0]["error_message"] is None
    assert rows[3]["error_message"] == "a row without id: has no text of a crystal"
    assert all(rows[1][column] is None for column in COLUMNS[1:])


def test_columns_of_unequal_length_are_refused(predictor: Predictor, batch: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="4 of material_id and 3 of cif"):
        predictor(batch | {"cif": batch["cif"][:3]})


def test_a_batch_of_failures_alone_has_columns_of_the_same_types(predictor: Predictor, batch: dict[str, Any]) -> None:
    failed = {name: values[[1, 3]] for name, values in batch.items()}
    assert predictor(failed).schema == predictor(batch).schema


@pytest.mark.parametrize("layout", ["pandas", "pyarrow"])
def test_every_format_of_a_batch_gives_the_same(predictor: Predictor, batch: dict[str, Any], layout: str) -> None:
    given = pa.table(batch) if layout == "pyarrow" else pytest.importorskip("pandas").DataFrame(batch)
    assert predictor(given).equals(predictor(batch))


def test_what_is_missing_in_pandas_is_no_id(predictor: Predictor, batch: dict[str, Any]) -> None:
    pandas = pytest.importorskip("pandas")
    ids = pandas.array(["a", None], dtype="string")
    table = predictor(pandas.DataFrame({"material_id": ids, "cif": [batch["cif"][0], None]}))
    assert table["id"].to_pylist() == ["a", ""]
    assert table["error"].to_pylist() == [None, "no-cif-column"]


def test_the_values_are_those_of_predict_and_bands_come_on_request(tiny_engine: Path, batch: dict[str, Any]) -> None:
    table = Predictor(tiny_engine, threads=1, bands=True, id_column="other")(batch)
    assert table.column_names == [*COLUMNS, *BANDS, "error", "error_message"]
    rows = table.to_pylist()
    with bandrt.load(tiny_engine, threads=1) as engine:
        [result] = engine.predict([batch["cif"][2]])
    assert isinstance(result, Prediction)
    bands = result.band_structure
    assert rows[2]["id"] == "2"
    assert rows[2]["band_gap_ev"] == pytest.approx(bands.band_gap, abs=TOLERANCE_EV)
    np.testing.assert_allclose(rows[2]["energies"], bands.energies, atol=TOLERANCE_EV)
    np.testing.assert_allclose(rows[2]["frac_kpoints"], bands.frac_kpoints)
    assert (tuple(rows[2]["labels"]), rows[2]["label_indices"]) == (bands.labels, bands.label_indices.tolist())
    assert all(rows[1][name] is None for name in BANDS)


def test_a_missing_column_is_named_with_those_there_are(predictor: Predictor) -> None:
    with pytest.raises(ArgumentError, match=r"id, cif.*with material_id"):
        predictor({"id": np.array(["a"]), "cif": np.array(["x"])})


@pytest.mark.parametrize("wrong", [{"device": 3}, {"bands": "yes"}, {"id_column": ""}, {"structure_column": 1}, {"threads": 0}])
def test_a_wrong_argument_is_refused(tiny_engine: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Predictor(tiny_engine, **wrong)


def test_without_pyarrow_the_extra_is_named(tiny_engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"bandrt\[ray\]"):
        Predictor(tiny_engine)


def in_an_actor(monkeypatch: pytest.MonkeyPatch, *, actor: str | None = "a", **given: Any) -> None:
    """A process of Ray, as its context tells of it."""
    context = SimpleNamespace(
        get_actor_id=lambda: actor,
        get_assigned_resources=lambda: given.get("resources", {}),
        get_accelerator_ids=lambda: {"GPU": given.get("gpus", [])},
    )
    stand_in = SimpleNamespace(is_initialized=lambda: True, get_runtime_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray", stand_in)


def test_threads_and_device_are_what_the_actor_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.ray.available_cores", lambda: 8)
    in_an_actor(monkeypatch, resources={"CPU": 3.0})
    assert given_by_ray() == (3, False)
    in_an_actor(monkeypatch, resources={"CPU": 0.5, "GPU": 0.5}, gpus=["2"])
    assert given_by_ray() == (1, True)
    in_an_actor(monkeypatch, resources={"CPU": 64.0})
    assert given_by_ray() == (8, False)
    in_an_actor(monkeypatch, actor=None)
    assert given_by_ray() == (8, False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert given_by_ray() == (8, False)
    assert available_cores() >= 1


@pytest.mark.parametrize(
    ("device", "gpus", "opened"), [("auto", ["3"], "cuda:0"), ("auto", [], None), ("cpu", ["3"], "cpu"), ("cuda:1", [], "cuda:1")]
)
def test_an_engine_is_opened_where_ray_says(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: list[str], opened: str | None
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("bandrt.ray.load", lambda *given, **more: asked.append((given, more)))
    in_an_actor(monkeypatch, resources={"CPU": 1.0}, gpus=gpus)
    Predictor("fast", device)
    assert asked == [(("fast", opened), {"threads": 1, "hand_over": True})]


@pytest.mark.slow
def test_a_node_that_is_killed_loses_no_crystal_and_repeats_none(tmp_path: Path, rock_salt: Callable[..., str]) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    from pyarrow import parquet

    (tmp_path / "in").mkdir()
    (tmp_path / "notes").mkdir()
    rows = [
        {"material_id": f"salt-{place}", "cif": rock_salt(a=3.5 + 0.01 * place, occupancy=0.5 if place % 12 == 5 else 1.0)}
        for place in range(96)
    ]
    for file in range(4):
        parquet.write_table(pa.Table.from_pylist(rows[24 * file : 24 * file + 24]), tmp_path / "in" / f"{file}.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.ray_nodes", tmp_path / "in", tmp_path / "out", tmp_path / "notes"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=600, env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["killed_at_work"], "no batch came to the node that was to be killed"
    at_work = Counter(batch["node"] for batch in told["batches"])
    assert at_work[told["doomed"]] == 1
    assert len(at_work) == 2
    assert {tuple(batch["given"]) for batch in told["batches"]} == {(1, False)}  # one core each, no GPU
    assert len({batch["actor"] for batch in told["batches"]}) <= 3  # two, and the one that took the place of the killed one
    found = parquet.read_table(tmp_path / "out").to_pylist()
    assert sorted(row["id"] for row in found) == sorted(row["material_id"] for row in rows)
    by_id = {row["id"]: row for row in found}
    failed = {row["id"] for row in found if row["error"] is not None}
    assert failed == {f"salt-{place}" for place in range(5, 96, 12)}
    assert {by_id[name]["error"] for name in failed} == {"partial-occupancy"}
    with bandrt.load("fast", threads=1) as engine:
        for row, result in zip(rows[:5], engine.predict([row["cif"] for row in rows[:5]]), strict=True):
            assert isinstance(result, Prediction)
            np.testing.assert_allclose(by_id[row["material_id"]]["energies"], result.band_structure.energies, atol=TOLERANCE_EV)
