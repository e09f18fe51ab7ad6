"""Final Cut Pro 7 XML, which Premiere and Resolve read, by OpenTimelineIO's adapter."""

from __future__ import annotations

import opentimelineio as otio

from vcn_trt.export.otio import build, span
from vcn_trt.export.text import one_line
from vcn_trt.export.timeline import Timeline


def write(timeline: Timeline) -> str:
    """A sequence with its clips, and sequence markers: the format counts those from the sequence's first frame, so that
    they need no timecode. The person stands in a clip's comment, too."""
    built = build(timeline)
    counting = {"displayformat": "DF" if timeline.clock.drop else "NDF"}
    video = next(timeline.clips())[0].video
    size = {"width": str(video.width), "height": str(video.height)}
    # Without a size Premiere takes 640x480 for the sequence.
    picture = {"format": {"samplecharacteristics": size}}
    built.metadata["fcp_xml"] = {"timecode": counting, "media": {"video": picture}}
    for number, (clip, laid) in enumerate(zip(built.tracks[0], timeline.clips(), strict=True), 1):
        media, _, _, _, event = laid
        del clip.markers[:]
        reel = {"name": one_line(media.reel)}
        clip.media_reference.metadata["fcp_xml"] = {"timecode": {**counting, "reel": reel}}
        # The adapter writes equal clips once and refers to the first: the number keeps a clip that comes twice.
        clip.metadata["fcp_xml"] = {
            "comments": {"mastercomment1": event.label if event else "", "clipcommenta": str(number)}
        }
    for event in timeline.events:
        where = span(timeline.clock, event.record_in, event.length)
        note = {"comment": f"{event.clip_name}, shot {event.range.shot}"}
        built.tracks.markers.append(otio.schema.Marker(event.label, where, event.colour, {"fcp_xml": note}))
    return str(otio.adapters.write_to_string(built, "fcp_xml"))
