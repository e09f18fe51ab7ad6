"""Tables check their shapes once; a track set knows its tracks' crops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vcn_trt.types import UNKNOWN, Clusters, Crops, Detections, Faces, Shots, Table, Tracks, TrackSet


def detections(n: int) -> Detections:
    return Detections(np.arange(n), np.arange(4 * n).reshape(n, 4), np.ones(n), np.zeros((n, 5, 2)))


def test_columns_take_the_dtype_of_their_field() -> None:
    d = detections(3)
    assert (d.frame.dtype, d.box.dtype, d.score.dtype) == (np.int64, np.float32, np.float32)
    assert len(d) == 3


@pytest.mark.parametrize(
    ("column", "values"),
    [("score", np.zeros(4)), ("box", np.zeros((3, 5))), ("landmarks", np.zeros((3, 10))), ("box", np.zeros(12))],
)
def test_a_column_of_another_shape_is_refused_by_name(column: str, values: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=rf"Detections\.{column}: expected shape \(3"):
        detections(3).with_columns(**{column: values})


def test_rows_are_taken_by_slice_mask_and_index() -> None:
    d = detections(5)
    assert d[1:3].frame.tolist() == [1, 2]
    assert d[d.frame > 2].frame.tolist() == [3, 4]
    assert d[[4, 0]].box.tolist() == [[16, 17, 18, 19], [0, 1, 2, 3]]


@pytest.mark.parametrize("kind", [Detections, Shots, Faces, Tracks, Crops])
def test_every_table_can_be_empty_and_joined(kind: type[Table]) -> None:
    assert len(kind.empty()) == 0
    assert len(kind.concatenate([])) == 0
    assert len(kind.concatenate([kind.empty(2), kind.empty(), kind.empty(3)])) == 5


def test_joining_keeps_the_order() -> None:
    d = detections(4)
    assert Detections.concatenate([d[2:], d[:2]]).frame.tolist() == [2, 3, 0, 1]


def test_a_table_cannot_be_changed_and_a_copy_with_other_columns_leaves_it() -> None:
    d = detections(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        d.frame = np.zeros(2)  # type: ignore[misc]
    assert d.with_columns(frame=[7, 8]).frame.tolist() == [7, 8]
    assert d.frame.tolist() == [0, 1]


def track_set(kept: list[bool], track: list[int], n_tracks: int, n_images: int | None = None) -> TrackSet:
    n = len(kept)
    crops = Crops.empty(n).with_columns(kept=np.array(kept), track=np.array(track))
    images = np.zeros((n if n_images is None else n_images, 112, 112, 3), np.uint8)
    return TrackSet([], Shots.empty(), Faces.empty(), Tracks.empty(n_tracks), crops, images)


def test_kept_crops_by_track_leave_rejected_ones_out_and_tracks_without_any_empty() -> None:
    kept = track_set([True, False, True, False, True], [0, 0, 0, 1, 3], 4).kept_by_track()
    assert [g.tolist() for g in kept] == [[0, 2], [], [], [4]]


def test_a_track_set_needs_a_picture_a_crop() -> None:
    with pytest.raises(ValueError, match="2 crops but 3 pictures"):
        track_set([True, True], [0, 0], 1, n_images=3)


def test_the_number_of_people_is_the_highest_label() -> None:
    nan = np.full(3, np.nan, np.float32)
    assert Clusters(np.array([2, UNKNOWN, 1], np.int32), nan).n_clusters == 2
    assert Clusters(np.full(3, UNKNOWN, np.int32), nan).n_clusters == 0
    assert Clusters(np.zeros(0, np.int32), nan[:0]).n_clusters == 0
