"""Data sets: what goes in comes out, formulas keep to their split, and nothing that was refused goes unreported."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bandrt.computed.documents import DocumentText, parse_document
from bandrt.computed.lines import document_crystal
from bandrt.errors import InputError, ManifestError, OutputError
from bandrt.features import featurize_crystal
from bandrt.recipe import KpathRecipe, Recipe
from bandrt_train.data.builder import build_dataset, make_entry
from bandrt_train.data.dataset import SPLITS, Dataset, DatasetRecipe, Entry, Refusal, SplitRule
from bandrt_train.data.writer import DatasetWriter
from tests.support.band_documents import read_documents

RECIPE = DatasetRecipe(Recipe(kpath=KpathRecipe(n_kpoints=64)))


@pytest.fixture(scope="module")
def texts(label_texts: list[DocumentText]) -> list[str]:
    """Eight labels with enough bands."""
    return [t.text for t in label_texts if json.loads(t.text)["n_occupied"] >= 3][:160:20]


@pytest.fixture(scope="module")
def built(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("built")
    (folder / "labels.jsonl").write_text("".join(t.strip() + "\n" for t in texts), encoding="utf-8")
    return build_dataset([folder / "labels.jsonl"], folder / "dataset", RECIPE)


def same(one: Entry, other: Entry) -> None:
    assert (one.id, one.formula, one.split, one.method, one.document_sha256) == (
        other.id,
        other.formula,
        other.split,
        other.method,
        other.document_sha256,
    )
    assert one.targets.report == other.targets.report
    assert (one.targets.is_metal, one.targets.band_gap) == (other.targets.is_metal, other.targets.band_gap)
    np.testing.assert_array_equal(one.targets.energies, other.targets.energies)
    np.testing.assert_array_equal(one.targets.mask, other.targets.mask)
    for name in (
        "atomic_numbers",
        "neighbor_index",
        "neighbor_distance",
        "neighbor_mask",
        "neighbor_image",
        "atom_mask",
        "kpoints",
    ):
        mine, theirs = getattr(one.features, name), getattr(other.features, name)
        assert mine.dtype == theirs.dtype, name
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(one.features.crystal.lattice, other.features.crystal.lattice)
    np.testing.assert_array_equal(one.features.crystal.frac_coords, other.features.crystal.frac_coords)
    assert one.features.kpath.labels == other.features.kpath.labels
    np.testing.assert_array_equal(one.features.kpath.frac_kpoints, other.features.kpath.frac_kpoints)
    np.testing.assert_array_equal(one.features.kpath.label_indices, other.features.kpath.label_indices)


def test_entries_come_out_as_they_went_in(built: Dataset, texts: list[str]) -> None:
    assert len(built) == len(texts)
    for entry, text in zip(Dataset(built.folder), texts, strict=True):
        made = make_entry(DocumentText("one", "one", text), RECIPE)
        assert isinstance(made, Entry)
        same(entry, made)


def test_features_in_a_data_set_are_those_of_inference(built: Dataset, texts: list[str]) -> None:
    crystal = parse_document(DocumentText("one", "one", texts[0])).crystal
    assert crystal is not None
    np.testing.assert_array_equal(built[0].features.kpoints, featurize_crystal(crystal, RECIPE.featurization, name="one").kpoints)


def test_parts_are_joined_without_a_seam(tmp_path: Path, built: Dataset) -> None:
    writer = DatasetWriter(tmp_path, RECIPE, part_size=3)
    for entry in built:
        writer.add(entry)
    parted = writer.close()
    assert sorted(p.name for p in parted.folder.glob("part-*")) == ["part-00000.npz", "part-00001.npz", "part-00002.npz"]
    assert parted.header.fingerprint == built.header.fingerprint
    for one, other in zip(Dataset(tmp_path), built, strict=True):
        same(one, other)


def test_several_processes_build_the_same(texts: list[str], tmp_path: Path, built: Dataset) -> None:
    (tmp_path / "labels.jsonl").write_text("".join(t.strip() + "\n" for t in texts), encoding="utf-8")
    parallel = build_dataset([tmp_path / "labels.jsonl"], tmp_path / "dataset", RECIPE, workers=2)
    assert parallel.header == built.header
    for one, other in zip(parallel, built, strict=True):
        same(one, other)


def test_a_formula_stays_in_its_split_when_the_data_grow() -> None:
    rule = SplitRule()
    formulas = [f"A{i}B{j}" for i in range(60) for j in range(60)]
    splits = [rule.split(f) for f in formulas]
    shares = {name: splits.count(name) / len(splits) for name in ("train", "validation", "test")}
    assert shares == pytest.approx({"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.02)
    assert [rule.split(f) for f in reversed(formulas)] == splits[::-1]
    assert [SplitRule(seed=1).split(f) for f in formulas] != splits


def test_the_fingerprint_says_what_is_held_out_and_is_as_it_was_for_the_usual_splits(built: Dataset, tmp_path: Path) -> None:
    lines = sorted(f"{record['id']}:{record['document_sha256']}" for record in built.records)
    assert built.header.fingerprint == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    found = {built.header.fingerprint}
    for number, rule in enumerate((SplitRule(seed=1), SplitRule(validation=0.2), SplitRule(test=0.2))):
        writer = DatasetWriter(tmp_path / str(number), dataclasses.replace(built.header.recipe, splits=rule))
        for entry in built:
            writer.add(dataclasses.replace(entry, split=rule.split(entry.formula)))
        found.add(writer.close().header.fingerprint)
    assert len(found) == 4


def test_no_formula_is_in_two_splits(built: Dataset) -> None:
    where: dict[str, set[str]] = {}
    for record in built.records:
        where.setdefault(record["formula"], set()).add(record["split"])
    assert all(len(splits) == 1 for splits in where.values())
    assert sum(built.header.counts.values()) == len(built)
    assert sorted(i for split in SPLITS for i in built.indices(split)) == list(range(len(built)))


def test_what_is_refused_is_reported_with_its_reason(texts: list[str], tmp_path: Path) -> None:
    document = json.loads(texts[0])
    sources = tmp_path / "sources"
    sources.mkdir()
    bands = document["bands"]["1"]
    variants = {
        "broken": "{",
        "no-structure": json.dumps({**document, "id": "a", "structure": None}),
        "spin": json.dumps({**document, "id": "b", "bands": {"1": bands, "-1": [[e + 0.1 for e in band] for band in bands]}}),
        "few": json.dumps({**document, "id": "c", "bands": {"1": bands[:3]}}),
        "scrambled": json.dumps({**document, "id": "d", "bands": {"1": [b[::-1] for b in bands]}}),
        "twice": json.dumps(document),
        "whole": json.dumps(document),
    }
    for name, text in variants.items():
        (sources / f"{name}.json").write_text(text, encoding="utf-8")
    (sources / "cut.json.gz").write_bytes(gzip.compress(texts[1].encode())[:500])
    dataset = build_dataset([sources], tmp_path / "dataset", RECIPE)
    assert [record["id"] for record in dataset.records] == [document["id"]]
    reasons = {Path(r.source).name.split(".")[0]: r.code for r in dataset.refusals()}
    assert reasons["whole"] == "duplicate-id"
    assert reasons["no-structure"] == "no-structure"
    assert reasons["spin"] == "spin-polarised"
    assert reasons["few"] == "too-few-bands"
    assert reasons["broken"] == reasons["cut"] == "malformed"
    assert reasons["scrambled"] in ("symmetry-conflict", "too-few-bands", "fermi-level-conflict")
    assert dataset.header.n_refused == len(reasons)


def test_documents_that_cover_too_little_of_the_path_are_refused(texts: list[str]) -> None:
    document = json.loads(texts[0])
    end = document["branches"][1]["end_index"] + 1
    part = {
        **document,
        "kpoints": document["kpoints"][:end],
        "bands": {"1": [band[:end] for band in document["bands"]["1"]]},
        "branches": document["branches"][:2],
    }
    refusal = make_entry(DocumentText("part.json", "part", json.dumps(part)), dataclasses.replace(RECIPE, min_mapped_fraction=0.9))
    assert not isinstance(refusal, Entry)
    assert (refusal.code, refusal.stage) == ("path-not-covered", "kpath")


def test_a_document_without_a_trusted_label_is_refused(texts: list[str]) -> None:
    untrusted = json.dumps({**json.loads(texts[0]), "trusted_below_ev": -1000.0})
    refusal = make_entry(DocumentText("one.json", "one", untrusted), RECIPE)
    assert not isinstance(refusal, Entry)
    assert refusal.code == "no-labels"


def test_labels_of_another_method_go_to_the_split_of_their_formula(texts: list[str], tmp_path: Path, built: Dataset) -> None:
    other = [
        json.dumps({**json.loads(t), "id": f"tb-{i}", "method": "tight binding", "trusted_below_ev": json.loads(t)["efermi"] + 3.0})
        for i, t in enumerate(texts)
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(other), encoding="utf-8")
    model = build_dataset([tmp_path / "labels.jsonl"], tmp_path / "dataset", RECIPE)
    assert {e.method for e in model} == {"tight binding"}
    assert {e.formula: e.split for e in model} == {e.formula: e.split for e in built}
    for entry, whole in zip(model, built, strict=True):
        assert entry.targets.mask.sum() < whole.targets.mask.sum()


def test_tight_binding_never_trains_on_a_formula_that_dft_holds_out(shared: Path, labels: Path) -> None:
    rule = SplitRule()

    def formulas(source: Path) -> set[str]:
        return {document_crystal(document).hill_formula for document in read_documents(source)}

    held = {formula for formula in formulas(labels) if rule.split(formula) != "train"}
    both = held & formulas(shared / "data" / "tb3" / "tb3-00.jsonl.gz")
    assert both
    assert all(rule.split(formula) != "train" for formula in both)


def test_a_folder_that_is_no_data_set_is_an_error(tmp_path: Path, built: Dataset) -> None:
    with pytest.raises(InputError, match="not a data set") as caught:
        Dataset(tmp_path)
    assert caught.value.code == "not-a-dataset"
    for name in ("dataset.json", "entries.jsonl"):
        (tmp_path / name).write_bytes((built.folder / name).read_bytes())
    header = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    (tmp_path / "dataset.json").write_text(json.dumps({**header, "surprise": 1}), encoding="utf-8")
    with pytest.raises(ManifestError, match="surprise"):
        Dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({**header, "format_version": 99}), encoding="utf-8")
    with pytest.raises(InputError, match="99"):
        Dataset(tmp_path)


@pytest.fixture
def copied(built: Dataset, tmp_path: Path) -> Path:
    """The same data set in a folder of its own, to be damaged."""
    return Path(shutil.copytree(built.folder, tmp_path / "copied"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "7 crystals|crystals of the"),
        (lambda lines: lines[:2] + lines[3:], "crystals of the"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "cannot be read"),
        (lambda lines: [lines[0].replace('"space_group"', '"group"'), *lines[1:]], "no 'space_group'"),
        (lambda lines: [lines[0].replace('"split": "', '"split": "no '), *lines[1:]], "crystals of the"),
        (lambda lines: ["[]", *lines[1:]], "cannot be read"),
    ],
)
def test_entries_that_were_lost_or_changed_are_told(copied: Path, damage: Callable[[list[str]], list[str]], said: str) -> None:
    path = copied / "entries.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    path.write_text("".join(f"{line}\n" for line in damage(lines)), encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        Dataset(copied)
    assert caught.value.code == "dataset-damaged"
    assert "entries.jsonl" in caught.value.message


def test_entries_are_not_joined_with_arrays_of_others(copied: Path, built: Dataset) -> None:
    path = copied / "entries.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    other = next(i for i, record in enumerate(built.records) if record["formula"] != built.records[0]["formula"])
    lines[0], lines[other] = lines[other], lines[0]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with pytest.raises(InputError, match=r"part-00000\.npz: it holds") as caught:
        Dataset(copied)[0]
    assert caught.value.code == "dataset-damaged"


def test_a_part_with_another_number_of_crystals_is_told(copied: Path, built: Dataset, tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "fewer", built.header.recipe)
    for entry in list(built)[:3]:
        writer.add(entry)
    writer.close()
    (copied / "part-00000.npz").write_bytes((tmp_path / "fewer" / "part-00000.npz").read_bytes())
    with pytest.raises(InputError, match="holds 3 crystals, not 8") as caught:
        Dataset(copied)[0]
    assert caught.value.code == "dataset-damaged"


@pytest.mark.parametrize("text", ["[]", "3", "{}"])
def test_a_header_that_is_none_is_no_data_set(copied: Path, text: str) -> None:
    (copied / "dataset.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Dataset(copied)
    assert caught.value.code == "not-a-dataset"


def test_names_may_hold_what_some_take_for_the_end_of_a_line(built: Dataset, tmp_path: Path) -> None:
    name = "a\u2028b\x85c"
    writer = DatasetWriter(tmp_path / "named", built.header.recipe)
    writer.add(dataclasses.replace(built[0], id=name))
    writer.refuse(Refusal(name, name, "read", "malformed", name))
    made = writer.close()
    assert (made[0].id, made.refusals()[0].message) == (name, name)


def test_a_folder_with_something_in_it_is_not_written_to(texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(texts[0], encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("precious", encoding="utf-8")
    for how in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(OutputError, match="choose another") as caught:
            build_dataset([tmp_path / "one.json"], tmp_path / "data", RECIPE, **how)  # type: ignore[arg-type]
        assert caught.value.code == "output-foreign"
    with pytest.raises(OutputError, match="among the sources"):
        build_dataset([tmp_path], tmp_path / "data" / "inner", RECIPE)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine.txt"]


def test_a_data_set_is_built_anew_only_when_asked(texts: list[str], tmp_path: Path) -> None:
    for number, text in enumerate(texts[:3]):
        (tmp_path / f"{number}.json").write_text(text, encoding="utf-8")
    folder = tmp_path / "data"
    first = build_dataset([tmp_path / "0.json", tmp_path / "1.json"], folder, RECIPE, part_size=1)
    with pytest.raises(OutputError, match="--overwrite") as caught:
        build_dataset([tmp_path / "2.json"], folder, RECIPE)
    assert caught.value.code == "output-not-empty"
    assert len(Dataset(folder)) == len(first) == 2
    assert len(build_dataset([tmp_path / "2.json"], folder, RECIPE, overwrite=True)) == 1
    assert len(list(folder.glob("part-*.npz"))) == 1
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"notes\.txt") as caught:
        build_dataset([tmp_path / "0.json"], folder, RECIPE, overwrite=True)
    assert caught.value.code == "output-foreign"
    assert len(Dataset(folder)) == 1
