"""Ranges laid out for an editing system: clips end to end on one timeline, or markers along each video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vcn_trt.errors import UsageError
from vcn_trt.export.text import one_line
from vcn_trt.find import Range
from vcn_trt.media import Media
from vcn_trt.timecode import Clock

Layout = Literal["clips", "markers"]
COLOURS = ("RED", "GREEN", "BLUE", "CYAN", "MAGENTA", "YELLOW")
"""The marker colours that all systems have, by a person's number."""


@dataclass(frozen=True)
class Event:
    """A range on a timeline. source_in, source_out: frames of its media, record_in, record_out: of the timeline; all
    from 0, outs exclusive."""

    media: Media
    range: Range
    source_in: int
    source_out: int
    record_in: int

    @property
    def length(self) -> int:
        return self.source_out - self.source_in

    @property
    def record_out(self) -> int:
        return self.record_in + self.length

    @property
    def label(self) -> str:
        return one_line(self.range.label)

    @property
    def clip_name(self) -> str:
        return one_line(self.media.name)

    @property
    def colour(self) -> str:
        return COLOURS[(self.range.people[0] - 1) % len(COLOURS)]


@dataclass(frozen=True)
class Timeline:
    """Events of one rate. start: the number of the first frame on `clock`, its record timecode. media: the video that
    the markers lie on; None where the events are clips."""

    name: str
    clock: Clock
    start: int
    events: tuple[Event, ...]
    media: Media | None

    @property
    def length(self) -> int:
        return self.media.length if self.media else max(e.record_out for e in self.events)

    def timecode(self, frame: int) -> str:
        """Record timecode of a frame from 0."""
        return self.clock.text(self.start + frame)

    def clips(self) -> Iterator[tuple[Media, int, int, int, Event | None]]:
        """What lies on the timeline: media, source in, length, record in, and the event that it is. Under markers the
        whole video lies."""
        if self.media:
            yield self.media, 0, self.media.length, 0, None
        for event in () if self.media else self.events:
            yield event.media, event.source_in, event.length, event.record_in, event


def lay_out(
    ranges: Iterable[Range], media: Sequence[Media], layout: Layout, name: str, record_start: str = "01:00:00:00"
) -> list[Timeline]:
    """Clips: one timeline for each rate and way of counting among the videos (a timeline has one), its record timecode
    from `record_start`. Markers: one for each video with a range, at the video's own timecode.

    Raises UsageError where `record_start` is no timecode at a rate.
    """
    name = one_line(name)
    events = [(media[r.video], r, *media[r.video].span(r.start, r.stop)) for r in ranges]
    if layout == "markers":
        return [
            Timeline(
                f"{name} {one_line(m.name)}" if len(media) > 1 else name,
                m.clock,
                m.start,
                tuple(sorted((Event(*e, e[2]) for e in events if e[0] is m), key=lambda e: e.record_in)),
                m,
            )
            for m in media
            if any(e[0] is m for e in events)
        ]
    clocks = list(dict.fromkeys(m.clock for m, *_ in events))
    timelines = []
    for clock in clocks:
        laid: list[Event] = []
        for event in (e for e in events if e[0].clock == clock):
            laid.append(Event(*event, laid[-1].record_out if laid else 0))
        titled = f"{name} {rate_name(clock)}" if len(clocks) > 1 else name
        timelines.append(Timeline(titled, clock, _start(clock, record_start), tuple(laid), None))
    return timelines


def rate_name(clock: Clock) -> str:
    """As 25, 23.976 or 29.97df."""
    return f"{float(clock.fps):.3f}".rstrip("0").rstrip(".") + ("df" if clock.drop else "")


def _start(clock: Clock, text: str) -> int:
    try:
        return clock.frame(text)
    except ValueError as error:
        raise UsageError(f"the record timecode cannot begin there: {error}") from error
