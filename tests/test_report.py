"""The page: names are text whatever they hold, nothing is fetched, and an empty answer is a page, too."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from vcn_trt.report import page
from vcn_trt.run import Desk
from vcn_trt.types import CROP_SIZE, UNKNOWN, Clusters, Crops, Faces, Shots, Tracks, TrackSet, Video

HOSTILE = ("<script>alert(1)<!-- .mp4", "\"'><b onclick=x>.mp4", "{{ 7*7 }}{% for %}&lt;&amp;amp;.mp4")


def tracks_of(statuses: list[str], names: tuple[str, ...] = ("a.mp4",)) -> TrackSet:
    """A track of ten frames for each status, its one crop painted with the track's number; the last video has all."""
    n = len(statuses)
    video = len(names) - 1
    start = 10 * np.arange(n)
    return TrackSet(
        videos=[
            Video(i, f"/films/{name}", Fraction(10), 100, 640, 360, seconds=3725.0) for i, name in enumerate(names)
        ],
        shots=Shots.empty(),
        faces=Faces.empty(10 * n).with_columns(
            track=np.repeat(np.arange(n), 10),
            video=np.full(10 * n, video),
            frame=np.arange(10 * n),
            seconds=np.arange(10 * n) / 10,
        ),
        tracks=Tracks.empty(n).with_columns(
            track=np.arange(n),
            video=np.full(n, video),
            shot=np.arange(n),
            start=start,
            stop=start + 10,
            status=np.array(statuses, "U8"),
            representative_frame=start,
        ),
        crops=Crops.empty(n).with_columns(track=np.arange(n), frame=start),
        images=np.broadcast_to(20 * np.arange(n, dtype=np.uint8)[:, None, None, None], (n, CROP_SIZE, CROP_SIZE, 3)),
    )


class Seen(HTMLParser):
    """What a browser would make of the page: its tags with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def render(folder: Path, tracks: TrackSet, *labels: int) -> tuple[str, Seen]:
    desk = Desk(folder, folder, folder, lambda done, total, unit: None)
    people = Clusters(np.array(labels, np.int32), np.full(len(labels), np.nan, np.float32), method="hac")
    facts = page.report(desk, tracks, people)
    html = (folder / page.FILE).read_text(encoding="utf-8")
    assert facts["bytes"] == len(html.encode())
    seen = Seen()
    seen.feed(html)
    return html, seen


def test_a_hostile_name_is_shown_as_text(tmp_path: Path) -> None:
    _, harmless = render(tmp_path, tracks_of(["ok", "ok"], ("a.mp4", "b.mp4")), 1, 2)
    for name in HOSTILE:
        _, seen = render(tmp_path, tracks_of(["ok", "ok"], ("a.mp4", name)), 1, 2)
        assert [tag for tag, _ in seen.tags] == [tag for tag, _ in harmless.tags]
        assert [set(attributes) for _, attributes in seen.tags] == [set(attributes) for _, attributes in harmless.tags]
        assert seen.text.count(name) == 2  # the title and the table
        captions = [a["title"] for tag, a in seen.tags if tag == "img" and "title" in a]
        assert captions[0] == f"{name}, 0:00:00, track 0, frame 0"


def test_nothing_outside_the_page_is_asked_for(tmp_path: Path) -> None:
    html, seen = render(tmp_path, tracks_of(["ok", "ok", "short"]), 1, 2, UNKNOWN)
    assert not {tag for tag, _ in seen.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    links = [v or "" for _, a in seen.tags for k, v in a.items() if k in ("src", "href", "srcset", "poster", "data")]
    assert len(links) > 4
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in links)
    assert not re.search(r"https?:|//\w|url\(|@import", re.sub(r"data:[^\"]*", "", html))


def test_each_person_has_a_card_with_time_tracks_and_pictures(tmp_path: Path) -> None:
    _, seen = render(tmp_path, tracks_of(["ok", "ok", "ok"]), 2, 1, 2)
    assert "2 people in 3 face\ntracks." in seen.text
    assert re.findall(r"Person (\d)\n([\d.]+) s on screen, (\d) tracks?\nin (\d) shots?", seen.text) == [
        ("1", "1.0", "1", "1"),
        ("2", "2.0", "2", "2"),
    ]
    bars = [a["style"] for tag, a in seen.tags if tag == "i"]
    assert bars == [f"left:{left}.000%;width:10.000%" for left in (10, 0, 20)]
    # The large picture and the sheet of each card: JPEGs of the tracks' own crops.
    cards = [a for tag, a in seen.tags if tag == "img" and "title" in a]
    assert [a["title"] for a in cards] == [
        f"0:00:0{track}, track {track}, frame {10 * track}" for track in (1, 1, 0, 0, 2)
    ]
    for picture in cards:
        encoded = base64.b64decode((picture["src"] or "").split(",")[1])
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (CROP_SIZE, CROP_SIZE, 3)
        assert pixels.mean() == pytest.approx(20 * int((picture["title"] or "").split("track ")[1][0]), abs=2)


@pytest.mark.parametrize("videos", [1, 2])
def test_an_answer_without_anyone_is_a_page_that_says_so(tmp_path: Path, videos: int) -> None:
    html, seen = render(tmp_path, tracks_of([], ("a.mp4", "b.mp4")[:videos]))
    assert "0 people in 0 face\ntracks." in seen.text
    assert "No face was found that could be told apart." in seen.text
    assert seen.text.count("1:02:05") == videos
    assert "<section" not in html


def test_unknown_tracks_are_shown_under_their_reasons(tmp_path: Path) -> None:
    tracks = tracks_of(["short", "ok", "crops", "short", "quality", "ok"])
    _, seen = render(tmp_path, tracks, UNKNOWN, 1, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
    assert "6 face\ntracks, 5 of them Unknown." in seen.text
    assert set(re.findall(r"(\d) tracks?: ([a-z ]+)", seen.text)) == {
        ("2", "seen in too few frames"),
        ("1", "too small or too blurred"),
        ("1", "the network is unsure of it"),
        ("1", "no face to compare"),
    }


def test_an_unknown_track_without_a_crop_is_counted_and_has_no_picture(tmp_path: Path) -> None:
    tracks = tracks_of(["ok", "crops", "crops"])
    without = replace(tracks, crops=tracks.crops[np.array([0, 2])], images=tracks.images[[0, 2]])
    _, seen = render(tmp_path, without, 1, UNKNOWN, UNKNOWN)
    assert "2 tracks: too small or too blurred" in seen.text
    titles = [a["title"] for tag, a in seen.tags if tag == "img" and "title" in a]
    assert titles[-1] == "0:00:02, track 2, frame 20"
    assert not any("track 1," in (title or "") for title in titles)
