"""H(k) from hoppings, as real products with cosines and sines of half of the lattice vectors.

In the gauge of cells H(k) is complex. In a crystal with a centre of inversion it is real in another: let inversion take atom i to
atom ``p(i)`` in the cell ``-s_i`` away, ``2 c - f_i = f_p(i) + s_i`` with fractional places f and the centre c. With a phase
``exp(-i pi k s_i)`` on the orbitals of atom i the phases of pairs become those of ``R + (s_i - s_j) / 2``, and inversion together
with complex conjugation says ``H[p(i) a, p(j) b] = P_a P_b conj(H[i a, j b])``, P the parity of an orbital. So sums
``(|i a> + P_a |p(i) a>) / sqrt(2)`` have real elements with each other, and so have differences; between sums and differences they
are imaginary, and a factor i on the differences makes all of H(k) real symmetric. An atom that lies at a centre is its own
partner: its s and d are sums, its p differences. Overlaps are changed by the same unitary matrix, and so are products of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandrt.contract import N_ORBITALS
from bandrt.hamiltonian.hoppings import PARITY, Hoppings
from bandrt.symmetry.inversion import Inversion

PANEL_BYTES = 96_000_000
"""Of terms that are held at once; those of larger crystals are made again for each group of k-points, some rows at a time."""
WHOLE = 1e-5
"""Fractional: a k-point this close to half a reciprocal lattice vector has a real H(k)."""


class _Entries(NamedTuple):
    """Blocks and their places in a panel; one place holds the sum of what is put there."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    term: NDArray[np.int64]
    block: NDArray[np.float32]


class _Panel(NamedTuple):
    """A rectangle of the matrix whose elements are sums of cosines, or sines, times blocks."""

    is_sine: bool
    entries: Sequence[_Entries]
    """Within each, every place is there once."""
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    """Which orbitals of all 9 U there are, ascending: some atoms have fewer sums or differences."""
    first_row: int
    first_column: int
    """Where they stand in the matrix."""
    to_imaginary: bool


class BlochSum:
    """H(k) of one crystal."""

    def __init__(self, hoppings: Hoppings, inversion: Inversion | None = None) -> None:
        """Sort the terms.

        Args:
            hoppings: of the crystal.
            inversion: of the crystal, if it has any, so that its matrices are real; what it says is not checked.
        """
        self.n_orbitals = hoppings.n_orbitals
        self.is_real = inversion is not None
        vectors = 2 * hoppings.image
        if inversion is not None:
            vectors = vectors + inversion.image[hoppings.centre] - inversion.image[hoppings.neighbor]
        sign, self._vectors, term = _halved(vectors)
        if inversion is None:
            self._n_units = hoppings.n_atoms
            self._panels = list(_complex_panels(hoppings, sign, term))
        else:
            self._n_units = int((inversion.partner >= np.arange(hoppings.n_atoms)).sum())
            self._panels = list(_real_panels(hoppings, sign, term, inversion))
        self._inversion = inversion
        width = len(self._vectors) * N_ORBITALS**2 * self._n_units * 4 * len(self._panels)
        self._step = max(1, PANEL_BYTES // width)
        self._held = [self._terms(panel, 0) for panel in self._panels] if self._step >= self._n_units else None
        overlaps = hoppings.overlaps
        self._overlap = None if overlaps is None else BlochSum(overlaps, inversion)

    @property
    def overlaps(self) -> bool:
        """Whether orbitals overlap, so that there is a second sum."""
        return self._overlap is not None

    def is_real_at(self, kpoints: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where among k-points (K, 3) H(k) is real: everywhere, or where k and -k are the same, (K,)."""
        if self.is_real:
            return np.ones(len(kpoints), np.bool_)
        twice = 2.0 * np.asarray(kpoints, np.float64)
        return np.asarray(np.abs(twice - np.round(twice)).max(axis=1, initial=0.0) < 2.0 * WHOLE)

    def at(self, kpoints: NDArray[np.floating[Any]], *, real: bool | None = None) -> NDArray[Any]:
        """H(k), (K, n, n) eV, at fractional k-points (K, 3): of Hermitian matrices the lower triangle, of others all.

        Args:
            kpoints: where.
            real: leave the imaginary part out, where `is_real_at` says that there is none; by default, if it is never there.

        Returns:
            float32 of matrices that are real, complex64 of others; above the diagonal may stand anything.
        """
        real = self.is_real if real is None else real
        matrices = self._sum(kpoints, real)
        if self._overlap is None:
            return matrices
        product = self._whole(self._overlap._sum(kpoints, real)) @ self._whole(matrices)
        product *= 0.5
        matrices -= product
        matrices -= product.conj().transpose(0, 2, 1)
        return matrices

    def _whole(self, matrices: NDArray[Any]) -> NDArray[Any]:
        """Matrices (K, n, n), with what is left out where there is a centre of inversion: from differences to sums."""
        if self._inversion is not None:
            first = self._panels[-1].first_row
            matrices[:, :first, first:] = matrices[:, first:, :first].transpose(0, 2, 1)
        return matrices

    def _sum(self, kpoints: NDArray[np.floating[Any]], real: bool) -> NDArray[Any]:
        phase = np.pi * (np.asarray(kpoints, np.float64) @ self._vectors.T)
        waves = {False: np.cos(phase).astype(np.float32), True: np.sin(phase).astype(np.float32)}
        out = np.zeros((len(kpoints), self.n_orbitals, self.n_orbitals), np.float32 if real else np.complex64)
        for start, dense in self._dense():
            for panel, terms in zip(self._panels, dense, strict=True):
                if real and panel.to_imaginary:
                    continue
                part = out.imag if panel.to_imaginary else out if real else out.real
                top = panel.first_row + int(np.searchsorted(panel.rows, start * N_ORBITALS))
                _, height, width = terms.shape
                summed = (waves[panel.is_sine] @ terms.reshape(len(terms), -1)).reshape(-1, height, width)
                part[:, top : top + height, panel.first_column : panel.first_column + width] = summed
        return out

    def orbital_weights(self) -> NDArray[np.float32]:
        """How much of each orbital is in each row of the matrices, (n, n): of sums and differences half of each of two."""
        return np.eye(self.n_orbitals, dtype=np.float32) if self._inversion is None else _shared(self._inversion)

    def _dense(self) -> Iterator[tuple[int, list[NDArray[np.float32]]]]:
        """Terms of each panel, (V, rows, columns), some units at a time, and the first of these units."""
        if self._held is not None:
            yield 0, self._held
            return
        for start in range(0, self._n_units, self._step):
            yield start, [self._terms(panel, start) for panel in self._panels]

    def _terms(self, panel: _Panel, start: int) -> NDArray[np.float32]:
        units, n_terms = min(self._step, self._n_units - start), len(self._vectors)
        dense = np.zeros((n_terms * units * self._n_units, N_ORBITALS, N_ORBITALS), np.float32)
        for entries in panel.entries:
            inside = (entries.row >= start) & (entries.row < start + units)
            place = (entries.term[inside] * units + entries.row[inside] - start) * self._n_units + entries.column[inside]
            dense[place] += entries.block[inside]
        shaped = dense.reshape(n_terms, units, self._n_units, N_ORBITALS, N_ORBITALS).transpose(0, 1, 3, 2, 4)
        flat = shaped.reshape(n_terms, units * N_ORBITALS, self._n_units * N_ORBITALS)
        rows = panel.rows - start * N_ORBITALS
        rows = rows[(rows >= 0) & (rows < units * N_ORBITALS)]
        if len(rows) < flat.shape[1]:
            flat = flat[:, rows]
        if len(panel.columns) < flat.shape[2]:
            flat = flat[:, :, panel.columns]
        return np.ascontiguousarray(flat)


def _halved(vectors: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Vectors (E, 3) as signs (E,) of V distinct ones (V, 3), none of them the opposite of another, and which of these (E,)."""
    most = 2 * int(np.abs(vectors).max(initial=0)) + 1
    key = (vectors[:, 0] * most + vectors[:, 1]) * most + vectors[:, 2]  # that of the opposite vector is the opposite
    _, first, term = np.unique(np.abs(key), return_index=True, return_inverse=True)
    sign = np.where(key < 0, -1, 1)
    return sign, vectors[first] * sign[first][:, None], term


def _groups(entries: _Entries, *labels: NDArray[np.bool_]) -> list[_Entries]:
    """Entries divided by labels, so that no place occurs twice in a group."""
    code = sum((label.astype(np.int64) << bit for bit, label in enumerate(labels)), np.zeros(len(entries.row), np.int64))
    return [_Entries(*(values[code == one] for values in entries)) for one in np.unique(code)]


def _complex_panels(hoppings: Hoppings, sign: NDArray[np.int64], term: NDArray[np.int64]) -> Iterator[_Panel]:
    everything = np.arange(hoppings.n_orbitals)
    for is_sine in (False, True):
        block = hoppings.block * sign[:, None, None].astype(np.float32) if is_sine else hoppings.block
        entries = _groups(_Entries(hoppings.centre, hoppings.neighbor, term, block), sign > 0)
        yield _Panel(is_sine, entries, everything, everything, 0, 0, is_sine)


def _real_panels(hoppings: Hoppings, sign: NDArray[np.int64], term: NDArray[np.int64], inversion: Inversion) -> Iterator[_Panel]:
    """Panels between sums, from sums to differences, and between differences; a unit is two partners, or an atom at a centre.

    The way from the second partner gives the same again, so only ways from the first are counted, twice.
    """
    own = np.arange(hoppings.n_atoms)
    is_first, is_alone = inversion.partner >= own, inversion.partner == own
    unit = (np.cumsum(is_first) - 1)[np.minimum(own, inversion.partner)]
    kept = is_first[hoppings.centre]
    centre, neighbor, block = hoppings.centre[kept], hoppings.neighbor[kept], hoppings.block[kept]
    sign, term, second = sign[kept], term[kept], ~is_first[neighbor]
    norm = np.where(is_alone, 1.0, np.sqrt(0.5))
    weight = np.where(is_alone[centre], 1.0, 2.0) * norm[centre] * norm[neighbor]
    sums = block * weight[:, None, None].astype(np.float32)
    sums[second] *= PARITY
    differences = np.where(second[:, None, None], -sums, sums)
    alone = np.repeat(is_alone[is_first], N_ORBITALS)
    parity = np.tile(PARITY, int(is_first.sum()))
    even, odd = np.flatnonzero(~alone | (parity > 0)), np.flatnonzero(~alone | (parity < 0))
    for is_sine, values, rows, columns in (
        (False, sums, even, even),
        (True, sums * sign[:, None, None].astype(np.float32), odd, even),
        (False, differences, odd, odd),
    ):
        entries = _groups(_Entries(unit[centre], unit[neighbor], term, values), sign > 0, second)
        at = len(even) if rows is odd else 0
        yield _Panel(is_sine, entries, rows, columns, at, len(even) if columns is odd else 0, False)


def _shared(inversion: Inversion) -> NDArray[np.float32]:
    """How much of each orbital, (columns), is in each row of the real matrices: sums of all units first, differences after."""
    own = np.arange(len(inversion.partner))
    firsts = own[inversion.partner >= own]
    rows = []
    for parity in (1.0, -1.0):
        for atom in firsts.tolist():
            partner = int(inversion.partner[atom])
            for orbital in np.flatnonzero((partner != atom) | (parity == PARITY)).tolist():
                row = np.zeros(N_ORBITALS * len(own), np.float32)
                row[[N_ORBITALS * atom + orbital, N_ORBITALS * partner + orbital]] = 1.0 if partner == atom else 0.5
                rows.append(row)
    return np.stack(rows)
