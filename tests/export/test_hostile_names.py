"""Whatever a video or a person is called, every output stays what it is, and says the name as far as it can."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import opentimelineio as otio
import pytest
from casts import Film, Made, Seen, answer

from vcn_trt import cast, labels, media
from vcn_trt.cli_editors import _show
from vcn_trt.errors import RunError, UsageError, VcnError
from vcn_trt.evaluate import evaluate
from vcn_trt.export import SUFFIXES, export, export_labels
from vcn_trt.export.files import places, replacing
from vcn_trt.export.spreadsheet import safe
from vcn_trt.export.text import one_line, reel
from vcn_trt.find import Query, Range, appearances

# A name, and how it stands on one line.
NAMES = [
    ("<script>alert('x')</script> & \"co\"", "<script>alert('x')</script> & \"co\""),
    ("a/b\\c|d", "a/b\\c|d"),
    ("two\nlines\r\nthree\u2028four\ttab", "two lines three four tab"),
    ("--> 00:00:00.000 NOTE", "--> 00:00:00.000 NOTE"),
    ("]]></name><marker/>", "]]></name><marker/>"),
    ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
    ("شخص שלום", "شخص שלום"),
    ("evil\u202egnp.exe\u2066", "evilgnp.exe"),
    ("👩‍🎤 Zoe\u0308", "👩‍🎤 Zoë"),
    ("nul\x00 bell\x07 esc\x1b[31m", "nul bell esc [31m"),
    ("broken \udcff byte", "broken \ufffd byte"),
    ("nonchar \ufffe\uffff", "nonchar"),
    ("[bold red]markup[/]", "[bold red]markup[/]"),
    ("{{ 7*7 }} %s {0}", "{{ 7*7 }} %s {0}"),
    ("x" * 300, "x" * 300),
]


@pytest.fixture(params=NAMES, ids=lambda pair: repr(pair[1][:12]))
def named(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Made, str]:
    """A person and a video of that name (a slash and NUL cannot be in a file's)."""
    raw, line = request.param
    film = Film(re.sub(r"[/\x00]", "_", raw)[:200] + ".mov", timecode="01:00:00:00", frames=50)
    return answer(tmp_path / "run", [film], [Seen(0, 10, 1), Seen(20, 40, 2)], {1: raw, 2: "Bert"}), line


def ranges(made: Made) -> list[Range]:
    return appearances(made.tracks, made.labels, media.of(made.tracks), cast.cast(made.names), Query([]))


def written(made: Made, form: str) -> str:
    out = made.answer.folder / f"x{SUFFIXES[form]}"
    (path,) = export(made.answer, ranges(made), media.of(made.tracks), form, out, layout="clips", name="x")
    return path.read_bytes().decode("utf-8-sig")


def test_edl(named: tuple[Made, str]) -> None:
    made, line = named
    lines = written(made, "edl").split("\n")
    assert len(lines) == len(["TITLE", "FCM", "-", "event", "clip", "comment", "-", "event", "clip", "comment", "-"])
    assert lines[5] == f"* COMMENT: {line}"
    assert lines[4].startswith("* FROM CLIP NAME:  ")
    event = re.fullmatch(r"001  [\w.-]+ +V     C        (\d\d[:]\d\d:\d\d:\d\d ?){4}", lines[3])
    assert event
    read = otio.adapters.read_from_string("\n".join(lines), "cmx_3600", rate=25)
    assert [c.source_range.duration.value for c in read.tracks[0]] == [10, 20]


def test_marker_edl(named: tuple[Made, str], tmp_path: Path) -> None:
    made, line = named
    (path,) = export(made.answer, ranges(made), media.of(made.tracks), "edl", tmp_path / "m.edl", layout="markers")
    markers = [one.split(" |") for one in path.read_text().split("\n") if " |C:Resolve" in one]
    assert [len(fields) for fields in markers] == [4, 4]
    assert markers[0][2] == "M:" + line.replace("|", "/")


@pytest.mark.parametrize("form", ["fcpxml", "fcp7xml"])
def test_xml(named: tuple[Made, str], form: str) -> None:
    made, line = named
    tree = ET.fromstring(written(made, form))
    held = {text for e in tree.iter() for text in (e.text, *e.attrib.values())}
    assert line in held
    assert len(list(tree.iter("marker"))) == 2


def test_otio(named: tuple[Made, str]) -> None:
    made, line = named
    read = otio.adapters.read_from_string(written(made, "otio"), "otio_json")
    assert [c.markers[0].name for c in read.tracks[0]] == [line, "Bert"]


def test_csv(named: tuple[Made, str]) -> None:
    made, line = named
    first, second = csv.DictReader(io.StringIO(written(made, "csv"), newline=""))
    assert first["people"] == (f"'{line}" if line[0] in "=-" else line)
    assert second["people"] == "Bert"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in [*first.values(), *second.values()])


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\u202e=1", "\x00=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe(text).startswith("'")
    assert safe(f"Bert {text}").startswith("Bert")


def test_json_holds_names_as_they_are(named: tuple[Made, str]) -> None:
    made, _ = named
    assert json.loads(written(made, "json"))["ranges"][0]["people"] == made.names[1]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_webvtt(named: tuple[Made, str]) -> None:
    made, line = named
    blocks = written(made, "vtt").rstrip("\n").split("\n\n")
    assert [len(b.split("\n")) for b in blocks] == [1, 1, 3, 3]
    number, times, text = blocks[2].split("\n")
    assert (number, times) == ("1", "00:00:00.000 --> 00:00:00.400")
    assert html.unescape(text) == line
    assert "-->" not in text + blocks[1]
    tags = Tags()
    tags.feed(text)
    assert tags.seen == []


def test_labels_are_read_back_and_agree(named: tuple[Made, str], tmp_path: Path) -> None:
    made, _ = named
    (path,) = export_labels(made.answer, made.names, tmp_path / "x.labels.json")
    truth = labels.read(path)
    assert set(truth.identities) == set(made.names.values())
    found = evaluate(made.tracks, made.answer.people, [truth])
    assert (found.with_unknown.wcp, found.with_unknown.pcr) == (1.0, 1.0)
    assert (found.matched, found.box_coverage) == (2, 1.0)


def test_the_table_shows_names_as_text(named: tuple[Made, str], capsys: pytest.CaptureFixture[str]) -> None:
    made, line = named
    _show(ranges(made), media.of(made.tracks))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert line[:5] in shown
    assert "2 ranges, 1.20 seconds" in shown


def test_a_name_of_nothing_is_called_unnamed() -> None:
    assert one_line("\u202e\n") == one_line("") == "unnamed"
    assert reel("A 001/é|*") == "A_001_é__"
    assert len(reel("x" * 99)) == 32


def test_a_file_name_that_is_no_utf8_is_written_and_linked(tmp_path: Path) -> None:
    film = Film(os.fsdecode(b"caf\xe9.mov"), frames=20)
    made = answer(tmp_path / "run", [film], [Seen(0, 10, 1)])
    for form in ("otio", "fcpxml", "fcp7xml"):
        assert "caf%E9.mov" in written(made, form)


# Files.


def one(tmp_path: Path) -> Made:
    return answer(tmp_path / "run", [Film(frames=50)], [Seen(0, 10, 1)])


def test_a_file_that_is_there_is_left_as_it_is_unless_asked(tmp_path: Path) -> None:
    made, out = one(tmp_path), tmp_path / "mine.edl"
    out.write_text("by hand")
    clips = media.of(made.tracks)
    with pytest.raises(RunError, match=r"mine\.edl is there already.*--force"):
        export(made.answer, ranges(made), clips, "edl", out)
    assert out.read_text() == "by hand"
    export(made.answer, ranges(made), clips, "edl", out, force=True)
    assert out.read_text().startswith("TITLE")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.edl", "run"]


def test_of_several_files_none_is_written_where_one_is_there(tmp_path: Path) -> None:
    made = answer(tmp_path / "run", [Film("a.mov"), Film("b.mov")], [Seen(0, 9, 1), Seen(0, 9, 1, video=1)])
    (tmp_path / "x-b.vtt").write_text("by hand")
    with pytest.raises(RunError, match="already"):
        export(made.answer, ranges(made), media.of(made.tracks), "vtt", tmp_path / "x.vtt")
    assert not (tmp_path / "x-a.vtt").exists()


def test_what_cannot_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    made = one(tmp_path)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "x.edl", tmp_path / "run"):
        with pytest.raises(RunError, match="--out"):
            export(made.answer, ranges(made), media.of(made.tracks), "edl", out)


def test_a_failed_write_leaves_nothing_and_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "x.edl"
    out.write_text("old")

    def fail() -> None:
        with replacing(out) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x.edl", "old")]


def test_names_of_several_files_are_harmless_and_their_own() -> None:
    found = places(Path("d/x.labels.json"), ["a/../b", "a_.._b", "\n"])
    assert [str(p) for p in found] == ["d/x-a_.._b.labels.json", "d/x-a_.._b-2.labels.json", "d/x-unnamed.labels.json"]


def test_nothing_found_is_nothing_written(tmp_path: Path) -> None:
    made = one(tmp_path)
    with pytest.raises(VcnError, match="nothing to export"):
        export(made.answer, [], media.of(made.tracks), "edl", tmp_path / "x.edl")
    with pytest.raises(UsageError, match=r"no format 'avi'.*otio"):
        export(made.answer, ranges(made), media.of(made.tracks), "avi", tmp_path / "x")
    with pytest.raises(UsageError, match="record timecode"):
        export(
            made.answer, ranges(made), media.of(made.tracks), "edl", tmp_path / "x", layout="clips", record_start="25:0"
        )
    assert not list(tmp_path.glob("x*"))
