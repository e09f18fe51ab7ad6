"""Average linkage to thresholds: the two clusters whose mean similarity is furthest below the mean of their thresholds
become one, until no two are below it. One track bridges no two people, since it is but one voice among all pairs.

Both means are bilinear, so a cluster is the mean of its tracks' vectors. Clusters can only join where some pair of
their tracks is below its threshold: those edges are found in tiles, and each connected group of them is linked by
itself. So the answer is exact while no group is larger than `GROUP`; a larger one is worked in parts, strongest edges
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from vcn_trt.backends.base import TIE, Ops
from vcn_trt.cluster.link import by_first_track, forest, join_in_order, weighted
from vcn_trt.overlap import cores, map_ahead
from vcn_trt.types import Merge

Floats = NDArray[np.float32]

GROUP = 2048
"""Clusters that are linked in one square array, of 32 MiB."""

AT_ONCE = 256
"""Clusters of a group above which all that are each other's best join at once, and not one pair after the other."""


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
    tile: int = 64,
    together: NDArray[np.int64] | None = None,
) -> Linked:
    """p, l: (n, k) a metric's vectors a track (`metric.Profiles`); limits: (n,) the similarity below which each joins.
    apart: (m, 2) tracks that are two people; weak: (n,) tracks that never join each other, only a cluster with others.
    together: (n,) equal numbers for tracks that are known to be one person, which is no merge.
    """
    n = len(p)
    pairs = np.asarray(apart, np.int64).reshape(-1, 2)
    now = _Clusters(p, l, np.asarray(limits, np.float64), np.asarray(weak, np.bool_), np.arange(n))
    if together is not None:
        now = now.joined(p, l, limits, weak, together)
    merges: list[Merge] = []
    while True:
        joined = np.arange(len(now.p))
        before = len(merges)
        by_cluster = np.split(np.argsort(now.of, kind="stable"), np.cumsum(np.bincount(now.of))[:-1])
        of_group = partial(_merges, now, by_cluster, p, l, now.of[pairs])
        for _, found in map_ahead(of_group, _groups(now, ops, tile), cores()):
            for a, b, merge in found:
                merges.append(replace(merge, round=len(merges)))
                joined[b] = a
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


def _merges(
    now: _Clusters,
    by_cluster: list[NDArray[np.int64]],
    p: Floats,
    l: Floats,  # noqa: E741
    apart: NDArray[np.int64],
    group: NDArray[np.int64],
) -> list[tuple[int, int, Merge]]:
    """What joins within a group: clusters a and b, which become a, and the merge, whose number is not yet known."""
    between = _similarities(now.p[group], now.l[group])
    parts = [by_cluster[c] for c in group]
    closest = _Closest(p, l, parts, between)
    return [
        (int(group[a]), int(group[b]), Merge(0, *closest.join(a, b), similarity, limit))
        for a, b, similarity, limit in _link(now, group, between, [len(part) for part in parts], apart)
    ]


def _similarities(p: Floats, l: Floats) -> NDArray[np.float64]:  # noqa: E741
    one_way = p.astype(np.float64) @ l.astype(np.float64).T
    return np.asarray(-(one_way + one_way.T) / 2)


def _link(
    now: _Clusters,
    group: NDArray[np.int64],
    similarity: NDArray[np.float64],
    sizes: list[int],
    apart: NDArray[np.int64],
) -> Iterator[tuple[int, int, float, float]]:
    """The merges within a group: places a < b in it, which become a, with their similarity and limit. similarity:
    (m, m) of the group, worked in place; sizes: its clusters' numbers of tracks."""
    m = len(group)
    limit, weight, weak = now.limits[group].copy(), np.array(sizes, np.float64), now.weak[group].copy()
    place = np.full(len(now.p), -1)
    place[group] = np.arange(m)
    # By how much each pair is below its limit: a mean over pairs of tracks as both of its parts are.
    gains = np.subtract((limit[:, None] + limit) / 2, similarity, out=similarity)
    np.fill_diagonal(gains, -np.inf)
    a, b = place[apart].T
    inside = (a >= 0) & (b >= 0)
    gains[a[inside], b[inside]] = gains[b[inside], a[inside]] = -np.inf

    places = np.arange(m)
    while len(places) > AT_ONCE:
        a, b = _reciprocal(gains, limit, weak)
        if not len(a):
            break
        least = (limit[a] + limit[b]) / 2
        yield from zip(
            places[a].tolist(), places[b].tolist(), (least - gains[a, b]).tolist(), least.tolist(), strict=True
        )
        mine, its = weight[a] / (weight[a] + weight[b]), weight[b] / (weight[a] + weight[b])
        gains[a] = mine[:, None] * gains[a] + its[:, None] * gains[b]
        gains[:, a] = mine * gains[:, a] + its * gains[:, b]
        limit[a] = mine * limit[a] + its * limit[b]
        weight[a] += weight[b]
        weak[a] &= weak[b]
        rest = np.delete(np.arange(len(places)), b)
        gains, limit, weight, weak = gains[np.ix_(rest, rest)], limit[rest], weight[rest], weak[rest]
        places = places[rest]

    def allowed(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        found = gains[rows]
        if weak[rows].any():
            found[weak[rows, None] & weak] = -np.inf
        return found

    found = allowed(np.arange(len(places)))
    best, gain = found.argmax(1), found.max(1)
    del found
    while True:
        i = int(gain.argmax())
        j = int(best[i])
        least = (limit[i] + limit[j]) / 2
        if not gain[i] > TIE * abs(least):
            return
        i, j = min(i, j), max(i, j)
        yield int(places[i]), int(places[j]), float(least - gains[i, j]), float(least)
        both = weight[i] + weight[j]
        mean = (weight[i] * gains[i] + weight[j] * gains[j]) / both  # -inf of either stays
        mean[[i, j]] = -np.inf
        gains[i] = gains[:, i] = mean
        gains[j] = gains[:, j] = -np.inf
        limit[i] = (weight[i] * limit[i] + weight[j] * limit[j]) / both
        weight[i], weak[i] = both, weak[i] and weak[j]
        gain[j] = -np.inf
        # Who was nearest to either has to look anew; to everyone else the new cluster is one more that may be nearer.
        stale = np.flatnonzero((best == i) | (best == j))
        stale = np.union1d(stale[np.isfinite(gain[stale])], [i])
        found = allowed(stale)
        best[stale], gain[stale] = found.argmax(1), found.max(1)
        to_new = found[np.searchsorted(stale, i)]
        nearer = (to_new > gain) | ((to_new == gain) & (i < best))
        best[nearer], gain[nearer] = i, to_new[nearer]


def _reciprocal(
    gains: NDArray[np.float64], limit: NDArray[np.float64], weak: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs a < b that are each other's best by far enough: no merge of others brings either anything better, since
    a gain is a mean, so they join in whatever order (Murtagh 1983). What weak ones would gain from each other counts
    against both, as it may come to either by another."""
    best = gains.argmax(1)
    a = np.flatnonzero((best[best] == np.arange(len(best))) & (np.arange(len(best)) < best))
    b = best[a]
    enough = gains[a, b] > TIE * np.abs(limit[a] + limit[b]) / 2
    enough &= ~(weak[a] & weak[b])
    return a[enough], b[enough]


class _Closest:
    """The two nearest tracks of any two clusters of a group, while clusters join: of the two parts that are nearest."""

    def __init__(self, p: Floats, l: Floats, tracks: list[NDArray[np.int64]], similarity: NDArray[np.float64]) -> None:  # noqa: E741
        """tracks: of each part, the clusters as they were at first; similarity: (m, m) of the parts."""
        self._p, self._l, self._tracks = p, l, tracks
        self._near = similarity.astype(np.float32)
        m = len(tracks)
        self._one, self._other = (np.ascontiguousarray(x, np.int32) for x in np.indices((m, m)))

    def join(self, i: int, j: int) -> tuple[int, int]:
        """The nearest tracks of both, the lower number first; j becomes part of i."""
        a, b = (self._tracks[part[i, j]] for part in (self._one, self._other))
        x, y = (0, 0) if len(a) == len(b) == 1 else self._nearest(a, b)
        near, one, other = self._near, self._one, self._other
        nearer = near[j] < near[i]
        near[i] = near[:, i] = np.where(nearer, near[j], near[i])
        one[i] = other[:, i] = np.where(nearer, one[j], one[i])
        other[i] = one[:, i] = np.where(nearer, other[j], other[i])
        first, second = sorted((int(a[x]), int(b[y])))
        return first, second

    def _nearest(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[Any, Any]:
        common = self._p[a] @ self._l[b].T + self._l[a] @ self._p[b].T
        return np.unravel_index(common.argmax(), common.shape)  # type: ignore[return-value]
