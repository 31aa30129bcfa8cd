"""Whole runs as a user sees them: gone on with by content, stopped by what the system does, and never silent."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from bandrt.cli import run as bandrt
from bandrt.engine.onnx.file import with_checksum
from bandrt.errors import OutputError
from bandrt.files import file_sha256
from bandrt.results import stored_predictions
from bandrt.results import writer as writer_module
from bandrt.results.parts import part_arrays
from bandrt.results.store import Mode, read, read_errors
from bandrt.run.dry_run import dry_run
from bandrt.run.infer import InferOptions, infer
from bandrt.run.interrupt import Interrupted
from bandrt.run.report import RunReport
from bandrt.sources.source import text_sha256

Salt = Callable[..., str]
needs_posix = pytest.mark.skipif(os.name != "posix", reason="file descriptors as on Unix")


@pytest.fixture
def folder(tmp_path: Path, rock_salt: Salt) -> Path:
    """Nine crystals, and a file that is none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(9):
        (folder / f"salt-{i}.cif").write_text(rock_salt(a=3.9 + 0.1 * i))
    (folder / "salt-4b.cif").write_text("no crystal")
    return folder


def summary(out: Path) -> bytes:
    return (out / "summary.csv").read_bytes()


def test_each_result_says_of_which_input_and_engine_it_is(tiny_engine: Path, tmp_path: Path, folder: Path, rock_salt: Salt) -> None:
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["cif"], [rock_salt(a=4.05)], [rock_salt(a=4.15)], ["nothing"]])
    infer([folder, table], tmp_path / "out", InferOptions(engine=tiny_engine))
    engine = json.loads((tmp_path / "out" / "run.json").read_text())["engine"]["sha256"]
    found = {p.id: p.input_sha256 for p in read(tmp_path / "out")} | {f.id: f.input_sha256 for f in read_errors(tmp_path / "out")}
    expected = {path.stem: text_sha256(path.read_text()) for path in folder.iterdir()}
    texts = (rock_salt(a=4.05), rock_salt(a=4.15), "nothing")
    assert found == expected | {f"table:{row}": text_sha256(text) for row, text in enumerate(texts, start=1)}
    assert {f.engine_sha256 for f in read_errors(tmp_path / "out")} == {engine}
    assert str(part_arrays(tmp_path / "out" / "parts" / "part-00000.npz")["engine_sha256"]) == engine


def test_rows_that_moved_in_a_table_get_bands_of_their_own(tiny_engine: Path, tmp_path: Path, rock_salt: Salt) -> None:
    table, out, fresh = tmp_path / "t.csv", tmp_path / "out", tmp_path / "fresh"

    def write(*lengths: float) -> None:
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([["cif"], *([rock_salt(a=a)] for a in lengths)])

    write(4.0, 4.1, 4.2)
    infer(table, out, InferOptions(engine=tiny_engine))
    write(5.0, 5.1, 4.0, 4.1, 4.2)
    report = infer(table, out, InferOptions(engine=tiny_engine, mode="resume"))
    infer(table, fresh, InferOptions(engine=tiny_engine))
    assert (report.predicted, report.skipped, report.set_aside) == (5, 0, 3)
    assert summary(out) == summary(fresh)
    lengths = [np.linalg.norm(p.crystal.lattice[0]) for p in read(out)]
    np.testing.assert_allclose(lengths, [5.0, 5.1, 4.0, 4.1, 4.2])


def test_a_file_that_changes_changes_nothing_but_its_own_bands(
    tiny_engine: Path, tmp_path: Path, folder: Path, rock_salt: Salt
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    infer(folder, out, InferOptions(engine=tiny_engine, batch_size=4))
    (folder / "salt-2.cif").write_text(rock_salt(a=5.5))
    (folder / "salt-3.cif").rename(folder / "renamed.cif")
    (folder / "salt-4b.cif").write_text(rock_salt(a=5.6))
    report = infer(folder, out, InferOptions(engine=tiny_engine, mode="resume"))
    assert (report.predicted, report.skipped, report.total_failed) == (3, 7, 0)
    infer(folder, fresh, InferOptions(engine=tiny_engine, batch_size=4))
    assert (summary(out), read_errors(out)) == (summary(fresh), read_errors(fresh))
    assert [p.id for p in read(out)] == [p.id for p in read(fresh)]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_a_damaged_file_made_doubtful_is_so_as_long_as_it_is_damaged(
    tiny_engine: Path, tmp_path: Path, rock_salt: Salt, batch_size: int
) -> None:
    """The text of each row is the same, so nothing is predicted again; what is doubtful about it otherwise stays so."""
    unstated = "_symmetry_space_group_name_H-M 'P 1'\n"
    salts = [rock_salt(), rock_salt().replace(unstated, ""), rock_salt(a=8.0), rock_salt(a=8.0, first="Cs").replace(unstated, "")]
    table, out = tmp_path / "t.jsonl.gz", tmp_path / "out"

    def write(cifs: Sequence[str], *, damaged: bool) -> None:
        packed = bytearray(gzip.compress("".join(json.dumps({"cif": cif}) + "\n" for cif in cifs).encode()))
        packed[-6] ^= damaged  # of the checksum
        table.write_bytes(packed)

    for number, damaged in enumerate((False, True, False, True, True)):
        more = [rock_salt(a=4.2)] if number == 4 else []
        write([*salts, *more], damaged=damaged)
        mode: Mode = "resume" if number else "new"
        report = infer(table, out, InferOptions(engine=tiny_engine, batch_size=batch_size, mode=mode))
        fresh = infer(table, tmp_path / f"fresh-{number}", InferOptions(engine=tiny_engine, batch_size=batch_size))
        assert (report.predicted, report.skipped) == ((len(more), 4) if number else (4, 0))
        assert (report.total_failed, report.warning_codes) == (fresh.total_failed, fresh.warning_codes)
        assert summary(out) == summary(tmp_path / f"fresh-{number}")
        found = [one.warnings for one in read(out)]
        assert found == [one.warnings for one in read(tmp_path / f"fresh-{number}")]
        assert all(("damaged-file" in codes) == damaged for codes in found)
    assert "symmetry-not-stated" in found[1]
    assert {code.partition(":")[0] for code in found[3]} == {
        "unseen-element",
        "symmetry-not-stated",
        "damaged-file",
        "isolated-atom",
    }


def test_what_a_database_says_of_moments_now_is_told(tiny_engine: Path, tmp_path: Path) -> None:
    """The crystal is the same with them and without them."""
    ase_db, atoms = pytest.importorskip("ase.db"), pytest.importorskip("ase.build").bulk("NaCl", "rocksalt", a=5.6)
    said = []
    for number, moments in enumerate(([0.0, 0.0], [1.0, 0.0], [0.0, 0.0])):
        (tmp_path / "salts.db").unlink(missing_ok=True)
        atoms.set_initial_magnetic_moments(moments)
        with ase_db.connect(tmp_path / "salts.db") as database:
            database.write(atoms)
        mode: Mode = "resume" if number else "new"
        report = infer(tmp_path / "salts.db", tmp_path / "out", InferOptions(engine=tiny_engine, mode=mode))
        assert report.predicted == (0 if number else 1)
        said.append([one.warnings for one in read(tmp_path / "out")])
    assert said[0] == said[2] != said[1]
    assert "moments-dropped:Na1" in said[1][0]


def test_a_run_is_not_gone_on_with_by_other_choices(tiny_engine: Path, tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    infer(folder, out, InferOptions(engine=tiny_engine, batch_size=4))
    before = (out / "run.json").read_bytes()
    other = tmp_path / "other.onnx"
    other.write_bytes(with_checksum(tiny_engine.read_bytes() + b"\x72\x00"))  # an empty metadata entry: another file
    engines = (
        rf"engine was \S*{tiny_engine.name} \({file_sha256(tiny_engine)[:12]}\) and is \S*other.onnx \({file_sha256(other)[:12]}\)"
    )
    for choice, code, said in (
        ({"batch_size": 5}, "options-differ", "batch_size was 4 and is 5"),
        ({"structure_column": "text"}, "options-differ", "structure_column was 'cif' and is 'text'"),
        ({"engine": other}, "engine-differs", engines),
    ):
        options = InferOptions(**{"engine": tiny_engine, "mode": "resume"} | choice)  # type: ignore[arg-type]
        for resumed in (infer, dry_run):
            with pytest.raises(OutputError, match=said) as caught:
                resumed(folder, out, options)
            assert (caught.value.code, caught.value.exit_code) == (code, 2)
    assert dry_run(folder, out, InferOptions(engine=tiny_engine, mode="resume"))["batch_size"] == 4
    assert (out / "run.json").read_bytes() == before
    report = infer(folder, out, InferOptions(engine=tiny_engine, mode="resume", workers=2, threads=1))
    assert report.skipped == 10
    assert json.loads((out / "run.json").read_text())["options"]["batch_size"] == 4


def test_results_of_versions_without_direct_gaps_are_gone_on_with_and_asked_for_them(
    tiny_engine: Path, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    infer(folder, out, InferOptions(engine=tiny_engine))
    fresh = summary(out)
    with (out / "summary.csv").open(newline="") as file:
        rows = [[cell for name, cell in row.items() if name != "direct_gap_ev"] for row in csv.DictReader(file)]
    header = [name for name in fresh.decode().splitlines()[0].split(",") if name != "direct_gap_ev"]
    with (out / "summary.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    arguments = ["convert", str(out), "--to", "parquet", "-o", str(tmp_path / "bands.parquet"), "--where"]
    assert bandrt([*arguments, "direct_gap_ev >= 0"]) == 0  # the bands say it
    assert bandrt([*arguments, "direct_gap > 0"]) == 2
    assert "direct_gap_ev" in capsys.readouterr().err  # among the columns there are
    assert infer(folder, out, InferOptions(engine=tiny_engine, mode="resume")).predicted == 0
    assert summary(out) == fresh


def test_a_run_that_is_stopped_says_so_and_counts_what_is_there(
    tiny_engine: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(report: RunReport) -> None:
        if report.total_predicted == 4:
            monkeypatch.setattr(stored_predictions, "write_part", full)

    monkeypatch.setattr(writer_module, "PART_CRYSTALS", 4)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        infer(folder, out, InferOptions(engine=tiny_engine, batch_size=2), on_progress=fill)
    assert caught.value.code == "output-unwritable"
    record = json.loads((out / "run.json").read_text())
    assert (record["status"], record["counts"]["total_predicted"], record["counts"]["total_failed"]) == ("stopped", 4, 1)
    assert len(list(read(out))) == 4
    monkeypatch.undo()
    assert infer(folder, out, InferOptions(engine=tiny_engine, mode="resume")).total_predicted == 9


def test_an_output_folder_that_is_removed_stops_the_run(tiny_engine: Path, tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"

    def remove(report: RunReport) -> None:
        if report.predicted and out.exists():
            out.rename(tmp_path / "elsewhere")

    with pytest.raises(OutputError) as caught:
        infer(folder, out, InferOptions(engine=tiny_engine, batch_size=2), on_progress=remove)
    assert caught.value.code == "output-removed"
    assert not out.exists()


@needs_posix
@pytest.mark.parametrize("closed", ["2>&-", "2>&- 1>&-", "0<&- 1>&- 2>&-", "2>/dev/full"])
def test_closed_standard_streams_cost_no_prediction(tiny_engine: Path, tmp_path: Path, folder: Path, closed: str) -> None:
    code = "from bandrt.__main__ import main; main()"
    shell = f'exec "$0" -c "{code}" infer "$1" -o "$2" --engine "$3" {closed}'
    arguments = [sys.executable, str(folder), str(tmp_path / "out"), str(tiny_engine)]
    done = subprocess.run(["sh", "-c", shell, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert len(list(read(tmp_path / "out"))) == 9
    assert len((tmp_path / "out" / "errors.jsonl").read_text().splitlines()) == 1


def test_a_crash_that_can_be_written_down_nowhere_is_told_in_one_line(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*arguments: object, **options: object) -> None:
        raise RuntimeError("a bug of ours")

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr("bandrt.cli.infer.infer", crash)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    assert bandrt(["infer", str(folder), "-o", str(tmp_path / "out")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error [bug]: RuntimeError: a bug of ours")


def test_a_script_without_a_main_guard_is_told_what_it_lacks(tiny_engine: Path, tmp_path: Path, rock_salt: Salt) -> None:
    with (tmp_path / "many.jsonl").open("w") as file:
        for i in range(300):
            file.write(json.dumps({"id": f"{i:03d}", "cif": rock_salt(a=4 + 0.001 * i)}) + "\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from bandrt.run.infer import InferOptions, infer\n"
        f"infer('many.jsonl', 'out', InferOptions(engine={str(tiny_engine)!r}, workers=2))\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert 'put what it does under if __name__ == "__main__":' in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") <= 2, "one of the script, with its cause; none of the workers"


@needs_posix
def test_json_that_nobody_reads_changes_no_exit_code(tiny_engine: Path, folder: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "from bandrt.__main__ import main; main()"
    words = ["infer", str(folder), "-o", str(tmp_path / "out"), "--engine", str(tiny_engine), "--json", "-q", "--workers", "0"]
    done = subprocess.run([sys.executable, "-c", code, *words], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 3, done.stderr
    assert "9 predicted, 1 failed" in done.stderr
    assert "Error" not in done.stderr


def test_an_interrupt_while_earlier_parts_are_verified_is_on_record(
    tiny_engine: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    infer(folder, out, InferOptions(engine=tiny_engine, workers=0))
    before = json.loads((out / "run.json").read_text())
    assert before["status"] == "finished"

    def verify(*arguments: object, **options: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(writer_module.Store, "_load", verify)
    with pytest.raises(Interrupted):
        infer(folder, out, InferOptions(engine=tiny_engine, workers=0, mode="resume"))
    assert json.loads((out / "run.json").read_text()) == before | {"status": "interrupted"}
    monkeypatch.undo()
    assert infer(folder, out, InferOptions(engine=tiny_engine, workers=0, mode="resume")).status == "finished"
