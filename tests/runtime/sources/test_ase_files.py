"""ASE's own files: every configuration of a trajectory and every row of a database, with ASE as the writer."""

from __future__ import annotations

import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandrt.errors import InputError
from bandrt.outcomes import outcome_of
from bandrt.sources import count, find, left_out

ase = pytest.importorskip("ase")


def atoms(side: float = 4.1, **options: Any) -> Any:
    return ase.Atoms("CsCl", cell=[side] * 3, scaled_positions=[[0] * 3, [0.5] * 3], **{"pbc": True, **options})


def configurations() -> list[Any]:
    disordered = atoms()
    disordered.info["occupancy"] = {"0": {"Cs": 0.5, "Rb": 0.5}}
    return [atoms(), atoms(4.3), atoms(pbc=(True, True, False)), disordered]


def written(folder: Path, kind: str) -> Path:
    path = folder / f"run.{kind}"
    if kind == "traj":
        from ase.io import write

        write(path, configurations())
        return path
    from ase.db import connect

    with connect(path) as database:
        for one in configurations()[:3]:
            database.write(one)
    return path


@pytest.mark.parametrize("kind", ["traj", "db"])
def test_every_configuration_is_a_crystal_or_a_reason(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    sources = list(find(tmp_path))
    first = 0 if kind == "traj" else 1
    assert [source.id for source in sources] == [f"run:{first + place}" for place in range(len(sources))]
    assert count(path) == len(sources) == (4 if kind == "traj" else 3)
    outcomes = [outcome_of(source.read) for source in sources]
    codes = [outcome.code if isinstance(outcome, InputError) else "ok" for outcome in outcomes]
    assert codes == ["ok", "ok", "not-periodic", "partial-occupancy"][: len(sources)]
    assert [one.formula for one in outcomes if not isinstance(one, InputError)] == ["CsCl"] * 2
    assert not isinstance(outcomes[1], InputError)
    assert np.allclose(outcomes[1].lattice, 4.3 * np.eye(3))


@pytest.mark.parametrize("kind", ["traj", "db"])
def test_moments_and_a_charge_are_told(tmp_path: Path, kind: str) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator

    charged = atoms(magmoms=[2.0, 0.0], charges=[1.0, 0.0])
    demagnetised = atoms(4.2, magmoms=[2.0, 0.0])
    demagnetised.calc = SinglePointCalculator(demagnetised, energy=-1.0, magmoms=[0.0, 0.0])
    if kind == "traj":
        from ase.io import write

        write(tmp_path / "run.traj", [charged, demagnetised])
    else:
        from ase.db import connect

        with connect(tmp_path / "run.db") as database:
            database.write(charged)
            database.write(demagnetised)
    notes = [pickle.loads(pickle.dumps(source)).read().notes for source in find(tmp_path)]
    assert notes == [("moments-dropped:Cs1", "charge-dropped:+1"), ()]


@pytest.mark.parametrize("kind", ["traj", "db"])
def test_without_ase_the_package_is_named(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, kind)
    for name in [name for name in sys.modules if name == "ase" or name.startswith("ase.")]:
        monkeypatch.setitem(sys.modules, name, None)
    (source,) = find(path)
    refusal = outcome_of(source.read)
    assert isinstance(refusal, InputError)
    assert refusal.code == "missing-package"
    assert "bandrt[ase]" in refusal.message


@pytest.mark.parametrize("kind", ["traj", "db"])
def test_damaged_files_are_reported_and_files_of_others_left_out(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:200])
    outcomes = [outcome_of(source.read) for source in find(path)]
    assert [outcome.code for outcome in outcomes if isinstance(outcome, InputError)] == ["unreadable"]
    path.write_bytes(b"something else")
    assert left_out(tmp_path) == {f".{kind}": 1}


def test_in_an_archive_they_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(written(tmp_path, "traj"), "run.traj")
    refusal = outcome_of(next(find(tmp_path / "all.zip")).read)
    assert isinstance(refusal, InputError)
    assert refusal.code == "unsupported-format"
