"""OpenTimelineIO's own format: the timeline with clips, media, reels, and a marker for each range."""

from __future__ import annotations

from typing import Any

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange

from vcn_trt.export.text import one_line
from vcn_trt.export.timeline import Event, Timeline
from vcn_trt.media import Media
from vcn_trt.timecode import Clock

KEY = "vcn-trt"


def write(timeline: Timeline) -> str:
    return str(otio.adapters.write_to_string(build(timeline), "otio_json")) + "\n"


def build(timeline: Timeline) -> Any:
    """The timeline as OpenTimelineIO's objects. Times count frames at the timeline's rate; those of media include the
    start timecode. Markers stand on their clip, in source time."""
    clock = timeline.clock
    built = otio.schema.Timeline(timeline.name, global_start_time=RationalTime(timeline.start, float(clock.fps)))
    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    built.tracks.append(track)
    for media, source_in, length, _, event in timeline.clips():
        clip = otio.schema.Clip(
            one_line(media.name),
            _reference(media),
            span(clock, media.start + source_in, length),
            {"cmx_3600": {"reel": one_line(media.reel)}},
        )
        if event:
            clip.metadata[KEY] = about(event)
        for marked in (event,) if event else timeline.events:
            where = span(clock, media.start + marked.source_in, marked.length)
            clip.markers.append(otio.schema.Marker(marked.label, where, marked.colour, {KEY: about(marked)}))
        track.append(clip)
    return built


def span(clock: Clock, start: int, length: int) -> Any:
    """A time range in frames."""
    rate = float(clock.fps)
    return TimeRange(RationalTime(start, rate), RationalTime(length, rate))


def about(event: Event) -> dict[str, Any]:
    """What the run knows of a range, for whoever reads the metadata."""
    found = event.range
    return {
        "people": event.label,
        "clusters": list(found.people),
        "tracks": list(found.tracks),
        "shot": found.shot,
        "frames": [found.start, found.stop],
    }


def _reference(media: Media) -> Any:
    reference = otio.schema.ExternalReference(media.path.as_uri(), span(media.clock, media.start, media.length))
    reference.name = one_line(media.name)
    return reference
