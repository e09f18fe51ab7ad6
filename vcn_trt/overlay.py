"""A video with its faces boxed and named (`vcn overlay`): every frame at its own time, the sound copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from vcn_trt import draw
from vcn_trt.answer import Answer
from vcn_trt.backends.cpu.container import open_source, read_claims
from vcn_trt.backends.cpu.decode import open_decoder
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import RunError, UsageError
from vcn_trt.export.files import replacing
from vcn_trt.export.text import one_line
from vcn_trt.types import UNKNOWN, Faces, Video

SUFFIXES = (".mp4", ".mov", ".mkv")
QUALITY = {"crf": "20", "preset": "veryfast"}
"""Of libx264: near to transparent, and as fast as the drawing."""


def render(
    answer: Answer,
    video: Video,
    source: Path,
    out: Path,
    known: Mapping[int, str | None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str | None:
    """Draw one video. It is written whole or not at all; memory holds some frames and the table of faces.

    known: the clusters' names. -> why the sound could not be copied, None where it was or there is none. Raises
    VideoError where the video cannot be decoded, RunError where `out` cannot be written, UsageError for its suffix.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"an overlay is written as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, found {out.name!r}")
    decode = DecodeConfig(**answer.record["config"]["decode"])  # fields of interlaced film are counted as it says
    with ExitStack() as stack:
        scratch = stack.enter_context(replacing(out))
        container, stream = open_source(source, 1)
        stack.enter_context(container)
        claims = read_claims(container, stream)
        decoder = stack.enter_context(closing(open_decoder(source, video.id, decode)))
        try:
            with av.open(str(scratch), "w") as target:
                sheet = _Sheet(target, decoder.video, stream.time_base)
                sound, problem = _sound(container, target)
                packets = _packets(container, sound, claims.origin or Fraction(0)) if sound else iter(())
                waiting = next(packets, None)
                labelled = _by_frame(answer, video, known)
                for batch in decoder:
                    for pixels, index, seconds in zip(batch.pixels, batch.frame_indices, batch.seconds, strict=True):
                        sheet.add(pixels.rgb(), labelled(int(index)), float(seconds))
                        # The sound goes along, so that neither waits in memory for the other.
                        while waiting is not None and waiting[0] <= seconds:
                            target.mux(waiting[1])
                            waiting = next(packets, None)
                    progress(int(batch.frame_indices[-1]) + 1, video.frames)
                sheet.close()
                while waiting is not None:
                    target.mux(waiting[1])
                    waiting = next(packets, None)
        except av.error.FFmpegError as error:
            raise RunError(f"{out} cannot be written ({error.strerror}): give another place with --out") from error
    return problem


class _Sheet:
    """The picture stream being written."""

    def __init__(self, target: Any, video: Video, step: Fraction) -> None:
        """step: the time base of the source, in which every time of its frames is a whole number."""
        # A line more to the right or below where a side is odd: 4:2:0 halves both.
        self._target, self._step, self._last = target, step, -1
        self._width, self._height = (n + n % 2 for n in (video.width, video.height))
        self._matrix = Colorspace.ITU709 if self._height >= 720 else Colorspace.ITU601
        self._font = draw.font()
        self._stream = target.add_stream("libx264", rate=video.fps, options=QUALITY)
        self._stream.width, self._stream.height, self._stream.pix_fmt = self._width, self._height, "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = step
        codec.colorspace, codec.color_range = (1 if self._height >= 720 else 6), ColorRange.MPEG  # H.273's numbers

    def add(self, picture: NDArray[np.uint8], labels: Iterator[draw.Label], seconds: float) -> None:
        """picture: (h, w, 3) RGB, drawn into."""
        draw.labels(picture, labels, self._font)
        below, right = self._height - picture.shape[0], self._width - picture.shape[1]
        if below or right:
            picture = np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=self._matrix, dst_color_range=ColorRange.MPEG
        )
        self._last = max(self._last + 1, round(seconds / float(self._step)))
        frame.pts, frame.time_base = self._last, self._step
        self._target.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write the frames that the encoder still holds."""
        self._target.mux(self._stream.encode(None))


def _by_frame(answer: Answer, video: Video, known: Mapping[int, str | None]) -> Callable[[int], Iterator[draw.Label]]:
    """The labels of a frame, by its number."""
    faces: Faces = answer.tracks.faces[answer.tracks.faces.video == video.id]
    faces = faces[np.argsort(faces.frame, kind="stable")]
    people, status = answer.people.labels, answer.tracks.tracks.status

    def labelled(frame: int) -> Iterator[draw.Label]:
        for i in range(*np.searchsorted(faces.frame, [frame, frame + 1]).tolist()):
            track = int(faces.track[i])
            number = int(people[track])
            name = known.get(number)
            text = f"#{number}" + (f" {one_line(name)}" if name else "")
            if number == UNKNOWN:
                text = f"Unknown ({status[track]})"
            yield draw.Label(tuple(faces.box[i].tolist()), text, draw.colour_of(number))

    return labelled


def _sound(container: Any, target: Any) -> tuple[Any, str | None]:
    """A copy of the first sound track in `target`, as (given, copied) streams; why not, where it cannot be."""
    given = container.streams.best("audio")
    if given is None:
        return None, None
    name = given.codec_context.name if given.codec_context else "of unknown codec"
    try:
        if name not in target.supported_codecs:
            raise ValueError(name)
        return (given, target.add_stream_from_template(given)), None
    except (av.error.FFmpegError, ValueError):
        return None, f"the sound ({name}) cannot be copied into {target.format.name}: give --out a name in .mkv or .mov"


def _packets(container: Any, sound: tuple[Any, Any], origin: Fraction) -> Iterator[tuple[float, Any]]:
    """The sound's packets and their seconds from the container's start."""
    given, copied = sound
    shift = round(origin / given.time_base)
    try:
        for packet in container.demux(given):
            if packet.dts is None:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copied
            yield float(packet.dts * given.time_base), packet
    except av.error.FFmpegError:
        return  # A damaged end: the picture has what could be decoded, and so has the sound.
