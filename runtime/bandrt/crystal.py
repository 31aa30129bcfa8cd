"""The crystal: the one noun that every reader makes and every later step speaks."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_kind
from bandrt.elements import FORMULA_ORDER, MAX_ATOMIC_NUMBER, SYMBOLS
from bandrt.errors import InputError
from bandrt.limits import check_n_atoms, check_numbers, check_volume
from bandrt.overlaps import overlap_of
from bandrt.quoting import counted, quoted, shortened

MIN_VOLUME_PER_ATOM = 0.5
"""Å^3: a cell with less is a wrong unit or a wrong file (metallic hydrogen at 400 GPa has 1.3)."""
_ELEMENTS = frozenset(range(1, MAX_ATOMIC_NUMBER + 1))


@dataclass(frozen=True, eq=False)
class Crystal:
    """A periodic arrangement of fully occupied sites.

    Convention, stated here once: lattice vectors are the **rows** of `lattice`, in Å; a Cartesian position is
    ``frac_coords @ lattice``; the reciprocal lattice has its vectors in rows too and includes 2 pi, so that
    ``lattice @ reciprocal.T == 2 pi I``; a k-point in fractional coordinates f is ``f @ reciprocal`` in 1/Å.

    Attributes:
        lattice: (3, 3) float64, Å, rows.
        atomic_numbers: (n_atoms,) int32, 1 to 118.
        frac_coords: (n_atoms, 3) float64, any lattice image.
        notes: warnings of what was left out or taken for granted when it was read, e.g. ``moments-dropped:Mn1``; they become
            those of its prediction.
    """

    lattice: NDArray[np.float64]
    atomic_numbers: NDArray[np.int32]
    frac_coords: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make arrays of array-likes, and refuse what cannot be a crystal; whether atoms overlap is for `checked` to say.

        Raises:
            InputError: ``no-atoms``, ``unknown-species``, ``bad-lattice`` or ``bad-coordinates``.
        """
        cell, numbers, coords = _arrays(self.lattice, self.atomic_numbers, self.frac_coords, "crystal")
        _filled(self, lattice=cell, atomic_numbers=numbers, frac_coords=coords)

    def __repr__(self) -> str:
        return f"Crystal({shortened(self.formula)}, {counted(self.n_atoms, 'atom')}, {self.volume:.1f} Å^3)"

    @classmethod
    def unchecked(
        cls, lattice: NDArray[np.float64], atomic_numbers: NDArray[np.int32], frac_coords: NDArray[np.float64]
    ) -> Crystal:
        """A crystal of arrays that this program computed, in the types and shapes of the attributes."""
        return _filled(cls.__new__(cls), lattice=lattice, atomic_numbers=atomic_numbers, frac_coords=frac_coords)

    @classmethod
    def checked(cls, lattice: Any, atomic_numbers: Any, frac_coords: Any, *, name: str = "crystal") -> Crystal:
        """Build a crystal from array-likes, refusing what cannot be one, atoms that lie on each other among them.

        Args:
            lattice: (3, 3), Å, rows.
            atomic_numbers: (n_atoms,).
            frac_coords: (n_atoms, 3).
            name: what to call it in an error, usually the file.

        Raises:
            InputError: ``no-atoms``, ``unknown-species``, ``bad-lattice``, ``bad-coordinates``, ``overlapping-atoms``, or what is
                beyond `bandrt.limits`: ``too-many-atoms``, ``lattice-too-large``, ``coordinate-too-large``.
            ArgumentError: ``bad-argument`` for a name that is no text.
        """
        check_kind("name", name, str)
        cell, numbers, coords = _arrays(lattice, atomic_numbers, frac_coords, name)
        faces, signed_volume = cofactors(cell)
        overlap = overlap_of(cell, abs(signed_volume) / max(math.hypot(*face) for face in faces), numbers, coords)
        if overlap is not None:
            first, second = (f"{place + 1} ({SYMBOLS[numbers[place]]})" for place in (overlap.first, overlap.second))
            pair = f"atoms {first} and {second} are" if first != second else f"atom {first} and its own image are"
            raise InputError(
                "overlapping-atoms", f"{name}: {pair} {overlap.distance:.3f} Å apart, at least {overlap.allowed} Å is needed"
            )
        return cls.unchecked(cell, numbers, coords)

    def with_notes(self, notes: tuple[str, ...]) -> Crystal:
        """The same crystal with these warnings."""
        if notes == self.notes:
            return self
        return _filled(copy(self), notes=notes)

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.atomic_numbers)

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """Reciprocal lattice, (3, 3), rows, 1/Å, 2 pi included."""
        faces, volume = cofactors(self.lattice)
        return np.array(faces) * (2.0 * np.pi / volume)

    @property
    def volume(self) -> float:
        """Cell volume in Å^3."""
        return abs(cofactors(self.lattice)[1])

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbol of each atom."""
        return tuple(SYMBOLS[z] for z in self.atomic_numbers)

    @property
    def formula(self) -> str:
        """Reduced formula as chemists write it, least electronegative element first, e.g. ``SrTiO3``."""
        return formula_of(self.atomic_numbers)

    @property
    def hill_formula(self) -> str:
        """Reduced formula in Hill order (carbon, hydrogen, then alphabetical), e.g. ``O3SrTi``: a key that stays."""
        amounts = _reduced_amounts(self.atomic_numbers)
        first = [s for s in ("C", "H") if "C" in amounts and s in amounts]
        return _written(amounts, first + sorted(set(amounts) - set(first)))


def formula_of(atomic_numbers: NDArray[np.int32]) -> str:
    """Reduced formula of a cell with these atoms, (n_atoms,), see `Crystal.formula`."""
    amounts = _reduced_amounts(atomic_numbers)
    return _written(amounts, sorted(amounts, key=FORMULA_ORDER.__getitem__))


def _reduced_amounts(atomic_numbers: NDArray[np.int32]) -> dict[str, int]:
    """Smallest whole numbers of atoms of each element."""
    numbers = atomic_numbers.tolist()
    counts = {z: numbers.count(z) for z in dict.fromkeys(numbers)}
    divisor = math.gcd(*counts.values())
    return {SYMBOLS[z]: count // divisor for z, count in counts.items()}


def _filled(new: Crystal, **fields: Any) -> Crystal:
    """A crystal that is being made, with values in its fields; afterwards none is changed."""
    for name, value in fields.items():
        object.__setattr__(new, name, value)
    return new


def _arrays(
    lattice: Any, atomic_numbers: Any, frac_coords: Any, name: str
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """The arrays of a crystal, new ones, of array-likes.

    Raises:
        InputError: ``no-atoms``, ``unknown-species``, ``bad-lattice``, ``bad-coordinates``, or what is beyond `bandrt.limits`.
    """
    cell = _floats(lattice, "bad-lattice", "the lattice", name)
    numbers = _whole_numbers(atomic_numbers, name)
    coords = _floats(frac_coords, "bad-coordinates", "positions", name)
    if len(numbers) == 0:
        raise InputError("no-atoms", f"{name}: holds no atoms")
    if cell.shape != (3, 3):
        raise InputError("bad-lattice", f"{name}: a lattice of shape {cell.shape}; (3, 3) is needed, vectors in rows, in Å")
    if coords.ndim != 2 or coords.shape[1] != 3:
        raise InputError("bad-coordinates", f"{name}: positions of shape {coords.shape}; ({len(numbers)}, 3) is needed")
    if len(numbers) != len(coords):
        raise InputError("bad-coordinates", f"{name}: {len(numbers)} species but {len(coords)} positions")
    check_n_atoms(len(numbers), name=name)
    check_numbers(cell, coords, name=name)
    volume = abs(cofactors(cell)[1])
    if not MIN_VOLUME_PER_ATOM * len(numbers) <= volume < math.inf:  # neither for a vector that is inf or nan
        raise InputError(
            "bad-lattice",
            f"{name}: cell volume {volume:.3g} Å^3 for {len(numbers)} atoms, at least {MIN_VOLUME_PER_ATOM} Å^3 per atom is needed",
        )
    check_volume(volume, len(numbers), name=name)
    return cell, numbers, coords


def _floats(values: Any, code: str, what: str, name: str) -> NDArray[np.float64]:
    """Values as a new array of numbers.

    Raises:
        InputError: with this code, for what is none.
    """
    try:
        given = np.asarray(values)
        if given.dtype.kind in "iufOUS":  # of dates, yes and no, and complex numbers NumPy makes some, too
            return np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(code, f"{name}: {what} cannot be read as numbers: {shortened(str(error))}") from None
    raise InputError(code, f"{name}: {what} cannot be read as numbers: {quoted(values)}")


def _whole_numbers(values: Any, name: str) -> NDArray[np.int32]:
    """Atomic numbers as a new array, (n_atoms,).

    Raises:
        InputError: ``unknown-species`` for what is none, such as symbols.
    """
    try:
        numbers = np.array(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("unknown-species", f"{name}: atomic numbers cannot be read as numbers: {shortened(str(error))}") from None
    if numbers.ndim != 1:
        raise InputError("unknown-species", f"{name}: atomic numbers of shape {numbers.shape}; (n_atoms,) is needed")
    if len(numbers) and numbers.dtype.kind not in "iuf":
        raise InputError(
            "unknown-species", f"{name}: {quoted(numbers.tolist()[0])} is no atomic number; whole numbers are needed, 11 for Na"
        )
    if not _ELEMENTS.issuperset(numbers.tolist()):
        wrong = numbers[~((numbers >= 1) & (numbers <= MAX_ATOMIC_NUMBER) & (numbers % 1 == 0))][0]
        raise InputError("unknown-species", f"{name}: atomic number {wrong} is not an element (1 to {MAX_ATOMIC_NUMBER})")
    return numbers.astype(np.int32, copy=False)


def cofactors(lattice: NDArray[np.float64]) -> tuple[list[list[float]], float]:
    """The vector products b x c, c x a and a x b of the rows, in Å^2, and their signed volume in Å^3.

    Written out, which for one matrix is several times faster than a factorisation.
    """
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = lattice.tolist()
    bc = [by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx]
    ca = [cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax]
    ab = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]
    return [bc, ca, ab], ax * bc[0] + ay * bc[1] + az * bc[2]


def metric_difference(metric: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """How far scalar products of lattice vectors are from those of others, each as a share of the product of the two lengths.

    Twice the relative difference of a length, and about that of an angle in radians. The longest vector does not decide alone, so
    that the short ones of a slab or a layer count.

    Args:
        metric: (3, 3) scalar products, Å^2.
        others: (..., 3, 3) of others.

    Returns:
        The largest of all.
    """
    lengths = np.sqrt(np.diagonal(metric))
    return float((np.abs(others - metric) / np.outer(lengths, lengths)).max())


def _written(amounts: dict[str, int], order: list[str]) -> str:
    return "".join(s + (str(amounts[s]) if amounts[s] > 1 else "") for s in order)
