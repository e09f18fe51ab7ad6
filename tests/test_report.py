"""What `report.html` is made of: pictures by person, checks, the map, and data that stays data in any name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from casts import Film, Made, Seen, answer

from vcn_trt.report import page, pictures
from vcn_trt.report.checks import check
from vcn_trt.report.embedding_map import embedding_map
from vcn_trt.report.gather import gather
from vcn_trt.types import UNKNOWN, Bridge, Clusters, Embeddings, Merge, Near

HOSTILE = (
    "</script><script>alert(1)</script><!-- .mp4",
    "\"'><b onclick=x>.mp4",
    "{{ 7*7 }}{% for %}&lt;&amp;amp;\u2028.mp4",
    "\u202egnp.\U0001f9db\u05d0\u05d1.mov",
    "odd\udcff.mp4",
)


def told(made: Made, names: Mapping[int, str | None] | None = None) -> page.Told:
    return page.Told(names or made.names, made.answer.record)


def data_of(made: Made, names: Mapping[int, str | None] | None = None, **more: Any) -> dict[str, Any]:
    return gather(made.tracks, more.pop("people", made.answer.people), names or made.names, None, **more)


def block(html: str, name: str) -> Any:
    """What a browser finds in one of the page's data elements: all up to the first end of a script."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def pixels(source: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    kind, encoded = source.split(",")
    assert kind == "data:image/webp;base64"
    decoded: Any = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Two videos. Anna: tracks 0, 1 and 3, twice in frame 30 of the first; person 2: track 2; two Unknown."""
    return answer(
        tmp_path / "run",
        [Film(cuts=[60, 120], timecode="10:00:00:00"), Film("B.mov", frames=100)],
        [
            Seen(10, 40, 1),
            Seen(30, 50, 1),
            Seen(70, 80, 2),
            Seen(5, 55, 1, video=1),
            Seen(60, 70, UNKNOWN, video=1, status="short"),
            Seen(130, 140, UNKNOWN, status="crops"),
        ],
        {1: "Anna"},
    )


# Data


def test_each_person_has_time_tracks_shots_and_a_cover(made: Made) -> None:
    anna, other = data_of(made)["people"]
    assert (anna["name"], anna["named"], anna["clusters"]) == ("Anna", True, [1])
    assert (anna["tracks"], anna["shots"]) == (3, 2)
    assert anna["seconds"] == pytest.approx(1.6 + 2.0)  # frames 10 to 50 once, though two tracks share some; 50 frames
    assert (other["name"], other["named"], other["tracks"]) == ("Person 2", False, 1)
    assert other["cover"]["track"] == 2
    assert pixels(other["cover"]["source"]).shape == (112, 112, 3)


def test_clusters_of_one_name_are_one_person(made: Made) -> None:
    data = data_of(made, {1: "Anna", 2: "Anna"})
    (anna,) = data["people"]
    assert (anna["number"], anna["clusters"], anna["tracks"]) == (1, [1, 2], 4)
    assert data["tracks"]["person"] == [1, 1, 1, 1, UNKNOWN, UNKNOWN]


def test_tracks_tell_where_they_are_in_timecode_and_frames(made: Made) -> None:
    tracks = data_of(made)["tracks"]
    assert tracks["timecode"][:4] == ["10:00:00:10", "10:00:01:05", "10:00:02:20", "00:00:00:05"]
    assert tracks["seconds"] == pytest.approx([1.2, 0.8, 0.4, 2.0, 0.4, 0.4])
    assert (tracks["video"], tracks["shot"]) == ([0, 0, 0, 1, 1, 0], [0, 0, 1, 0, 0, 2])


def test_a_picture_is_its_tracks_own_crop(made: Made) -> None:
    data = data_of(made)
    for track, source in data["pictures"].items():
        assert pixels(source).mean() == pytest.approx(20 * track, abs=3)
    assert data["tracks"]["frame"] == [25, 40, 75, 30, 65, 135]


def test_unknown_tracks_stand_under_their_reasons(made: Made) -> None:
    found = {group["status"]: (group["reason"], group["tracks"]) for group in data_of(made)["unknown"]}
    assert found == {"short": ("Seen in too few frames", [4]), "crops": ("Too small or too blurred", [5])}


def test_a_track_without_a_crop_is_counted_and_has_no_picture(made: Made) -> None:
    rows = np.array([0, 1, 2, 3, 5])
    made.tracks = replace(made.tracks, crops=made.tracks.crops[rows], images=made.tracks.images[rows])
    data = data_of(made)
    assert 4 not in data["pictures"]
    assert [group["tracks"] for group in data["unknown"] if group["status"] == "short"] == [[4]]


def test_the_pictures_are_shared_evenly_and_the_longest_tracks_have_them(made: Made) -> None:
    groups = [np.array([0, 1, 3]), np.array([2]), np.array([4, 5])]
    assert pictures.chosen(made.tracks, groups, total=6) == [0, 1, 2, 3, 4, 5]
    assert pictures.chosen(made.tracks, groups, total=5) == [0, 2, 3, 4, 5]
    assert pictures.chosen(made.tracks, groups, total=4) == [2, 3, 4]  # two each would be one too many
    assert pictures.chosen(made.tracks, groups, total=0) == [2, 3, 4]


def test_the_cover_is_the_most_frontal_of_the_good_faces(made: Made) -> None:
    from vcn_trt.ingest.align import TEMPLATE

    faces = made.tracks.faces
    marks = np.tile(TEMPLATE.astype(np.float32), (len(faces), 1, 1))
    turned = TEMPLATE * [1, 1] + np.array([[0, 0], [-20, 0], [-15, 0], [0, 0], [-10, 0]])
    box = faces.box.copy()
    for track, sharpness, side, mark in ((0, 9.0, 50, turned), (1, 9.0, 50, TEMPLATE), (3, 9.0, 8, TEMPLATE)):
        own = faces.track == track
        marks[own] = mark
        box[own, 2:] = box[own, :2] + side
        faces.sharpness[own] = sharpness
    made.tracks = replace(made.tracks, faces=faces.with_columns(landmarks=marks, box=box))
    own = np.array([0, 1, 3])
    cover = pictures.cover(made.tracks, own)
    assert cover is not None
    assert cover.track == 1  # 0 looks away, 3 is small
    made.tracks.faces.sharpness[made.tracks.faces.track == 1] = 1.0
    cover = pictures.cover(made.tracks, own)
    assert cover is not None
    assert cover.track == 0


# Checks


def test_someone_twice_in_a_frame_is_told_with_the_frame(made: Made) -> None:
    assert data_of(made)["checks"]["together"] == [{"a": 0, "b": 1, "frame": 30}]


def test_the_joins_of_the_least_margin_come_first(made: Made) -> None:
    merges = (Merge(0, 0, 1, 4.0, 5.0), Merge(1, 1, 3, 4.9, 5.0))
    people = Clusters(made.labels, made.answer.people.thresholds, merges, "vcn, loss")
    joined = data_of(made, people=people)["checks"]["joined"]
    assert [(m["a"], m["b"], m["margin"]) for m in joined] == [(1, 3, 0.1), (0, 1, 1.0)]


def test_bridges_and_people_kept_apart_are_shown_with_their_tracks(made: Made) -> None:
    near, bridge = [Near(1, 2, 5.5, 5.0, False)], [Bridge(0, (1, 3, 4, 5, 2))]
    people = Clusters(made.labels, made.answer.people.thresholds, (), "vcn, loss", near, bridge)
    checks = data_of(made, people=people)["checks"]
    assert checks["apart"] == [{"a": 1, "b": 2, "similarity": 5.5, "threshold": 5.0, "together": False, "margin": 0.5}]
    assert checks["bridges"] == [{"track": 0, "holds": (1, 3, 4, 5), "n": 5}]
    assert check(made.tracks, people, np.nan).tracks == {0, 1, 2, 3, 4, 5}


def test_tracks_that_are_hardly_a_face_are_told_worst_first(made: Made) -> None:
    quality = np.array([0.9, 0.81, 0.9, 0.82, 0.80, 0.9], np.float32)
    made.tracks = replace(made.tracks, tracks=made.tracks.tracks.with_columns(quality=quality))
    assert data_of(made, faceless=0.8)["checks"]["weak"] == [1, 3]  # 4 is Unknown
    assert data_of(made)["checks"]["weak"] == []


# The map


def vectors_of(made: Made, seed: int = 0) -> Embeddings:
    """Two bundles: Anna's and all others'."""
    rng = np.random.default_rng(seed)
    anna = made.labels[made.tracks.crops.track] == 1
    base = rng.normal(0, 0.1, (len(anna), 16)).astype(np.float32)
    base[anna, 0] += 1
    base[~anna, 1] += 1
    return Embeddings(base, base)


def test_the_map_keeps_people_apart_and_is_the_same_each_time(tmp_path: Path) -> None:
    seen = [Seen(10 * i, 10 * i + 5, 1 + i % 2) for i in range(20)]
    many = answer(tmp_path / "run", [Film()], seen)
    vectors = vectors_of(many)
    found = embedding_map(many.tracks, vectors)
    assert found == embedding_map(many.tracks, vectors)
    assert (found["tracks"], found["note"]) == (list(range(20)), "")
    for places in (np.array(found["base"]), np.array(found["adapted"])):
        assert places.min() == 0
        assert places.max() == 1000
        anna = many.labels == 1
        within = np.linalg.norm(places[anna] - places[anna].mean(0), axis=1).max()
        assert np.linalg.norm(places[anna].mean(0) - places[~anna].mean(0)) > within


def test_a_map_is_kept_for_the_next_report_of_the_same_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = answer(tmp_path / "run", [Film()], [Seen(10 * i, 10 * i + 5, 1 + i % 2) for i in range(20)])
    vectors, keep = vectors_of(many), tmp_path / "keep"
    found = embedding_map(many.tracks, vectors, keep)
    assert found == embedding_map(many.tracks, vectors)
    made: list[int] = []
    monkeypatch.setattr("vcn_trt.report.embedding_map._plane", lambda unit: made.append(len(unit)) or found["base"])
    assert embedding_map(many.tracks, vectors, keep) == found
    assert made == []
    for path in keep.iterdir():  # a kill in the midst of it, or a disk that forgets
        path.write_bytes(path.read_bytes()[:50])
    monkeypatch.undo()
    assert embedding_map(many.tracks, vectors, keep) == found
    other = embedding_map(many.tracks, vectors_of(many, seed=1), keep)
    assert other["base"] != found["base"]


def test_a_map_that_cannot_be_kept_is_made_all_the_same(tmp_path: Path) -> None:
    many = answer(tmp_path / "run", [Film()], [Seen(10 * i, 10 * i + 5, 1 + i % 2) for i in range(20)])
    (tmp_path / "keep").write_text("no folder")
    vectors = vectors_of(many)
    assert embedding_map(many.tracks, vectors, tmp_path / "keep") == embedding_map(many.tracks, vectors)


def test_a_map_that_cannot_be_made_says_why(made: Made) -> None:
    assert "no embeddings.npz" in embedding_map(made.tracks, None)["note"]
    few = embedding_map(made.tracks, vectors_of(made))
    assert few["base"] is None
    assert few["note"] == "A map needs 8 tracks with a good crop; there are 6."


def test_tracks_that_are_all_alike_and_a_run_that_was_not_adapted_have_a_map(tmp_path: Path) -> None:
    many = answer(tmp_path / "run", [Film()], [Seen(10 * i, 10 * i + 5, 1) for i in range(12)])
    found = embedding_map(many.tracks, Embeddings(np.ones((12, 4), np.float32)))
    assert len(found["base"]) == 12
    assert found["adapted"] is None
    assert "not adapted" in found["note"]


# The page


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_data_and_nothing_else(tmp_path: Path, name: str) -> None:
    harmless = answer(tmp_path / "a", [Film("a.mp4")], [Seen(0, 9, 1)], {1: "b"})
    hostile = answer(tmp_path / "b", [Film(name)], [Seen(0, 9, 1)], {1: name})
    plain, html = (page.document(m.tracks, m.answer.people, None, told(m)) for m in (harmless, hostile))
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8", errors="backslashreplace")
    html = path.read_text(encoding="utf-8")
    for sign in ("<script", "</script", "<!--", "<b", "49"):
        assert html.count(sign) == plain.count(sign)
    data = block(html, "data")
    shown = Path(f"/films/{name}").name
    assert (data["videos"][0]["name"], data["people"][0]["name"]) == (shown, name)


def test_the_policy_of_the_page_allows_its_own_style_and_script_alone(made: Made) -> None:
    html = page.document(made.tracks, made.answer.people, None, told(made))
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert found is not None
    assert found[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in found[1]
    outside = re.sub(r"http://www\.w3\.org/2000/svg|data:[^\"]*", "", html)
    assert not re.search(r"https?:|(src|href)=\"(?!#)|url\(|@import", outside)


def test_every_script_is_in_the_page() -> None:
    folder = Path(page.__file__).parent / "js"
    assert {f"{name}.js" for name in page.SCRIPTS} == {path.name for path in folder.iterdir()}
    assert page.style() == (folder.parent / "report.css").read_text(encoding="utf-8")


def test_what_run_json_says_is_on_the_page(made: Made) -> None:
    made.answer.record["stages"] = {
        "ingest": {"key": "k", "seconds": 2.0, "loaded": False, "frames": 300, "busy_seconds": {"decode": 1.0}},
        "embed": {"key": "k", "seconds": 0.5, "loaded": True, "model": "sface", "faceless_quality": float("nan")},
        "cluster": {"key": "k", "seconds": 1.0, "loaded": False, "people": 2, "warnings": ["look at person 1"]},
    }
    made.answer.record["failed"] = [{"path": "/films/bad.mov", "reason": "no video in it"}]
    run = block(page.document(made.tracks, made.answer.people, None, told(made)), "run")
    assert run["stages"] == [
        {"name": "ingest", "seconds": 2.0, "counts": {"frames": 300}},
        {"name": "embed", "seconds": 0.5, "counts": {"model": "sface"}},
        {"name": "cluster", "seconds": 1.0, "counts": {"people": 2}},
    ]
    assert (run["frames"], run["warnings"]) == (300, ["look at person 1"])
    assert run["failed"] == [{"path": "/films/bad.mov", "reason": "no video in it"}]


def test_another_name_makes_another_report_and_another_time_does_not(made: Made) -> None:
    before = told(made).identity
    assert page.Told(made.names, {"stages": {}, "started": "later"}).identity == before
    assert told(made, {1: "Bea", 2: None}).identity != before
