"""The pictures of the page, from the run's own crops: so many of each person that all fit, the longest tracks first,
and of each person the most frontal good face."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.ingest import align
from vcn_trt.overlap import cores, map_ahead
from vcn_trt.types import Crops, Faces, TrackSet

PICTURES = 2400
"""Pictures of tracks on a page, of 1.5 KB each: a season still opens at once."""

SIDE, QUALITY = 80, 70
"""Of a track's picture: pixels, and WebP's quality. A cover keeps the crop's own 112."""

_ROWS = 512


@dataclass(frozen=True)
class Picture:
    """A crop: its track, its frame, and the picture as a data URI."""

    track: int
    frame: int
    source: str


def chosen(tracks: TrackSet, groups: Sequence[NDArray[np.integer[Any]]], total: int = PICTURES) -> list[int]:
    """The tracks that are pictured: of each group, (n,) track numbers, the longest, as many of each as keep all of them
    within `total`; one of each group at least."""
    limit = _level([len(group) for group in groups], total)
    length = tracks.tracks.stop - tracks.tracks.start
    return sorted(int(t) for group in groups for t in group[np.argsort(-length[group], kind="stable")][:limit])


def of_tracks(tracks: TrackSet, some: Iterable[int]) -> list[Picture]:
    """The representative crop of each of these tracks that has one."""
    frames = tracks.tracks.representative_frame
    rows = [row for track in some if (row := nearest(tracks, track, int(frames[track]))) is not None]

    def crops() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for start in range(0, len(rows), _ROWS):
            block = rows[start : start + _ROWS]
            yield from zip(block, tracks.images[block], strict=True)

    def picture(crop: tuple[int, NDArray[np.uint8]]) -> Picture:
        row, image = crop
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return Picture(int(tracks.crops.track[row]), int(tracks.crops.frame[row]), webp(small, QUALITY))

    return [found for _, found in map_ahead(picture, crops(), cores())]


def nearest(tracks: TrackSet, track: int, frame: int) -> int | None:
    """The row of a track's crop that is nearest to a frame; None where it has no crop."""
    own = np.arange(*np.searchsorted(tracks.crops.track, [track, track + 1]))
    return int(own[np.abs(tracks.crops.frame[own] - frame).argmin()]) if len(own) else None


def cover(tracks: TrackSet, own: NDArray[np.integer[Any]]) -> Picture | None:
    """The cover of a person with these tracks; None where there is no crop."""
    row = cover_row(tracks, own)
    if row is None:
        return None
    image = tracks.images[row]
    return Picture(int(tracks.crops.track[row]), int(tracks.crops.frame[row]), webp(image, 80))


def cover_row(tracks: TrackSet, own: NDArray[np.integer[Any]]) -> int | None:
    """The most frontal face of these tracks among those that are neither smaller nor more blurred than most of them, as
    a row of the crops."""
    mine = np.isin(tracks.crops.track, own)
    rows = np.flatnonzero(mine & tracks.crops.kept)
    if not len(rows):
        rows = np.flatnonzero(mine)
    return int(rows[_best(tracks.faces, tracks.crops[rows])]) if len(rows) else None


def webp(image: NDArray[np.uint8], quality: int) -> str:
    """An RGB picture as a data URI."""
    return "data:image/webp;base64," + base64.b64encode(encoded(image, quality)).decode()


def encoded(image: NDArray[np.uint8], quality: int) -> bytes:
    """An RGB picture as WebP."""
    _, found = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, quality])
    return found.tobytes()


def _best(faces: Faces, crops: Crops) -> int:
    first = np.searchsorted(faces.track, crops.track)
    rows = first + (crops.frame - faces.frame[first])
    side = (faces.box[rows, 2:] - faces.box[rows, :2]).min(1)
    sharp = np.nan_to_num(faces.sharpness[rows])
    marks = faces.landmarks[rows]
    frontal = align.frontalness(marks, align.similarity(marks))
    large = side >= np.median(side)
    good = large & (sharp >= np.median(sharp[large]))
    return int(np.where(good, frontal, -np.inf).argmax())


def _level(counts: Sequence[int], total: int) -> int:
    """The largest limit under which the counts, each cut to it, sum to no more than `total`; 1 at least."""
    low, high = 1, max(1, *counts) if counts else 1
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(count, middle) for count in counts) <= total:
            low = middle
        else:
            high = middle - 1
    return low
