"""Finding crystals: nothing is lost, nothing comes twice, ids are stable."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import pickle
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from bandrt.errors import BandrtError, InputError
from bandrt.readers import to_crystal
from bandrt.sources import Source, count, find, left_out
from bandrt.sources.folders import RESULTS
from bandrt.sources.tables import rows
from bandrt.sources.unique import SeenStrings
from tests.support.cif_texts import WITHOUT_SYMBOL, cif_cell, cif_sites

POSCAR = "Cu\n1.0\n0 1.8 1.8\n1.8 0 1.8\n1.8 1.8 0\nCu\n1\nDirect\n0 0 0\n"
CIF = "data_Cu\n" + cif_cell("2.55", angles=(60, 60, 60)) + cif_sites("Cu1 0 0 0", columns=WITHOUT_SYMBOL)
FRAME = '1\nLattice="0 1.8 1.8 1.8 0 1.8 1.8 1.8 0" Properties=species:S:1:pos:R:3\nCu 0 0 0\n'
MEMORY_FOR_A_TABLE = 3 * 2**20
"""Bytes above the start while a table of 60 MB is read: a few rows and buffers, and 8 bytes for each id."""


def write(path: Path, text: str | bytes = CIF) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([header, *body])
    return text.getvalue()


def ids(*paths: Path | str, **options: Sequence[Path]) -> list[str]:
    return [source.id for source in find(list(paths), **options)]


def codes(sources: Iterable[Source]) -> list[str]:
    """The error code of each source, ``ok`` for one that can be read."""
    return [refusal.code if (refusal := refusal_of(source)) else "ok" for source in sources]


def refusal_of(source: Source) -> InputError | None:
    """Why a source cannot be read; every reason says where the source is."""
    refusal = None
    try:
        source.read()
    except InputError as error:
        refusal = error
    assert refusal is None or (refusal.stage == "read" and refusal.message.startswith(source.path))
    return refusal


def test_a_folder_is_searched_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b.cif", "a/z.vasp", "a/POSCAR", "c/d/e.json.gz", "a.cif.gz", "notes.txt", ".hidden.cif", ".git/x.cif"):
        write(tmp_path / name, CIF if "cif" in name else POSCAR)
    sources = list(find([tmp_path]))
    assert [source.id for source in sources] == ["POSCAR", "z", "a", "b", "e"]
    assert [source.path for source in sources] == [
        str(tmp_path / name) for name in ("a/POSCAR", "a/z.vasp", "a.cif.gz", "b.cif", "c/d/e.json.gz")
    ]
    assert codes(sources) == ["ok", "ok", "ok", "ok", "json-syntax"]


def test_examples_are_all_found_and_read(examples: Path) -> None:
    sources = list(find([examples]))
    assert count([examples]) == len(sources) >= 30
    assert len({source.id for source in sources}) == len(sources)
    assert set(codes(sources)) == {"ok"}


def test_a_source_is_read_in_another_process(tmp_path: Path) -> None:
    write(tmp_path / "a.cif")
    write(tmp_path / "t.csv", table(["cif"], [[CIF], [""]]))
    sources = pickle.loads(pickle.dumps(list(find([tmp_path]))))
    assert codes(sources) == ["ok", "ok", "empty-file"]


def test_an_empty_row_is_no_empty_file(tmp_path: Path) -> None:
    [source] = find([write(tmp_path / "t.csv", table(["cif"], [[" \n"]]))])
    with pytest.raises(InputError, match=r"t\.csv:1: this row has no text") as caught:
        source.read()
    assert caught.value.code == "empty-file"


def test_files_that_share_a_name_are_called_by_their_folders(tmp_path: Path) -> None:
    for name in ("one/POSCAR", "two/POSCAR", "two/Cu.vasp"):
        write(tmp_path / "runs" / name, POSCAR)
    expected = ["runs/one/POSCAR", "Cu", "runs/two/POSCAR"]
    assert ids(tmp_path / "runs") == expected
    assert ids(tmp_path / "runs" / "one" / "POSCAR", tmp_path / "runs" / "two" / "POSCAR") == ["one/POSCAR", "two/POSCAR"]


def test_ids_do_not_depend_on_how_the_folder_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one/POSCAR", "two/POSCAR"):
        write(tmp_path / "runs" / name, POSCAR)
    expected = ids(tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    assert ids(".") == ids("../runs") == expected


def test_ids_of_two_folders_of_one_name_are_still_unique(tmp_path: Path) -> None:
    for name in ("x/runs/POSCAR", "y/runs/POSCAR", "z/runs/POSCAR"):
        write(tmp_path / name, POSCAR)
    assert ids(*(tmp_path / name / "runs" for name in "xyz")) == ["runs/POSCAR", "runs/POSCAR-2", "runs/POSCAR-3"]


def test_a_file_reached_twice_comes_once(tmp_path: Path) -> None:
    real = write(tmp_path / "a" / "Cu.cif")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "link.cif").symlink_to(real)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert ids(tmp_path, real, tmp_path / "a") == ["Cu"]
    assert ids(real, tmp_path / "b" / "Cu.cif", tmp_path) == ["Cu"]


def test_a_folder_to_skip_is_not_searched(tmp_path: Path) -> None:
    write(tmp_path / "Cu.cif")
    write(tmp_path / "out" / "summary.csv", "id\n")
    assert ids(tmp_path, skip=[tmp_path / "out"]) == ["Cu"]
    assert count([tmp_path], skip=[tmp_path / "out"]) == 1


def test_what_was_named_and_can_not_be_used_is_reported(tmp_path: Path) -> None:
    sources = list(find([write(tmp_path / "notes.txt"), write(tmp_path / "empty.cif", "")]))
    assert codes(sources) == ["unsupported-format", "empty-file"]
    assert len({source.id for source in sources}) == 2


@pytest.mark.parametrize("name", ["lost.cif", "lost", "dangling.cif"])
def test_what_was_named_and_is_not_there_costs_only_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / "dangling.cif").symlink_to(tmp_path / "nowhere")
    assert codes(find([write(tmp_path / "Cu.cif"), tmp_path / name])) == ["ok", "file-not-found"]


def test_what_was_there_and_is_gone_is_reported(tmp_path: Path) -> None:
    gone, kept = write(tmp_path / "a.cif"), write(tmp_path / "b.cif")
    sources = find([gone, kept])
    gone.unlink()
    assert codes(sources) == ["file-not-found", "ok"]


def test_results_of_an_earlier_run_among_the_inputs_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "Cu.cif")
    (tmp_path / "bands" / "parts").mkdir(parents=True)
    for name in ("run.json", "bands.jsonl.gz", "summary.csv"):
        (tmp_path / "bands" / name).touch()
    assert [source.id for source in find(tmp_path)] == ["Cu"]
    assert left_out(tmp_path) == {RESULTS: 1}


def test_a_dangling_link_in_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "dangling.cif").symlink_to(tmp_path / "nowhere")
    assert codes(find([tmp_path])) == ["file-not-found"]


@pytest.mark.parametrize("name", [None, "notes.txt", ".hidden.cif"])
def test_no_input_is_an_error_at_once(tmp_path: Path, name: str | None) -> None:
    if name:
        write(tmp_path / name)
    with pytest.raises(BandrtError, match=str(tmp_path)) as caught:
        find([tmp_path])
    assert caught.value.code == "no-input"


def test_containers_without_a_crystal_are_no_input(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "material_id,cif\n")
    zipfile.ZipFile(tmp_path / "t.zip", "w").close()
    with pytest.raises(BandrtError) as caught:
        list(find([tmp_path]))
    assert caught.value.code == "no-input"


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz"])
def test_rows_of_a_table_are_crystals(tmp_path: Path, ending: str) -> None:
    body = [["mp-1", CIF], ["mp-2", "data_x"], ["", CIF]]
    lines = "".join(json.dumps({"material_id": row_id, "cif": cif}) + "\n" for row_id, cif in body)
    path = write(tmp_path / f"t.{ending}", table(["material_id", "cif"], body) if "csv" in ending else lines)
    sources = list(find([path]))
    assert [source.id for source in sources] == ["mp-1", "mp-2", "t:3"]
    assert [source.path for source in sources] == [f"{path}:{row}" for row in (1, 2, 3)]
    assert codes(sources) == ["ok", "not-a-crystal", "ok"]
    assert count([path]) == 3


@pytest.mark.parametrize("header", [["material_id", "cif", "id"], ["cif", "id", "name"], ["name", "cif", "other"]])
def test_the_id_comes_from_the_first_id_column(tmp_path: Path, header: list[str]) -> None:
    wanted = next(column for column in ("material_id", "id", "name") if column in header)
    row = [CIF if column == "cif" else "this" if column == wanted else "that" for column in header]
    assert ids(write(tmp_path / "t.csv", table(header, [row]))) == ["this"]


def test_repeated_ids_in_tables_are_replaced_by_the_place(tmp_path: Path) -> None:
    for name in ("t", "u"):
        write(tmp_path / f"{name}.csv", table(["id", "cif"], [["a", CIF], ["a", CIF]]))
    assert ids(tmp_path) == ids(tmp_path / "t.csv", tmp_path / "u.csv") == ["a", "t.csv:2", "u.csv:1", "u.csv:2"]


def test_ids_of_rows_do_not_depend_on_the_folder_that_one_starts_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "here" / "odd.csv", table(["id", "cif"], [["a", CIF], ["a", CIF], ["a", ""]]))
    for folder, path in (("here", "odd.csv"), (".", "here/odd.csv"), ("here", "."), (".", "here"), ("here", "../here/odd.csv")):
        monkeypatch.chdir(tmp_path / folder)
        assert ids(path) == ["a", "odd.csv:2", "odd.csv:3"]
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert ids("there") == ["a", "odd.csv:2", "odd.csv:3"]


def test_places_in_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / "runs" / name / "t.csv", table(["id", "cif"], [["a", CIF], ["a", CIF]]))
    assert ids(tmp_path / "runs") == ["a", "runs/one/t.csv:2", "runs/two/t.csv:1", "runs/two/t.csv:2"]


def test_files_that_differ_in_their_ending_are_called_by_their_whole_names(tmp_path: Path) -> None:
    write(tmp_path / "Cu.cif", CIF)
    write(tmp_path / "more" / "Cu.vasp", POSCAR)
    assert ids(tmp_path) == ids(tmp_path / "Cu.cif", tmp_path / "more" / "Cu.vasp") == ["Cu.cif", "Cu.vasp"]


def test_bad_rows_are_reported_and_the_others_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", table(["id", "cif", "gap"], [["a", CIF, "1"], ["b"], ["c", CIF, "1", "2"], [], ["d", CIF, "2"]])
    )
    sources = list(find([path]))
    assert [source.id for source in sources] == ["a", "b", "c", "d"]
    assert codes(sources) == ["ok", "bad-row", "bad-row", "ok"]


def test_bad_lines_are_reported_and_the_others_read(tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": 7, "cif": CIF}),
        "{",
        "[1]",
        json.dumps({"id": "x", "structure": 1}),
        json.dumps({"id": None, "cif": CIF}),
    ]
    sources = list(find([write(tmp_path / "t.jsonl", "\n".join(lines))]))
    assert [source.id for source in sources] == ["7", "t:2", "t:3", "x", "t:5"]
    assert codes(sources) == ["ok", "json-syntax", "no-cif-column", "no-cif-column", "ok"]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("t.csv", "", "empty-file"),
        ("t.csv", "id,formula\n1,2\n", "no-cif-column"),
        ("t.csv", "id,cif,cif\n1,2,3\n", "no-cif-column"),
        ("t.csv.gz", gzip.compress(b"id,cif\n", mtime=0), "no-cif-column"),
    ],
)
def test_a_table_that_holds_no_crystals_is_reported(tmp_path: Path, name: str, text: str | bytes, code: str) -> None:
    assert codes(find([write(tmp_path / name, text)])) == [code]


def test_a_table_cut_short_gives_its_rows_and_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv.gz", table(["id", "cif"], [[str(row), CIF + f"# {row * 7919}\n"] for row in range(2000)]))
    path.write_bytes(path.read_bytes()[:-5000])
    found = codes(find([path]))
    assert found[-1] == "unreadable"
    assert set(found[:-1]) == {"ok"}
    assert len(found) > 10


def test_something_else_named_gz_is_reported(tmp_path: Path) -> None:
    for name in ("t.csv.gz", "run.extxyz.gz", "Cu.cif.gz", "t.zip", "t.tar", "t.tar.gz"):
        (tmp_path / name).write_bytes(b"neither compressed nor an archive" * 40)
    assert codes(find([tmp_path])) == ["unreadable"] * 6


def test_a_table_of_any_length_needs_the_memory_of_a_row() -> None:
    class EndlessTable(io.RawIOBase):
        """60 MB of rows, made as they are read."""

        def __init__(self) -> None:
            self.left = [b"id,cif\n"] + [b'a,"' + b"x" * 60_000 + b'"\n'] * 1000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            if not self.left:
                return 0
            piece = self.left[0][: len(buffer)]
            self.left[0] = self.left[0][len(piece) :]
            if not self.left[0]:
                self.left.pop(0)
            buffer[: len(piece)] = piece
            return len(piece)

    tracemalloc.start()
    number = sum(1 for _ in rows(io.BufferedReader(EndlessTable()), "t.csv", "t.csv", "t.csv"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 1000
    assert peak < MEMORY_FOR_A_TABLE


@pytest.mark.parametrize("ending", ["xyz", "extxyz", "extxyz.gz"])
def test_every_frame_is_a_crystal(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"run.{ending}", FRAME + FRAME.replace("Cu", "X") + "\n" + FRAME)
    sources = list(find([path]))
    assert [source.id for source in sources] == ["run:0", "run:1", "run:2"]
    assert codes(sources) == ["ok", "unknown-species", "ok"]


def test_a_trajectory_cut_short_gives_its_frames_and_an_error(tmp_path: Path) -> None:
    sources = list(find([write(tmp_path / "run.xyz", FRAME + FRAME[:-12])]))
    assert codes(sources) == ["ok", "extxyz-syntax"]
    assert codes(find([write(tmp_path / "none.xyz", "")])) == ["empty-file"]


def members() -> Iterator[tuple[str, bytes]]:
    yield "cells/Cu.cif", CIF.encode()
    yield "cells/more/Cu.cif", CIF.encode()
    yield "POSCAR", POSCAR.encode()
    yield "packed.cif.gz", gzip.compress(CIF.encode())
    yield "bad.cif", b"text"
    yield "README.md", b"text"
    yield ".hidden.cif", CIF.encode()
    yield "__MACOSX/cells/._Cu.cif", b"\0\1"
    yield "t.csv", table(["id", "cif"], [["row", CIF], ["bad", ""]]).encode()
    yield "run.xyz", (FRAME * 2).encode()
    yield "inner.zip", b"PK"
    yield "../outside.cif", CIF.encode()


ARCHIVE_IDS = ["Cu", "{}:cells/more/Cu.cif", "POSCAR", "packed", "bad", "row", "bad", "run:0", "run:1", "inner", "outside"]
ARCHIVE_CODES = ["ok", "ok", "ok", "ok", "not-a-crystal", "ok", "empty-file", "ok", "ok", "unsupported-format", "ok"]


def packed(path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("cells/", "")
            for name, raw in members():
                archive.writestr(name, raw)
    else:
        with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w:xz" if path.suffix == ".xz" else "w") as archive:
            for name, raw in members():
                info = tarfile.TarInfo(name)
                info.size = len(raw)
                archive.addfile(info, io.BytesIO(raw))
    return path


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.xz"])
def test_members_of_an_archive_are_crystals(tmp_path: Path, ending: str) -> None:
    path = packed(tmp_path / f"all.{ending}")
    sources = list(find([path]))
    label = f"all.{ending}"
    expected = [name.format(label) for name in ARCHIVE_IDS]
    expected[6] = f"{label}:t.csv:2"
    assert [source.id for source in sources] == expected
    assert codes(sources) == ARCHIVE_CODES
    assert sources[0].path == f"{path}:cells/Cu.cif"
    assert sources[0].read().formula == to_crystal(CIF).formula
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_an_archive_cut_short_is_reported(tmp_path: Path, ending: str) -> None:
    path = packed(tmp_path / f"all.{ending}")
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 2])
    assert codes(find([path]))[-1] == "unreadable"


def test_a_damaged_member_does_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.cif", "b.cif", "c.cif"):
            archive.writestr(name, CIF)
    raw = bytearray(path.read_bytes())
    second = raw.index(b"2.55", raw.index(b"b.cif"))
    raw[second] = ord("9")
    path.write_bytes(raw)
    assert codes(find([path])) == ["ok", "unreadable", "ok"]


def test_seen_strings_are_remembered_past_the_recent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.sources.unique._RECENT", 100)
    seen = SeenStrings()
    assert all(seen.add(str(number)) for number in range(1050))
    assert not any(seen.add(str(number)) for number in range(1050))
    assert seen.add("new")


def test_rows_frames_and_members_are_counted_as_they_are_found(tmp_path: Path) -> None:
    body = [["mp-1", CIF], ["mp-2", "data_x"], ["short"]]
    write(tmp_path / "t.csv", table(["material_id", "cif"], body) + "\n")
    (tmp_path / "cut.jsonl.gz").write_bytes(b"no gzip")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.cif", CIF)
        archive.writestr("notes.txt", "mine")
        archive.writestr("inner/t.csv", table(["material_id", "cif"], body))
    assert count([tmp_path]) == len(list(find([tmp_path]))) > 6


def test_what_would_take_long_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "t.csv", table(["material_id", "cif"], [["mp-1", CIF]]))
    monkeypatch.setattr("bandrt.sources.COUNTED_BYTES", 10)
    assert count([tmp_path]) is None


def test_paths_that_lead_to_nothing_readable_are_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for name, code in (("nowhere", "file-not-found"), ("notes.txt", "no-input")):
        with pytest.raises(BandrtError, match=f"{name}: ") as caught:
            find([tmp_path / name])
        assert caught.value.code == code


@pytest.mark.parametrize("ending", [".gz", ".GZ", ".bz2", ".xz"])
def test_compressed_files_are_read_by_the_names_people_give_them(tmp_path: Path, ending: str) -> None:
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[ending.lower()]
    for name, text in (("a.cif", CIF), ("b.vasp", POSCAR), ("c.extxyz", FRAME), ("d.csv", table(["id", "cif"], [["d", CIF]]))):
        (tmp_path / f"{name}{ending}").write_bytes(pack(text.encode()))
    sources = list(find(tmp_path))
    assert [source.id for source in sources] == ["a", "b", "c:0", "d"]
    assert codes(sources) == ["ok"] * 4
    assert to_crystal(tmp_path / f"a.cif{ending}").formula == "Cu"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / f"a.cif{ending}", f"a.cif{ending}")
    assert codes(find(tmp_path / "all.zip")) == ["ok"]
    for damaged in (pack(CIF.encode())[:-9], b"no such thing"):
        (tmp_path / f"a.cif{ending}").write_bytes(damaged)
        assert codes(find(tmp_path / f"a.cif{ending}")) == ["unreadable"]


def zstandard(text: str) -> bytes:
    """Text as Zstandard; by Python or by the package."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    packed: bytes = pytest.importorskip(name).compress(text.encode())
    return packed


def test_zstandard_is_read_in_files_tables_frames_and_archives(tmp_path: Path) -> None:
    frames = zstandard(FRAME) + zstandard(FRAME)  # two pieces, as parallel programs write them
    for name, raw in {"a.cif.zst": zstandard(CIF), "b.CIF.ZST": zstandard(CIF), "f.xyz.zst": frames}.items():
        write(tmp_path / name, raw)
    write(tmp_path / "t.csv.zst", zstandard(table(["id", "cif"], [["row", CIF]])))
    write(tmp_path / "t.json.zst", zstandard(json.dumps([{"id": "entry", "cif": CIF}])))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "a.cif.zst", "member.cif.zst")
    assert ids(tmp_path) == ["a", "b", "f:0", "f:1", "row", "entry", "member"]
    assert codes(find(tmp_path)) == ["ok"] * 7


@pytest.mark.parametrize("name", ["a.cif.zst", "t.csv.zst", "f.xyz.zst", "t.json.zst"])
def test_damaged_zstandard_is_reported(tmp_path: Path, name: str) -> None:
    texts = {"a": CIF, "t.csv": table(["id", "cif"], [["row", CIF]]), "f": FRAME, "t.json": json.dumps([{"cif": CIF}])}
    text = texts.get(name.split(".")[0]) or texts[name.removesuffix(".zst")]
    for damaged in (zstandard(text)[:-9], b"no such thing", zstandard(text) + b"more"):
        write(tmp_path / name, damaged)
        assert codes(find(tmp_path / name))[-1] == "unreadable"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 reads Zstandard")
def test_zstandard_names_the_extra_where_its_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "backports", None)
    for name in ("a.cif.zst", "t.csv.zst", "t.json.zst"):
        write(tmp_path / name, b"\x28\xb5\x2f\xfd")
    assert codes(find(tmp_path)) == ["missing-package"] * 3
    refusal = refusal_of(next(find(tmp_path)))
    assert refusal is not None
    assert "bandrt[zstd]" in refusal.message


def test_what_is_passed_over_in_folders_is_counted_by_ending(tmp_path: Path) -> None:
    for name in ("x.cif", "a.cube", "b/b.cube", "c.cube.gz", "notes", ".hidden.cube", "out/d.cube", "CHGCAR"):
        write(tmp_path / name)
    (tmp_path / "link.cube").symlink_to(tmp_path / "a.cube")
    expected = {".cube": 2, ".cube.gz": 1, "notes": 1, "CHGCAR": 1}
    assert left_out(tmp_path, skip=tmp_path / "out") == expected
    assert left_out([tmp_path, tmp_path / "a.cube", tmp_path], skip=tmp_path / "out") == expected
    assert ids(tmp_path, skip=[tmp_path / "out"]) == ["x"]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.csv.gz", "t.json"])
def test_the_column_of_structures_can_be_named(tmp_path: Path, name: str) -> None:
    rows_of = [{"id": "a", "cif": "not this", "final": CIF}, {"id": "b", "cif": "not this", "final": CIF}]
    lines = {
        ".csv": table(["id", "cif", "final"], [list(row.values()) for row in rows_of]),
        ".jsonl": "".join(json.dumps(row) + "\n" for row in rows_of),
        ".json": json.dumps(rows_of),
    }
    path = write(tmp_path / name, lines[Path(name.removesuffix(".gz")).suffix])
    sources = list(find(path, structure_column="final"))
    assert [source.id for source in sources] == ["a", "b"]
    assert codes(sources) == ["ok", "ok"]
    assert count(path, structure_column="final") == 2
    assert set(codes(find(path, structure_column="absent"))) == {"no-cif-column"}


RES = "TITL Cu\nCELL 1.54 4 4 4 90 90 90\nLATT -1\nSFAC Cu\nCu 1 0 0 0 1.0\nEND\n"
PWI = "&control\n/\n&SYSTEM\nibrav=1, A=4, nat=1, ntyp=1\n/\nATOMIC_SPECIES\nCu 63.5 Cu.UPF\nATOMIC_POSITIONS crystal\nCu 0 0 0\n"
OTHERS = {
    "control.in": PWI,
    "ph.in": "&inputph\n/\n",
    "run.in": "units metal\n",
    "mesh.res": "results\n",
    "b/mesh.res.gz": "results",
}
"""Files of other programs, under names that ours have."""


def test_files_of_other_programs_that_are_called_like_ours_are_left_out_of_folders(tmp_path: Path) -> None:
    for name, text in {"a.res": RES, "b.scf.in": PWI, "c.pwi": PWI, "d.in.gz": PWI, "geometry.in": "x", **OTHERS}.items():
        write(tmp_path / name, text)
    write(tmp_path / "cut.in.gz").write_bytes(gzip.compress(PWI.encode())[:-9])
    assert ids(tmp_path) == ["a", "b.scf", "c", "cut", "d", "geometry.in"]
    assert codes(find(tmp_path)) == ["ok", "ok", "ok", "unreadable", "ok", "not-periodic"]
    assert count(tmp_path) == 6
    assert left_out(tmp_path) == {".in": 3, ".res": 1, ".res.gz": 1}
    assert codes(find([tmp_path / "run.in", tmp_path / "mesh.res"])) == ["not-a-crystal"] * 2


def test_files_of_other_programs_are_left_out_of_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, text in {"a.res": RES, "b.in": PWI, **OTHERS}.items():
            archive.writestr(name.removesuffix(".gz"), text)
    assert ids(tmp_path / "all.zip") == ["a", "b"]
    assert codes(find(tmp_path / "all.zip")) == ["ok", "ok"]


def test_a_column_called_structure_is_read_where_none_is_called_cif(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", table(["id", "structure"], [["x", CIF]]))
    write(tmp_path / "b.csv", table(["id", "structure", "cif"], [["y", "no", CIF]]))
    assert codes(find(tmp_path)) == ["ok", "ok"]
