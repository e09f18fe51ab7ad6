"""Which of a round's matches become merges: all (Algorithm 1), or those that a guard against chaining lets through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from vcn_trt.backends.base import Edges

_BUFFER = 1 << 22  # edges held before all but a spanning forest of them are let go

NO_EDGES = Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


class Apart:
    """Pairs of clusters that must not meet, as tracks seen in one frame."""

    def __init__(self, pairs: NDArray[np.int64], n: int) -> None:
        """pairs: (m, 2) of n clusters."""
        low, high = np.minimum(pairs[:, 0], pairs[:, 1]), np.maximum(pairs[:, 0], pairs[:, 1])
        self.n = n
        self.codes = np.unique(low * n + high)
        self.of: dict[int, set[int]] = defaultdict(set)
        for code in self.codes.tolist():
            self.of[code // n].add(code % n)
            self.of[code % n].add(code // n)

    def filter(self, tiles: Iterable[Edges]) -> Iterator[Edges]:
        """The edges between clusters that may meet."""
        for e in tiles:
            keep = ~np.isin(e.a * self.n + e.b, self.codes)
            yield Edges(e.a[keep], e.b[keep], e.similarity[keep])

    def may_join(self, a: int, b: int) -> bool:
        return b not in self.of[a]

    def join(self, a: int, b: int) -> None:
        """b becomes part of a."""
        for other in self.of.pop(b, set()):
            self.of[other].discard(b)
            self.of[other].add(a)
            self.of[a].add(other)


def forest(tiles: Iterable[Edges], n: int) -> Edges:
    """A minimum spanning forest of all edges, nearest first: what holds each connected component together. At no time
    are more than a few million edges held."""
    kept, held, waiting = NO_EDGES, 0, [NO_EDGES]
    for edges in tiles:
        waiting.append(edges)
        held += len(edges.a)
        if held > _BUFFER:
            kept, held, waiting = _spanning([kept, *waiting], n), 0, []
    return _spanning([kept, *waiting], n)


def mutual(tiles: Iterable[Edges], n: int) -> Edges:
    """The edges of which each end is the other's nearest, nearest first. Ties go to the lower number."""
    best = np.full(n, np.inf, np.float32)
    partner = np.full(n, -1)
    for e in tiles:
        a, b, s = np.concatenate([e.a, e.b]), np.concatenate([e.b, e.a]), np.tile(e.similarity, 2)
        order = np.lexsort((b, s, a))
        first = order[np.unique(a[order], return_index=True)[1]]
        a, b, s = a[first], b[first], s[first]
        nearer = (s < best[a]) | ((s == best[a]) & (b < partner[a]))
        best[a[nearer]], partner[a[nearer]] = s[nearer], b[nearer]
    one = np.flatnonzero(partner >= 0)
    one = one[(partner[partner[one]] == one) & (one < partner[one])]
    one = one[np.argsort(best[one], kind="stable")]
    return Edges(one, partner[one], best[one])


def join_in_order(
    edges: Edges, may_join: Callable[[int, int], bool], join: Callable[[int, int], None]
) -> NDArray[np.bool_]:
    """Walk the edges, nearest first, and join the two groups of each that may be joined. may_join and join are given
    the numbers by which groups go at that time; `join(a, b)` leaves them as a. -> the edges that joined (m,)"""
    group: dict[int, int] = {}

    def find(x: int) -> int:
        while group.get(x, x) != x:
            group[x] = group.get(group[x], group[x])
            x = group[x]
        return x

    joined = np.zeros(len(edges.a), bool)
    for i, (a, b) in enumerate(zip(edges.a.tolist(), edges.b.tolist(), strict=True)):
        one, other = sorted((find(a), find(b)))
        if one != other and may_join(one, other):
            join(one, other)
            group[other] = one
            joined[i] = True
    return joined


def by_first_track(of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Any numbering of clusters to one from 0, in order of their first tracks. (n_tracks,)"""
    _, first, group = np.unique(of, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[group])


def averaging(of: NDArray[np.integer[Any]]) -> Any:
    """The sparse matrix that makes means over clusters of what there is of their tracks. of: (n,) the cluster of each
    track, none of them empty. (n_clusters, n)"""
    count = np.bincount(of)
    return csr_array((1 / count[of], (of, np.arange(len(of)))), shape=(len(count), len(of)))


def weighted(share: Any, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted sums of rows in float64, some columns at a time."""
    out = np.empty((share.shape[0], rows.shape[1]), np.float32)
    for i in range(0, rows.shape[1], 128):
        out[:, i : i + 128] = share @ rows[:, i : i + 128].astype(np.float64)
    return out


def _spanning(parts: list[Edges], n: int) -> Edges:
    a, b, s = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(a) > 8 * n:
        # Most edges lie within what the nearest few hold together already (Filter-Kruskal, Osipov et al. 2009).
        few = len(a) // 6
        near = s <= np.partition(s, few)[few]
        tree = _tree(a[near], b[near], s[near], n)
        _, group = connected_components(coo_array((np.ones(len(tree.a)), (tree.a, tree.b)), shape=(n, n)), False)
        apart = ~near & (group[a] != group[b])
        a, b, s = (np.concatenate([x, y[apart]]) for x, y in zip(tree, (a, b, s), strict=True))
    return _tree(a, b, s, n)


def _tree(a: NDArray[np.int64], b: NDArray[np.int64], s: NDArray[np.float32], n: int) -> Edges:
    order = _by_similarity(a, b, s)
    a, b, s = a[order], b[order], s[order]
    # The rank as weight: above 0, as the sparse form demands, without ties, and it leads back to the edge.
    tree = minimum_spanning_tree(coo_array((np.arange(1.0, len(a) + 1), (a, b)), shape=(n, n)).tocsr())
    rank = np.sort(tree.data.astype(np.int64)) - 1
    return Edges(a[rank], b[rank], s[rank])


def _by_similarity(a: NDArray[np.int64], b: NDArray[np.int64], s: NDArray[np.float32]) -> NDArray[np.int64]:
    """np.lexsort((b, a, s)) of a < b in less time: ties alone are sorted once more, by a number that stands for all
    three."""
    order = np.argsort(s)
    rising = s[order]
    same = rising[1:] == rising[:-1]
    tied = np.flatnonzero(np.r_[same, False] | np.r_[False, same])
    some, n = order[tied], int(b.max(initial=0)) + 1
    value = np.cumsum(~same[tied[1:] - 1])  # counts the values among the ties, which are next to each other
    order[tied] = some[np.argsort((np.r_[0, value][: len(some)] * n + a[some]) * n + b[some])]
    return np.asarray(order)
