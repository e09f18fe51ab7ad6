"""How near two tracks are (section 3.7): the mean over their crop pairs of the training loss (Eq. 2), or of the cosine
or squared Euclidean distance (Table 5). Each is bilinear, so a track is two vectors and no pair is ever enumerated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Ops
from vcn_trt.ragged import Ragged, unit_rows


@dataclass(frozen=True, eq=False)
class Profiles:
    """Tracks (or clusters) under a bilinear metric: similarity(a, b) = -(p_a . l_b + p_b . l_a) / 2, lower is nearer.

    p, l: (n, k) float32, the means over the items (crops) of each, NaN where it has none. own: (n,) float64, the sum
    over its items of p_i . l_i. counts: (n,) items. mean_p, mean_l: (n, k), the same of its mean embedding taken as one
    item, by which it stands once it is in a cluster ("mean track embeddings"); None takes p and l.
    """

    p: NDArray[np.float32]
    l: NDArray[np.float32]  # noqa: E741
    own: NDArray[np.float64]
    counts: NDArray[np.int64]
    mean_p: NDArray[np.float32] | None = None
    mean_l: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.p)

    def take(self, rows: NDArray[np.int64]) -> Profiles:
        """Some of the tracks."""
        mean_p, mean_l = (None if m is None else m[rows] for m in (self.mean_p, self.mean_l))
        return Profiles(self.p[rows], self.l[rows], self.own[rows], self.counts[rows], mean_p, mean_l)

    def thresholds(self) -> NDArray[np.float64]:
        """The mean over all pairs of different items, NaN below two items (Algorithm 1, stage 3.2). (n,)"""
        return thresholds(self.p, self.l, self.own, self.counts)

    def similarities(self) -> NDArray[np.float32]:
        """All pairs, for as few tracks as HAC can take. (n, n), the diagonal without meaning"""
        one_way = self.p @ self.l.T
        return np.asarray(-(one_way + one_way.T) / 2)


def thresholds(
    p: NDArray[np.float32],
    l: NDArray[np.float32],  # noqa: E741
    own: NDArray[np.float64],
    counts: NDArray[np.floating | np.integer],
) -> NDArray[np.float64]:
    """-((sum p) . (sum l) - sum p_i . l_i) / (n (n - 1)) from the means p, l of n items; NaN for n < 2."""
    n = np.where(counts < 2, np.nan, counts)
    return np.asarray(-(n * n * row_dots(p, l) - own) / (n * (n - 1)))


def loss_profiles(
    ops: Ops, teacher: Ragged, student: Ragged, centre: NDArray[np.floating], tau_t: float, tau_s: float
) -> Profiles:
    """The loss metric. teacher, student: both heads' logits of every crop, a group a track; centre: (k,)."""
    crops = ops.softmax_means(teacher, student, centre, tau_t, tau_s)
    one_each = np.arange(len(teacher) + 1)
    with np.errstate(invalid="ignore"):
        mean = ops.softmax_means(
            Ragged(teacher.mean(), one_each), Ragged(student.mean(), one_each), centre, tau_t, tau_s
        )
    return Profiles(crops.p, crops.l, crops.own, teacher.counts, mean.p, mean.l)


def cosine_profiles(embeddings: Ragged) -> Profiles:
    """1 - cos, from 0 to 2. embeddings: (n_crops, dim), a group a track; a zero vector is at 1 from everything."""
    unit = unit_rows(np.asarray(embeddings.values, np.float64))
    mean = unit_rows(Ragged(unit, embeddings.offsets).mean())

    def rows(u: NDArray[np.floating[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        one = np.ones((len(u), 1))
        return np.hstack([u, one]), np.hstack([u, -one])

    return _profiles(*rows(unit), embeddings.offsets, *rows(mean))


def euclidean_profiles(embeddings: Ragged) -> Profiles:
    """The squared Euclidean distance: it orders single pairs as the distance does, and its means are bilinear."""
    values = np.asarray(embeddings.values, np.float64)
    values = values - values.mean(0) if len(values) else values  # shorter vectors, smaller rounding

    def rows(x: NDArray[np.floating[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        square, one = (x * x).sum(1, keepdims=True), np.ones((len(x), 1))
        return np.hstack([x, square, one]), np.hstack([2 * x, -one, -square])

    return _profiles(*rows(values), embeddings.offsets, *rows(Ragged(values, embeddings.offsets).mean()))


def row_dots(p: NDArray[np.float32], l: NDArray[np.float32]) -> NDArray[np.float64]:  # noqa: E741
    """p_i . l_i of every row, summed in float64. (n,)"""
    return np.asarray(np.einsum("ij,ij->i", p, l, dtype=np.float64))


def _profiles(
    p: NDArray[np.float64],
    l: NDArray[np.float64],  # noqa: E741
    offsets: NDArray[np.int64],
    mean_p: NDArray[np.float64],
    mean_l: NDArray[np.float64],
) -> Profiles:
    own = Ragged((p * l).sum(1), offsets)
    p_mean, l_mean = Ragged(p, offsets).mean().astype(np.float32), Ragged(l, offsets).mean().astype(np.float32)
    return Profiles(p_mean, l_mean, own.sum(), own.counts, mean_p.astype(np.float32), mean_l.astype(np.float32))


def nearest_tracks(
    p: NDArray[np.float32],
    l: NDArray[np.float32],  # noqa: E741
    a: NDArray[np.int64],
    b: NDArray[np.int64],
) -> tuple[int, int]:
    """The nearest two tracks of two clusters, the lower number first. p, l: (n, k) of all tracks; a, b: of each."""
    i, j = 0, 0
    if len(a) > 1 or len(b) > 1:
        common = p[a] @ l[b].T + l[a] @ p[b].T
        i, j = (int(x) for x in np.unravel_index(common.argmax(), common.shape))
    first, second = sorted((int(a[i]), int(b[j])))
    return first, second
