"""WebVTT: who is on screen, as captions under a video in any player."""

from __future__ import annotations

from collections.abc import Sequence

from vcn_trt.export.text import one_line
from vcn_trt.find import Range
from vcn_trt.media import Media

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def write(ranges: Sequence[Range], media: Media) -> str:
    """A cue a range of this video, in order of time. Times are the video's own, to the nearest millisecond, which tells
    every frame apart up to 500 a second."""
    cues = sorted((r for r in ranges if r.video == media.video.id), key=lambda r: (r.start, r.stop))
    lines = ["WEBVTT", "", f"NOTE {_escaped(media.name)}", ""]
    for number, found in enumerate(cues, 1):
        times = f"{_clock(media.seconds(found.start))} --> {_clock(media.seconds(found.stop))}"
        lines += [str(number), times, _escaped(found.label), ""]
    return "\n".join(lines)


def _escaped(name: str) -> str:
    """Text of a cue. A comment must not hold an arrow either: neither can, without a bare `>`."""
    return "".join(_ESCAPES.get(c, c) for c in one_line(name))


def _clock(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
