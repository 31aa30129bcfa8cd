"""Items: one or many, in every form a caller may have them in, each with a name that says which it is."""

from __future__ import annotations

import gzip
import json
import os
from collections import UserList
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

import bandrt
from bandrt.crystal import Crystal
from bandrt.errors import ArgumentError, InputError
from bandrt.features import Features
from bandrt.items import crystal_of, items_of, name_of
from bandrt.loading import load
from bandrt.predict import Engine
from bandrt.results.prediction import Failure, Prediction
from bandrt.sources import find

LATTICE = 3.99 / 2**0.5 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
COORDS = [[0, 0, 0], [0.5, 0.5, 0.5]]
SALT = Crystal.checked(LATTICE, [11, 17], COORDS)


@pytest.fixture(scope="module")
def engine(tiny_engine: Path) -> Iterator[Engine]:
    with load(tiny_engine, threads=1) as engine:
        yield engine


@pytest.fixture
def salt(tmp_path: Path, rock_salt: Callable[..., str]) -> Path:
    path = tmp_path / "salt.cif"
    path.write_text(rock_salt())
    return path


def structure(**properties: Any) -> Any:
    from pymatgen.core import Structure

    return Structure(LATTICE, ["Na", "Cl"], COORDS, properties=properties)


def entry_of(path: Path) -> os.DirEntry[str]:
    with os.scandir(path.parent) as entries:
        return next(entry for entry in entries if entry.name == path.name)


def atoms(**info: Any) -> Any:
    from ase import Atoms

    return Atoms("NaCl", cell=LATTICE, scaled_positions=COORDS, pbc=True, info=info)


ONE: dict[str, Callable[[Path], Any]] = {
    "text of a path": str,
    "path": Path,
    "path of NumPy": np.str_,
    "entry of a folder": lambda path: entry_of(path),
    "CIF text": Path.read_text,
    "pymatgen": lambda _: structure(),
    "dictionary of pymatgen": lambda _: structure().as_dict(),
    "ASE": lambda _: atoms(),
    "crystal": lambda _: SALT,
    "crystal of lists": lambda _: Crystal(LATTICE.tolist(), [11, 17], COORDS),  # type: ignore[arg-type]
    "source": lambda path: next(find(path)),
    "document of the Materials Project": lambda _: SimpleNamespace(structure=structure(), material_id="mp-22862"),
}


@pytest.mark.parametrize("kind", ONE)
def test_one_item_is_one_result(engine: Engine, salt: Path, kind: str) -> None:
    [result] = engine.predict(ONE[kind](salt))
    assert isinstance(result, Prediction), result
    assert result.crystal.formula == "NaCl"
    features = bandrt.featurize(ONE[kind](salt))
    assert isinstance(features, Features)
    assert isinstance(engine.featurize(ONE[kind](salt)), Features)
    [same] = bandrt.featurize_many(ONE[kind](salt))
    assert isinstance(same, Features)
    assert bandrt.kpath(ONE[kind](salt)).labels == features.kpath.labels


MANY: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda items: (item for item in items),
    "iterator": iter,
    "values of a dictionary": lambda items: dict(enumerate(items)).values(),
    "some other sequence": UserList,
}


@pytest.mark.parametrize("kind", MANY)
def test_many_items_are_as_many_results(engine: Engine, salt: Path, kind: str) -> None:
    items = [salt, str(salt), structure(), atoms(), SALT]
    results = list(engine.predict(MANY[kind](items)))
    assert [type(result) for result in results] == [Prediction] * 5
    for featurize in (bandrt.featurize, bandrt.featurize_many, engine.featurize):
        made: Any = featurize(MANY[kind](items))
        assert [type(features) for features in made] == [Features] * 5


def test_columns_and_arrays_of_paths_are_many(engine: Engine, salt: Path) -> None:
    pandas = pytest.importorskip("pandas")
    for column in (np.array([str(salt)] * 2), np.array([salt, salt]), pandas.Series([str(salt)] * 2, index=["a", "b"])):
        assert [result.id for result in engine.predict(column)] == ["salt", "salt-2"]
        assert len(bandrt.featurize(column)) == 2


@pytest.mark.parametrize(
    "written",
    [
        lambda path: path.read_text().replace("\n", "\r\n"),
        lambda path: path.read_text().replace("\n", "\r"),
        lambda _: json.dumps(structure().as_dict()),
        lambda _: json.dumps(structure().as_dict(), indent=1),
        lambda _: {"lattice_mat": LATTICE.tolist(), "coords": COORDS, "elements": ["Na", "Cl"]},
    ],
)
def test_text_and_documents_are_items_however_they_are_written(engine: Engine, salt: Path, written: Callable[[Path], Any]) -> None:
    [result] = engine.predict(written(salt))
    assert isinstance(result, Prediction), result
    assert result.crystal.formula == "NaCl"


def test_no_items_are_no_results(engine: Engine) -> None:
    assert list(engine.predict([])) == []
    assert bandrt.featurize([]) == []


class Columns:
    """What a table of pandas looks like."""

    columns, dtypes = ("path",), ("object",)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (None, "CIF text"),
        (5, "CIF text"),
        ({"salt": SALT}, "values()"),
        ({}, "values()"),
        (b"data_x", "CIF text"),
        (Crystal, "CIF text"),
        (np.array("a.cif"), "CIF text"),
        (Columns(), "column of the table"),
    ],
)
def test_what_is_neither_one_nor_many_is_refused_at_once(engine: Engine, given: Any, advice: str) -> None:
    for call in (engine.predict, engine.featurize, bandrt.featurize, bandrt.featurize_many):
        with pytest.raises(ArgumentError, match=r"allowed: ") as caught:
            call(given)
        assert advice in caught.value.message


def test_an_open_file_is_refused_not_read_line_by_line(engine: Engine, salt: Path) -> None:
    with salt.open() as file, pytest.raises(ArgumentError, match="the path of the file"):
        engine.predict(file)


def test_a_name_is_for_one_item(salt: Path, engine: Engine) -> None:
    for featurize in (bandrt.featurize, engine.featurize):
        with pytest.raises(ArgumentError, match="name is 'salt', allowed: None, for many items"):
            featurize([salt], name="salt")
    with pytest.raises(ArgumentError, match="for each of 1 items"):
        bandrt.featurize_many([salt], names=["a", "b"])


def test_a_folder_is_no_crystal_and_the_error_names_what_searches_it(engine: Engine, salt: Path) -> None:
    for given in (salt.parent, str(salt.parent)):
        for call in (engine.predict, engine.featurize, bandrt.featurize, bandrt.kpath):
            with pytest.raises(InputError, match=r"bandrt infer.*bandrt\.find") as caught:
                call(given)
            assert caught.value.code == "is-a-folder"
    in_list = list(engine.predict([salt, salt.parent]))
    assert isinstance(in_list[1], Failure)
    assert in_list[1].code == "is-a-folder"
    assert [result.id for result in engine.predict(find(salt.parent))] == ["salt"]


def test_an_object_of_the_wrong_kind_costs_only_itself(engine: Engine, salt: Path) -> None:
    from ase import Atoms
    from pymatgen.core import Molecule, Structure

    wrong = [
        *(None, 5, float("nan"), b"x", {"a": 1}, object(), [salt], np.zeros(3), "", "a\0b.cif", "nosuch.cif", "table.csv"),
        *(
            Atoms,
            Structure,
            Atoms(),
            Atoms(cell=LATTICE, pbc=True),
            Atoms("X", cell=LATTICE, pbc=True),
            Molecule(["H"], [[0, 0, 0]]),
            MagicMock(),
            atoms()[0],
        ),
        Atoms("Na", cell=np.eye(3) * 1e-3, pbc=True),
        *(structure()[0], structure().lattice, salt.parent),
    ]
    results = list(engine.predict([salt, *(item for one in wrong for item in (one, SALT))]))
    assert [type(result) for result in results] == [Prediction] + [Failure, Prediction] * len(wrong)
    assert len({result.id for result in results}) == len(results)
    unnamed = [order for order, result in enumerate(results) if result.id.startswith("items[")]
    assert [results[order].id for order in unnamed] == [f"items[{order}]" for order in unnamed], "which of them it is"
    assert all(f"items[{order}]: " in results[order].message for order in unnamed)
    assert not {result.id for result in results} & {"NoneType", "int", "list", "dict", "object", "bytes", "ndarray", "type"}
    made = bandrt.featurize(wrong)
    assert [type(outcome) for outcome in made] == [InputError] * len(wrong)
    codes = {result.code for result in results if isinstance(result, Failure)}
    assert codes == {
        *("unsupported-format", "not-a-crystal", "file-not-found", "unreadable", "no-atoms", "bad-lattice", "unknown-species"),
        *("not-periodic", "is-a-folder"),
    }


def test_an_item_is_called_what_it_calls_itself(salt: Path, rock_salt: Callable[..., str]) -> None:
    assert name_of("crystals/GaAs.cif.gz") == name_of(Path("GaAs.cif")) == "GaAs"
    assert name_of("POSCAR.Si") == "POSCAR.Si"
    assert name_of(rock_salt()) == "rock_salt"
    assert name_of("data_global\n_journal 'x'\n" + rock_salt()) == "rock_salt"
    assert name_of(structure(material_id="mp-22862", name="halite")) == "mp-22862"
    assert name_of(structure(name="halite")) == "halite"
    assert name_of(atoms(id=7)) == "7"
    assert name_of(structure(id="mine").as_dict()) == "mine"
    assert name_of({"structure": structure().as_dict(), "material_id": "mp-1"}) == "mp-1"
    assert name_of(SimpleNamespace(structure=structure(), material_id="mp-2")) == "mp-2"
    assert name_of(next(find(salt))) == "salt"
    assert name_of(SALT) == name_of(structure()) == name_of(atoms()) == name_of(structure(name="two\nlines")) == ""


def test_ids_fall_back_to_the_formula_and_are_unique_in_a_run(engine: Engine, salt: Path) -> None:
    items = [SALT, salt, structure(), structure(name="NaCl-2"), atoms(), str(salt), atoms(name="salt"), None, None]
    ids = [result.id for result in engine.predict(items, batch_size=1)]
    assert ids == ["NaCl", "salt", "NaCl-2", "NaCl-2-2", "NaCl-3", "salt-2", "salt-3", "items[7]", "items[8]"]
    assert [result.id for result in engine.predict(items)] == ids, "whatever the batch"
    assert [result.id for result in engine.predict([SALT])] == ["NaCl"], "each run anew"


def test_files_that_share_a_name_are_called_as_by_find_and_in_a_run(
    engine: Engine, tmp_path: Path, rock_salt: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one/a.cif", "two/a.cif", "b.cif", "c.cif", "c/c.vasp.cif", "c/c.cif.gz"):
        path = tmp_path / "runs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(rock_salt().encode()) if name.endswith("gz") else rock_salt().encode())
    monkeypatch.chdir(tmp_path / "runs")
    paths = ["one/a.cif", "two/a.cif", "b.cif", "c.cif", "c/c.vasp.cif", "c/c.cif.gz"]
    expected = ["one/a.cif", "two/a.cif", "b", "c.cif", "c.vasp", "c.cif.gz"]
    assert [source.id for source in find(paths)] == expected
    assert [result.id for result in engine.predict(paths)] == expected
    assert [result.id for result in engine.predict(find(paths))] == expected
    assert [result.id for result in engine.predict(np.array(paths))] == expected
    as_they_come = engine.predict(path for path in ["one/a.cif", "two/a.cif", "one/a.cif"])
    assert [result.id for result in as_they_come] == ["a", "two/a.cif", "a-2"]


def test_an_error_names_the_item(tmp_path: Path) -> None:
    loose = atoms(material_id="mp-1")
    loose.pbc = False
    with pytest.raises(InputError, match="mp-1: periodic along"):
        bandrt.featurize(loose)
    packed = tmp_path / "a.cif.gz"
    packed.write_bytes(gzip.compress(b""))
    with pytest.raises(InputError, match=r"a\.cif\.gz: the file is empty"):
        bandrt.kpath(packed)


def test_an_item_is_left_as_it_is() -> None:
    many = [SALT]
    assert items_of(many) is many
    assert crystal_of(SALT).formula == "NaCl"


def test_results_that_are_wanted_after_the_engine_was_closed_say_so(tiny_engine: Path, salt: Path) -> None:
    with load(tiny_engine, threads=1) as closed:
        results = closed.predict(salt)
    with pytest.raises(bandrt.BandrtError, match="inside the `with` block") as caught:
        next(results)
    assert caught.value.code == "engine-closed"
    with pytest.raises(bandrt.BandrtError, match="closed"):
        closed.predict(salt)
