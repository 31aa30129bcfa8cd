"""Eigenvalues by the graph beside LAPACK's: degenerate ones, flat levels among them, padding, any size."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bandrt.contract import NOWHERE
from tests.support.given_hamiltonians import run

if TYPE_CHECKING:
    from onnx import ModelProto

N_WANTED = 24
TOLERANCE_EV = 3e-4
"""Rounding of fp32, and a millionth of a spectrum of 100 eV."""
ROUNDING_EV = 1e-4
"""Of fp32 in other blocks; of 1e4 eV, that of a padded atom, it would be more."""


@cache
def solver(*, is_real: bool = False) -> ModelProto:
    """Matrices (R, n, 2n), or real ones (R, n, n), flat levels (R, n) and wanted (R, N_WANTED) to eigenvalues."""
    import onnx
    from onnx import TensorProto, helper

    from bandrt_export.eigensolver.graph import Graph
    from bandrt_export.eigensolver.multisection import eigenvalues
    from bandrt_export.eigensolver.tridiagonal import tridiagonal

    graph = Graph.new("")
    flat = graph.value("flat").transpose(1, 0).unsqueeze(2)
    found = eigenvalues(tridiagonal(graph.value("matrix"), is_real=is_real), flat, graph.value("wanted"), N_WANTED, NOWHERE / 2.0)
    graph.nodes.append(helper.make_node("Identity", [found.name], ["eigenvalues"]))
    shapes: dict[str, list[Any]] = {"matrix": ["R", "n", "m"], "flat": ["R", "n"], "wanted": ["R", N_WANTED]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info("eigenvalues", TensorProto.FLOAT, ["R", N_WANTED])]
    body = helper.make_graph(graph.nodes, "eigenvalues", inputs, outputs, list(graph.constants.tensors.values()))
    proto = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def solve(matrices: NDArray[Any], first: int, flat: NDArray[Any] | None = None) -> NDArray[Any]:
    """Eigenvalues (R, N_WANTED) from an index on, by the solver for matrices of their kind."""
    size, n = matrices.shape[:2]
    is_real = not np.iscomplexobj(matrices)
    batch = {
        "matrix": (matrices if is_real else np.concatenate([matrices.real, matrices.imag], axis=2)).astype(np.float32),
        "flat": (np.full((size, n), NOWHERE) if flat is None else flat).astype(np.float32),
        "wanted": np.tile(np.arange(first, first + N_WANTED, dtype=np.float32), (size, 1)),
    }
    return run(solver(is_real=is_real), batch)[0]


def check(found: NDArray[Any], expected: NDArray[Any], first: int) -> None:
    """Compare those that are there; the others are finite."""
    index = np.arange(first, first + N_WANTED)
    there = (index >= 0) & (index < expected.shape[1])
    assert there.any()
    np.testing.assert_allclose(found[:, there], expected[:, index[there]], atol=TOLERANCE_EV, rtol=0)
    assert np.isfinite(found).all()


def random_hermitian(
    rng: np.random.Generator, size: int, n: int, *, degenerate: bool = False, is_real: bool = False
) -> NDArray[Any]:
    """Matrices (size, n, n) with eigenvalues within some 30 eV, in triplets if degenerate."""
    values = rng.uniform(-30.0, 30.0, (size, n))
    if degenerate:
        values = values[:, np.arange(n) // 3]
    mixed = rng.normal(size=(size, n, n))
    vectors = np.linalg.qr(mixed if is_real else mixed + 1j * rng.normal(size=(size, n, n))).Q
    matrices: NDArray[Any] = (vectors * values[:, None]) @ vectors.conj().transpose(0, 2, 1)
    return matrices


@pytest.mark.parametrize("is_real", [False, True], ids=["Hermitian", "real"])
@pytest.mark.parametrize("degenerate", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 9, 12, 13, 18, 27, 45, 90])
def test_eigenvalues_are_those_of_lapack(n: int, degenerate: bool, is_real: bool) -> None:
    matrices = random_hermitian(np.random.default_rng(n), 1 + n % 4, n, degenerate=degenerate, is_real=is_real)
    first = n // 2 - 12
    check(solve(matrices, first), np.linalg.eigvalsh(matrices), first)


@pytest.mark.parametrize("n", [3, 18, 36])
def test_flat_levels_stand_among_them(n: int) -> None:
    rng = np.random.default_rng(n)
    matrices = random_hermitian(rng, 3, n)
    flat = np.where(rng.random((3, n)) < 0.4, rng.uniform(-60.0, 5.0, (3, n)), NOWHERE)
    flat[:, 0] = flat[:, 1] = -12.0  # two that are the same
    merged = np.sort(np.concatenate([np.linalg.eigvalsh(matrices), flat], axis=1), axis=1)
    n_levels = n + int((flat < NOWHERE / 2.0).sum(axis=1).min())
    check(solve(matrices, 0, flat), merged[:, :n_levels], 0)


@pytest.mark.parametrize("is_real", [False, True], ids=["Hermitian", "real"])
@pytest.mark.parametrize("first", [0, 9])
def test_padding_costs_no_digit(first: int, is_real: bool) -> None:
    matrices = random_hermitian(np.random.default_rng(0), 2, 27, is_real=is_real)
    padded = np.zeros((2, 45, 45), matrices.dtype)
    padded[:, :27, :27] = matrices
    padded[:, np.arange(27, 45), np.arange(27, 45)] = NOWHERE
    n_there = min(27 - first, N_WANTED)
    alone, beside = solve(matrices, first)[:, :n_there], solve(padded, first)[:, :n_there]
    np.testing.assert_allclose(beside, alone, atol=ROUNDING_EV, rtol=0)
    check(solve(padded, first), np.linalg.eigvalsh(matrices), first)


def test_a_matrix_that_is_diagonal_already_keeps_its_diagonal() -> None:
    diagonal = np.array([[3.0, -7.5, -7.5, 0.0, 12.0, 3.0, -40.0, 0.25, 1.0]])
    for kind in (float, complex):
        matrices = (diagonal[:, None] * np.eye(9)).astype(kind)
        check(solve(matrices, 0), np.sort(diagonal), 0)
        check(solve(0.0 * matrices, 0), np.zeros((1, 9)), 0)


@pytest.mark.parametrize("kind", [float, complex])
def test_where_all_is_padding_numbers_are_finite(kind: type) -> None:
    assert np.isfinite(solve((NOWHERE * np.eye(18)[None]).astype(kind), -12)).all()


@pytest.mark.parametrize("n", [2, 4, 10])
def test_a_cut_where_a_pivot_is_zero_counts_right(n: int) -> None:
    """The middle of the interval is a cut, and there every other pivot of a chain of two kinds of links is zero."""
    links = np.where(np.arange(n - 1) % 2 == 0, 2.0, 0.5)
    matrices = (np.diag(links, 1) + np.diag(links, -1))[None]
    for kind in (float, complex):
        check(solve(matrices.astype(kind), 0), np.linalg.eigvalsh(matrices), 0)
