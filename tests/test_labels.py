"""Label files: what is read, and that each way of being wrong is named with its file, track and finding."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vcn_trt import labels
from vcn_trt.errors import LabelError

GOOD: dict[str, Any] = {
    "video": "film.mp4",
    "fps": 23.976,
    "width": 1280,
    "height": 720,
    "frames": 100,
    "seed": 7,
    "shots": [{"index": 1, "start": 40, "end": 100}, {"index": 0, "start": 0, "end": 40, "kind": "CU"}],
    "identities": ["Ann", "Bob", "Someone who never appears"],
    "tracks": [
        {
            "track_id": 3,
            "shot": 0,
            "identity": "Bob",
            "frames": [2, 3, 7],
            "boxes": [[1, 2, 3, 4.5]] * 3,
            "still": False,
        },
        {"track_id": 4, "shot": 1, "identity": "Ann", "frames": [50], "boxes": [[-5.5, 0, 3, 4]]},
    ],
}


def write(folder: Path, tree: Any) -> Path:
    path = folder / "film.gt.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree), encoding="utf-8")
    return path


def test_json_labels_are_read(tmp_path: Path) -> None:
    read = labels.read(write(tmp_path, GOOD))
    assert (read.video, read.fps, read.width, read.height, read.frames) == (
        "film.mp4",
        Fraction(23976, 1000),
        1280,
        720,
        100,
    )
    assert [(s.index, s.start, s.stop) for s in read.shots] == [(0, 0, 40), (1, 40, 100)]
    assert read.identities == ("Ann", "Bob")
    bob = read.tracks[0]
    assert (bob.track_id, bob.shot, bob.identity, bob.frames.tolist()) == (3, 0, "Bob", [2, 3, 7])
    np.testing.assert_array_equal(bob.boxes, np.array([[1, 2, 3, 4.5]] * 3, np.float32))
    assert (read.ignore_tracks, read.false_cuts, read.dissolves) == ((), (), ())


def test_optional_keys_are_read(tmp_path: Path) -> None:
    tree = GOOD | {
        "fps": "24000/1001",
        "ignore_tracks": [{"track_id": 3, "shot": 0, "identity": "ignore", "frames": [9], "boxes": [[0, 0, 1, 1]]}],
        "false_cuts_in_shots": [40],
        "missed_transitions": [{"type": "dissolve", "around": 77}],
    }
    read = labels.read(write(tmp_path, tree))
    assert read.fps == Fraction(24000, 1001)
    assert [(t.track_id, t.identity) for t in read.ignore_tracks] == [(3, None)]
    assert (read.false_cuts, read.dissolves) == ((40,), (77,))


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    tree = GOOD | {"ignore_tracks": [GOOD["tracks"][0]], "false_cuts_in_shots": [40], "fps": "24000/1001"}
    first = labels.read(write(tmp_path, tree))
    labels.write(first, tmp_path / "again.json")
    again = labels.read(tmp_path / "again.json")
    for name in ("video", "fps", "width", "height", "frames", "shots", "false_cuts", "dissolves"):
        assert getattr(again, name) == getattr(first, name)
    for one, other in zip(first.tracks + first.ignore_tracks, again.tracks + again.ignore_tracks, strict=True):
        assert (one.track_id, one.shot, one.identity) == (other.track_id, other.shot, other.identity)
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.boxes, other.boxes)


def _track(**keys: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tree: tree["tracks"][0].update(keys)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("video"), "the key 'video' is missing; found 'fps', 'width'"),
        (lambda t: t.pop("shots"), "the key 'shots' is missing"),
        (lambda t: t["tracks"][0].pop("boxes"), r"film\.gt\.json: track 3: the key 'boxes' is missing"),
        (lambda t: t["tracks"][0].pop("track_id"), "a track: the key 'track_id' is missing"),
        (lambda t: t.update(tracks={"a": 1}), "'tracks' must be list"),
        (lambda t: t.update(tracks=[5]), "a track: expected an object with keys, found '5'"),
        (lambda t: t.update(width="1280"), "'width' must be int, found '1280'"),
        (lambda t: t.update(height=0), "'height' must be above 0, found 0"),
        (lambda t: t.update(fps="24/0"), "'fps' must be a rate"),
        (lambda t: t.update(fps=-1), "'fps' must be a rate"),
        (lambda t: t["shots"][0].update(end=40), "shot 0: expected 0 <= start < end, found start 40, end 40"),
        (lambda t: t.update(false_cuts_in_shots=["x"]), "'false_cuts_in_shots' must list frame numbers, found 'x'"),
        (_track(frames=[2, 3]), "track 3: expected one box a frame, at least one; found 2 frames, 3 boxes"),
        (_track(frames=[], boxes=[]), "found 0 frames, 0 boxes"),
        (_track(frames=[2, 2, 7]), "track 3: frames must rise, found 2 before 2"),
        (_track(frames=[-1, 2, 7]), "expected frame numbers from 0, found -1"),
        (_track(frames=[1.5, 2, 7]), "expected frame numbers from 0, found 1.5"),
        (_track(boxes=[[1, 2, 3]] * 3), r"expected boxes of four numbers x1 y1 x2 y2, found \[1, 2, 3\]"),
        (_track(boxes=[[1, 2, 3, None]] * 3), "expected boxes of four numbers"),
        (_track(boxes=[[1, 2, 3, float("nan")]] * 3), "expected boxes of four numbers"),
        (
            _track(boxes=[[1, 2, 3, 4], [3, 2, 1, 4], [1, 2, 3, 4]]),
            r"track 3, frame 3: expected x1 < x2 and y1 < y2, found \[3, 2, 1, 4\]",
        ),
        (_track(identity=""), "the identity is empty"),
        (_track(identity=None), "'identity' must be str, found 'None'"),
        (_track(track_id=4), "two tracks have the track_id 4"),
    ],
)
def test_a_wrong_label_file_is_named(tmp_path: Path, spoil: Callable[[Any], Any], message: str) -> None:
    tree = copy.deepcopy(GOOD)
    spoil(tree)
    with pytest.raises(LabelError, match=message) as caught:
        labels.read(write(tmp_path, tree))
    assert "film.gt.json" in str(caught.value)


def test_a_file_that_is_no_label_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="is not JSON"):
        labels.read(write(tmp_path, '{"video": '))
    with pytest.raises(
        LabelError, match="expected JSON labels or a first line CVHCI_TRACKLABELS_V1, found 'CVHCI_OTHER'"
    ):
        labels.read(write(tmp_path, "CVHCI_OTHER\n1 ann\n"))
    with pytest.raises(LabelError, match="found ''"):
        labels.read(write(tmp_path, ""))
    with pytest.raises(LabelError, match=r"cannot read the labels .*nowhere\.json"):
        labels.read(tmp_path / "nowhere.json")
    (tmp_path / "film.mp4").write_bytes(b"\x00\x00\xff\xfe")
    with pytest.raises(LabelError, match="is no text"):
        labels.read(tmp_path / "film.mp4")


IDS = "CVHCI_TRACKLABELS_V1\n7 sheldon\n\n11 unknown_e01_1\n"


def write_ids(folder: Path, ids: str, table: str | None) -> Path:
    path = folder / "bbt_s01e01.ids"
    path.write_text(ids, encoding="utf-8")
    if table is not None:
        path.with_suffix(".tracks").write_text(table, encoding="utf-8")
    return path


def test_ids_labels_take_their_boxes_from_the_track_table(tmp_path: Path) -> None:
    header = "# faces\nframe track x y w h score\n"
    table = header + "5 7 10 20 30 40 0.9\n4 7 11 20 30 40 0.9\n4 11 100 20 30 40 0.8\n\n9 12 0 0 5 5 0.1\n"
    read = labels.read(write_ids(tmp_path, IDS, table))
    assert read.video == "bbt_s01e01"
    assert (read.fps, read.width, read.shots) == (None, None, ())
    assert [(t.track_id, t.identity) for t in read.tracks] == [(7, "sheldon"), (11, "unknown_e01_1")]
    assert [t.track_id for t in read.ignore_tracks] == [12]
    assert read.tracks[0].frames.tolist() == [4, 5]
    assert read.tracks[0].boxes.tolist() == [[11, 20, 41, 60], [10, 20, 40, 60]]


def test_a_track_table_may_hold_corners_and_commas(tmp_path: Path) -> None:
    table = "track,frame,x1,y1,x2,y2\n7,4,10,20,40,60\n11,4,1,2,3,4\n"
    read = labels.read(write_ids(tmp_path, IDS, table))
    assert read.tracks[0].boxes.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize(
    ("ids", "table", "message"),
    [
        (IDS, None, r"expected the track table bbt_s01e01\.tracks beside it"),
        (IDS, "1 2 3 4 5 6\n", "expected a first line naming the columns .* found '1 2 3 4 5 6'"),
        (IDS, "", "found ''"),
        (
            IDS,
            "track frame x y w h\n7 1 2 3 4 5\n",
            "1 named tracks are not in bbt_s01e01.tracks, the first is track 11",
        ),
        (
            IDS,
            "track frame x y w h\n7 1 2 3 4\n",
            r"line 2: expected 6 numbers \(track frame x y w h\), found '7 1 2 3 4'",
        ),
        (IDS, "track frame x y w h\n7 1 2 three 4 5\n", "line 2: expected 6 numbers"),
        (IDS, "track frame x y w h\n7 1 2 3 0 5\n11 1 2 3 4 5\n", "track 7, frame 1: expected x1 < x2"),
        (IDS, "track frame x y w h\n7 1 2 3 4 5\n7 1 2 3 4 5\n11 1 2 3 4 5\n", "track 7: frames must rise"),
        (IDS + "7 leonard\n", "", "line 5: track 7 is named a second time"),
        (IDS + "8 two names\n", "", "line 5: expected a track's number and a name, found '8 two names'"),
    ],
)
def test_wrong_ids_labels_are_named(tmp_path: Path, ids: str, table: str | None, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        labels.read(write_ids(tmp_path, ids, table))


@pytest.mark.parametrize(
    ("name", "people", "tracks", "ignored", "shots"),
    [
        ("sitcom", 6, 64, 7, 40),
        ("sitcom_180p", 6, 64, 7, 40),
        ("dev_episode", 12, 64, 0, 40),
        ("cc_episode", 11, 42, 0, 29),
    ],
)
def test_the_labelled_footage_is_read(
    footage: Path, name: str, people: int, tracks: int, ignored: int, shots: int
) -> None:
    read = labels.read(footage / "episodes" / f"{name}.gt.json")
    assert (len(read.identities), len(read.tracks), len(read.ignore_tracks), len(read.shots)) == (
        people,
        tracks,
        ignored,
        shots,
    )
    assert read.video == f"{name}.mp4"
