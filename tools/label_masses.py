"""Effective masses, bands and gaps of the engine `accurate` beside DFT, on the formulas that no training of this project has seen.

    python tools/label_masses.py train/labels -o train/results/label-masses.json

A label has bands along lines, not in the whole zone. So a mass is compared where the label has its edge on a line: on every line
through that k-point, ``E = E0 + hbar² q² / 2 m`` is fitted to the label's band and to the engine's at the same k-points, those
within `REACH` of the edge. Where bands meet, the outermost is taken in both. Masses that are heavier than `HEAVIEST`, or negative,
in the label are left out and counted: no fit to a flat band says much. A crystal's error is the median of its lines. Of the bands
the first and the second moment are compared, over the label's k-points: means and spreads of the three bands below the gap and the
three above, from mid-gap; and the gap. Simple crystals are those of s and p elements with up to `SIMPLE_ATOMS` atoms.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import bandrt
from bandrt.computed.around_fermi import select_bands
from bandrt.computed.documents import BandDocument
from bandrt.computed.lines import document_crystal
from bandrt.crystal import Crystal
from bandrt.domain import OPEN_D_SHELL
from bandrt.errors import InputError
from bandrt.machine.versions import package_versions
from bandrt.spectra.crystal_hamiltonian import CrystalHamiltonian
from bandrt.spectra.masses import HBAR2_OVER_M
from bandrt_train.data.dataset import SplitRule
from bandrt_train.data.hamiltonian.bands import LAST_AND_NEXT
from bandrt_train.data.sources.folders import find_documents
from bandrt_train.tables import element_properties

Floats = NDArray[np.float64]
Carrier = Literal["electron", "hole"]
REACH = 0.2
"""1/Å: how far from an edge bands are fitted."""
LEAST_POINTS = 3
HEAVIEST = 5.0
"""Masses of the electron: heavier ones in a label are not asked for."""
WITHIN = 0.25
"""Relative: what counts as the same mass."""
ON_LINE = 1e-5
WINDOW = 3
SIMPLE_ATOMS = 4
FLAT = 1e4


class Line(NamedTuple):
    """One line through an edge, fitted twice."""

    id: str
    formula: str
    carrier: Carrier
    towards: str
    label_mass: float
    engine_mass: float

    @property
    def ratio(self) -> float:
        """The engine's mass over the label's."""
        return self.engine_mass / self.label_mass

    @property
    def error(self) -> float:
        """Relative, of the engine's mass."""
        return abs(self.ratio - 1.0)

    @property
    def is_within(self) -> bool:
        """Whether both say the same."""
        return self.error <= WITHIN


def unseen(document: BandDocument) -> bool:
    """Whether a document is an insulator of a formula that was held out, without V to Ni."""
    crystal = document_crystal(document)
    return (
        SplitRule().split(crystal.hill_formula) != "train"
        and not select_bands(document, LAST_AND_NEXT).is_metal
        and not OPEN_D_SHELL & set(crystal.atomic_numbers.tolist())
    )


def compared(document: BandDocument, hamiltonian: CrystalHamiltonian) -> tuple[list[Line], dict[str, Any]]:
    """The lines of one crystal, and its moments and gap.

    Args:
        document: the label.
        hamiltonian: of its structure.
    """
    crystal = document_crystal(document)
    own = document.frac_kpoints @ (document.reciprocal @ crystal.lattice.T / (2.0 * np.pi))
    label = np.sort(document.energies[0], axis=0)  # (n_bands, K)
    engine = hamiltonian.eigenvalues(hamiltonian.to_standard(own)).T
    n_label, n_engine = select_bands(document, LAST_AND_NEXT).first_band + 1, hamiltonian.n_filled
    cartesian = document.frac_kpoints @ document.reciprocal
    lines = []
    for carrier in ("hole", "electron"):
        sign, shift = (-1.0, -1) if carrier == "hole" else (1.0, 0)
        theirs, ours = sign * label[n_label + shift], sign * engine[n_engine + shift]
        edge = int(theirs.argmin())
        for start, end in document.branches.tolist():
            way = np.linalg.norm(cartesian[start : end + 1] - cartesian[edge], axis=1)
            if way.min() > ON_LINE:
                continue
            here = np.flatnonzero((way > ON_LINE) & (way < REACH)) + start
            at = start + int(way.argmin())
            if len(here) < LEAST_POINTS:
                continue
            masses = [_mass(way[here - start], one[here] - one[at]) for one in (theirs, ours)]
            names = [document.labels[start], document.labels[end]]
            lines.append(Line(document.id, crystal.formula, carrier, "-".join(name or "?" for name in names), *masses))
    rows = {"id": document.id, "formula": crystal.formula, "n_atoms": crystal.n_atoms, "is_simple": is_simple(crystal)}
    gaps = [_gap(label, n_label), _gap(engine, n_engine)]
    return lines, rows | {"label_gap_ev": gaps[0], "engine_gap_ev": gaps[1], "engine_is_metal": hamiltonian.is_metal} | _moments(
        label, n_label, engine, n_engine
    )


def is_simple(crystal: Crystal) -> bool:
    """Whether it has few atoms, and all of s and p elements."""
    groups = [int(element_properties()[number - 1]["group"] or 0) for number in crystal.atomic_numbers.tolist()]
    return crystal.n_atoms <= SIMPLE_ATOMS and all(group in (1, 2) or group >= 13 for group in groups)


def _mass(distance: Floats, energy: Floats) -> float:
    """Of a least-squares fit of a parabola whose bottom is at zero, in masses of the electron; at most `FLAT` of a flat band."""
    curvature = float((distance**2 @ energy) / (distance**2 @ distance**2))
    return round(float(np.clip(0.5 * HBAR2_OVER_M / (curvature or 1e-9), -FLAT, FLAT)), 4)


def _gap(bands: Floats, n_filled: int) -> float:
    return max(0.0, float(bands[n_filled].min() - bands[n_filled - 1].max()))


def _moments(label: Floats, n_label: int, engine: Floats, n_engine: int) -> dict[str, float]:
    """Means and spreads of the bands on each side, from the mid-gap of each."""
    found: dict[str, float] = {}
    for name, bands, half in (("label", label, n_label), ("engine", engine, n_engine)):
        zero = 0.5 * (bands[half].min() + bands[half - 1].max())
        first = max(0, half - min(WINDOW, n_label, n_engine))
        for side, chosen in (("valence", bands[first:half]), ("conduction", bands[half : half + WINDOW])):
            found |= {f"{name}_{side}_mean_ev": float(chosen.mean() - zero), f"{name}_{side}_spread_ev": float(chosen.std())}
    return found


def summary(lines: Sequence[Line], crystals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What there is to say of all of them."""
    found: dict[str, Any] = {"n_crystals": len(crystals)}
    for carrier in ("electron", "hole"):
        own = [line for line in lines if line.carrier == carrier and 0.0 < line.label_mass <= HEAVIEST]
        ratios = [line.ratio for line in own]
        by_crystal = {line.id: [other for other in own if other.id == line.id] for line in own}
        medians = [float(np.median([line.error for line in group])) for group in by_crystal.values()]
        found[carrier] = {
            "lines": len(own),
            "crystals": len(by_crystal),
            "median_error": round(float(np.median([line.error for line in own])), 4),
            "median_ratio": round(float(np.median(ratios)), 4),
            "lines_within_25_percent": round(float(np.mean([line.is_within for line in own])), 4),
            "crystals_within_25_percent": int(sum(median <= WITHIN for median in medians)),
            "wrong_sign": round(float(np.mean([ratio < 0.0 for ratio in ratios])), 4),
            "heavier_in_label": len([line for line in lines if line.carrier == carrier]) - len(own),
        }
    found["gap_mae_ev"] = _mean_error(crystals, "gap_ev")
    found |= {
        f"{side}_{what}_mae_ev": _mean_error(crystals, f"{side}_{what}_ev")
        for side in ("valence", "conduction")
        for what in ("mean", "spread")
    }
    return found


def _mean_error(crystals: Sequence[dict[str, Any]], name: str) -> float:
    return round(float(np.mean([abs(one[f"engine_{name}"] - one[f"label_{name}"]) for one in crystals])), 4)


def held_out(sources: Sequence[Path]) -> Iterator[BandDocument]:
    """Insulators of unseen formulas, each id once."""
    seen: set[str] = set()
    for source in find_documents(sources):
        try:
            document = source.read().document
            if document.id not in seen and unseen(document):
                seen.add(document.id)
                yield document
        except InputError:
            continue


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="+", type=Path)
    parser.add_argument("--engine", default="accurate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    lines: list[Line] = []
    crystals: list[dict[str, Any]] = []
    with bandrt.load(given.engine, threads=given.threads) as engine:
        for document in held_out(given.labels):
            try:
                own, row = compared(document, engine.hamiltonian(document_crystal(document), name=document.id))
            except InputError as error:
                print(error.message)
                continue
            lines += own
            crystals.append(row)
        simple = {row["id"] for row in crystals if row["is_simple"]}
        report = {
            "engine_sha256": engine.sha256,
            "reach_per_angstrom": REACH,
            "heaviest": HEAVIEST,
            "versions": {"bandrt": bandrt.__version__} | package_versions(["numpy", "onnxruntime", "moyopy"]),
            "summary": summary(lines, crystals),
            "simple": summary([line for line in lines if line.id in simple], [row for row in crystals if row["is_simple"]]),
            "crystals": [_rounded(row) for row in crystals],
            "lines": [_rounded(line._asdict()) for line in lines],
        }
    print(json.dumps({name: report[name] for name in ("summary", "simple")}, indent=1))
    if given.out is not None:
        given.out.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) and np.isfinite(value) else value for name, value in row.items()}


if __name__ == "__main__":
    main()
