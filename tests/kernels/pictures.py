"""Frames for the kernel tests, and what kernels/frame.cuh says of them in NumPy, to the letter and in double."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from vcn_trt.backends.base import FrameBatch
from vcn_trt.backends.cpu.frame import CpuFrame, Orientation
from vcn_trt.backends.cuda.frame import CudaFrame

ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]
SHARES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


@dataclass(frozen=True)
class Picture:
    """The same planes as both columns' frames."""

    cpu: CpuFrame
    cuda: CudaFrame

    @property
    def y(self) -> np.ndarray:
        return self._eight_bits(self.cuda.luma)

    @property
    def u(self) -> np.ndarray:
        return self._eight_bits(self.cuda.chroma)[:, 0::2]

    @property
    def v(self) -> np.ndarray:
        return self._eight_bits(self.cuda.chroma)[:, 1::2]

    def _eight_bits(self, plane: Any) -> np.ndarray:
        return plane / (256.0 if plane.dtype == np.uint16 else 1.0)


def picture(
    width: int,
    height: int,
    seed: int = 0,
    bits: int = 8,
    matrix: int = 6,
    full: bool = False,
    orientation: Orientation = Orientation(),  # noqa: B008
    shown: tuple[int, int] | None = None,
    noise: bool = True,
    siting: tuple[float, float] = (0.0, 0.0),
) -> Picture:
    """Random samples, or a coarse pattern enlarged; rows further apart than they are long, as NVDEC's are. `siting` is
    the CUDA frame's alone: one that PyAV makes has the middle."""
    rng = np.random.default_rng(seed)
    form = "nv12" if bits == 8 else "p010le"
    frame = av.VideoFrame(width, height, form)
    frame.colorspace, frame.color_range = matrix, ColorRange.JPEG if full else ColorRange.MPEG
    planes = []
    for plane, down in zip(frame.planes, (1, 2), strict=True):
        shape = (-(-height // down), -(-width // down), down)
        low, high = (0, 256) if noise else (40, 216)
        coarse = (shape[0] // 9 + 2, shape[1] // 9 + 2, down)
        codes = rng.integers(low, high, shape if noise else coarse)
        if not noise:
            codes = enlarged(codes.astype(float), shape[0], shape[1]).round().astype(int)
        codes = codes.reshape(shape[0], -1)
        if bits > 8:
            codes = (codes * 4 + rng.integers(0, 4, codes.shape)) * 64
        dtype = np.uint8 if bits == 8 else np.uint16
        rows = np.full((shape[0], codes.shape[1] + 6), 99, dtype)
        rows[:, : codes.shape[1]] = codes
        planes.append(rows[:, : codes.shape[1]])
        stored = np.zeros((plane.height, plane.line_size // dtype().itemsize), dtype)
        stored[:, : codes.shape[1]] = codes
        plane.update(stored.tobytes())
    cuda = CudaFrame(planes[0], planes[1], matrix, full, orientation, shown, bits, siting)
    return Picture(CpuFrame(frame, orientation, shown), cuda)


def enlarged(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    y, x = filters(coarse.shape[0], height, "tent"), filters(coarse.shape[1], width, "tent")
    return np.einsum("ya,xb,abc->yxc", y, x, coarse)


def batch(*frames: Any) -> FrameBatch:
    return FrameBatch(frames, np.arange(len(frames)), np.arange(len(frames)) / 24)


def filters(source: int, target: int, kind: str, shift: float = 0.0) -> np.ndarray:
    """Row i: the weights of the source's pixels in target pixel i. (target, source)"""
    scale = source / target
    out = np.zeros((target, source))
    for i in range(target):
        centre = (i + 0.5) * scale - 0.5 + shift
        for j in range(int(np.floor(centre - scale)) - 1, int(np.ceil(centre + scale)) + 3):
            d = abs(j - centre)
            if scale <= 1:
                w = max(0.0, 1 - d)
            else:
                w = min(1.0, max(0.0, (1 + scale) / 2 - d)) if kind == "area" else max(0.0, 1 - d / scale)
            out[i, min(max(j, 0), source - 1)] += w
        out[i] /= out[i].sum()
    return out


def rgb(p: Picture, width: int, height: int, kind: str) -> np.ndarray:
    """The displayed picture at a size, not rounded. (height, width, 3)"""
    frame = p.cuda
    if frame.orientation.transpose:
        width, height = height, width
    pairs = 2 if kind == "area" and width % 2 == 0 else 1
    planes = []
    across, down = frame.siting
    for plane, share, dx, dy in ((p.y, 1, 0, 0), (p.u, pairs, across, down), (p.v, pairs, across, down)):
        rows = filters(plane.shape[0], height, kind, dy)
        columns = filters(plane.shape[1], width // share, kind, dx)
        planes.append(np.repeat(rows @ plane @ columns.T, share, 1))
    red, blue = SHARES[frame.matrix]
    y, u, v = planes
    y, u, v = (
        (y, u - 128, v - 128) if frame.full_range else ((y - 16) * 255 / 219, *((c - 128) * 255 / 224 for c in (u, v)))
    )
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)  # from y = red r + green g + blue b
    return frame.orientation.apply(np.clip(np.stack([r, g, b], -1), 0, 255))


def bilinear(image: np.ndarray, inverse: np.ndarray, size: int = 112) -> np.ndarray:
    """Pixels of `image` (h, w, c) where `inverse` (2, 3) leads from each pixel of a crop, 0 outside, one by one."""
    out = np.zeros((size, size, image.shape[2]))
    for y, x in product(range(size), repeat=2):
        u, v = inverse @ (x, y, 1)
        left, top = int(np.floor(u)), int(np.floor(v))
        for dy, dx in product((0, 1), repeat=2):
            if 0 <= left + dx < image.shape[1] and 0 <= top + dy < image.shape[0]:
                out[y, x] += (1 - abs(u - left - dx)) * (1 - abs(v - top - dy)) * image[top + dy, left + dx]
    return out
