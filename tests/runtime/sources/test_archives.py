"""Damaged and hostile archives: every member that can be read is, and what is missing is told."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bandrt.errors import InputError
from bandrt.sources import Source, find
from bandrt.sources.tar import BLOCK, MAX_EXTENDED_BYTES

SYMBOLS = ("Cu", "Ag", "Au", "Ni", "Pt")
PACK: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def poscar(symbol: str) -> bytes:
    return f"{symbol}\n3.6\n0 0.5 0.5\n0.5 0 0.5\n0.5 0.5 0\n{symbol}\n1\nDirect\n0 0 0\n".encode()


def read(path: Path) -> dict[str, str]:
    """Formula or code of every source, by its id."""
    return {source.id: formula_or_code(source) for source in find(path)}


def formula_or_code(source: Source) -> str:
    try:
        return source.read().formula
    except InputError as error:
        return error.code if error.message.startswith(source.path) else error.message


def message(path: Path) -> str:
    """What the last source, of the archive itself, says."""
    *_, last = find(path)
    with pytest.raises(InputError) as caught:
        last.read()
    return caught.value.message


def tar(*members: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytearray:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(bytes(member.size)))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return bytearray(file.getvalue())


def five(form: int = tarfile.USTAR_FORMAT) -> bytearray:
    """An archive of five members of two blocks each."""
    return tar(*((f"{symbol}.vasp", poscar(symbol)) for symbol in SYMBOLS), form=form)


ALL = dict(zip(SYMBOLS, SYMBOLS, strict=True))


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("place", [3, 124, 150, 156, 300])
def test_a_damaged_header_of_a_tar_costs_its_member_and_is_told(tmp_path: Path, number: int, place: int) -> None:
    raw = five()
    raw[2 * BLOCK * number + place] ^= 0x10
    path = tmp_path / "all.tar"
    path.write_bytes(raw)
    assert read(path) == {s: s for i, s in enumerate(SYMBOLS) if i != number} | {"all": "unreadable"}
    assert "no header that can be read" in message(path)


def test_every_cut_of_a_tar_is_told(tmp_path: Path) -> None:
    raw, path = five(), tmp_path / "all.tar"
    for size in range(0, 10 * BLOCK, 100):
        path.write_bytes(raw[:size])
        found = read(path)
        assert found.pop("all") == "unreadable"
        whole = max(0, size - BLOCK - len(poscar("Cu"))) // (2 * BLOCK) + (size >= BLOCK + len(poscar("Cu")))
        assert {i: f for i, f in found.items() if f != "unreadable"} == {s: s for s in SYMBOLS[:whole]}


def test_what_follows_the_end_of_a_tar_is_read_or_told(tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    path.write_bytes(tar(("Cu.vasp", poscar("Cu"))) + tar(("Ag.vasp", poscar("Ag"))))
    assert read(path) == {"Cu": "Cu", "Ag": "Ag"}
    path.write_bytes(five() + b"garbage" * 100)
    assert read(path) == ALL | {"all": "unreadable"}
    path.write_bytes(five().rstrip(b"\0") + bytes(-len(five().rstrip(b"\0")) % BLOCK))
    assert read(path) == ALL | {"all": "unreadable"}
    path.write_bytes(b"no archive at all" * 1000)
    assert read(path) == {"all": "unreadable"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_length_and_alphabet_are_read(tmp_path: Path, form: int) -> None:
    names = ["Cu.vasp", "/abs/Ag.vasp", "../up/Au.vasp", "Å/Ni.vasp", f"{'d' * 90}/{'e' * 60}/Pt.vasp"]
    if form != tarfile.USTAR_FORMAT:
        names[4] = f"{'long/' * 100}Pt.vasp"
    path = tmp_path / "all.tar"
    path.write_bytes(tar(*((name, poscar(symbol)) for name, symbol in zip(names, SYMBOLS, strict=True)), form=form))
    assert read(path) == ALL
    assert [source.path for source in find(path)] == [f"{path}:{name}" for name in names]
    assert list(tmp_path.iterdir()) == [path]


def test_links_devices_and_sparse_files_are_told_and_not_opened(tmp_path: Path) -> None:
    def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info

    sparse = tarfile.TarInfo("sparse.vasp")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "999999999999999"}
    kinds = {
        "out": (tarfile.SYMTYPE, "/etc/passwd"),
        "inside": (tarfile.SYMTYPE, "Cu.vasp"),
        "hard": (tarfile.LNKTYPE, "Cu.vasp"),
        "fifo": (tarfile.FIFOTYPE, ""),
        "char": (tarfile.CHRTYPE, ""),
        "block": (tarfile.BLKTYPE, ""),
        "old-sparse": (tarfile.GNUTYPE_SPARSE, ""),
        "unknown": (b"Z", ""),
    }
    path = tmp_path / "all.tar"
    path.write_bytes(
        tar(
            ("Cu.vasp", poscar("Cu")),
            *(special(f"{name}.vasp", *of) for name, of in kinds.items()),
            special("notes.txt", tarfile.SYMTYPE, "Cu.vasp"),
            special("folder.vasp", tarfile.DIRTYPE),
            sparse,
            ("Ag.vasp", poscar("Ag")),
        )
    )
    assert read(path) == {"Cu": "Cu", "Ag": "Ag"} | dict.fromkeys((*kinds, "sparse"), "not-a-file")


def test_hostile_extended_headers_cost_their_member(tmp_path: Path) -> None:
    def extended(kind: bytes, raw: bytes) -> bytes:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, len(raw)
        return info.tobuf(tarfile.USTAR_FORMAT) + raw + bytes(-len(raw) % BLOCK)

    path = tmp_path / "all.tar"
    for raw in (
        extended(b"x", b"9999999 path=b.vasp\n"),
        extended(b"x", b"0 path=b.vasp\n"),
        extended(b"x", b"-4 path=b.vasp\n"),
        extended(b"x", b"\xff\xfe"),
        extended(b"L", b"n" * (MAX_EXTENDED_BYTES + 1)),
    ):
        path.write_bytes(raw + five())
        assert read(path) == ALL | {"Cu": "unreadable"}
    path.write_bytes(extended(b"x", b"29 size=99999999999999999999\n") + five())
    assert read(path)["all"] == "unreadable"


def test_members_of_one_name_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    path.write_bytes(tar(*(("a.vasp", poscar(symbol)) for symbol in SYMBOLS)))
    assert list(read(path).values()) == list(SYMBOLS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one of this name already
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for symbol in SYMBOLS:
                archive.writestr("a.vasp", poscar(symbol))
    assert list(read(tmp_path / "all.zip").values()) == list(SYMBOLS)


@pytest.mark.parametrize("packing", PACK)
def test_no_flipped_bit_of_a_compressed_tar_changes_a_crystal_without_a_word(tmp_path: Path, packing: str) -> None:
    raw, path = PACK[packing](bytes(five())), tmp_path / f"all.tar.{packing}"
    path.write_bytes(raw)
    assert read(path) == ALL
    harmless = range(3, 10) if packing == "gz" else range(0)  # flags and time in the header, which no checksum covers
    for place in range(0, len(raw), 7):
        if place not in harmless:
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
            found = read(path)
            assert found == ALL or "unreadable" in found.values(), place


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.sources.tar.FREE_EXPANSION", 2**20)
    monkeypatch.setattr("bandrt.sources.archives.FREE_EXPANSION", 2**20)
    big = tarfile.TarInfo("zeros.bin")
    big.size = 2**23
    (tmp_path / "all.tar.gz").write_bytes(gzip.compress(bytes(tar(("Cu.vasp", poscar("Cu")), big, ("Ag.vasp", poscar("Ag"))))))
    assert read(tmp_path / "all.tar.gz") == {"Cu": "Cu", "all": "unreadable"}
    assert "500 times its size" in message(tmp_path / "all.tar.gz")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.csv", bytes(2**23))
        archive.writestr("Cu.vasp", poscar("Cu"))
    assert read(tmp_path / "all.zip") == {"big": "too-large", "Cu": "Cu"}


def test_a_crystal_that_would_be_too_large_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandrt.sources.archives.MAX_CRYSTAL_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("big.vasp", poscar("Cu") + b" " * 1000)
        archive.writestr("Cu.vasp", poscar("Cu"))
    assert read(tmp_path / "all.zip") == {"big": "too-large", "Cu": "Cu"}


def zipped(path: Path, packing: int = zipfile.ZIP_STORED) -> bytearray:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for symbol in SYMBOLS:
            archive.writestr(f"Å{symbol}.vasp", poscar(symbol))
    return bytearray(path.read_bytes())


def test_a_name_of_a_zip_that_is_no_utf8_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    raw = zipped(path)
    path.write_bytes(b"put before" + raw.replace("ÅAg".encode(), b"\xff\xfeAg"))
    assert list(read(path).values()) == list(SYMBOLS)


def test_a_member_of_a_zip_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    raw = zipped(path)
    central = [place for place in range(len(raw)) if raw.startswith(b"PK\1\2", place)]
    struct.pack_into("<H", raw, central[0] + 8, raw[central[0] + 8] | 0x801)  # needs a password
    struct.pack_into("<H", raw, central[1] + 10, 97)  # packed in a way that nobody knows
    struct.pack_into("<L", raw, central[2] + 16, 1234)  # another checksum
    struct.pack_into("<L", raw, central[3] + 38, 0o120777 << 16)  # a symbolic link
    path.write_bytes(raw)
    assert list(read(path).values()) == ["unreadable", "unreadable", "unreadable", "not-a-file", "Pt"]


def test_a_damaged_name_in_a_zip_does_not_hide_a_crystal(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    raw = zipped(path)
    raw[raw.rindex(b"Au.vasp") + 5] ^= 1
    path.write_bytes(raw)
    assert list(read(path).values()) == ["Cu", "Ag", "Ni", "Pt", "unreadable"]
    assert "two names" in message(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_no_flipped_bit_of_a_zip_changes_a_crystal_or_stops_the_search(tmp_path: Path, packing: int) -> None:
    path = tmp_path / "all.zip"
    raw = zipped(path, packing)
    for place in range(0, len(raw), 5):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 2]) + raw[place + 1 :])
        found = list(read(path).values())
        assert [f for f in found if f in SYMBOLS] == list(SYMBOLS) or set(found) - set(SYMBOLS), place


def notes(path: Path) -> dict[str, tuple[str, ...]]:
    """Warnings of every crystal that is read, by its id."""
    return {source.id: source.read().notes for source in find(path) if not isinstance(source.content, InputError)}


@pytest.mark.parametrize("packing", PACK)
def test_members_of_an_archive_whose_last_checksum_is_wrong_carry_a_warning(packing: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.tar.{packing}"
    packed = bytearray(PACK[packing](bytes(tar(*((f"{symbol}.vasp", poscar(symbol)) for symbol in SYMBOLS)))))
    path.write_bytes(packed)
    assert notes(path) == dict.fromkeys(SYMBOLS, ())
    packed[{"gz": -6, "bz2": -4, "xz": -20}[packing]] ^= 1
    path.write_bytes(packed)
    assert set(notes(path).values()) <= {("damaged-file",)}
    assert "unreadable" in read(path).values()


@pytest.mark.parametrize("cut", [1, 8])
def test_rows_of_a_compressed_table_that_was_cut_short_carry_a_warning(cut: int, tmp_path: Path) -> None:
    row = json.dumps({"id": "row", "lattice_mat": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "coords": [[0, 0, 0]], "elements": ["Po"]})
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(f"{row}\n".encode())[:-cut])
    assert notes(path) == {"row": ("damaged-file",)}
    assert "unreadable" in read(path).values()
    path.write_bytes(gzip.compress(f"{row}\n".encode()))
    assert notes(path) == {"row": ()}
