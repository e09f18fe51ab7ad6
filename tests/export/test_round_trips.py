"""Every format read back, at every rate, and compared to the frame."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest
from casts import Film, Made, Seen, answer

from vcn_trt import cast, media
from vcn_trt.export import SUFFIXES, export
from vcn_trt.export.timeline import Layout
from vcn_trt.find import Query, Range, appearances
from vcn_trt.timecode import Clock

NTSC = Fraction(1000, 1001)
RATES = {
    "23.976": (24 * NTSC, "01:00:00:00"),
    "24": (Fraction(24), "10:00:00:00"),
    "25": (Fraction(25), None),
    "29.97 drop": (30 * NTSC, "00:59:50;00"),
    "29.97 non-drop": (30 * NTSC, "00:59:50:00"),
    "30": (Fraction(30), "01:02:03:04"),
    "50": (Fraction(50), "09:59:59:49"),
    "59.94 drop": (60 * NTSC, "00:59:55;00"),
    "59.94 non-drop": (60 * NTSC, "00:59:55:00"),
    "60": (Fraction(60), "01:00:00:00"),
}
# Ranges of one frame, at both ends, touching, and over the minutes that drop-frame shortens.
SEEN = (
    Seen(0, 1, 1),
    Seen(1, 20, 2),
    Seen(280, 340, 1),
    Seen(1790, 1810, 2),
    Seen(2098, 2101, 1),
    Seen(3595, 3605, 1),
    Seen(3999, 4000, 2),
)


@pytest.fixture(params=RATES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    fps, timecode = RATES[request.param]
    film = Film("A001C003.mov", fps=fps, frames=4000, cuts=(1000, 3000), timecode=timecode, reel="A001R2")
    return answer(tmp_path / "monday", [film], SEEN, {1: "Anna", 2: "Bert"})


def ranges(made: Made) -> list[Range]:
    clips = media.of(made.tracks)
    return appearances(made.tracks, made.labels, clips, cast.cast(made.names), Query([], gap_seconds=0))


def written(made: Made, form: str, layout: Layout = "clips") -> str:
    out = made.answer.folder / f"{layout}{SUFFIXES[form]}"
    (path,) = export(made.answer, ranges(made), media.of(made.tracks), form, out, layout=layout)
    assert path == out
    return path.read_bytes().decode("utf-8-sig")


def truth(made: Made) -> list[tuple[str, int, int]]:
    names = {1: "Anna", 2: "Bert"}
    return sorted((names[s.cluster], s.start, s.stop) for s in SEEN)


def clock_of(made: Made) -> tuple[Clock, int]:
    video = made.tracks.videos[0]
    clock = Clock(video.fps, ";" in (video.start_timecode or ""))
    return clock, clock.frame(video.start_timecode) if video.start_timecode else 0


def laid(made: Made) -> list[tuple[str, int, int, int]]:
    """(name, start, stop, record in) of clips end to end, person by person."""
    out, record = [], 0
    for name, start, stop in truth(made):
        out.append((name, start, stop, record))
        record += stop - start
    return out


def exactly(value: float) -> int:
    assert value == int(value)
    return int(value)


def test_edl_clips(made: Made) -> None:
    text = written(made, "edl")
    clock, first = clock_of(made)
    assert text.startswith(f"TITLE: monday\nFCM: {'DROP' if clock.drop else 'NON-DROP'} FRAME\n\n")
    form = re.compile(
        r"(\d{3})  A001R2   V     C        (\S+) (\S+) (\S+) (\S+)\n\* FROM CLIP NAME:  (.+)\n\* COMMENT: (.+)"
    )
    record = clock.frame("01:00:00:00")
    found = []
    for number, (event, *times, clip, name) in enumerate(form.findall(text), 1):
        source_in, source_out, record_in, record_out = map(clock.frame, times)
        assert (int(event), clip) == (number, "A001C003.mov")
        assert source_out - source_in == record_out - record_in
        assert all((";" in t) == clock.drop for t in times)
        found.append((name, source_in - first, source_out - first, record_in - record))
    assert found == laid(made)


def test_edl_clips_by_opentimelineios_reader(made: Made) -> None:
    clock, first = clock_of(made)
    # Its drop-frame reading knows 29.97 and 59.94 alone; non-drop names count as at the whole rate.
    rate = float(clock.fps) if clock.drop else float(clock.nominal)
    read = otio.adapters.read_from_string(written(made, "edl"), "cmx_3600", rate=rate)
    (track,) = read.tracks
    found = []
    for clip in track:
        source, record = clip.source_range, clip.range_in_parent()
        begin = exactly(source.start_time.value) - first
        found.append((begin, begin + exactly(source.duration.value), exactly(record.start_time.value)))
        assert clip.name == "A001C003.mov"
        assert clip.metadata["cmx_3600"]["reel"] == "A001R2"
    assert found == [row[1:] for row in laid(made)]


def test_edl_markers(made: Made) -> None:
    clock, first = clock_of(made)
    form = re.compile(
        r"\d{3}  A001R2   V     C        (\S+) (\S+) (\S+) (\S+)\n.*\n\* LOC: (\S+) \S+ +(.+)\n.+\|M:(.+) \|D:(\d+)"
    )
    found = []
    for *times, located, name, again, length in form.findall(written(made, "edl", "markers")):
        start, stop, record_in, record_out = map(clock.frame, times)
        assert (stop, record_in, record_out, clock.frame(located)) == (start + 1, start, start + 1, start)
        assert name == again
        found.append((name, start - first, start - first + int(length)))
    assert sorted(found) == truth(made)


@pytest.mark.parametrize("layout", ["clips", "markers"])
def test_otio(made: Made, layout: Layout) -> None:
    clock, first = clock_of(made)
    read = otio.adapters.read_from_string(written(made, "otio", layout), "otio_json")
    assert read.global_start_time.rate == float(clock.fps)
    assert exactly(read.global_start_time.value) == (first if layout == "markers" else clock.frame("01:00:00:00"))
    (track,) = read.tracks
    found = []
    for clip in track:
        assert (clip.name, clip.metadata["cmx_3600"]["reel"]) == ("A001C003.mov", "A001R2")
        media_range = clip.media_reference.available_range
        assert (media_range.start_time.value, media_range.duration.value) == (first, 4000)
        assert clip.media_reference.target_url == Path("/films/A001C003.mov").as_uri()
        record = exactly(clip.range_in_parent().start_time.value)
        for marker in clip.markers:
            where = marker.marked_range
            begin = exactly(where.start_time.value) - first
            row = (marker.name, begin, begin + exactly(where.duration.value))
            found.append((*row, record) if layout == "clips" else row)
            if layout == "clips":
                assert clip.source_range == where
    assert found == (laid(made) if layout == "clips" else sorted(truth(made), key=lambda r: r[1]))


def test_fcp7xml_clips(made: Made) -> None:
    clock, first = clock_of(made)
    text = written(made, "fcp7xml")
    read = otio.adapters.read_from_string(text, "fcp_xml")
    (track,) = (t for t in read.tracks if t.kind == "Video")
    found = []
    for clip in track:
        begin = exactly(clip.source_range.start_time.value) - first
        name = clip.metadata["fcp_xml"]["comments"]["mastercomment1"]
        record = exactly(clip.range_in_parent().start_time.value)
        found.append((name, begin, begin + exactly(clip.source_range.duration.value), record))
        assert clip.name == "A001C003.mov"
    assert found == laid(made)
    # And by the letter: frames of the file from 0, outs exclusive, the timecode beside.
    tree = ET.fromstring(text)
    items = [[int(c.findtext(k) or "") for k in ("in", "out", "start")] for c in tree.iter("clipitem")]
    assert items == [[a, b, r] for _, a, b, r in laid(made)]
    sequence = tree.find("project/children/sequence")
    assert sequence is not None
    counting = "DF" if clock.drop else "NDF"
    for code, frame in (
        (sequence.find("timecode"), clock.frame("01:00:00:00")),
        (tree.find(".//file/timecode"), first),
    ):
        assert code is not None
        assert (code.findtext("string"), code.findtext("frame")) == (clock.text(frame), str(frame))
        assert code.findtext("displayformat") == counting
    assert tree.findtext(".//file/timecode/reel/name") == "A001R2"
    rate = (tree.findtext(".//clipitem/rate/timebase"), tree.findtext(".//clipitem/rate/ntsc"))
    assert rate == (str(clock.nominal), "FALSE" if clock.fps.denominator == 1 else "TRUE")
    assert sequence.findtext("media/video/format/samplecharacteristics/width") == "320"


def test_fcp7xml_markers(made: Made) -> None:
    tree = ET.fromstring(written(made, "fcp7xml", "markers"))
    found = [
        (m.findtext("name"), int(m.findtext("in") or ""), int(m.findtext("out") or "")) for m in tree.iter("marker")
    ]
    assert found == sorted(truth(made), key=lambda r: r[1])
    (item,) = tree.iter("clipitem")
    assert [item.findtext(k) for k in ("in", "out", "start", "end")] == ["0", "4000", "0", "4000"]


@pytest.mark.parametrize("layout", ["clips", "markers"])
def test_fcpxml(made: Made, layout: Layout) -> None:
    clock, first = clock_of(made)
    tree = ET.fromstring(written(made, "fcpxml", layout))

    def frames(element: ET.Element, key: str) -> int:
        return exactly(Fraction(element.get(key, "").removesuffix("s")) * clock.fps)

    form = tree.find("resources/format")
    asset = tree.find("resources/asset")
    sequence = tree.find("event/project/sequence")
    assert form is not None
    assert asset is not None
    assert sequence is not None
    assert frames(form, "frameDuration") == 1
    assert (frames(asset, "start"), frames(asset, "duration")) == (first, 4000)
    start = first if layout == "markers" else clock.frame("01:00:00:00")
    assert (frames(sequence, "tcStart"), sequence.get("tcFormat")) == (start, "DF" if clock.drop else "NDF")
    found = []
    for clip in tree.iter("asset-clip"):
        assert (clip.get("name"), clip.get("ref")) == ("A001C003.mov", asset.get("id"))
        for marker, keyword in zip(clip.iter("marker"), clip.iter("keyword"), strict=True):
            begin = frames(keyword, "start") - first
            assert (marker.get("start"), marker.get("value")) == (keyword.get("start"), keyword.get("value"))
            row = (keyword.get("value"), begin, begin + frames(keyword, "duration"))
            found.append((*row, frames(clip, "offset") - start) if layout == "clips" else row)
            if layout == "clips":
                assert (clip.get("start"), clip.get("duration")) == (keyword.get("start"), keyword.get("duration"))
    assert found == (laid(made) if layout == "clips" else sorted(truth(made), key=lambda r: r[1]))
    assert [m.get("value") for m in tree.iter("md")] == ["A001R2"]


def test_csv(made: Made) -> None:
    clock, first = clock_of(made)
    record = clock.frame("01:00:00:00")
    found = []
    for row in csv.DictReader(io.StringIO(written(made, "csv"))):
        start, stop = clock.frame(row["source_in"]) - first, clock.frame(row["source_out"]) - first
        assert (int(row["start_frame"]), int(row["stop_frame"])) == (start, stop)
        assert float(row["seconds"]) == pytest.approx((stop - start) / clock.fps, abs=1e-3)
        assert clock.frame(row["record_out"]) - clock.frame(row["record_in"]) == stop - start
        assert (row["clip"], row["reel"]) == ("A001C003.mov", "A001R2")
        found.append((row["people"], start, stop, clock.frame(row["record_in"]) - record))
    assert found == laid(made)


def test_json(made: Made) -> None:
    clock, first = clock_of(made)
    tree = json.loads(written(made, "json", "markers"))
    assert tree["schema"] == "vcn-trt/ranges/1"
    for r in tree["ranges"]:
        assert clock.frame(r["source_in"]) - first == r["start"]
        assert clock.frame(r["source_out"]) - first == r["stop"]
        assert (r["record_in"], r["record_out"]) == (r["source_in"], r["source_out"])
        assert r["start_seconds"] == pytest.approx(float(r["start"] / clock.fps), abs=1e-5)
    assert sorted((r["people"], r["start"], r["stop"]) for r in tree["ranges"]) == truth(made)
    assert tree["videos"][0]["fps"] == str(clock.fps)


def test_webvtt(made: Made) -> None:
    clock, _ = clock_of(made)
    text = written(made, "vtt")
    assert text.startswith("WEBVTT\n\n")

    def frame(hours: str, minutes: str, seconds: str) -> int:
        return round((3600 * int(hours) + 60 * int(minutes) + float(seconds)) * clock.fps)

    form = re.compile(r"\n(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})\n(.+)\n")
    found = [(c[6], frame(*c[:3]), frame(*c[3:6])) for c in form.findall(text)]
    assert sorted(found) == truth(made)
    assert found == sorted(found, key=lambda c: c[1])


@pytest.fixture
def several(tmp_path: Path) -> Made:
    """Two rates, and two files of one name."""
    films = [
        Film("A001.mov", timecode="01:00:00:00", frames=100),
        Film("B.mov", fps=30 * NTSC, timecode="02:00:00;00", frames=100),
        Film("A001.mov", folder="/day2", timecode="03:00:00:00", frames=100),
    ]
    seen = [Seen(0, 10, 1), Seen(20, 30, 1, video=1), Seen(40, 50, 1, video=2), Seen(60, 70, 2, video=2)]
    return answer(tmp_path / "week", films, seen)


def test_clips_of_several_videos_share_a_timeline_a_rate(several: Made, tmp_path: Path) -> None:
    paths = export(several.answer, ranges(several), media.of(several.tracks), "edl", tmp_path / "x.edl", layout="clips")
    assert [p.name for p in paths] == ["x-25.edl", "x-29.97df.edl"]
    events = [re.findall(r"^\d{3}  (\S+) .*C +(.+)$", p.read_text(), re.MULTILINE) for p in paths]
    assert events == [
        [
            ("A001", "01:00:00:00 01:00:00:10 01:00:00:00 01:00:00:10"),
            ("A001_3", "03:00:01:15 03:00:02:00 01:00:00:10 01:00:00:20"),
            ("A001_3", "03:00:02:10 03:00:02:20 01:00:00:20 01:00:01:05"),
        ],
        [("B", "02:00:00;20 02:00:01;00 01:00:00;00 01:00:00;10")],
    ]


@pytest.mark.parametrize("form", ["otio", "edl", "fcpxml", "fcp7xml", "vtt"])
def test_markers_and_captions_come_a_file_a_video(several: Made, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"x{SUFFIXES[form]}"
    paths = export(several.answer, ranges(several), media.of(several.tracks), form, out)
    assert [p.name for p in paths] == [f"x-{tag}{SUFFIXES[form]}" for tag in ("A001", "B", "A001-2")]
    counts = [p.read_text().count("Person 1") for p in paths]
    assert all(n > 0 for n in counts)
    assert not out.exists()


@pytest.mark.parametrize("form", ["csv", "json"])
def test_tables_hold_all_videos(several: Made, tmp_path: Path, form: str) -> None:
    (path,) = export(several.answer, ranges(several), media.of(several.tracks), form, tmp_path / "x")
    text = path.read_text("utf-8-sig")
    assert [t in text for t in ("01:00:00:00", "02:00:00;20", "03:00:02:20")] == [True] * 3


def test_a_day_that_ends_within_a_video_begins_anew(tmp_path: Path) -> None:
    made = answer(tmp_path, [Film(timecode="23:59:59:00", frames=60)], [Seen(20, 30, 1)])
    (path,) = export(made.answer, ranges(made), media.of(made.tracks), "csv", tmp_path / "x.csv")
    (row,) = csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
    assert (row["source_in"], row["source_out"]) == ("23:59:59:20", "00:00:00:05")


def test_a_variable_rate_stands_on_the_grid_of_its_times(tmp_path: Path) -> None:
    """Frame 10 is held for a second at 25: what follows comes 24 frames later; captions follow the clock itself."""
    times = [i / 25 + (24 / 25 if i > 10 else 0) for i in range(51)]
    made = answer(tmp_path, [Film(frames=50, times=times)], [Seen(5, 30, 1)])
    read: dict[str, str] = {}
    for form in ("csv", "vtt"):
        (path,) = export(made.answer, ranges(made), media.of(made.tracks), form, tmp_path / f"x.{form}")
        read[form] = path.read_text("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(read["csv"]))
    assert (row["start_frame"], row["stop_frame"], row["source_in"], row["source_out"]) == (
        *("5", "30"),
        *("00:00:00:05", "00:00:02:04"),
    )
    assert "00:00:00.200 --> 00:00:02.160" in read["vtt"]


READERS: dict[str, Callable[[str], object]] = {"otio": json.loads, "fcpxml": ET.fromstring, "fcp7xml": ET.fromstring}


@pytest.mark.parametrize("form", ["otio", "fcpxml", "fcp7xml"])
def test_files_are_linked_where_they_are_now(several: Made, tmp_path: Path, form: str) -> None:
    clips = media.of(several.tracks, Path("/Volumes/Daily Rushes"))
    paths = export(several.answer, ranges(several), clips, form, tmp_path / "x.y")
    text = paths[1].read_text()
    READERS[form](text)
    assert Path("/Volumes/Daily Rushes/B.mov").as_uri() in text
