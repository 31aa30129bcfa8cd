"""Conversion as a whole: bounded memory, files that are whole or not there, and errors that say what to do."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bandrt.cli import run
from bandrt.errors import BandrtError, MissingPackageError, OutputError
from bandrt.results.convert import OUTPUT_FORMATS, SUFFIXES, OutputFormat, convert, selection
from bandrt.results.parts import read_part
from bandrt.results.prediction import Prediction
from bandrt.results.store import CONVERTED
from bandrt.results.writer import Store
from tests.support.predicted_crystals import write_results

PACKAGES: dict[OutputFormat, str] = {"hdf5": "h5py", "parquet": "pyarrow.parquet"}
"""What a format needs; documents of pymatgen are written without it."""
OLD = b"what was there before"


def skip_without(kind: OutputFormat) -> None:
    if kind in PACKAGES:
        pytest.importorskip(PACKAGES[kind])


def target_of(kind: OutputFormat, folder: Path) -> Path:
    """A file of this format, with something in it."""
    skip_without(kind)
    path = folder / CONVERTED[kind]
    path.write_bytes(OLD)
    return path


def ids_in(path: Path, kind: OutputFormat) -> list[str]:
    match kind:
        case "pymatgen":
            return [json.loads(line)["id"] for line in gzip.open(path, "rt", encoding="utf-8")]
        case "hdf5":
            import h5py

            with h5py.File(path) as file:
                return list(file["id"].asstr()[:])
        case "parquet":
            import pyarrow.parquet as pq

            return pq.read_table(path)["id"].to_pylist()


def damage_energies(part: Path) -> None:
    """Overwrite numbers so that ids can be read and only checksums tell."""
    content = bytearray(part.read_bytes())
    middle = content.index(b"energies.npy") + 2000
    content[middle : middle + 100] = bytes(100)
    part.write_bytes(content)


def refused(code: str, out: Path, kind: OutputFormat = "pymatgen", *, ids: tuple[str, ...] = ()) -> str:
    """The message of the refusal, after which nothing has changed."""
    target = target_of(kind, out.parent)
    with pytest.raises(BandrtError) as caught:
        convert(out, target, kind, ids=ids)
    assert caught.value.code == code
    assert target.read_bytes() == OLD
    assert not list(out.parent.glob(".*"))
    return caught.value.message


@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
def test_every_crystal_is_written_in_the_order_of_the_folder(kind: OutputFormat, out: Path, tmp_path: Path) -> None:
    target = target_of(kind, tmp_path)
    seen: list[tuple[int, int]] = []
    assert convert(out, target, kind, on_progress=lambda done, total: seen.append((done, total))) == 3
    assert seen == [(2, 3), (3, 3)]
    assert ids_in(target, kind) == ["a", "b/ö", "c"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
def test_only_the_crystals_asked_for_are_written(kind: OutputFormat, out: Path, tmp_path: Path) -> None:
    target = target_of(kind, tmp_path)
    assert convert(out, target, kind, ids=["c", "b/ö", "c"]) == 2
    assert ids_in(target, kind) == ["b/ö", "c"]
    assert convert(out, target, kind, ids=["c"]) == 1
    assert ids_in(target, kind) == ["c"]


@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
def test_parts_are_read_one_after_the_other(kind: OutputFormat, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(out / "parts" / "part-00000.npz", out / "parts" / "part-00002.npz")
    events: list[str] = []

    def watched(path: Path) -> Iterator[Prediction]:
        events.append(path.stem)
        return read_part(path)

    monkeypatch.setattr(selection, "read_part", watched)
    convert(out, target_of(kind, tmp_path), kind, on_progress=lambda done, total: events.append(f"{done}/{total}"))
    assert events == ["part-00000", "2/5", "part-00001", "3/5", "part-00002", "5/5"]


@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
def test_a_part_that_proves_damaged_half_way_leaves_the_file_as_it_was(kind: OutputFormat, out: Path) -> None:
    damage_energies(out / "parts" / "part-00001.npz")
    assert "--resume" in refused("part-damaged", out, kind)


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    kind: OutputFormat, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[kind], None)
    with pytest.raises(MissingPackageError, match=rf"pip install 'bandrt\[{kind}\]'"):
        convert(out, tmp_path / "file", kind)
    assert not (tmp_path / "file").exists()


def test_a_truncated_part_and_a_foreign_folder_are_refused(out: Path) -> None:
    part = out / "parts" / "part-00000.npz"
    part.write_bytes(part.read_bytes()[:1000])
    refused("part-damaged", out)
    refused("output-not-found", out / "parts")


def test_an_id_without_prediction_is_told_why(out: Path) -> None:
    assert "it is cut short" in refused("unknown-id", out, ids=("a", "d"))
    assert "did you mean b/ö?" in refused("unknown-id", out, ids=("b/o",))


def test_a_folder_without_predictions_or_with_a_damaged_record_is_refused(out: Path) -> None:
    (out / "run.json").write_text('{"cut": ')
    assert "run.json" in refused("run-damaged", out)
    (out / "run.json").write_text("[]")
    refused("run-damaged", out)
    for part in (out / "parts").iterdir():
        part.unlink()
    refused("no-predictions", out)


def test_one_file_is_of_one_engine(predictions: list[Prediction], tmp_path: Path) -> None:
    mixed = write_results(tmp_path / "mixed", [predictions[:2], predictions[2:]], engines=["1" * 64, "2" * 64])
    assert "222222222222 in part-00001.npz" in refused("engine-differs", mixed)
    assert convert(mixed, tmp_path / "of-one", "pymatgen", ids=["c"]) == 1


def test_parts_alone_are_enough(out: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    (out / "run.json").unlink()
    assert convert(out, tmp_path / "new" / "folder" / "bands.h5", "hdf5") == 3


def test_what_can_not_be_written_is_one_error(out: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        convert(out, tmp_path / "file" / "bands.h5", "hdf5")
    assert caught.value.code == "output-unwritable"


def test_the_command_prints_the_file_and_exits_as_every_command_does(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in OUTPUT_FORMATS:
        skip_without(kind)
        assert run(["convert", str(out), "--to", kind]) == 0
        assert capsys.readouterr().out == f"{out / CONVERTED[kind]}\n"
        assert CONVERTED[kind].endswith(SUFFIXES[kind])
    assert run(["convert", str(out), "c", "--to", "hdf5", "-o", str(out / "one.hdf5")]) == 0
    assert ids_in(out / "one.hdf5", "hdf5") == ["c"]
    assert run(["convert", str(out), "c", "--to", "hdf5", "-o", str(out / "ONE.H5")]) == 0
    assert run(["convert", str(out), "x", "--to", "hdf5"]) == 1
    assert "error [unknown-id]" in capsys.readouterr().err
    assert run(["convert", str(out), "--to", "hdf5", "-o", str(out / "summary.csv")]) == 2
    assert run(["convert", str(out), "--to", "csv"]) == 2


def test_the_name_of_the_file_says_what_to_write_and_whether_to_compress(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, gzipped = out.parent / "bands.JSONL", out.parent / "bands.jsonl.gz"
    for path in (plain, gzipped):
        assert run(["convert", str(out), "-o", str(path)]) == 0
    assert plain.read_bytes() == gzip.decompress(gzipped.read_bytes())
    assert len(plain.read_bytes()) > 2 * len(gzipped.read_bytes())
    capsys.readouterr()
    assert run(["convert", str(out)]) == 2
    assert "pymatgen (.jsonl.gz, .jsonl), hdf5 (.h5, .hdf5), parquet (.parquet)" in capsys.readouterr().err.replace("\n", " ")
    assert run(["convert", str(out), "-o", str(out.parent / "bands.txt")]) == 2
    assert run(["convert", str(out), "--to", "hdf5", "-o", str(plain)]) == 2
    assert "its name ends in .h5 or .hdf5" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["hdf5", "parquet"])
def test_the_name_of_the_file_compresses_no_other_format(out: Path, kind: OutputFormat) -> None:
    skip_without(kind)
    usual, named = out.parent / CONVERTED[kind], out.parent / "bands.jsonl"
    assert convert(out, usual, kind) == convert(out, named, kind)
    assert ids_in(named, kind) == ids_in(usual, kind)


def test_a_new_run_deletes_converted_results_with_the_rest(out: Path) -> None:
    for kind, name in CONVERTED.items():
        skip_without(kind)
        convert(out, out / name, kind)
    (out / ".bands.h5.tmp").touch()
    with Store(out, engine_sha256="e" * 64, mode="overwrite") as store:
        store.write_run({})
    assert not [p for p in out.iterdir() if p.name.lstrip(".").startswith("bands")]


@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
def test_a_file_of_the_user_is_replaced_only_when_it_is_named(
    kind: OutputFormat, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = target_of(kind, out)
    arguments = ["convert", str(out), "--to", kind, "--overwrite"]
    assert run(arguments) == 2
    assert "error [output-foreign]" in capsys.readouterr().err
    assert target.read_bytes() == OLD
    assert run([*arguments, "-o", str(target)]) == 0
    assert run(arguments) == 0  # this one is ours


def test_an_engine_that_estimates_no_errors_gives_none(predictions: list[Prediction], tmp_path: Path) -> None:
    silent = [dataclasses.replace(p, uncertainty_ev=None) for p in predictions]
    out = write_results(tmp_path / "silent", [silent])
    for kind in OUTPUT_FORMATS:
        convert(out, target_of(kind, tmp_path), kind)
    import h5py
    import pyarrow.parquet as pq

    with h5py.File(tmp_path / CONVERTED["hdf5"]) as file:
        assert "uncertainty_ev" not in file
        assert np.isfinite(file["energies"][:]).all()
    assert "uncertainty_ev" not in pq.read_schema(tmp_path / CONVERTED["parquet"]).names


@pytest.mark.parametrize("name", ["errors.jsonl", "summary.csv", "run.json"])
def test_what_a_run_says_of_itself_is_never_replaced(name: str, out: Path) -> None:
    (out / name).write_bytes(OLD)
    with pytest.raises(OutputError) as caught:
        convert(out, out / name, "pymatgen")
    assert caught.value.code == "output-record"
    assert (out / name).read_bytes() == OLD
