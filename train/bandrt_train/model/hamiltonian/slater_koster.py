"""Slater-Koster blocks between atoms with s, p and d orbitals: three projectors for each pair in the place of a table of angles.

Seen along a pair, an orbital has no node around it (sigma), one (pi) or two (delta). Write u (9,) for how much of each orbital of
an atom is sigma and W (3, 9) for what is pi; the rest of d is delta. A block is then ``sigma[shell, shell] u u^T``, plus
``pi[shell, shell] W^T W`` on p and d, plus ``delta (1 - v v^T - w^T w)`` on d, where v and w are the parts of u and W on d.
With d orbitals as symmetric matrices Q without trace, ``trace(Q_a Q_b) = delta_ab``, ``v_a = sqrt(3/2) n Q_a n``.

Source: Slater and Koster, Phys. Rev. 94, 1498 (1954), Table I, with which the tests compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bandrt_train.model.hamiltonian.atoms import N_ORBITALS, SHELL_OF_ORBITAL, SHELLS

N_SHELLS = len(SHELLS)
N_SIGMA, N_PI = N_SHELLS**2, (N_SHELLS - 1) ** 2
N_STRENGTHS = N_SIGMA + N_PI + 1
"""Of a hopping: sigma (3, 3) between shells of the centre (rows) and of the neighbour, pi (2, 2) between p and d, delta."""
N_FIELDS = 10
"""Of the field of a neighbour on an atom: sigma ss, sp, sd, pp, pd, dd; pi pp, pd, dd; delta. It is the same both ways."""
_FIELD_SIGMA, _FIELD_PI = (0, 1, 2, 1, 3, 4, 2, 4, 5), (6, 7, 7, 8)
_SEEN_BACK = (0, 3, 6, 1, 4, 7, 2, 5, 8, 9, 11, 10, 12, 13)
"""Where each strength of a hopping stands when its two ends are exchanged."""
_SIGN = ((1.0, 1.0, 1.0), (-1.0, 1.0, 1.0), (1.0, -1.0, 1.0))
"""Between shells: p changes sign with the direction of the pair, so (s, p) is +n, (p, s) -n, and the way back is the transpose."""
_OF_ORBITALS = tuple(a * N_SHELLS + b for a in SHELL_OF_ORBITAL for b in SHELL_OF_ORBITAL)
"""Where each pair of orbitals finds what holds for its shells."""


def d_matrices() -> Tensor:
    """The d orbitals xy, yz, xz, x2-y2, 3z2-r2 as matrices of second derivatives, (5, 3, 3)."""
    matrices = torch.zeros(5, 3, 3, dtype=torch.float64)
    for orbital, (a, b) in enumerate(((0, 1), (1, 2), (0, 2))):
        matrices[orbital, a, b] = matrices[orbital, b, a] = math.sqrt(0.5)
    matrices[3] = torch.diag(torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)) * math.sqrt(0.5)
    matrices[4] = torch.diag(torch.tensor([-1.0, -1.0, 2.0], dtype=torch.float64)) / math.sqrt(6.0)
    return matrices


class Projectors(NamedTuple):
    """Of E pairs, (E, 9, 9) each, symmetric: what of the orbitals of an atom has no, one and two nodes around the pair."""

    sigma: Tensor
    pi: Tensor
    delta: Tensor


def projectors(direction: Tensor) -> Projectors:
    """Take apart the orbitals as seen along unit vectors (E, 3)."""
    matrices = d_matrices().to(direction)
    v = math.sqrt(1.5) * torch.einsum("aij,ei,ej->ea", matrices, direction, direction)  # (E, 5)
    w = math.sqrt(2.0) * torch.einsum("aij,ej->eia", matrices, direction)  # (E, 3, 5)
    w = w - direction[:, :, None] * torch.einsum("ei,eia->ea", direction, w)[:, None]
    u = torch.cat([torch.ones_like(direction[:, :1]), direction, v], dim=1)  # (E, 9)
    across = torch.eye(3).to(direction) - direction[:, :, None] * direction[:, None]
    pi = torch.cat([torch.zeros_like(direction)[:, :, None], across, w], dim=2)  # (E, 3, 9)
    delta = torch.eye(5).to(direction) - v[:, :, None] * v[:, None] - torch.einsum("eia,eib->eab", w, w)
    first_d = N_ORBITALS - 5
    return Projectors(u[:, :, None] * u[:, None], torch.einsum("eia,eib->eab", pi, pi), F.pad(delta, (first_d, 0, first_d, 0)))


def seen_back(strength: Tensor) -> Tensor:
    """Strengths (E, 14) of hoppings as they are called from the other end."""
    return _pick(strength, _SEEN_BACK)


def hopping_blocks(seen: Projectors, strength: Tensor) -> Tensor:
    """Blocks (E, 9, 9) eV from the orbitals of the centre (rows) to those of the neighbour, of strengths (E, 14) eV."""
    sign = torch.tensor(_SIGN).to(strength)
    sigma = strength[:, :N_SIGMA].reshape(-1, N_SHELLS, N_SHELLS) * sign
    pi = F.pad(strength[:, N_SIGMA:-1].reshape(-1, N_SHELLS - 1, N_SHELLS - 1), (1, 0, 1, 0)) * sign
    return _blocks(seen, sigma, pi, strength[:, -1])


def field_blocks(seen: Projectors, strength: Tensor) -> Tensor:
    """Symmetric blocks (E, 9, 9) eV on the orbitals of the centre, of strengths (E, 10) eV."""
    sigma = _pick(strength, _FIELD_SIGMA).reshape(-1, N_SHELLS, N_SHELLS)
    pi = F.pad(_pick(strength, _FIELD_PI).reshape(-1, N_SHELLS - 1, N_SHELLS - 1), (1, 0, 1, 0))
    return _blocks(seen, sigma, pi, strength[:, -1])


def _blocks(seen: Projectors, sigma: Tensor, pi: Tensor, delta: Tensor) -> Tensor:
    return _of_orbitals(sigma) * seen.sigma + _of_orbitals(pi) * seen.pi + delta[:, None, None] * seen.delta


def _of_orbitals(shells: Tensor) -> Tensor:
    """(E, 3, 3) to (E, 9, 9)."""
    return _pick(shells.flatten(1), _OF_ORBITALS).reshape(-1, N_ORBITALS, N_ORBITALS)


def _pick(values: Tensor, columns: Sequence[int]) -> Tensor:
    """Columns of (E, n): what indexing gives, whose gradient is slow."""
    return values.index_select(1, torch.tensor(columns, device=values.device))
