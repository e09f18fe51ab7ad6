"""Faces to tracks, frame by frame: BoT-SORT without appearance (Aharon et al. 2022), vectorised over all tracks.

A frame's confident faces are assigned to the tracks first, then its doubtful ones to the tracks still without a face
(ByteTrack's two stages), each by the Hungarian method on the overlap with the box that a Kalman filter predicts. A face
that no track takes begins one, tentative until the next looked-at frame confirms it. A track without a face is lost; it
can be found again for `buffer_seconds`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vcn_trt.config import TrackConfig
from vcn_trt.ingest import kalman

UNCONFIRMED_MATCH = 0.7
"""Largest distance at which a tentative track takes its second face (fixed in ByteTrack's and BoT-SORT's code)."""

DUPLICATE_OVERLAP = 0.85
"""A tracked and a lost box that overlap by more are one face; the track that lived longer stays (fixed there too)."""


GATE = 18.47
"""The 99.9 % quantile of chi-square with four degrees of freedom. On the four labelled episodes with no cuts told at
all it takes the tracks that mix two people from 17 to 5; with the cuts told (none mixes, either way) it costs 2 tracks
beside 256 and no coverage (benchmarks/results/tracker.json). With a stride expectations are vaguer: it helps less."""

_SIGNED = np.array([[-1.0, 0.5], [1.0, 0.5]])
"""Centre and size to low corner, negated, and high corner: of either the nearer one is then the smaller."""


class FinishedTrack(NamedTuple):
    """A track that takes no more faces. One that was never confirmed is a false alarm: discard what was kept of it."""

    id: int
    confirmed: bool


class Tracker:
    """The tracks of one video. Ids count up from 0 in order of birth, across cuts; the same input gives the same ids.

    Call `update` for each looked-at frame, `flush` at each cut and at the end; `finished` whenever convenient. Where
    the authors' code and the paper (its Algorithm 1) part, the paper is followed: tentative tracks are predicted like
    all others, and no track is confirmed at birth, not even in a first frame. As in the code, a lost track keeps its
    size.
    """

    def __init__(self, config: TrackConfig, fps: float, gate: float | None = None) -> None:
        """fps: to count `config.buffer_seconds` in frames, rounded down. Raises ValueError unless it is positive.

        gate: no face further than this from a track's expectation (squared Mahalanobis distance) continues it, whatever
        the overlap. None is BoT-SORT. GATE keeps tracks from jumping to another person across a cut nobody saw: see it.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps must be a positive number; found {fps}")
        self._config = config
        self._gate = gate
        self._buffer = math.floor(config.buffer_seconds * fps + 1e-9)  # frames a track may be without a face
        self._frame = -1
        self._next_id = 0
        self._finished: list[FinishedTrack] = []
        self._filters = np.zeros((5, 2, 0, 2))
        self._id = np.zeros(0, np.int64)
        self._born = np.zeros(0, np.int64)
        self._seen = np.zeros(0, np.int64)  # the frame of the last face
        self._confirmed = np.zeros(0, np.bool_)
        self._tracked = np.zeros(0, np.bool_)  # had a face in the last looked-at frame; else lost

    def update(
        self,
        frame: int,
        boxes: NDArray[np.floating[Any]],
        scores: NDArray[np.floating[Any]],
        transform: NDArray[np.floating[Any]] | None = None,
    ) -> NDArray[np.int64]:
        """The track of each face of the next looked-at frame, -1 where it has none.

        frame: its number, above all before it (what was skipped is predicted across). boxes: (n, 4) xyxy pixels.
        scores: (n,). transform: (2, 3), how the camera moved the picture since the last looked-at frame. -> (n,); a
        face that begins a track has that track's id at once; `finished` tells later whether it was ever confirmed.
        Raises ValueError for other shapes, for boxes that are not finite or have no area, and for frames out of order.
        """
        box, score = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
        if box.shape != (*score.shape, 4) or score.ndim != 1:
            raise ValueError(f"expected boxes (n, 4) and scores (n,); found {box.shape} and {score.shape}")
        measured = kalman.measurement(box)
        _check(measured[1], score)
        if frame <= self._frame:
            raise ValueError(f"frames must rise: frame {frame} came after frame {self._frame}")
        self._advance(frame, transform)

        config = self._config
        overlap = iou(self._filters[0], measured)  # (n_tracks, n)
        if self._gate is not None:
            overlap *= kalman.distance(self._filters, measured) <= self._gate
        fused = overlap * score
        face = np.empty(len(self._id), np.int64)  # each track's face in this frame
        face.fill(-1)
        free = score > config.high
        n_high = np.count_nonzero(free)
        # Stage 1: all confirmed tracks, lost ones too, and the confident faces.
        given = _assign(fused, 1 - config.match, self._confirmed, free, face)
        n_high -= given
        # Stage 2: tracks that had a face until now, and the doubtful faces.
        if given < len(face):
            doubtful = (score > config.low) & (score <= config.high)
            rows = self._confirmed & self._tracked & (face < 0)
            given += _assign(overlap, 1 - config.second_match, rows, doubtful, face)
        # Stage 3: the tentative tracks, and what confident faces remain.
        if n_high and given < len(face):
            late = _assign(fused, 1 - UNCONFIRMED_MATCH, ~self._confirmed, free, face)
            n_high, given = n_high - late, given + late

        ids = np.empty(len(score), np.int64)
        ids.fill(-1)
        some_lost = given < len(face)
        if some_lost:
            self._tracked = face >= 0
        else:
            self._tracked.fill(True)
        if given:
            which = self._tracked.nonzero()[0] if some_lost else slice(None)
            seen = face[which]
            ids[seen] = self._id[which]
            self._seen[which] = frame
            self._filters[:, :, which] = kalman.update(self._filters[:, :, which], measured.take(seen, axis=1))
        if some_lost:
            self._filters[1, 1, ~self._tracked] = 0.0  # a lost track keeps its size
            # A tentative track ends without a second face, a lost one when no later frame could be within its buffer.
            self._end(np.where(self._confirmed, frame - self._seen > self._buffer, ~self._tracked))
        self._confirmed |= self._tracked
        if n_high:
            births = (free & (score >= config.new)).nonzero()[0]
            ids[births] = self._begin(frame, measured[:, births])
        if some_lost:
            self._end_duplicates()
        return ids

    def finished(self) -> list[FinishedTrack]:
        """The tracks that ended since the last call (or `flush`), by id."""
        finished, self._finished = sorted(self._finished), []
        return finished

    def flush(self) -> list[FinishedTrack]:
        """End every track, as at a cut: no later frame continues one. -> `finished`, with these among them."""
        self._end(np.ones(len(self._id), np.bool_))
        return self.finished()

    def _advance(self, frame: int, transform: NDArray[np.floating[Any]] | None) -> None:
        steps, self._frame = frame - self._frame, frame
        if steps > 1:  # only across skipped frames can a track outlive its buffer unseen; this bounds the steps, too
            self._end(frame - self._seen - 1 > self._buffer)
        if not len(self._id):
            return
        self._filters = kalman.predict(self._filters, steps)
        if transform is not None:
            self._filters = kalman.move(self._filters, np.asarray(transform, np.float64))

    def _begin(self, frame: int, measured: NDArray[np.float64]) -> NDArray[np.int64]:
        n = measured.shape[1]
        ids = np.arange(self._next_id, self._next_id + n)
        self._next_id += n
        self._filters = np.concatenate([self._filters, kalman.initiate(measured)], axis=2)
        self._id = np.concatenate([self._id, ids])
        self._born = np.concatenate([self._born, np.full(n, frame)])
        self._seen = np.concatenate([self._seen, np.full(n, frame)])
        self._confirmed = np.concatenate([self._confirmed, np.zeros(n, np.bool_)])
        self._tracked = np.concatenate([self._tracked, np.ones(n, np.bool_)])
        return ids

    def _end(self, which: NDArray[np.bool_]) -> None:
        if not np.count_nonzero(which):
            return
        self._finished += map(FinishedTrack, self._id[which].tolist(), self._confirmed[which].tolist())
        keep = ~which
        self._filters = self._filters[:, :, keep]
        self._id, self._born, self._seen = self._id[keep], self._born[keep], self._seen[keep]
        self._confirmed, self._tracked = self._confirmed[keep], self._tracked[keep]

    def _end_duplicates(self) -> None:
        pairs = iou(self._filters[0], self._filters[0]) > DUPLICATE_OVERLAP
        pairs &= self._tracked[:, None]
        pairs &= ~self._tracked
        a, b = pairs.nonzero()  # a tracked, b lost
        if not len(a):
            return
        lived = self._seen - self._born
        which = np.zeros(len(self._id), np.bool_)
        which[np.where(lived[a] > lived[b], b, a)] = True
        self._end(which)


class FilledTrack(NamedTuple):
    """One track with every frame from its first to its last. interpolated: (m,) bool, true where no face was seen."""

    frame: NDArray[np.int64]
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: NDArray[np.float32]
    interpolated: NDArray[np.bool_]


def interpolate(
    frames: NDArray[np.integer[Any]],
    boxes: NDArray[np.floating[Any]],
    landmarks: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
) -> FilledTrack:
    """A track's gaps (lost and found again, or skipped by a stride) filled on the straight line between their ends.

    frames: (n,) rising, n >= 1. boxes: (n, 4). landmarks: (n, 5, 2). scores: (n,). Faces that were seen come back
    unchanged. Raises ValueError where frames do not rise.
    """
    frames = np.asarray(frames, np.int64)
    if not len(frames) or (np.diff(frames) <= 0).any():
        raise ValueError(f"a track needs at least one face, and frames that rise; found {frames.tolist()}")
    every = np.arange(frames[0], frames[-1] + 1)
    after = np.searchsorted(frames, every)  # (m,) the first face at or after each frame
    before = np.maximum(after - 1, 0)
    seen = frames[after] == every
    share = np.where(seen, 1.0, (every - frames[before]) / np.maximum(frames[after] - frames[before], 1))

    def fill(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        values = np.asarray(values, np.float32)
        weight = share.reshape(-1, *[1] * (values.ndim - 1))
        filled = (1 - weight) * values[before] + weight * values[after]
        return np.asarray(filled, np.float32)

    return FilledTrack(every, fill(boxes), fill(landmarks), fill(scores), ~seen)


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes of some area, as centres and sizes (2, n, 2) and (2, m, 2). (n, m)"""
    corners = np.minimum(
        _SIGNED.dot(a.reshape(2, -1)).reshape(2, -1, 1, 2), _SIGNED.dot(b.reshape(2, -1)).reshape(2, 1, -1, 2)
    )
    sides = corners[0] + corners[1]  # (n, m, 2)
    np.maximum(sides, 0, out=sides)
    shared: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    size, other = a[1], b[1]
    shared /= (size[:, 0] * size[:, 1])[:, None] + other[:, 0] * other[:, 1] - shared
    return shared


def _assign(
    similarity: NDArray[np.float64],
    least: float,
    rows: NDArray[np.bool_],
    columns: NDArray[np.bool_],
    face: NDArray[np.int64],
) -> int:
    """Give tracks (where `rows`) faces (where `columns`) so that their similarity above `least` sums highest.

    Writes `face`, takes the given faces from `columns` and returns their number. A pair below `least` counts as no pair
    while assigning, as in the authors' code: where it is struck out only afterwards, it may have broken a good pair.
    """
    pairs = similarity >= least
    if np.count_nonzero(rows) < len(rows):
        pairs &= rows[:, None]
    pairs &= columns
    r, c = pairs.nonzero()
    # Faces seldom overlap: nearly always nobody competes, and every pair stands.
    if len(r) > 1 and (len(set(r.tolist())) < len(r) or len(set(c.tolist())) < len(c)):
        gain = np.where(pairs, similarity - least, 0)
        r, c = linear_sum_assignment(gain, maximize=True)
        given = pairs[r, c]
        r, c = r[given], c[given]
    face[r] = c
    columns[c] = False
    return len(r)


def _check(size: NDArray[np.float64], score: NDArray[np.float64]) -> None:
    # Lists: for a frame's few faces the reductions of NumPy cost three times as much.
    sides, scores = size.ravel().tolist(), score.tolist()
    if not math.isfinite(sum(sides) + sum(scores)) or min(sides, default=1) <= 0:
        raise ValueError(
            "boxes must be finite with x1 < x2 and y1 < y2, and scores finite; found widths and heights "
            f"{size.tolist()} with scores {scores}"
        )
