"""Columns of inputs come along with their crystals, as text."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.errors import ArgumentError, InputError, UsageError
from bandrt.sources import Source, find, find_piped
from bandrt.sources.headers import check_keep
from bandrt.sources.kept import MAX_CHARACTERS, kept_of
from bandrt.sources.standard_input import read_piped
from bandrt.sources.textbook import TEXTBOOK, cif

CIF = cif(TEXTBOOK[0])
STRUCTURE = {
    "@module": "pymatgen.core.structure",
    "@class": "Structure",
    "lattice": {"matrix": (4.12 * np.eye(3)).tolist()},
    "sites": [{"species": [{"element": "Po", "occu": 1}], "abc": [0, 0, 0], "label": "Po"}],
}
TABLE = f'id,phase,cif,"E, eV"\na,α,"{CIF}",-1.50\nb,,"{CIF}",=1+1\nc,x\n'
KEEP = ("E, eV", "phase")


def kept(path: Path, *names: str) -> list[dict[str, str]]:
    return [source.kept for source in find(path, keep=names)]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_table_gives_its_texts_as_they_are_written(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", TABLE)
    assert kept(path, *KEEP, "none") == [
        {"E, eV": "-1.50", "phase": "α"},
        {"E, eV": "=1+1", "phase": ""},
        {"E, eV": "", "phase": ""},
    ]
    assert kept(path) == [{}, {}, {}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "1.5"),
        (3, "3"),
        (True, "true"),
        (None, ""),
        ("a\nb\x1b", r"a\x0ab\x1b"),
        ([1, "ä"], '[1, "ä"]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_entries_of_json_give_values_as_json_writes_them(tmp_path: Path, value: Any, text: str) -> None:
    rows = [{"structure": STRUCTURE, "v": value}, {"structure": STRUCTURE}, {"v": value}]
    for path, content in ((tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows))), (tmp_path / "t.json", json.dumps(rows))):
        found = list(find(written(path, content), keep=["v"]))
        assert [source.kept for source in found] == [{"v": text}, {}, {"v": text}]
        assert isinstance(found[2].content, InputError), "a row that is refused has its columns, too"


def test_a_table_of_pandas_and_a_response_of_optimade_have_columns(tmp_path: Path) -> None:
    split = {"columns": ["structure", "gap"], "index": [0], "data": [[STRUCTURE, 0.25]]}
    assert kept(written(tmp_path / "split.json", json.dumps(split)), "gap") == [{"gap": "0.25"}]
    assert kept_of({"id": "1", "attributes": {"nelements": 2}}, ["nelements", "id"]) == {"nelements": "2", "id": "1"}


def test_a_parquet_table_gives_numbers_in_their_own_few_digits(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "cif": [CIF, CIF], "single": pa.array([0.1, None], pa.float32()), "double": [0.1, 1e30], "whole": [1, 2],
        "words": [["a"], []], "date": pa.array([0, 1], pa.date32()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert kept(tmp_path / "t.parquet", "single", "double", "whole", "words", "date", "none") == [
        {"single": "0.1", "double": "0.1", "whole": "1", "words": '["a"]', "date": "1970-01-01"},
        {"single": "", "double": "1e+30", "whole": "2", "words": "[]", "date": "1970-01-02"},
    ]


def test_files_of_ase_give_key_value_pairs_and_info(tmp_path: Path) -> None:
    ase, connect = pytest.importorskip("ase"), pytest.importorskip("ase.db").connect
    atoms = ase.Atoms("Po", cell=np.eye(3) * 3.3, pbc=True, info={"phase": "α", "energy": np.float64(-1.5)})
    with connect(tmp_path / "t.db") as database:
        database.write(atoms, key_value_pairs={"phase": "β", "gap": 0.5})
    atoms.write(tmp_path / "t.traj")
    assert kept(tmp_path / "t.db", "phase", "gap") == [{"phase": "β", "gap": "0.5"}]
    assert kept(tmp_path / "t.traj", "phase", "energy") == [{"phase": "α", "energy": "-1.5"}]


def test_no_sign_but_the_end_of_a_line_ends_the_comment_of_a_frame(tmp_path: Path) -> None:
    """The ellipsis of an old code page is a new line to Python."""
    comment = 'Lattice="3.3 0 0 0 3.3 0 0 0 3.3" note="so\x85far" phase=alpha'
    (tmp_path / "t.xyz").write_text(f"1\n{comment}\nPo 0 0 0\n", encoding="utf-8")
    assert kept(tmp_path / "t.xyz", "phase") == [{"phase": "alpha"}]


def test_frames_give_keys_of_their_comment_lines_and_archives_what_is_in_them(tmp_path: Path) -> None:
    frame = '1\nLattice="3 0 0 0 3 0 0 0 3" energy=-1.50 phase="a b"\nPo 0 0 0\n'
    assert kept(written(tmp_path / "t.xyz", frame * 2), "energy", "phase") == [{"energy": "-1.50", "phase": "a b"}] * 2
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.xyz", frame)
        archive.writestr("t.csv", TABLE)
        archive.writestr("t.json", json.dumps([{"final": STRUCTURE, "phase": 1}]))
    found = list(find(tmp_path / "t.zip", structure_column="final", keep=["phase"]))
    assert [source.kept.get("phase") for source in found] == ["a b", None, "1"]
    assert [isinstance(source.content, InputError) for source in found] == [False, True, False]


def test_a_table_that_is_piped_in_has_columns() -> None:
    piped = read_piped(io.BytesIO(TABLE.encode()))
    assert not isinstance(piped, list)
    assert [source.kept["phase"] for source in find_piped(piped, keep=["phase"])] == ["α", "", ""]
    check_keep(piped, ["phase"])
    with pytest.raises(UsageError, match="there are id, phase, cif"):
        check_keep(piped, ["Phase"])


def test_a_value_that_is_too_long_and_a_column_that_is_there_twice_are_refused(tmp_path: Path) -> None:
    long = "x" * (MAX_CHARACTERS + 1)
    [one, other] = find(written(tmp_path / "t.csv", f'phase,cif\n{long},"{CIF}"\n{long[1:]},"{CIF}"'), keep=["phase"])
    assert (one.content.code, len(other.kept["phase"])) == ("too-large", MAX_CHARACTERS)  # type: ignore[union-attr]
    [twice] = find(written(tmp_path / "u.csv", f'phase,phase,cif\n1,2,"{CIF}"'), keep=["phase"])
    assert twice.content.code == "repeated-column"  # type: ignore[union-attr]


@pytest.mark.parametrize("keep", ["phase", b"phase", [""], ["a\nb"], [1], 3, None])
def test_names_of_columns_are_a_list_of_texts(keep: Any) -> None:
    with pytest.raises(ArgumentError, match="names of columns"):
        next(find("examples", keep=keep))


def test_a_column_that_no_header_has_is_refused_unless_rows_might_have_it(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    written(folder / "a.cif", CIF)
    with pytest.raises(UsageError, match="no input is a table"):
        check_keep(folder, ["phase"])
    written(folder / "t.csv", TABLE)
    check_keep(folder, KEEP)
    with pytest.raises(UsageError, match=r"'Phase': no input has this column; there are id, phase, cif, E, eV"):
        check_keep(folder, ["phase", "Phase"])
    written(folder / "t.jsonl", "{}")
    check_keep(folder, ["Phase"])


def test_sources_are_keys_of_dictionaries_and_differ_by_what_is_kept() -> None:
    one, other = (Source("a", "a", "cif", CIF, {"phase": phase}) for phase in "xy")
    assert len({one, other, Source("a", "a", "cif", CIF, {"phase": "x"})}) == 2
