"""Faces by RetinaFace (section 3.2): each frame at the working size and, where a face can outgrow the anchors in it,
once more at a quarter of that.

The largest anchor is 512 pixels. In a frame whose shorter side stays below that (640x360) every face fits, measured
up to faces larger than the frame; in a larger one a close-up is missed or found in parts, so a second, far smaller
input shows it at a size the anchors know. It costs a sixteenth of the first.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Backend, FrameBatch, Network, RawFaces
from vcn_trt.boxes import covered, iou
from vcn_trt.config import DetectConfig
from vcn_trt.errors import ModelError
from vcn_trt.halving import halving
from vcn_trt.zoo.manifest import Manifest

VERSION = 2
"""Raise it when the same frame gives other faces: detections kept on disk are then looked for anew."""

CLOSE_UP_SHRINK = 4

SURE = 0.5
"""A face that one input sees at this score is not taken a second time from the other."""

OUTGROWN = 480
"""Longer side, in pixels of the full input, from which the small input's boxes are the better ones: the largest
anchor is 512, and beyond it the full input sees parts of a face as faces (a face over half of a 1280 pixel frame was
found in 71 to 97 %)."""


INSIDE = 0.7
"""Share of a box that lies within a larger face for it to be a part of that."""

PART = 1 / 3
"""A face within a larger one is a part of it only above this share of its size."""

SMALLEST, LARGEST = 640, 1280
"""Bounds of the working size that is chosen by the picture's."""


PROOF = 2
"""Frames with faces, the first there are, on which the network is held to float32."""


class FaceDetector:
    """Batches of frames to faces. Calls may overlap from several threads: all that changes is how many frames fit on a
    card at once, and that the first with faces prove the network."""

    def __init__(self, network: Network, manifest: Manifest, backend: Backend, config: DetectConfig) -> None:
        self._network, self._manifest, self._ops, self._config = network, manifest, backend.ops, config
        self._fits = sys.maxsize  # frames at once: all of a batch, until a card's memory says otherwise
        self._proving, self._proven, self._stands = threading.Lock(), False, True

    def __call__(self, batch: FrameBatch) -> list[RawFaces]:
        """The faces of each frame above `config.score`, best first, in pixels of the displayed picture."""
        found, self._fits = halving(
            lambda parts: [self._faces(rows_of(batch, part)) for part in parts], len(batch), self._fits
        )
        return [faces for part in found for faces in part]

    def _faces(self, batch: FrameBatch) -> list[RawFaces]:
        size = self._config.size or working_size(batch)
        faces, factor = self._look(batch, size)
        if self._config.close_up and min(batch.pixels[0].width, batch.pixels[0].height) * factor > OUTGROWN:
            small, _ = self._look(batch, size // CLOSE_UP_SHRINK)
            faces = [_join(f, s, OUTGROWN / factor, self._config.nms) for f, s in zip(faces, small, strict=True)]
        return [take(f, self._ops.nms(f, self._config.nms)) for f in faces]

    def _look(self, batch: FrameBatch, size: int) -> tuple[list[RawFaces], float]:
        m = self._manifest
        pixels, factor = self._ops.letterbox(batch, size, m.mean, m.scale, m.rgb)
        proven = self._proven  # before the call: the verdict may fall while it runs
        faces = self._decode(pixels, factor)
        if not proven and (seen := [i for i, f in enumerate(faces) if len(f.scores)]):
            self._prove(pixels[seen[:PROOF]])
            faces = faces if self._stands else self._decode(pixels, factor)
        return faces, factor

    def _prove(self, pixels: Any) -> None:
        """Hold the network to float32 on frames of the footage; others that come meanwhile wait for the verdict."""
        with self._proving:
            if not self._proven:
                rows = [pixels[i : i + 1] for i in range(len(pixels))] if self._one_by_one else [pixels]
                self._stands = all([self._network.proven_on({self._network.input_names[0]: x}) for x in rows])
                self._proven = True

    def _decode(self, pixels: Any, factor: float) -> list[RawFaces]:
        name, shape, score = self._network.input_names[0], tuple(pixels.shape[2:]), self._config.score
        if not self._one_by_one:
            return self._ops.retinaface_faces(self._in_order(self._network({name: pixels})), shape, factor, score)
        outputs = [self._in_order(self._network({name: pixels[i : i + 1]})) for i in range(len(pixels))]
        return [faces for one in outputs for faces in self._ops.scrfd_faces(one, shape, factor, score)]

    @property
    def _one_by_one(self) -> bool:
        """SCRFD's published exports have no batch dimension behind the input: frame by frame."""
        return self._manifest.architecture == "scrfd"

    def _in_order(self, outputs: Mapping[str, Any]) -> list[Any]:
        """The outputs as the decoder wants them, told by their last dimension, since exports name them otherwise: the
        levels of SCRFD by their number of anchors, most first, then boxes, scores, landmarks."""
        kinds = (4, 1, 10) if self._manifest.architecture == "scrfd" else (4, 2, 10)
        levels = 3 if self._manifest.architecture == "scrfd" else 1
        arrays = [a if len(a.shape) == 3 else a[None] for a in outputs.values()]
        found = {kind: sorted((a for a in arrays if a.shape[2] == kind), key=lambda a: -a.shape[1]) for kind in kinds}
        if any(len(found[kind]) != levels for kind in kinds) or len(arrays) != 3 * levels:
            raise ModelError(
                f"{self._manifest.title} should have {levels} output(s) (n, anchors, m) for each m of {kinds}; "
                f"this file has {', '.join(f'{k} {tuple(a.shape)}' for k, a in outputs.items())}: it is another network"
            )
        return [found[kind][level] for level in range(levels) for kind in kinds]


def working_size(batch: FrameBatch) -> int:
    """Half the longer side of the displayed picture, within 640 and 1280: a face of 48 pixels in HD has 24 in the
    network."""
    longer: int = max(batch.pixels[0].width, batch.pixels[0].height)
    return min(max(longer // 2, SMALLEST), LARGEST)


def rows_of(batch: FrameBatch, rows: slice) -> FrameBatch:
    """Some frames of a batch."""
    return FrameBatch(batch.pixels[rows], batch.frame_indices[rows], batch.seconds[rows])


def take(faces: RawFaces, rows: NDArray[Any]) -> RawFaces:
    """These rows of a frame's faces."""
    return RawFaces(faces.boxes[rows], faces.scores[rows], faces.landmarks[rows])


def _join(full: RawFaces, small: RawFaces, outgrown: float, threshold: float) -> RawFaces:
    """The faces of both inputs. Where both see one, the small input's box stands if it is larger than `outgrown`
    pixels, and puts away what the full input took for faces inside it; else the full input's."""
    size = (small.boxes[:, 2:] - small.boxes[:, :2]).max(1, initial=0)
    large = (size > outgrown) & (small.scores >= SURE)
    part = covered(full.boxes, small.boxes[large]) > INSIDE
    # A far smaller face before a close-up (over a shoulder, a child, a photograph) is one of its own.
    part &= (full.boxes[:, 2:] - full.boxes[:, :2]).max(1, initial=0)[:, None] > size[large] * PART
    full = take(full, np.flatnonzero(~part.any(1)))
    sure = full.boxes[full.scores >= SURE]
    new = large | (iou(small.boxes, sure) <= threshold).all(1)
    return RawFaces(*(np.concatenate([a, b[new]]) for a, b in zip(full, small, strict=True)))
