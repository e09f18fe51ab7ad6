"""A decoded frame in its native pixel format, converted only where a stage looks: full RGB for few frames, small BGR
for the networks, the luma plane for sharpness. A colour conversion is ONE swscale pass: size, matrix and range."""

from __future__ import annotations

import functools
import sys
import threading
from fractions import Fraction
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

# AVColorSpace (ISO/IEC 23091-2, MatrixCoefficients); PyAV has no names for them.
_RGB, _BT709, _SMPTE170M, _BT2020, _BT2020_CONSTANT = 0, 1, 6, 9, 10
_MATRICES = {_BT709, 4, 5, _SMPTE170M, 7, _BT2020}
_UNSPECIFIED_TRANSFER = 2

# Against an exact area mean, 720p to 640x360 on one shared core: area 1.4 ms with a mean error of 0.9 (chroma, which
# pairs of pixels share), bilinear 1.6 ms and 1.2, area with full chroma 2.7 ms and 0.2, fast bilinear 1.5 ms and 2.0
# (aliased: 8.3 at 160x90).
_SMALL = Interpolation.AREA | Interpolation.ACCURATE_RND
# Crops are few and keep their chroma: 10 ms a 720p frame, where swscale's quick path (0.7 ms) is off by 1.2.
_FULL = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

_local = threading.local()


class Orientation(NamedTuple):
    """How the coded picture is turned for display: transposed, then mirrored left to right, then top to bottom."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """From the display matrix that the frame carries: all eight turns and mirrors; other angles to the nearest."""
        for data in frame.side_data:
            if data.type.name == "DISPLAYMATRIX":
                # Rows (a b u), (c d v), (x y w) in fixed point: x' = a x + c y, y' = b x + d y.
                a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
                if abs(a) + abs(d) >= abs(b) + abs(c):
                    return cls(False, a < 0, d < 0)
                return cls(True, c < 0, b < 0)
        return cls()

    @property
    def rotation(self) -> int:
        """Clockwise degrees from the coded to the displayed picture: 0, 90, 180 or 270 (of the unmirrored turn)."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    def apply(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The displayed picture of a coded one. (h, w, ...) -> contiguous (h, w, ...) or (w, h, ...)"""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        if self.mirror_x:
            picture = picture[:, ::-1]
        if self.mirror_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


class CpuFrame:
    """One frame and how it is displayed. Conversions may run in any thread, also several at once.

    width, height: the displayed picture in square pixels, turned. The frame's colour tags are settled here, once: PyAV
    writes and restores tags around each conversion, which would race between threads if it changed them.
    """

    __slots__ = ("_frame", "height", "orientation", "width")

    def __init__(
        self, frame: av.VideoFrame, orientation: Orientation | None = None, size: tuple[int, int] | None = None
    ) -> None:
        """size: displayed (width, height); without it the coded size, turned."""
        self.orientation = orientation or Orientation()
        self.width: int
        self.height: int
        self.width, self.height = size or displayed_size(frame.width, frame.height, None, self.orientation)
        settle_colours(frame)
        self._frame = frame

    @property
    def pixel_format(self) -> str:
        return str(self._frame.format.name)

    @property
    def coded(self) -> av.VideoFrame:
        """The frame as it was decoded, its colours settled. To be read only."""
        return self._frame

    def rgb(self) -> NDArray[np.uint8]:
        """The displayed picture. (height, width, 3) uint8"""
        return self._convert("rgb24", self.width, self.height, _FULL)

    def bgr_scaled(self, width: int, height: int) -> NDArray[np.uint8]:
        """The displayed picture at another size, anti-aliased; enlarged bilinearly. (height, width, 3) uint8"""
        return self._convert("bgr24", width, height, _SMALL)

    def luma(self) -> NDArray[np.uint8]:
        """The luma of the CODED picture at full range; `displayed_to_coded` leads into it. (coded h, coded w) uint8"""
        plane = _luma_plane(self._frame)
        if plane is None:
            coded = _reformat(self._frame, "rgb24", self._frame.width, self._frame.height, _FULL)
            return np.asarray(cv2.cvtColor(coded, cv2.COLOR_RGB2GRAY), np.uint8)
        bits = self._frame.format.components[0].bits
        # P010 and its kin hold their bits at the top of 16.
        stored = 16 if plane.dtype == np.uint16 and self._frame.format.name.startswith("p") else bits
        table = _unfolded(stored, plane.itemsize, self._frame.color_range == ColorRange.MPEG)
        return np.asarray(cv2.LUT(plane, table), np.uint8) if plane.itemsize == 1 else table[plane]

    @property
    def displayed_to_coded(self) -> NDArray[np.float64]:
        """From displayed to coded pixels: coded = A @ (x, y, 1), pixel centres at whole numbers as in OpenCV. (2, 3)"""
        return coded_from_displayed(
            self.orientation, (self._frame.width, self._frame.height), (self.width, self.height)
        )

    def _convert(self, target: str, width: int, height: int, flags: Interpolation) -> NDArray[np.uint8]:
        if self.orientation.transpose:
            width, height = height, width
        picture = _reformat(self._frame, target, width, height, flags)
        return picture if self.orientation == Orientation() else self.orientation.apply(picture)


def displayed_size(width: int, height: int, pixel_aspect: Fraction | None, orientation: Orientation) -> tuple[int, int]:
    """The picture in square pixels: the coded width times the pixel aspect, rounded; the height kept; then turned."""
    if pixel_aspect is not None and pixel_aspect > 0:
        width = max(1, round(width * pixel_aspect))
    return (height, width) if orientation.transpose else (width, height)


def coded_from_displayed(
    orientation: Orientation, coded: tuple[int, int], shown: tuple[int, int]
) -> NDArray[np.float64]:
    """From displayed to coded pixels, sizes (width, height): coded = A @ (x, y, 1), centres at whole numbers. (2, 3)"""
    transpose, mirror_x, mirror_y = orientation
    width, height = shown
    # Undo the mirrors, then the transposition, then the scale between square and coded pixels.
    x = np.array([-1.0, 0.0, width - 1.0] if mirror_x else [1.0, 0.0, 0.0])
    y = np.array([0.0, -1.0, height - 1.0] if mirror_y else [0.0, 1.0, 0.0])
    rows, size = ((y, x), (height, width)) if transpose else ((x, y), (width, height))
    affine = np.stack(rows)
    scale = np.array(coded) / size
    affine *= scale[:, None]
    affine[:, 2] += 0.5 * scale - 0.5
    return affine


def settle_colours(frame: av.VideoFrame) -> None:
    """Tag an untagged frame as its makers meant it: BT.709 from 720 lines, else BT.601; limited range for YUV."""
    name = frame.format.name
    rgb = frame.format.is_rgb or name.startswith("pal")
    if rgb:
        frame.colorspace = _RGB
    elif frame.colorspace == _BT2020_CONSTANT:
        frame.colorspace = _BT2020
    elif frame.colorspace not in _MATRICES:
        frame.colorspace = _BT709 if frame.height >= 720 else _SMPTE170M
    if frame.color_range not in (ColorRange.MPEG, ColorRange.JPEG):
        full = rgb or name.startswith(("yuvj", "gray", "ya", "mono"))
        frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    # Transfer and primaries are not converted (faces of HDR stay flat); swscale refuses some values of them.
    frame.color_trc = _UNSPECIFIED_TRANSFER
    frame.color_primaries = _UNSPECIFIED_TRANSFER


def _luma_plane(frame: av.VideoFrame) -> NDArray[Any] | None:
    """The first plane, where it is luma alone in this machine's byte order; no copy. (h, w) uint8 or uint16"""
    form = frame.format
    planar = form.name.startswith(("yuv", "yuva", "nv", "p0", "p2", "p4")) and len(frame.planes) > 1
    if not (planar or form.name.startswith("gray")) or form.name.endswith("be" if sys.byteorder == "little" else "le"):
        return None
    plane, depth = frame.planes[0], form.components[0].bits
    if depth > 16:
        return None
    dtype = np.uint8 if depth <= 8 else np.uint16
    rows: NDArray[Any] = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
    return rows[: frame.height, : frame.width]


@functools.cache
def _unfolded(bits: int, itemsize: int, limited: bool) -> NDArray[np.uint8]:
    """Stored luma to 0 to 255: limited range puts black at 16 and white at 235 of 255. (256,) or (65536,) uint8"""
    code = np.arange(256**itemsize) / 2.0 ** (bits - 8)
    value = (code - 16) * (255 / 219) if limited else code * (255 / (256 - 2.0 ** (8 - bits)))
    return np.clip(np.rint(value), 0, 255).astype(np.uint8)


def _reformat(frame: av.VideoFrame, target: str, width: int, height: int, flags: Interpolation) -> NDArray[np.uint8]:
    # A swscale context serves one thread, and is rebuilt when its parameters change: each thread keeps one a use.
    contexts: dict[tuple[str, int, int], VideoReformatter] = _local.__dict__.setdefault("contexts", {})
    key = (target, width, height)
    if key not in contexts:
        if len(contexts) >= 16:
            contexts.clear()
        contexts[key] = VideoReformatter()
    converted = contexts[key].reformat(frame, width, height, target, interpolation=flags, threads=1)
    return converted.to_ndarray().astype(np.uint8, copy=False)
