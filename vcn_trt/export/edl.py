"""CMX 3600 edit decision lists. Our own writer: OpenTimelineIO's takes every 29.97 for drop-frame and writes no FCM."""

from __future__ import annotations

from vcn_trt.export.text import reel
from vcn_trt.export.timeline import Event, Timeline

RESOLVE = {"MAGENTA": "Fuchsia"}
"""Marker colours that DaVinci Resolve calls otherwise."""


def write(timeline: Timeline) -> str:
    """Clips as events with source and record timecode, outs exclusive, the clip's name and the person in comments.

    Markers as one-frame events, each with the two forms that systems read: `* LOC:` (Avid) and Resolve's line, in which
    D is the length in frames.
    """
    lines = [f"TITLE: {timeline.name}", f"FCM: {'DROP' if timeline.clock.drop else 'NON-DROP'} FRAME", ""]
    for number, event in enumerate(timeline.events, 1):
        length = 1 if timeline.media else event.length
        times = (
            event.media.timecode(event.source_in),
            event.media.timecode(event.source_in + length),
            timeline.timecode(event.record_in),
            timeline.timecode(event.record_in + length),
        )
        lines.append(f"{number:03d}  {reel(event.media.reel):8} V     C        {' '.join(times)}")
        lines.append(f"* FROM CLIP NAME:  {event.clip_name}")
        lines += _marker(event, timeline) if timeline.media else [f"* COMMENT: {event.label}"]
        lines.append("")
    return "\n".join(lines)


def _marker(event: Event, timeline: Timeline) -> list[str]:
    colour = RESOLVE.get(event.colour, event.colour.capitalize())
    name = event.label.replace("|", "/")  # it parts the fields of the line
    return [
        f"* LOC: {timeline.timecode(event.record_in)} {event.colour:7} {event.label}",
        f"{name} |C:ResolveColor{colour} |M:{name} |D:{event.length}",
    ]
