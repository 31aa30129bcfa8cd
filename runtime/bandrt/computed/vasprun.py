"""VASP runs along lines: ``vasprun.xml``, plain or gzipped, read by pymatgen.

Two kinds of run say where their straight lines are: those with a line-mode ``KPOINTS`` file (VASP writes how many points a line has
into ``vasprun.xml``), and those with a list of k-points, of which the ``KPOINTS`` file beside ``vasprun.xml`` labels the ends of
lines, as pymatgen and atomate2 write it (also behind a mesh, with zero weight). The Fermi level is VASP's, moved to mid-gap where
it lies within 1 meV of a band edge, as pymatgen does; an insulator is refused when the number of electrons says otherwise.
"""

from __future__ import annotations

import gzip
import hashlib
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from bandrt.computed.documents import BandDocument, Reading
from bandrt.errors import InputError, MissingPackageError, reason_of
from bandrt.files import file_sha256
from bandrt.readers import to_crystal

if TYPE_CHECKING:
    from pymatgen.io.vasp.outputs import BSVasprun

SUFFIXES = (".xml", ".xml.gz")
MARK = "vasprun"
"""Files of these suffixes with this in their names are VASP runs."""
WHOLE_NUMBER = 1e-3
"""How close the number of electrons of a cell is to a whole one."""


class VasprunFile(NamedTuple):
    """A VASP run, not yet opened."""

    name: str
    id: str

    def stamp(self) -> str:
        """Checksum of the run and of the ``KPOINTS`` file beside it, "" if it cannot be read."""
        try:
            checksums = [file_sha256(path) for path in (Path(self.name), kpoints_file(Path(self.name))) if path is not None]
        except OSError:
            return ""
        return hashlib.sha256("".join(checksums).encode()).hexdigest()

    def read(self) -> Reading:
        """Open and parse it, see `read_vasprun`."""
        return Reading(read_vasprun(Path(self.name), self.id), self.stamp())


def is_vasprun(file: Path) -> bool:
    """Whether a file looks like a VASP run."""
    return MARK in file.name and file.name.endswith(SUFFIXES)


def run_name(file: Path, source: Path) -> str:
    """What to call a run: by its folder within the source when the file is plainly ``vasprun.xml``, else by its name."""
    stem = file.name.removesuffix(".gz").removesuffix(".xml")
    if stem != MARK:
        return stem
    within = file.parent.relative_to(source).as_posix() if source.is_dir() else "."
    return file.resolve().parent.name if within == "." else within


def kpoints_file(run: Path) -> Path | None:
    """The ``KPOINTS`` file beside a run, if there is one."""
    return next((path for path in (run.with_name("KPOINTS"), run.with_name("KPOINTS.gz")) if path.is_file()), None)


def read_vasprun(file: Path, identifier: str) -> BandDocument:
    """Read the bands of a run.

    Raises:
        InputError: ``malformed``, ``not-line-mode``, ``noncollinear`` (spin-orbit coupling), or what `to_crystal` raises.
        MissingPackageError: pymatgen is not installed.
    """
    try:
        from pymatgen.io.vasp.outputs import BSVasprun
    except ImportError as error:
        raise MissingPackageError("pymatgen", "pymatgen", "reading a VASP run") from error

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about POTCARs and run types, which matter to nothing here
            divisions = points_per_line(file)
            run = BSVasprun(str(file))
            method = f"VASP, {run.run_type}"
            structure = run.final_structure
            efermi = float(run.calculate_efermi())
    except (OSError, EOFError, SyntaxError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError("malformed", f"{file}: not a finished VASP run ({reason_of(error)})") from error
    if run.parameters.get("LNONCOLLINEAR") or run.parameters.get("LSORBIT"):
        raise InputError("noncollinear", f"{file}: bands of spinors (LSORBIT or LNONCOLLINEAR), bands without spin are needed")
    chosen, branches = _lines(file, run, divisions)
    energies = np.array([run.eigenvalues[spin][chosen, :, 0].T for spin in sorted(run.eigenvalues, key=int, reverse=True)])
    frac_kpoints = np.array(run.actual_kpoints, dtype=np.float64)[chosen]
    if not (np.isfinite(energies).all() and np.isfinite(frac_kpoints).all()):
        raise InputError("malformed", f"{file}: an energy or a k-point is not a finite number")
    return BandDocument(
        id=identifier,
        crystal=to_crystal(structure, name=str(file)),
        reciprocal=np.array(structure.lattice.reciprocal_lattice.matrix),
        frac_kpoints=frac_kpoints,
        energies=energies,
        efermi=efermi,
        branches=branches,
        labels=(None,) * len(frac_kpoints),
        n_occupied=_n_occupied(run.parameters.get("NELECT")),
        method=method,
    )


def points_per_line(file: Path) -> int | None:
    """How many k-points each line of a line-mode run has; None for a run of another kind."""
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
        for _, element in ElementTree.iterparse(stream):
            if element.tag == "kpoints":
                generation = element.find("generation[@param='listgenerated']")
                found = None if generation is None else generation.find("i[@name='divisions']")
                return None if found is None else int(found.text or "")
    return None


def _lines(file: Path, run: BSVasprun, divisions: int | None) -> tuple[slice, NDArray[np.intp]]:
    """Which k-points of a run lie on lines, and the first and last of each line among them, (n_branches, 2)."""
    n_kpoints = len(run.actual_kpoints)
    if divisions is not None:
        if divisions < 2 or n_kpoints % divisions:
            raise InputError("malformed", f"{file}: {n_kpoints} k-points are no whole number of lines of {divisions}")
        first = np.arange(0, n_kpoints, divisions, dtype=np.intp)
        return slice(None), np.stack([first, first + divisions - 1], axis=1)
    weights = np.array(run.actual_kpoints_weights)
    start = int(np.argmin(weights)) if (weights == 0.0).any() else 0  # a mesh, then the path with zero weight
    labelled = [k - start for k in _labelled(file, n_kpoints) if k >= start]
    last = n_kpoints - start - 1
    if not labelled or labelled[0] != 0 or labelled[-1] != last:
        raise InputError(
            "not-line-mode",
            f"{file}: no line-mode k-points, and no KPOINTS file beside it that labels the ends of lines;"
            " band structures along lines are needed",
        )
    cuts = [k for before, k in pairwise(labelled) if k == before + 1]
    return slice(start, None), np.array(list(zip([0, *cuts], [*(k - 1 for k in cuts), last], strict=True)), dtype=np.intp)


def _labelled(file: Path, n_kpoints: int) -> list[int]:
    """Which k-points have labels in the ``KPOINTS`` file beside a run."""
    from pymatgen.io.vasp.inputs import Kpoints

    path = kpoints_file(file)
    if path is None:
        return []
    try:
        labels: list[Any] = Kpoints.from_file(path).labels or []
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise InputError("malformed", f"{path}: not a KPOINTS file ({reason_of(error)})") from error
    return [k for k, label in enumerate(labels) if label] if len(labels) == n_kpoints else []


def _n_occupied(n_electrons: float | None) -> int | None:
    """Occupied bands of an insulator of so many electrons; None where they are not known or do not fill bands."""
    if n_electrons is None or abs(n_electrons / 2 - round(n_electrons / 2)) > WHOLE_NUMBER:
        return None
    return round(n_electrons / 2)
