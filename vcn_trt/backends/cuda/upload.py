"""Frames that PyAV decodes, on the card: the way of every codec that NVDEC does not know. They go through two pinned
buffers in turn, so that one is filled while the other is read by the card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from vcn_trt.backends.base import Array, Decoder, FrameBatch
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.backends.cuda.frame import (
    CudaFrame,
    as_coded_for_the_card,
    bits_of,
    chroma_siting,
    host_planes,
    is_rgb,
)
from vcn_trt.backends.cuda.lane import Lane, Mark


class Uploader:
    """Batches of `CpuFrame`s to `CudaFrame`s that the main stream may read at once; the host waits only for the batch
    before the last. One thread at a time. Pinned memory: two of the largest batch."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._turn = 0
        self._buffers: list[NDArray[np.uint8]] = [np.zeros(0, np.uint8)] * 2
        self._read: list[Mark] = [lane.mark()] * 2
        self._siting: tuple[float, float] | None = None

    def __call__(self, frames: Sequence[CpuFrame]) -> list[CudaFrame]:
        coded = [as_coded_for_the_card(frame) for frame in frames]
        planes = [host_planes(frame) for frame in coded]
        if len({luma.dtype for luma, _ in planes}) > 1:  # a film whose depth changes
            return [on_card for frame in frames for on_card in self([frame])]
        if self._siting is None:
            self._siting = chroma_siting(coded[0])  # one film, one siting
        dtype, sizes = planes[0][0].dtype, [luma.size + chroma.size for luma, chroma in planes]
        staged, array = self._staging(sum(sizes) * dtype.itemsize).view(dtype), self._lane.empty(sum(sizes), dtype)
        ends = np.cumsum([0, *sizes])
        for at, (luma, chroma) in zip(ends, planes, strict=False):
            _plane(staged, at, luma.shape)[:] = luma
            _plane(staged, at + luma.size, chroma.shape)[:] = chroma
        self._lane.put(array, staged)
        on_card = []
        for at, frame, (luma, chroma) in zip(ends, frames, planes, strict=False):
            rgb = is_rgb(frame.coded)
            on_card.append(
                CudaFrame(
                    _plane(array, at, luma.shape),
                    _plane(array, at + luma.size, chroma.shape),
                    matrix=5 if rgb else int(frame.coded.colorspace),
                    full_range=rgb or frame.coded.color_range == ColorRange.JPEG,
                    orientation=frame.orientation,
                    shown=(frame.width, frame.height),
                    bits=bits_of(frame.coded),
                    siting=self._siting,
                )
            )
        self._read[self._turn] = self._lane.mark()
        self._lane.join()
        return on_card

    def close(self) -> None:
        """Let the card have read all of the pinned memory, which goes back to CuPy's pool with this object."""
        for read in self._read:
            read.wait()

    def _staging(self, size: int) -> NDArray[np.uint8]:
        """The other buffer, once the card has read what it last held."""
        self._turn = 1 - self._turn
        self._read[self._turn].wait()
        if len(self._buffers[self._turn]) < size:
            self._buffers[self._turn] = self._lane.pinned(size)
        return self._buffers[self._turn][:size]


def _plane(array: Array, at: int, shape: tuple[int, ...]) -> Array:
    return array[at : at + shape[0] * shape[1]].reshape(shape)


class UploadingDecoder:
    """`Decoder` over another, whose frames are `CpuFrame`s. note: why it is not NVDEC that decodes."""

    def __init__(self, decoder: Decoder, lane: Lane, note: str = "") -> None:
        self._decoder, self._upload = decoder, Uploader(lane)
        self.video, self.report = decoder.video, decoder.report
        if note:
            self.report.notes.append(note)

    def __iter__(self) -> Iterator[FrameBatch]:
        batches = iter(self._decoder)  # at once: a second pass is refused here, not at its first batch
        return (FrameBatch(self._upload(b.pixels), b.frame_indices, b.seconds) for b in batches)

    def close(self) -> None:
        self._decoder.close()
        self._upload.close()
