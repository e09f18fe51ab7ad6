"""Made tracks, as an adapted head leaves them: each person owns a few prototypes, a track's crops spread their softmax
over them, and some tracks are poor: flat, or half another person's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Ops
from vcn_trt.cluster.calibrated import group_tracks
from vcn_trt.cluster.limits import Alike, calibrate
from vcn_trt.cluster.metric import Profiles, row_dots
from vcn_trt.config import ClusterConfig
from vcn_trt.ragged import Ragged

K = 1024
TAU_TEACHER, TAU_STUDENT = 0.04, 0.1
TRACKS_A_PERSON = 250


class Made(NamedTuple):
    """who: (n,) each track's person, -1 for a bridge. middle: (n, K) its mean logits."""

    profiles: Profiles
    who: NDArray[np.int64]
    middle: NDArray[np.float32]


def made_tracks(
    n: int, people: int, ops: Ops, crops: int = 6, poor: float = 0.02, bridges: int = 0, seed: int = 0, k: int = K
) -> Made:
    """n tracks of so many crops. poor: the share that is flat. bridges: tracks half of whose crops are another's."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.arange(n) % people)
    logits = rng.normal(0, 0.08, (people, k)).astype(np.float32)  # a crop's logits are cosines
    own = rng.random((people, k)).argpartition(3, axis=1)[:, :3]
    np.put_along_axis(logits, own, rng.uniform(0.55, 0.75, own.shape).astype(np.float32), 1)
    flat = rng.random(n) < poor
    partner = np.full(n, -1)
    if bridges:
        at = rng.choice(n, bridges, replace=False)
        partner[at] = (who[at] + 1 + rng.integers(0, people - 1, bridges)) % people
    p, l, mean_p, mean_l, middle = (np.empty((n, k), np.float32) for _ in range(5))  # noqa: E741
    sums, centre = np.empty(n), np.zeros(k)
    for start in range(0, n, 2000):
        rows = np.arange(start, min(n, start + 2000))
        track = logits[who[rows]] + rng.normal(0, 0.03, (len(rows), k)).astype(np.float32)
        seen = np.repeat(track[:, None], crops, 1)
        half = partner[rows] >= 0
        seen[half, ::2] = logits[partner[rows][half], None]
        seen += rng.normal(0, 0.04, seen.shape).astype(np.float32)
        seen[flat[rows]] *= 0.5
        every, mean = ragged(seen), ragged(seen.mean(1)[:, None])
        p[rows], l[rows], sums[rows] = ops.softmax_means(every, every, centre, TAU_TEACHER, TAU_STUDENT)
        one = ops.softmax_means(mean, mean, centre, TAU_TEACHER, TAU_STUDENT)
        mean_p[rows], mean_l[rows] = one.p, one.l
        middle[rows] = seen.mean(1)
    who[partner >= 0] = -1
    return Made(Profiles(p, l, sums, np.full(n, crops), mean_p, mean_l), who, middle)


def ragged(crops: NDArray[np.float32]) -> Ragged:
    """(n, each, k) -> n groups"""
    n, each, k = crops.shape
    return Ragged(crops.reshape(-1, k), np.arange(0, n * each + 1, each))


def by_default(made: Profiles, ops: Ops) -> NDArray[np.int64]:
    """The default of `vcn cluster` on the tracks' mean embeddings: calibrated limits, average linkage, and what stands
    out. (n,) clusters from 0"""
    if made.mean_p is None or made.mean_l is None:
        raise ValueError("clustering by default takes profiles with the tracks' mean embeddings")
    one_each = Profiles(made.mean_p, made.mean_l, row_dots(made.mean_p, made.mean_l), np.ones(len(made), np.int64))
    zero = one_each.l.mean(1, dtype=np.float64)
    tracks = Alike(one_each, zero, -made.thresholds() - zero, np.zeros(len(made), bool))
    config = ClusterConfig()
    scale = calibrate(tracks, config.quantile, config.cap)
    nobody, good = np.zeros((0, 2), np.int64), np.zeros(len(made), bool)
    return group_tracks(tracks, scale, nobody, good, ops, config)[0]
