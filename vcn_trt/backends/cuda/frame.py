"""A frame on the card, as NVDEC leaves it: a luma plane and one of interleaved chroma (NV12, or P016 in 16 bits)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from vcn_trt.backends.base import Array
from vcn_trt.backends.cpu.frame import CpuFrame, Orientation, coded_from_displayed
from vcn_trt.backends.cuda.kernels import Device

FRAME = np.dtype(
    [
        ("luma", "u8"),
        ("chroma", "u8"),
        ("luma_pitch", "i8"),
        ("chroma_pitch", "i8"),
        ("width", "i4"),
        ("height", "i4"),
        ("shown_width", "i4"),
        ("shown_height", "i4"),
        ("wide", "i4"),
        ("transpose", "i4"),
        ("mirror_x", "i4"),
        ("mirror_y", "i4"),
        ("colour", "f4", (3, 4)),
        ("chroma_x", "f4"),
        ("chroma_y", "f4"),
        ("black", "f4"),
        ("gain", "f4"),
    ]
)
"""`Frame` of kernels/frame.cuh."""

UPRIGHT = Orientation()
LEFT = (0.25, 0.0)
"""Chroma between two samples of luma of one column: what H.264, HEVC, MPEG-2, VP9 and AV1 mean if they say nothing."""

# Shares of red and blue in luma (ISO/IEC 23091-2): BT.601, 709, 2020, by FFmpeg's numbers of the matrices.
_BT601, _BT709, _BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
_SHARES = {1: _BT709, 4: (0.30, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087), 9: _BT2020}


@dataclass(frozen=True, eq=False)
class CudaFrame:
    """luma: (h, w) uint8 or uint16, on the card; chroma: (ceil(h / 2), 2 ceil(w / 2)) of that dtype, u and v in turn.
    Rows may lie further apart than they are long. 16 bits hold their value in the upper ones: `bits` of them count.
    matrix: FFmpeg's number. shown: displayed (width, height), by default the coded size, turned. siting: how far
    left of and above the middle of its four samples of luma one of chroma stands, in pixels of chroma.

    Raises TypeError or ValueError for planes that are none of NV12 or P016.
    """

    luma: Array
    chroma: Array
    matrix: int
    full_range: bool
    orientation: Orientation = UPRIGHT
    shown: tuple[int, int] | None = None
    bits: int = 8
    siting: tuple[float, float] = LEFT
    width: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        luma, chroma = self.luma, self.chroma
        if luma.dtype not in (np.uint8, np.uint16) or chroma.dtype != luma.dtype:
            raise TypeError(f"a frame is of uint8 or uint16 in both planes, found {luma.dtype} and {chroma.dtype}")
        if luma.ndim != 2 or chroma.shape != (-(-luma.shape[0] // 2), 2 * -(-luma.shape[1] // 2)):
            raise ValueError(
                f"a frame has planes (h, w) and (ceil(h/2), 2 ceil(w/2)), found {luma.shape} and {chroma.shape}"
            )
        for plane in (luma, chroma):
            if plane.strides[1] != plane.itemsize or plane.strides[0] < plane.shape[1] * plane.itemsize:
                raise ValueError(f"a frame's rows must be contiguous and in order, found strides {plane.strides}")
        if self.matrix not in _SHARES:
            raise ValueError(f"the matrix must be one of {sorted(_SHARES)}, found {self.matrix}")
        height, width = luma.shape
        shown = self.shown or ((height, width) if self.orientation.transpose else (width, height))
        object.__setattr__(self, "width", shown[0])
        object.__setattr__(self, "height", shown[1])

    @property
    def displayed_to_coded(self) -> NDArray[np.float64]:
        """From displayed to coded pixels, as of `CpuFrame`. (2, 3)"""
        height, width = self.luma.shape
        return coded_from_displayed(self.orientation, (width, height), (self.width, self.height))

    def record(self, device: Device) -> NDArray[np.void]:
        """What the kernels read. ()"""
        row = np.zeros((), FRAME)
        row["luma"], row["chroma"] = device.pointer(self.luma), device.pointer(self.chroma)
        row["luma_pitch"], row["chroma_pitch"] = self.luma.strides[0], self.chroma.strides[0]
        row["height"], row["width"] = self.luma.shape
        row["shown_width"], row["shown_height"] = self.width, self.height
        row["wide"] = self.luma.dtype == np.uint16
        row["transpose"], row["mirror_x"], row["mirror_y"] = self.orientation
        row["colour"] = colour_matrix(self.matrix, self.full_range)
        row["chroma_x"], row["chroma_y"] = self.siting
        white = 256 - 2.0 ** (8 - self.bits)  # of full range: 255 of 8 bits, 255.75 of 10
        row["black"], row["gain"] = (0, 255 / white) if self.full_range else (16, 255 / 219)
        return row


def colour_matrix(matrix: int, full_range: bool) -> NDArray[np.float64]:
    """(y, u, v, 1) on the 8-bit scale to red, green, blue from 0 to 255. (3, 4)"""
    red, blue = _SHARES[matrix]
    green = 1 - red - blue
    factors = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    factors *= (1, 1, 1) if full_range else (255 / 219, 255 / 224, 255 / 224)
    return np.column_stack([factors, -factors @ (0 if full_range else 16, 128, 128)])


def as_coded_for_the_card(frame: CpuFrame) -> av.VideoFrame:
    """A frame that the CPU decoded, as NV12, or P016 where it has more than 8 bits. 4:2:2 and 4:4:4 lose chroma on the
    way, as they would in NVDEC's output; RGB becomes full-range BT.601."""
    coded = frame.coded
    form = "nv12" if bits_of(coded) <= 8 else "p016le"
    if is_rgb(coded):  # An untouched plane is only moved, so tags of YUV stay; RGB is converted, to the widest codes.
        return coded.reformat(format=form, dst_colorspace=5, dst_color_range=ColorRange.JPEG)
    return coded if coded.format.name == form else coded.reformat(format=form)


def is_rgb(frame: av.VideoFrame) -> bool:
    return bool(frame.format.is_rgb or frame.format.name.startswith("pal"))


def bits_of(frame: av.VideoFrame) -> int:
    """Bits that count in a sample."""
    return int(max(c.bits for c in frame.format.components))


def chroma_siting(frame: av.VideoFrame) -> tuple[float, float]:
    """How swscale places a frame's chroma, by its tag, which PyAV does not show: read off a small ramp of chroma that
    carries the frame's tags. In pixels of chroma, as of `CudaFrame`."""
    side, low, step = 32, 60, 8
    small = frame.reformat(side, side, "yuv420p")
    ramp = low + step * np.arange(side // 2)
    for plane, codes in zip(small.planes, (np.full((side, side), 128), ramp[None], ramp[:, None]), strict=True):
        stored = np.empty((plane.height, plane.line_size), np.uint8)
        stored[:, : plane.width] = codes
        plane.update(stored.tobytes())
    whole = small.reformat(format="yuv444p", interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND)
    inner = slice(side // 4, -side // 4)
    middle = (np.arange(side)[inner] + 0.5) / 2 - 0.5
    found = []
    for plane, axis in zip(whole.planes[1:], (0, 1), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:side, :side]
        shift = ((rows.mean(axis)[inner] - low) / step - middle).mean()
        found.append(round(4 * float(shift)) / 4)
    return found[0], found[1]


def host_planes(frame: av.VideoFrame) -> tuple[NDArray[Any], NDArray[Any]]:
    """Luma (h, w) and chroma (ceil(h / 2), 2 ceil(w / 2)) of an NV12 or P016 frame, as they lie: no copies."""
    dtype = np.dtype(np.uint8 if frame.format.name == "nv12" else "<u2")
    luma, chroma = (
        np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)[
            : -(-frame.height // down), : -(-frame.width // down) * down
        ]
        for plane, down in zip(frame.planes, (1, 2), strict=True)
    )
    return luma, chroma
