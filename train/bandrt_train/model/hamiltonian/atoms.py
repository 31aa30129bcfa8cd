"""What is known of free atoms: the energies of their orbitals, levels that do not hop, electrons, radii.

Every atom has nine orbitals that hop, s, p and d, whether or not they hold an electron. Deeper shells are flat levels: they count
electrons, and now and then they are one of the bands around the Fermi level.

Lanthanides are trivalent and keep their 4f electrons in the core, as in the pseudopotentials that the Materials Project computes
them with; Ce, Eu and Yb have a valence of their own. There is no f shell. Actinides are counted as the table of free atoms has
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.graph.radii import MEAN_RADII
from bandrt_train.model.node_features import N_SPECIES
from bandrt_train.tables import atomic_levels, element_properties

SHELLS = ("s", "p", "d")
"""The shells that hop."""
SHELL_OF_ORBITAL = (0, 1, 1, 1, 2, 2, 2, 2, 2)
"""Which shell each orbital of an atom belongs to: s; x, y, z; xy, yz, xz, x2-y2, 3z2-r2."""
N_ORBITALS = len(SHELL_OF_ORBITAL)
FLAT_KINDS = ("inner_s", "inner_p", "filled_d")
"""The shells that do not hop."""
KIND_OF_FLAT_LEVEL = (0, 1, 1, 1, 2, 2, 2, 2, 2)
"""Which of them each flat level of an atom belongs to."""
LANTHANUM, LUTETIUM = 57, 71
LANTHANIDES = range(58, 71)
"""Ce to Yb. La and Lu have an empty and a filled 4f shell anyway."""
LANTHANIDE_ROW = frozenset({LANTHANUM, *LANTHANIDES, LUTETIUM})
"""With La and Lu."""
LANTHANIDE_VALENCE = {58: 4, 63: 2, 70: 2}
"""Of Ce, Eu and Yb; the others have three electrons outside the core."""
DEEP_D_EV = 5.0
"""A d shell of a p-block element that lies further below the p shell than this (Ga, In, Pb) is flat, and filled."""
ZINC = 30
USUAL_S_EV, USUAL_D_EV, P_ABOVE_S_EV, NEXT_D_EV = -5.0, 3.0, 3.0, 3.0
"""Where orbitals start from that the table of free atoms does not have, the last where a d shell is flat: all of them are moved."""


class AtomicData(NamedTuple):
    """Rows by atomic number; row 0 is unused."""

    level: NDArray[np.float64]
    """(119, 3) eV relative to the vacuum, of `SHELLS`."""
    flat_level: NDArray[np.float64]
    """(119, 9) eV, of `KIND_OF_FLAT_LEVEL`; NaN where an element has none."""
    electrons: NDArray[np.float64]
    """(119,) of the neutral atom, in its orbitals and flat levels."""
    radius: NDArray[np.float64]
    """(119,) Å, covalent."""


@cache
def atomic_data() -> AtomicData:
    """Read the tables."""
    level, flat = np.zeros((N_SPECIES, len(SHELLS))), np.full((N_SPECIES, len(KIND_OF_FLAT_LEVEL)), np.nan)
    electrons = np.zeros(N_SPECIES)
    free = {int(row["atomic_number"]): row for row in atomic_levels()}
    for element in element_properties():
        number = int(element["atomic_number"])
        known = {name: _number(text) for name, text in free[number].items() if name != "symbol"} if number in free else {}
        level[number], flat[number] = _levels(known, number, element["block"])
        n_flat = int(np.isfinite(flat[number]).sum())
        electrons[number] = _electrons(number, int(element["group"] or 0), n_flat, known.get("electrons", 0.0))
    for number in LANTHANIDES:  # their empty 5d lies between that of La and that of Lu
        share = (number - LANTHANUM) / (LUTETIUM - LANTHANUM)
        level[number, 2] = (1.0 - share) * level[LANTHANUM, 2] + share * level[LUTETIUM, 2]
    return AtomicData(level, flat, electrons, MEAN_RADII)


def _number(text: str) -> float:
    return float(text) if text else np.nan


def _or(value: float, otherwise: float) -> float:
    return otherwise if np.isnan(value) else value


def _levels(known: Mapping[str, float], number: int, block: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energies of s, p and d, (3,), and of the flat levels, (9,), eV."""
    flat = np.array([known.get("inner_s", np.nan), *3 * [known.get("inner_p", np.nan)], *5 * [np.nan]])
    s = _or(known.get("s", np.nan), USUAL_S_EV)
    p, d = _or(known.get("p", np.nan), s + P_ABOVE_S_EV), _or(known.get("d", np.nan), USUAL_D_EV)
    if block == "p" and number > ZINC and d < p - DEEP_D_EV:
        flat[4:], d = d, NEXT_D_EV
    return np.array([s, p, d]), flat


def _electrons(number: int, group: int, n_flat: int, tabulated: float) -> float:
    """Electrons of the neutral atom: two in each flat level, and those that its group has outside of them."""
    if number in LANTHANIDES:
        return 2.0 * n_flat + LANTHANIDE_VALENCE.get(number, 3)
    if group == 0:
        return tabulated
    if number <= 2:
        return float(number)
    return 2.0 * n_flat + (group if group <= 12 else group - 10)
