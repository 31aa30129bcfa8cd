"""Crystals of ASE's own files: trajectories and databases, read with ASE, which is an extra."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bandrt.errors import InputError, MissingPackageError
from bandrt.outcomes import outcome_of
from bandrt.readers.objects import crystal_of_ase
from bandrt.sources.kinds import ASE_DATABASE, stem_of
from bandrt.sources.source import Candidate, Source, refused


def configurations(path: Path, label: str) -> Iterator[Candidate]:
    """Configurations of a trajectory, counted from 0, or rows of a database by their numbers.

    Args:
        path: the file.
        label: the file, the same in every run.
    """
    stem, last = stem_of(path.name), "its beginning"
    listing = _rows if path.name.lower().endswith(ASE_DATABASE) else _frames
    try:
        for number, atoms in listing(path):
            place, name = f"{path}:{number}", f"{stem}:{number}"
            crystal = outcome_of(partial(crystal_of_ase, atoms, name=place))
            if isinstance(crystal, InputError):
                yield Candidate(Source(name, place, "json", crystal), f"{label}:{number}")
                continue
            document = {
                "lattice_mat": crystal.lattice.tolist(),
                "coords": crystal.frac_coords.tolist(),
                "elements": list(crystal.symbols),
            }
            yield Candidate(Source(name, place, "json", json.dumps(document)), f"{label}:{number}")
            last = str(number)
    except MissingPackageError as error:
        yield refused(stem, str(path), error.code, error.message)
    except Exception as error:  # whatever ASE, or SQLite under it, finds wrong with the file
        yield refused(stem, str(path), "unreadable", f"ASE cannot read it: {error!r}; nothing after {last} was read")


def _frames(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        from ase.io.trajectory import TrajectoryReader
    except ImportError:
        raise MissingPackageError("ase", "ase", f"reading {path.name}") from None
    with TrajectoryReader(str(path)) as frames:
        for number in range(len(frames)):
            yield number, frames[number]


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        from ase.db import connect
    except ImportError:
        raise MissingPackageError("ase", "ase", f"reading {path.name}") from None
    with connect(path, type="db", use_lock_file=False) as database:
        for row in database.select():
            yield row.id, row.toatoms()
