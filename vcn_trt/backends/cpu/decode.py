"""Frames of one video in presentation order, by PyAV: all that can be decoded, numbered from 0, and what was lost."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from vcn_trt.backends.base import DecodeReport, FrameBatch
from vcn_trt.backends.cpu.container import open_source, raise_if_gone, read_claims
from vcn_trt.backends.cpu.deinterlace import Deinterlacer
from vcn_trt.backends.cpu.frame import CpuFrame, Orientation, displayed_size
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import VideoError
from vcn_trt.types import Video

# Codecs in which a packet without a picture is a lost picture; others hide reference frames, or split fields.
_ONE_PICTURE_A_PACKET = ("h264", "hevc", "av1")


def open_decoder(path: Path, video_id: int, config: DecodeConfig) -> PyAvDecoder:
    """Open a video for one pass; its first frame is decoded at once. Raises VideoError where nothing can be decoded,
    and OSError, then or later in the pass, where the disk fails: only damaged data becomes a film with frames lost.

    `seconds` are presentation times from the start of the container, which is 0: a transport stream's arbitrary first
    clock value is taken off, while a picture that starts after its sound keeps that delay. They rise strictly; one that
    is missing or falls is rebuilt from the frame rate. Edit lists hold as in FFmpeg: frames outside do not count.
    """
    return PyAvDecoder(path, video_id, config)


@dataclass
class _Tally:
    """Counts of one pass. refused: the decoder's errors, the first near `refused_at` seconds."""

    packets: int = 0
    discarded: int = 0
    encrypted: int = 0
    pictures: int = 0
    refused: int = 0
    refused_at: float | None = None
    concealed: int = 0
    rebuilt: int = 0
    interlaced: bool = False
    broken_off: str = ""


class PyAvDecoder:
    """`Decoder` by PyAV. One pass, in one thread; the frames it gave stay valid after `close`.

    libav's messages stay silent (PyAV's default): routed into Python they take the GIL in the codec's threads, which
    can deadlock. What they would say is counted from errors and flagged frames.
    """

    def __init__(self, path: Path, video_id: int, config: DecodeConfig) -> None:
        self.report = DecodeReport()
        self._path, self._config, self._tally = path, config, _Tally()
        self._seconds: float | None = None
        self._closed = self._started = False
        self._container, self._stream = open_source(path, config.threads)
        self._frames = self._displayed()
        try:
            self._claims = read_claims(self._container, self._stream)
            self._first = next(self._frames, None)
            if self._first is None:
                self._ask_the_disk()
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

    def __iter__(self) -> Iterator[FrameBatch]:
        if self._closed or self._started:
            raise RuntimeError(f"the one pass over {self._path} is under way or over: open another decoder")
        self._started = True
        return self._batches()

    def close(self) -> None:
        """Free the decoder and its threads; twice does no harm. To be called in the thread that iterates."""
        self._closed = True
        self._frames.close()
        self._first = None
        if self._container is not None:
            self._container.close()
        # The codec's threads end with its last reference.
        self._container = self._stream = None

    def _batches(self) -> Iterator[FrameBatch]:
        try:
            frames = chain([self._first], self._frames)
            self._first = None
            while items := list(islice(frames, self._config.batch)):
                start = self.report.frames
                self.report.frames += len(items)
                yield FrameBatch(
                    pixels=[item[0] for item in items if item],
                    frame_indices=np.arange(start, self.report.frames, dtype=np.int64),
                    seconds=np.array([item[1] for item in items if item], np.float64),
                )
                if self._closed:
                    raise RuntimeError(f"the decoder of {self._path} was closed in the middle of its pass")
            self._conclude()
        finally:
            self.close()

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
                self.report.warnings.append(
                    f"the picture changes from {first[0]}x{first[1]} to {coded[0]}x{coded[1]} at {seconds:.1f} s; "
                    "all frames are scaled to the first size"
                )
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
        step, time_base, origin = float(1 / self._claims.fps), self._stream.time_base, self._claims.origin
        for frame in self._pictures():
            if origin is None:
                origin = (frame.pts or 0) * time_base
            self._tally.pictures += 1
            self._tally.concealed += frame.is_corrupt
            stated = None if frame.pts is None else float(frame.pts * time_base - origin)
            if stated is None or (self._seconds is not None and stated <= self._seconds):
                self._tally.rebuilt += 1
                stated = 0.0 if self._seconds is None else self._seconds + step
            self._seconds = stated
            yield frame, stated

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """As decoded, the delayed ones at the end of the file included."""
        tally, last_pts = self._tally, None
        for packet in chain(self._packets(), [None]):
            for frame in self._decoded(packet):
                if packet is None:  # PyAV times a frame by its packet, and the last frames come without.
                    frame.time_base = self._stream.time_base
                last_pts = frame.pts
                yield frame
        if last_pts is not None and tally.packets - tally.discarded - tally.refused > tally.pictures:
            yield from self._tail(last_pts)

    def _packets(self) -> Iterator[Any]:
        """All that the container yields. After an error it is asked again, as long as that brings new packets."""
        while True:
            before = self._tally.packets
            try:
                for packet in self._container.demux(self._stream):
                    # One without data is PyAV's mark of the end, or a frame that the recorder dropped. The decoder
                    # would take either for the end.
                    if packet.size:
                        self._tally.packets += 1
                        self._tally.discarded += packet.is_discard
                        self._tally.encrypted += packet.has_sidedata("encryption_info")
                        yield packet
                return
            except IndexError:
                return  # PyAV's end of a damaged transport stream in which new streams seemed to appear.
            except av.error.FFmpegError as error:
                raise_if_gone(self._path, error)
                if self._tally.packets == before:
                    self._tally.broken_off = str(error.strerror or error)
                    return

    def _decoded(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return list(self._stream.decode(packet))
        except (av.error.FFmpegError, ValueError):
            self._tally.refused += 1
            if self._tally.refused_at is None:
                self._tally.refused_at = self._seconds or 0.0
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

    def _ask_the_disk(self) -> None:
        """Raise OSError where the file's end cannot be read: a demuxer may take a failed read for the end of file."""
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            file.read(1)

    def _nothing(self) -> str:
        tally = self._tally
        if tally.encrypted:
            return f"{self._path} is encrypted ({self._claims.codec}). Expected a file without copy protection."
        return (
            f"{self._path} holds no picture that can be decoded: {tally.packets} packets of {self._claims.codec} were "
            "read. It is damaged or protected. Copy it again."
        )

    def _conclude(self) -> None:
        """What the pass lost, in numbers and sentences."""
        tally, claims, warn = self._tally, self._claims, self.report.warnings.append
        end = self._seconds or 0.0
        refused = tally.refused
        if claims.codec in _ONE_PICTURE_A_PACKET and not tally.interlaced:
            refused = max(0, tally.packets - tally.discarded - tally.pictures)
        if refused:
            where = "" if tally.refused_at is None else f" (the first near {tally.refused_at:.1f} s)"
            warn(f"{_count(refused, 'packet')} could not be decoded{where}")
        missing = max(0, claims.promised - tally.packets)
        if missing or tally.broken_off:
            self._ask_the_disk()
        if missing:
            warn(f"the container promises {_count(claims.promised, 'frame')}, but it breaks off after {end:.1f} s")
        if tally.broken_off:
            warn(f"reading stopped after {end:.1f} s: {tally.broken_off}")
        if tally.concealed:
            warn(f"{_count(tally.concealed, 'frame')} came damaged, patched by the decoder")
        if tally.rebuilt:
            warn(f"{_count(tally.rebuilt, 'frame')} had no rising presentation time: rebuilt from {claims.fps} fps")
        self.report.lost = refused + missing


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
