"""Average linkage to thresholds: the two clusters whose mean similarity is furthest below the mean of their thresholds
become one, until no two are below it. One track bridges no two people, since it is but one voice among all pairs.

Both means are bilinear, so a cluster is the mean of its tracks' vectors. Clusters can only join where some pair of
their tracks is below its threshold: those edges are found in tiles, and each connected group of them is linked by
itself. So the answer is exact while no group is larger than `GROUP`; a larger one is worked in parts, strongest edges
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import TIE, Ops
from vcn_trt.cluster.link import averaging, by_first_track, forest, join_in_order, weighted
from vcn_trt.cluster.metric import nearest_tracks
from vcn_trt.overlap import Clock, prefetch, side_by_side
from vcn_trt.types import Merge

Floats = NDArray[np.float32]

GROUP = 2048
"""Clusters that are linked in one square array, of 32 MiB."""

AHEAD = 256
"""Tiles whose edges may wait to be sorted."""

FULL = 0.75
"""Share of a square array that is in use, below which a smaller one takes its place."""

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
        for found in side_by_side(of_group, _groups(now, ops, tile)):
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
        mean = averaging(of)
        alone = np.bincount(of, ~weak) == 0
        return _Clusters(weighted(mean, p), weighted(mean, l), mean @ limits, alone, of)


def _groups(now: _Clusters, ops: Ops, tile: int) -> list[NDArray[np.int64]]:
    """Clusters that edges below their limits hold together, rising, in order of their first; no more than `GROUP`, the
    strongest edges first."""
    top = float(now.limits.max(initial=0.0))
    # One more number each, and every pair's similarity is told from its own limit: below `top` is below that.
    p = np.hstack([now.p, np.ones((len(now.p), 1), np.float32)])
    l = np.hstack([now.l, (now.limits - top)[:, None].astype(np.float32)])  # noqa: E741
    # The next edges are looked for while these are sorted.
    with closing(prefetch(ops.pair_edges(p, l, np.full(len(p), top), "mean", tile), AHEAD, Clock(), "edges")) as found:
        edges = forest(found, len(p))
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
    found: list[tuple[int, int, Merge]] = []
    for a, b, similarity, limit in _link(now, group, between, [len(part) for part in parts], apart):
        pairs = zip(closest.join(a, b), similarity.tolist(), limit.tolist(), strict=True)
        made = (Merge(0, *nearest, near, least) for nearest, near, least in pairs)
        found += zip(group[a].tolist(), group[b].tolist(), made, strict=True)
    return found


def _similarities(p: Floats, l: Floats) -> NDArray[np.float64]:  # noqa: E741
    one_way = p.astype(np.float64) @ l.astype(np.float64).T
    return np.asarray(-(one_way + one_way.T) / 2)


def _link(
    now: _Clusters,
    group: NDArray[np.int64],
    similarity: NDArray[np.float64],
    sizes: list[int],
    apart: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]:
    """The merges within a group, one or several at once: places a < b in it, which become a, with their similarity and
    limit. similarity: (m, m) of the group, worked in place; sizes: its clusters' numbers of tracks."""
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

    places, alive = np.arange(m), np.ones(m, bool)
    while len(places) > AT_ONCE:
        a, b = _reciprocal(gains, limit, weak)
        if not len(a):
            break
        least = (limit[a] + limit[b]) / 2
        yield places[a], places[b], least - gains[a, b], least
        _become_one(gains, limit, weight, weak, a, b)
        alive[b] = False
        if alive.mean() < FULL:
            rest = np.flatnonzero(alive)
            gains, limit, weight, weak = gains[np.ix_(rest, rest)], limit[rest], weight[rest], weak[rest]
            places, alive = places[rest], alive[rest]

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
        i, j = min(i, j), max(i, j)
        a, b = np.array([i]), np.array([j])
        least = (limit[a] + limit[b]) / 2
        if not gain[i] > TIE * abs(least[0]):
            return
        yield places[a], places[b], least - gains[a, b], least
        _become_one(gains, limit, weight, weak, a, b)
        gain[j] = -np.inf
        # Who was nearest to either has to look anew; to everyone else the new cluster is one more that may be nearer.
        stale = np.flatnonzero((best == i) | (best == j))
        stale = np.union1d(stale[np.isfinite(gain[stale])], [i])
        found = allowed(stale)
        best[stale], gain[stale] = found.argmax(1), found.max(1)
        to_new = found[np.searchsorted(stale, i)]
        nearer = (to_new > gain) | ((to_new == gain) & (i < best))
        best[nearer], gain[nearer] = i, to_new[nearer]


def _become_one(
    gains: NDArray[np.float64],
    limit: NDArray[np.float64],
    weight: NDArray[np.float64],
    weak: NDArray[np.bool_],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
) -> None:
    """Each b becomes part of its a, in place: means over the tracks of both, of which a -inf of either stays."""
    mine, its = weight[a], weight[b]
    both = mine + its
    gains[a] = (mine[:, None] * gains[a] + its[:, None] * gains[b]) / both[:, None]
    gains[:, a] = (mine * gains[:, a] + its * gains[:, b]) / both
    gains[b] = gains[:, b] = -np.inf
    limit[a] = (mine * limit[a] + its * limit[b]) / both
    weight[a] = both
    weak[a] &= weak[b]


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
        self._parts = np.arange(m * m, dtype=np.int32).reshape(m, m)  # a part of the row's, one of the column's

    def join(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The nearest tracks of each i and its j, the lower number first; each j becomes part of its i."""
        ends = (divmod(parts, len(self._tracks)) for parts in self._parts[i, j].tolist())
        found = [nearest_tracks(self._p, self._l, self._tracks[one], self._tracks[other]) for one, other in ends]
        for near, parts in ((self._near, self._parts), (self._near.T, self._parts.T)):
            nearer = near[j] < near[i]
            near[i] = np.where(nearer, near[j], near[i])
            parts[i] = np.where(nearer, parts[j], parts[i])
        return found
