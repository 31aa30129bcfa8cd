"""Give band documents that hold no structure the one they were computed for, so that they can be compared with predictions.

    python benchmarks/external_check.py mp-bands --table structures.csv.gz -o mp-bands.jsonl
    bandrt train dataset mp-bands.jsonl -o mp-bands-data --variant bloch --min-mapped 0.1
    bandrt train evaluate model.onnx mp-bands-data --split all --training data -o report

Old documents of the Materials Project have no structure inside. It is taken from a file beside (``X_structure.json.gz`` for
``X_bandstructure.json.gz``), from the row of the table whose Materials Project number stands in the file name, or, for elements
with one atom per cell, from the reciprocal lattice alone; and used only if its standard primitive lattice is the document's.
Documents with a structure, and those for which none is found, are passed on as they are: what is refused later says why.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import read_cif
from bandrt.readers.documents import crystal_of_document
from bandrt.sources.tables import csv_records
from bandrt.symmetry.standard_cell import standardize

TOLERANCE = 0.01
"""Relative: how far lengths and products of lattice vectors may be apart, as relaxed cells of one crystal are."""
ONE_ATOM_CELLS = {"Cu_30_bandstructure": 29}
"""Atomic number of elements with one atom per cell, by document."""


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--table", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Columns material_id and cif.")
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(folder: Path, table: Path | None, out: Path) -> None:
    cifs = {} if table is None else read_table(table, {number_of(path) for path in documents(folder)})
    with out.open("w", encoding="utf-8") as file:
        for path in documents(folder):
            document = read_json(path)
            document["id"] = name_of(path)
            found = "inside"
            if not document.get("structure"):
                structure, found = find_structure(path, document, cifs)
                document["structure"] = structure
            file.write(json.dumps(document) + "\n")
            click.echo(f"{document['id']}: structure {found}")


def find_structure(path: Path, document: dict[str, Any], cifs: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """A pymatgen structure on the lattice of the document, and where it is from."""
    lattice = 2.0 * np.pi * np.linalg.inv(np.array(document["lattice_rec"]["matrix"], dtype=float).reshape(3, 3)).T
    beside = path.with_name(path.name.replace("_bandstructure", "_structure"))
    candidates: list[tuple[str, Crystal]] = []
    if beside != path and beside.exists():
        candidates.append(("beside", crystal_of_document(read_json(beside), name=beside.name)))
    if (number := number_of(path)) in cifs:
        candidates.append(("from the table", read_cif(cifs[number], name=number)))
    if name_of(path) in ONE_ATOM_CELLS:
        candidates.append(("of one atom", Crystal.checked(lattice, [ONE_ATOM_CELLS[name_of(path)]], np.zeros((1, 3)))))
    for source, crystal in candidates:
        try:
            cell = standardize(crystal, name=path.name).crystal
        except InputError:
            continue
        metric, own = cell.lattice @ cell.lattice.T, lattice @ lattice.T
        if np.abs(metric - own).max() <= TOLERANCE * np.abs(own).max():
            return as_structure(lattice, cell), source
    return None, "not found"


def as_structure(lattice: np.ndarray, cell: Crystal) -> dict[str, Any]:
    """The atoms of `cell` on an equal lattice, as pymatgen writes it."""
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": coords.tolist(), "label": symbol}
        for symbol, coords in zip(cell.symbols, cell.frac_coords, strict=True)
    ]
    return {"@module": "pymatgen.core.structure", "@class": "Structure", "lattice": {"matrix": lattice.tolist()}, "sites": sites}


def documents(folder: Path) -> Iterator[Path]:
    """Files with bands, each crystal once."""
    for path in sorted(folder.glob("*.json.gz")):
        if "_structure" not in path.name and "_continuous" not in path.name:
            yield path


def read_table(table: Path, wanted: set[str]) -> dict[str, str]:
    """CIF texts of some materials."""
    with gzip.open(table, "rt", encoding="utf-8", newline="") as stream:
        return {row["material_id"]: row["cif"] for row in csv_records(stream)[1] if row["material_id"] in wanted}


def read_json(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        values = json.load(stream)
    assert isinstance(values, dict)
    return values


def name_of(path: Path) -> str:
    return path.name.removesuffix(".json.gz")


def number_of(path: Path) -> str:
    """``mp-361`` of ``Cu2O_361_bandstructure.json.gz``."""
    found = re.match(r"[A-Za-z0-9]+_(\d+)_bandstructure", path.name)
    return f"mp-{found[1]}" if found else ""


if __name__ == "__main__":
    main()
