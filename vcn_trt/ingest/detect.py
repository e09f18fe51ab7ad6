"""Faces by RetinaFace (section 3.2): each frame at the working size, and once more at a quarter of it.

A face that fills the picture outgrows the largest anchor (512 pixels) or its context and is missed, so a second, far
smaller input shows it at a size the anchors know; it costs a sixteenth of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Backend, FrameBatch, Network, RawFaces
from vcn_trt.boxes import iou
from vcn_trt.config import DetectConfig

CLOSE_UP_SHRINK = 4
SURE = 0.5
"""A face that the full input sees at this score is not looked for in the small one, whose boxes are coarser."""


class InputConvention(Protocol):
    """What a detector's manifest says of its input."""

    @property
    def mean(self) -> tuple[float, float, float]: ...
    @property
    def scale(self) -> float: ...
    @property
    def rgb(self) -> bool: ...


class FaceDetector:
    """Batches of frames to faces. Calls may overlap from several threads: it holds nothing that changes."""

    def __init__(self, network: Network, convention: InputConvention, backend: Backend, config: DetectConfig) -> None:
        self._network, self._convention, self._ops, self._config = network, convention, backend.ops, config

    def __call__(self, batch: FrameBatch) -> list[RawFaces]:
        """The faces of each frame above `config.score`, best first, in pixels of the displayed picture."""
        full = self._look(batch, self._config.size)
        if self._config.close_up:
            small = self._look(batch, self._config.size // CLOSE_UP_SHRINK)
            full = [_add_close_ups(f, s, self._config.nms) for f, s in zip(full, small, strict=True)]
        return [take(faces, self._ops.nms(faces, self._config.nms)) for faces in full]

    def _look(self, batch: FrameBatch, size: int) -> list[RawFaces]:
        c = self._convention
        pixels, factor = self._ops.letterbox(batch, size, c.mean, c.scale, c.rgb)
        outputs: Mapping[str, Any] = self._network({self._network.input_names[0]: pixels})
        return self._ops.retinaface_faces(outputs, pixels.shape[2:], factor, self._config.score)


def take(faces: RawFaces, rows: NDArray[Any]) -> RawFaces:
    """These rows of a frame's faces."""
    return RawFaces(faces.boxes[rows], faces.scores[rows], faces.landmarks[rows])


def _add_close_ups(full: RawFaces, small: RawFaces, threshold: float) -> RawFaces:
    sure = full.boxes[full.scores >= SURE]
    new = np.flatnonzero((iou(small.boxes, sure) <= threshold).all(1))
    return RawFaces(*(np.concatenate([a, b[new]]) for a, b in zip(full, small, strict=True)))
