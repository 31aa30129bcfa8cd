"""Small sound inputs of every kind that is read: what the fuzzer damages."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

CRYSTALS = Path(__file__).resolve().parents[2] / "examples" / "crystals"
"""The example crystals of this project."""
POSCAR = "GaAs\n1.0\n0.0 2.8265 2.8265\n2.8265 0.0 2.8265\n2.8265 2.8265 0.0\nGa As\n1 1\nDirect\n0.0 0.0 0.0\n0.25 0.25 0.25\n"
LAYERED = (
    "Bi2Se3 of VASP 4 Bi Se\n-142.0\n3.6 0 9.58\n1.96 3.6 9.58\n0 0 10.42\nBi Se\n2 3\nSelective dynamics\ndirect\n"
    "0.602 0.602 0.602 T T F Bi\n0.397 0.397 0.397 T T F Bi\n"
    "0 0 0 F F F Se\n0.217 0.217 0.217 T T T Se\n0.782 0.782 0.782 T T T Se\n"
)
EXTXYZ = (
    '4\nLattice="3.93 0 0 0 3.93 0 0 0 5.1" Properties=species:S:1:pos:R:3:forces:R:3 energy=-3.5 pbc="T T T"\n'
    "Cu 0.0 0.0 0.0 0 0 0.1\nCu 1.965 1.965 0.0 0 0 0\nO 1.9 0.1 2.5 0 0 0\nO 0.05 1.95 2.6 0 0 0\n"
)
XSF = (
    "# a comment\nCRYSTAL\nPRIMVEC\n0.0 2.7 2.7\n2.7 0.0 2.7\n2.7 2.7 0.0\n"
    "PRIMCOORD\n2 1\n14 0.0 0.0 0.0 0.0 0.0 0.1\nSi 1.35 1.35 1.35\n"
)
AIMS = (
    "lattice_vector 4.2 0 0\nlattice_vector 0 4.2 0\nlattice_vector 0.1 0 4.3\n"
    "atom_frac 0 0 0 Na\n  initial_moment 1\natom 2.1 2.1 2.15 Cl\n"
)
PYMATGEN = {
    "@class": "Structure",
    "lattice": {"matrix": [[0.0, 2.81, 2.81], [2.81, 0.0, 2.81], [2.81, 2.81, 0.0]], "pbc": [True, True, True]},
    "sites": [
        {"species": [{"element": "Na", "occu": 1}], "abc": [0.0, 0.0, 0.0], "label": "Na"},
        {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5], "label": "Cl"},
    ],
}
JARVIS = {
    "lattice_mat": [[3, 0, 0], [0, 3, 0], [0, 0, 4]],
    "coords": [[0, 0, 0], [1.5, 1.5, 2]],
    "elements": ["Ti", "C"],
    "cartesian": True,
}
OPTIMADE = {
    "lattice_vectors": [[3.2, 0, 0], [0, 3.2, 0], [0, 0, 3.3]],
    "cartesian_site_positions": [[0, 0, 0], [1.6, 1.6, 1.6]],
    "species_at_sites": ["Cs", "Cl"],
    "species": [{"name": name, "chemical_symbols": [name], "concentration": [1.0]} for name in ("Cs", "Cl")],
    "dimension_types": [1, 1, 1],
}


def corpus() -> list[tuple[str, bytes]]:
    """Names, whose endings say what each is, and bytes."""
    cifs = {path.name: path.read_bytes() for path in sorted(CRYSTALS.glob("*.cif"))[:12]}
    texts = {
        "a.vasp": POSCAR,
        "POSCAR": LAYERED,
        "a.xyz": EXTXYZ,
        "b.extxyz": EXTXYZ + EXTXYZ,
        "a.xsf": XSF,
        "geometry.in": AIMS,
        "a.json": json.dumps(PYMATGEN),
        "b.json": json.dumps({"id": "x", "atoms": JARVIS}),
        "c.json": json.dumps({"data": [{"id": "x", "attributes": OPTIMADE}]}),
        "d.json": json.dumps([PYMATGEN, JARVIS]),
        "e.json": json.dumps({"columns": ["structure", "gap"], "index": ["a", "b"], "data": [[PYMATGEN, 1.0], [PYMATGEN, 2.0]]}),
        "a.jsonl": "".join(json.dumps({"id": name, "cif": raw.decode()}) + "\n" for name, raw in list(cifs.items())[:3]),
        "b.jsonl": json.dumps({"jid": "x", "structure": PYMATGEN}) + "\n",
        "a.csv": "id,cif\n" + "".join(f'{name},"{raw.decode()}"\n' for name, raw in list(cifs.items())[:3]),
    }
    files = cifs | {name: text.encode() for name, text in texts.items()}
    poscar = POSCAR.encode()
    packed = {"a.vasp.gz": gzip.compress(poscar, mtime=0), "a.vasp.bz2": bz2.compress(poscar), "a.vasp.xz": lzma.compress(poscar)}
    inside = {"cells/a.vasp": poscar, "a.vasp.xz": packed["a.vasp.xz"], "b.extxyz": files["b.extxyz"], "d.json": files["d.json"]}
    zips = {f"{name}.zip": _zipped(inside, kind) for name, kind in (("a", zipfile.ZIP_DEFLATED), ("b", zipfile.ZIP_LZMA))}
    tars = {f"a.tar{ending}": _tarred(inside, ending) for ending in ("", ".gz", ".bz2", ".xz")}
    return [*files.items(), *packed.items(), *zips.items(), *tars.items()]


def _zipped(files: dict[str, bytes], kind: int) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return raw.getvalue()


def _tarred(files: dict[str, bytes], ending: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    pack: dict[str, Callable[[bytes], bytes]] = {".gz": partial(gzip.compress, mtime=0), ".bz2": bz2.compress, ".xz": lzma.compress}
    return pack.get(ending, bytes)(raw.getvalue())
