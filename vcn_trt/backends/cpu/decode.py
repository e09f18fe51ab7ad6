"""Frames of one video in presentation order, by PyAV: every frame that can be decoded, numbered from 0, and what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from vcn_trt.backends.base import DecodeReport, FrameBatch
from vcn_trt.backends.cpu.container import Claims, open_source, read_claims
from vcn_trt.backends.cpu.deinterlace import Deinterlacer
from vcn_trt.backends.cpu.frame import CpuFrame, Orientation, displayed_size, settle_colours
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import VideoError
from vcn_trt.types import Video

_ONE_PICTURE_A_PACKET = ("h264", "hevc")


def open_decoder(path: Path, video_id: int, config: DecodeConfig) -> PyAvDecoder:
    """Open a video for one pass; its first frame is decoded at once. Raises VideoError where there is nothing to decode.

    `seconds` are presentation times from the start of the container, which is 0: a transport stream's arbitrary first clock value
    is taken off, while a picture that starts after its sound keeps that delay. They rise strictly; a missing or falling one is
    rebuilt from the frame rate. Edit lists are respected as FFmpeg does: frames outside the edit are neither given nor counted.
    """
    return PyAvDecoder(path, video_id, config)


@dataclass
class _Tally:
    """Counts of one pass. refused: decoder errors, the first after `refused_at` seconds."""

    packets: int = 0
    discarded: int = 0
    pictures: int = 0
    refused: int = 0
    refused_at: float = 0.0
    concealed: int = 0
    rebuilt: int = 0
    interlaced: bool = False
    resized: bool = False
    broken_off: str = ""


class PyAvDecoder:
    """`Decoder` by PyAV. One pass, in one thread; the frames it gave stay valid after `close`."""

    def __init__(self, path: Path, video_id: int, config: DecodeConfig) -> None:
        self.report = DecodeReport()
        self._path, self._config = path, config
        self._tally = _Tally()
        self._last_seconds: float | None = None
        self._container, self._stream = open_source(path, config.threads)
        self._closed = self._started = False
        try:
            self._claims: Claims = read_claims(self._container, self._stream)
            self._time_base = self._stream.time_base
            # An estimate from the duration is no promise.
            self._promised = int(self._stream.frames)
            self._codec = str(self._stream.codec_context.name)
            self._frames = self._displayed()
            self._first = next(self._frames, None)
            if self._first is None:
                raise VideoError(
                    f"{path} holds no picture that can be decoded: {self._tally.packets} packets of {self._codec} were read. "
                    "The file is damaged or encrypted; copy it again."
                )
        except BaseException:
            self.close()
            raise
        first = self._first[0]
        self.video = Video(
            id=video_id,
            path=str(path),
            fps=self._claims.fps,
            frames=self._claims.frames,
            width=first.width,
            height=first.height,
            start_timecode=self._claims.timecode,
            codec=self._codec,
            pixel_format=first.pixel_format,
            seconds=self._claims.seconds,
        )

    def __iter__(self) -> Iterator[FrameBatch]:
        if self._closed or self._started:
            raise RuntimeError(f"the decoder of {self._path} gives one pass, which is over or under way: open another")
        self._started = True
        return self._batches()

    def close(self) -> None:
        """Free the decoder and its threads. May be called twice, and in the middle of the pass."""
        self._closed = True
        frames, self._frames, self._first = getattr(self, "_frames", None), iter(()), None
        if frames is not None and not getattr(frames, "gi_running", False):
            frames.close() if hasattr(frames, "close") else None
        if self._container is not None:
            self._container.close()
        # The codec's threads end with its last reference.
        self._container = self._stream = None

    def _batches(self) -> Iterator[FrameBatch]:
        try:
            batch = [self._first]
            self._first = None
            for item in self._frames:
                if len(batch) == self._config.batch:
                    yield self._batch(batch)
                    if self._closed:
                        raise RuntimeError(f"the decoder of {self._path} was closed in the middle of its pass")
                    batch = []
                batch.append(item)
            yield self._batch(batch)
            self._conclude()
        finally:
            self.close()

    def _batch(self, items: list[Any]) -> FrameBatch:
        start = self.report.frames
        self.report.frames += len(items)
        return FrameBatch(
            pixels=[frame for frame, _ in items],
            frame_indices=np.arange(start, start + len(items), dtype=np.int64),
            seconds=np.array([seconds for _, seconds in items], np.float64),
        )

    def _displayed(self) -> Iterator[tuple[CpuFrame, float]]:
        orientation, size, coded = Orientation(), None, (0, 0)
        for frame, seconds in self._progressive():
            if size is None:
                orientation = self._orientation
                coded = (frame.width, frame.height)
                size = displayed_size(*coded, self._stream.sample_aspect_ratio, orientation)
            if (frame.width, frame.height) != coded and not self._tally.resized:
                self._tally.resized = True
                self.report.warnings.append(
                    f"the picture changes from {coded[0]}x{coded[1]} to {frame.width}x{frame.height} at {seconds:.1f} s; "
                    "later frames are scaled to the first size"
                )
            yield CpuFrame(frame, orientation, size), seconds

    def _progressive(self) -> Iterator[tuple[av.VideoFrame, float]]:
        deinterlacer: Deinterlacer | None = None
        self._orientation = Orientation()
        for frame, seconds in self._timed():
            if self._tally.pictures == 1:
                self._orientation = Orientation.of(frame)
            settle_colours(frame)
            self._tally.interlaced |= frame.interlaced_frame
            if deinterlacer is None and frame.interlaced_frame and self._config.deinterlace == "auto":
                deinterlacer = Deinterlacer()
            if deinterlacer is None:
                yield frame, seconds
            else:
                yield from deinterlacer.push(frame, seconds)
        if deinterlacer is not None:
            yield from deinterlacer.flush()

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float]]:
        step = float(1 / self._claims.fps)
        for frame in self._pictures():
            self._tally.pictures += 1
            self._tally.concealed += frame.is_corrupt
            last = self._last_seconds
            seconds = 0.0 if last is None else last + step
            stated = None if frame.pts is None else float(frame.pts * self._time_base - self._claims.origin)
            if stated is not None and (last is None or stated > last):
                seconds = stated
            else:
                self._tally.rebuilt += 1
            self._last_seconds = seconds
            yield frame, seconds

    def _pictures(self) -> Iterator[av.VideoFrame]:
        last_pts: int | None = None
        for packet in self._packets():
            for frame in self._decoded(packet):
                last_pts = frame.pts
                yield frame
        for frame in self._decoded(None):
            frame.time_base = self._time_base
            last_pts = frame.pts
            yield frame
        tally = self._tally
        if tally.packets - tally.discarded - tally.refused > tally.pictures and last_pts is not None:
            yield from self._tail(last_pts)

    def _packets(self) -> Iterator[Any]:
        while True:
            before = self._tally.packets
            try:
                for packet in self._container.demux(self._stream):
                    # Without data it is PyAV's mark of the end, or a frame that the recorder dropped: to the decoder either
                    # would mean the end.
                    if packet.size:
                        self._tally.packets += 1
                        self._tally.discarded += packet.is_discard
                        yield packet
                return
            except av.error.FFmpegError as error:
                if self._tally.packets == before:
                    self._tally.broken_off = str(error.strerror or error)
                    return

    def _decoded(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return list(self._stream.decode(packet))
        except (av.error.FFmpegError, ValueError):
            tally = self._tally
            if not tally.refused:
                tally.refused_at = self._last_seconds or 0.0
            tally.refused += 1
            return []

    def _tail(self, last_pts: int) -> Iterator[av.VideoFrame]:
        """The last frames once more, without threads. PyAV ends draining a threaded decoder at its first error and drops the sound
        frames behind it: measured, 67 of a truncated file's 69 frames came."""
        container, stream = open_source(self._path, threads=1)
        with container:
            try:
                container.seek(last_pts, stream=stream)
            except av.error.FFmpegError:
                return
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except (av.error.FFmpegError, ValueError):
                    continue
                yield from (frame for frame in frames if frame.pts is not None and frame.pts > last_pts)

    def _conclude(self) -> None:
        """What the pass showed, in sentences."""
        tally, warn = self._tally, self.report.warnings.append
        silent = 0
        if self._codec in _ONE_PICTURE_A_PACKET and not tally.interlaced:
            silent = tally.packets - tally.discarded - tally.pictures
        refused = max(tally.refused, silent)
        if refused:
            warn(f"{refused} packets could not be decoded (the first after {tally.refused_at:.1f} s)")
        missing = 0
        if self._promised > tally.packets:
            missing = self._promised - tally.packets
            warn(
                f"the container promises {self._promised} frames and holds {tally.packets}: "
                f"it breaks off after {self._last_seconds:.1f} s"
            )
        if tally.broken_off:
            warn(f"reading stopped after {self._last_seconds:.1f} s: {tally.broken_off}")
        if tally.concealed:
            warn(f"{tally.concealed} frames are damaged; the decoder patched them")
        if tally.rebuilt:
            warn(f"{tally.rebuilt} frames had no rising presentation time; it was rebuilt from {self._claims.fps} fps")
        self.report.lost = refused + missing
