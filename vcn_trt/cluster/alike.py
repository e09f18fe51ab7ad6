"""The adapted tracks under the metric of the config, ready for thresholds and merging."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.adapt.model import MetricHead
from vcn_trt.backends.base import Ops
from vcn_trt.cluster.limits import Alike
from vcn_trt.cluster.metric import Profiles, cosine_profiles, euclidean_profiles, loss_profiles, row_dots, thresholds
from vcn_trt.config import ClusterConfig
from vcn_trt.ragged import Ragged, unit_rows

_LOGITS = 1 << 22
"""Numbers of logits that are held at once."""


def crop_profiles(unit: Ragged, student: Ragged, head: MetricHead, ops: Ops, config: ClusterConfig) -> Profiles:
    """Tracks as Algorithm 1 sees them: means over their crops. unit, student: the branches' unit vectors of the kept
    crops, a group a track."""
    if config.metric == "cosine":
        return cosine_profiles(unit)
    if config.metric == "euclidean":
        return euclidean_profiles(unit)
    return _loss(unit, student, head, ops, config)


def track_profiles(
    unit: Ragged, student: Ragged, views: NDArray[np.floating[Any]], head: MetricHead, ops: Ops, config: ClusterConfig
) -> Alike:
    """Each track by the one vector that is its crops' mean direction. views: (n_views, n_rows, d) the teacher's unit
    vectors of the same crops, row by row. Every group has a crop."""
    mean, other = (unit_rows(np.asarray(r.mean(), np.float32)) for r in (unit, student))
    one_each = np.arange(len(unit) + 1)
    if config.metric == "loss":
        profiles = _loss(Ragged(mean, one_each), Ragged(other, one_each), head, ops, config)
        zero = profiles.l.mean(1, dtype=np.float64)  # a log-softmax before a teacher without an opinion
    elif config.metric == "cosine":
        profiles, zero = cosine_profiles(Ragged(mean, one_each)), np.full(len(unit), -1.0)  # orthogonal: at 1
    else:
        profiles, zero = euclidean_profiles(Ragged(mean, one_each)), np.full(len(unit), -2.0)  # orthogonal: at 2
    lone = unit.counts == 1
    own = _own(views, unit.offsets, head, ops, config)
    if lone.any():
        alone = views[:, unit.offsets[:-1][lone]]  # (v, n_lone, d): each view stands for a crop
        v, n, d = alone.shape
        own[lone] = _own(alone.swapaxes(0, 1).reshape(1, n * v, d), np.arange(0, n * v + 1, v), head, ops, config)
    # A single picture: nothing is nearer to it than itself.
    itself = row_dots(profiles.p, profiles.l) - zero
    return Alike(profiles, zero, np.where(np.isnan(own), itself, own), lone)


def _own(
    views: NDArray[np.floating[Any]],
    offsets: NDArray[np.int64],
    head: MetricHead,
    ops: Ops,
    config: ClusterConfig,
) -> NDArray[np.float64]:
    """The mean evidence of all pairs of a track's different crops, in all views; NaN below two crops. (n_tracks,)"""
    v, _, d = views.shape
    out = np.full(len(offsets) - 1, np.nan)
    some = max(1, _LOGITS // (v * len(head.teacher)))  # crops
    start = 0
    while start < len(out):
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + some, side="right")) - 1)
        rows = views[:, offsets[start] : offsets[stop]].astype(np.float32)  # (v, m, d)
        tracks = Ragged(np.zeros(rows.shape[1], np.int8), offsets[start : stop + 1] - offsets[start])
        if config.metric == "loss":
            flat = Ragged(rows.swapaxes(0, 1).reshape(-1, d), np.arange(0, rows.shape[1] * v + 1, v))
            crops = _loss(flat, flat, head, ops, config, means=False)
            p, l, zero = crops.p, crops.l, crops.l.mean(1, dtype=np.float64)  # noqa: E741
        else:
            p = l = rows.mean(0)  # noqa: E741
            zero = np.zeros(len(p))
        sums = Ragged(row_dots(p, l), tracks.offsets).sum()
        mean_p, mean_l, mean_zero = (np.asarray(Ragged(x, tracks.offsets).mean(), np.float32) for x in (p, l, zero))
        found = -thresholds(mean_p, mean_l, sums, tracks.counts) - mean_zero
        out[start:stop] = 2 * found if config.metric == "euclidean" else found
        start = stop
    return out


def _loss(
    teacher: Ragged, student: Ragged, head: MetricHead, ops: Ops, config: ClusterConfig, means: bool = True
) -> Profiles:
    """Eq. 2 over all pairs of rows. Of the branches, "teacher" and "student" are on both sides of it."""
    first, second = (teacher, head.teacher), (student, head.student)
    if config.branches == "teacher":
        second = first
    elif config.branches == "student":
        first = second
    at, to = (Ragged(np.asarray(r.values, np.float32) @ weights.T, r.offsets) for r, weights in (first, second))
    centre = head.centre if config.centre else np.zeros_like(head.centre)
    if means:
        return loss_profiles(ops, at, to, centre, config.tau_teacher, config.tau_student)
    found = ops.softmax_means(at, to, centre, config.tau_teacher, config.tau_student)
    return Profiles(found.p, found.l, found.own, teacher.counts)
