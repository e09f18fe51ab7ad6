"""Frames of one video by NVDEC, numbered and timed as the CPU column does. They never leave the card.

    packets (PyAV, as in the CPU column) -> runs -> several sessions at once -> frames in order, matched by their times

PyAV reads the file, so what counts as a frame, its time, its edit list are the CPU column's. Its first frame, decoded
on the CPU, says how all are shown: size, turn, pixel aspect, colours, siting of chroma.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from vcn_trt.backends.base import Array, Decoder
from vcn_trt.backends.cpu.container import open_source, read_claims
from vcn_trt.backends.cpu.decode import PyAvDecoder
from vcn_trt.backends.cpu.frame import CpuFrame, Orientation
from vcn_trt.backends.cpu.packets import Tally, Timeline, another_size, conclude, count, read_packets
from vcn_trt.backends.cuda.capability import NAMES, Capability
from vcn_trt.backends.cuda.frame import CudaFrame, as_coded_for_the_card, bits_of, chroma_siting, host_planes
from vcn_trt.backends.cuda.h264 import frames_only
from vcn_trt.backends.cuda.lane import Lane
from vcn_trt.backends.cuda.repair import repair
from vcn_trt.backends.cuda.runs import LENGTH, Damaged, Piece, Unusable, as_nvdec_reads, cut
from vcn_trt.backends.cuda.session import Decoded, Session
from vcn_trt.backends.cuda.upload import Uploader, UploadingDecoder
from vcn_trt.backends.one_pass import OnePass
from vcn_trt.config import DecodeConfig
from vcn_trt.types import Video

LOOK_AHEAD = 4 << 30
"""Bytes of decoded frames that may lie on the card ahead of the stages, shared by the films in flight; an eighth of a
smaller card. 96 frames of 1080p take 299 MB, of 10-bit 4K 2.4 GB."""

FORMATS = ("yuv420p", "yuvj420p", "yuv420p10le", "yuv420p12le")
"""What the kernels read without losing chroma: 4:2:0, of which NVDEC makes NV12 and P016."""


class Nvdec(NamedTuple):
    """What the decoders of one card share. library: PyNvVideoCodec, None where the capability lacks it. open_lane:
    makes a stream for copies. to_numpy: an array of the card on the host. look_ahead: bytes of decoded frames."""

    library: Any
    card: int
    capability: Capability
    open_lane: Callable[[], Lane]
    to_numpy: Callable[[Array], NDArray[Any]]
    look_ahead: int = LOOK_AHEAD


def open_decoder_by(nvdec: Nvdec) -> Callable[[Path, int, DecodeConfig], Decoder]:
    """The column's `open_decoder`: NVDEC where it can, else PyAV with upload, and a note that says why."""

    def open_decoder(path: Path, video_id: int, config: DecodeConfig) -> Decoder:
        on_cpu = PyAvDecoder(path, video_id, config)
        if reason := why_not(on_cpu, nvdec.capability):
            return UploadingDecoder(on_cpu, nvdec.open_lane(), f"decoded by PyAV and uploaded: {reason}")
        look, video = Look.of(on_cpu.first), on_cpu.video
        on_cpu.close()
        return NvdecDecoder(path, video, config, look, nvdec)

    return open_decoder


def why_not(film: PyAvDecoder, capability: Capability) -> str:
    """What keeps NVDEC from decoding a film that has just been opened, or ""."""
    codec, form = film.video.codec, film.video.pixel_format
    coded = film.first.coded
    if codec not in NAMES:
        return f"NVDEC decodes no {codec}"
    if film.interlaced:
        return "its frames are interlaced, and PyAV's filter makes them whole"
    if form not in FORMATS:
        return f"its frames are {form}, which NVDEC does not decode or the kernels do not read"
    if coded.width % 2 or coded.height % 2:
        return f"its size is odd ({coded.width}x{coded.height})"
    return capability.refuses(codec, bits_of(coded), coded.width, coded.height)


class Look(NamedTuple):
    """How the first frame is coded and shown, and so all: NVDEC's own tell nothing of it. Fields of `CudaFrame`; coded:
    (width, height). first: its planes."""

    coded: tuple[int, int]
    shown: tuple[int, int]
    orientation: Orientation
    matrix: int
    full_range: bool
    bits: int
    siting: tuple[float, float]
    first: tuple[NDArray[Any], NDArray[Any]]

    @classmethod
    def of(cls, frame: CpuFrame) -> Look:
        coded = frame.coded
        luma, chroma = host_planes(as_coded_for_the_card(frame))
        return cls(
            (coded.width, coded.height),
            (frame.width, frame.height),
            frame.orientation,
            int(coded.colorspace),
            coded.color_range == ColorRange.JPEG,
            bits_of(coded),
            chroma_siting(coded),
            (luma.copy(), chroma.copy()),
        )

    @property
    def nbytes(self) -> int:
        return self.coded[0] * self.coded[1] * (1 + (self.bits > 8)) * 3 // 2

    def frame(self, planes: Array) -> CudaFrame:
        """NVDEC's (3 h / 2, w) as a frame."""
        height = planes.shape[0] * 2 // 3
        return CudaFrame(
            planes[:height],
            planes[height:],
            self.matrix,
            self.full_range,
            self.orientation,
            self.shown,
            self.bits,
            self.siting,
        )


class NvdecDecoder(OnePass):
    """`Decoder` by NVDEC. At most `look_ahead` / `config.streams` bytes of decoded frames lie ahead of the piece that
    is handed out, and no less than one piece, whatever it takes; each session takes memory for up to BLOCK frames more.

    A run of which NVDEC does not give each packet's frame is decoded by PyAV. Where NVDEC fails altogether, or the run
    is too long to be in memory, PyAV reads the film again from its beginning and goes on behind the last frame that
    was handed out: as the CPU column has it, and at its speed. So it is, too, where the first frame is not to the bit
    FFmpeg's: decoding has one right answer, and a crop, a stride or a race that went wrong shows there.
    """

    def __init__(self, path: Path, video: Video, config: DecodeConfig, look: Look, nvdec: Nvdec) -> None:
        super().__init__(path, config.batch)
        self.video = video
        self._config, self._look, self._nvdec = config, look, nvdec
        self._container, self._stream = open_source(path, threads=1)
        self._claims, self._tally = read_claims(self._container, self._stream), Tally()
        self._timeline = Timeline(self._claims, self._stream.time_base)
        streams = max(1, config.streams)
        self._budget = nvdec.look_ahead // streams
        self._sessions = [
            Session(nvdec.library, nvdec.card, video.codec, nvdec.open_lane())
            for _ in range(max(1, nvdec.capability.engines // streams))
        ]
        self._repaired = 0
        self._upload: Uploader | None = None
        self._chain = self._on_card()

    def _frames(self) -> Generator[tuple[CudaFrame, float], None, None]:
        try:
            yield from self._chain
            if self._repaired:
                self.report.notes.append(f"{count(self._repaired, 'run')} that NVDEC did not decode whole went by PyAV")
            conclude(self.report, self._tally, self._timeline, self._claims, self._path)
        except Unusable as reason:
            self._release()
            yield from self._by_pyav(str(reason))

    def _release(self) -> None:
        self._chain.close()
        for session in self._sessions:
            session.close()
        self._sessions = []
        if self._upload is not None:
            self._upload.close()
        if self._container is not None:
            self._container.close()
        self._container = self._stream = None

    def _on_card(self) -> Generator[tuple[CudaFrame, float], None, None]:
        """Frames and their seconds. Raises Unusable behind the last one that is sure."""
        changed = False
        for pts, frame in self._decoded():
            if self._tally.pictures == 0:
                self._compare(frame)
            self._tally.pictures += 1
            seconds = self._timeline.next(pts)
            coded = (frame.luma.shape[1], frame.luma.shape[0])
            if coded != self._look.coded and not changed:
                changed = True
                self.report.warnings.append(another_size(self._look.coded, coded, seconds))
            yield frame, seconds

    def _compare(self, frame: CudaFrame) -> None:
        """Raise Unusable for a first frame that is not the CPU column's."""
        for found, expected in zip((frame.luma, frame.chroma), self._look.first, strict=True):
            if not np.array_equal(self._nvdec.to_numpy(found), expected):
                raise Unusable("its first frame by NVDEC is another than by FFmpeg")

    def _decoded(self) -> Iterator[tuple[int | None, CudaFrame]]:
        """Several pieces at once, their frames in order."""
        flight: deque[tuple[Piece, Future[list[Decoded]]]] = deque()
        room = self._budget
        try:
            for piece in self._pieces():
                size = len(piece.owed) * self._look.nbytes
                while flight and (len(flight) > len(self._sessions) or size > room):
                    room += len(flight[0][0].owed) * self._look.nbytes
                    yield from self._of_piece(*flight.popleft())
                flight.append((piece, self._sessions[piece.run % len(self._sessions)].submit(piece)))
                room -= size
            while flight:
                yield from self._of_piece(*flight.popleft())
        finally:
            for _, future in flight:
                future.cancel()

    def _of_piece(self, piece: Piece, future: Future[list[Decoded]]) -> Iterator[tuple[int | None, CudaFrame]]:
        try:
            frames = future.result()
        except Damaged:
            if not (piece.first and piece.last):
                raise
            repaired = repair(piece, self._stream, self._tally, self._timeline)
            self._repaired += 1
            pictures = [CpuFrame(frame, self._look.orientation, self._look.shown) for frame in repaired]
            on_card = self._uploader()(pictures)
            yield from zip((frame.pts for frame in repaired), on_card, strict=True)
        else:
            yield from ((pts, self._look.frame(planes)) for pts, planes in frames)

    def _pieces(self) -> Iterator[Piece]:
        """Runs so short that all sessions find one within the budget, where the film's seams allow it."""
        fit = self._budget // self._look.nbytes
        length = max(1, min(LENGTH, fit // (len(self._sessions) + 1)))
        most = max(1, min(4 * LENGTH, fit // 2))
        packets = read_packets(self._path, self._container, self._stream, self._tally)
        codec = self.video.codec
        for piece in cut(as_nvdec_reads(packets, codec, self._stream), codec, length, most):
            if not piece.matchable:
                raise Unusable("its packets have no presentation times, or two the same")
            if codec == "h264" and piece.first and not frames_only(piece.parameters):
                raise Unusable("its sequence header allows fields, of which NVDEC would make other pictures than PyAV")
            if piece.run == 0 and piece.first and not piece.last and len(self._sessions) > 1:
                self.report.notes.append(
                    f"its first {len(piece.packets)} packets have no seam at which a second NVDEC session could begin; "
                    "such stretches are decoded by one"
                )
            yield piece

    def _uploader(self) -> Uploader:
        """One for the whole pass: its pinned memory must outlive the copies from it."""
        self._upload = self._upload or Uploader(self._nvdec.open_lane())
        return self._upload

    def _by_pyav(self, reason: str) -> Iterator[tuple[CudaFrame, float]]:
        """What is left of the film, and the account of all of it."""
        last = self._timeline.seconds
        begin = "" if last is None else f" behind {last:.1f} s"
        self.report.notes.append(f"decoded by PyAV and uploaded{begin}: {reason}")
        on_cpu, upload = PyAvDecoder(self._path, self.video.id, self._config), self._uploader()
        try:
            for batch in on_cpu:
                left = [i for i, seconds in enumerate(batch.seconds) if last is None or seconds > last]
                if left:
                    yield from zip(upload([batch.pixels[i] for i in left]), batch.seconds[left].tolist(), strict=True)
        finally:
            on_cpu.close()
        self.report.lost, self.report.warnings = on_cpu.report.lost, on_cpu.report.warnings
