"""The CPU column of the maths: NumPy, with OpenCV for resampling. It is also the reference that kernels are held to."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import FrameBatch, RawFaces
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.backends.cpu.maths import CpuMaths
from vcn_trt.boxes import iou
from vcn_trt.types import CROP_SIZE

STRIDES = (8, 16, 32)
ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


class CpuOps(CpuMaths):
    """`Ops` over batches of `CpuFrame`."""

    def to_numpy(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def letterbox(
        self, batch: FrameBatch, size: int, mean: tuple[float, float, float], scale: float, rgb: bool
    ) -> tuple[NDArray[np.float32], float]:
        first: CpuFrame = batch.pixels[0]
        width, height, factor = fitted(first.width, first.height, size)
        out = np.zeros((len(batch), 3, up_to_32(height), up_to_32(width)), np.float32)
        gain = np.float32(scale)
        for image, frame in zip(out, batch.pixels, strict=True):
            picture = frame.bgr_scaled(width, height)
            for plane, channel in enumerate((2, 1, 0) if rgb else (0, 1, 2)):
                view = image[plane, :height, :width]
                np.subtract(picture[..., channel], np.float32(mean[plane]), out=view)
                if scale != 1:
                    view *= gain
        return out, factor

    def thumbnails(self, batch: FrameBatch, width: int) -> NDArray[np.uint8]:
        first: CpuFrame = batch.pixels[0]
        width = min(width, first.width)
        height = max(1, round(first.height * width / first.width))
        return np.stack([frame.bgr_scaled(width, height) for frame in batch.pixels])

    def warp_faces(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        crops = np.empty((len(which), CROP_SIZE, CROP_SIZE, 3), np.uint8)
        for index in np.unique(which):
            picture = batch.pixels[index].rgb()
            for face in np.flatnonzero(which == index):
                crops[face] = _warp(picture, transforms[face])
        return crops

    def sharpness(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        sharp = np.empty(len(which), np.float32)
        for index in np.unique(which):
            frame: CpuFrame = batch.pixels[index]
            luma, to_coded = frame.luma(), _square(frame.displayed_to_coded)
            for face in np.flatnonzero(which == index):
                # crop <- displayed <- coded: the warp reads the coded plane, whatever its rotation or pixel aspect.
                transform = _square(transforms[face]) @ np.linalg.inv(to_coded)
                sharp[face] = cv2.Laplacian(_warp(luma, transform[:2]), cv2.CV_32F).var()
        return sharp

    def retinaface_faces(
        self, outputs: Sequence[NDArray[np.float32]], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        anchors = retinaface_anchors(*shape)
        faces = []
        for loc, conf, marks in zip(*outputs, strict=True):
            found = np.flatnonzero(conf[:, 1] > score)  # few of some 10,000: decode those alone
            anchor = anchors[found]
            centre = anchor[:, :2] + CENTRE_VARIANCE * loc[found, :2] * anchor[:, 2:]
            half = anchor[:, 2:] * np.exp(SIZE_VARIANCE * loc[found, 2:]) / 2
            points = anchor[:, None, :2] + CENTRE_VARIANCE * marks[found].reshape(-1, 5, 2) * anchor[:, None, 2:]
            boxes = np.concatenate([centre - half, centre + half], 1)
            faces.append(_displayed(boxes, conf[found, 1], points, factor))
        return faces

    def scrfd_faces(
        self, outputs: Sequence[NDArray[np.float32]], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        boxes, scores, marks = (
            np.concatenate([outputs[level + kind] for level in (0, 3, 6)], 1) for kind in range(3)
        )  # (n, anchors, ...)
        cells = scrfd_cells(*shape)  # corner x, y and stride
        faces = []
        for distance, confidence, offset in zip(boxes, scores[..., 0], marks, strict=True):
            found = np.flatnonzero(confidence > score)
            corner, stride = cells[found, :2], cells[found, 2:]
            box = np.concatenate([corner - distance[found, :2] * stride, corner + distance[found, 2:] * stride], 1)
            points = corner[:, None] + offset[found].reshape(-1, 5, 2) * stride[:, None]
            faces.append(_displayed(box, confidence[found], points, factor))
        return faces

    def nms(self, faces: RawFaces, threshold: float) -> NDArray[np.int64]:
        order = np.argsort(-faces.scores, kind="stable")
        overlap = iou(faces.boxes[order], faces.boxes[order])
        alive = np.ones(len(order), bool)
        for i in range(len(order)):
            if alive[i]:
                alive[i + 1 :] &= overlap[i, i + 1 :] <= threshold
        return order[alive]


def fitted(width: int, height: int, size: int) -> tuple[int, int, float]:
    """Width and height with the longer side at `size`, and the factor to it: enlarged too, where the frame is
    smaller."""
    factor = size / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor)), factor


@functools.lru_cache(maxsize=8)
def retinaface_anchors(height: int, width: int) -> NDArray[np.float32]:
    """Centre x, y and side of RetinaFace's anchors (two squares a cell of each stride) for one input size. (n, 4)"""
    levels = []
    for stride, sides in zip(STRIDES, ANCHOR_SIDES, strict=True):
        y, x = np.mgrid[: math.ceil(height / stride), : math.ceil(width / stride)]
        centres = np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride, len(sides), axis=0)
        side = np.tile(np.array(sides), len(centres) // len(sides))
        levels.append(np.column_stack([centres, side, side]))
    anchors = np.concatenate(levels).astype(np.float32)
    anchors.setflags(write=False)
    return anchors


@functools.lru_cache(maxsize=8)
def scrfd_cells(height: int, width: int) -> NDArray[np.float32]:
    """Corner x, y and stride of SCRFD's cells, each twice (two anchors), for one input size. (n, 3)"""
    levels = []
    for stride in STRIDES:
        y, x = np.mgrid[: math.ceil(height / stride), : math.ceil(width / stride)]
        corners = np.repeat(np.stack([x, y], -1).reshape(-1, 2) * stride, 2, axis=0)
        levels.append(np.column_stack([corners, np.full(len(corners), stride)]))
    cells = np.concatenate(levels).astype(np.float32)
    cells.setflags(write=False)
    return cells


def _displayed(
    boxes: NDArray[np.floating], scores: NDArray[np.float32], points: NDArray[np.floating], factor: float
) -> RawFaces:
    """From network pixels to those of the displayed picture."""
    return RawFaces((boxes / factor).astype(np.float32), scores, (points / factor).astype(np.float32))


def up_to_32(length: int) -> int:
    return -(-length // 32) * 32


def _warp(picture: NDArray[np.uint8], transform: Sequence[Any] | NDArray[np.floating]) -> NDArray[np.uint8]:
    warped: NDArray[np.uint8] = cv2.warpAffine(
        picture, np.asarray(transform, np.float64), (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR
    )
    return warped


def _square(affine: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.vstack([affine, [0, 0, 1]]).astype(np.float64)
