"""Clustering without adaptation, on the mean embedding of each track: what the paper's method is compared with.

Average-link HAC through SciPy, DBSCAN and HDBSCAN through scikit-learn (on a card through cuML, where it is installed),
FINCH (Sarfraz et al., CVPR 2019) through finch-clust. Every track is someone: a point that a method calls noise becomes
a person of its own. Each method but cuML's holds all N^2 distances (HAC 16 to 24 bytes a pair of tracks, some 5 GB for
20,000): for productions, not archives.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.metrics import silhouette_score

from vcn_trt.cluster import cuml
from vcn_trt.cluster.people import by_size
from vcn_trt.errors import ModelError, UsageError
from vcn_trt.ragged import Ragged
from vcn_trt.types import UNKNOWN, Clusters, Merge

Method = Literal["hac", "dbscan", "hdbscan", "finch"]

THRESHOLDS = {"hac": 0.6, "dbscan": 0.45}
"""The cosine distance up to which tracks are joined: the largest, in steps of 0.05, at which no episode of
`benchmarks/baselines_on_labels.py` (SFace) falls below a purity of 0.9: two people in one cluster cost an editor more
than one person in two. The worst episode's WCP: HAC 0.98 at 0.60, 0.88 at 0.65; DBSCAN 0.92 at 0.45, 0.77 at 0.50."""

Labelling = NDArray[np.int64]


def cluster_tracks(
    embeddings: Ragged | NDArray[np.floating],
    method: Method = "hac",
    *,
    threshold: float | None = None,
    k: int = 0,
    torch_device: str = "cpu",
) -> Clusters:
    """Tracks to people by one of the baselines.

    embeddings: the kept crops' vectors, a group a track; or one vector a track (n_tracks, dim). Crops are normalised,
    then averaged. A track without any crop, or whose one vector is all NaN, is UNKNOWN.
    threshold: cosine distance (0 to 2) for hac (the mean over two clusters) and dbscan (of the nearest two), by
    default `THRESHOLDS`. k: the number of people, where it is known; for hac and finch.

    The labels count from 1, most tracks first, ties by first track. HAC gives its merges, round by round: the closest
    two tracks of the two clusters, and the mean distance that was compared with the threshold (with k, the distance of
    the first merge that was not made). Equal input gives equal output.

    Raises UsageError for options that cannot be meant, ModelError for embeddings that are not finite or without length.
    """
    if method not in get_args(Method):
        raise UsageError(f"unknown clustering method {method!r}; known: {', '.join(get_args(Method))}")
    if k and method not in ("hac", "finch"):
        raise UsageError(f"{method} finds the number of people itself: leave k out, or take hac or finch")
    if k < 0:
        raise UsageError(f"k must be 1 or more, or 0 where it is not known; found {k}")
    if threshold is not None and method not in THRESHOLDS:
        raise UsageError(f"{method} has no threshold: leave it out, or take {' or '.join(THRESHOLDS)}")
    if threshold is not None and not 0 <= threshold <= 2:
        raise UsageError(f"a threshold is a cosine distance from 0 to 2; found {threshold}")
    unit, someone = _directions(embeddings)
    n = len(unit)
    if 0 < n < k:
        raise UsageError(f"{k} people cannot be found in {n} tracks with faces: ask for fewer, or leave k out")
    merges: Sequence[Merge] = ()
    if n < 2:
        found = np.zeros(n, np.int64)
    elif method == "hac":
        found, merges = hac(unit, THRESHOLDS["hac"] if threshold is None else threshold, k)
    elif method == "dbscan":
        found = dbscan(unit, THRESHOLDS["dbscan"] if threshold is None else threshold, torch_device=torch_device)
    elif method == "hdbscan":
        found = hdbscan(unit, torch_device=torch_device)
    else:
        found = finch(unit, k)
    labels = np.full(len(someone), UNKNOWN, np.int32)
    labels[someone] = by_size(found)
    track = np.flatnonzero(someone)
    return Clusters(
        labels=labels,
        thresholds=np.full(len(someone), np.nan, np.float32),
        merges=tuple(Merge(m.round, int(track[m.a]), int(track[m.b]), m.similarity, m.threshold) for m in merges),
        method=method,
    )


def hac(unit: NDArray[np.float64], threshold: float, k: int = 0) -> tuple[Labelling, list[Merge]]:
    """Average-link agglomerative clustering by cosine distance, up to `threshold`, or down to exactly k clusters.

    unit: (n, dim) unit vectors, n at least 2. Returns (n,) cluster numbers and the merges in order.
    """
    n = len(unit)
    distances = _cosine_distances(unit)
    tree = linkage(distances, "average")  # (n - 1, 4): two nodes, their mean distance, size; distances never fall
    n_merges = n - k if k else int(np.searchsorted(tree[:, 2], threshold, side="right"))
    if k:
        threshold = float(tree[n_merges, 2]) if n_merges < n - 1 else 2.0
    square = squareform(distances)
    members = {i: np.array([i]) for i in range(n)}
    merges = []
    for step, (left, right, distance, _) in enumerate(tree[:n_merges]):
        one, other = members.pop(int(left)), members.pop(int(right))
        # Each pair of tracks stands in one such block, so all of them together cost N^2.
        a, b = np.unravel_index(np.argmin(square[np.ix_(one, other)]), (len(one), len(other)))
        first, second = sorted((int(one[a]), int(other[b])))
        merges.append(Merge(step, first, second, float(distance), threshold))
        members[n + step] = np.concatenate([one, other])
    found = np.empty(n, np.int64)
    for number, tracks in enumerate(members.values()):
        found[tracks] = number
    return found, merges


def dbscan(unit: NDArray[np.float64], threshold: float, min_samples: int = 2, torch_device: str = "cpu") -> Labelling:
    """DBSCAN (Ester et al. 1996) with `threshold` as its radius in cosine distance. With `min_samples` of 2 its
    clusters are the connected groups of tracks that near (3 measured alike)."""
    if cuml.serves(torch_device):
        return _alone(cuml.dbscan(unit, max(threshold, 1e-12), min_samples))
    square = squareform(_cosine_distances(unit))
    return _alone(DBSCAN(eps=max(threshold, 1e-12), min_samples=min_samples, metric="precomputed").fit_predict(square))


def hdbscan(unit: NDArray[np.float64], min_cluster_size: int = 2, torch_device: str = "cpu") -> Labelling:
    """HDBSCAN (Campello et al. 2013): the clusters that persist over all radii.

    Unit vectors by Euclidean distance, which orders pairs as cosine does. One single person cannot be its answer: then
    everyone is alone. `min_cluster_size` of 3 measured better (B-cubed F 0.93 against 0.91 over the episodes), but
    could never find a person of two tracks.
    """
    if cuml.serves(torch_device):
        return _alone(cuml.hdbscan(unit, min_cluster_size))
    model = HDBSCAN(min_cluster_size=min_cluster_size, metric="euclidean", allow_single_cluster=False, copy=True)
    return _alone(model.fit_predict(unit))


def finch(unit: NDArray[np.float64], k: int = 0) -> Labelling:
    """FINCH: tracks that share a first neighbour are one, then the same on the means, level by level.

    Of its partitions, the one with the best mean silhouette (cosine) is taken, the finest among equals: the authors
    recommend none. With k the nearest finer partition is merged down to k one pair at a time, as they do. Raises
    UsageError where k is more than the finest partition has.
    """
    if k:
        return _finch(unit, k)[1]
    partitions = finch_partitions(unit)
    square = squareform(_cosine_distances(unit))
    return max(partitions, key=lambda partition: _silhouette(square, partition))


def finch_partitions(unit: NDArray[np.float64]) -> list[Labelling]:
    """Every level of FINCH, finest first. [(n,)]"""
    return list(_finch(unit, 0)[0].T)


def _finch(unit: NDArray[np.float64], k: int) -> tuple[Labelling, Labelling]:
    with warnings.catch_warnings():
        # Importing it warns that an approximate neighbour search is not installed; the exact one is asked for below.
        warnings.filterwarnings("ignore", message="pynndescent is not installed")
        from finch import FINCH
    n = len(unit)
    levels, counts, asked = FINCH(unit, req_clust=k or None, distance="cosine", ann_threshold=n, verbose=False)
    if k > counts[0]:
        raise UsageError(
            f"finch cannot find {k} people: its finest partition has {counts[0]}; ask for fewer, or take hac"
        )
    return np.asarray(levels, np.int64), np.asarray(asked if k else [], np.int64)


def _silhouette(square: NDArray[np.float64], found: Labelling) -> float:
    """A silhouette needs 2 to n - 1 clusters; anything else says nothing about itself and comes last."""
    if not 1 < len(np.unique(found)) < len(found):
        return -1.0
    return float(silhouette_score(square, found, metric="precomputed"))


def _directions(embeddings: Ragged | NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The unit mean vector of every track with a face, and which tracks those are. (n, dim), (n_tracks,)"""
    if isinstance(embeddings, Ragged):
        crops = np.asarray(embeddings.values, np.float64)
        if bad := np.flatnonzero(~np.isfinite(crops).all(axis=1)).tolist():
            track = int(embeddings.group_ids[bad[0]])
            raise ModelError(f"the embedding of a crop of track {track} is not finite: check the weights")
        means = np.asarray(Ragged(_normalised(crops), embeddings.offsets).mean(), np.float64)
        someone = embeddings.counts > 0
    else:
        means = np.asarray(embeddings, np.float64)
        someone = np.asarray(~np.isnan(means).all(axis=1))
        if bad := np.flatnonzero(someone & ~np.isfinite(means).all(axis=1)).tolist():
            raise ModelError(f"the embedding of track {bad[0]} is not finite: check the weights")
    return _normalised(means[someone]), someone


def _normalised(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if (lengths < 1e-9).any():
        raise ModelError(f"an embedding has length {lengths.min():.1g} and so no direction: check the weights")
    return np.asarray(vectors / lengths)


def _cosine_distances(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the squared Euclidean distance: 1 - cosine, never below 0. Condensed, (n (n - 1) / 2,)"""
    return np.asarray(pdist(unit, "sqeuclidean") / 2)


def _alone(found: NDArray[np.integer]) -> Labelling:
    """Noise points (-1) as clusters of one."""
    labels = np.asarray(found, np.int64)
    noise = labels == -1
    labels[noise] = len(labels) + np.arange(int(noise.sum()))
    return labels
