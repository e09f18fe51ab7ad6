"""Tracks to people by calibrated thresholds: average linkage, then what stands out, and no weak track on one's word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Ops
from vcn_trt.cluster.average import link_by_average
from vcn_trt.cluster.limits import Alike, Scale
from vcn_trt.cluster.link import by_first_track
from vcn_trt.cluster.outstanding import join_outstanding
from vcn_trt.config import ClusterConfig
from vcn_trt.types import UNKNOWN, Merge

VOUCHERS = 2
"""Good tracks among which a weak one must be at the end. A cluster of a good track and something that is hardly a face
is no evidence of either, and keeps the good one from its own."""


def group_tracks(
    tracks: Alike,
    scale: Scale,
    apart: NDArray[np.integer[Any]],
    weak: NDArray[np.bool_],
    ops: Ops,
    config: ClusterConfig,
    together: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], tuple[Merge, ...]]:
    """apart: (m, 2) tracks that are two people; weak: (n,) tracks that hardly show a face. A weak track is linked with
    the others, since it can be what two of a person's good ones have in common; where fewer than `VOUCHERS` good tracks
    are with it then, it goes, and the others are linked without it. together: as of `link_by_average`; none of
    these is weak.
    -> (n,) clusters from 0 in order of their first tracks, UNKNOWN for those that went; and the merges"""
    kept = np.arange(len(weak))
    limits = scale.limits(config.share)
    while True:
        few, pairs = tracks.take(kept), _among(apart, kept)
        known = None if together is None else together[kept]
        linked = link_by_average(few.profiles.p, few.profiles.l, limits[kept], ops, pairs, weak[kept], together=known)
        alone = weak[kept] & (np.bincount(linked.labels, ~weak[kept]) < VOUCHERS)[linked.labels]
        if not alone.any():
            break
        kept = kept[~alone]
    groups, late = join_outstanding(
        linked.labels, few, scale.take(kept), pairs, weak[kept], config.late_share, config.margin
    )
    merges = (*linked.merges, *(replace(m, round=m.round + len(linked.merges)) for m in late))
    labels = np.full(len(weak), UNKNOWN, np.int64)
    labels[kept] = by_first_track(groups)
    return labels, tuple(replace(m, a=int(kept[m.a]), b=int(kept[m.b])) for m in merges)


def _among(pairs: NDArray[np.integer[Any]], kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pairs of which both are kept, as places among those."""
    inside = np.isin(pairs, kept).all(1)
    return np.asarray(np.searchsorted(kept, np.asarray(pairs, np.int64)[inside])).reshape(-1, 2)
