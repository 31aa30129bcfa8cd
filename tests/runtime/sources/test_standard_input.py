"""What is piped in is told apart by what it says."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from bandrt.errors import BandrtError
from bandrt.sources import find_piped
from bandrt.sources.standard_input import MAX_PIPED_BYTES, Piped, read_piped
from bandrt.sources.textbook import TEXTBOOK, cif

CIF = cif(TEXTBOOK[0])
POSCAR = "Cu\n1.0\n0 1.8 1.8\n1.8 0 1.8\n1.8 1.8 0\nCu\n1\nDirect\n0 0 0\n"
STRUCTURE = {
    "lattice": {"matrix": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]]},
    "sites": [{"species": [{"element": "Cu", "occu": 1}], "abc": [0, 0, 0]}],
}
FRAME = '1\nLattice="4 0 0 0 4 0 0 0 4"\nCu 0 0 0\n'
AIMS = "lattice_vector 4 0 0\nlattice_vector 0 4 0\nlattice_vector 0 0 4\natom 0 0 0 Cu\n"
XSF = "CRYSTAL\nPRIMVEC\n4 0 0\n0 4 0\n0 0 4\nPRIMCOORD\n1 1\nCu 0 0 0\n"
RES = "TITL Cu\nCELL 1.54 4 4 4 90 90 90\nLATT -1\nSFAC Cu\nCu 1 0 0 0 1.0\nEND\n"
PWI = "&SYSTEM\nibrav=1, A=4, nat=1, ntyp=1\n/\nATOMIC_SPECIES\nCu 63.5 Cu.UPF\nATOMIC_POSITIONS crystal\nCu 0 0 0\n"


@pytest.mark.parametrize(
    ("text", "kind", "ids"),
    [
        (CIF, "cif", ["Cu"]),
        (f"# comment\n\n{CIF}", "cif", ["Cu"]),
        (POSCAR, "poscar", ["stdin"]),
        (json.dumps(STRUCTURE, indent=1), "json", ["stdin"]),
        (json.dumps([STRUCTURE, {"id": "b", "structure": STRUCTURE}]), "json", ["stdin:1", "b"]),
        (f"{json.dumps(STRUCTURE)}\n{json.dumps({'id': 'b', 'structure': STRUCTURE})}\n", "jsonl", ["stdin:1", "b"]),
        ('id,cif\na,"' + CIF.replace('"', '""') + '"\n', "csv", ["a"]),
        (FRAME + FRAME, "extxyz", ["stdin:0", "stdin:1"]),
        (AIMS, "aims", ["stdin"]),
        (XSF, "xsf", ["stdin"]),
        (RES, "res", ["stdin"]),
        (PWI, "espresso", ["stdin"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_recognised(text: str, kind: str, ids: list[str], encoding: str) -> None:
    piped = read_piped(io.BytesIO(text.encode(encoding)))
    assert isinstance(piped, Piped)
    assert piped.kind == kind
    sources = list(find_piped(piped))
    assert [source.id for source in sources] == ids
    assert {source.read().formula for source in sources} == {"Cu"}
    assert {source.path.split(":")[0] for source in sources} == {"stdin"}


def test_a_column_that_is_named_makes_a_table() -> None:
    piped = read_piped(io.BytesIO(b'id,final\na,"' + CIF.encode() + b'"\n'), "final")
    assert isinstance(piped, Piped)
    assert [source.read().formula for source in find_piped(piped, structure_column="final")] == ["Cu"]


@pytest.mark.parametrize("between", ["\n", "\r\n", "\0"])
def test_paths_are_one_a_line_or_separated_by_nul(tmp_path: Path, between: str) -> None:
    paths = [tmp_path / name for name in ("data_1.cif", "_loop.cif", "with blank.cif")]
    for path in paths:
        path.write_text(CIF)
    assert read_piped(io.BytesIO(between.join(map(str, paths)).encode())) == paths
    assert read_piped(io.BytesIO((between.join(map(str, paths)) + between).encode())) == paths
    missing = [*paths, tmp_path / "missing.cif"]  # reported by the run, as a path that is named
    assert read_piped(io.BytesIO(between.join(map(str, missing)).encode())) == missing


def test_a_path_need_not_be_utf8(tmp_path: Path) -> None:
    name = bytes(tmp_path) + b"/\xff.cif"
    with open(name, "w") as file:
        file.write(CIF)
    assert [bytes(path) for path in read_piped(io.BytesIO(name + b"\n"))] == [name]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        (b"", "no-input", "nothing was piped in"),
        (b" \n\n\0", "no-input", "nothing was piped in"),
        (gzip.compress(CIF.encode()), "unsupported-format", "zcat"),
        (b"what is this\n", "unsupported-format", "no file 'what'"),
        (b"\xff\x00\xfe" * 9, "unsupported-format", "no file"),
        (b"\x80\x81\x82\n", "unsupported-format", "no file"),
        (b"/nowhere/a.cif\n", "unsupported-format", "no file '/nowhere/a.cif'"),
        (b"x" * (MAX_PIPED_BYTES + 1), "too-large", "256 MiB"),
    ],
    ids=["empty", "blank", "packed", "words", "nul", "bytes", "missing", "large"],
)
def test_what_is_neither_is_refused(raw: bytes, code: str, says: str) -> None:
    with pytest.raises(BandrtError, match=says) as caught:
        read_piped(io.BytesIO(raw))
    assert caught.value.code == code
    assert caught.value.message.startswith("stdin: ")
