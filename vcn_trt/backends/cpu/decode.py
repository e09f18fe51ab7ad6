"""Frames of one video in presentation order, by PyAV: all that can be decoded, numbered from 0, and what was lost."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error

from vcn_trt.backends.cpu.container import open_source, raise_if_gone, read_claims
from vcn_trt.backends.cpu.deinterlace import Deinterlacer
from vcn_trt.backends.cpu.frame import CpuFrame, Orientation, displayed_size
from vcn_trt.backends.cpu.packets import Tally, Timeline, another_size, ask_the_disk, conclude, read_packets
from vcn_trt.backends.one_pass import OnePass
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import VideoError
from vcn_trt.types import Video

_PROGRESSIVE = 1  # of FFmpeg's AVFieldOrder; 0 is unknown, the rest are fields


def open_decoder(path: Path, video_id: int, config: DecodeConfig) -> PyAvDecoder:
    """Open a video for one pass; its first frame is decoded at once. Raises VideoError where nothing can be decoded,
    and OSError, then or later in the pass, where the disk fails: only damaged data becomes a film with frames lost.

    `seconds` are presentation times from the start of the container, which is 0: a transport stream's arbitrary first
    clock value is taken off, while a picture that starts after its sound keeps that delay. They rise strictly; one that
    is missing or falls is rebuilt from the frame rate. Edit lists hold as in FFmpeg: frames outside do not count.
    """
    return PyAvDecoder(path, video_id, config)


class PyAvDecoder(OnePass):
    """`Decoder` by PyAV. One pass, in one thread; the frames it gave stay valid after `close`.

    libav's messages stay silent (PyAV's default): routed into Python they take the GIL in the codec's threads, which
    can deadlock. What they would say is counted from errors and flagged frames.
    """

    def __init__(self, path: Path, video_id: int, config: DecodeConfig) -> None:
        super().__init__(path, config.batch)
        self._config, self._tally = config, Tally()
        self._container, self._stream = open_source(path, config.threads)
        self._chain = self._displayed()
        try:
            self._claims = read_claims(self._container, self._stream)
            self._timeline = Timeline(self._claims, self._stream.time_base)
            self._first = next(self._chain, None)
            if self._first is None:
                ask_the_disk(self._path)
                raise VideoError(self._nothing())
        except BaseException:
            self.close()
            raise
        self.video = Video(
            id=video_id,
            path=str(path),
            fps=self._claims.fps,
            frames=self._claims.frames,
            width=self._first[0].width,
            height=self._first[0].height,
            start_timecode=self._claims.timecode,
            reel=self._claims.reel,
            codec=self._claims.codec,
            pixel_format=self._first[0].pixel_format,
            seconds=self._claims.seconds,
        )

    @property
    def first(self) -> CpuFrame:
        """The first frame, before the pass begins: what the film looks like."""
        if self._first is None:
            raise RuntimeError(f"the pass over {self._path} has begun: its first frame is gone")
        return self._first[0]

    @property
    def interlaced(self) -> bool:
        """Whether the stream is of fields, as far as its beginning tells."""
        return self._tally.interlaced or self._stream.codec_context.field_order > _PROGRESSIVE

    def _frames(self) -> Generator[tuple[CpuFrame, float], None, None]:
        if self._first is not None:
            yield self._first
        self._first = None
        yield from self._chain
        conclude(self.report, self._tally, self._timeline, self._claims, self._path)

    def _release(self) -> None:
        self._chain.close()
        self._first = None
        if self._container is not None:
            self._container.close()
        # The codec's threads end with its last reference.
        self._container = self._stream = None

    # The chain below, from the packets up: each generator adds one thing.

    def _displayed(self) -> Generator[tuple[CpuFrame, float], None, None]:
        """Oriented, in square pixels, all of the first frame's size."""
        first: tuple[int, int] | None = None
        changed = False
        for frame, seconds, orientation in self._progressive():
            coded = (frame.width, frame.height)
            if first is None:
                first, size = coded, displayed_size(*coded, self._stream.sample_aspect_ratio, orientation)
            elif coded != first and not changed:
                changed = True
                self.report.warnings.append(another_size(first, coded, seconds))
            yield CpuFrame(frame, orientation, size), seconds

    def _progressive(self) -> Iterator[tuple[av.VideoFrame, float, Orientation]]:
        """Deinterlaced from the first flagged frame on. The first frame's orientation holds for all."""
        orientation: Orientation | None = None
        deinterlacer: Deinterlacer | None = None
        for frame, seconds in self._timed():
            orientation = orientation or Orientation.of(frame)
            if frame.interlaced_frame:
                self._tally.interlaced = True
                if deinterlacer is None and self._config.deinterlace == "auto":
                    deinterlacer = Deinterlacer()
            if deinterlacer is None:
                yield frame, seconds, orientation
            else:
                for ready, its_seconds in deinterlacer.push(frame, seconds):
                    yield ready, its_seconds, orientation
        if deinterlacer is not None and orientation is not None:
            for ready, its_seconds in deinterlacer.flush():
                yield ready, its_seconds, orientation

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """With seconds that rise strictly."""
        for frame in self._pictures():
            self._tally.pictures += 1
            self._tally.concealed += frame.is_corrupt
            yield frame, self._timeline.next(frame.pts)

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """As decoded, the delayed ones at the end of the file included."""
        tally, last_pts = self._tally, None
        for packet in chain(read_packets(self._path, self._container, self._stream, tally), [None]):
            for frame in self._decoded(packet):
                if packet is None:  # PyAV times a frame by its packet, and the last frames come without.
                    frame.time_base = self._stream.time_base
                last_pts = frame.pts
                yield frame
        if last_pts is not None and tally.packets - tally.discarded - tally.refused > tally.pictures:
            yield from self._tail(last_pts)

    def _decoded(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return list(self._stream.decode(packet))
        except (av.error.FFmpegError, ValueError):
            self._tally.refused += 1
            if self._tally.refused_at is None:
                self._tally.refused_at = self._timeline.seconds or 0.0
            return []

    def _tail(self, last_pts: int) -> Iterator[av.VideoFrame]:
        """The last frames once more, without threads: PyAV stops draining a threaded decoder at its first error, and
        the good frames behind it are gone. Measured: 67 of a truncated file's 69 frames came."""
        container, stream = open_source(self._path, threads=1)
        with container:
            try:
                # Transport streams have no index and may land between key frames: begin well before.
                before = last_pts - round(10 / stream.time_base)
                container.seek(max(before, stream.start_time or 0), stream=stream)
                for packet in container.demux(stream):
                    try:
                        frames = packet.decode() if packet.size else stream.decode(None)
                    except (av.error.FFmpegError, ValueError):
                        continue
                    yield from (frame for frame in frames if frame.pts is not None and frame.pts > last_pts)
            except av.error.FFmpegError as error:
                raise_if_gone(self._path, error)
                return  # What it would have brought is counted as lost.

    def _nothing(self) -> str:
        tally = self._tally
        if tally.encrypted:
            return f"{self._path} is encrypted ({self._claims.codec}). Expected a file without copy protection."
        return (
            f"{self._path} holds no picture that can be decoded: {tally.packets} packets of {self._claims.codec} were "
            "read. It is damaged or protected. Copy it again."
        )
