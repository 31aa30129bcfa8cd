"""Bands that were computed elsewhere, brought onto the k-points of predicted ones.

Both are laid out in the one standard primitive cell. A k-point of the path has the energies of the lines that were computed where a
rotation of the crystal, a reciprocal lattice vector or time reversal takes it onto one; between two computed k-points energies are
interpolated, and nothing is continued past the end of a line. Each is counted from its own zero: the Fermi level of a metal,
mid-gap of an insulator.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandrt.arguments import check_kind, not_allowed
from bandrt.bands.branches import Branch
from bandrt.bands.on_path import BandsOnPath, segments
from bandrt.bands.view import E_F, MID_GAP, VBM, Level, Zero, level
from bandrt.computed.around_fermi import count_nonempty, select_bands
from bandrt.computed.documents import BandDocument
from bandrt.computed.lines import computed_lines, document_crystal
from bandrt.computed.mapping import Lines, map_kpoints
from bandrt.crystal import metric_difference
from bandrt.errors import InputError
from bandrt.quoting import counted
from bandrt.symmetry.standard_cell import StandardCell, standardize

SAME_LATTICE = 0.06
"""How far, as `metric_difference` counts, cells may be apart: 3 % in a length, as between functionals."""
_SAME_KPOINT = 1e-4
_MOST_NAMED = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reference:
    """Bands to compare predicted ones with, on the same k-points.

    Attributes:
        energies: (n_bands, n_kpoints) eV, from their own zero; NaN where they were not computed.
        n_nonempty: how many of them are not empty: by these, bands of both are counted.
        levels: from which energies can be counted, by what is asked for, on the scale of `energies`.
        left_out: lines that were computed and are not on the path, by their ends.
    """

    energies: Floats
    n_nonempty: int
    levels: dict[Zero | None, Level]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """How far predicted bands are from a reference.

    Attributes:
        error_ev: mean absolute difference of the bands that both have, over segments that the reference has whole.
        n_compared: so many segments.
        alone: segments that the reference lacks, or has in part.
        left_out: lines of the reference that are not on the path.
    """

    error_ev: float
    n_compared: int
    alone: tuple[str, ...]
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        n_all = self.n_compared + len(self.alone)
        of = f"{self.n_compared} of " if self.alone else ""
        return f"mean error {self.error_ev:.2f} eV on {of}{counted(n_all, 'segment')}"


def same_path(bands: BandsOnPath, predicted: BandsOnPath) -> Reference:
    """Other bands on the same k-points, such as those of another engine.

    Raises:
        ArgumentError: ``bad-argument`` for other k-points.
    """
    kpoints = np.asarray(getattr(bands, "frac_kpoints", ()), np.float64)
    if kpoints.shape != predicted.frac_kpoints.shape or np.abs(predicted.frac_kpoints - kpoints).max() > _SAME_KPOINT:
        raise not_allowed("reference", bands, "bands on the k-points of the others")
    zeros: tuple[Zero | None, ...] = (None, "midgap", "vbm", "efermi")
    return Reference(np.asarray(bands.energies, np.float64), bands.n_nonempty, {zero: level(bands, zero) for zero in zeros})


def onto_path(document: BandDocument, predicted: BandsOnPath) -> Reference:
    """Bring computed bands onto the path of predicted ones.

    Args:
        document: bands with their structure.
        predicted: of the same crystal.

    Raises:
        InputError: ``other-crystal``, ``no-common-path``, or what `select_bands`, `computed_lines` and `standardize` raise.
        ArgumentError: ``bad-argument`` for what is no document.
    """
    check_kind("document", document, BandDocument)
    cell = standardize(document_crystal(document), name=document.id)
    _check_crystal(document, cell, predicted)
    filled, n_bands = count_nonempty(document), document.energies.shape[1]
    below = max(1, min(predicted.n_nonempty, filled))
    above = max(1, min(len(predicted.energies) - predicted.n_nonempty, n_bands - filled))
    rule = dataclasses.replace(predicted.rule, n_bands=below + above, n_valence=below)
    chosen = select_bands(document, rule)
    lines = computed_lines(document, cell)
    mapping = map_kpoints(predicted.frac_kpoints, lines, cell.rotations)
    if not mapping.found.any():
        names = dict(zip(predicted.label_indices.tolist(), predicted.labels, strict=True))
        there = dict.fromkeys(f"{names[start]}-{names[end]}" for start, end in segments(predicted))
        raise InputError(
            "no-common-path", f"{document.id}: bands lie on no segment of the path; it has {', '.join([*there][:_MOST_NAMED])}"
        )
    own = Level(0.0, E_F if chosen.is_metal else MID_GAP)
    vbm = own if chosen.is_metal else Level(float(chosen.energies[:below].max()), VBM)
    return Reference(
        mapping.interpolate(chosen.energies), below, {None: own, "midgap": own, "efermi": own, "vbm": vbm},
        _off_path(document, lines, cell, predicted),
    )  # fmt: skip


def compared(predicted: BandsOnPath, reference: Reference, drawn: list[Branch], zero: Zero | None = None) -> Comparison:
    """Compare bands, counted from the highest filled one, along branches.

    Args:
        predicted: bands on a path.
        reference: on the same k-points.
        drawn: branches of that path.
        zero: what both are counted from, see `bandrt.bands.view.level`.

    Raises:
        InputError: ``no-common-path`` where the reference has none of the branches whole; ``too-few-bands`` where they have no band
            in common.
    """
    there: NDArray[np.bool_] = np.asarray(np.isfinite(reference.energies).all(axis=0))
    whole = [branch for branch in drawn if there[branch.kpoints].all()]
    alone = tuple("-".join(branch.labels) for branch in drawn if not there[branch.kpoints].all())
    if not whole:
        raise InputError(
            "no-common-path", f"{predicted.crystal.formula}: of {', '.join(alone[:_MOST_NAMED])} no segment was computed as a whole"
        )
    of_predicted, of_reference = (len(energies) for energies in (predicted.energies, reference.energies))
    below = min(predicted.n_nonempty, reference.n_nonempty)
    above = min(of_predicted - predicted.n_nonempty, of_reference - reference.n_nonempty)
    if below + above < 1:
        raise InputError(
            "too-few-bands",
            f"{predicted.crystal.formula}: of {of_predicted} bands the lowest {predicted.n_nonempty} would not be empty, of"
            f" {of_reference} of the reference {reference.n_nonempty}: they have none in common; ask for more bands",
        )
    kpoints = np.concatenate([branch.kpoints for branch in whole])
    first = _around(predicted.energies, predicted.n_nonempty, below, above)[:, kpoints] - _shift(level(predicted, zero), zero)
    second = _around(reference.energies, reference.n_nonempty, below, above)[:, kpoints] - _shift(reference.levels[zero], zero)
    return Comparison(float(np.abs(first - second).mean()), len(whole), alone, reference.left_out)


def _shift(at: Level, zero: Zero | None) -> float:
    return 0.0 if zero is None else at.energy


def _around(energies: NDArray[np.floating], n_nonempty: int, below: int, above: int) -> Floats:
    return energies[n_nonempty - below : n_nonempty + above].astype(np.float64)


def _check_crystal(document: BandDocument, cell: StandardCell, predicted: BandsOnPath) -> None:
    """Refuse bands of another crystal.

    Raises:
        InputError: ``other-crystal``.
    """
    own, other = predicted.crystal, cell.crystal
    if sorted(own.atomic_numbers.tolist()) != sorted(other.atomic_numbers.tolist()):
        found = f"{other.formula} with {other.n_atoms} atoms in the primitive cell, predicted: {own.formula} with {own.n_atoms}"
    elif cell.space_group_symbol != predicted.space_group_symbol:
        found = f"space group {cell.space_group_symbol}, predicted: {predicted.space_group_symbol}"
    else:
        wanted, metric = own.lattice @ own.lattice.T, other.lattice @ other.lattice.T
        if metric_difference(wanted, metric) <= SAME_LATTICE:
            return
        lengths = [", ".join(f"{length:.2f}" for length in np.linalg.norm(one.lattice, axis=1)) for one in (other, own)]
        found = f"a primitive cell of {lengths[0]} Å, predicted: {lengths[1]} Å"
    raise InputError("other-crystal", f"{document.id}: is {found}")


def _off_path(document: BandDocument, lines: Lines, cell: StandardCell, predicted: BandsOnPath) -> tuple[str, ...]:
    """Computed lines that are not on the path, or in part: by the labels of their ends, or their k-points."""
    walk = Lines(predicted.frac_kpoints, cell.crystal.reciprocal, np.array(segments(predicted), dtype=np.intp))
    covered = map_kpoints(lines.frac_kpoints, walk, cell.rotations).found
    missing = [run for run in lines.runs.tolist() if not covered[run[0] : run[1] + 1].all()]
    return tuple(dict.fromkeys("-".join(_named(document, k) for k in run) for run in missing))


def _named(document: BandDocument, kpoint: int) -> str:
    label = document.labels[kpoint]
    if label is not None:
        for written, greek in (("\\Gamma", "Γ"), ("GAMMA", "Γ"), ("\\Sigma", "Σ"), ("\\Lambda", "Λ"), ("\\Delta", "Δ")):
            label = label.replace(written, greek)
        return re.sub(r"[${}]", "", label)
    return f"({', '.join(f'{f:.3g}' for f in document.frac_kpoints[kpoint])})"
