"""What the sampler keeps of the tracks: crops by the clock, gaps filled, one face to stand for each track."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import fakes
import numpy as np
import pytest
from fakes import Face, film
from numpy.typing import NDArray

from vcn_trt.backends.base import FrameBatch, RawFaces
from vcn_trt.config import CropsConfig, TrackConfig
from vcn_trt.ingest.sample import FACE_ROW, SampledCrops, SampledTracks, Sampler
from vcn_trt.ingest.track import Tracker
from vcn_trt.types import CROP_SIZE


class Sampled(NamedTuple):
    tracks: SampledTracks
    crops: SampledCrops
    rows: NDArray[np.void]
    pictures: NDArray[np.uint8]


def sample(
    folder: Path,
    frames: Sequence[Sequence[Face] | None],
    times: Sequence[float] | None = None,
    cuts: Sequence[int] = (),
    config: CropsConfig | None = None,
    fps: float = 24.0,
) -> Sampled:
    """Through the sampler frame by frame; None: the detector did not look."""
    ops = fakes.FakeOps()
    sampler = Sampler(Tracker(TrackConfig(), fps), ops, config or CropsConfig(), TrackConfig(), folder)
    scripted = film([f or () for f in frames], times=times)
    for i, (frame, seconds) in enumerate(zip(scripted.frames, scripted.seconds(), strict=True)):
        batch = FrameBatch([frame], np.array([i]), np.array([seconds]))
        faces = RawFaces(
            np.array([f.box for f in frame.faces], np.float32).reshape(-1, 4),
            np.array([f.score for f in frame.faces], np.float32),
            np.array([f.landmarks for f in frame.faces], np.float32).reshape(-1, 5, 2),
        )
        if i in cuts:
            sampler.cut()
        sampler.step(batch, 0, None if frames[i] is None else faces)
    tracks, crops = sampler.finish()
    pictures = np.fromfile(folder / "crops.bin", np.uint8).reshape(-1, CROP_SIZE, CROP_SIZE, 3)
    return Sampled(tracks, crops, np.fromfile(folder / "faces.bin", FACE_ROW), pictures)


def still(n: int, x: float = 100.0) -> list[list[Face]]:
    return [[Face(x)] for _ in range(n)]


def test_a_crop_is_taken_at_the_first_face_and_each_half_second_after(tmp_path: Path) -> None:
    found = sample(tmp_path, still(49))
    assert found.crops.frame.tolist() == [0, 12, 24, 36, 48]
    assert found.pictures[:, 0, 0, 0].tolist() == [0, 12, 24, 36, 48]
    assert found.tracks.n_crops.tolist() == [5]


def test_the_grid_is_of_time_where_the_rate_varies(tmp_path: Path) -> None:
    times = [0, 0.04, 0.08, 0.6, 0.64, 0.99, 1.0, 1.04, 2.7, 2.74, 3.01]
    # Due at 0; at 0.5 (taken at 0.6), at 1.0, at 1.5 (taken at 2.7: 2.0 and 2.5 have passed with it), at 3.0.
    assert sample(tmp_path, still(11), times).crops.frame.tolist() == [0, 3, 6, 8, 10]


def test_a_late_crop_does_not_shift_those_after_it(tmp_path: Path) -> None:
    frames: list[list[Face]] = still(40)
    frames[12] = []  # the face is not seen when its crop is due
    assert sample(tmp_path, frames).crops.frame.tolist() == [0, 13, 24, 36]


def test_a_rounded_time_base_loses_no_crop(tmp_path: Path) -> None:
    times = np.round(np.arange(60) / 23.976, 3)  # milliseconds, as Matroska has them
    assert sample(tmp_path, still(60), times.tolist()).crops.frame.tolist() == [0, 12, 24, 36, 48]


def test_a_gap_is_filled_linearly_and_says_so(tmp_path: Path) -> None:
    frames: list[list[Face]] = [[Face(100 + 2 * i)] for i in range(10)]
    frames[4] = frames[5] = []
    times = [0, 0.04, 0.08, 0.12, 0.2, 0.22, 0.24, 0.28, 0.32, 0.36]
    rows = sample(tmp_path, frames, times).rows
    assert rows["frame"].tolist() == list(range(10))
    assert rows["seconds"].tolist() == times
    assert np.flatnonzero(rows["interpolated"]).tolist() == [4, 5]
    assert np.allclose(rows["box"][:, 0], 100 + 2 * np.arange(10), atol=1e-3)
    assert np.flatnonzero(np.isnan(rows["sharpness"])).tolist() == [4, 5]


def test_frames_the_detector_did_not_look_at_are_filled(tmp_path: Path) -> None:
    frames = [[Face(100 + 2 * i)] if i % 4 == 0 else None for i in range(25)]
    found = sample(tmp_path, frames)
    assert (found.tracks.start.tolist(), found.tracks.stop.tolist()) == ([0], [25])
    assert found.rows["frame"].tolist() == list(range(25))
    assert np.flatnonzero(~found.rows["interpolated"]).tolist() == [0, 4, 8, 12, 16, 20, 24]


def test_seconds_are_the_frames_own_to_the_last_bit(tmp_path: Path) -> None:
    times = (np.cumsum(np.random.default_rng(3).uniform(0.01, 0.1, 30)) + 3600).tolist()
    assert sample(tmp_path, still(30), times).rows["seconds"].tolist() == times


def test_a_face_seen_once_in_a_longer_shot_is_discarded(tmp_path: Path) -> None:
    frames: list[list[Face]] = [[Face(100)] if i != 5 else [Face(100), Face(220)] for i in range(10)]
    found = sample(tmp_path, frames)
    assert len(found.tracks) == 1
    assert set(found.rows["box"][:, 0].tolist()) == {100.0}
    assert found.crops.frame.tolist() == [0]


def test_the_face_of_a_shot_of_one_frame_is_kept_as_a_short_track(tmp_path: Path) -> None:
    found = sample(tmp_path, [*still(6), [Face(200)], *still(6)], cuts=(6, 7))
    assert found.tracks.shot.tolist() == [0, 1, 2]
    assert found.tracks.start.tolist() == [0, 6, 7]
    assert found.tracks.n_faces.tolist() == [6, 1, 6]
    assert found.tracks.status.tolist() == ["ok", "short", "ok"]


def test_tracks_are_ordered_by_start_then_from_left_to_right(tmp_path: Path) -> None:
    frames = [[Face(220), Face(20), Face(120)] for _ in range(5)] + [[Face(x) for x in (220, 20, 120)] for _ in "ab"]
    found = sample(tmp_path, frames)
    assert found.tracks.left.tolist() == [20.0, 120.0, 220.0]
    for first, n, left in zip(found.tracks.first_face, found.tracks.n_faces, found.tracks.left, strict=True):
        assert set(found.rows["box"][first : first + n, 0].tolist()) == {left}


def test_the_representative_frame_is_the_most_frontal_kept_crop(tmp_path: Path) -> None:
    turned = {0: 9.0, 12: 2.0, 24: 0.0, 36: 5.0}
    blurred = {24: 0.5}  # the most frontal of all is rejected
    frames = [[Face(100, turned=turned.get(i, 7.0), sharpness=blurred.get(i, 50.0))] for i in range(40)]
    found = sample(tmp_path, frames)
    assert found.crops.reason.tolist() == ["", "", "blur", ""]
    assert found.tracks.representative_frame.tolist() == [12]


def test_where_every_crop_is_rejected_the_most_frontal_of_them_stands_for_the_track(tmp_path: Path) -> None:
    frames = [[Face(100, side=7, turned=3.0 - i / 12)] for i in range(25)]
    found = sample(tmp_path, frames)
    assert set(found.crops.reason) == {"size"}
    assert found.tracks.status.tolist() == ["crops"]
    assert found.tracks.representative_frame.tolist() == [24]


def test_crops_point_to_their_pictures_also_when_tracks_overlap(tmp_path: Path) -> None:
    frames: list[list[Face]] = []
    for i in range(40):
        frames.append([Face(20)] * (i < 30) + [Face(200)] * (i >= 5))
    found = sample(tmp_path, frames)
    assert found.crops.frame.tolist() == [0, 12, 24, 5, 17, 29]
    assert found.pictures[found.crops.row][:, 0, 0, 0].tolist() == [0, 12, 24, 5, 17, 29]
    assert sorted(found.crops.row.tolist()) == list(range(6))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_video_without_faces_leaves_two_empty_files(tmp_path: Path, n: int) -> None:
    found = sample(tmp_path, [[]] * n)
    assert (len(found.tracks), len(found.crops), len(found.rows), len(found.pictures)) == (0, 0, 0, 0)
