"""Elements, and elements with a little of others, for `accurate` to label: ``python -m tools.elemental_crystals -o OUT.csv.gz``.

Tables of gaps have hardly any elements. Here each takes the structures in which elements are found, as they are and with
atoms of small supercells exchanged, half of them for neighbours in the periodic table, others for any. Nearest neighbours are as
far apart as the covalent radii say, but for chance. What is made of elements of which bands are never learned, since the formula is
held out (carbon is one), comes several times as often: of their bonds other crystals say little. With ``--isoelectronic`` electrons
stay as many: atoms are exchanged for others of their column, or two of them for one of each column beside it, carbon for boron and
nitrogen, so that insulators stay insulators. What comes out has ``material_id`` and ``cif``, and is decided by the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from tools.varied_crystals import COLUMNS, OTHERS, covalent_radii, crystal_table

from bandrt.crystal import Crystal
from bandrt.elements import ATOMIC_NUMBERS
from bandrt.screening.cif import cif_text
from bandrt_train.data.dataset import SplitRule


class Prototype(NamedTuple):
    """A structure in which elements are found, up to its size."""

    name: str
    space_group: str
    axes: tuple[float, float, float]
    """Of the conventional cell, as lengths over the first."""
    angle: float
    """Between the first two axes, degrees; the others are right angles."""
    sites: tuple[tuple[float, float, float], ...]


PROTOTYPES = (
    Prototype("fcc", "Fm-3m", (1, 1, 1), 90, ((0, 0, 0),)),
    Prototype("bcc", "Im-3m", (1, 1, 1), 90, ((0, 0, 0),)),
    Prototype("simple-cubic", "Pm-3m", (1, 1, 1), 90, ((0, 0, 0),)),
    Prototype("diamond", "Fd-3m", (1, 1, 1), 90, ((0, 0, 0),)),
    Prototype("hcp", "P6_3/mmc", (1, 1, 1.62), 120, ((1 / 3, 2 / 3, 1 / 4),)),
    Prototype("double-hcp", "P6_3/mmc", (1, 1, 3.23), 120, ((0, 0, 0), (1 / 3, 2 / 3, 1 / 4))),
    Prototype("graphite", "P6_3/mmc", (1, 1, 2.72), 120, ((0, 0, 1 / 4), (1 / 3, 2 / 3, 1 / 4))),
    Prototype("stacked-honeycombs", "P6/mmm", (1, 1, 1.4), 120, ((1 / 3, 2 / 3, 0),)),
    Prototype("lonsdaleite", "P6_3/mmc", (1, 1, 1.65), 120, ((1 / 3, 2 / 3, 0.0625),)),
    Prototype("omega", "P6/mmm", (1, 1, 0.62), 120, ((0, 0, 0), (1 / 3, 2 / 3, 1 / 2))),
    Prototype("arsenic", "R-3m", (1, 1, 2.8), 120, ((0, 0, 0.227),)),
    Prototype("white-tin", "I4_1/amd", (1, 1, 0.546), 90, ((0, 0, 0),)),
    Prototype("indium", "I4/mmm", (1, 1, 1.52), 90, ((0, 0, 0),)),
    Prototype("gallium", "Cmce", (1, 1.695, 1.002), 90, ((0, 0.155, 0.081),)),
    Prototype("black-phosphorus", "Cmce", (1, 3.166, 1.323), 90, ((0, 0.102, 0.081),)),
    Prototype("iodine", "Cmce", (1, 0.65, 1.37), 90, ((0, 0.154, 0.117),)),
    Prototype("selenium", "P3_121", (1, 1, 1.134), 120, ((0.225, 0, 1 / 3),)),
)
"""Their ratios and places are those of the element that the name or the structure is known from, rounded."""
HOSTS = tuple(symbol for symbol in OTHERS if symbol != "H")
BY_ELECTRONS = ("Zn Cd Hg", "B Al Ga In Tl", "C Si Ge Sn Pb", "N P As Sb Bi", "O S Se Te", "F Cl Br I")
"""Elements with two electrons in s and p shells, three, and so on."""
ALIKE, ALIKE_IN_COLUMN = 1.5, 1.7
"""Times, by which radii of elements differ at most that are exchanged here."""
MAX_ATOMS = 8
"""Of a supercell."""
SUPERCELLS = ((1, 1, 2), (1, 1, 3), (1, 2, 2), (1, 1, 4), (2, 2, 2), (1, 1, 6), (1, 2, 3), (1, 1, 8), (1, 2, 4))
STRETCH, STRAIN = 0.03, 0.04
"""Standard deviations of the size and, where a structure leaves it free, of the third axis, as shares."""
HELD_OUT_COPIES = 8
"""How often what is made of elements of held-out formulas comes, where others come once."""


@click.command()
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path))
@click.option("--copies", default=2, show_default=True, help="Of each element in each structure, pure ones and as many mixed.")
@click.option("--isoelectronic", is_flag=True, help="Mix those alone that keep the number of electrons, and make no pure ones.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, copies: int, isoelectronic: bool, seed: int) -> None:
    """Write the table."""
    radii = covalent_radii()
    draw = np.random.default_rng(seed)
    written = 0
    with crystal_table(out) as write:
        for prototype in PROTOTYPES:
            for symbol in HOSTS:
                times = copies * (HELD_OUT_COPIES if is_held_out(symbol) else 1)
                made = [] if isoelectronic else [pure(prototype, symbol, radii, draw) for _ in range(copies)]
                made += [mixed(prototype, symbol, radii, draw, isoelectronic=isoelectronic) for _ in range(times)]
                for number, crystal in enumerate(made):
                    name = f"{prototype.name}-{symbol}-{seed}.{number}"
                    write(name, cif_text(crystal, name=name))
                written += len(made)
    click.echo(f"{written} crystals")


def is_held_out(symbol: str) -> bool:
    """Whether the bands of an element are never learned."""
    return SplitRule().split(Structure(np.eye(3), [symbol], [[0, 0, 0]]).reduced_formula) != "train"


def pure(prototype: Prototype, symbol: str, radii: dict[str, float], draw: np.random.Generator) -> Crystal:
    """An element in a structure."""
    cell = primitive(prototype, draw)
    return sized(cell, [symbol] * len(cell), radii, draw)


def mixed(
    prototype: Prototype, symbol: str, radii: dict[str, float], draw: np.random.Generator, *, isoelectronic: bool = False
) -> Crystal:
    """An element in a structure with at most half of its atoms exchanged, in a cell of two to `MAX_ATOMS` atoms if one fits."""
    cell = primitive(prototype, draw)
    fitting = [(1, 1, 1), *SUPERCELLS] if len(cell) > 1 else SUPERCELLS
    shapes = [shape for shape in fitting if np.prod(shape) * len(cell) <= MAX_ATOMS]
    cell = cell.make_supercell(draw.permutation(shapes[draw.integers(len(shapes))]))
    symbols = [symbol] * len(cell)
    kinds = [guest(symbol, radii, draw) for _ in range(1 + int(draw.random() < 0.3))]
    n_guests = int(draw.integers(1, max(len(cell) // 2, 1) + 1))
    guests = alike(symbol, n_guests, radii, draw) if isoelectronic else [kinds[n % len(kinds)] for n in range(n_guests)]
    for place, other in zip(draw.choice(len(cell), len(guests), replace=False), guests, strict=True):
        symbols[place] = other
    return sized(cell, symbols, radii, draw)


def guest(symbol: str, radii: dict[str, float], draw: np.random.Generator) -> str:
    """Another element of about the same size: of the same column of the periodic table or one beside it, or, as often, of any."""
    similar = of_size(symbol, HOSTS, radii, ALIKE)
    column = next(number for number, column in enumerate(COLUMNS) if symbol in column.split())
    near = [other for other in similar if any(other in one.split() for one in COLUMNS[max(column - 1, 0) : column + 2])]
    return str(draw.choice(near if near and draw.random() < 0.5 else similar))


def alike(symbol: str, n: int, radii: dict[str, float], draw: np.random.Generator) -> list[str]:
    """Up to n atoms that bring as many electrons as those whose places they take; any if there are none of the same size."""
    with_electrons = [column.split() for column in BY_ELECTRONS]
    number = next((number for number, column in enumerate(with_electrons) if symbol in column), 0)
    if n > 1 and 0 < number < len(with_electrons) - 1 and draw.random() < 0.5:
        fewer, more = (of_size(symbol, with_electrons[number + step], radii, ALIKE) for step in (-1, 1))
        if fewer and more:
            return [str(draw.choice(fewer)), str(draw.choice(more))] * (n // 2)
    same = of_size(symbol, OTHERS[symbol], radii, ALIKE_IN_COLUMN)
    return [str(draw.choice(same))] * n if same else [guest(symbol, radii, draw)] * n


def of_size(symbol: str, others: Sequence[str], radii: dict[str, float], times: float) -> list[str]:
    """Those elements whose radii are less than so many times larger or smaller than that of one, without it."""
    return [other for other in others if other != symbol and 1.0 / times < radii[other] / radii[symbol] < times]


def primitive(prototype: Prototype, draw: np.random.Generator) -> Structure:
    """The primitive cell of a structure, its third axis as it may be if the symmetry leaves it free."""
    cell = as_known(prototype).copy()
    if len(set(prototype.axes)) > 1:
        longer = np.diag([1.0, 1.0, np.exp(STRAIN * draw.standard_normal())])  # the third axis is along z
        cell = Structure(Lattice(cell.lattice.matrix @ longer), cell.species, cell.frac_coords)
    return cell


@cache
def as_known(prototype: Prototype) -> Structure:
    """The primitive cell of a structure, a hundred times as long: what counts as the same place is measured in Å."""
    lattice = Lattice.from_parameters(*(100.0 * np.array(prototype.axes)), 90, 90, prototype.angle)
    sites = [list(site) for site in prototype.sites]
    return Structure.from_spacegroup(prototype.space_group, lattice, ["H"] * len(sites), sites).get_primitive_structure()


def sized(cell: Structure, symbols: list[str], radii: dict[str, float], draw: np.random.Generator) -> Crystal:
    """Elements in the places of a cell, whose nearest atoms come as close as two radii, on average, and chance say."""
    mean = sum(radii[symbol] for symbol in symbols) / len(symbols)
    scale = 2.0 * mean / nearest(cell) * (1.0 + STRETCH * draw.standard_normal())
    numbers = np.array([ATOMIC_NUMBERS[symbol] for symbol in symbols], dtype=np.int32)
    return Crystal(np.array(cell.lattice.matrix * scale), numbers, np.array(cell.frac_coords))


def nearest(cell: Structure) -> float:
    """The least distance between atoms, in the length of the cell."""
    distances: NDArray[np.float64] = cell.distance_matrix[~np.eye(len(cell), dtype=bool)]
    return float(min([*cell.lattice.get_niggli_reduced_lattice().abc, *distances.tolist()]))


if __name__ == "__main__":
    main()
