"""The second look: clusters whose similarity is short of what single tracks must have, yet stands out from all else.

After average linkage the thresholds are made anew from the clusters themselves: a person filmed in many lights has less
in common with himself than any one of his tracks has, and what is left of him may join at that. It must be the best of
both sides, and by a margin: between strangers no pair stands out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from vcn_trt.cluster.limits import Alike, Scale
from vcn_trt.cluster.link import averaging, by_first_track, weighted
from vcn_trt.cluster.metric import nearest_tracks, row_dots
from vcn_trt.types import Merge

STRAGGLERS = 4
"""Of two clusters that join, one has no more tracks than this. Two that are larger have met in so many pairs that what
they lack is no accident; and a mistake would cost as many tracks."""

_ROWS = 512


def join_outstanding(
    labels: NDArray[np.int64],
    tracks: Alike,
    scale: Scale,
    apart: NDArray[np.integer[Any]],
    weak: NDArray[np.bool_],
    share: float,
    margin: float,
) -> tuple[NDArray[np.int64], tuple[Merge, ...]]:
    """labels: (n,) clusters from 0. Likeness is evidence in parts of the way from strangers (0) to a track's own (1).
    In each round the pairs join that are each other's best, are above `share` of what their tracks have among
    themselves, and of which one has no other within `margin`. apart, weak: as of `link_by_average`.
    -> labels from 0 in order of their first tracks, and the merges: the nearest two tracks of both."""
    pairs = np.asarray(apart, np.int64).reshape(-1, 2)
    merges: list[Merge] = []
    while True:
        now = _Clusters.of(labels, tracks, scale, weak)
        best = _best(now, labels[pairs])
        a, b = _outstanding(best, now, share, margin)
        if not len(a):
            return by_first_track(labels), tuple(merges)
        similarity, limit = now.similarity(a, b), now.limit(a, b, share)
        joined = np.arange(len(now.count))
        for i in np.argsort(similarity - limit, kind="stable"):
            ends = np.flatnonzero(labels == a[i]), np.flatnonzero(labels == b[i])
            first, second = nearest_tracks(tracks.profiles.p, tracks.profiles.l, *ends)
            merges.append(Merge(len(merges), first, second, float(similarity[i]), float(limit[i])))
        joined[b] = a
        labels = np.unique(joined[labels], return_inverse=True)[1]


@dataclass(frozen=True, eq=False)
class _Clusters:
    """Means over the clusters' tracks, of which all that a pair of clusters has is made. coherence: (c,) the mean
    likeness of all its pairs of tracks, each with itself, as 1, among them."""

    p: NDArray[np.float32]
    l: NDArray[np.float32]  # noqa: E741
    zero: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int64]
    weak: NDArray[np.bool_]
    coherence: NDArray[np.float64]

    @classmethod
    def of(cls, labels: NDArray[np.int64], tracks: Alike, scale: Scale, weak: NDArray[np.bool_]) -> _Clusters:
        count, mean = np.bincount(labels), averaging(labels)
        p, l = weighted(mean, tracks.profiles.p), weighted(mean, tracks.profiles.l)  # noqa: E741
        zero, low, high = mean @ scale.zero, mean @ scale.strangers, mean @ scale.own
        itself = np.bincount(labels, row_dots(tracks.profiles.p, tracks.profiles.l) - scale.zero)
        others = count**2 * (row_dots(p, l) - zero) - itself  # the evidence of all pairs of two
        several = count * (count - 1.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            coherence = ((others - several * low) / (high - low) + count) / count**2
        return cls(p, l, zero, low, high, count, np.bincount(labels, ~weak) == 0, coherence)

    def similarity(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(-(row_dots(self.p[a], self.l[b]) + row_dots(self.l[a], self.p[b])) / 2)

    def limit(self, a: NDArray[np.int64], b: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        """The similarity at which two clusters are as alike as they must be."""
        zero, low, high, coherence = ((x[a] + x[b]) / 2 for x in (self.zero, self.low, self.high, self.coherence))
        return np.asarray(-zero - (low + share * coherence * (high - low)))

    def likeness(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(len(rows), c): 0 as strangers, 1 as a track with itself."""
        evidence = (self.p[rows] @ self.l.T + self.l[rows] @ self.p.T).astype(np.float64)
        evidence -= self.zero[rows, None] + self.zero
        low, high = self.low[rows, None] + self.low, self.high[rows, None] + self.high
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((evidence - low) / (high - low))


@dataclass(frozen=True, eq=False)
class _Best:
    """Of each cluster: whom it is most like of those it may join (-1: of none), how much, and how much the next, known
    strangers among them; at least 0."""

    partner: NDArray[np.int64]
    likeness: NDArray[np.float64]
    next: NDArray[np.float64]


def _best(now: _Clusters, apart: NDArray[np.int64]) -> _Best:
    c = len(now.count)
    banned = csr_array((np.ones(2 * len(apart), bool), np.hstack([apart.T, apart.T[::-1]])), shape=(c, c))
    partner, most, following = np.full(c, -1), np.zeros(c), np.zeros(c)
    for start in range(0, c, _ROWS):
        rows = np.arange(start, min(c, start + _ROWS))
        place = np.arange(len(rows))
        likeness = np.nan_to_num(now.likeness(rows))
        likeness[place, rows] = -np.inf
        no = (now.weak[rows, None] & now.weak) | banned[rows].toarray()
        allowed = np.where(no, -np.inf, likeness)
        best = allowed.argmax(1)
        most[rows] = allowed[place, best]
        partner[rows] = np.where(most[rows] > 0, best, -1)
        likeness[place, best] = -np.inf
        following[rows] = likeness.max(1).clip(0)
    return _Best(partner, most, following)


def _outstanding(
    best: _Best, now: _Clusters, share: float, margin: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs a < b that join."""
    a = np.flatnonzero(best.partner >= 0)
    a = a[(best.partner[best.partner[a]] == a) & (a < best.partner[a])]
    b = best.partner[a]
    enough = best.likeness[a] > share * (now.coherence[a] + now.coherence[b]) / 2
    clear = best.likeness[a] - np.minimum(best.next[a], best.next[b]) > margin
    small = np.minimum(now.count[a], now.count[b]) <= STRAGGLERS
    return a[enough & clear & small], b[enough & clear & small]
