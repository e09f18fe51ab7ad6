"""Who may be one person ("same person?"): pairs of clusters, the likeliest first, from what a run keeps.

Average linkage has told all it can when they were grouped: what is left shows in single tracks. So two clusters are
compared by the cosine of their nearest two tracks and by that of each track with its nearest in the other, half and
half, on a scale of their own: 0 is what they have in common with strangers, 1 what a track has with itself. On the
hardest labelled film the average precision of this order is 0.79, that of the mean over all pairs 0.50.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.cluster.people import seen_together
from vcn_trt.config import ClusterConfig, load
from vcn_trt.corrections import edit, log
from vcn_trt.corrections.fold import State
from vcn_trt.ragged import Ragged, unit_rows
from vcn_trt.types import UNKNOWN, TrackSet

VECTORS = "embeddings.npz"

_ROWS = 512


@dataclass(frozen=True)
class Suggestion:
    """Clusters a < b. likeness: 0 as strangers, 1 as one track with itself; margin: by how much it is above the share
    at which tracks join, or below it. tracks: the nearest two, one of each."""

    a: int
    b: int
    likeness: float
    margin: float
    tracks: tuple[int, int]


def suggestions(folder: Path, most: int = 100) -> list[Suggestion]:
    """Of a run as it is corrected now, no more than `most`; pairs that were answered, or that one frame shows, are left
    out. Raises RunError where the vectors are missing."""
    opened = edit.open_run(folder)
    vectors = store.read_embeddings(folder / VECTORS)
    config = load(folder / "config.toml").cluster
    crops = vectors.base if vectors.adapted is None else vectors.adapted
    return ranked(opened.tracks, crops, opened.binder.bound(log.read(folder)).state, config, most)


def ranked(
    tracks: TrackSet, crops: NDArray[np.float32], state: State, config: ClusterConfig, most: int
) -> list[Suggestion]:
    """crops: (n_crops, d) vectors, NaN for rejected ones."""
    kept = tracks.kept_by_track()
    unit = Ragged(unit_rows(crops[kept.values]), kept.offsets)
    labels = tracks.tracks.cluster
    rows = np.flatnonzero((labels != UNKNOWN) & (unit.counts > 0))
    rows = rows[np.argsort(labels[rows], kind="stable")]
    people, starts, counts = np.unique(labels[rows], return_index=True, return_counts=True)
    if len(people) < 2:
        return []
    z = unit_rows(np.asarray(unit.mean()[rows], np.float32))  # (n, d), person by person
    middle = np.add.reduceat(z, starts) / counts[:, None]  # (c, d)
    between = middle @ middle.T
    np.fill_diagonal(between, np.nan)
    own = np.add.reduceat(_own(unit)[rows], starts) / counts
    strangers = np.minimum(np.nanquantile(between, config.quantile, axis=1), config.cap * own)
    low, high = (strangers[:, None] + strangers) / 2, (own[:, None] + own) / 2
    likeness = (_nearness(z, starts, counts) - low) / np.maximum(high - low, 1e-6)
    a, b = np.triu_indices(len(people), 1)
    open_ = ~_answered(tracks, state, people, config)[a, b] & (likeness[a, b] > 0)
    a, b = a[open_], b[open_]
    order = np.argsort(-likeness[a, b], kind="stable")[:most]
    of = np.split(np.arange(len(rows)), starts[1:])
    found = []
    for i, j in zip(a[order].tolist(), b[order].tolist(), strict=True):
        one, other = np.unravel_index((z[of[i]] @ z[of[j]].T).argmax(), (counts[i], counts[j]))
        nearest = int(rows[of[i][one]]), int(rows[of[j][other]])
        like = round(float(likeness[i, j]), 4)
        found.append(Suggestion(int(people[i]), int(people[j]), like, round(like - config.share, 4), nearest))
    return found


def _nearness(
    z: NDArray[np.float32], starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.floating[Any]]:
    """z: (n, d) unit vectors, those of a person one after the other from `starts`. -> (c, c)"""
    best = np.concatenate(  # (n, c): of each track, with its nearest of each person
        [np.maximum.reduceat(z[i : i + _ROWS] @ z.T, starts, axis=1) for i in range(0, len(z), _ROWS)]
    )
    each = np.add.reduceat(best, starts) / counts[:, None]
    return np.asarray((np.maximum.reduceat(best, starts) + (each + each.T) / 2) / 2)


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
