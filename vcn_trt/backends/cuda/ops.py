"""The CUDA column of the maths over frames and detections: each function is a checked launch of the kernel of its name,
and gives what `CpuOps` gives (docs/gpu.md says how nearly)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Array, FrameBatch, RawFaces
from vcn_trt.backends.cpu.ops import STRIDES, fitted, up_to_32
from vcn_trt.backends.cuda.frame import CudaFrame
from vcn_trt.backends.cuda.kernels import FRAME_BYTES, Device, launch
from vcn_trt.backends.cuda.maths import CudaMaths
from vcn_trt.types import CROP_SIZE

THREADS = 256
PATCH = (32, 8)  # pixels a block: a row of 32 is written in one transaction a plane


class CudaOps(CudaMaths):
    """`Ops` over batches of `CudaFrame`."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def to_numpy(self, array: Array) -> NDArray[Any]:
        with self.device.active():
            return np.asarray(self.device.to_numpy(array))

    def letterbox(
        self, batch: FrameBatch, size: int, mean: tuple[float, float, float], scale: float, rgb: bool
    ) -> tuple[Array, float]:
        first: CudaFrame = batch.pixels[0]
        width, height, factor = fitted(first.width, first.height, size)
        padded = up_to_32(height), up_to_32(width)
        xp = self.device.xp
        with self.device.active():
            out = xp.empty((len(batch), 3, *padded), np.float32)
            launch(
                self.device,
                "letterbox",
                (*_patches(padded[1], padded[0]), len(batch)),
                PATCH,
                frames=self._frames(batch.pixels),
                mean=xp.asarray(np.array(mean, np.float32)),
                out=out,
                n=len(batch),
                height=height,
                width=width,
                padded_height=padded[0],
                padded_width=padded[1],
                scale=scale,
                rgb=rgb,
            )
        return out, factor

    def thumbnails(self, batch: FrameBatch, width: int) -> NDArray[np.uint8]:
        first: CudaFrame = batch.pixels[0]
        width = min(width, first.width)
        height = max(1, round(first.height * width / first.width))
        with self.device.active():
            out = self.device.xp.empty((len(batch), height, width, 3), np.uint8)
            launch(
                self.device,
                "thumbnails",
                (*_patches(width, height), len(batch)),
                PATCH,
                frames=self._frames(batch.pixels),
                out=out,
                n=len(batch),
                height=height,
                width=width,
            )
            return np.asarray(self.device.to_numpy(out))

    def warp_faces(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        xp = self.device.xp
        with self.device.active():
            out = xp.empty((len(which), CROP_SIZE, CROP_SIZE, 3), np.uint8)
            launch(
                self.device,
                "warp_faces",
                (-(-(CROP_SIZE**2) // THREADS), len(which)),
                (THREADS,),
                frames=self._frames(batch.pixels),
                which=xp.asarray(_within(which, len(batch))),
                maps=xp.asarray(inverted(transforms).reshape(-1, 6)),
                out=out,
                faces=len(which),
                size=CROP_SIZE,
            )
            return np.asarray(self.device.to_numpy(out))

    def sharpness(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        xp = self.device.xp
        rows = _within(which, len(batch))
        maps = inverted(transforms)
        for face, frame in enumerate(rows):  # displayed <- crop becomes coded <- crop
            to_coded = batch.pixels[frame].displayed_to_coded
            maps[face] = to_coded[:, :2] @ maps[face] + np.column_stack([np.zeros((2, 2)), to_coded[:, 2]])
        with self.device.active():
            out = xp.empty(len(which), np.float32)
            launch(
                self.device,
                "sharpness",
                (len(which),),
                (THREADS,),
                frames=self._frames(batch.pixels),
                which=xp.asarray(rows),
                maps=xp.asarray(maps.reshape(-1, 6)),
                out=out,
                faces=len(which),
            )
            return np.asarray(self.device.to_numpy(out))

    def retinaface_faces(
        self, outputs: Sequence[Array], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        loc, conf, marks = outputs
        n, anchors = loc.shape[:2]
        expected = sum(2 * -(-shape[0] // s) * -(-shape[1] // s) for s in STRIDES)
        if anchors != expected:
            raise ValueError(f"an input of {shape[0]}x{shape[1]} has {expected} anchors, found {anchors}")
        with self.device.active():
            found = self._found(n * anchors)
            launch(
                self.device,
                "retinaface_faces",
                (-(-n * anchors // THREADS),),
                (THREADS,),
                loc=loc,
                conf=conf,
                marks=marks,
                n=n,
                anchors=anchors,
                height=shape[0],
                width=shape[1],
                score=score,
                factor=factor,
                **found,
            )
            return self._sorted_faces(n, **found)

    def scrfd_faces(
        self, outputs: Sequence[Array], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        n = len(outputs[0])
        cells = [(-(-shape[0] // s), -(-shape[1] // s)) for s in STRIDES]
        expected = [2 * rows * columns for rows, columns in cells]
        if [a.shape[1] for a in outputs[::3]] != expected:
            raise ValueError(f"an input of {shape[0]}x{shape[1]} has {expected} anchors, found other numbers")
        with self.device.active():
            found = self._found(n * sum(expected))
            for level, stride in enumerate(STRIDES):
                distance, conf, marks = outputs[3 * level : 3 * level + 3]
                launch(
                    self.device,
                    "scrfd_faces",
                    (-(-n * expected[level] // THREADS),),
                    (THREADS,),
                    distance=distance,
                    conf=conf,
                    marks=marks,
                    n=n,
                    anchors=expected[level],
                    columns=cells[level][1],
                    stride=stride,
                    first=sum(expected[:level]),
                    score=score,
                    factor=factor,
                    **found,
                )
            return self._sorted_faces(n, **found)

    def nms(self, faces: RawFaces, threshold: float) -> NDArray[np.int64]:
        order = np.argsort(-faces.scores, kind="stable")
        if not len(order):
            return order
        xp = self.device.xp
        with self.device.active():
            keep = xp.empty(len(order), np.uint8)
            launch(
                self.device,
                "nms",
                (1,),
                (THREADS,),
                boxes=xp.asarray(np.ascontiguousarray(faces.boxes[order], np.float32)),
                offsets=xp.asarray(np.array([0, len(order)])),
                threshold=threshold,
                keep=keep,
            )
            return np.asarray(order[self.device.to_numpy(keep) == 1])

    def _frames(self, frames: Iterable[CudaFrame]) -> Array:
        """(n, FRAME_BYTES) uint8 on the device."""
        records = np.stack([frame.record(self.device) for frame in frames])
        return self.device.xp.asarray(records.view(np.uint8).reshape(-1, FRAME_BYTES))

    def _found(self, capacity: int) -> dict[str, Array]:
        """Where a decoder puts its faces: there is room for every anchor, and only what is found is ever touched."""
        xp = self.device.xp
        return {
            "count": xp.zeros(1, np.int32),
            "found": xp.empty((capacity, 2), np.int32),
            "faces": xp.empty((capacity, 15), np.float32),
        }

    def _sorted_faces(self, n: int, count: Array, found: Array, faces: Array) -> list[RawFaces]:
        rows = int(self.device.to_numpy(count)[0])
        where, values = (np.asarray(self.device.to_numpy(a[:rows])) for a in (found, faces))
        order = np.lexsort((where[:, 1], where[:, 0]))
        where, values = where[order], values[order]
        bounds = np.searchsorted(where[:, 0], np.arange(n + 1))
        parts = [values[a:b] for a, b in pairwise(bounds)]
        return [RawFaces(v[:, :4].copy(), v[:, 4].copy(), v[:, 5:].reshape(-1, 5, 2).copy()) for v in parts]


def inverted(transforms: NDArray[np.floating]) -> NDArray[np.float64]:
    """From crop to picture; zeros for a transform of zeros, as in OpenCV's warpAffine. (m, 2, 3) -> (m, 2, 3)"""
    t = np.asarray(transforms, np.float64).reshape(-1, 2, 3)
    determinant = t[:, 0, 0] * t[:, 1, 1] - t[:, 0, 1] * t[:, 1, 0]
    scale = np.divide(1, determinant, out=np.zeros_like(determinant), where=determinant != 0)
    turned = np.stack([t[:, 1, 1], -t[:, 0, 1], -t[:, 1, 0], t[:, 0, 0]], -1).reshape(-1, 2, 2)
    linear = turned * scale[:, None, None]
    return np.concatenate([linear, -linear @ t[:, :, 2:]], 2)


def _within(which: NDArray[np.integer[Any]], n: int) -> NDArray[np.int32]:
    """An index out of the batch would read anywhere on the card."""
    if len(which) and (which.min() < 0 or which.max() >= n):
        raise IndexError(f"faces are of frames 0 to {n - 1} of the batch, found {which.min()} to {which.max()}")
    return np.ascontiguousarray(which, np.int32)


def _patches(width: int, height: int) -> tuple[int, int]:
    return -(-width // PATCH[0]), -(-height // PATCH[1])
