"""Net charges, which bands here know nothing of: the warning that a crystal that has one was computed as neutral."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

NO_CHARGE = 1e-4
"""Elementary charges: a net charge that is not larger is none."""
CHARGE_NAMES = ("charge", "total_charge", "tot_charge", "net_charge")
"""What the net charge is called beside the atoms, in lower case."""
CHARGE_COLUMN = "initial_charges"
"""What ASE calls the charges of the atoms, which add up to it."""
_ROUNDED = 0.005
"""Elementary charges that a charge is off by at most which was written with two decimals."""
_HALF = 0.5


def charge_dropped(charge: Any, parts: Iterable[float] = ()) -> tuple[str, ...]:
    """The warning that names a net charge, ``charge-dropped:+1``; none for what is zero, or no number.

    Args:
        charge: elementary charges of the cell, positive where electrons are missing.
        parts: the charges or oxidation states that it is the sum of, where it may be one. Those that are no whole numbers have been
            rounded, and the sum may be off by so much; a whole charge is never taken for that.
    """
    try:
        net = math.nan if isinstance(charge, bool) else float(charge)
    except (TypeError, ValueError, OverflowError):
        return ()
    n_rounded = sum(not float(part).is_integer() for part in parts)
    if not math.isfinite(net) or abs(net) <= max(NO_CHARGE, min(_ROUNDED * n_rounded, _HALF) * (1.0 + 1e-9)):
        return ()
    return (f"charge-dropped:{net:+.6g}",)


def charges_of_atoms(net: Any, charges: Iterable[Any] | None) -> tuple[str, ...]:
    """The warning for a net charge that is stated, or, where it is not, for charges of atoms that do not add up to zero.

    Args:
        net: of the cell; None if it is not stated.
        charges: of each atom; None if they are not given.
    """
    if net is not None or charges is None:
        return charge_dropped(net)
    try:
        parts = [float(charge) for charge in charges]
    except (TypeError, ValueError):
        return ()
    return charge_dropped(math.fsum(parts) if all(map(math.isfinite, parts)) else math.nan, parts)
