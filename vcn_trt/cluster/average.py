"""Average linkage to thresholds: the two clusters whose mean similarity is furthest below the mean of their thresholds
become one, until no two are below it. One track bridges no two people, since it is but one voice among all pairs.

Both means are bilinear, so a cluster is the mean of its tracks' vectors. Clusters can only join where some pair of
their tracks is below its threshold: those edges are found in tiles, and each connected group of them is linked by
itself. So the answer is exact while no group is larger than `GROUP`; a larger one is worked in parts, strongest edges
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from vcn_trt.backends.base import TIE, Ops
from vcn_trt.cluster.link import by_first_track, forest, join_in_order, weighted
from vcn_trt.types import Merge

GROUP = 2048
"""Clusters that are linked in one square array, of 16 MiB."""


@dataclass(frozen=True, eq=False)
class Linked:
    """labels: (n,) clusters from 0 in order of their first tracks. merges: of one connected group after the other, in
    the order in which they were made: the nearest two tracks of both clusters, the clusters' similarity and limit."""

    labels: NDArray[np.int64]
    merges: tuple[Merge, ...]


def link_by_average(
    p: NDArray[np.float32],
    l: NDArray[np.float32],  # noqa: E741
    limits: NDArray[np.float64],
    ops: Ops,
    apart: NDArray[np.integer[Any]],
    weak: NDArray[np.bool_],
    tile: int = 256,
) -> Linked:
    """p, l: (n, k) a metric's vectors a track (`metric.Profiles`); limits: (n,) the similarity below which each joins.
    apart: (m, 2) tracks that are two people; weak: (n,) tracks that never join each other, only a cluster with others.
    """
    n = len(p)
    pairs = np.asarray(apart, np.int64).reshape(-1, 2)
    now = _Clusters(p, l, np.asarray(limits, np.float64), np.asarray(weak, np.bool_), np.arange(n))
    merges: list[Merge] = []
    while True:
        joined = np.arange(len(now.p))
        before = len(merges)
        by_cluster = np.split(np.argsort(now.of, kind="stable"), np.cumsum(np.bincount(now.of))[:-1])
        for group in _groups(now, ops, tile):
            closest = _Closest(p, l, [by_cluster[c] for c in group])
            for a, b, similarity, limit in _link(now, group, closest.sizes, now.of[pairs]):
                first, second = closest.join(a, b)
                merges.append(Merge(len(merges), first, second, similarity, limit))
                joined[group[b]] = group[a]
        if len(merges) == before:
            return Linked(by_first_track(now.of), tuple(merges))
        while (joined[joined] != joined).any():  # what joined a cluster that then joined another
            joined = joined[joined]
        now = now.joined(p, l, limits, weak, joined)


@dataclass(frozen=True, eq=False)
class _Clusters:
    """The means of the clusters' tracks, and the cluster of each track. weak: those of weak tracks alone."""

    p: NDArray[np.float32]
    l: NDArray[np.float32]  # noqa: E741
    limits: NDArray[np.float64]
    weak: NDArray[np.bool_]
    of: NDArray[np.int64]

    def joined(
        self,
        p: NDArray[np.float32],
        l: NDArray[np.float32],  # noqa: E741
        limits: NDArray[np.float64],
        weak: NDArray[np.bool_],
        group: NDArray[np.int64],
    ) -> _Clusters:
        """group: (n_clusters,) which of them become one."""
        of = np.unique(group[self.of], return_inverse=True)[1]
        count = np.bincount(of)
        mean = csr_array((1 / count[of], (of, np.arange(len(of)))), shape=(len(count), len(of)))
        alone = np.bincount(of, ~weak) == 0
        return _Clusters(weighted(mean, p), weighted(mean, l), mean @ limits, alone, of)


def _groups(now: _Clusters, ops: Ops, tile: int) -> list[NDArray[np.int64]]:
    """Clusters that edges below their limits hold together, rising, in order of their first; no more than `GROUP`, the
    strongest edges first."""
    top = float(now.limits.max(initial=0.0))
    # One more number each, and every pair's similarity is told from its own limit: below `top` is below that.
    p = np.hstack([now.p, np.ones((len(now.p), 1), np.float32)])
    l = np.hstack([now.l, (now.limits - top)[:, None].astype(np.float32)])  # noqa: E741
    edges = forest(ops.pair_edges(p, l, np.full(len(p), top), "mean", tile), len(p))
    members: dict[int, list[int]] = {}

    def may_join(a: int, b: int) -> bool:
        return len(members.get(a, [a])) + len(members.get(b, [b])) <= GROUP

    def join(a: int, b: int) -> None:
        members[a] = members.get(a, [a]) + members.pop(b, [b])

    join_in_order(edges, may_join, join)
    return [np.sort(np.array(m)) for _, m in sorted((min(m), m) for m in members.values())]


def _link(
    now: _Clusters, group: NDArray[np.int64], sizes: NDArray[np.float64], apart: NDArray[np.int64]
) -> Iterator[tuple[int, int, float, float]]:
    """The merges within a group: places a < b in it, which become a, with their similarity and limit."""
    m = len(group)
    p, l = now.p[group].astype(np.float64), now.l[group].astype(np.float64)  # noqa: E741
    similarity = -(p @ l.T + l @ p.T) / 2
    limit, weight, weak = now.limits[group].copy(), sizes.copy(), now.weak[group].copy()
    place = np.full(len(now.p), -1)
    place[group] = np.arange(m)
    banned = np.eye(m, dtype=bool)
    a, b = place[apart].T
    inside = (a >= 0) & (b >= 0)
    banned[a[inside], b[inside]] = banned[b[inside], a[inside]] = True

    def gains(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        gain = (limit[rows, None] + limit) / 2 - similarity[rows]
        gain[banned[rows] | (weak[rows, None] & weak)] = -np.inf
        return gain

    rows = np.arange(m)
    found = gains(rows)
    best, gain = found.argmax(1), found.max(1)
    while True:
        i = int(gain.argmax())
        j = int(best[i])
        least = (limit[i] + limit[j]) / 2
        if not gain[i] > TIE * abs(least):
            return
        i, j = min(i, j), max(i, j)
        yield i, j, float(similarity[i, j]), float(least)
        both = weight[i] + weight[j]
        similarity[i] = similarity[:, i] = (weight[i] * similarity[i] + weight[j] * similarity[j]) / both
        limit[i] = (weight[i] * limit[i] + weight[j] * limit[j]) / both
        weight[i], weak[i] = both, weak[i] and weak[j]
        banned[i] |= banned[j]
        banned[:, i] |= banned[:, j]
        banned[j], banned[:, j] = True, True
        gain[j] = -np.inf
        # Who was nearest to either has to look anew; to everyone else the new cluster is one more that may be nearer.
        stale = np.flatnonzero(np.isfinite(gain) & ((best == i) | (best == j)))
        stale = np.union1d(stale, [i])
        found = gains(stale)
        best[stale], gain[stale] = found.argmax(1), found.max(1)
        to_new = found[np.searchsorted(stale, i)]
        nearer = (to_new > gain) | ((to_new == gain) & (i < best))
        best[nearer], gain[nearer] = i, to_new[nearer]


class _Closest:
    """The two nearest tracks of any two clusters of a group, while clusters join: of the parts' pairs, the nearer."""

    def __init__(
        self,
        p: NDArray[np.float32],
        l: NDArray[np.float32],  # noqa: E741
        tracks: list[NDArray[np.int64]],
    ) -> None:
        self.sizes = np.array([float(len(t)) for t in tracks])
        every = np.concatenate(tracks)
        starts = np.concatenate([[0], np.cumsum(self.sizes[:-1])]).astype(np.int64)
        m = len(tracks)
        self.near = np.empty((m, m), np.float32)
        self.one, self.other = np.empty((m, m), np.int64), np.empty((m, m), np.int64)
        for i, own in enumerate(tracks):
            rows = p[own] @ l[every].T + l[own] @ p[every].T  # higher is nearer
            best = rows.argmax(0)
            top = rows[best, np.arange(len(every))]
            self.near[i] = np.maximum.reduceat(top, starts)
            for j in range(m) if len(every) > m else ():
                span = slice(starts[j], starts[j] + len(tracks[j]))
                at = int(starts[j] + top[span].argmax())
                self.one[i, j], self.other[i, j] = own[best[at]], every[at]
            if len(every) == m:
                self.one[i], self.other[i] = own[0], every

    def join(self, i: int, j: int) -> tuple[int, int]:
        """The nearest tracks of both, the lower number first; j becomes part of i."""
        first, second = sorted((int(self.one[i, j]), int(self.other[i, j])))
        nearer = self.near[j] > self.near[i]
        for table in (self.near, self.one, self.other):
            table[i, nearer] = table[j, nearer]
        self.near[nearer, i] = self.near[j, nearer]
        self.one[nearer, i], self.other[nearer, i] = self.other[j, nearer], self.one[j, nearer]
        return first, second
