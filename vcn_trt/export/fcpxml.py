"""Final Cut Pro's FCPXML 1.9, which Resolve reads as well. Our own writer: OpenTimelineIO's adapter cuts 23.976 to 23
(its issue 903). Every time is an exact fraction of a second."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path

import av
import av.error

from vcn_trt.export.text import one_line
from vcn_trt.export.timeline import Event, Timeline
from vcn_trt.media import Media
from vcn_trt.timecode import Clock


def write(timeline: Timeline) -> str:
    """A project: asset clips on the spine, each range a marker at its beginning and a keyword over its length."""
    clock = timeline.clock
    root = ET.Element("fcpxml", version="1.9")
    resources = ET.SubElement(root, "resources")
    assets: dict[int, str] = {}
    for media, *_ in timeline.clips():
        if media.video.id not in assets:
            assets[media.video.id] = f"r{2 * len(assets) + 2}"
            _asset(resources, media, assets[media.video.id])
    event = ET.SubElement(root, "event", name=timeline.name)
    project = ET.SubElement(event, "project", name=timeline.name)
    counting = "DF" if clock.drop else "NDF"
    sequence = ET.SubElement(
        project,
        "sequence",
        format=f"{next(iter(assets.values()))}f",
        duration=_time(clock, timeline.length),
        tcStart=_time(clock, timeline.start),
        tcFormat=counting,
    )
    spine = ET.SubElement(sequence, "spine")
    for media, source_in, length, record_in, found in timeline.clips():
        clip = ET.SubElement(
            spine,
            "asset-clip",
            ref=assets[media.video.id],
            name=one_line(media.name),
            offset=_time(clock, timeline.start + record_in),
            start=_time(clock, media.start + source_in),
            duration=_time(clock, length),
            tcFormat=counting,
        )
        for marked in (found,) if found else timeline.events:
            _marks(clip, clock, media, marked)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{ET.tostring(root, encoding="unicode")}\n'


def _asset(resources: ET.Element, media: Media, name: str) -> None:
    clock, video = media.clock, media.video
    ET.SubElement(
        resources,
        "format",
        id=f"{name}f",
        frameDuration=_time(clock, 1),
        width=str(video.width),
        height=str(video.height),
    )
    asset = ET.SubElement(
        resources,
        "asset",
        id=name,
        name=one_line(media.name),
        start=_time(clock, media.start),
        duration=_time(clock, media.length),
        hasVideo="1",
        format=f"{name}f",
    )
    if _has_sound(media.path):
        asset.set("hasAudio", "1")
    ET.SubElement(asset, "media-rep", kind="original-media", src=media.path.as_uri())
    metadata = ET.SubElement(asset, "metadata")
    ET.SubElement(metadata, "md", key="com.apple.proapps.studio.reel", value=one_line(media.reel))


def _marks(clip: ET.Element, clock: Clock, media: Media, event: Event) -> None:
    start = _time(clock, media.start + event.source_in)
    ET.SubElement(clip, "marker", start=start, duration=_time(clock, 1), value=event.label)
    ET.SubElement(clip, "keyword", start=start, duration=_time(clock, event.length), value=event.label)


def _time(clock: Clock, frames: int) -> str:
    """Frames as seconds, over the rate's own denominator: 1001/24000s."""
    seconds = Fraction(frames) / clock.fps
    if seconds.denominator == 1:
        return f"{seconds.numerator}s"
    scale = clock.fps.numerator
    return f"{frames * clock.fps.denominator}/{scale}s"


def _has_sound(path: Path) -> bool:
    """Whether the file has sound; so it is said of one that is not here, as nearly every film has."""
    try:
        with av.open(str(path)) as container:
            return len(container.streams.audio) > 0
    except (av.error.FFmpegError, OSError, ValueError):
        return True
