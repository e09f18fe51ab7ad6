"""Who may be one person ("same person?"): pairs of clusters, the likeliest first, from what a run keeps.

Clusters are compared as in average linkage, by the mean cosine of their tracks' mean vectors, on a scale of their own:
0 is what they have in common with strangers, 1 what their tracks have in common with themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.cluster.people import seen_together
from vcn_trt.config import ClusterConfig, load
from vcn_trt.corrections import edit
from vcn_trt.corrections.fold import State
from vcn_trt.ragged import Ragged, unit_rows
from vcn_trt.types import UNKNOWN, TrackSet

VECTORS = "embeddings.npz"


@dataclass(frozen=True)
class Suggestion:
    """Clusters a < b. likeness: 0 as strangers, 1 as one track with itself; margin: by how much it is above the share
    at which tracks join, or below it. tracks: the nearest two, one of each."""

    a: int
    b: int
    likeness: float
    margin: float
    tracks: tuple[int, int]


def suggestions(folder: Path, tracks: TrackSet | None = None) -> list[Suggestion]:
    """Of a run as it is corrected now; pairs that were answered, or that one frame shows, are left out. Raises RunError
    where the vectors are missing."""
    found = tracks or edit.open_tracks(folder)
    vectors = store.read_embeddings(folder / VECTORS)
    config = load(folder / "config.toml").cluster
    crops = vectors.base if vectors.adapted is None else vectors.adapted
    return ranked(found, crops, edit.state(folder, found).state, config)


def ranked(tracks: TrackSet, crops: NDArray[np.float32], state: State, config: ClusterConfig) -> list[Suggestion]:
    """crops: (n_crops, d) vectors, NaN for rejected ones."""
    kept = tracks.kept_by_track()
    unit = Ragged(unit_rows(crops[kept.values]), kept.offsets)
    mean = np.asarray(unit.mean())  # (n_tracks, d), NaN without crops
    labels = tracks.tracks.cluster
    rows = np.flatnonzero((labels != UNKNOWN) & (unit.counts > 0))
    people, of = np.unique(labels[rows], return_inverse=True)
    if len(people) < 2:
        return []
    direction = unit_rows(mean[rows])
    middle = np.asarray(Ragged(direction[np.argsort(of, kind="stable")], _offsets(of)).mean())  # (c, d)
    between = middle @ middle.T
    np.fill_diagonal(between, np.nan)
    itself = _own(unit)[rows]
    own = np.bincount(of, itself) / np.bincount(of)
    strangers = np.minimum(np.nanquantile(between, config.quantile, axis=1), config.cap * own)
    low, high = (strangers[:, None] + strangers) / 2, (own[:, None] + own) / 2
    likeness = (between - low) / np.maximum(high - low, 1e-6)
    a, b = np.triu_indices(len(people), 1)
    open_ = ~_answered(tracks, state, people, config)[a, b]
    a, b = a[open_], b[open_]
    order = np.argsort(-likeness[a, b], kind="stable")
    members = [rows[of == c] for c in range(len(people))]
    return [
        Suggestion(
            int(people[i]),
            int(people[j]),
            round(float(likeness[i, j]), 4),
            round(float(likeness[i, j] - config.share), 4),
            _nearest(mean, members[i], members[j]),
        )
        for i, j in zip(a[order].tolist(), b[order].tolist(), strict=True)
        if likeness[i, j] > 0
    ]


def _answered(tracks: TrackSet, state: State, people: NDArray[np.int32], config: ClusterConfig) -> NDArray[np.bool_]:
    """(c, c) pairs that are known to be two people."""
    place = np.full(int(people.max()) + 2, -1)
    place[people] = np.arange(len(people))
    where = place[tracks.tracks.cluster]  # Unknown, -1, is the last place and stays -1
    known = np.zeros((len(people), len(people)), bool)
    for one, other in state.apart:
        i, j = (np.unique(where[list(side)]) for side in (one, other))
        known[np.ix_(i[i >= 0], j[j >= 0])] = True
    if config.cannot_link == "enforce":
        i, j = where[seen_together(tracks.tracks)].T
        both = (i >= 0) & (j >= 0)
        known[i[both], j[both]] = True
    return known | known.T


def _own(unit: Ragged) -> NDArray[np.float64]:
    """The mean cosine of a track's different crops; the median of all for a lone one. (n_tracks,)"""
    total, n = unit.sum(), unit.counts
    with np.errstate(invalid="ignore", divide="ignore"):
        own = ((total * total).sum(1) - n) / (n * (n - 1.0))
    several = n > 1
    return np.where(several, own, np.median(own[several]) if several.any() else 1.0)


def _nearest(mean: NDArray[np.float64], a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[int, int]:
    i, j = np.unravel_index((mean[a] @ mean[b].T).argmax(), (len(a), len(b)))
    return int(a[i]), int(b[j])


def _offsets(of: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(of))])
