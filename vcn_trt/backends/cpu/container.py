"""Opening a video file: which stream is the picture, what the container claims of it, and why a file cannot be used."""

from __future__ import annotations

import errno
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import av.logging

from vcn_trt.errors import VideoError

_MICROSECOND = Fraction(1, 1_000_000)
_MP4_BOXES = (b"ftyp", b"mdat", b"wide", b"free")
_STANDARD_RATES = {Fraction(n) for n in (12, 15, 24, 25, 30, 48, 50, 60)} | {
    Fraction(n * 1000, 1001) for n in (12, 15, 24, 30, 48, 60)
}
_GONE = {errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT}


class Claims(NamedTuple):
    """What the container says, not to be trusted. frames: its count, or an estimate from the duration; promised: its
    count alone; these and seconds are 0 where unknown. origin: the presentation time that counts as 0 seconds; None
    takes the first frame's."""

    fps: Fraction
    frames: int
    promised: int
    seconds: float
    origin: Fraction | None
    timecode: str | None
    reel: str | None
    codec: str


def open_source(path: Path, threads: int) -> tuple[Any, Any]:
    """The open container and its picture stream (the one players choose; never a cover image). Raises VideoError, and
    OSError where the disk is gone."""
    head = _first_bytes(path)
    try:
        # An absolute name cannot be taken for a protocol ("a:b.mp4"); a playlist must not reach out to the network.
        container = av.open(
            str(path.resolve()),
            metadata_errors="replace",
            container_options={"protocol_whitelist": "file,crypto,data"},
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise_if_gone(path, error)
        if head[4:8] in _MP4_BOXES:
            raise VideoError(_without_index(path)) from error
        reason = getattr(error, "strerror", None) or error
        raise VideoError(
            f"{path} is not a video that can be read ({reason}). Expected a film, e.g. MP4, MOV or MKV."
        ) from error
    try:
        stream = _picture_stream(path, container)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        if stream.codec_context.name == "libdav1d":
            # With frames in flight an error takes the good ones behind it along: 3 of 45 came from a damaged file.
            stream.codec_context.options = {"max_frame_delay": "1"}
    except BaseException:
        container.close()
        raise
    return container, stream


def read_claims(container: Any, stream: Any) -> Claims:
    """The container's account of the stream."""
    duration = Fraction(0)
    if stream.duration:
        duration = stream.duration * stream.time_base
    elif container.duration:
        duration = container.duration * _MICROSECOND
    # The tmcd track of a MOV is a stream of its own.
    tagged = [stream, container, *container.streams]
    return Claims(
        fps=frame_rate(stream.average_rate, stream.guessed_rate),
        frames=stream.frames or max(0, round(duration * (stream.average_rate or 0))),
        promised=stream.frames,
        seconds=float(duration),
        origin=_origin(container, stream),
        timecode=_tag(tagged, "timecode"),
        reel=_tag(tagged, "reel_name", "com.apple.proapps.studio.reel"),
        codec=str(stream.codec_context.codec.canonical_name),
    )


def _tag(tagged: list[Any], *names: str) -> str | None:
    """The first of these metadata that a stream or the container has. Matroska gives its names back in capitals."""
    tags = [{key.lower(): value for key, value in one.metadata.items()} for one in tagged]
    return next((tag[name] for name in names for tag in tags if tag.get(name)), None)


def raise_if_gone(path: Path, error: Exception) -> None:
    """Raise OSError where this error is the disk's and not the film's: a network disk that drops makes no short film
    and no bad one. The run fails, and goes on once the disk is back."""
    number = getattr(error, "errno", None)
    if number in _GONE:
        reason = f"{os.strerror(number)}: the disk failed while the film was read. Check it and run again"
        raise OSError(number, reason, str(path)) from error


def frame_rate(average: Fraction | None, guessed: Fraction | None) -> Fraction:
    """The rate of the timeline. The guess (the grid that all presentation times fit) holds where it is a standard rate
    or near the average: so 24 for a film with dropped frames. Else it is a clock's, and the average holds."""
    if guessed and (not average or guessed in _STANDARD_RATES or abs(guessed / average - 1) < Fraction(1, 100)):
        return guessed
    return average or Fraction(25)


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.exists():
            raise VideoError(f"{path} does not exist. Check the name.")
        if path.is_dir():
            raise VideoError(f"{path} is a folder; expected a video file. Name the files in it.")
        if not path.is_file():
            raise VideoError(f"{path} is not a regular file; expected a video file.")
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise_if_gone(path, error)
        raise VideoError(f"{path} cannot be read ({error.strerror}). Check its permissions and the disk.") from error
    if not head:
        raise VideoError(f"{path} is empty (0 bytes). Copy it again.")
    return head


def _picture_stream(path: Path, container: Any) -> Any:
    if container.format.name == "tty":  # FFmpeg renders any .txt as a film of a terminal.
        raise VideoError(f"{path} is text; expected a video.")
    videos = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not container.streams and "mp4" in container.format.name:
        raise VideoError(_without_index(path))
    if not videos:
        kinds = sorted({s.type for s in container.streams if s.type != "video"})
        held = [*kinds, "a cover image"] if len(container.streams.video) else kinds
        found = f"only {' and '.join(held)}" if held else "no stream"
        raise VideoError(f"{path} holds no video: {found} was found ({container.format.long_name}).")
    decodable = [s for s in videos if s.codec_context is not None]
    if not decodable:
        raise VideoError(
            f"{path} is in a codec that this FFmpeg cannot decode: {_codec_by_log(path)}. Transcode it, e.g. to H.264."
        )
    best = container.streams.best("video")
    return best if best in decodable else max(decodable, key=lambda s: s.codec_context.width * s.codec_context.height)


def _without_index(path: Path) -> str:
    return (
        f"{path} is an MP4 or MOV file without its index (moov): the recording or the copy was cut short. "
        "Copy it again, or rebuild the index with a repair tool (untrunc)."
    )


def _codec_by_log(path: Path) -> str:
    """PyAV hides the name of a codec that it has no decoder for; FFmpeg's log tells it."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as messages, av.open(str(path.resolve())):
            pass
    finally:
        av.logging.set_level(level)
    named = [match[1] for _, _, text in messages if (match := re.search(r"\(Video: (.*)\): unknown codec", text))]
    return named[0] if named else "it is not named"


def _origin(container: Any, stream: Any) -> Fraction | None:
    if container.format.name == "avi":
        return None  # AVI holds no presentation times; FFmpeg's come late by the codec's delay.
    start = (container.start_time or 0) * _MICROSECOND
    own = Fraction(0) if stream.start_time is None else Fraction(stream.start_time * stream.time_base)
    if abs(own - start) <= _MICROSECOND:
        return own  # The container rounds its start to microseconds.
    # A sound track may start below 0 (its decoder's warm-up, never heard): that moves no picture.
    return start if start > 0 else min(Fraction(0), own)
