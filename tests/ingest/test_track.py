"""What the tracker promises, each promise on faces small enough to follow by hand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from vcn_trt import boxes
from vcn_trt.config import TrackConfig
from vcn_trt.ingest import kalman, track
from vcn_trt.ingest.track import GATE, FinishedTrack, Tracker, interpolate

FPS = 10.0  # the default buffer of one second: ten frames


def face(x: float, y: float = 100.0, side: float = 40.0) -> list[float]:
    return [x, y, x + side, y + side]


def see(tracker: Tracker, frame: int, *boxes: list[float], scores: Iterable[float] | None = None) -> list[int]:
    box = np.array(boxes, np.float32).reshape(-1, 4)
    score = np.full(len(box), 0.9) if scores is None else np.array(list(scores))
    return tracker.update(frame, box, score.astype(np.float32)).tolist()


def tracker(gate: float | None = None) -> Tracker:
    return Tracker(TrackConfig(), FPS, gate)


def test_a_still_face_is_one_confirmed_track() -> None:
    t = tracker()
    assert [see(t, f, face(10)) for f in range(5)] == [[0]] * 5
    assert t.finished() == []
    assert t.flush() == [FinishedTrack(0, True)]
    assert t.flush() == []


def test_tracks_never_cross_a_flush_and_ids_count_on() -> None:
    t = tracker()
    assert [see(t, f, face(10), face(200)) for f in range(3)] == [[0, 1]] * 3
    assert t.flush() == [FinishedTrack(0, True), FinishedTrack(1, True)]
    assert see(t, 3, face(10), face(200)) == [2, 3]


def test_a_one_frame_false_alarm_is_never_confirmed() -> None:
    t = tracker()
    assert see(t, 0, face(10)) == [0]  # not even in a first frame
    assert see(t, 1) == []
    assert t.finished() == [FinishedTrack(0, False)]
    assert see(t, 2, face(10)) == [1]
    assert t.flush() == [FinishedTrack(1, False)]


def test_low_scores_continue_a_track_but_never_start_one() -> None:
    t = tracker()
    assert see(t, 0, face(10), face(300), scores=[0.9, 0.3]) == [0, -1]
    assert see(t, 1, face(10), face(300), scores=[0.9, 0.3]) == [0, -1]
    assert see(t, 2, face(10), face(300), scores=[0.3, 0.65]) == [0, -1]  # 0.65 is confident, yet below `new`
    assert see(t, 3, face(10), face(300), scores=[0.05, 0.71]) == [-1, 1]  # 0.05 is below `low`


def test_a_doubtful_face_finds_no_lost_track() -> None:
    t = tracker()
    for f in range(3):
        see(t, f, face(10))
    see(t, 3)
    assert see(t, 4, face(10), scores=[0.3]) == [-1]
    assert see(t, 5, face(10), scores=[0.65]) == [0]


@pytest.mark.parametrize(("missed", "found"), [(1, True), (10, True), (11, False)])
def test_an_occlusion_is_survived_up_to_the_buffer(missed: int, found: bool) -> None:
    t = tracker()
    for f in range(3):
        see(t, f, face(10))
    for f in range(3, 3 + missed):
        see(t, f)
    assert see(t, 3 + missed, face(10)) == ([0] if found else [1])
    assert t.finished() == ([] if found else [FinishedTrack(0, True)])


def test_the_buffer_counts_frames_that_nobody_looked_at() -> None:
    for gap, expected in ((11, 0), (12, 1)):
        t = tracker()
        see(t, 0, face(10))
        see(t, 1, face(10))
        assert see(t, 1 + gap, face(10)) == [expected]


def test_crossing_faces_keep_their_tracks() -> None:
    t = tracker()
    for f in range(60):
        left, right = face(5.0 * f, 100), face(300 - 5.0 * f, 112)
        assert see(t, f, left, right) == [0, 1], f
    t = tracker()
    for f in range(60):  # the one behind is not seen while they cover each other
        left, right = face(5.0 * f, 100), face(300 - 5.0 * f, 108)  # IoU 0.67 at most: above 0.85 they count as one
        if abs(300 - 10 * f) < 25:
            assert see(t, f, left) == [0]
        else:
            assert see(t, f, left, right) == [0, 1], f


def test_a_moving_face_is_expected_where_it_will_be() -> None:
    t = tracker()
    for f in range(12):
        see(t, f, face(12.0 * f))
    assert see(t, 16, face(12.0 * 16)) == [0]  # without a velocity 60 px away, more than its width
    assert see(t, 17, face(12.0 * 12)) == [1]


def test_the_camera_carries_the_tracks() -> None:
    t = tracker()
    see(t, 0, face(10))
    see(t, 1, face(10))
    box, score = np.array([face(110, 130)]), np.array([0.9])
    assert t.update(2, box, score, np.array([[1, 0, 100.0], [0, 1, 30.0]])).tolist() == [0]


def test_a_stride_follows_the_same_faces_and_still_asks_for_two_looks() -> None:
    t = tracker()
    for f in range(0, 60, 3):
        assert see(t, f, face(2.0 * f), face(400 - 3.0 * f, 300)) == [0, 1]
    see(t, 60, face(900))
    see(t, 63)
    assert t.finished() == [FinishedTrack(2, False)]
    assert t.flush() == [FinishedTrack(0, True), FinishedTrack(1, True)]


def test_ids_are_the_same_in_every_run() -> None:
    rng = np.random.default_rng(0)
    frames = [(rng.uniform(0, 300, (8, 2)), rng.uniform(0, 1, 8)) for _ in range(40)]

    def run() -> list[list[int]]:
        t = tracker()
        return [t.update(f, np.hstack([low, low + 50]), s).tolist() for f, (low, s) in enumerate(frames)]

    assert run() == run()


@pytest.mark.parametrize(("lived", "stays"), [(20, 0), (3, 1)])
def test_of_two_tracks_on_one_face_the_longer_lived_stays(lived: int, stays: int) -> None:
    t = Tracker(TrackConfig(), 30)
    for f in range(lived):
        see(t, f, face(10))
    # Beside the lost box (IoU 0.16 is below 0.2) a second track begins, and drifts onto the first one's place.
    for f, x in enumerate([39, 39, 36, 33, 30, 27, 24, 21, 18, 15], start=lived + 1):
        assert see(t, f, face(x)) == [1]
        assert t.finished() == []
    assert see(t, lived + 11, face(12)) == [1]  # IoU 0.9 with the lost one
    assert t.finished() == [FinishedTrack(1 - stays, True)]
    assert see(t, lived + 12, face(12)) == [stays]


def test_the_gate_stops_a_jump_that_overlap_allows() -> None:
    for gate, expected in ((None, 0), (GATE, 1)):
        t = tracker(gate)
        for f in range(8):
            see(t, f, face(100))
        assert see(t, 8, face(120, side=44)) == [expected]  # half a face aside: another person after an unseen cut


def test_empty_frames_are_frames() -> None:
    t = tracker()
    assert see(t, 0) == []
    assert see(t, 7) == []
    assert t.flush() == []


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        ([[0, 0, np.nan, 5]], [0.9], "finite"),
        ([[0, 0, np.inf, 5]], [0.9], "finite"),
        ([[-np.inf, 0, 3, 5]], [0.9], "finite"),
        ([[5, 0, 5, 5]], [0.9], "x1 < x2"),
        ([[0, 6, 5, 5]], [0.9], "y1 < y2"),
        ([[0, 0, 5, 5]], [np.nan], "scores finite"),
        ([[0, 0, 5, 5]], [0.9, 0.8], "expected boxes"),
        ([0, 0, 5, 5], [0.9], "expected boxes"),
    ],
)
def test_boxes_that_are_none_are_refused(boxes: list[list[float]], scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tracker().update(0, np.array(boxes), np.array(scores))


def test_frames_must_rise() -> None:
    t = tracker()
    see(t, 4, face(10))
    t.flush()
    with pytest.raises(ValueError, match="frame 4 came after frame 4"):
        see(t, 4, face(10))


@pytest.mark.parametrize("fps", [0.0, -24.0, float("nan"), float("inf")])
def test_a_frame_rate_must_be_positive(fps: float) -> None:
    with pytest.raises(ValueError, match="fps"):
        Tracker(TrackConfig(), fps)


def test_the_overlap_is_that_of_boxes() -> None:
    rng = np.random.default_rng(2)
    a, b = (
        np.hstack([low, low + rng.uniform(1, 80, low.shape)]) for low in (rng.uniform(0, 90, (n, 2)) for n in (7, 5))
    )
    np.testing.assert_allclose(track.iou(kalman.measurement(a), kalman.measurement(b)), boxes.iou(a, b), atol=1e-12)


def landmarks(x: float) -> NDArray[np.float32]:
    return np.full((5, 2), x, np.float32)


def test_gaps_are_filled_on_a_straight_line() -> None:
    filled = interpolate(
        np.array([3, 4, 8]),
        np.array([[0, 0, 8, 8], [4, 0, 12, 8], [8, 16, 16, 32]]),
        np.stack([landmarks(1), landmarks(2), landmarks(6)]),
        np.array([0.5, 1.0, 0.5]),
    )
    assert filled.frame.tolist() == [3, 4, 5, 6, 7, 8]
    assert filled.interpolated.tolist() == [False, False, True, True, True, False]
    assert filled.box[2:5].tolist() == [[5, 4, 13, 14], [6, 8, 14, 20], [7, 12, 15, 26]]
    assert filled.landmarks[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert filled.score.tolist() == [0.5, 1.0, 0.875, 0.75, 0.625, 0.5]


def test_faces_that_were_seen_stay_bit_for_bit() -> None:
    rng = np.random.default_rng(1)
    box, points, score = (rng.random(s).astype(np.float32) for s in ((9, 4), (9, 5, 2), (9,)))
    frames = np.arange(9) * 5
    filled = interpolate(frames, box, points, score)
    assert filled.interpolated.sum() == 32
    for out, given in ((filled.box, box), (filled.landmarks, points), (filled.score, score)):
        assert out[~filled.interpolated].tobytes() == given.tobytes()


def test_one_face_needs_no_filling_and_frames_must_rise() -> None:
    one = interpolate(np.array([7]), np.ones((1, 4)), np.ones((1, 5, 2)), np.ones(1))
    assert one.frame.tolist() == [7]
    assert not one.interpolated.any()
    for frames in ([], [3, 3], [4, 2]):
        n = len(frames)
        with pytest.raises(ValueError, match="rise"):
            interpolate(np.array(frames, np.int64), np.ones((n, 4)), np.ones((n, 5, 2)), np.ones(n))
