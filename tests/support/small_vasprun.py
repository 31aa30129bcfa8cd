"""A small ``vasprun.xml`` as VASP writes it, for a crystal with made-up bands: only what a reader of bands looks at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LATTICE = np.array([[0.0, 2.73, 2.73], [2.73, 0.0, 2.73], [2.73, 2.73, 0.0]])
"""Å: the primitive cell of silicon."""
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]])
GAMMA, X, W, L = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.5, 0.25, 0.75], [0.5, 0.5, 0.5]])
LINES = ((GAMMA, X), (X, W), (GAMMA, L))
"""Two that meet in X, and one that starts anew."""
DIVISIONS = 9


def line_kpoints() -> NDArray[np.float64]:
    """(n_lines * DIVISIONS, 3), both ends of every line included."""
    steps = np.linspace(0.0, 1.0, DIVISIONS)[:, None]
    return np.concatenate([start + steps * (end - start) for start, end in LINES])


def bands(kpoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8, n_kpoints) eV: with the symmetry of the lattice, four below 5 eV and four above 6 eV."""
    cosines = [np.cos(2 * np.pi * kpoints @ translation) for translation in ([1, 0, 0], [0, 1, 0], [0, 0, 1])]
    cosines += [np.cos(2 * np.pi * kpoints @ translation) for translation in ([1, -1, 0], [1, 0, -1], [0, 1, -1])]
    wave = np.sum(cosines, axis=0) / 6.0  # from -1/3 to 1
    return np.array([4.5 - i - 0.4 * wave for i in range(3, -1, -1)] + [6.5 + i + 0.4 * wave for i in range(4)])


def vasprun(
    kpoints: NDArray[np.float64],
    energies: NDArray[np.float64],
    *,
    efermi: float = 5.5,
    divisions: int | None = DIVISIONS,
    weights: Sequence[float] | None = None,
    parameters: str = "",
    n_electrons: float = 8.0,
) -> str:
    """The file.

    Args:
        kpoints: (n_kpoints, 3).
        energies: (n_spin, n_bands, n_kpoints), eV.
        efermi: eV.
        divisions: points a line, for a run in line mode; None for a list of k-points.
        weights: of the k-points; equal by default.
        parameters: more of them.
        n_electrons: in the cell.
    """
    corners = _rows(kpoints[:: divisions or 1])
    generation = f'<generation param="listgenerated"><i name="divisions" type="int">{divisions}</i>{corners}</generation>'
    weights = [1.0 / len(kpoints)] * len(kpoints) if weights is None else weights
    spins = "".join(
        f'<set comment="spin {spin}">'
        + "".join(
            f'<set comment="kpoint {k}">' + "".join(f"<r>{e:.6f} {float(e < efermi):.1f}</r>" for e in at_k) + "</set>"
            for k, at_k in enumerate(channel.T, start=1)
        )
        + "</set>"
        for spin, channel in enumerate(energies, start=1)
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator><i name="program" type="string">vasp</i><i name="version" type="string">6.4.2</i></generator>
 <incar><i type="int" name="ICHARG">11</i></incar>
 <kpoints>{generation if divisions else ""}
  <varray name="kpointlist">{_rows(kpoints)}</varray>
  <varray name="weights">{"".join(f"<v>{weight:.8f}</v>" for weight in weights)}</varray>
 </kpoints>
 <parameters><i name="NELECT">{n_electrons:.8f}</i><i type="int" name="ISPIN">{len(energies)}</i><i type="string" name="GGA">PE</i>
  <i type="logical" name="LHFCALC"> F  </i><i name="AEXX">0.0</i><i name="HFSCREEN">0.0</i><i type="logical" name="LDAU"> F  </i>
  {parameters}</parameters>
 <atominfo><atoms>2</atoms><types>1</types>
  <array name="atoms"><set><rc><c>Si</c><c>1</c></rc><rc><c>Si</c><c>1</c></rc></set></array>
  <array name="atomtypes"><set><rc><c>2</c><c>Si</c><c>28.085</c><c>4.0</c><c>PAW_PBE Si 05Jan2001</c></rc></set></array>
 </atominfo>
 <calculation>
  <dos><i name="efermi">{efermi:.8f}</i></dos>
  <eigenvalues><array><set>{spins}</set></array></eigenvalues>
 </calculation>
 <structure name="finalpos">
  <crystal><varray name="basis">{_rows(LATTICE)}</varray></crystal>
  <varray name="positions">{_rows(POSITIONS)}</varray>
 </structure>
</modeling>
"""


def kpoints_list(kpoints: NDArray[np.float64], labels: Sequence[str]) -> str:
    """A ``KPOINTS`` file that lists k-points with labels, "" for none."""
    rows = [f"{x:.8f} {y:.8f} {z:.8f} 1 {label}".rstrip() for (x, y, z), label in zip(kpoints, labels, strict=True)]
    return "\n".join(["path", str(len(rows)), "Reciprocal", *rows]) + "\n"


def _rows(vectors: NDArray[np.float64]) -> str:
    return "".join(f"<v>{x:.8f} {y:.8f} {z:.8f}</v>" for x, y, z in vectors)
