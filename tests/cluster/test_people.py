"""How long a person is on screen, by which face he is shown, and who is seen together with whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.cluster.people import _representative, screen_seconds, seen_together, together
from vcn_trt.cluster.stage import judged
from vcn_trt.config import ClusterConfig, QualityConfig
from vcn_trt.ingest.align import TEMPLATE
from vcn_trt.types import CROP_SIZE, Faces, Tracks

Span = tuple[int, int, int]


def faces_of(*spans: Span, fps: Sequence[float] = (10, 10)) -> Faces:
    """A track a span: its video, first and last frame, a face in each frame between."""
    rows = [(track, video, frame) for track, (video, a, b) in enumerate(spans) for frame in range(a, b + 1)]
    track, video, frame = np.array(rows).T
    return Faces.empty(len(rows)).with_columns(
        track=track, video=video, frame=frame, seconds=frame / np.array(fps, float)[video]
    )


def seconds(*spans: Span, own: Sequence[int] | None = None, fps: Sequence[float] = (10, 10)) -> float:
    chosen = np.arange(len(spans)) if own is None else np.array(own)
    return screen_seconds(faces_of(*spans, fps=fps), chosen, fps)


def test_one_face_is_seen_for_one_frame_and_ten_for_ten() -> None:
    assert seconds((0, 7, 7)) == pytest.approx(0.1)
    assert seconds((0, 7, 16)) == pytest.approx(1.0)


def test_what_two_tracks_show_at_once_counts_once() -> None:
    # Frames 0 to 9 and 5 to 14 at ten a second: 1.5 s and not 2.
    assert seconds((0, 0, 9), (0, 5, 14)) == pytest.approx(1.5)
    assert seconds((0, 5, 14), (0, 0, 9)) == pytest.approx(1.5)
    # One inside the other, and a third that begins inside the first, after the second has ended.
    assert seconds((0, 0, 19), (0, 5, 9), (0, 12, 21)) == pytest.approx(2.2)


def test_a_gap_between_tracks_does_not_count() -> None:
    assert seconds((0, 0, 9), (0, 20, 29)) == pytest.approx(2.0)


def test_the_same_times_of_two_videos_count_twice_each_at_its_own_rate() -> None:
    assert seconds((0, 0, 9), (1, 0, 9)) == pytest.approx(2.0)
    assert seconds((0, 0, 9), (1, 0, 9), fps=(10, 20)) == pytest.approx(1.5)


def test_other_peoples_tracks_do_not_count() -> None:
    assert seconds((0, 0, 9), (0, 5, 30), (1, 0, 4), own=[0, 2]) == pytest.approx(1.5)


def representative(*faces: tuple[float, float]) -> int:
    """The track that is shown, of tracks of three faces each. faces: the side of the middle one, its representative,
    in pixels, and by how much of that its nose is off."""
    n = len(faces)
    table = faces_of(*[(0, 10 * i, 10 * i + 2) for i in range(n)])
    # Faces beside the representatives, large and frontal: they must not be taken.
    boxes = np.tile(np.array([0, 0, 500, 500], np.float32), (3 * n, 1))
    landmarks = np.tile(TEMPLATE.astype(np.float32), (3 * n, 1, 1))
    for i, (side, turned) in enumerate(faces):
        boxes[3 * i + 1] = (0, 0, side, side + 5)
        landmarks[3 * i + 1] = TEMPLATE * side / CROP_SIZE
        landmarks[3 * i + 1, 2, 0] += turned * side
    table = table.with_columns(box=boxes, landmarks=landmarks)
    own = Tracks.empty(n).with_columns(track=np.arange(n), representative_frame=10 * np.arange(n) + 1)
    row = _representative(table, own)
    assert row % 3 == 1
    return row // 3


def test_a_person_is_shown_by_the_most_frontal_face_of_those_that_are_large_enough() -> None:
    assert representative((80, 0.0)) == 0
    assert representative((80, 0.15), (80, 0.02), (80, 0.1)) == 1
    # The smallest is the most frontal, and below the median of 60 pixels: 60 and 100 remain.
    assert representative((20, 0.0), (60, 0.05), (100, 0.15)) == 1
    assert representative((20, 0.0), (60, 0.15), (100, 0.05)) == 2


def tracks_of(*spans: Span) -> Tracks:
    """A track a span: its video, first frame, and the frame behind its last."""
    video, start, stop = np.array(spans).reshape(-1, 3).T
    return Tracks.empty(len(spans)).with_columns(track=np.arange(len(spans)), video=video, start=start, stop=stop)


spans = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 15), st.integers(1, 9)), max_size=10)


@given(spans)
def test_tracks_are_seen_together_where_they_have_a_frame_in_common(found: list[Span]) -> None:
    tracks = [(video, start, start + n) for video, start, n in found]
    naive = [
        [i, j]
        for i, (video, start, stop) in enumerate(tracks)
        for j, (other, begin, end) in enumerate(tracks)
        if i < j and video == other and set(range(start, stop)) & set(range(begin, end))
    ]
    assert seen_together(tracks_of(*tracks)).tolist() == naive


def test_tracks_that_follow_each_other_are_not_seen_together() -> None:
    assert seen_together(tracks_of((0, 0, 10), (0, 10, 20), (1, 5, 15))).tolist() == []
    assert seen_together(tracks_of((0, 0, 11), (0, 10, 20), (0, 0, 30))).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_someone_seen_twice_in_one_frame_is_told_once() -> None:
    pairs = np.array([[0, 1], [0, 2], [3, 4], [5, 6]])
    labels = np.array([1, 1, 1, 2, 3, -1, -1], np.int32)
    (told,) = together(pairs, labels, ClusterConfig(cannot_link="warn"))
    assert "person 1 is seen twice" in told
    assert together(pairs, labels, ClusterConfig(cannot_link="off")) == []
    assert together(pairs[:0], labels, ClusterConfig()) == []


def judged_tracks() -> Tracks:
    """Median quality of the tracks that are ok: 0.5. The last one's crops were rejected."""
    return Tracks.empty(6).with_columns(
        quality=np.array([0.5, 0.51, 0.49, 0.5, 0.1, 0.05]), status=np.array(["ok"] * 5 + ["crops"])
    )


def test_the_papers_rule_makes_an_outlier_unknown_and_ours_calls_it_weak() -> None:
    table, weak = judged(judged_tracks(), 0.2, QualityConfig(rule="mad"))
    assert table.status.tolist() == ["ok"] * 4 + ["quality", "crops"]
    assert not weak.any()
    table, weak = judged(judged_tracks(), 0.2, QualityConfig())
    assert table.status.tolist() == ["ok"] * 5 + ["crops"]
    assert weak.tolist() == [False] * 4 + [True, False], "what is Unknown already is not judged"
    table, weak = judged(judged_tracks(), 0.2, QualityConfig(rule="off"))
    assert table.status.tolist() == ["ok"] * 5 + ["crops"]
    assert not weak.any()
