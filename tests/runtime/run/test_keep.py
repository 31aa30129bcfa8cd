"""`--keep`: columns of inputs stand in every result, are there after `--resume`, and never take the place of ours."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bandrt.cli import run as bandrt
from bandrt.errors import UsageError
from bandrt.results import stored_predictions
from bandrt.results.choice import choose, query_of
from bandrt.results.convert import convert
from bandrt.results.store import read
from bandrt.results.summary import RESERVED
from bandrt.run.infer import InferOptions, infer
from bandrt.run.report import RunReport

Salt = Callable[..., str]
ROWS = [("a", "α", "-1.50"), ("b", "=cmd", ""), ("c", "x\ny", "2"), ("bad", "β", "3")]
KEEP = ("E, eV", "phase", ".", "a/b")


class Case:
    """A table, a file that is no table, and runs over both."""

    def __init__(self, folder: Path, engine: Path, salt: Salt) -> None:
        self.inputs, self.engine, self.salt = folder / "in", engine, salt
        self.inputs.mkdir()
        (self.inputs / "plain.cif").write_text(salt(a=4.5))

    def write(self, rows: Sequence[tuple[str, str, str]]) -> None:
        with (self.inputs / "t.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["id", "phase", "cif", "E, eV", ".", "a/b"])
            for order, (name, phase, energy) in enumerate(rows):
                table.writerow([name, phase, "none" if name == "bad" else self.salt(a=4 + order / 10), energy, ".", "a/b"])

    def infer(self, out: Path, *, keep: Sequence[str] = KEEP, mode: str = "new") -> RunReport:
        options = InferOptions(engine=self.engine, workers=0, mode=mode, keep=keep)  # type: ignore[arg-type]
        return infer(self.inputs, out, options)


@pytest.fixture
def case(tmp_path: Path, tiny_engine: Path, rock_salt: Salt) -> Case:
    case = Case(tmp_path, tiny_engine, rock_salt)
    case.write(ROWS)
    return case


def contents(out: Path) -> list[object]:
    return [(out / "summary.csv").read_bytes(), (out / "errors.jsonl").read_bytes(), [(p.id, p.path, p.kept) for p in read(out)]]


def test_every_result_has_the_columns_in_the_given_order(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = case.infer(out)
    assert (report.predicted, report.failed, report.lacking) == (4, 1, [])
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header[-4:]) == KEEP
    assert [(row[0], *row[-4:-2]) for row in rows] == [
        ("plain", "", ""), ("a", "'-1.50", "α"), ("b", "", "'=cmd"), ("c", "2", r"x\x0ay"),
    ]  # fmt: skip
    [failure] = map(json.loads, (out / "errors.jsonl").read_text("utf-8").splitlines())
    assert failure["kept"] == {"E, eV": "3", "phase": "β", ".": ".", "a/b": "a/b"}
    assert [p.kept["phase"] for p in read(out)] == ["", "α", "=cmd", r"x\x0ay"]
    assert json.loads((out / "run.json").read_text())["options"]["keep"] == list(KEEP)


def test_a_resumed_run_leaves_what_a_fresh_one_does_and_takes_new_values_over(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "out"
    case.infer(out)
    first = contents(out)
    assert case.infer(out, mode="resume").predicted == 0
    assert contents(out) == first
    parts = {path.name: path.read_bytes() for path in (out / "parts").iterdir()}
    case.write([("a", "α", "-1.50"), ("b", "new", "+7"), ("c", "x\ny", ""), ("bad", "γ", "3")])
    report = case.infer(out, mode="resume")
    assert (report.predicted, report.skipped, report.set_aside) == (0, 4, 0)
    case.infer(tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh") != first
    assert parts != {path.name: path.read_bytes() for path in (out / "parts").iterdir()}


def test_a_run_that_goes_on_with_more_rows_ends_as_one_from_nothing(case: Case, tmp_path: Path) -> None:
    case.write(ROWS[:2])
    case.infer(tmp_path / "out")
    case.write(ROWS)
    report = case.infer(tmp_path / "out", mode="resume")
    case.infer(tmp_path / "fresh")
    assert (report.skipped, report.predicted, report.failed) == (3, 1, 1)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("'E, eV' < 0", ["a"]),
        ("'E, eV' == 2.0 or phase == α", ["a", "c"]),
        ("'E, eV' == none", ["plain", "b"]),
        ("a/b == a/b and n_atoms == 2", ["a", "b", "c"]),
        ("phase == '=cmd'", ["b"]),
    ],
)
def test_a_query_knows_the_columns_that_were_kept(query: str, ids: list[str], case: Case, tmp_path: Path) -> None:
    case.infer(tmp_path / "out")
    assert sorted(one.id for one in choose(tmp_path / "out", query=query_of(query, tmp_path / "out"))) == sorted(ids)


def test_a_query_is_told_of_the_columns_that_were_kept(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.infer(tmp_path / "out")
    assert bandrt(["plot", str(tmp_path / "out"), "--where", "E < 0"]) == 2
    assert "uncertainty_ev, E, eV, phase, ., a/b" in capsys.readouterr().err
    case.infer(tmp_path / "without", keep=())
    assert bandrt(["convert", str(tmp_path / "without"), "--to", "parquet", "--where", "phase == α"]) == 2
    assert "there is no column 'phase'" in capsys.readouterr().err


def test_a_run_is_not_gone_on_with_by_other_columns(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "out"
    case.infer(out)
    before = contents(out)
    for keep in ((), ("phase",), KEEP[::-1]):
        with pytest.raises(UsageError, match="keep was") as refused:
            case.infer(out, keep=keep, mode="resume")
        assert refused.value.code == "options-differ"
    (out / "run.json").write_text('{"bandrt_version": "0.1.0"}')
    with pytest.raises(UsageError, match="keep was"):
        case.infer(out, keep=("phase",), mode="resume")
    assert contents(out) == before
    case.infer(out, mode="resume")
    assert contents(out) == before


def test_a_column_that_no_table_has_is_refused_before_anything_is_written(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'Phase': no input has this column; there are id, phase, cif, E, eV") as refused:
        case.infer(tmp_path / "out", keep=["Phase"])
    assert refused.value.code == "keep-column"
    assert not (tmp_path / "out").exists()


def test_where_only_rows_tell_what_none_has_is_said_at_the_end(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (case.inputs / "t.jsonl").write_text(json.dumps({"cif": case.salt(a=5), "gap": 1.5}))
    command = ["infer", str(case.inputs), "-o", str(tmp_path / "out"), "--engine", str(case.engine), "--workers", "0"]
    assert bandrt([*command, "--keep", 'gap, "E, eV"', "--keep", "Phase"]) == 3
    said = capsys.readouterr().err
    assert "--keep Phase: in none of the inputs" in said
    assert "--keep gap" not in said
    assert [p.kept["gap"] for p in read(tmp_path / "out")] == ["", "", "", "", "1.5"]
    assert bandrt([*command, "--keep", "a,,b"]) == 2
    assert bandrt([*command, "--keep", ""]) == 2


@pytest.mark.parametrize("name", ["id", "band_gap_ev", "uncertainty_ev", "energies"])
def test_a_name_of_ours_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: .*rename") as refused:
        InferOptions(keep=["phase", name])
    assert refused.value.code == "keep-column"


def test_a_source_hands_its_columns_to_its_prediction(case: Case) -> None:
    import bandrt as api

    with api.load(case.engine) as engine:
        results = list(engine.predict(list(api.find(case.inputs, keep=["phase"]))))
    assert [result.kept.get("phase") for result in results] == [None, "α", "=cmd", r"x\x0ay", "β"]


def test_converted_files_have_them(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "out"
    case.infer(out)
    phases, names = ["", "α", "=cmd", r"x\x0ay"], {"kept/phase", r"kept/\x2e", r"kept/a\x2fb", "kept/E, eV"}
    pytest.importorskip("pymatgen.core")
    convert(out, tmp_path / "bands.jsonl.gz", "pymatgen")
    with gzip.open(tmp_path / "bands.jsonl.gz", "rt", encoding="utf-8") as lines:
        assert [json.loads(line)["kept"]["phase"] for line in lines] == phases
    h5py, pq = pytest.importorskip("h5py"), pytest.importorskip("pyarrow.parquet")
    convert(out, tmp_path / "bands.h5", "hdf5")
    with h5py.File(tmp_path / "bands.h5") as file:
        assert {f"kept/{name}" for name in file["kept"]} == names
        assert file["kept/phase"].asstr()[:].tolist() == phases
    convert(out, tmp_path / "bands.parquet", "parquet")
    table = pq.read_table(tmp_path / "bands.parquet")
    assert table["phase"].to_pylist() == phases
    assert {*table.column_names} - {*KEEP} <= RESERVED


def test_a_path_that_a_spreadsheet_would_compute_is_as_it_was_after_a_resumed_run(
    tiny_engine: Path, tmp_path: Path, rock_salt: Salt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("=in").mkdir()
    for name in "ab":
        Path("=in", f"{name}.cif").write_text(rock_salt(a=4.0))
    infer(["=in"], "out", InferOptions(engine=tiny_engine, workers=0))
    before = (tmp_path / "out" / "summary.csv").read_bytes()
    monkeypatch.setattr(stored_predictions, "restated_line", lambda line, restated, keep: pytest.fail("nothing has moved"))
    assert infer(["=in"], "out", InferOptions(engine=tiny_engine, workers=0, mode="resume")).skipped == 2
    assert (tmp_path / "out" / "summary.csv").read_bytes() == before
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    Path("=in", "a.cif").unlink()
    report = infer(["=in"], "out", InferOptions(engine=tiny_engine, workers=0, mode="resume"))
    assert (report.total_predicted, report.set_aside) == (1, 1)


def test_a_run_that_was_interrupted_says_nothing_of_columns_that_it_has_not_met() -> None:
    from bandrt.cli.runs import run_lines

    report = RunReport(status="interrupted", lacking=["phase"])
    assert not any("--keep" in line for line in run_lines(report, Path("out")))
