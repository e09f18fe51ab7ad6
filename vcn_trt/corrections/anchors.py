"""Tracks told by what they show: the video's fingerprint and a face in it. So a correction finds its tracks again when
numbers have changed: after new videos, or an ingest of another config."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.boxes import iou
from vcn_trt.corrections.event import Anchor
from vcn_trt.types import Faces, Tracks, TrackSet, Video

SAME_FACE = 0.5
"""The overlap (IoU) above which a face is the anchor's: two tracks of one frame do not reach it."""


def fingerprints(sources: Iterable[Any], videos: Sequence[Video]) -> list[str]:
    """Of each video, from a record's sources: {"path": ..., "fingerprint": ...}."""
    known = {s["path"]: s["fingerprint"] for s in sources}
    return [known.get(video.path, "") for video in videos]


class Finder:
    """The tracks of a run by their anchors, and the other way round. prints: of each video."""

    def __init__(self, tracks: TrackSet, prints: Sequence[str]) -> None:
        self._table: Tracks = tracks.tracks
        self._faces: Faces = tracks.faces
        self._prints = list(prints)
        self._found: dict[Anchor, int | None] = {}
        self._first = np.searchsorted(tracks.faces.track, np.arange(tracks.n_tracks + 1))

    def anchor(self, track: int) -> Anchor:
        """By its representative face, or by its first where it has none."""
        at = self._row(track, int(self._table.representative_frame[track]))
        row = int(self._first[track]) if at is None else at
        x1, y1, x2, y2 = (round(float(x), 1) for x in self._faces.box[row])
        video = self._prints[int(self._table.video[track])]
        return Anchor(int(track), video, int(self._faces.frame[row]), (x1, y1, x2, y2))

    def track(self, anchor: Anchor) -> int | None:
        """The track that shows the anchor's face; None where none does."""
        if anchor not in self._found:
            self._found[anchor] = self._find(anchor)
        return self._found[anchor]

    def _find(self, anchor: Anchor) -> int | None:
        if 0 <= anchor.track < len(self._table) and self._prints[self._table.video[anchor.track]] == anchor.video:
            row = self._row(anchor.track, anchor.frame)
            if row is not None and np.abs(self._faces.box[row] - anchor.box).max() <= 0.1:  # to the digits kept
                return anchor.track
            if row is not None and self._overlap(anchor, np.array([row]))[0] > SAME_FACE:
                return anchor.track
        if anchor.video not in self._prints:
            return None
        # Two copies of a film have one fingerprint: the first stands for both.
        table, video = self._table, self._prints.index(anchor.video)
        there = (table.video == video) & (table.start <= anchor.frame) & (table.stop > anchor.frame)
        rows = {int(t): row for t in np.flatnonzero(there) if (row := self._row(int(t), anchor.frame)) is not None}
        if not rows:
            return None
        overlap = self._overlap(anchor, np.array(list(rows.values())))
        best = int(overlap.argmax())
        return list(rows)[best] if overlap[best] > SAME_FACE else None

    def _row(self, track: int, frame: int) -> int | None:
        """The track's face in a frame."""
        start, stop = int(self._first[track]), int(self._first[track + 1])
        row = start + int(np.searchsorted(self._faces.frame[start:stop], frame))
        return row if row < stop and self._faces.frame[row] == frame else None

    def _overlap(self, anchor: Anchor, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        return np.asarray(iou(np.array([anchor.box]), self._faces.box[rows])[0])
