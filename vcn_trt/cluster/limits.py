"""A track's threshold, calibrated (section 3.7 asks for one a track): between what it has in common with strangers and
what it has in common with itself.

The paper's threshold is the mean loss over a track's own crop pairs. Crops of one track are half a second apart, in one
light and one pose: that loss is far below what one person's tracks have between them, or, where the head tells little,
as high as that of strangers. Both ends are measured here on the footage itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcn_trt.cluster.metric import Profiles
from vcn_trt.overlap import side_by_side
from vcn_trt.spread import evenly

STRANGERS = 1024
"""Other tracks that a track is held to, evenly spread over the footage: enough for a quantile, however many there
are."""

_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Alike:
    """Tracks under a metric whose zero is known. profiles: an item a track. zero: (n,) float64; two tracks tell nothing
    of each other where their similarity is -(zero_a + zero_b) / 2: for the loss, that against a teacher that gives
    every output the same. own: (n,) float64, by how much a track's different crops are nearer than that, seen in all
    views; of a `lone` crop, (n,) bool, its views."""

    profiles: Profiles
    zero: NDArray[np.float64]
    own: NDArray[np.float64]
    lone: NDArray[np.bool_]

    def take(self, rows: NDArray[np.int64]) -> Alike:
        """Some of the tracks."""
        return Alike(self.profiles.take(rows), self.zero[rows], self.own[rows], self.lone[rows])


@dataclass(frozen=True, eq=False)
class Scale:
    """Each track's ends, in evidence: by how much a similarity is below the zero. All (n,) float64. strangers: what it
    has in common with people it is not; own: what it has in common with itself."""

    zero: NDArray[np.float64]
    strangers: NDArray[np.float64]
    own: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> Scale:
        """Some of the tracks."""
        return Scale(self.zero[rows], self.strangers[rows], self.own[rows])

    def limits(self, share: float) -> NDArray[np.float64]:
        """(n,) the similarity at a `share` of the way from strangers to its own: where a track joins, to be meaned over
        the two that meet."""
        return np.asarray(-self.zero - (self.strangers + share * (self.own - self.strangers)))


def calibrate(tracks: Alike, quantile: float, cap: float) -> Scale:
    """Strangers' evidence is the `quantile` of a track's with others, yet at most `cap` of its own, since in footage of
    one person no one is a stranger. A lone crop, whose views are all too alike, takes as its own the median of the
    tracks that have more."""
    p, l, zero = tracks.profiles.p, tracks.profiles.l, tracks.zero  # noqa: E741
    n = len(p)
    own = tracks.own
    if tracks.lone.any() and not tracks.lone.all():
        own = np.where(tracks.lone, np.median(own[~tracks.lone]), own)
    some = evenly(n, STRANGERS)

    def evidence_of(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Strangers' evidence. (len(rows),)"""
        evidence = ((p[rows] @ l[some].T + l[rows] @ p[some].T) - zero[rows, None] - zero[None, some]) / 2
        found = np.empty(len(rows))
        among = np.isin(rows, some)  # which are their own strangers, unless they are left out
        found[~among] = np.quantile(evidence[~among], quantile, axis=1)
        itself = rows[among, None] == some[None]
        found[among] = _quantile(np.where(itself, np.nan, evidence[among]), quantile)
        return found

    every = (np.arange(start, min(n, start + _ROWS)) for start in range(0, n, _ROWS))
    strangers = np.concatenate([*side_by_side(evidence_of, every)] or [np.empty(0)])
    strangers = np.minimum(strangers, cap * own)
    return Scale(zero, strangers, own)


def _quantile(evidence: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """Of each row, without its NaN; inf for a row of nothing else: a lone track has no strangers."""
    found = np.full(len(evidence), np.inf)
    others = ~np.isnan(evidence).all(1)
    if others.any():
        found[others] = np.nanquantile(evidence[others], quantile, axis=1)
    return found
