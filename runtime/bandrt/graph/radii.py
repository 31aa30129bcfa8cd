"""Covalent radii, of which is told what is bonded to what, and how far atoms reach."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LOW_SPIN_RADII: Final = np.array(
    [
        *(0.00, 0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58, 1.66, 1.41, 1.21, 1.11, 1.07, 1.05, 1.02, 1.06),
        *(2.03, 1.76, 1.70, 1.60, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22, 1.20, 1.19, 1.20, 1.20, 1.16),
        *(2.20, 1.95, 1.90, 1.75, 1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45, 1.44, 1.42, 1.39, 1.39, 1.38, 1.39, 1.40),
        *(2.44, 2.15, 2.07, 2.04, 2.03, 2.01, 1.99, 1.98, 1.98, 1.96, 1.94, 1.92, 1.92, 1.89, 1.90, 1.87, 1.87),
        *(1.75, 1.70, 1.62, 1.51, 1.44, 1.41, 1.36, 1.36, 1.32, 1.45, 1.46, 1.48, 1.40, 1.50, 1.50),
        *(2.60, 2.21, 2.15, 2.06, 2.00, 1.96, 1.90, 1.87, 1.80, 1.69, 1.68, 1.68, 1.65, 1.67, 1.73, 1.76, 1.61),
        *(1.57, 1.49, 1.43, 1.41, 1.34, 1.29, 1.28, 1.21, 1.22, 1.36, 1.43, 1.62, 1.75, 1.65, 1.57),
    ]
)
"""Å, by atomic number. Source: Cordero et al., Dalton Trans. 2008, 2832, of metals with several spins the lower one; from Bk on
Pyykkö and Atsumi, Chem. Eur. J. 15, 186 (2009)."""
UNKNOWN_RADIUS: Final = 1.5
"""Å, among the `MEAN_RADII`, of the elements from Bk on."""
_SEVERAL = {6: 0.73, 25: 1.50, 26: 1.42, 27: 1.38}
_BERKELIUM = 97


def _mean_radii() -> NDArray[np.float64]:
    radii = LOW_SPIN_RADII.copy()
    radii[list(_SEVERAL)] = list(_SEVERAL.values())
    radii[0] = radii[_BERKELIUM:] = UNKNOWN_RADIUS
    return radii


MEAN_RADII: Final = _mean_radii()
"""Å, by atomic number: where the source has several, of C, Mn, Fe and Co, their mean, as in pymatgen 2026.10. Learned Hamiltonians
count in them how far atoms reach."""
