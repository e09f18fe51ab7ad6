"""The editors' commands as they are typed: those of the documentation, all of them, and what they refuse."""

from __future__ import annotations

import csv
import json
import re
import shutil
import stat
from fractions import Fraction
from pathlib import Path

import av
import clips
import pages
import pytest
from casts import Film, Seen, answer
from pages import commands
from typer.testing import CliRunner

from vcn_trt.cli import app
from vcn_trt.errors import RunError, UsageError, VcnError


@pytest.fixture
def monday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's run, with its videos: A001.mov at 25 with a timecode, A002.mov at 29.97. Anna, Person 2 and Cara."""
    monkeypatch.chdir(tmp_path)
    films = [
        Film("A001.mov", frames=120, cuts=(60,), timecode="01:00:00:00", folder=str(tmp_path)),
        Film("A002.mov", fps=Fraction(30000, 1001), frames=40, folder=str(tmp_path)),
    ]
    for film in films:
        pictures = (clips.numbered(i, 320, 180) for i in range(film.frames))
        clips.write(tmp_path / film.name, pictures, rate=film.fps)
    (tmp_path / "moved").mkdir()
    for film in films:
        shutil.copy(tmp_path / film.name, tmp_path / "moved")
    seen = [
        *(Seen(0, 40, 1), Seen(20, 50, 2), Seen(65, 118, 1), Seen(70, 76, status="quality")),
        *(Seen(30, 50, 3), Seen(0, 30, 1, video=1)),
    ]
    answer(tmp_path / "monday", films, seen, {1: "Anna", 3: "Cara"})
    return tmp_path / "monday"


def vcn(*words: str) -> str:
    """What a command prints; its error is raised."""
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_command_of_the_page_runs(monday: Path) -> None:
    listed = commands("docs/editors.md")
    assert len(listed) == 20
    assert {c[1] for c in listed} == {"find", "export", "overlay", "why"}
    for program, *words in listed:
        assert program == "vcn"
        assert vcn(*words).strip(), words
        # Each is tried on a run that nothing was exported from.
        shutil.rmtree(monday / "exports", ignore_errors=True)


def test_every_option_is_on_the_page() -> None:
    page = pages.text("docs/editors.md")
    for verb in ("find", "export", "overlay"):
        text = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output
        options = set(re.findall(r"--[a-z-]+", text)) - {"--help", "--quiet"}
        assert len(options) > 3
        assert {o for o in options if o not in page} == set()


def test_find_prints_timecodes_and_a_sum(monday: Path) -> None:
    shown = vcn("find", "monday", "--with", "Anna", "--with", "2")
    row = "1 A001.mov 0 01:00:00:20 01:00:01:15 0.80 Anna + Person 2"
    assert shown.splitlines()[1].split() == row.split()
    assert shown.splitlines()[-1] == "1 range, 0.80 seconds"
    assert vcn("find", "monday", "--with", "Cara", "--alone").splitlines() == ["0 ranges, 0.00 seconds"]
    alone = vcn("find", "monday", "--with", "anna", "--alone", "--min-seconds", "2").splitlines()
    assert alone[1].split()[3:6] == ["01:00:02:15", "01:00:04:18", "2.12"]
    assert len(alone) == 3


def test_find_gives_json_and_pictures(monday: Path, tmp_path: Path) -> None:
    tree = json.loads(vcn("find", "monday", "--with", "#1", "--with", "#2", "--json", "--thumbnails", "p"))
    assert tree["schema"] == "vcn-trt/ranges/1"
    (found,) = tree["ranges"]
    assert (found["start"], found["stop"], found["clusters"], found["tracks"]) == (20, 40, [1, 2], [0, 1])
    with av.open(str(tmp_path / "p" / "0001.jpg")) as picture:
        (frame,) = picture.decode(video=0)
        pixels = frame.to_ndarray(format="rgb24")
    # The crops of tracks 0 and 1, painted with 20 times their number, side by side.
    assert pixels.shape == (112, 224, 3)
    assert pixels[:, :100].mean() == pytest.approx(0, abs=2)
    assert pixels[:, 124:].mean() == pytest.approx(20, abs=2)
    assert json.loads(vcn("find", "monday", "--with", "3", "--alone", "--json"))["ranges"] == []


def test_an_export_goes_to_the_run_by_default_and_says_where(monday: Path) -> None:
    printed = vcn("export", "monday", "--format", "csv").split()
    assert printed == ["monday/exports/monday.csv"]
    with (monday / "exports" / "monday.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [r["people"] for r in rows] == ["Anna", "Person 2", "Cara", "Anna", "Anna"]
    with pytest.raises(RunError, match="--force"):
        vcn("export", "monday", "--format", "csv")
    vcn("export", "monday", "--format", "csv", "--force")


def test_a_run_that_cannot_be_written_to_is_exported_elsewhere(monday: Path, tmp_path: Path) -> None:
    (monday / "exports").write_text("")  # as a folder that takes no files, whoever runs the test
    with pytest.raises(RunError, match="--out"):
        vcn("export", "monday", "--format", "edl", "--with", "Anna")
    monday.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        before = sorted(p.name for p in monday.iterdir())
        vcn("export", "monday", "--format", "edl", "--with", "Anna", "--out", "x.edl")
        vcn("find", "monday", "--with", "Anna")
        assert sorted(p.name for p in monday.iterdir()) == before
    finally:
        monday.chmod(stat.S_IRWXU)
    assert (tmp_path / "x-25.edl").exists()


def test_everything_but_the_overlay_works_without_the_videos(monday: Path, tmp_path: Path) -> None:
    for path in tmp_path.glob("*.mov"):
        path.unlink()
    for form in ("otio", "edl", "fcpxml", "fcp7xml", "csv", "json", "vtt", "labels"):
        assert vcn("export", "monday", "--format", form, "--out", f"x/{form}.{form}")
    with pytest.raises(RunError, match=r"A001\.mov is not there.*--media"):
        vcn("overlay", "monday")
    assert not (monday / "exports").exists()


def test_labels_of_the_run_are_what_eval_reads(monday: Path) -> None:
    paths = vcn("export", "monday", "--format", "labels").split()
    scores = json.loads(vcn("eval", "monday", *paths, "--json"))
    assert (scores["with_unknown"]["wcp"], scores["with_unknown"]["pcr"], scores["ignored"]) == (1.0, 1.0, 1)


def test_overlays_are_drawn_of_all_videos_or_of_one(monday: Path, tmp_path: Path) -> None:
    assert vcn("overlay", "monday", "-q").split() == [f"monday/exports/overlay-A00{n}.mp4" for n in (1, 2)]
    with av.open("monday/exports/overlay-A002.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) == 40
    assert vcn("overlay", "monday", "--video", "A002.mov", "--out", "x.mov").split() == ["x.mov"]
    with pytest.raises(RunError, match="already"):
        vcn("overlay", "monday", "--video", "A002.mov", "--out", "x.mov")
    with pytest.raises(UsageError, match=r"no video 'B\.mov'.*'A001\.mov'"):
        vcn("overlay", "monday", "--video", "B.mov")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["find", "monday"], "at least one with --with"),
        (["find", "monday", "--with", "Ann"], r"no 'Ann'.*'Anna'"),
        (["find", "monday", "--with", "Anna", "--without", "1"], "ruled out"),
        (["export", "monday", "--format", "avi"], r"no format 'avi'.*otio"),
        (["export", "monday", "--format", "edl", "--alone"], "narrow down a --with"),
        (["export", "monday", "--format", "edl", "--person", "1", "--with", "2"], "one of the two"),
        (["export", "monday", "--format", "edl", "--as", "shots"], "clips or markers"),
        (["export", "monday", "--format", "labels", "--with", "1"], "whole answer"),
        (
            ["export", "monday", "--format", "edl", "--with", "1", "--with", "3", "--min-seconds", "9"],
            "nothing to export",
        ),
        (["find", "nowhere", "--with", "1"], "not a run directory"),
    ],
)
def test_what_cannot_be_meant_is_told(monday: Path, words: list[str], message: str) -> None:
    with pytest.raises(VcnError, match=message):
        vcn(*words)
