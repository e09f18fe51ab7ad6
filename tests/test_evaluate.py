"""Boxes to people and a run to its scores, worked by hand on little productions."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vcn_trt import labels
from vcn_trt.errors import LabelError
from vcn_trt.evaluate import evaluate, table
from vcn_trt.labels import LabelledShot, LabelledTrack, Labels
from vcn_trt.matching import _pair, assign, match_tracks
from vcn_trt.types import Clusters, Crops, Faces, Shots, Tracks, TrackSet, Video

Box = tuple[float, float, float, float]
LEFT: Box = (0, 0, 10, 10)
RIGHT: Box = (100, 0, 110, 10)


def labelled(number: int, name: str | None, frames: Sequence[int], box: Box = LEFT) -> LabelledTrack:
    return LabelledTrack(number, 0, name, np.array(frames, np.int64), np.array([box] * len(frames), np.float32))


def labels_of(
    tracks: Sequence[LabelledTrack],
    ignored: Sequence[LabelledTrack] = (),
    video: str = "a.mp4",
    cuts: Sequence[int] = (),
    **keys: tuple[int, ...],
) -> Labels:
    starts = [0, *cuts]
    shots = tuple(LabelledShot(i, a, b) for i, (a, b) in enumerate(zip(starts, [*cuts, 1000], strict=True)))
    path = Path(video).with_suffix(".gt.json")
    return Labels(path, video, Fraction(25), 640, 360, 1000, shots, tuple(tracks), tuple(ignored), **keys)


def video_of(number: int, path: str) -> Video:
    return Video(number, path, Fraction(25), 1000, 640, 360)


def production(
    rows: Sequence[tuple[int, int, int, Box]], videos: Sequence[str] = ("a.mp4",), cuts: Sequence[int] = ()
) -> TrackSet:
    """rows: track, video, frame, box."""
    rows = sorted(rows, key=lambda row: (row[0], row[2]))
    faces = Faces.empty(len(rows)).with_columns(
        track=np.array([r[0] for r in rows], np.int32),
        video=np.array([r[1] for r in rows], np.int32),
        frame=np.array([r[2] for r in rows], np.int64),
        box=np.array([r[3] for r in rows], np.float32).reshape(-1, 4),
    )
    n = max((r[0] for r in rows), default=-1) + 1
    tracks = Tracks.empty(n).with_columns(
        track=np.arange(n), video=np.array([next(r[1] for r in rows if r[0] == t) for t in range(n)], np.int32)
    )
    starts = np.array([0, *cuts], np.int64)
    shots = Shots.empty(len(starts)).with_columns(start=starts, stop=np.array([*cuts, 1000], np.int64))
    return TrackSet(
        videos=[video_of(i, f"/films/{name}") for i, name in enumerate(videos)],
        shots=shots,
        faces=faces,
        tracks=tracks,
        crops=Crops.empty(),
        images=np.empty((0, 112, 112, 3), np.uint8),
    )


def rows_of(track: int, frames: Sequence[int], box: Box = LEFT, video: int = 0) -> list[tuple[int, int, int, Box]]:
    return [(track, video, frame, box) for frame in frames]


def clusters(*numbers: int) -> Clusters:
    return Clusters(np.array(numbers, np.int32), np.full(len(numbers), np.nan, np.float32))


def matched(track_set: TrackSet, one: Labels) -> Sequence[str | None]:
    return match_tracks(track_set.faces, {0: one}, track_set.n_tracks, track_set.tracks.video).identity


def test_overlap_decides_at_four_tenths() -> None:
    # Inside a box of 10 x 10, one of 10 x 3.9 has an IoU of 0.39, one of 10 x 4.1 of 0.41.
    truth = labels_of([labelled(0, "ann", [5])])
    assert matched(production(rows_of(0, [5], (0, 0, 10, 3.9))), truth) == [None]
    assert matched(production(rows_of(0, [5], (0, 0, 10, 4.1))), truth) == ["ann"]


def test_a_track_is_whom_it_meets_in_most_frames() -> None:
    truth = labels_of([labelled(0, "ann", range(3)), labelled(1, "bob", range(3, 10))])
    assert matched(production(rows_of(0, range(10))), truth) == ["bob"]
    # Frames without any labelled box have no say.
    assert matched(production(rows_of(0, [0, 1, *range(50, 90)])), truth) == ["ann"]


def test_equal_frames_are_decided_by_overlap() -> None:
    truth = labels_of([labelled(0, "ann", [0]), labelled(1, "bob", [1])])
    face = rows_of(0, [0], (0, 0, 10, 8)) + rows_of(0, [1], (0, 0, 10, 9))
    assert matched(production(face), truth) == ["bob"]


def test_a_labelled_box_has_one_face_the_better_one() -> None:
    truth = labels_of([labelled(0, "ann", [0])])
    two = production(rows_of(0, [0], (0, 0, 10, 8)) + rows_of(1, [0], (0, 0, 10, 9)))
    assert matched(two, truth) == [None, "ann"]


def test_ignored_and_unmatched_tracks_are_left_out_apart() -> None:
    truth = labels_of([labelled(0, "ann", [0, 1])], [labelled(9, None, range(2, 9))])
    tracks = rows_of(0, range(1, 9)) + rows_of(1, range(3, 9), (1, 0, 10, 10)) + rows_of(2, [0], RIGHT)
    track_set = production([row for row in tracks if row[0] != 1 or row[2] > 8] + rows_of(1, [2], (0, 0, 10, 9)))
    result = evaluate(track_set, clusters(1, 2, 3), [truth])
    # Track 0 meets Ann once and ignored boxes seven times: it is Ann. Track 1 loses frame 2 to it and meets nothing.
    assert (result.tracks, result.matched, result.ignored, result.unmatched) == (3, 1, 0, 2)
    only_ignored = production(rows_of(0, [5, 6]) + rows_of(1, [0]) + rows_of(2, [0], RIGHT))
    result = evaluate(only_ignored, clusters(1, 2, 3), [truth])
    assert (result.matched, result.ignored, result.unmatched, result.unlabelled) == (1, 1, 1, 0)
    assert result.with_unknown.tracks == 1


def test_two_videos_share_one_cast() -> None:
    track_set = production(rows_of(0, [5]) + rows_of(1, [5], video=1) + rows_of(2, [5], RIGHT, 1), ["a.mp4", "b.mp4"])
    first = labels_of([labelled(0, "ann", [5])])
    second = labels_of([labelled(0, "ann", [5], RIGHT), labelled(1, "bob", [5])], video="b.mp4")
    result = evaluate(track_set, clusters(1, 2, 1), [second, first])
    assert [p.name for p in result.people] == ["ann", "bob"]
    assert result.people[0].clusters == {1: 2}
    assert (result.with_unknown.wcp, result.with_unknown.pcr) == (1.0, 1.0)
    # Labels for one of the two: the other's tracks are counted apart.
    result = evaluate(track_set, clusters(1, 2, 1), [first])
    assert (result.matched, result.unmatched, result.unlabelled) == (1, 0, 2)


def test_coverage_of_tracks_and_of_labelled_faces() -> None:
    truth = labels_of([labelled(0, "ann", range(10)), labelled(1, "bob", range(10), RIGHT)])
    track_set = production(rows_of(0, range(8)) + rows_of(1, range(3), RIGHT) + rows_of(2, range(4, 6), RIGHT))
    result = evaluate(track_set, clusters(1, 2, -1), [truth])
    assert result.boxes == 20
    assert result.box_coverage == pytest.approx((8 + 3 + 2) / 20)
    assert result.box_coverage_known == pytest.approx((8 + 3) / 20)
    assert result.coverage == pytest.approx(2 / 3)
    assert result.with_unknown.wcp == pytest.approx(2 / 3)
    assert result.without_unknown.wcp == 1.0


def test_mixed_tracks_and_identity_switches() -> None:
    truth = labels_of([labelled(0, "ann", range(20)), labelled(1, "bob", range(20, 60))])
    mixed = evaluate(production(rows_of(0, range(60))), clusters(1), [truth])
    assert [(m.track, dict(m.frames)) for m in mixed.mixed_tracks] == [(0, {"ann": 20, "bob": 40})]
    assert mixed.identity_switches == 1
    # Three frames of 23 are more than two, and more than a tenth; two frames, or four of 44, are a stray box.
    assert len(evaluate(production(rows_of(0, range(17, 40))), clusters(1), [truth]).mixed_tracks) == 1
    assert not evaluate(production(rows_of(0, range(18, 22))), clusters(1), [truth]).mixed_tracks
    stray = evaluate(production(rows_of(0, range(16, 60))), clusters(1), [truth])
    assert (len(stray.mixed_tracks), stray.identity_switches) == (0, 1)


def test_who_is_split_mixed_and_missed() -> None:
    people = [labelled(0, "ann", [0]), labelled(1, "ann", [1]), labelled(2, "ann", [2]), labelled(3, "bob", [3])]
    truth = labels_of([*people, labelled(4, "cy", [4])])
    track_set = production([row for t in range(4) for row in rows_of(t, [t])])
    result = evaluate(track_set, clusters(1, 1, 2, 1), [truth])
    ann, bob, cy = result.people
    assert (ann.tracks, dict(ann.clusters), ann.mostly, ann.purity) == (3, {1: 2, 2: 1}, [1, 2], 0.75)
    assert (dict(bob.clusters), bob.mostly, math.isnan(bob.purity)) == ({1: 1}, [], True)
    assert (cy.tracks, result.missed) == (0, ["cy"])
    assert [(m.cluster, dict(m.people)) for m in result.mixed_clusters] == [(1, {"ann": 2, "bob": 1})]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table(result))
    text = console.export_text()
    assert "3 tracks: 2 in 1, 1 in 2" in text
    assert "cluster 1 mixes" in text
    assert "not found" in text
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["people"][1]["purity"] is None
    assert plain["with_unknown"]["wcp"] == 0.75


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([100, 200, 300], (3, 3, 1.0, 1.0)),
        ([98, 202], (2, 2, 1.0, 2 / 3)),
        ([97, 203, 300], (3, 1, 1 / 3, 1 / 3)),
        ([99, 101, 300], (3, 2, 2 / 3, 2 / 3)),
        ([], (0, 0, math.nan, 0.0)),
    ],
)
def test_cuts_within_two_frames_are_found_once(predicted: list[int], expected: tuple[int, int, float, float]) -> None:
    truth = labels_of([labelled(0, "ann", [5])], cuts=[100, 200, 300])
    cuts = evaluate(production(rows_of(0, [5]), cuts=predicted), clusters(1), [truth]).cuts
    assert cuts is not None
    found = (cuts.predicted, cuts.right, cuts.precision, cuts.recall)
    assert found == pytest.approx(expected, nan_ok=True)
    assert cuts.labelled == 3


def test_false_cuts_are_wrong_and_dissolves_do_not_count() -> None:
    truth = labels_of([labelled(0, "ann", [5])], cuts=[100, 200], false_cuts=(200,), dissolves=(500,))
    cuts = evaluate(production(rows_of(0, [5]), cuts=[100, 200, 495]), clusters(1), [truth]).cuts
    assert cuts is not None
    assert (cuts.labelled, cuts.predicted, cuts.right, cuts.precision, cuts.recall) == (1, 2, 1, 0.5, 1.0)


def test_labels_find_their_video_by_name() -> None:
    videos = [video_of(4, "/films/a.mp4"), video_of(7, "b.mkv")]
    one, other = labels_of([], video="a.mp4"), labels_of([], video="b")
    assert assign([other, one], videos) == {4: one, 7: other}


def test_one_label_file_and_one_video_match_under_any_name_and_a_note_says_so() -> None:
    truth = labels_of([labelled(0, "ann", [5])], video="takes [v2].mov")
    result = evaluate(production(rows_of(0, [5])), clusters(1), [truth])
    note = "takes [v2].gt.json is for takes [v2].mov, and was compared with /films/a.mp4"
    assert (result.matched, list(result.notes), result.to_dict()["notes"]) == (1, [note], [note])
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table(result))
    assert console.export_text().splitlines()[-1].strip() == f"Note: {note}"
    same = evaluate(production(rows_of(0, [5])), clusters(1), [labels_of([labelled(0, "ann", [5])])])
    assert list(same.notes) == []


def test_labels_of_another_number_of_frames_are_refused() -> None:
    # The labels are for 1000 frames.
    for frames in (998, 1002):
        assert assign([labels_of([])], [replace(video_of(0, "a.mp4"), frames=frames)]).keys() == {0}
    for frames in (997, 1003):
        with pytest.raises(LabelError, match=rf"for a video of 1000 frames, a\.mp4 has {frames}"):
            assign([labels_of([])], [replace(video_of(0, "a.mp4"), frames=frames)])
    unknown = replace(labels_of([]), frames=None)
    assert assign([unknown], [replace(video_of(0, "a.mp4"), frames=9)]).keys() == {0}


def test_of_videos_of_one_name_the_folders_decide() -> None:
    videos = [
        video_of(0, "/films/s1/ep1/a.mp4"),
        video_of(1, "/films/s1/ep2/a.mp4"),
        video_of(2, "/films/s2/ep1/a.mp4"),
    ]
    for named, expected in {"ep2/a.mp4": 1, "s2/ep1/a.mp4": 2, "s1/ep1/a": 0, "/disk/s2/ep1/a.mp4": 2}.items():
        assert assign([labels_of([], video=named)], videos).keys() == {expected}
    # A name alone counts as in the folder of the label file.
    beside = [replace(labels_of([]), path=Path(f"/labels/{folder}/a.json")) for folder in ("s2/ep1", "ep2")]
    assert assign(beside, videos) == {1: beside[1], 2: beside[0]}
    with pytest.raises(LabelError, match=r"fits 2 videos .* ep1/a\.mp4 \(.*/films/s1/ep1/a\.mp4, .*/films/s2/ep1/a"):
        assign([labels_of([], video="ep1/a.mp4")], videos)
    elsewhere = labels_of([labelled(0, "ann", [5])], video="old/a.mp4")
    notes = evaluate(production(rows_of(0, [5])), clusters(1), [elsewhere]).notes
    assert list(notes) == ["old/a.gt.json is for old/a.mp4, and was compared with /films/a.mp4"]


@pytest.mark.parametrize(
    ("names", "videos", "message"),
    [
        (
            ["c.mp4"],
            ["x/a.mp4", "b.mp4"],
            r"c\.gt\.json fits no video .* for c\.mp4 \(c\.gt.*\); .* x/a\.mp4, b\.mp4",
        ),
        (["a.mp4"], ["x/a.mp4", "y/a.mp4"], r"a\.gt\.json fits 2 videos"),
        (["a.mp4", "a.mp4"], ["a.mp4", "b.mp4"], "are both labels of"),
        (["a.mp4"], [], "fits no video of the run: .* videos are none"),
        ([], ["a.mp4"], "no label file was given"),
    ],
)
def test_labels_without_their_video_are_refused(names: list[str], videos: list[str], message: str) -> None:
    known = [video_of(i, path) for i, path in enumerate(videos)]
    with pytest.raises(LabelError, match=message):
        assign([labels_of([], video=name) for name in names], known)


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(LabelError, match=r"pictures of 640x360, a\.mp4 has 1280x720"):
        assign([labels_of([])], [replace(video_of(0, "a.mp4"), width=1280, height=720)])


def test_a_run_without_any_face_is_evaluated() -> None:
    result = evaluate(production([]), clusters(), [labels_of([labelled(0, "ann", [5])])])
    assert (result.tracks, result.matched, result.box_coverage, result.missed) == (0, 0, 0.0, ["ann"])
    assert result.to_dict()["with_unknown"]["wcp"] is None


def test_the_labels_themselves_are_a_perfect_run(footage: Path) -> None:
    truth = labels.read(footage / "episodes" / "sitcom.gt.json")
    everyone = [*truth.tracks, *truth.ignore_tracks]
    track_set = production(
        [
            (i, 0, int(f), tuple(b.tolist()))
            for i, t in enumerate(everyone)
            for f, b in zip(t.frames, t.boxes, strict=True)
        ],
        cuts=[s.start for s in truth.shots[1:]],
    )
    video = Video(0, "sitcom.mp4", Fraction(24000, 1001), 1972, 1280, 720)
    people = [truth.identities.index(t.identity) + 1 if t.identity else 9 for t in everyone]
    result = evaluate(replace(track_set, videos=[video]), clusters(*people), [truth])
    assert (result.tracks, result.matched, result.ignored, result.unmatched) == (71, 64, 7, 0)
    assert (result.box_coverage, result.box_coverage_known, result.identity_switches) == (1, 1, 0)
    assert (result.with_unknown.wcp, result.with_unknown.pcr, result.with_unknown.nmi) == (1, 1, 1)
    # The labels say of one of their own cuts, of 39, that it is none.
    assert result.cuts is not None
    assert (result.cuts.labelled, result.cuts.right, result.cuts.predicted) == (38, 38, 39)


boxes = st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(1, 6)).map(lambda b: (b[0], b[1], b[1] + b[2]))


@given(st.lists(boxes, max_size=12), st.lists(boxes, max_size=12))
def test_pairing_equals_going_down_the_list_one_by_one(
    faces: list[tuple[int, int, int]], truth: list[tuple[int, int, int]]
) -> None:
    # (frame, x1, x2), all of one height: the IoU is that of the intervals.
    expected, iou_of = [], {}
    for i, (frame, a, b) in enumerate(faces):
        for j, (other, c, d) in enumerate(truth):
            common = max(0, min(b, d) - max(a, c))
            iou = common / (b - a + d - c - common)
            if frame == other and iou >= 0.4:
                iou_of[i, j] = iou
    for i, j in sorted(iou_of, key=lambda pair: (-iou_of[pair], pair)):
        if all(i != p and j != q for p, q in expected):
            expected.append((i, j))

    def columns(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        box = np.array([(a, 0, b, 1) for _, a, b in rows], np.float32).reshape(-1, 4)
        return np.zeros(len(rows), np.int64), np.array([r[0] for r in rows], np.int64), box

    left, right, _ = _pair(*columns(faces), *columns(truth), 0.4)
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == sorted(expected)
