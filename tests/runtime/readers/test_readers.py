"""Reading by path, text and object: every way to the same crystal, with pymatgen and ASE as oracles."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, get_args

import numpy as np
import pytest

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.readers import FORMATS, Format, format_of, parse, to_crystal
from tests.support.cif_texts import WITH_OCCUPANCY, cif_cell, cif_sites

POSITION_TOLERANCE = 1e-4
"""Å: pymatgen keeps the first of the images on a special position, we their mean; files have 6 to 8 digits."""
LATTICE_TOLERANCE = 1e-6
"""Å^2, on the metric of the lattice."""


def pymatgen_reads(path: Path) -> Any:
    core = pytest.importorskip("pymatgen.core")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about rounded coordinates
        return core.Structure.from_str(path.read_text(), fmt="cif" if path.suffix == ".cif" else "poscar")


def assert_same(crystal: Crystal, lattice: Any, numbers: Any, frac_coords: Any) -> None:
    """Same metric, and every atom has its partner of the same element, in any order."""
    lattice, numbers, frac_coords = np.asarray(lattice), np.asarray(numbers), np.asarray(frac_coords)
    assert np.allclose(crystal.lattice @ crystal.lattice.T, lattice @ lattice.T, rtol=0.0, atol=LATTICE_TOLERANCE)
    assert crystal.n_atoms == len(numbers)
    delta = crystal.frac_coords[:, None] - frac_coords
    delta -= np.rint(delta)
    apart = np.linalg.norm(delta @ crystal.lattice, axis=2)
    apart[crystal.atomic_numbers[:, None] != numbers] = np.inf
    partners = apart.argmin(axis=1)
    assert apart.min(axis=1).max() < POSITION_TOLERANCE
    assert len(set(partners.tolist())) == crystal.n_atoms


def example_files(examples: Path) -> list[Path]:
    return sorted(path for path in examples.iterdir() if format_of(path.name))


def test_every_example_reads_as_pymatgen_reads_it(examples: Path) -> None:
    files = example_files(examples)
    assert len(files) >= 30
    for path in files:
        structure = pymatgen_reads(path)
        assert_same(to_crystal(path), structure.lattice.matrix, structure.atomic_numbers, structure.frac_coords)


def test_every_example_reads_as_ase_reads_it(examples: Path) -> None:
    io = pytest.importorskip("ase.io")
    for path in example_files(examples):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = io.read(path, format="cif" if path.suffix == ".cif" else "vasp")
        assert_same(to_crystal(path), atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())


def test_the_table_of_examples_says_what_the_files_hold(examples: Path) -> None:
    rows = re.findall(
        r"^\| `(\S+)` \| (\S+) \| .*? \| (\d+) \| \S* ?\| (mp-\d+) \|$", (examples / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(row[0] for row in rows) == [path.name for path in example_files(examples)]
    for file_name, formula, n_atoms, material_id in rows:
        crystal = to_crystal(examples / file_name)
        assert crystal.n_atoms == int(n_atoms)
        assert material_id in file_name
        assert set(crystal.symbols) == set(re.findall("[A-Z][a-z]?", formula))


def table_rows(shared: Path) -> Iterator[dict[str, str]]:
    with gzip.open(shared / "data" / "structures.csv.gz", "rt", encoding="utf-8") as table:
        yield from csv.DictReader(table)


def test_thousands_of_real_cifs_keep_their_number_of_atoms(shared: Path) -> None:
    for index, row in enumerate(table_rows(shared)):
        if index % 10 == 0:
            assert to_crystal(row["cif"]).n_atoms == int(row["n_sites"]), row["material_id"]


def test_cifs_written_with_symmetry_read_as_pymatgen_reads_them(shared: Path) -> None:
    cif = pytest.importorskip("pymatgen.io.cif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, row in enumerate(table_rows(shared)):
            if index % 400 != 7:
                continue
            parser = cif.CifParser.from_str(row["cif"])
            text = str(cif.CifWriter(parser.parse_structures(primitive=False)[0], symprec=0.01))
            structure = cif.CifParser.from_str(text).parse_structures(primitive=False)[0]
            assert_same(to_crystal(text), structure.lattice.matrix, structure.atomic_numbers, structure.frac_coords)


@pytest.fixture
def structure() -> Any:
    core = pytest.importorskip("pymatgen.core")
    return core.Structure(4.1 * np.eye(3) + 0.2, ["Cs", "Cl"], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.85]])


def test_pymatgen_objects_dictionaries_and_documents_are_one_crystal(structure: Any, tmp_path: Path) -> None:
    wrapped = {"material_id": "mp-1", "structure": structure.as_dict()}
    plain, packed = tmp_path / "CsCl.json", tmp_path / "CsCl.json.gz"
    plain.write_text(json.dumps(structure.as_dict()))
    with gzip.open(packed, "wt") as file:
        json.dump(wrapped, file)
    for item in (structure, structure.as_dict(), wrapped, plain, str(packed)):
        crystal = to_crystal(item)
        assert np.allclose(crystal.lattice, structure.lattice.matrix, rtol=0.0, atol=1e-12)
        assert_same(crystal, structure.lattice.matrix, structure.atomic_numbers, structure.frac_coords)


def test_oxidation_states_are_not_another_element(structure: Any) -> None:
    structure.add_oxidation_state_by_element({"Cs": 1, "Cl": -1})
    assert to_crystal(structure).formula == "CsCl"
    assert to_crystal(json.loads(json.dumps(structure.as_dict()))).formula == "CsCl"


@pytest.mark.parametrize("species", [{"Fe2+": 0.5, "Fe3+": 0.5}, {"Fe": 0.9995}, {"Fe": 0.9999, "Ni": 1e-5}])
def test_a_site_that_one_element_fills_is_read_however_it_is_written(species: Any) -> None:
    core = pytest.importorskip("pymatgen.core")
    structure = core.Structure(core.Lattice.cubic(2.9), [species], [[0, 0, 0]])
    assert to_crystal(structure).symbols == ("Fe",)
    assert to_crystal(structure.as_dict()).symbols == ("Fe",)


@pytest.mark.parametrize("isotope", ["D", "T"])
def test_isotopes_of_hydrogen_in_objects_are_hydrogen(isotope: str) -> None:
    core = pytest.importorskip("pymatgen.core")
    structure = core.Structure(core.Lattice.cubic(4.1), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    document = json.loads(json.dumps(structure.as_dict()).replace('"H"', f'"{isotope}"'))
    assert to_crystal(document).symbols == ("Li", "H")
    if isotope == "D":
        structure[1] = "D"
        assert to_crystal(structure).symbols == ("Li", "H")


MIXED = (
    "data_x\n"
    + cif_cell("6.6")
    + "_symmetry_space_group_name_H-M 'F m -3 m'\n_symmetry_Int_Tables_number 225\n"
    + cif_sites("Na1 Na 0 0 0 1", "I1 I 0.5 0.5 0.5 OCCUPANCY", columns=WITH_OCCUPANCY)
)


@pytest.mark.parametrize("occupancy", ["0.6", "0.6\nBr1 Br 0.5 0.5 0.5 0.4", "1.0"], ids=["vacancies", "two elements", "full"])
def test_occupancies_that_ase_keeps_beside_its_atoms_are_seen(tmp_path: Path, occupancy: str) -> None:
    io = pytest.importorskip("ase.io")
    (tmp_path / "x.cif").write_text(MIXED.replace("OCCUPANCY", occupancy))
    atoms = io.read(tmp_path / "x.cif")
    io.write(tmp_path / "x.extxyz", atoms)
    for item in (atoms, tmp_path / "x.extxyz"):
        if occupancy == "1.0":
            assert to_crystal(item).formula == "NaI"
            continue
        with pytest.raises(InputError) as caught:
            to_crystal(item)
        assert caught.value.code == "partial-occupancy"


@pytest.mark.parametrize(
    ("species", "code"),
    [({"Fe": 0.5, "Ni": 0.5}, "partial-occupancy"), ({"Fe": 0.9}, "partial-occupancy"), ("X", "unknown-species")],
)
def test_disordered_and_unknown_pymatgen_sites_are_refused(species: Any, code: str) -> None:
    core = pytest.importorskip("pymatgen.core")
    kind = core.DummySpecies("X") if species == "X" else species
    structure = core.Structure(3.0 * np.eye(3), [kind], [[0.0, 0.0, 0.0]])
    for item in (structure, structure.as_dict()):
        with pytest.raises(InputError, match="site 1") as caught:
            to_crystal(item, name="alloy")
        assert caught.value.code == code


def test_a_slab_is_refused(structure: Any) -> None:
    core, ase = pytest.importorskip("pymatgen.core"), pytest.importorskip("ase")
    slab = core.Structure(core.Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["Cs"], [[0, 0, 0]])
    for item in (slab, slab.as_dict(), ase.Atoms("Cs", cell=[4, 4, 4], pbc=(True, True, False)), ase.Atoms("Cs")):
        with pytest.raises(InputError) as caught:
            to_crystal(item)
        assert caught.value.code == "not-periodic"


def test_a_molecule_is_refused() -> None:
    core = pytest.importorskip("pymatgen.core")
    with pytest.raises(InputError) as caught:
        to_crystal(core.Molecule(["H", "H"], [[0, 0, 0], [0, 0, 0.74]]).as_dict())
    assert caught.value.code == "not-periodic"


def test_ase_atoms_are_read(structure: Any) -> None:
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms(structure.atomic_numbers, cell=structure.lattice.matrix, scaled_positions=structure.frac_coords, pbc=True)
    assert_same(to_crystal(atoms), structure.lattice.matrix, structure.atomic_numbers, structure.frac_coords)


def test_ase_atoms_without_a_cell_are_refused() -> None:
    ase = pytest.importorskip("ase")
    with pytest.raises(InputError) as caught:
        to_crystal(ase.Atoms("Cs", pbc=True))
    assert caught.value.code == "bad-lattice"


def test_a_crystal_is_checked_again() -> None:
    good = Crystal(np.eye(3) * 3.0, np.array([29], dtype=np.int32), np.zeros((1, 3)))
    assert to_crystal(good).formula == "Cu"
    with pytest.raises(InputError):
        to_crystal(Crystal(good.lattice, np.array([0], dtype=np.int32), good.frac_coords))


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", "empty-file"),
        ("{", "json-syntax"),
        ("[" * 100_000, "json-syntax"),
        ("[]", "not-a-crystal"),
        ("3", "not-a-crystal"),
        ("{}", "not-a-crystal"),
        ('{"lattice": {}, "sites": [{}]}', "not-a-crystal"),
        ('{"lattice": {"matrix": [[3, 0, 0], [0, 3, 0], [0, 0, 3]]}, "sites": []}', "no-atoms"),
        (
            '{"lattice": {"matrix": [[3, 0], [0, 3]]}, "sites": [{"species": [{"element": "Cu"}], "abc": [0, 0, 0]}]}',
            "bad-lattice",
        ),
        ('{"lattice": 3, "sites": []}', "not-periodic"),
    ],
)
def test_documents_that_hold_no_crystal_have_a_code(document: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(document, "json", name="bad.json")
    assert caught.value.code == code
    assert caught.value.message.startswith("bad.json: ")


@pytest.mark.parametrize("item", [3, None, b"data_x", "POSCAR of Si\n1.0\n", object()])
def test_what_holds_no_crystal_is_refused(item: Any) -> None:
    with pytest.raises(InputError) as caught:
        to_crystal(item)
    assert caught.value.code == "unsupported-format"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^lost\.cif: no such file$") as caught:
        to_crystal(tmp_path / "lost.cif")
    assert caught.value.code == "file-not-found"


@pytest.mark.parametrize("name", ["nosuch", "nosuch.txt"])
def test_a_name_without_a_format_is_not_found_before_it_is_unknown(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        to_crystal(tmp_path / name)
    assert caught.value.code == "file-not-found"


def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Cu.cif")
    with pytest.raises(InputError) as caught:
        to_crystal(tmp_path / "Cu.cif")
    assert caught.value.code == "not-a-file"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.cif").mkdir()
    with pytest.raises(InputError) as caught:
        to_crystal(tmp_path / "folder.cif")
    assert caught.value.code == "is-a-folder"


def test_a_gz_that_was_cut_short_is_refused(tmp_path: Path, examples: Path) -> None:
    path = tmp_path / "cut.cif.gz"
    path.write_bytes(gzip.compress(next(examples.glob("*.cif")).read_bytes())[:-20])
    with pytest.raises(InputError) as caught:
        to_crystal(path)
    assert caught.value.code == "unreadable"


def test_a_file_far_too_large_for_a_crystal_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.cif.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(65):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError) as caught:
        to_crystal(path)
    assert caught.value.code == "too-large"


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("Si.cif", "cif"),
        ("Si.CIF", "cif"),
        ("Si.cif.gz", "cif"),
        ("POSCAR", "poscar"),
        ("CONTCAR", "poscar"),
        ("POSCAR.gz", "poscar"),
        ("POSCAR_Si", "poscar"),
        ("POSCAR.Si", "poscar"),
        ("mp-149_POSCAR", "poscar"),
        ("Si.vasp", "poscar"),
        ("Si.json.gz", "json"),
        ("run.extxyz", "extxyz"),
        ("run.xyz", "extxyz"),
        ("README.md", None),
        ("POSCARS.png", None),
        ("Si.cif.bak", None),
        ("OUTCAR", None),
    ],
)
def test_the_name_of_a_file_tells_its_format(file_name: str, expected: str | None) -> None:
    assert format_of(file_name) == expected


def test_an_unknown_ending_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "Si.cube").touch()
    with pytest.raises(InputError) as caught:
        to_crystal(tmp_path / "Si.cube")
    assert caught.value.code == "unsupported-format"
    assert FORMATS in caught.value.message


def damaged(text: str, random: Random) -> str:
    """The text with one to three random wounds."""
    for _ in range(random.randint(1, 3)):
        here, there = sorted((random.randrange(len(text) + 1), random.randrange(len(text) + 1)))
        wound = random.choice(["character", "cut", "token", "line"])
        if wound == "character":
            text = text[:here] + random.choice("019.-+?'\";:#_ \n\t{}[]=xeéٳ\0") + text[here + random.randint(0, 1) :]
        elif wound == "cut":
            text = text[:here] + text[there:]
        else:
            separator = " " if wound == "token" else "\n"
            pieces = text.split(separator)
            pieces[random.randrange(len(pieces))] = random.choice(["?", ".", "nan", "1e999", "-1", "9" * 30, "", "0", *pieces[:20]])
            text = separator.join(pieces)
    return text


def test_damaged_files_are_refused_with_a_code_or_read(examples: Path) -> None:
    """Nothing but an `InputError` ever comes out of a reader, and its message is one line."""
    random = Random(20_26)
    originals = [path.read_text() for path in example_files(examples)]
    crystal = to_crystal(next(examples.glob("MgO*")))
    sites = [
        {"species": [{"element": s, "occu": 1}], "abc": list(f)} for s, f in zip(crystal.symbols, crystal.frac_coords, strict=True)
    ]
    originals += [json.dumps({"lattice": {"matrix": crystal.lattice.tolist(), "pbc": [True] * 3}, "sites": sites})] * 10
    originals += ['1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 pbc="T T T"\nPo 0 0 1\n'] * 10
    refused = 0
    for _ in range(3000):
        text = damaged(random.choice(originals), random)
        for file_format in get_args(Format):
            try:
                parse(text, file_format, name="bad")
            except InputError as error:
                refused += 1
                assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", error.code)  # noqa: PT017
                assert "\n" not in error.message  # noqa: PT017
    assert refused > 6000
