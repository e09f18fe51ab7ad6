"""Opening a video file: which stream is the picture, what the container claims of it, and why a file cannot be used."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error

from vcn_trt.errors import VideoError

MICROSECOND = Fraction(1, 1_000_000)
_STANDARD_RATES = {Fraction(n) for n in (12, 15, 24, 25, 30, 48, 50, 60)} | {
    Fraction(n * 1000, 1001) for n in (12, 15, 24, 30, 48, 60)
}


class Claims(NamedTuple):
    """What the container says; none of it is trusted. frames: 0 unknown. seconds: 0 unknown. origin: the presentation time, in
    the stream's clock, that counts as 0 seconds."""

    fps: Fraction
    frames: int
    seconds: float
    origin: Fraction
    timecode: str | None


def open_source(path: Path, threads: int) -> tuple[Any, Any]:
    """The open container and its picture stream (the one players choose; never a cover image). Raises VideoError."""
    head = _first_bytes(path)
    try:
        # An absolute name cannot be taken for a protocol ("a:b.mp4"); a playlist must not reach out to the network.
        container = av.open(
            str(path.resolve()), metadata_errors="replace", container_options={"protocol_whitelist": "file,crypto,data"}
        )
    except (av.error.FFmpegError, ValueError) as error:
        if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
            raise VideoError(
                f"{path} is an MP4/MOV file without its index (moov): the recording or the copy was cut short. "
                "Copy it again, or rebuild the index with a repair tool (untrunc)."
            ) from error
        raise VideoError(
            f"{path} is not a video that can be read ({_reason(error)}). Expected a film, e.g. MP4, MOV, MKV."
        ) from error
    try:
        return container, _picture_stream(path, container, threads)
    except BaseException:
        container.close()
        raise


def read_claims(container: Any, stream: Any) -> Claims:
    """The container's account of the stream."""
    fps = frame_rate(stream.average_rate, stream.guessed_rate)
    duration = Fraction(0)
    if stream.duration:
        duration = stream.duration * stream.time_base
    elif container.duration:
        duration = container.duration * MICROSECOND
    frames = stream.frames or round(duration * (stream.average_rate or 0))
    tags = [
        stream.metadata,
        container.metadata,
        *(other.metadata for other in container.streams if other is not stream),
    ]
    timecode = next((tag["timecode"] for tag in tags if tag.get("timecode")), None)
    return Claims(fps, max(0, frames), float(duration), _origin(container, stream), timecode)


def frame_rate(average: Fraction | None, guessed: Fraction | None) -> Fraction:
    """The rate of the timeline. The guess (the grid that all presentation times fit) holds where it is a standard rate, or near the
    average: so 24 for a film with dropped frames. Else the average: the guess counts fields, or is a clock's. 25 for none."""
    if guessed and (not average or guessed in _STANDARD_RATES or abs(guessed / average - 1) < Fraction(1, 100)):
        return guessed
    return average or Fraction(25)


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise VideoError(f"{path} does not exist. Check the name.")
    if path.is_dir():
        raise VideoError(f"{path} is a folder; expected a video file. Name the files in it.")
    if not path.is_file():
        raise VideoError(f"{path} is not a regular file; expected a video file.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror}). Check its permissions and the disk.") from error
    if not head:
        raise VideoError(f"{path} is empty (0 bytes). Copy it again.")
    return head


def _picture_stream(path: Path, container: Any, threads: int) -> Any:
    if container.format.name == "tty":  # FFmpeg renders any .txt as a film of a terminal.
        raise VideoError(f"{path} is text, not a video.")
    videos = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not videos:
        kinds = sorted({s.type for s in container.streams})
        held = f"only {' and '.join(kinds)}" if kinds else "no stream at all"
        cover = " and a cover image" if len(container.streams.video) else ""
        raise VideoError(f"{path} holds no video: {held}{cover} was found ({container.format.long_name}).")
    decodable = [s for s in videos if s.codec_context is not None]
    if not decodable:
        raise VideoError(
            f"{path} is in a codec that this FFmpeg cannot decode ({_codec(videos[0])}). Transcode it, e.g. to H.264."
        )
    best = container.streams.best("video")
    stream = best if best in decodable else max(decodable, key=lambda s: s.codec_context.width * s.codec_context.height)
    if stream.codec_context.codec_tag.lower() in ("encv", "drmi", "p608"):
        raise VideoError(f"{path} is encrypted ({_codec(stream)}). Expected a file without copy protection.")
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    return stream


def _origin(container: Any, stream: Any) -> Fraction:
    start = (container.start_time or 0) * MICROSECOND
    own = None if stream.start_time is None else stream.start_time * stream.time_base
    if own is not None and abs(own - start) <= MICROSECOND:
        return Fraction(own)  # The container rounds its start to microseconds.
    # A sound track may start below 0 (its decoder's warm-up, never heard): that moves no picture.
    return start if start > 0 else min(Fraction(0), own or Fraction(0))


def _codec(stream: Any) -> str:
    context = stream.codec_context
    return f"{context.name} {context.codec_tag}".strip() if context is not None else repr(stream)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
