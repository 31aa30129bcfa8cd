"""Closed walks over all lines."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from bandrt.kpaths.eulerian import closed_walk

Edges = tuple[tuple[int, int], ...]


def passes(walk: tuple[int, ...]) -> Counter[frozenset[int]]:
    return Counter(frozenset(step) for step in pairwise(walk))


def random_connected_graph(seed: int) -> tuple[int, Edges]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    tree = {(int(rng.integers(0, node)), node) for node in range(1, n)}
    more = {pair for pair in combinations(range(n), 2) if rng.random() < 0.3}
    return n, tuple(sorted(tree | more))


def fewest_repeats(n: int, edges: Edges) -> int:
    """By trying every way to pair the odd nodes."""
    hops = np.full((n, n), 99)
    np.fill_diagonal(hops, 0)
    for a, b in edges:
        hops[a, b] = hops[b, a] = 1
    for k in range(n):
        hops = np.minimum(hops, hops[:, k : k + 1] + hops[k : k + 1])

    def best(left: list[int]) -> int:
        if not left:
            return 0
        first, *others = left
        return min(int(hops[first, other]) + best([x for x in others if x != other]) for other in others)

    degree = Counter(node for edge in edges for node in edge)
    return best([node for node in range(n) if degree[node] % 2])


@pytest.mark.parametrize("seed", range(60))
def test_every_line_is_walked_with_as_few_repeats_as_possible(seed: int) -> None:
    n, edges = random_connected_graph(seed)
    walk = closed_walk(n, edges)
    assert walk[0] == walk[-1] == 0
    assert set(passes(walk)) == {frozenset(edge) for edge in edges}
    assert len(walk) - 1 == len(edges) + fewest_repeats(n, edges)


@pytest.mark.parametrize("seed", range(10))
def test_the_order_and_direction_of_the_lines_do_not_matter(seed: int) -> None:
    n, edges = random_connected_graph(seed)
    shuffled = tuple((b, a) for a, b in reversed(edges))
    assert closed_walk(n, shuffled) == closed_walk(n, edges)


def test_a_star_is_walked_there_and_back() -> None:
    assert closed_walk(4, ((0, 1), (0, 2), (0, 3))) == (0, 1, 0, 2, 0, 3, 0)


def test_a_ring_is_walked_once() -> None:
    assert closed_walk(4, ((0, 1), (1, 2), (2, 3), (3, 0))) == (0, 1, 2, 3, 0)


def test_parts_apart_from_gamma_are_joined_to_it_at_their_first_node() -> None:
    walk = closed_walk(6, ((0, 1), (3, 2), (4, 5)))
    assert set(passes(walk)) == {frozenset(edge) for edge in ((0, 1), (2, 3), (0, 2), (4, 5), (0, 4))}


def test_points_on_no_line_are_not_visited() -> None:
    assert closed_walk(4, ((0, 2),)) == (0, 2, 0)
    assert closed_walk(3, ()) == (0,)


def test_twenty_odd_nodes_are_paired() -> None:
    star = tuple((0, node) for node in range(1, 21))
    assert len(closed_walk(21, star)) == 41
