"""Uploads through two pinned buffers: neither is filled again before the card has read it."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
from lanes import ShimLane

from vcn_trt.backends.cpu.decode import open_decoder
from vcn_trt.backends.cuda.frame import as_coded_for_the_card, host_planes
from vcn_trt.backends.cuda.upload import Uploader
from vcn_trt.config import DecodeConfig


class LateLane(ShimLane):
    """One in which the main stream waits, but the host does not: copies run when the host waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[int] = []

    def pinned(self, size: int) -> np.ndarray:  # type: ignore[type-arg]
        self.buffers.append(size)
        return super().pinned(size)

    def join(self) -> None:
        pass


def test_a_buffer_is_filled_again_only_when_the_card_has_read_it(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(22)))
    lane = LateLane()
    upload = Uploader(lane)
    on_card, expected = [], []
    for batch in open_decoder(path, 0, DecodeConfig(batch=4)):
        on_card += upload(batch.pixels)
        expected += [host_planes(as_coded_for_the_card(f)) for f in batch.pixels]
    lane.mark().wait()
    assert len(on_card) == 22
    for frame, (luma, chroma) in zip(on_card, expected, strict=True):
        assert np.array_equal(frame.luma, luma)
        assert np.array_equal(frame.chroma, chroma)
    assert lane.buffers == [4 * 96 * 64 * 3 // 2] * 2


def test_frames_of_odd_sizes_lie_apart(tmp_path: Path) -> None:
    pictures = (clips.numbered(i, 97, 65) for i in range(6))
    path = clips.write(tmp_path / "odd.mkv", pictures, codec="ffv1", pix_fmt="yuv420p", options={"g": "1"})
    upload = Uploader(ShimLane())
    for batch in open_decoder(path, 0, DecodeConfig(batch=3)):
        for frame, coded in zip(upload(batch.pixels), batch.pixels, strict=True):
            luma, chroma = host_planes(as_coded_for_the_card(coded))
            assert (frame.luma.shape, frame.chroma.shape) == ((65, 97), (33, 98))
            assert np.array_equal(frame.luma, luma)
            assert np.array_equal(frame.chroma, chroma)


def test_a_batch_may_hold_frames_of_both_depths(tmp_path: Path) -> None:
    films = [
        clips.write(tmp_path / f"{form}.mkv", [clips.numbered(7)], codec="ffv1", pix_fmt=form, options={"g": "1"})
        for form in ("yuv420p", "yuv420p10le")
    ]
    frames = [next(iter(open_decoder(film, 0, DecodeConfig()))).pixels[0] for film in films]
    on_card = Uploader(ShimLane())(frames)
    assert [(f.luma.dtype, f.bits) for f in on_card] == [(np.uint8, 8), (np.uint16, 10)]
    for frame, coded in zip(on_card, frames, strict=True):
        assert np.array_equal(frame.luma, host_planes(as_coded_for_the_card(coded))[0])
