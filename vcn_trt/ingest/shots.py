"""Shots by PySceneDetect's detectors (section 3.2), fed frame by frame from the one decoding pass."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from vcn_trt.config import ShotsConfig

THUMBNAIL_WIDTH = 256
"""PySceneDetect's own effective width: its thresholds are meant for it."""


class ShotFinder:
    """Finds cuts while frames arrive. A cut at frame f (the first frame of the new shot) is known `delay` frames
    after f."""

    def __init__(self, config: ShotsConfig, fps: Fraction) -> None:
        if config.detector == "adaptive":
            self._detector = AdaptiveDetector(
                adaptive_threshold=config.adaptive_threshold, min_scene_len=config.min_frames
            )
        else:
            self._detector = ContentDetector(threshold=config.threshold, min_scene_len=config.min_frames)
        self._fps = float(fps)
        self._last = FrameTimecode(0, fps=self._fps)
        self.delay: int = self._detector.event_buffer_length

    def update(self, frame: int, thumbnail: NDArray[np.uint8]) -> list[int]:
        """The cuts that this frame (BGR, THUMBNAIL_WIDTH wide) made known: at most `delay` frames back."""
        self._last = FrameTimecode(frame, fps=self._fps)
        return [cut.frame_num for cut in self._detector.process_frame(self._last, thumbnail)]

    def finish(self) -> list[int]:
        """The cuts that only the end of the video decides."""
        return [cut.frame_num for cut in self._detector.post_process(self._last)]
