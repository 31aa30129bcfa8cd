"""Tables of gaps become data sets that label no band, with the splits of every other data set."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.features import featurize
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.data.builder import build_gap_dataset
from bandrt_train.data.dataset import Dataset, DatasetRecipe
from bandrt_train.data.gap_labels import METHOD, find_gaps, parse_gap
from bandrt_train.fit.loader import labelled_graph

RECIPE = DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=32)))
GAPS = {"GaAs_mp-8883": "0.2", "NiAl_mp-1487": "0", "C_mp-569304": "", "MgAl2O4_mp-3536": "5.1"}


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def rows(examples: Path) -> list[dict[str, str]]:
    return [
        {"material_id": name, "band_gap_pbe_ev": gap, "cif": (examples / f"{name}.cif").read_text(encoding="utf-8")}
        for name, gap in GAPS.items()
    ]


@pytest.fixture
def built(rows: list[dict[str, str]], tmp_path: Path) -> Dataset:
    return build_gap_dataset([write_table(tmp_path / "gaps.csv.gz", rows)], tmp_path / "gaps", RECIPE)


def test_rows_without_a_gap_are_left_out(rows: list[dict[str, str]], tmp_path: Path) -> None:
    found = list(find_gaps(write_table(tmp_path / "gaps.csv.gz", rows)))
    assert [text.id for text in found] == [name for name, gap in GAPS.items() if gap]
    assert parse_gap(found[0])[1:] == (0.2, 1.0)


def test_an_entry_knows_its_gap_and_no_band(built: Dataset, examples: Path) -> None:
    assert built.header.n_refused == 0
    entries = {entry.id: entry for entry in built}
    assert {name: entry.targets.band_gap for name, entry in entries.items()} == {n: float(g) for n, g in GAPS.items() if g}
    assert [name for name, entry in entries.items() if entry.targets.is_metal] == ["NiAl_mp-1487"]
    for name, entry in entries.items():
        assert entry.method == METHOD
        assert entry.targets.mask.shape == entry.targets.energies.shape == (6, 32)
        assert not entry.targets.mask.any()
        features = featurize(examples / f"{name}.cif", RECIPE.featurization)
        np.testing.assert_array_equal(entry.features.kpoints, features.kpoints)
        assert entry.split == RECIPE.splits.split(features.crystal.hill_formula)


@pytest.mark.parametrize(
    ("gap", "code"), [("-0.1", "malformed"), ("nan", "malformed"), ("wide", "malformed"), ("1_0", "malformed")]
)
def test_a_row_that_can_not_be_used_is_refused_and_the_next_one_kept(
    gap: str, code: str, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    rows[0]["band_gap_pbe_ev"] = gap
    rows[1]["cif"] = "not a crystal"
    table = write_table(tmp_path / "gaps.csv.gz", rows)
    built = build_gap_dataset([table], tmp_path / "gaps", RECIPE)
    assert [entry.id for entry in built] == ["MgAl2O4_mp-3536"]
    first, second = built.refusals()
    assert (first.code, first.source) == (code, f"{table}:1")
    assert second.stage == "read"


def test_several_tables_make_one_data_set_with_the_weights_of_their_rows(rows: list[dict[str, str]], tmp_path: Path) -> None:
    known = [row for row in rows if row["band_gap_pbe_ev"]]
    weights = ("0.5", "", "1.5")
    light = [{**row, "material_id": f"light-{row['material_id']}", "weight": w} for row, w in zip(known, weights, strict=True)]
    again = {**known[0], "weight": "0.5"}
    tables = [write_table(tmp_path / "gaps.csv.gz", known), write_table(tmp_path / "light.csv.gz", [*light, again])]
    built = build_gap_dataset(tables, tmp_path / "gaps", RECIPE)
    read = {entry.id: entry.targets.weight for entry in built}
    assert read == {row["material_id"]: 1.0 for row in known} | {light[0]["material_id"]: 0.5, light[1]["material_id"]: 1.0}
    assert [refusal.code for refusal in built.refusals()] == ["malformed", "duplicate-id"]
    splits = {entry.id: entry.split for entry in built}
    assert all(splits[f"light-{name}"] == split for name, split in splits.items() if f"light-{name}" in splits)
    graphs = {entry.id: float(labelled_graph(entry).weight) for entry in built}
    assert graphs == read


def test_a_row_without_a_weight_has_the_checksum_that_it_always_had(rows: list[dict[str, str]], tmp_path: Path) -> None:
    [first, *_] = find_gaps(write_table(tmp_path / "gaps.csv.gz", rows))
    said = {"material_id": first.id, "cif": rows[0]["cif"], "band_gap_pbe_ev": "0.2"}
    assert first.text == json.dumps(said, ensure_ascii=False)  # what checkpoints remember as data


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"material_id,cif,band_gap_pbe_ev\n")[:-4])
    (tmp_path / "other.csv").write_text("id,gap\na,1\n", encoding="utf-8")
    for name, reason in (("cut.csv.gz", "cannot be read"), ("other.csv", "no column 'material_id'")):
        with pytest.raises(InputError, match=reason) as caught:
            list(find_gaps(tmp_path / name))
        assert caught.value.code == "not-a-gap-table"


def test_the_materials_project_table_gives_gaps(shared: Path) -> None:
    table = find_gaps(shared / "data" / "structures.csv.gz")
    texts = [next(table) for _ in range(20)]
    gaps = [parse_gap(text).gap for text in texts]
    assert 0 <= min(gaps) < max(gaps) < 12
    assert all("cif" in json.loads(text.text) for text in texts)
