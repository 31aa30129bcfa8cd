"""From Cartesian positions to fractional ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandrt.errors import InputError


def fractional(positions: NDArray[np.float64], lattice: NDArray[np.float64], *, name: str) -> NDArray[np.float64]:
    """Fractional coordinates, (n_atoms, 3), of Cartesian positions.

    Args:
        positions: (n_atoms, 3), Å.
        lattice: (3, 3) rows, Å.
        name: what to call the crystal in an error.

    Raises:
        InputError: ``bad-coordinates`` or ``bad-lattice``.
    """
    if not np.isfinite(positions).all():
        raise InputError("bad-coordinates", f"{name}: a Cartesian coordinate is not a finite number")
    with np.errstate(all="ignore"):  # numbers of 1e200 are refused below, without a warning
        if not np.isfinite(lattice).all() or not abs(np.linalg.det(lattice)) > 0.0:
            raise InputError("bad-lattice", f"{name}: the lattice vectors span no volume")
        return np.asarray(positions @ np.linalg.inv(lattice))
