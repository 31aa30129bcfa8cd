"""Gaps to learn where no bands are known: the crystal, its path in steps, and the gap that others computed.

Left out are crystals that this model cannot have a gap for: those with an odd number of electrons, and those with V to Ni, most of
which are magnetic where the gaps were computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from bandrt.computed.documents import DocumentText
from bandrt.domain import OPEN_D_SHELL
from bandrt.errors import InputError
from bandrt.kpaths import kpaths_of
from bandrt.outcomes import onward
from bandrt.recipe import KpathRecipe
from bandrt.symmetry.standard_cell import StandardCell, standardize_many
from bandrt_train.data.gap_labels import GapLabel, find_gaps, parse_gap
from bandrt_train.model.hamiltonian.pairs import Pairs, find_pairs

THINNING = 8
"""Every so many points of the path are looked at."""
CHUNK = 64
"""Crystals that are searched for symmetry at once."""


@dataclass(frozen=True, eq=False)
class KnownGap:
    """A crystal of which the gap alone is known.

    Attributes:
        id: of its row.
        formula: reduced, in Hill order.
        pairs: of its standard primitive cell.
        kpoints: (K, 3) float32, fractional: points of its path.
        gap: eV, 0 for a metal.
        row_sha256: checksum of its row.
        weight: what it counts in the loss, 1 for a label that is trusted in full.
    """

    id: str
    formula: str
    pairs: Pairs
    kpoints: Tensor
    gap: float
    row_sha256: str
    weight: float = 1.0


def read_gaps(
    tables: Sequence[Path],
    *,
    elements: Set[int],
    max_atoms: int,
    limit: int | None = None,
    wanted: Callable[[str], bool] = lambda formula: True,
) -> tuple[KnownGap, ...]:
    """Read the crystals of tables of gaps that can be learned from; those that cannot be read are left out.

    Args:
        tables: see `bandrt_train.data.gap_labels`; of several rows of one id the first is read.
        elements: atomic numbers that crystals may have.
        max_atoms: and how many atoms.
        limit: at most so many crystals, the first of the tables; None for all.
        wanted: whether to keep a formula.

    Raises:
        NotFoundError, InputError: ``not-a-gap-table`` for one that cannot be read.
    """
    known: list[KnownGap] = []
    rows = (row for row in _rows(tables, elements - OPEN_D_SHELL, max_atoms) if wanted(row[1].crystal.hill_formula))
    while (limit is None or len(known) < limit) and (chunk := list(islice(rows, CHUNK))):
        known += _known(chunk)
    return tuple(known[:limit])


def gaps_sha256(gaps: tuple[KnownGap, ...]) -> str:
    """What tells whether the same gaps were read."""
    lines = sorted(f"{one.id}:{one.row_sha256}" for one in gaps)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _rows(tables: Sequence[Path], elements: Set[int], max_atoms: int) -> Iterator[tuple[DocumentText, GapLabel]]:
    met: set[str] = set()
    for source in find_gaps(*tables):
        if source.id in met:
            continue
        try:
            label = parse_gap(source)
        except InputError:
            continue
        met.add(source.id)
        if label.crystal.n_atoms <= max_atoms and set(label.crystal.atomic_numbers.tolist()) <= elements:
            yield source, label


def _known(rows: list[tuple[DocumentText, GapLabel]]) -> Iterator[KnownGap]:
    cells = standardize_many([label.crystal for _, label in rows], names=[source.id for source, _ in rows])
    paths = onward(cells, lambda good: kpaths_of(good, KpathRecipe()))
    for (source, label), cell, path in zip(rows, cells, paths, strict=True):
        if not isinstance(cell, StandardCell) or isinstance(path, InputError):
            continue
        pairs = find_pairs(cell.crystal)
        if not pairs.is_odd and 0 < pairs.n_filled < pairs.n_bands:
            points = torch.from_numpy(path.frac_kpoints[::THINNING].copy()).float()
            formula = label.crystal.hill_formula
            yield KnownGap(source.id, formula, pairs, points, label.gap, source.sha256, label.weight)
