"""Crystals that nobody has made, for the engine `accurate` to label: ``python tools/varied_crystals.py TABLE... -o OUT.csv.gz``.

Of crystals of the tables (``material_id``, ``cif``) with few atoms, elements are exchanged for others of their column of the
periodic table, or with ``--any`` for any others, all atoms of an element alike, so that the crystal keeps its symmetry; the cell is
scaled with the covalent radii and, by chance, a little more. Within a column electrons stay as many, so that most crystals made of
non-metals (``--non-metals``: ``band_gap_pbe_ev`` above zero) are non-metals, too. What comes out has ``material_id`` and ``cif``,
and is decided by the tables and the seed alone.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from bandrt.crystal import Crystal
from bandrt.elements import ATOMIC_NUMBERS
from bandrt.errors import InputError
from bandrt.files import replaced
from bandrt.readers.cif import read_cif
from bandrt.screening.cif import cif_text
from bandrt.sources.tables import csv_records
from bandrt_train.tables import element_properties

COLUMNS = (
    "Li Na K Rb Cs",
    "Be Mg Ca Sr Ba",
    "Sc Y La Pr Nd Sm Gd Tb Dy Ho Er Tm Lu",
    "Ti Zr Hf",
    "Nb Ta",
    "Mo W",
    "Re",
    "Ru Os",
    "Rh Ir",
    "Pd Pt",
    "Cu Ag Au",
    "Zn Cd Hg",
    "B Al Ga In Tl",
    "C Si Ge Sn Pb",
    "N P As Sb Bi",
    "O S Se Te",
    "H",
    "F Cl Br I",
)
"""Elements that take each other's place; all have labelled bands."""
OTHERS = {symbol: column.split() for column in COLUMNS for symbol in column.split()}
ANY = {symbol: list(OTHERS) for symbol in OTHERS}
STRETCH = 0.01
"""Standard deviation of a length beyond what radii say."""


@click.command()
@click.argument("tables", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path))
@click.option("--min-atoms", default=1, show_default=True)
@click.option("--max-atoms", default=8, show_default=True)
@click.option("--every", default=1, show_default=True, help="Take every so many of the crystals that fit.")
@click.option("--copies", default=1, show_default=True, help="Of each crystal.")
@click.option("--non-metals", is_flag=True, help="Take crystals that have a gap in their table, no others.")
@click.option("--any", "any_element", is_flag=True, help="Exchange elements for those of any column.")
@click.option("--seed", default=0, show_default=True)
def main(
    tables: tuple[Path, ...],
    out: Path,
    min_atoms: int,
    max_atoms: int,
    every: int,
    copies: int,
    non_metals: bool,
    any_element: bool,
    seed: int,
) -> None:
    """Write the table."""
    radii = covalent_radii()
    others = ANY if any_element else OTHERS
    draw = np.random.default_rng(seed)
    fitting = written = too_small = 0
    with crystal_table(out) as write:
        for table in tables:
            with gzip.open(table, "rt", encoding="utf-8", newline="") as stream:
                for row in csv_records(stream)[1]:
                    if non_metals and not float(row["band_gap_pbe_ev"]) > 0.0:
                        continue
                    try:
                        crystal = read_cif(row["cif"], name=row["material_id"])
                    except InputError:
                        continue
                    symbols = set(crystal.symbols)
                    if not min_atoms <= crystal.n_atoms <= max_atoms or not symbols <= OTHERS.keys():
                        continue
                    fitting += 1
                    if fitting % every:
                        continue
                    for copy in range(copies):
                        try:
                            made = varied(crystal, others, radii, draw)
                        except InputError:  # hardly any volume for an atom
                            too_small += 1
                            continue
                        write(f"{row['material_id']}-{seed}.{copy}", cif_text(made, name=row["material_id"]))
                        written += 1
    click.echo(f"{written} crystals{f', {too_small} with too small a cell left out' if too_small else ''}")


def covalent_radii() -> dict[str, float]:
    """Those of the elements that have one, Å."""
    return {row["symbol"]: float(row["covalent_radius"]) for row in element_properties() if row["covalent_radius"]}


@contextmanager
def crystal_table(out: Path) -> Iterator[Callable[[str, str], None]]:
    """A packed table to which crystals are written by ``material_id`` and ``cif``; the same bytes of the same crystals."""
    with replaced(out, "wb") as file, gzip.GzipFile("", fileobj=file, mode="wb", mtime=0) as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("material_id", "cif"))
        yield lambda id, cif: rows.writerow((id, cif))
        text.flush()


def varied(crystal: Crystal, others: dict[str, list[str]], radii: dict[str, float], draw: np.random.Generator) -> Crystal:
    """Exchange the elements of a crystal and scale its cell; different elements stay different."""
    before = crystal.symbols
    chosen: dict[str, str] = {}
    for symbol in dict.fromkeys(before):
        left = [other for other in others[symbol] if other not in chosen.values()]
        chosen[symbol] = str(draw.choice(left)) if left else symbol
    after = [chosen[symbol] for symbol in before]
    scale = (
        sum(radii[symbol] for symbol in after) / sum(radii[symbol] for symbol in before) * (1.0 + STRETCH * draw.standard_normal())
    )
    numbers = np.array([ATOMIC_NUMBERS[symbol] for symbol in after], dtype=np.int32)
    return Crystal(crystal.lattice * scale, numbers, crystal.frac_coords)


if __name__ == "__main__":
    main()
