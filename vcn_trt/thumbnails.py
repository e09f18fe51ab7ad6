"""A picture for each range found: the faces of those asked for, from the run's own crops, so that it needs no video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.find import Range
from vcn_trt.types import CROP_SIZE, TrackSet


def jpeg(tracks: TrackSet, labels: NDArray[np.int32], found: Range) -> bytes:
    """One face a cluster that is seen in the range, side by side: the crop nearest to its middle."""
    middle = (found.start + found.stop) / 2
    faces = []
    for number in found.people:
        own = [t for t in found.tracks if labels[t] == number]
        rows = np.flatnonzero(np.isin(tracks.crops.track, own))
        if len(rows):
            faces.append(tracks.images[int(rows[np.abs(tracks.crops.frame[rows] - middle).argmin()])])
    picture = np.hstack(faces) if faces else np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return encoded.tobytes()


def all_of(tracks: TrackSet, labels: NDArray[np.int32], found: Sequence[Range], folder: Path) -> dict[Path, bytes]:
    """The pictures of all ranges by file: `0001.jpg` is that of the first."""
    return {folder / f"{i:04d}.jpg": jpeg(tracks, labels, r) for i, r in enumerate(found, 1)}
