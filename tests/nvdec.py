"""PyNvVideoCodec 2.2.4 without a card, as far as the column uses it: FFmpeg decodes, the rest behaves as the library's
own source and bindings have it.

    surfaces     one a frame of a call to Decode, taken up again from the first one by the next call, and written in the
                 session's stream, late
    Decode       takes the bytes at an address, Annex B; gives frames in display order, a packet late at least (the
                 parser sees a picture's end at the next one's beginning); empty data drains it, then it takes more
    times        of the packet in which a frame began
    a new size   scaled to the decoder's first, or an error where that is smaller
    damage       concealed in silence, or a frame that never comes
    __dlpack__   refuses stream 0, the default
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum
from typing import Any

import av
import av.error
import numpy as np
from lanes import ShimLane
from numpy.typing import NDArray

from vcn_trt.backends.cuda.capability import Capability, Limits
from vcn_trt.backends.cuda.frame import host_planes
from vcn_trt.backends.cuda.nvdec import LOOK_AHEAD, Nvdec

CODECS = {"H264": "h264", "HEVC": "hevc", "VP9": "vp9", "AV1": "av1"}
HOPPER = {("h264", 8), ("hevc", 8), ("hevc", 10), ("hevc", 12), ("vp9", 8), ("vp9", 10), ("vp9", 12)}
CAPABILITY = Capability({key: Limits((48, 16), (4096, 4096), 65536) for key in HOPPER}, engines=3)
"""A small Hopper."""

Codec = Enum("Codec", list(CODECS))
Pixels = Enum("Pixels", ["NV12", "P016"])


class PacketData:
    """Its fields take whole numbers alone."""

    def __init__(self) -> None:
        self.bsl_data = self.bsl = self.pts = self.decode_flag = 0

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) is not int:
            raise TypeError("incompatible function arguments")
        object.__setattr__(self, name, value)


class Frame:
    def __init__(self, pts: int, form: Any, surface: NDArray[Any]) -> None:
        self.format, self._pts, self._surface = form, pts, surface

    def getPTS(self) -> int:
        return self._pts

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, stream: Any = 0) -> Any:
        if stream == 0:
            raise RuntimeError("Invalid value for stream parameter. Passed value of 0 which is not allowed")
        return self._surface.__dlpack__()


class Decoder:
    def __init__(self, library: Library, codec: str, lane: ShimLane | None) -> None:
        self._library, self._lane = library, lane
        self._codec: Any = av.CodecContext.create(codec, "r")
        self._codec.thread_count = 1
        self._last: av.Packet | None = None
        self._size: tuple[int, int] | None = None
        self._surfaces: list[NDArray[Any]] = []

    def Decode(self, data: PacketData) -> list[Frame]:
        self._library.called(self)
        packet = None
        if data.bsl:
            packet = av.Packet(ctypes.string_at(data.bsl_data, data.bsl))
            packet.pts = packet.dts = data.pts
        before, self._last = self._last, packet
        frames = [] if before is None else self._pictures(before)
        if packet is None:
            frames += self._pictures(None)
            self._codec.flush_buffers()
        return [self._written(number, frame) for number, frame in enumerate(frames)]

    def _pictures(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        try:
            return [frame for frame in self._codec.decode(packet) if frame.pts not in self._library.swallowed]
        except (av.error.FFmpegError, ValueError):
            return []

    def _written(self, number: int, frame: av.VideoFrame) -> Frame:
        self._size = self._size or (frame.width, frame.height)
        if frame.width > self._size[0] or frame.height > self._size[1]:
            raise RuntimeError("Reconfigure Not supported when width/height > maxwidth/maxheight")
        wide = max(c.bits for c in frame.format.components) > 8
        native = frame.reformat(*self._size, format="p016le" if wide else "nv12")
        planes = np.roll(np.concatenate([p.copy() for p in host_planes(native)]), self._library.shift)
        if number == len(self._surfaces):
            self._surfaces.append(np.zeros_like(planes))
        surface = self._surfaces[number]
        assert self._lane is not None, "without a stream every frame waits for the whole card"
        self._lane.queue(lambda: np.copyto(surface, planes))
        assert frame.pts is not None
        return Frame(frame.pts, Pixels.P016 if wide else Pixels.NV12, surface)


class Library:
    """The module. called: what happens at each Decode before it begins. swallowed: times of frames that never come.
    shift: by which all pictures are off. decoders: all that were created."""

    __version__ = "2.2.4"
    cudaVideoCodec = Codec
    cudaVideoChromaFormat = Enum("Chroma", ["420", "422", "444"])
    PacketData = PacketData

    def __init__(
        self, called: Callable[[Decoder], None] = lambda decoder: None, swallowed: frozenset[int] = frozenset()
    ) -> None:
        self.called, self.swallowed, self.shift = called, swallowed, 0
        self.decoders: list[Decoder] = []

    def GetDecoderCaps(self, gpuid: int, codec: Any, chromaformat: Any, bitdepth: int) -> dict[str, int]:
        limits = CAPABILITY.limits.get((CODECS[codec.name], bitdepth), Limits((0, 0), (0, 0), 0))
        (width_min, height_min), (width_max, height_max), mb_num_max = limits
        return {
            "supported": int(mb_num_max > 0),
            "num_decoder_engines": CAPABILITY.engines,
            **{"width_min": width_min, "height_min": height_min, "width_max": width_max, "height_max": height_max},
            "mb_num_max": mb_num_max,
        }

    def CreateDecoder(
        self, gpuid: int = 0, codec: Any = Codec.H264, cudastream: int = 0, usedevicememory: bool = False
    ) -> Decoder:
        assert usedevicememory, "without it frames lie on the host"
        self.decoders.append(Decoder(self, CODECS[codec.name], ShimLane.of.get(cudastream)))
        return self.decoders[-1]


def card(library: Library | None = None, engines: int = 3, look_ahead: int = LOOK_AHEAD) -> Nvdec:
    """A small Hopper, for the column's `open_decoder_by`."""
    return Nvdec(library or Library(), 0, CAPABILITY._replace(engines=engines), ShimLane, np.asarray, look_ahead)
