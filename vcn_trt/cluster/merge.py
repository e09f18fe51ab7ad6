"""Algorithm 1, stage 3.3: tracks are merged round by round, each cluster by its own threshold, until none merges.

A round compares the clusters as they stand at its beginning, so the answer does not depend on the order of the tracks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from vcn_trt.backends.base import TIE, Edges, Ops, Rule, combined
from vcn_trt.cluster.link import Apart, by_first_track, forest, join_in_order, mutual, weighted
from vcn_trt.cluster.metric import Profiles, row_dots, thresholds
from vcn_trt.errors import ModelError
from vcn_trt.types import UNKNOWN, Merge


@dataclass(frozen=True)
class MergeRules:
    """How Algorithm 1 is read.

    rule: below which of two thresholds a pair matches. later: clusters of several tracks stand by the mean embeddings
    of their tracks, single tracks by their crops ("paper_means"), or all by all their crops ("exact"). one_crop: a
    track without a pair of crops takes its partner's threshold, the median of all, or never merges.
    guard, against one bad track that bridges two people: "none" merges whatever is connected (the paper); "mutual" only
    clusters that are each other's nearest match (with "exact": average linkage that stops by each cluster's own
    threshold); "average" walks the matches, nearest first, and joins two groups if they also match as wholes.
    cannot_link: pairs of tracks seen at once are ignored, reported when they fell together, or kept apart.
    """

    rule: Rule = "or"
    later: Literal["paper_means", "exact"] = "paper_means"
    one_crop: Literal["partner", "median", "never"] = "partner"
    guard: Literal["none", "mutual", "average"] = "none"
    cannot_link: Literal["off", "warn", "enforce"] = "off"


@dataclass(frozen=True, eq=False)
class Merged:
    """labels: (n_tracks,) clusters from 0 in order of their first tracks, UNKNOWN for a track without crops.
    thresholds: (n_tracks,) each track's own, NaN below two crops. merges: between the two nearest tracks of the merged
    clusters, with the clusters' similarity and threshold. violations: (m, 2) tracks that cannot be one person and fell
    together (empty with cannot_link "off"). rounds: how many merged something."""

    labels: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    merges: tuple[Merge, ...]
    violations: NDArray[np.int64]
    rounds: int


def merge_tracks(
    tracks: Profiles,
    ops: Ops,
    rules: MergeRules = MergeRules(),
    cannot_link: NDArray[np.integer[Any]] | None = None,
    tile: int = 64,
    together: NDArray[np.int64] | None = None,
) -> Merged:
    """Tracks to clusters. cannot_link: (m, 2) pairs of track numbers. together: (n_tracks,) equal numbers for tracks
    that are known to be one person, which is no merge. Raises ModelError where a track with crops has a profile that is
    not finite."""
    some = np.flatnonzero(tracks.counts > 0)
    own = tracks if len(some) == len(tracks) else _subset(tracks, some)
    if not (np.isfinite(own.p).all() and np.isfinite(own.l).all()):
        raise ModelError("the network's vectors of some tracks are not finite; its weights are damaged or diverged")
    pairs = _pairs_within(cannot_link, some, len(tracks)) if rules.cannot_link != "off" else np.zeros((0, 2), np.int64)
    now = _Partition.of_tracks(own, rules)
    if together is not None:
        now = now.joined(_links(together[some]))
    merges: list[Merge] = []
    rounds = 0
    while (joins := _joins(now, ops, rules, pairs, tile)) is not None:
        merges += _recorded(now, joins, rules.rule, rounds, some)
        rounds += 1
        now = now.joined(joins)
    labels = np.full(len(tracks), UNKNOWN, np.int64)
    labels[some] = by_first_track(now.of)
    found = np.full(len(tracks), np.nan)
    found[some] = own.thresholds()
    met = now.of[pairs[:, 0]] == now.of[pairs[:, 1]]
    return Merged(labels, found, tuple(merges), some[pairs[met]], rounds)


@dataclass(frozen=True, eq=False)
class _Partition:
    """The clusters of a round. of: (n_tracks,) the cluster of each track. p, l, own, weight: the clusters' items,
    joined (crops for "exact", tracks' mean embeddings for "paper_means"). stand_p, stand_l, limits: how they are
    compared."""

    tracks: Profiles
    rules: MergeRules
    of: NDArray[np.int64]
    p: NDArray[np.float32]
    l: NDArray[np.float32]  # noqa: E741
    own: NDArray[np.float64]
    weight: NDArray[np.float64]
    stand_p: NDArray[np.float32]
    stand_l: NDArray[np.float32]
    limits: NDArray[np.float64]

    @classmethod
    def of_tracks(cls, tracks: Profiles, rules: MergeRules) -> _Partition:
        of = np.arange(len(tracks))
        if rules.later == "exact":
            return cls.standing(tracks, rules, of, tracks.p, tracks.l, tracks.own, tracks.counts.astype(np.float64))
        p = tracks.p if tracks.mean_p is None else tracks.mean_p
        l = tracks.l if tracks.mean_l is None else tracks.mean_l  # noqa: E741
        return cls.standing(tracks, rules, of, p, l, row_dots(p, l), np.ones(len(tracks)))

    @classmethod
    def standing(
        cls,
        tracks: Profiles,
        rules: MergeRules,
        of: NDArray[np.int64],
        p: NDArray[np.float32],
        l: NDArray[np.float32],  # noqa: E741
        own: NDArray[np.float64],
        weight: NDArray[np.float64],
    ) -> _Partition:
        stand_p, stand_l, limits = p, l, thresholds(p, l, own, weight)
        if rules.later == "paper_means":
            cluster, first, size = np.unique(of, return_index=True, return_counts=True)
            single = size == 1
            if single.all():
                stand_p, stand_l, limits = tracks.p, tracks.l, tracks.thresholds()
            elif single.any():
                stand_p, stand_l = p.copy(), l.copy()
                one = first[single]  # the only track of each
                stand_p[cluster[single]], stand_l[cluster[single]] = tracks.p[one], tracks.l[one]
                limits[cluster[single]] = tracks.thresholds()[one]
        if rules.one_crop == "median" and not np.isnan(limits).all():
            limits = np.where(np.isnan(limits), np.nanmedian(limits), limits)
        return cls(tracks, rules, of, p, l, own, weight, stand_p, stand_l, limits)

    def joined(self, joins: Edges) -> _Partition:
        n = len(self.p)
        links = coo_array((np.ones(len(joins.a), np.int8), (joins.a, joins.b)), shape=(n, n))
        count, group = connected_components(links, directed=False)
        group = group.astype(np.int64)
        weight = np.bincount(group, self.weight, count).astype(np.float64)
        share = csr_array((self.weight / weight[group], (group, np.arange(n))), shape=(count, n))
        own = np.bincount(group, self.own, count).astype(np.float64)
        p, l = weighted(share, self.p), weighted(share, self.l)  # noqa: E741
        return self.standing(self.tracks, self.rules, group[self.of], p, l, own, weight)


def _links(together: NDArray[np.int64]) -> Edges:
    """Each track with the first of its number, but for those that are it."""
    _, first, place = np.unique(together, return_index=True, return_inverse=True)
    others = np.flatnonzero(first[place] != np.arange(len(together)))
    return Edges(first[place[others]], others, np.zeros(len(others), np.float32))


def _joins(now: _Partition, ops: Ops, rules: MergeRules, pairs: NDArray[np.int64], tile: int) -> Edges | None:
    """The merges of one round as a forest over its clusters, nearest first; None where there is none."""
    n = len(now.p)
    tiles = _matches(now, ops, rules, tile)
    apart = None
    if rules.cannot_link == "enforce" and len(pairs):
        apart = Apart(now.of[pairs], n)
        tiles = apart.filter(tiles)
    joins = mutual(tiles, n) if rules.guard == "mutual" else forest(tiles, n)
    if rules.guard == "average" or (apart is not None and rules.guard == "none"):
        # What is refused here may be found again in the next round, between the clusters as they are then.
        wholes = _Wholes(now) if rules.guard == "average" else None
        checks = [check for check in (apart, wholes) if check is not None]

        def may_join(a: int, b: int) -> bool:
            return all(check.may_join(a, b) for check in checks)

        def join(a: int, b: int) -> None:
            for check in checks:
                check.join(a, b)

        kept = join_in_order(joins, may_join, join)
        joins = Edges(joins.a[kept], joins.b[kept], joins.similarity[kept])
    return joins if len(joins.a) else None


def _matches(now: _Partition, ops: Ops, rules: MergeRules, tile: int) -> Iterator[Edges]:
    if rules.one_crop != "never":
        yield from ops.pair_edges(now.stand_p, now.stand_l, now.limits, rules.rule, tile)
        return
    rows = np.flatnonzero(~np.isnan(now.limits))
    for e in ops.pair_edges(now.stand_p[rows], now.stand_l[rows], now.limits[rows], rules.rule, tile):
        yield Edges(rows[e.a], rows[e.b], e.similarity)


class _Wholes:
    """The groups that grow within a round, for the guard "average": do they match as they are by now?"""

    def __init__(self, now: _Partition) -> None:
        self.now = now
        self.grown: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], float, float]] = {}

    def may_join(self, a: int, b: int) -> bool:
        (p_a, l_a, limit_a), (p_b, l_b, limit_b) = self._standing(a), self._standing(b)
        similarity = -(p_a @ l_b + p_b @ l_a) / 2
        limit = float(combined(limit_a, limit_b, self.now.rules.rule))
        return bool(similarity < limit - TIE * abs(limit))

    def join(self, a: int, b: int) -> None:
        (p_a, l_a, own_a, n_a), (p_b, l_b, own_b, n_b) = self._items(a), self._items(b)
        n = n_a + n_b
        self.grown[a] = ((p_a * n_a + p_b * n_b) / n, (l_a * n_a + l_b * n_b) / n, own_a + own_b, n)
        self.grown.pop(b, None)

    def _items(self, a: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
        if a in self.grown:
            return self.grown[a]
        now = self.now
        return now.p[a].astype(np.float64), now.l[a].astype(np.float64), float(now.own[a]), float(now.weight[a])

    def _standing(self, a: int) -> tuple[NDArray[Any], NDArray[Any], float]:
        if a not in self.grown:
            return self.now.stand_p[a], self.now.stand_l[a], float(self.now.limits[a])
        p, l, own, n = self.grown[a]  # noqa: E741
        return p, l, -(n * n * float(p @ l) - own) / (n * (n - 1))


def _recorded(now: _Partition, joins: Edges, rule: Rule, number: int, some: NDArray[np.int64]) -> Iterator[Merge]:
    order = np.argsort(now.of, kind="stable")
    starts = np.searchsorted(now.of[order], np.arange(len(now.p) + 1))

    def nearest(cluster: int, other: int) -> int:
        own = order[starts[cluster] : starts[cluster + 1]]
        if len(own) == 1:
            return int(own[0])
        near = now.tracks.p[own] @ now.stand_l[other] + now.tracks.l[own] @ now.stand_p[other]
        return int(own[near.argmax()])

    limits = combined(now.limits[joins.a], now.limits[joins.b], rule)
    for a, b, similarity, limit in zip(*(c.tolist() for c in (*joins, limits)), strict=True):
        first, second = sorted((int(some[nearest(a, b)]), int(some[nearest(b, a)])))
        yield Merge(number, first, second, similarity, limit)


def _subset(tracks: Profiles, rows: NDArray[np.int64]) -> Profiles:
    mean_p = None if tracks.mean_p is None else tracks.mean_p[rows]
    mean_l = None if tracks.mean_l is None else tracks.mean_l[rows]
    return Profiles(tracks.p[rows], tracks.l[rows], tracks.own[rows], tracks.counts[rows], mean_p, mean_l)


def _pairs_within(cannot_link: NDArray[np.integer[Any]] | None, some: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The pairs of which both tracks take part, by their places among those that do."""
    pairs = np.zeros((0, 2), np.int64) if cannot_link is None else np.asarray(cannot_link, np.int64).reshape(-1, 2)
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= n or (pairs[:, 0] == pairs[:, 1]).any()):
        raise ValueError(f"cannot_link must be pairs of different tracks from 0 to {n - 1}")
    place = np.full(n, -1)
    place[some] = np.arange(len(some))
    pairs = place[pairs]
    return np.asarray(pairs[(pairs >= 0).all(1)])
