"""How the camera moved the picture between two looked-at frames, by sparse optical flow (BoT-SORT, section 3.2).

Corners of the last frame are followed into this one (Lucas-Kanade) and a rotation, scale and shift is fitted to them by
RANSAC, so that what moves by itself, faces too, is outvoted by the background.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

CORNERS, QUALITY, DISTANCE, BLOCK = 1000, 0.01, 1, 3
"""goodFeaturesToTrack's settings in the authors' code."""

FEWEST = 5
"""Corners below which nothing is fitted: a similarity has four unknowns, and RANSAC needs one more to doubt."""


class CameraMotion:
    """Follows the background of one video. Small pictures serve: 320 pixels wide, one costs about 5 ms on a core."""

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.uint8], NDArray[np.float32] | None] | None = None

    def update(self, picture: NDArray[np.uint8], factor: float) -> NDArray[np.float64] | None:
        """What `Tracker.update` takes as `transform`: (2, 3), pixels of the displayed frame; None where nothing is
        known (a first frame, one without enough corners).

        picture: (h, w) grey or (h, w, 3) BGR uint8, the next looked-at frame made smaller. factor: its pixels a
        displayed pixel (320 / 1280 = 0.25). Raises ValueError for another size than the last picture's.
        """
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.ndim == 3 else picture
        points = cv2.goodFeaturesToTrack(grey, CORNERS, QUALITY, DISTANCE, blockSize=BLOCK)  # (k, 1, 2), None if none
        last, self._last = self._last, (grey, points)
        if last is None:
            return None
        before, old = last
        if before.shape != grey.shape:
            raise ValueError(f"pictures of one video have one size; found {grey.shape} after {before.shape}")
        if old is None or len(old) < FEWEST:
            return None
        new, found, _ = cv2.calcOpticalFlowPyrLK(before, grey, old, None)
        found = found.ravel() == 1
        if found.sum() < FEWEST:
            return None
        transform, _ = cv2.estimateAffinePartial2D(old[found], new[found], method=cv2.RANSAC)
        if transform is None:
            return None
        transform = np.asarray(transform, np.float64)
        transform[:, 2] /= factor
        return transform

    def flush(self) -> None:
        """Forget the last frame, as at a cut."""
        self._last = None
