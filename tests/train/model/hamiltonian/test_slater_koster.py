"""Blocks between orbitals: the table of 1954, rotations, and what is left of them along an axis."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bandrt_train.model.hamiltonian.slater_koster import (
    N_FIELDS,
    N_STRENGTHS,
    d_matrices,
    field_blocks,
    hopping_blocks,
    projectors,
    seen_back,
)

ROUNDING = 1e-12
Strengths = dict[str, float]
NAMES = ("sss", "sps", "sds", "pss", "pps", "pds", "dss", "dps", "dds", "ppp", "pdp", "dpp", "ddp", "ddd")
"""Shell of the centre, shell of the neighbour, and s, p or d for sigma, pi, delta, in the order of the strengths."""


def table(n: np.ndarray, v: Strengths) -> np.ndarray:
    """Slater and Koster's Table I, written out, (9, 9); what it leaves out comes from exchanging axes or ends."""
    x, y, z = n
    r3 = math.sqrt(3.0)
    block = np.zeros((9, 9))
    sd = np.array([r3 * x * y, r3 * y * z, r3 * x * z, r3 / 2 * (x**2 - y**2), z**2 - (x**2 + y**2) / 2])
    block[0, 0] = v["sss"]
    block[0, 1:4], block[1:4, 0] = v["sps"] * n, -v["pss"] * n
    block[0, 4:], block[4:, 0] = v["sds"] * sd, v["dss"] * sd
    for a in range(3):
        for b in range(3):
            block[1 + a, 1 + b] = n[a] * n[b] * (v["pps"] - v["ppp"]) + (v["ppp"] if a == b else 0.0)

    def pd(s: float, p: float) -> np.ndarray:
        u, w, q = x**2 - y**2, z**2 - (x**2 + y**2) / 2, x**2 + y**2
        mixed = x * y * z * (r3 * s - 2 * p)

        def near(a: float, b: float) -> float:  # of p along a and d along a and b
            return r3 * a * a * b * s + b * (1 - 2 * a * a) * p

        return np.array(
            [
                [near(x, y), mixed, near(x, z), r3 / 2 * x * u * s + x * (1 - u) * p, x * w * s - r3 * x * z * z * p],
                [near(y, x), near(y, z), mixed, r3 / 2 * y * u * s - y * (1 + u) * p, y * w * s - r3 * y * z * z * p],
                [mixed, near(z, y), near(z, x), r3 / 2 * z * u * s - z * u * p, z * w * s + r3 * z * q * p],
            ]
        )

    block[1:4, 4:], block[4:, 1:4] = pd(v["pds"], v["pdp"]), -pd(v["dps"], v["dpp"]).T
    block[4:, 4:] = dd(x, y, z, v["dds"], v["ddp"], v["ddd"])
    return block


def dd(x: float, y: float, z: float, s: float, p: float, d: float) -> np.ndarray:
    """The part of the table between d orbitals."""
    r3, u, w, q = math.sqrt(3.0), x**2 - y**2, z**2 - (x**2 + y**2) / 2, x**2 + y**2
    upper = np.zeros((5, 5))
    upper[0, 0] = 3 * x**2 * y**2 * s + (q - 4 * x**2 * y**2) * p + (z**2 + x**2 * y**2) * d
    upper[1, 1] = 3 * y**2 * z**2 * s + (y**2 + z**2 - 4 * y**2 * z**2) * p + (x**2 + y**2 * z**2) * d
    upper[2, 2] = 3 * x**2 * z**2 * s + (x**2 + z**2 - 4 * x**2 * z**2) * p + (y**2 + x**2 * z**2) * d
    upper[0, 1] = 3 * x * y**2 * z * s + x * z * (1 - 4 * y**2) * p + x * z * (y**2 - 1) * d
    upper[0, 2] = 3 * x**2 * y * z * s + y * z * (1 - 4 * x**2) * p + y * z * (x**2 - 1) * d
    upper[1, 2] = 3 * z**2 * x * y * s + x * y * (1 - 4 * z**2) * p + x * y * (z**2 - 1) * d
    upper[0, 3] = 1.5 * x * y * u * s - 2 * x * y * u * p + 0.5 * x * y * u * d
    upper[1, 3] = 1.5 * y * z * u * s - y * z * (1 + 2 * u) * p + y * z * (1 + 0.5 * u) * d
    upper[2, 3] = 1.5 * z * x * u * s + z * x * (1 - 2 * u) * p - z * x * (1 - 0.5 * u) * d
    upper[0, 4] = r3 * x * y * w * s - 2 * r3 * x * y * z**2 * p + r3 / 2 * x * y * (1 + z**2) * d
    upper[1, 4] = r3 * y * z * w * s + r3 * y * z * (q - z**2) * p - r3 / 2 * y * z * q * d
    upper[2, 4] = r3 * x * z * w * s + r3 * x * z * (q - z**2) * p - r3 / 2 * x * z * q * d
    upper[3, 3] = 0.75 * u**2 * s + (q - u**2) * p + (z**2 + u**2 / 4) * d
    upper[3, 4] = r3 / 2 * u * w * s - r3 * z**2 * u * p + r3 / 4 * (1 + z**2) * u * d
    upper[4, 4] = w**2 * s + 3 * z**2 * q * p + 0.75 * q**2 * d
    return upper + np.triu(upper, 1).T


def random_directions(n: int, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def random_strengths(n: int, width: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(seed: int = 2) -> torch.Tensor:
    """A rotation of space, drawn."""
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return q * torch.sign(torch.linalg.det(q))


def of_orbitals(turn: torch.Tensor) -> torch.Tensor:
    """What a rotation does to the nine orbitals, (9, 9)."""
    matrices, turned = d_matrices().double(), torch.zeros(9, 9, dtype=torch.float64)
    turned[0, 0], turned[1:4, 1:4] = 1.0, turn
    turned[4:, 4:] = torch.einsum("aij,ik,jl,bkl->ab", matrices, turn, turn, matrices)
    return turned


def test_blocks_are_those_of_the_table_of_slater_and_koster() -> None:
    directions, strengths = random_directions(20), random_strengths(20, N_STRENGTHS)
    blocks = hopping_blocks(projectors(directions), strengths)
    for direction, strength, block in zip(directions, strengths, blocks, strict=True):
        expected = table(direction.numpy(), dict(zip(NAMES, strength.tolist(), strict=True)))
        np.testing.assert_allclose(block.numpy(), expected, atol=ROUNDING)


def test_orbitals_turn_with_the_crystal() -> None:
    turn, directions = rotation(), random_directions(8)
    orbitals = of_orbitals(turn)
    for blocks, strength in ((hopping_blocks, random_strengths(8, N_STRENGTHS)), (field_blocks, random_strengths(8, N_FIELDS))):
        own, turned = blocks(projectors(directions), strength), blocks(projectors(directions @ turn.T), strength)
        torch.testing.assert_close(turned, orbitals @ own @ orbitals.T, atol=ROUNDING, rtol=0.0)


def test_the_way_back_is_the_transpose() -> None:
    directions, strengths = random_directions(8), random_strengths(8, N_STRENGTHS)
    there, back = projectors(directions), projectors(-directions)
    forth = hopping_blocks(there, strengths)
    torch.testing.assert_close(hopping_blocks(back, seen_back(strengths)), forth.mT, atol=ROUNDING, rtol=0.0)


def test_the_parts_of_an_orbital_add_up_to_it() -> None:
    seen = projectors(random_directions(5))
    for first, end in ((0, 1), (1, 4), (4, 9)):
        parts = seen.sigma[:, first:end, first:end] + seen.pi[:, first:end, first:end] + seen.delta[:, first:end, first:end]
        torch.testing.assert_close(parts, torch.eye(end - first, dtype=torch.float64).expand_as(parts), atol=ROUNDING, rtol=0.0)


def test_fields_are_the_same_both_ways_and_split_a_d_shell_in_an_octahedron_as_in_textbooks() -> None:
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    strength = torch.zeros(6, N_FIELDS, dtype=torch.float64)
    strength[:, 5] = 1.0  # sigma of d
    field = field_blocks(projectors(axes), strength).sum(dim=0)
    torch.testing.assert_close(field, field.mT)
    levels = torch.linalg.eigvalsh(field[4:, 4:])
    np.testing.assert_allclose(levels, [0.0, 0.0, 0.0, 3.0, 3.0], atol=ROUNDING)  # t2g below eg


@pytest.mark.parametrize("axis", range(3))
def test_along_an_axis_orbitals_meet_only_their_like(axis: int) -> None:
    direction = torch.eye(3, dtype=torch.float64)[axis : axis + 1]
    strength = torch.zeros(1, N_STRENGTHS, dtype=torch.float64)
    strength[0, NAMES.index("pps")], strength[0, NAMES.index("ppp")] = 2.0, -0.5
    [block] = hopping_blocks(projectors(direction), strength)
    expected = torch.full((3,), -0.5, dtype=torch.float64)
    expected[axis] = 2.0
    torch.testing.assert_close(block[1:4, 1:4], torch.diag(expected), atol=ROUNDING, rtol=0.0)
