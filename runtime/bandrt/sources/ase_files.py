"""Crystals of ASE's own files: trajectories and databases, read with ASE, which is an extra."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bandrt.errors import InputError, MissingPackageError
from bandrt.outcomes import outcome_of
from bandrt.readers.objects import crystal_of_ase
from bandrt.sources.kept import kept_of
from bandrt.sources.kinds import ASE_DATABASE, stem_of
from bandrt.sources.source import Candidate, Source, refused, row_candidate


def configurations(path: Path, label: str, keep: Sequence[str] = ()) -> Iterator[Candidate]:
    """Configurations of a trajectory, counted from 0, or rows of a database by their numbers.

    Args:
        path: the file.
        label: the file, the same in every run.
        keep: what to carry through: keys of a database's key-value pairs, of the ``info`` of a trajectory's frames.
    """
    stem, last = stem_of(path.name), "its beginning"
    listing = _rows if path.name.lower().endswith(ASE_DATABASE) else _frames
    try:
        for number, atoms, said in listing(path):
            place, name = f"{path}:{number}", f"{stem}:{number}"
            crystal, kept = outcome_of(partial(crystal_of_ase, atoms, name=place)), kept_of(said, keep)
            if isinstance(crystal, InputError):
                of_it = {} if isinstance(kept, InputError) else kept
                yield Candidate(Source(name, place, "json", crystal, of_it), f"{label}:{number}")
                continue
            document = {
                "lattice_mat": crystal.lattice.tolist(),
                "coords": crystal.frac_coords.tolist(),
                "elements": list(crystal.symbols),
            }
            yield row_candidate(name, place, f"{label}:{number}", ("json", json.dumps(document)), kept, crystal.notes)
            last = str(number)
    except MissingPackageError as error:
        yield refused(stem, str(path), error.code, error.message)
    except Exception as error:  # whatever ASE, or SQLite under it, finds wrong with the file
        yield refused(stem, str(path), "unreadable", f"ASE cannot read it: {error!r}; nothing after {last} was read")


def _frames(path: Path) -> Iterator[tuple[int, Any, Mapping[str, Any]]]:
    try:
        from ase.io.trajectory import TrajectoryReader
    except ImportError:
        raise MissingPackageError("ase", "ase", f"reading {path.name}") from None
    with TrajectoryReader(str(path)) as frames:
        for number in range(len(frames)):
            atoms = frames[number]
            yield number, atoms, atoms.info


def _rows(path: Path) -> Iterator[tuple[int, Any, Mapping[str, Any]]]:
    try:
        from ase.db import connect
    except ImportError:
        raise MissingPackageError("ase", "ase", f"reading {path.name}") from None
    with connect(path, type="db", use_lock_file=False) as database:
        for row in database.select():
            yield row.id, row.toatoms(), row.key_value_pairs
