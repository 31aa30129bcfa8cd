"""A few textbook crystals, for measuring an engine where no others are at hand.

Experimental cells at room temperature, as any textbook has them; of 1 to 40 atoms in the primitive cell.
"""

from __future__ import annotations

from typing import NamedTuple

from bandrt.sources import Source

Site = tuple[str, float, float, float]
"""Element and fractional coordinates in the conventional cell."""


class TextbookCrystal(NamedTuple):
    """A crystal as a textbook gives it."""

    name: str
    space_group: str
    """Hermann-Mauguin symbol, with the origin choice where there are two."""
    cell: tuple[float, float, float, float, float, float]
    """a, b, c in Å, alpha, beta, gamma in degrees."""
    sites: tuple[Site, ...]


def _cubic(a: float) -> tuple[float, float, float, float, float, float]:
    return (a, a, a, 90.0, 90.0, 90.0)


TEXTBOOK = (
    TextbookCrystal("Cu", "F m -3 m", _cubic(3.615), (("Cu", 0, 0, 0),)),
    TextbookCrystal("NaCl", "F m -3 m", _cubic(5.640), (("Na", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5))),
    TextbookCrystal("GaAs", "F -4 3 m", _cubic(5.653), (("Ga", 0, 0, 0), ("As", 0.25, 0.25, 0.25))),
    TextbookCrystal("GaN", "P 63 m c", (3.189, 3.189, 5.185, 90, 90, 120), (("Ga", 1 / 3, 2 / 3, 0.0), ("N", 1 / 3, 2 / 3, 0.377))),
    TextbookCrystal("SrTiO3", "P m -3 m", _cubic(3.905), (("Sr", 0, 0, 0), ("Ti", 0.5, 0.5, 0.5), ("O", 0.5, 0.5, 0))),
    TextbookCrystal("TiO2", "P 42/m n m", (4.594, 4.594, 2.959, 90, 90, 90), (("Ti", 0, 0, 0), ("O", 0.305, 0.305, 0))),
    TextbookCrystal("Al2O3", "R -3 c:H", (4.758, 4.758, 12.991, 90, 90, 120), (("Al", 0, 0, 0.352), ("O", 0.306, 0, 0.25))),
    TextbookCrystal(
        "MgAl2O4", "F d -3 m:2", _cubic(8.083), (("Mg", 0.125, 0.125, 0.125), ("Al", 0.5, 0.5, 0.5), ("O", 0.262, 0.262, 0.262))
    ),
    TextbookCrystal(
        "In2O3", "I a -3", _cubic(10.117), (("In", 0.25, 0.25, 0.25), ("In", 0.466, 0, 0.25), ("O", 0.39, 0.154, 0.382))
    ),
)


def sources() -> list[Source]:
    """The textbook crystals, to be read like any file."""
    return [Source(one.name, f"textbook:{one.name}", "cif", cif(one)) for one in TEXTBOOK]


def cif(crystal: TextbookCrystal) -> str:
    """Write a crystal as CIF, its symmetry spelled out."""
    import gemmi

    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    operations = [operation.triplet() for operation in gemmi.SpaceGroup(crystal.space_group).operations()]
    return "\n".join(
        [
            f"data_{crystal.name}",
            *(f"_cell_{name} {value}" for name, value in zip(names, crystal.cell, strict=True)),
            "loop_",
            "_space_group_symop_operation_xyz",
            *(f"'{operation}'" for operation in operations),
            "loop_",
            "_atom_site_label",
            "_atom_site_type_symbol",
            "_atom_site_fract_x",
            "_atom_site_fract_y",
            "_atom_site_fract_z",
            *(f"{s[0]}{i} {s[0]} {s[1]:.6f} {s[2]:.6f} {s[3]:.6f}" for i, s in enumerate(crystal.sites)),
            "",
        ]
    )
