"""Each kind of input that once hung, killed, emptied or misled a run: right or refused with a code, and nothing lost."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bandrt.results.store import read_errors
from bandrt.run.infer import InferOptions, infer

Salt = Callable[..., str]
FAR = "9" * 5000
SECONDS = 60.0

ORDINARY = "a\n1.0\n4 0 0\n0 4 0\n0 0 4\nCs Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
FRAME = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nCs 0 0 0\nCl 2 2 2\n'
TEXTS: dict[str, tuple[str, str]] = {
    "digits.vasp": (ORDINARY.replace("1 1\nDirect", f"{FAR} 1\nDirect"), "number-too-large"),
    "digits.xyz": (FAR + FRAME[1:], "number-too-large"),
    "z.xyz": (FRAME.replace("species:S", "Z:I").replace("Cs", FAR).replace("Cl", "17"), "number-too-large"),
    "many.xyz": ("999999999" + FRAME[1:], "too-many-atoms"),
    "far.vasp": (ORDINARY.replace("0.5 0.5 0.5", "1e308 0.5 0.5"), "coordinate-too-large"),
    "turned.vasp": (ORDINARY.replace("0.5 0.5 0.5", "1e9 0.5 0.5"), "coordinate-too-large"),
    "volume.vasp": (ORDINARY.replace("1.0\n", "-1e308\n"), "lattice-too-large"),
    "point.vasp": (ORDINARY.replace("0 0 4\n", "0 0 4000000\n"), "lattice-too-large"),
    "flat.vasp": (ORDINARY.replace("0 0 4\n", "0 0 1e-9\n"), "bad-lattice"),
    "cell.xyz": (FRAME.replace("0 0 0 4 0", "0 0 1e12 4 0"), "lattice-too-large"),
    "nan.xyz": (FRAME.replace("Cl 2", "Cl nan"), "bad-coordinates"),
    "nan.vasp": (ORDINARY.replace("0 4 0", "nan 4 0"), "poscar-syntax"),
    "deep.json": ("[" * 100_000, "json-syntax"),
    "endless.json": ('{"lattice": {"matrix": [[1e999, 0, 0], [0, 4, 0], [0, 0, 4]]}, "sites": []}', "no-atoms"),
    "frozen.vasp": (ORDINARY.replace("Cs Cl\n", "").replace("0 0 0\n0.5", "0 0 0 F F F\n0.5"), "unknown-species"),
    "own-image.vasp": (ORDINARY.replace("0 0 4\n", "4 4 0.4\n"), "overlapping-atoms"),
    "empty.cif": ("", "empty-file"),
    "lone.vasp": (ORDINARY.replace("4", "6").replace("Cs Cl\n1 1", "Na\n1").replace("0.5 0.5 0.5\n", ""), ""),
}
"""By name: the text, and the code of its refusal; empty for what is predicted."""


def cif_texts(rock_salt: Salt) -> dict[str, tuple[str, str]]:
    """CIFs by name, with the code of their refusal."""
    salt = rock_salt()
    tag = "_symmetry_space_group_name_H-M"
    assert tag in salt
    return {
        "good.cif": (salt, ""),
        "operation.cif": (salt + f"loop_\n_symmetry_equiv_pos_as_xyz\nx+{FAR},y,z\n", "bad-symmetry"),
        "superspace.cif": (salt + "_cell_modulation_dimension 1\n", "modulated"),
        "formula.cif": (salt + f"_chemical_formula_sum 'Si{FAR}'\n", "composition-mismatch"),
        "number.cif": (salt + "_symmetry_Int_Tables_number 194\n", "contradicting-symmetry"),
        "words.cif": (salt.replace(tag, "_symmetry_as_xyz"), "bad-symmetry"),
        "group.cif": (salt.replace(" Na ", " NH4 "), "unknown-species"),
        "cut.cif": (salt[: len(salt) * 2 // 3], "cif-syntax"),
    }


def tar_of(members: dict[str, bytes], *links: tarfile.TarInfo) -> bytearray:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for link in links:
            file.addfile(link)
    return bytearray(archive.getvalue())


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.fixture
def folder(tmp_path: Path, rock_salt: Salt) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (text, _) in (TEXTS | cif_texts(rock_salt)).items():
        (folder / name).write_text(text)
    (folder / "id.jsonl").write_text(json.dumps({"id": "\ud800\x1b[31m=cmd", "cif": rock_salt()}) + "\n")
    (folder / "cut.cif.gz").write_bytes(gzip.compress(rock_salt().encode())[:-9])
    members = {f"{symbol}.vasp": ORDINARY.replace("Cs", symbol).encode() for symbol in ("Rb", "Cs", "Tl")}
    flipped = tar_of(members)
    flipped[1024 + 150] ^= 1  # in the checksum of the second header
    (folder / "flipped.tar").write_bytes(flipped)
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    (folder / "links.tar").write_bytes(tar_of({}, *(link(f"link{kind.decode()}.cif", kind) for kind in kinds)))
    packed = bytearray(lzma.compress(bytes(tar_of(members))))
    packed[-40] ^= 1
    (folder / "packed.tar.xz").write_bytes(packed)
    with zipfile.ZipFile(folder / "crc.zip", "w", zipfile.ZIP_STORED) as file:
        file.writestr("crc.vasp", ORDINARY)
    whole = (folder / "crc.zip").read_bytes()
    (folder / "crc.zip").write_bytes(whole.replace(b"0.5 0.5 0.5", b"0.5 0.5 0.6", 1))
    return folder


@pytest.mark.skipif(os.name != "posix", reason="pipes and links as on Unix")
def test_a_run_over_all_that_is_hostile_ends_and_says_of_each_what_is_wrong(
    tiny_engine: Path, tmp_path: Path, folder: Path, rock_salt: Salt
) -> None:
    os.mkfifo(folder / "pipe.cif")
    (folder / "device.vasp").symlink_to("/dev/zero")
    (folder / "round.cif").symlink_to("round-2.cif")
    (folder / "round-2.cif").symlink_to("round.cif")
    (folder / "inside").symlink_to(folder)

    report = infer(folder, tmp_path / "out", InferOptions(engine=tiny_engine, workers=1, timeout=SECONDS))

    assert report.status == "finished"
    codes: dict[str, str] = {}
    for failure in read_errors(tmp_path / "out"):
        codes[failure.path.removeprefix(f"{folder}/")] = failure.code
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        predicted = {row["path"].removeprefix(f"{folder}/"): row for row in csv.DictReader(file)}
    given = TEXTS | cif_texts(rock_salt)
    for name, (_, code) in given.items():
        place = f"{name}:0" if name.endswith(".xyz") else name
        assert codes.get(place, "") == code, (name, codes.get(place))
        assert (place in predicted) == (not code), name
    assert predicted["lone.vasp"]["warnings"] == "isolated-atom:Na;odd-electrons"
    assert predicted["id.jsonl:1"]["id"] == "\\ud800\\x1b[31m=cmd"
    assert {codes[name] for name in ("pipe.cif", "device.vasp")} == {"not-a-file"}
    assert {codes[name] for name in ("round.cif", "round-2.cif", "cut.cif.gz", "flipped.tar", "packed.tar.xz")} == {"unreadable"}
    assert {place: code for place, code in codes.items() if place.startswith("links.tar")} == {
        f"links.tar:link{kind}.cif": "not-a-file" for kind in "1236"
    }
    assert codes["crc.zip:crc.vasp"] == "unreadable"
    assert all("damaged-file" in row["warnings"] for place, row in predicted.items() if place.startswith("packed.tar.xz"))
    assert {place for place in predicted if place.startswith("flipped.tar")} == {"flipped.tar:Rb.vasp", "flipped.tar:Tl.vasp"}


def test_no_known_fault_stops_a_run(tiny_engine: Path, tmp_path: Path, shared: Path) -> None:
    faults = shared / "cases" / "faults"
    if not faults.is_dir():
        pytest.skip("the reproducers of faults are not beside this project")
    report = infer(faults, tmp_path / "out", InferOptions(engine=tiny_engine, workers=1, timeout=SECONDS))
    assert report.status == "finished"
    assert not {"timed-out", "crashed", "reader-failed", "featurize-failed"} & set(report.failure_codes)
    assert report.total_predicted + report.total_failed == report.found
