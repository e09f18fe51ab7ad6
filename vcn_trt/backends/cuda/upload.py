"""Frames that PyAV decodes, on the card: the way of every codec that NVDEC does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from vcn_trt.backends.base import Decoder, FrameBatch
from vcn_trt.backends.cpu.decode import open_decoder
from vcn_trt.backends.cuda.frame import uploaded
from vcn_trt.backends.cuda.kernels import Device
from vcn_trt.config import DecodeConfig


def open_decoder_on(device: Device) -> Callable[[Path, int, DecodeConfig], Decoder]:
    """The CPU column's `open_decoder`, its frames uploaded to this device batch by batch."""

    def open_uploading(path: Path, video_id: int, config: DecodeConfig) -> UploadingDecoder:
        return UploadingDecoder(open_decoder(path, video_id, config), device)

    return open_uploading


class UploadingDecoder:
    """`Decoder` over another, whose frames are `CpuFrame`s."""

    def __init__(self, decoder: Decoder, device: Device) -> None:
        self._decoder, self._device = decoder, device
        self.video, self.report = decoder.video, decoder.report
        self._siting: tuple[float, float] | None = None

    def __iter__(self) -> Iterator[FrameBatch]:
        batches = iter(self._decoder)  # at once: a second pass is refused here, not at its first batch
        return map(self._uploaded, batches)

    def _uploaded(self, batch: FrameBatch) -> FrameBatch:
        frames = []
        for frame in batch.pixels:
            frames.append(uploaded(frame, self._device, self._siting))
            self._siting = frames[-1].siting
        return FrameBatch(frames, batch.frame_indices, batch.seconds)

    def close(self) -> None:
        self._decoder.close()
