"""From any cell of a crystal to the one standard primitive cell, with its Laue group.

The same crystal gives the same lattice, the same rotations and the same orientation of the atoms (up to an operation of the Laue
group, the order of the atoms and the origin) whatever cell, supercell, rotation, origin or atom order it came in.
`standard_lattice` states how the lattice is chosen. Where that leaves several settings, related by rotations of the lattice
that are no symmetry of the crystal, the atoms decide: the setting with the greatest ``sum_G w(G) |F(G)|^2``, where
``F(G) = sum_i Z_i exp(2 pi i G . x_i)``, over a fixed list of reciprocal vectors with fixed weights. This sum does not depend on
the origin, on the order of the atoms, or on the Laue operation that takes one choice to another.

Crystals are rotated, never mirrored: a chiral crystal keeps its hand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import accumulate, product
from typing import Final

import numpy as np
from moyopy import Cell, HallSymbolEntry, MoyoDataset, SpaceGroupType, operations_from_number
from moyopy import Setting as FinderSetting
from numpy.typing import NDArray

from bandrt.crystal import Crystal
from bandrt.errors import InputError
from bandrt.outcomes import each, only, onward, outcome_of, typed
from bandrt.recipe import SymmetryRecipe
from bandrt.symmetry.prototypes import VOLUME_PER_ATOM, Prototype, prototype_of
from bandrt.symmetry.standard_lattice import Setting, conventional_lattice, primitive_vectors, settings
from bandrt.watch import watched

WRAP_TOLERANCE: Final = 1e-8
"""Fractional: coordinates this little below zero are zero, not almost one."""
SCORE_TOLERANCE: Final = 1e-9
"""Relative: scores closer than this are rounding noise of equal ones."""
PROTOTYPE_SYMPREC: Final = (1e-4, 2e-2)
"""Å: tolerances in this range find the same in all crystals of a prototype: they are far above the noise of a lattice that counts
as cubic, and far below an eighth of a lattice vector."""
LOWEST_FULL_CUBIC: Final = 207
"""The first space group with all rotations of a cubic lattice, so that there is one setting."""

_INTENSITY_VECTORS: Final = np.array([g for g in product(range(-3, 4), repeat=3) if g > (0, 0, 0)])  # (171, 3), G or -G
_PRIMES: Final = [p for p in range(2, 1020) if all(p % q for q in range(2, int(p**0.5) + 1))]
_INTENSITY_WEIGHTS: Final = np.sqrt(_PRIMES)  # (171,) independent over the integers: the same intensities in another order differ


@dataclass(frozen=True, eq=False)
class StandardCell:
    """The standard primitive cell of a crystal and its point symmetry.

    Attributes:
        crystal: the standard primitive cell in its canonical orientation; atoms sorted by atomic number, then by orbit.
        space_group: number, 1 to 230.
        space_group_symbol: short Hermann-Mauguin symbol, e.g. ``Fm-3m``.
        rotations: (n_ops, 3, 3) int64, the Laue group: rotations of the space group with inversion added, acting on columns of
            fractional reciprocal coordinates of `crystal`, ``f' = R @ f``; sorted, so equal groups are equal arrays; read-only.
        orbits: (n_atoms,) int32, the set of symmetry-equivalent atoms that each atom belongs to, 0 to n_orbits - 1.
        basis_change: (3, 3), the standard primitive vectors in the vectors of the cell it came from: up to a rotation and to what
            symmetrising moves, ``crystal.lattice = basis_change @ lattice``; fractional k-points: ``f @ basis_change.T``.
        bravais: Pearson-like symbol: cP, cF, cI, tP, tI, oP, oF, oI, oC, hP, hR, mP, mC or aP.
        conventional: (3, 3), Å, rows: the standard conventional lattice, oriented like `crystal`; hexagonal axes for hR.
        twice_centre: (3,) twice a centre of inversion, fractional, up to lattice vectors; None in space groups without one.
    """

    crystal: Crystal
    space_group: int
    space_group_symbol: str
    rotations: NDArray[np.int64]
    orbits: NDArray[np.int32]
    basis_change: NDArray[np.float64]
    bravais: str
    conventional: NDArray[np.float64]
    twice_centre: NDArray[np.float64] | None = None


def standardize(crystal: Crystal, recipe: SymmetryRecipe = SymmetryRecipe(), *, name: str = "crystal") -> StandardCell:  # noqa: B008
    """Find the space group of a crystal and its standard primitive cell.

    Args:
        crystal: any cell, primitive or not, of either handedness.
        recipe: finder and tolerance.
        name: what to call it in an error, usually the file.

    Raises:
        InputError: ``symmetry-failed``, when no space group is found at this tolerance.
    """
    return only(standardize_many([crystal], recipe, names=[name]))


def standardize_many(
    crystals: Sequence[Crystal | InputError],
    recipe: SymmetryRecipe = SymmetryRecipe(),  # noqa: B008
    *,
    names: Sequence[str],
) -> list[StandardCell | InputError]:
    """Do as `standardize` for each of several crystals; an error is given back in the place of the cell.

    First all are searched and then all are put in standard form: the code of either step stays in the processor's cache. Crystals
    of a cubic prototype have its cell, which is searched once.

    Args:
        crystals: errors among them are given back as they are.
        recipe: finder and tolerance.
        names: what to call each in an error.
    """
    with _finder_silent():
        found = [
            crystal if isinstance(crystal, InputError) else outcome_of(partial(_searched, crystal, recipe, name))
            for crystal, name in watched(zip(crystals, names, strict=True))
        ]
    outcomes = onward(found, lambda passed: each(passed, _completed, "symmetry-failed", "symmetry"))
    return [
        outcome.about(name) if isinstance(outcome, InputError) and outcome is not one else outcome
        for one, outcome, name in zip(found, outcomes, names, strict=True)
    ]


def _searched(crystal: Crystal, recipe: SymmetryRecipe, name: str) -> StandardCell | MoyoDataset:
    """The standard cell of a prototype, or what the finder says.

    Raises:
        InputError: ``symmetry-failed``; the finder is in Rust and may panic.
    """
    with typed("symmetry-failed", name=name, stage="symmetry"):
        return _like_prototype(crystal, recipe) or only([_found(crystal, recipe, name)])


@contextmanager
def _finder_silent() -> Iterator[None]:
    """Keep the finder's warnings from people: it gives one for every supercell, where nothing is wrong."""
    logger = logging.getLogger("moyo")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _completed(found: Sequence[StandardCell | MoyoDataset]) -> list[StandardCell]:
    """Put in standard form what is not yet so."""
    searched = [one for one in found if isinstance(one, MoyoDataset)]
    cells = iter(_standard_cells(searched) if searched else ())
    return [one if isinstance(one, StandardCell) else next(cells) for one in found]


def _like_prototype(crystal: Crystal, recipe: SymmetryRecipe) -> StandardCell | None:
    """The standard cell of a crystal that has a prototype; None if it has none, or one that leaves something to find."""
    if not PROTOTYPE_SYMPREC[0] <= recipe.symprec <= PROTOTYPE_SYMPREC[1]:
        return None
    prototype = prototype_of(crystal)
    cell = prototype and _prototype_cell(prototype, recipe)
    if not cell:
        return None
    scale = (crystal.volume / (VOLUME_PER_ATOM * crystal.n_atoms)) ** (1 / 3)
    elements = np.array(sorted(set(crystal.atomic_numbers.tolist())), dtype=np.int32)
    ranked = cell.crystal
    return replace(
        cell,
        crystal=Crystal.unchecked(ranked.lattice * scale, elements.take(ranked.atomic_numbers - 1), ranked.frac_coords.copy()),
        orbits=cell.orbits.copy(),
        basis_change=cell.basis_change.copy(),
        conventional=cell.conventional * scale,
    )


@lru_cache(maxsize=1024)
def _prototype_cell(prototype: Prototype, recipe: SymmetryRecipe) -> StandardCell | None:
    """The standard cell of the crystal that stands for a prototype; None unless all its crystals have the same, up to scale.

    Below a cubic space group their lattices differ in what is averaged, below m-3m in Laue symmetry their elements decide.
    """
    found = _found(prototype.crystal(), recipe, "prototype")
    return None if isinstance(found, InputError) or found.number < LOWEST_FULL_CUBIC else only(_standard_cells([found]))


def _found(crystal: Crystal, recipe: SymmetryRecipe, name: str) -> MoyoDataset | InputError:
    """What the finder says."""
    try:
        cell = Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.atomic_numbers.tolist())
        return MoyoDataset(cell, symprec=recipe.symprec)
    except ValueError as error:
        return InputError(
            "symmetry-failed",
            f"{name}: no space group found at a tolerance of {recipe.symprec} Å ({error}); are atoms or cells nearly repeated?",
            stage="symmetry",
        )


def _standard_cells(found: Sequence[MoyoDataset]) -> list[StandardCell]:
    """The standard cells of what was found; what each is does not depend on the others."""
    groups = [_space_group(one.hall_number) for one in found]
    primitives = [one.prim_std_cell for one in found]
    finder_lattices = np.array([group.finder_conventional for group in groups]) @ np.array([cell.basis for cell in primitives])
    metrics = finder_lattices @ finder_lattices.transpose(0, 2, 1)  # (n_crystals, 3, 3)
    bases = [
        _bases(one.hall_number, settings(group.number, group.bravais, metric))
        for one, group, metric in zip(found, groups, metrics.tolist(), strict=True)
    ]
    numbers = np.array([number for cell in primitives for number in cell.numbers], dtype=np.int32)  # (n_rows,) of all crystals
    positions = np.array([x for cell in primitives for position in cell.positions for x in position]).reshape(-1, 3)
    n_atoms = [cell.num_atoms for cell in primitives]
    parts = [slice(end - n, end) for n, end in zip(n_atoms, accumulate(n_atoms), strict=True)]
    chosen = [
        0 if len(one.vectors) == 1 else _greatest_intensities(numbers[part], positions[part], one)
        for one, part in zip(bases, parts, strict=True)
    ]

    setting = np.array([one.conventional[i] for one, i in zip(bases, chosen, strict=True)])
    standard_metrics = (setting @ metrics @ setting.transpose(0, 2, 1)).tolist()
    conventional = np.array(
        [conventional_lattice(group.bravais, metric) for group, metric in zip(groups, standard_metrics, strict=True)]
    )
    lattices = np.array([group.primitive for group in groups]) @ conventional
    inverses = np.array([one.inverses[i] for one, i in zip(bases, chosen, strict=True)])
    order, orbits = _sorted_orbits(found, numbers, n_atoms)
    coords = (positions.take(order, axis=0)[..., None] * inverses.repeat(n_atoms, axis=0)).sum(axis=1)  # of rows, not of matrices
    coords -= np.floor(coords + WRAP_TOLERANCE)
    numbers = numbers.take(order)
    vectors = np.array([one.vectors[i] for one, i in zip(bases, chosen, strict=True)])
    basis_changes = vectors @ np.array([one.prim_std_linear for one in found]).transpose(0, 2, 1)
    return [
        StandardCell(
            crystal=Crystal.unchecked(lattices[i], numbers[part], coords[part]),
            space_group=group.number,
            space_group_symbol=group.symbol,
            rotations=group.rotations,
            orbits=orbits[part],
            basis_change=basis_changes[i],
            bravais=group.bravais,
            conventional=conventional[i],
            twice_centre=None if group.twice_centre is None else group.twice_centre @ inverses[i],
        )
        for i, (group, part) in enumerate(zip(groups, parts, strict=True))
    ]


@dataclass(frozen=True, eq=False)
class _SpaceGroup:
    """What depends on the space group alone."""

    number: int
    symbol: str
    bravais: str
    finder_conventional: NDArray[np.float64]  # (3, 3) the finder's conventional vectors in its primitive ones
    primitive: NDArray[np.float64]  # (3, 3) standard primitive vectors in standard conventional ones
    rotations: NDArray[np.int64]  # (n_ops, 3, 3) Laue group, as in StandardCell
    twice_centre: NDArray[np.float64] | None  # (3,) in the finder's primitive vectors, as in StandardCell


@cache
def _space_group(hall_number: int) -> _SpaceGroup:
    entry = HallSymbolEntry(hall_number)
    kind = SpaceGroupType(entry.number)
    bravais = kind.bravais_class.replace("oS", "oC")
    primitive = primitive_vectors(bravais)
    any_setting = settings(entry.number, bravais, np.eye(3).tolist())[0]  # the Laue group is the same in all
    basis = primitive @ np.array(any_setting)  # (3, 3) standard primitive vectors in the finder's conventional ones
    operations = operations_from_number(entry.number, setting=FinderSetting.hall_number(hall_number))
    # W on columns of real-space coordinates is inv(W).T on reciprocal ones, which `basis` itself changes
    laue = {
        tuple(np.rint(sign * basis @ np.linalg.inv(rotation).T @ np.linalg.inv(basis)).astype(int).ravel().tolist())
        for rotation in operations.rotations
        for sign in (1, -1)
    }
    rotations = np.array(sorted(laue), dtype=np.int64).reshape(-1, 3, 3)
    rotations.flags.writeable = False
    finder_conventional = np.array(entry.centering.linear, dtype=np.float64).T
    pairs = zip(operations.rotations, operations.translations, strict=True)
    inversion = next((translation for rotation, translation in pairs if (np.array(rotation) == -np.eye(3)).all()), None)
    return _SpaceGroup(
        number=entry.number,
        symbol=entry.hm_short.replace(" ", ""),
        bravais=bravais,
        finder_conventional=finder_conventional,
        primitive=primitive,
        rotations=rotations,
        twice_centre=None if inversion is None else np.array(inversion, dtype=np.float64) @ finder_conventional,
    )


@dataclass(frozen=True, eq=False)
class _Bases:
    """Candidate standard bases, one per setting, and what comparing their intensities takes."""

    conventional: NDArray[np.float64]  # (n_settings, 3, 3) the settings
    vectors: NDArray[np.float64]  # (n_settings, 3, 3) standard primitive vectors in the finder's primitive ones
    inverses: NDArray[np.float64]  # (n_settings, 3, 3)
    reciprocal: NDArray[np.float64]  # (3, n_distinct) reciprocal vectors in the reciprocal of the finder's primitive vectors
    positions: NDArray[np.int64]  # (n_settings, n_intensities) where each setting's list of reciprocal vectors lies in `reciprocal`


@lru_cache(maxsize=4096)
def _bases(hall_number: int, candidates: tuple[Setting, ...]) -> _Bases:
    group = _space_group(hall_number)
    conventional = np.array(candidates, dtype=np.float64)
    vectors = np.rint(group.primitive @ conventional @ group.finder_conventional)
    inverses = np.rint(np.linalg.inv(vectors))
    reciprocal = np.einsum("sij,gj->sgi", inverses, _INTENSITY_VECTORS)  # G . x_standard = (inverse @ G) . x_finder
    flat = reciprocal.reshape(-1, 3)
    leading = flat[np.arange(len(flat)), (flat != 0).argmax(axis=1)]
    distinct, positions = np.unique(flat * np.sign(leading)[:, None], axis=0, return_inverse=True)
    return _Bases(conventional, vectors, inverses, distinct.T.copy(), positions.reshape(len(candidates), -1))


def _greatest_intensities(numbers: NDArray[np.int32], positions: NDArray[np.float64], bases: _Bases) -> int:
    """Choose the setting with the greatest weighted sum of intensities, the first of equal ones."""
    phases = (2 * np.pi) * (positions @ bases.reciprocal)  # (n_atoms, n_distinct)
    weights = numbers.astype(np.float64)
    intensities = (weights @ np.cos(phases)) ** 2 + (weights @ np.sin(phases)) ** 2
    scores = intensities[bases.positions] @ _INTENSITY_WEIGHTS
    return int(np.argmax(scores >= scores.max() * (1 - SCORE_TOLERANCE)))


def _sorted_orbits(
    found: Sequence[MoyoDataset], numbers: NDArray[np.int32], n_atoms: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Order the atoms of each primitive cell by atomic number, then by orbit, and number its orbits in that order.

    Args:
        found: the crystals.
        numbers: (n_rows,) atomic numbers in the finder's primitive cells, one after the other.
        n_atoms: how many atoms each cell has.

    Returns:
        (n_rows,) the row that comes to each place, and (n_rows,) the orbits of the atoms in that order.
    """
    equivalent = [0] * len(numbers)  # of each atom, the row of one that it is equivalent to
    start = 0
    for one, n in zip(found, n_atoms, strict=True):
        mapping = one.mapping_std_prim  # for each input atom, its atom in the primitive cell
        for atom, orbit in zip(mapping, one.orbits, strict=True):
            equivalent[start + atom] = start + mapping[orbit]
        start += n
    sizes, representative = np.array(n_atoms), np.array(equivalent)
    order = np.lexsort((representative, numbers, np.arange(len(sizes)).repeat(sizes)))
    representative = representative.take(order)
    begins = np.ones(len(order), dtype=np.int32)
    begins[1:] = representative[1:] != representative[:-1]
    orbits = begins.cumsum(dtype=np.int32)
    return order, orbits - orbits.take(sizes.cumsum() - sizes).repeat(sizes)
