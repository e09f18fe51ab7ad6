"""Where someone is on screen, with whom and without whom (`vcn find`): ranges of frames, or whole shots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcn_trt.cast import Person
from vcn_trt.media import Media
from vcn_trt.types import Tracks, TrackSet

NO_FACE = ("quality", "no_face")
"""Statuses of what was tracked but is taken for no face: it keeps no one from being alone."""


@dataclass(frozen=True)
class Query:
    """wanted: all of them on screen, one at least. unwanted: none of them. alone: no other tracked face, Unknown ones
    counted, but for those taken for no face. shots: whole shots, in which everyone wanted appears at some time and no
    one unwanted ever does. min_seconds: shorter answers are left out. gap_seconds: someone who is lost for no longer
    than this within a shot counts as there."""

    wanted: Sequence[Person]
    unwanted: Sequence[Person] = ()
    alone: bool = False
    shots: bool = False
    min_seconds: float = 0.0
    gap_seconds: float = 0.5


@dataclass(frozen=True)
class Range:
    """Frames start to stop (exclusive) of one shot. people: clusters asked for; tracks: theirs within it."""

    label: str
    video: int
    shot: int
    start: int
    stop: int
    people: tuple[int, ...]
    tracks: tuple[int, ...]


def find(tracks: TrackSet, labels: NDArray[np.int32], media: Sequence[Media], query: Query) -> list[Range]:
    """Where a query holds, in the order of the videos. labels: (n_tracks,) clusters."""
    return _find(tracks, _by_shot(tracks), labels, media, query)


def appearances(
    tracks: TrackSet, labels: NDArray[np.int32], media: Sequence[Media], people: Sequence[Person], query: Query
) -> list[Range]:
    """Each of these people's ranges, person by person; of `query` the lengths and `shots` hold."""
    shots = _by_shot(tracks)
    each = (replace(query, wanted=[person], unwanted=[], alone=False) for person in people)
    return [found for one in each for found in _find(tracks, shots, labels, media, one)]


def _find(
    tracks: TrackSet, shots: Sequence[_Shot], labels: NDArray[np.int32], media: Sequence[Media], query: Query
) -> list[Range]:
    label = " + ".join(person.name for person in query.wanted)
    numbers = tuple(n for person in query.wanted for n in person.numbers)
    answer = []
    for shot in _with_all(tracks, shots, labels, query.wanted):
        table, own = tracks.tracks[shot.rows], labels[shot.rows]
        clip = media[shot.video]
        gap = round(query.gap_seconds * float(clip.video.fps))
        seen = [_presence(table[np.isin(own, p.numbers)], shot, gap) for p in query.wanted]
        barred = [_presence(table[np.isin(own, p.numbers)], shot, gap) for p in query.unwanted]
        if query.alone:
            others = ~np.isin(own, numbers) & ~np.isin(table.status, NO_FACE)
            barred.append(_presence(table[others], shot, 0))
        if query.shots:
            holds = np.full(shot.length, not any(b.any() for b in barred))
        else:
            holds = np.all(seen, axis=0) & ~np.any([*barred, np.zeros(shot.length, bool)], axis=0)
        for start, stop in _runs(holds, shot.start):
            if clip.seconds(stop) - clip.seconds(start) >= query.min_seconds - 1e-6:
                within = (table.start < stop) & (table.stop > start) & np.isin(own, numbers)
                found = tuple(table.track[within].tolist())
                answer.append(Range(label, shot.video, shot.number, start, stop, numbers, found))
    return answer


@dataclass(frozen=True, eq=False)
class _Shot:
    """rows: (n,) its tracks."""

    video: int
    number: int
    start: int
    stop: int
    rows: NDArray[np.int64]

    @property
    def length(self) -> int:
        return self.stop - self.start


def _by_shot(tracks: TrackSet) -> list[_Shot]:
    """Every shot that has tracks, in order."""
    table, shots = tracks.tracks, tracks.shots
    order = np.lexsort([table.start, table.shot, table.video])
    key = np.stack([table.video[order], table.shot[order]])
    edges = np.flatnonzero((np.diff(key, axis=1) != 0).any(axis=0)) + 1
    columns = (shots.video, shots.shot, shots.start, shots.stop)
    bounds = {(v, s): (a, b) for v, s, a, b in zip(*(c.tolist() for c in columns), strict=True)}
    keys = [(int(table.video[rows[0]]), int(table.shot[rows[0]]), rows) for rows in np.split(order, edges) if len(rows)]
    return [_Shot(video, number, *bounds[video, number], rows) for video, number, rows in keys]


def _with_all(
    tracks: TrackSet, shots: Sequence[_Shot], labels: NDArray[np.int32], people: Sequence[Person]
) -> Iterator[_Shot]:
    """The shots in which each of these people has a track: of a season few, so that only those are looked at."""
    place = np.zeros(tracks.n_tracks, np.int64)
    for i, shot in enumerate(shots):
        place[shot.rows] = i
    each = [set(place[np.isin(labels, person.numbers)].tolist()) for person in people]
    return (shots[i] for i in sorted(set.intersection(*each)))


def _presence(table: Tracks, shot: _Shot, gap: int) -> NDArray[np.bool_]:
    """Frames of the shot in which any of these tracks is seen, gaps up to `gap` frames closed. (shot.length,)"""
    mask = np.zeros(shot.length, bool)
    reached: int | None = None
    for i in np.argsort(table.start, kind="stable"):
        start, stop = int(table.start[i]) - shot.start, int(table.stop[i]) - shot.start
        if reached is not None and 0 < start - reached <= gap:
            start = reached
        mask[start:stop] = True
        reached = stop if reached is None else max(reached, stop)
    return mask


def _runs(mask: NDArray[np.bool_], first: int) -> list[tuple[int, int]]:
    """Start and stop (exclusive) of every run of True, counted from `first`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))) + first
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
