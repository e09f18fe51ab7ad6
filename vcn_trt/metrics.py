"""How well a clustering agrees with the truth: the paper's WCP and PCR, NMI, ARI, B-cubed and pairwise scores.

All of them are functions of one small table of counts, clusters by identities; nothing is enumerated a pair."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vcn_trt.types import UNKNOWN


@dataclass(frozen=True)
class Scores:
    """One clustering of `tracks` tracks against their true identities; a score is NaN where there are no tracks at all.

    wcp: share of tracks whose cluster is mostly their identity. pcr: `clusters` / `identities`. nmi: mutual information
    over the arithmetic mean of the entropies. ari: pair agreement above chance. bcubed_*: mean over tracks of the share
    of a track's cluster that is its identity (precision), of its identity that is in its cluster (recall), and the
    harmonic mean of the two. pair_*: of the pairs put together, how many belong together (precision); of those that do,
    how many were put together (recall).
    """

    tracks: int
    clusters: int
    identities: int
    wcp: float
    pcr: float
    nmi: float
    ari: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f: float
    pair_precision: float
    pair_recall: float
    pair_f: float

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values for JSON: None for NaN."""
        return {key: None if math.isnan(value) else value for key, value in asdict(self).items()}


def score(predicted: ArrayLike, true: ArrayLike) -> Scores:
    """Every score, with Unknown counted as an error.

    predicted: (n,) clusters, UNKNOWN (-1) for none. true: (n,) identities, any integers or strings.

    An Unknown track is never right in `wcp` and no cluster in `clusters` and `pcr`. For the other scores each Unknown
    track stands alone: it is together with no one, so it costs recall, not precision. Scores without the Unknown tracks
    are `score(predicted[known], true[known])`. Raises ValueError for lengths that differ.
    """
    clusters = np.asarray(predicted)
    known = clusters != UNKNOWN
    table = _with_singletons(clusters, true)
    n, n_known = len(clusters), int(known.sum())
    n_clusters = len(np.unique(clusters[known]))
    precision, recall = bcubed(table)
    pair_precision, pair_recall = pairs(table)
    # The rows of the known tracks' clusters come first.
    right = int(table[:n_clusters].max(axis=1, initial=0).sum()) if n_known else 0
    return Scores(
        tracks=n,
        clusters=n_clusters,
        identities=table.shape[1],
        wcp=right / n if n else math.nan,
        pcr=n_clusters / table.shape[1] if n else math.nan,
        nmi=nmi(table),
        ari=ari(table),
        bcubed_precision=precision,
        bcubed_recall=recall,
        bcubed_f=_harmonic(precision, recall),
        pair_precision=pair_precision,
        pair_recall=pair_recall,
        pair_f=_harmonic(pair_precision, pair_recall),
    )


def contingency(predicted: ArrayLike, true: ArrayLike) -> NDArray[np.int64]:
    """How many tracks each pair of cluster and identity shares, both in sorted order. (n_clusters, n_identities)"""
    clusters, identities = np.asarray(predicted), np.asarray(true)
    if clusters.ndim != 1 or clusters.shape != identities.shape:
        raise ValueError(
            f"expected one cluster and one identity a track, found shapes {clusters.shape}, {identities.shape}"
        )
    rows, row = np.unique(clusters, return_inverse=True)
    columns, column = np.unique(identities, return_inverse=True)
    table = np.zeros((len(rows), len(columns)), np.int64)  # (n_clusters, n_identities)
    np.add.at(table, (row, column), 1)
    return table


def nmi(table: NDArray[np.int64]) -> float:
    """Mutual information over the arithmetic mean of the two entropies; 1 where both sides are one group."""
    n = table.sum()
    if n == 0:
        return math.nan
    joint, rows, columns = table / n, table.sum(1) / n, table.sum(0) / n
    mean_entropy = (_entropy(rows) + _entropy(columns)) / 2
    if mean_entropy == 0:
        return 1.0
    information = _entropy(rows) + _entropy(columns) - _entropy(joint.ravel())
    return float(np.clip(information / mean_entropy, 0.0, 1.0))


def ari(table: NDArray[np.int64]) -> float:
    """The adjusted Rand index (Hubert and Arabie 1985); 1 where both sides pair all tracks, or none."""
    n = int(table.sum())
    if n == 0:
        return math.nan
    both, predicted, true = _pair_counts(table)
    by_chance = predicted * true / math.comb(n, 2) if n > 1 else 0.0
    most = (predicted + true) / 2
    return 1.0 if most == by_chance else (both - by_chance) / (most - by_chance)


def bcubed(table: NDArray[np.int64]) -> tuple[float, float]:
    """Precision and recall of Bagga and Baldwin 1998, a mean over tracks."""
    n = int(table.sum())
    if n == 0:
        return math.nan, math.nan
    squares = table.astype(np.float64) ** 2
    precision = (squares / table.sum(1, keepdims=True)).sum() / n
    recall = (squares / table.sum(0, keepdims=True)).sum() / n
    return float(precision), float(recall)


def pairs(table: NDArray[np.int64]) -> tuple[float, float]:
    """Precision and recall over pairs of tracks. Where no pair was put together nothing was wrong (precision 1); where
    none belongs together nothing was missed (recall 1)."""
    if not table.sum():
        return math.nan, math.nan
    both, predicted, true = _pair_counts(table)
    return both / predicted if predicted else 1.0, both / true if true else 1.0


def _with_singletons(clusters: NDArray[np.generic], true: ArrayLike) -> NDArray[np.int64]:
    """The table with a row of its own for every Unknown track, after the rows of the clusters."""
    _, group = np.unique(clusters, return_inverse=True)
    unknown = clusters == UNKNOWN
    alone = group.astype(np.int64)
    alone[unknown] = len(clusters) + np.arange(int(unknown.sum()))
    return contingency(alone, true)


def _pair_counts(table: NDArray[np.int64]) -> tuple[int, int, int]:
    """Pairs together in both, in the prediction, in the truth."""

    def count(groups: NDArray[np.int64]) -> int:
        return int((groups * (groups - 1) // 2).sum())

    return count(table), count(table.sum(1)), count(table.sum(0))


def _entropy(p: NDArray[np.floating]) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
