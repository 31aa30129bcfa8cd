"""One continuous closed walk over all lines of a path, starting and ending at Γ."""

from __future__ import annotations

from collections import deque
from functools import cache, lru_cache


@lru_cache(maxsize=1024)
def closed_walk(n_nodes: int, edges: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Walk over every edge at least once, from node 0 back to node 0, repeating as few edges as possible.

    This is the Chinese postman problem with every edge counted as one: nodes with an odd number of edges are matched
    in pairs so that the edges repeated between them are fewest, and the graph so completed is walked along an Eulerian
    circuit. All choices go to the lowest node index, so equal graphs give equal walks.

    A part of the graph that node 0 cannot reach is joined to it by one extra edge, from node 0 to the part's node of
    lowest index. Nodes without edges are not visited.

    Args:
        n_nodes: number of nodes.
        edges: pairs of node indices; order and direction do not matter.

    Returns:
        Node indices in walk order; the first and the last are 0.
    """
    neighbors: list[set[int]] = [set() for _ in range(n_nodes)]
    for a, b in edges:
        neighbors[a].add(b)
        neighbors[b].add(a)
    _bridge(neighbors)
    came_from = [_breadth_first(neighbors, start) for start in range(n_nodes)]
    odd = [node for node in range(n_nodes) if len(neighbors[node]) % 2]
    passes = {(a, b): 1 for a in range(n_nodes) for b in neighbors[a]}  # both directions of each edge
    for a, b in _closest_pairs(odd, came_from):
        for step in _edges_between(a, b, came_from):
            passes[step] += 1
            passes[step[::-1]] += 1
    return _circuit(neighbors, passes)


def _bridge(neighbors: list[set[int]]) -> None:
    """Join every part that node 0 cannot reach to it."""
    reached = set(_breadth_first(neighbors, 0))
    for node in range(1, len(neighbors)):
        if neighbors[node] and node not in reached:
            neighbors[0].add(node)
            neighbors[node].add(0)
            reached |= set(_breadth_first(neighbors, node))


def _breadth_first(neighbors: list[set[int]], start: int) -> dict[int, int]:
    """Map each node that `start` reaches to the node before it on a shortest way; `start` maps to itself."""
    came_from = {start: start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for other in sorted(neighbors[node]):
            if other not in came_from:
                came_from[other] = node
                queue.append(other)
    return came_from


def _edges_between(a: int, b: int, came_from: list[dict[int, int]]) -> list[tuple[int, int]]:
    """Edges of the shortest way from a to b."""
    steps = []
    while b != a:
        steps.append((came_from[a][b], b))
        b = came_from[a][b]
    return steps


def _closest_pairs(odd: list[int], came_from: list[dict[int, int]]) -> tuple[tuple[int, int], ...]:
    """Pair the odd nodes so that the ways between partners have the fewest edges in all."""
    hops = {(a, b): len(_edges_between(a, b, came_from)) for a in odd for b in odd}

    @cache
    def best(left: tuple[int, ...]) -> tuple[int, tuple[tuple[int, int], ...]]:
        if not left:
            return 0, ()
        first, others = left[0], left[1:]
        options = []
        for i, partner in enumerate(others):
            cost, pairs = best(others[:i] + others[i + 1 :])
            options.append((cost + hops[first, partner], ((first, partner), *pairs)))
        return min(options)

    return best(tuple(odd))[1]


def _circuit(neighbors: list[set[int]], passes: dict[tuple[int, int], int]) -> tuple[int, ...]:
    """Use every edge exactly as often as `passes` says, from node 0 back to it (Hierholzer's algorithm)."""
    stack, walk = [0], []
    while stack:
        node = stack[-1]
        onward = next((other for other in sorted(neighbors[node]) if passes[node, other]), None)
        if onward is None:
            walk.append(stack.pop())
        else:
            passes[node, onward] -= 1
            passes[onward, node] -= 1
            stack.append(onward)
    return tuple(reversed(walk))
