"""What a grouping leaves to doubt: people kept apart by little, and tracks that alone hold a person together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vcn_trt.cluster.link import averaging, weighted
from vcn_trt.cluster.metric import Profiles, nearest_tracks
from vcn_trt.types import Bridge, Merge, Near

NEAREST = 200
"""Pairs of people that are told, the least margin first."""

PART = 2
"""Tracks that a bridge holds to the others, at least: a single one that hangs on one other is its own affair."""

LARGEST = 4096
"""Tracks of a person who is searched for bridges; the table of who is near whom takes 16 MiB then."""

_ROWS = 512


def kept_apart(
    labels: NDArray[np.int64], tracks: Profiles, limits: NDArray[np.float64], pairs: NDArray[np.integer]
) -> list[Near]:
    """labels: (n,) clusters from 0, below it no one; limits: (n,) the similarity below which each track joins; pairs:
    (m, 2) tracks that a frame shows at once. Clusters stand by the means of their tracks, as in `link_by_average`."""
    some = np.flatnonzero(labels >= 0)
    if not len(some):
        return []
    count, mean = np.bincount(labels[some]), averaging(labels[some])
    p, l, limit = weighted(mean, tracks.p[some]), weighted(mean, tracks.l[some]), mean @ limits[some]  # noqa: E741
    found: list[tuple[float, int, int, float]] = []  # by how much it is beyond the threshold, two clusters, similarity
    for start in range(0, len(count), _ROWS):
        rows = np.arange(start, min(len(count), start + _ROWS))
        similarity = -(p[rows] @ l.T + l[rows] @ p.T).astype(np.float64) / 2
        beyond = similarity - (limit[rows, None] + limit) / 2
        beyond[rows[:, None] >= np.arange(len(count))] = np.inf
        worst = np.partition(beyond, NEAREST - 1, axis=None)[NEAREST - 1] if beyond.size > NEAREST else np.inf
        a, b = np.nonzero((beyond <= worst) & np.isfinite(beyond))
        values = (beyond[a, b], rows[a], b, similarity[a, b])
        found = sorted([*found, *zip(*(v.tolist() for v in values), strict=True)])[:NEAREST]
    told = labels[pairs[(labels[pairs] >= 0).all(1)]]
    seen = set(zip(told.min(1, initial=len(count)).tolist(), told.max(1, initial=-1).tolist(), strict=True))
    return [
        Near(
            *nearest_tracks(tracks.p, tracks.l, np.flatnonzero(labels == a), np.flatnonzero(labels == b)),
            similarity,
            similarity - beyond,
            (a, b) in seen,
        )
        for beyond, a, b, similarity in found
    ]


def bridges(
    labels: NDArray[np.int64], tracks: Profiles, limits: NDArray[np.float64], merges: Sequence[Merge]
) -> list[Bridge]:
    """Tracks without which some of their person's tracks are near none of the others: neither below the threshold of
    the two nor one of the merges. labels, limits: as of `kept_apart`; merges: those that made the clusters."""
    within: dict[int, list[Merge]] = defaultdict(list)
    for merge in merges:
        if labels[merge.a] == labels[merge.b]:
            within[int(labels[merge.a])].append(merge)
    found: list[Bridge] = []
    for cluster in np.flatnonzero(np.bincount(labels[labels >= 0]) > 2 * PART):
        own = np.flatnonzero(labels == cluster)
        if len(own) > LARGEST:
            continue
        near = _near(tracks.p[own], tracks.l[own], limits[own])
        place = {track: i for i, track in enumerate(own.tolist())}
        for merge in within[int(cluster)]:
            near[place[merge.a], place[merge.b]] = near[place[merge.b], place[merge.a]] = True
        for vertex, parts in _cuts(near):
            held = np.sort(np.concatenate([[], *sorted(parts, key=len)[:-1]])).astype(np.int64)
            if sum(len(part) >= PART for part in parts) > 1:
                found.append(Bridge(int(own[vertex]), tuple(own[held].tolist())))
    return sorted(found, key=lambda bridge: (-len(bridge.holds), bridge.track))


def _near(
    p: NDArray[np.float32],
    l: NDArray[np.float32],  # noqa: E741
    limits: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which tracks are below the mean of their two thresholds. (n, n)"""
    n = len(p)
    near = np.empty((n, n), bool)
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        near[rows] = -(p[rows] @ l.T + l[rows] @ p.T) < limits[rows, None] + limits
    near[np.diag_indices(n)] = False
    return near


def _cuts(near: NDArray[np.bool_]) -> Iterator[tuple[int, list[NDArray[np.int64]]]]:
    """The vertices without which a graph falls apart, and the parts that it falls into (Hopcroft and Tarjan 1973: a
    subtree of the depth-first search that has no edge past its parent hangs on that parent). None of a graph that is
    in parts already."""
    n = len(near)
    at, low, parent = np.full(n, n), np.full(n, n), np.full(n, -1)  # when it was met; the earliest it leads back to
    met, stack = [0], [0]
    hanging: list[list[NDArray[np.int64]]] = [[] for _ in range(n)]
    at[0] = 0
    while stack:
        v = stack[-1]
        fresh = near[v] & (at == n)
        if fresh.any():
            w = int(fresh.argmax())
            at[w], parent[w] = len(met), v
            met.append(w)
            stack.append(w)
            continue
        stack.pop()
        low[v] = min(low[v], int(at[near[v]].min(initial=n)))
        u = int(parent[v])
        if u >= 0:
            low[u] = min(low[u], low[v])
            if low[v] >= at[u]:
                hanging[u].append(np.array(met[at[v] :], np.int64))
    if len(met) < n:  # something else than likeness holds these tracks together
        return
    for v, parts in enumerate(hanging):
        rest = np.setdiff1d(np.arange(n), np.concatenate([[v], *parts]).astype(np.int64))
        every = [*parts, *([rest] if len(rest) else [])]
        if len(every) > 1:
            yield v, every
