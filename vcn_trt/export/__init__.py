"""What a run hands on (`vcn export`): a short file a format; here is what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vcn_trt import labels
from vcn_trt.answer import Answer
from vcn_trt.errors import UsageError, VcnError
from vcn_trt.export import edl, fcp7xml, fcpxml, otio, ranges, spreadsheet, truth, webvtt
from vcn_trt.export.files import places, write_all
from vcn_trt.export.timeline import Layout, Timeline, lay_out, rate_name
from vcn_trt.find import Range
from vcn_trt.media import Media

SUFFIXES = {
    "otio": ".otio",
    "edl": ".edl",
    "fcpxml": ".fcpxml",
    "fcp7xml": ".xml",
    "csv": ".csv",
    "json": ".json",
    "vtt": ".vtt",
    "labels": ".labels.json",
}
TIMELINES: Mapping[str, Callable[[Timeline], str]] = {
    "otio": otio.write,
    "edl": edl.write,
    "fcpxml": fcpxml.write,
    "fcp7xml": fcp7xml.write,
}
"""The formats of which one file holds one timeline."""


def export(
    answer: Answer,
    found: Sequence[Range],
    media: Sequence[Media],
    form: str,
    out: Path,
    *,
    layout: Layout = "markers",
    name: str = "",
    record_start: str = "01:00:00:00",
    force: bool = False,
) -> list[Path]:
    """Write ranges in one of `SUFFIXES`' formats to `out`; where several files are needed (a timeline a video or rate,
    captions a video), each beside it. -> the files written

    Raises UsageError for another format, RunError where a file is there already or cannot be written, VcnError where
    there is nothing to write.
    """
    if form not in SUFFIXES:
        raise UsageError(f"there is no format {form!r}; expected one of {', '.join(SUFFIXES)}")
    if not found:
        raise VcnError("there is nothing to export: no range holds what was asked for; nothing was written")
    timelines = lay_out(found, media, layout, name or answer.folder.resolve().name, record_start)
    documents: list[tuple[str, str]]
    if form in TIMELINES:
        documents = [(_tag(t), TIMELINES[form](t)) for t in timelines]
    elif form == "csv":
        documents = [("", spreadsheet.write(timelines))]
    elif form == "json":
        documents = [("", ranges.write(timelines, media))]
    else:
        shown = [m for m in media if any(r.video == m.video.id for r in found)]
        documents = [(Path(m.name).stem, webvtt.write(found, m)) for m in shown]
    return _save(documents, out, force)


def export_labels(answer: Answer, known: Mapping[int, str | None], out: Path, *, force: bool = False) -> list[Path]:
    """The whole answer as labels, a file a video. -> the files written"""
    tracks, people = answer.tracks, answer.people.labels
    documents = [
        (Path(video.path).stem, labels.text(truth.labels_of(tracks, people, known, video, out)) + "\n")
        for video in tracks.videos
    ]
    return _save(documents, out, force)


def _tag(timeline: Timeline) -> str:
    return Path(timeline.media.name).stem if timeline.media else rate_name(timeline.clock)


def _save(documents: Sequence[tuple[str, str]], out: Path, force: bool) -> list[Path]:
    paths = places(out, [tag for tag, _ in documents])
    write_all({path: text for path, (_, text) in zip(paths, documents, strict=True)}, force)
    return paths
