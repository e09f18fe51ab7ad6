"""Faces by RetinaFace (section 3.2): each frame at the working size, and once more at a quarter of it.

A face that fills the picture outgrows the largest anchor (512 pixels) or its context and is missed, so a second, far
smaller input shows it at a size the anchors know; it costs a sixteenth of the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Backend, FrameBatch, Network, RawFaces
from vcn_trt.boxes import covered, iou
from vcn_trt.config import DetectConfig
from vcn_trt.zoo.manifest import Manifest

CLOSE_UP_SHRINK = 4

SURE = 0.5
"""A face that one input sees at this score is not taken a second time from the other."""

OUTGROWN = 480
"""Longer side, in pixels of the full input, from which the small input's boxes are the better ones: the largest
anchor is 512, and beyond it the full input sees parts of a face as faces (a face over half of a 1280 pixel frame was
found in 71 to 98 %)."""


INSIDE = 0.7
"""Share of a box that lies within a larger face for it to be a part of that."""

SMALLEST, LARGEST = 640, 1280
"""Bounds of the working size that is chosen by the picture's."""


class FaceDetector:
    """Batches of frames to faces. Calls may overlap from several threads: it holds nothing that changes."""

    def __init__(self, network: Network, manifest: Manifest, backend: Backend, config: DetectConfig) -> None:
        self._network, self._manifest, self._ops, self._config = network, manifest, backend.ops, config

    def __call__(self, batch: FrameBatch) -> list[RawFaces]:
        """The faces of each frame above `config.score`, best first, in pixels of the displayed picture."""
        faces, factor = self._look(batch, self._config.size or working_size(batch))
        if self._config.close_up:
            size = (self._config.size or working_size(batch)) // CLOSE_UP_SHRINK
            small, _ = self._look(batch, size)
            faces = [_join(f, s, OUTGROWN / factor, self._config.nms) for f, s in zip(faces, small, strict=True)]
        return [take(f, self._ops.nms(f, self._config.nms)) for f in faces]

    def _look(self, batch: FrameBatch, size: int) -> tuple[list[RawFaces], float]:
        m = self._manifest
        pixels, factor = self._ops.letterbox(batch, size, m.mean, m.scale, m.rgb)
        outputs = self._network({self._network.input_names[0]: pixels})
        return self._ops.retinaface_faces(outputs, pixels.shape[2:], factor, self._config.score), factor


def working_size(batch: FrameBatch) -> int:
    """Half the longer side of the displayed picture, within 640 and 1280: a face of 48 pixels in HD has 24 in the
    network."""
    longer: int = max(batch.pixels[0].width, batch.pixels[0].height)
    return min(max(longer // 2, SMALLEST), LARGEST)


def take(faces: RawFaces, rows: NDArray[Any]) -> RawFaces:
    """These rows of a frame's faces."""
    return RawFaces(faces.boxes[rows], faces.scores[rows], faces.landmarks[rows])


def _join(full: RawFaces, small: RawFaces, outgrown: float, threshold: float) -> RawFaces:
    """The faces of both inputs. Where both see one, the small input's box stands if it is larger than `outgrown`
    pixels, and puts away what the full input took for faces inside it; else the full input's."""
    size = (small.boxes[:, 2:] - small.boxes[:, :2]).max(1, initial=0)
    large = (size > outgrown) & (small.scores >= SURE)
    inside = (covered(full.boxes, small.boxes[large]) > INSIDE).any(1)
    full = take(full, np.flatnonzero(~inside))
    sure = full.boxes[full.scores >= SURE]
    new = large | (iou(small.boxes, sure) <= threshold).all(1)
    return RawFaces(*(np.concatenate([a, b[new]]) for a, b in zip(full, small, strict=True)))
