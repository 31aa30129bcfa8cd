"""H(k) from the blocks of pairs, in products: few backends have a scatter that adds, and it adds in an order that nobody knows.

In a crystal with a centre of inversion, with phases counted from the centre, inversion P takes ``H = A + iB`` to its conjugate:
P exchanges the orbitals of partners and gives each its parity (`bandrt.hamiltonian.bloch`). So ``PA = AP``, ``PB = -BP``, and with
the unitary ``W = (1 + iP) / sqrt(2)``, ``W H W† = A + BP`` is real and symmetric. Where orbitals overlap, S becomes real with it,
and bands are those of ``H - (S H + H S) / 2`` (`bandrt.hamiltonian.hoppings`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bandrt.hamiltonian.hoppings import PARITY
from bandrt_export.eigensolver.graph import FLOAT, INT, Value, concat, counted, op


class Blocks(NamedTuple):
    """Blocks between orbitals, o of them an atom; an atom's own block is in one more slot that leads to itself: S = D + 1 slots."""

    values: Value
    """(B, N, S, o * o) eV."""
    leads_to: Value
    """(B, N, 1, N, S) float32: 1 where a slot leads to an atom."""
    images: Value
    """(B, 3, N * S) float32: lattice translations."""
    n_orbitals: int
    """o."""
    overlaps: Value | None = None
    """(B, N, S, o * o), if orbitals overlap."""

    def of(self, crystals: Value) -> Blocks:
        """The blocks of crystals by their index, (R,), of which one may come again."""
        values, leads_to, images = (one.take(0, crystals) for one in (self.values, self.leads_to, self.images))
        overlaps = None if self.overlaps is None else self.overlaps.take(0, crystals)
        return Blocks(values, leads_to, images, self.n_orbitals, overlaps)


def blocks(
    hoppings: Value,
    on_site: Value,
    neighbor_index: Value,
    neighbor_image: Value,
    n_orbitals: int,
    overlaps: Value | None = None,
) -> Blocks:
    """Bring together what all k-points share.

    Args:
        hoppings: (B, N, D, o, o) eV, zero where no neighbour is.
        on_site: (B, N, o, o) eV.
        neighbor_index: (B, N, D) whole numbers.
        neighbor_image: (B, N, D, 3) whole numbers.
        n_orbitals: o.
        overlaps: (B, N, D, o, o), zero where no neighbour is.
    """
    atoms = counted(hoppings.size(1))
    own = on_site.reshape(0, 0, 1, n_orbitals**2)
    values = concat(2, hoppings.reshape(0, 0, -1, n_orbitals**2), own)
    if overlaps is not None:
        overlaps = concat(2, overlaps.reshape(0, 0, -1, n_orbitals**2), own * 0.0)
    index, images = neighbor_index.cast(INT), neighbor_image.cast(FLOAT)
    slots = concat(2, index, index.cut(2, 0, 1) * 0 + atoms.reshape(-1, 1))  # (B, N, S)
    leads_to = slots.unsqueeze(2).equals(atoms.reshape(-1, 1)).cast(FLOAT)  # (B, N, N, S)
    images = concat(2, images, images.cut(2, 0, 1) * 0.0).reshape(0, -1, 3).transpose(0, 2, 1)
    return Blocks(values, leads_to.unsqueeze(2), images, n_orbitals, overlaps)


class Inversions(NamedTuple):
    """What inversion makes of the atoms of C crystals."""

    partner: Value
    """(C, N) whole numbers, see `bandrt.contract`."""
    image: Value
    """(C, N, 3) whole numbers."""

    def of(self, crystals: Value) -> Inversions:
        """Those of crystals by their index, (R,)."""
        return Inversions(self.partner.take(0, crystals), self.image.take(0, crystals))


def hermitian(shared: Blocks, kpoints: Value) -> Value:
    """``H(k)[i a, j b] = sum over slots of atom i that lead to atom j of exp(2 pi i k R) block[a, b]``.

    Args:
        shared: the blocks of R crystals.
        kpoints: (R, 3, 1) fractional, one for each.

    Returns:
        (R, n, 2n) eV, n = o N: real and imaginary part side by side.
    """
    n_atoms, n_slots, o = shared.values.size(1), shared.values.size(2), shared.n_orbitals
    turns = (kpoints * shared.images).sum(1)  # (R, 1, N * S)
    angle = _angle(turns).reshape(-1, n_atoms, 1, 1, n_slots)
    phases = concat(2, op("Cos", angle), op("Sin", angle))  # (R, N, 2, 1, S)
    weights = (phases * shared.leads_to).reshape(0, n_atoms, -1, n_slots)  # (R, N, 2 N, S)

    def summed(values: Value) -> tuple[Value, Value]:
        sums = (weights @ values).reshape(0, n_atoms, -1, o, o)  # (R, N, 2 N, o, o)
        matrices = sums.transpose(0, 1, 3, 2, 4).reshape(-1, n_atoms * o, n_atoms * (2 * o))
        real, imaginary = matrices.halves(2)
        return real, imaginary

    real, imaginary = summed(shared.values)
    if shared.overlaps is not None:
        of_real, of_imaginary = summed(shared.overlaps)
        product = of_real @ real - of_imaginary @ imaginary
        crossed = of_real @ imaginary + of_imaginary @ real
        real = real - (product + product.transpose(0, 2, 1)) * 0.5
        imaginary = imaginary - (crossed - crossed.transpose(0, 2, 1)) * 0.5
    return concat(2, real, imaginary)  # also without overlaps: TensorRT-RTX 1.7 builds no Loop over what was just reshaped


def symmetric(shared: Blocks, inversions: Inversions, kpoints: Value) -> Value:
    """A real matrix with the eigenvalues of H(k), of crystals with a centre of inversion: A + BP, with phases counted from it.

    Args:
        shared: the blocks of R crystals.
        inversions: of these crystals.
        kpoints: (R, 3, 1) fractional, one for each.

    Returns:
        (R, n, n) eV, n = o N.
    """
    n_atoms, n_slots, o = shared.values.size(1), shared.values.size(2), shared.n_orbitals
    leads_to = shared.leads_to.reshape(-1, n_atoms, n_atoms, n_slots)
    shift = (kpoints * inversions.image.cast(FLOAT).transpose(0, 2, 1)).sum(1) * 0.5  # (R, 1, N)
    of_neighbor = concat(1, shift, inversions.partner.cast(FLOAT).unsqueeze(1)).unsqueeze(1) @ leads_to  # (R, N, 2, S)
    its_shift, its_partner = of_neighbor.halves(2)  # (R, N, 1, S)
    turns = (kpoints * shared.images).sum(1).reshape(-1, n_atoms, 1, n_slots) + shift.reshape(-1, n_atoms, 1, 1) - its_shift
    angle = _angle(turns)
    to_partner = its_partner.equals(counted(n_atoms).cast(FLOAT).reshape(-1, 1)).cast(FLOAT)  # (R, N, N, S)
    weights = concat(2, op("Cos", angle) * leads_to, op("Sin", angle) * to_partner)  # (R, N, 2 N, S)
    parity = np.tile(PARITY, o)  # of the orbital that a block leads to
    signs = kpoints.graph.constant(np.stack([np.ones_like(parity), parity])[:, None])

    def summed(values: Value) -> Value:
        sums = (weights @ values).reshape(0, n_atoms, 2, n_atoms, -1)  # (R, N, 2, N, o * o)
        matrices = (sums * signs).sum(2).reshape(0, n_atoms, n_atoms, o, o).transpose(0, 1, 3, 2, 4)
        return matrices.reshape(-1, n_atoms * o, n_atoms * o)

    matrices = summed(shared.values)
    if shared.overlaps is None:
        return matrices
    product = summed(shared.overlaps) @ matrices
    return matrices - (product + product.transpose(0, 2, 1)) * 0.5


def _angle(turns: Value) -> Value:
    """Whole turns away, in radians."""
    return (turns - op("Round", turns)) * (2.0 * math.pi)
