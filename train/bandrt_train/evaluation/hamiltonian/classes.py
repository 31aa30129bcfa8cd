"""Classes of crystals that errors are told apart by."""

from __future__ import annotations

from functools import cache

from bandrt.domain import OPEN_D_SHELL
from bandrt.features import Features
from bandrt.graph.bonded_network import network_warnings
from bandrt_train.evaluation.hamiltonian.cases import Case
from bandrt_train.model.hamiltonian.atoms import LANTHANIDE_ROW
from bandrt_train.tables import element_properties

ALL = "all"
IONIC = 1.7
"""Difference in Pauling's electronegativity between the most unlike elements of an ionic crystal."""
CLASSES = (
    *(ALL, "metals", "non-metals", "s and p elements", "with d elements", "with V to Ni", "with lanthanides"),
    *("elements", "ionic", "layers, chains, molecules", "1 or 2 atoms", "3 or 4 atoms", "5 or more atoms"),
)
"""In the order of tables. Metals are those of the labels."""


def classes_of(case: Case) -> frozenset[str]:
    """The classes that a crystal belongs to."""
    return classes_by(case.features, is_metal=case.targets.is_metal)


def classes_by(features: Features, *, is_metal: bool) -> frozenset[str]:
    """The classes of a crystal of which it is known whether it is a metal.

    Args:
        features: of its standard primitive cell; any path.
        is_metal: by its label.
    """
    crystal = features.crystal
    numbers, n_atoms = set(crystal.atomic_numbers.tolist()), crystal.n_atoms
    lanthanides = numbers & LANTHANIDE_ROW
    with_d = any(3 <= _group(number) <= 12 for number in numbers - lanthanides)
    known = [value for number in numbers if (value := _electronegativity(number)) is not None]
    loose = network_warnings([crystal], [features])[0]
    found = {
        ALL: True,
        "metals": is_metal,
        "non-metals": not is_metal,
        "s and p elements": not with_d and not lanthanides,
        "with d elements": with_d,
        "with V to Ni": bool(numbers & OPEN_D_SHELL),
        "with lanthanides": bool(lanthanides),
        "elements": len(numbers) == 1,
        "ionic": len(known) > 1 and max(known) - min(known) >= IONIC,
        "layers, chains, molecules": bool({"layered", "chain", "molecular"} & set(loose)),
        "1 or 2 atoms": n_atoms <= 2,
        "3 or 4 atoms": 3 <= n_atoms <= 4,
        "5 or more atoms": n_atoms >= 5,
    }
    return frozenset(name for name, belongs in found.items() if belongs)


@cache
def _group(number: int) -> int:
    """0 for lanthanides and actinides."""
    return int(element_properties()[number - 1]["group"] or 0)


@cache
def _electronegativity(number: int) -> float | None:
    text = element_properties()[number - 1]["electronegativity"]
    return float(text) if text else None
