"""One video in one pass, on scripted frames: cuts that are known late, strides, threads, and what a kill leaves."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import Face, FakeOps, Film, Studio, detector_of, film
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt.config import Config, IngestConfig
from vcn_trt.errors import VideoError
from vcn_trt.ingest.sample import FACE_ROW
from vcn_trt.ingest.stream import Ingested, ingest_video
from vcn_trt.types import CROP_SIZE

CONFIG = Config().ingest


def changed(**sections: dict[str, Any]) -> IngestConfig:
    return replace(CONFIG, **{name: replace(getattr(CONFIG, name), **values) for name, values in sections.items()})


def go(folder: Path, given: Film, config: IngestConfig = CONFIG, studio: Studio | None = None) -> Ingested:
    studio = studio or Studio({"a.mp4": given})
    folder.mkdir(parents=True, exist_ok=True)
    return ingest_video(
        Path("a.mp4"), 0, detector_of(studio), studio.backend, config, folder, folder / "cache", lambda done, of: None
    )


def left_by(folder: Path, found: Ingested) -> list[Any]:
    """All that one pass leaves, to compare passes with each other."""
    tables = [getattr(table, name) for table in (found.shots, found.tracks, found.crops) for name in vars(table)]
    return [
        found.video,
        *[column.tolist() for column in tables],
        *((folder / f).read_bytes() for f in ("faces.bin", "crops.bin")),
    ]


def walk(n: int, x: float = 60.0, step: float = 1.0) -> list[list[Face]]:
    return [[Face(x + step * i)] for i in range(n)]


THREE_SHOTS = film(walk(40), walk(30, 64), walk(25, 66))


def test_tracks_never_cross_a_cut_though_the_face_stays_in_its_place(tmp_path: Path) -> None:
    found = go(tmp_path, THREE_SHOTS)
    assert found.shots.start.tolist() == [0, 40, 70]
    assert found.shots.stop.tolist() == [40, 70, 95]
    assert found.tracks.start.tolist() == [0, 40, 70]
    assert found.tracks.stop.tolist() == [40, 70, 95]
    assert found.tracks.shot.tolist() == [0, 1, 2]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=7), st.sampled_from([1, 3, 4, 7]), st.integers(1, 15))
def test_whatever_the_shots_every_track_lies_in_one_of_those_found(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], batch: int, min_frames: int
) -> None:
    given = film(*[walk(n) for n in lengths])
    config = changed(decode={"batch": batch}, shots={"min_frames": min_frames})
    found = go(tmp_path_factory.mktemp("film"), given, config)
    assert found.shots.start[0] == 0
    assert found.shots.start[1:].tolist() == found.shots.stop[:-1].tolist()
    assert found.shots.stop[-1] == sum(lengths)
    shots = found.tracks.shot
    assert (found.shots.start[shots] <= found.tracks.start).all()
    assert (found.tracks.stop <= found.shots.stop[shots]).all()
    # A face in every frame: each shot of two frames and more is covered by one track, whole.
    assert (found.tracks.stop - found.tracks.start).sum() == sum(lengths)


def test_shot_times_are_the_frames_own_and_the_last_ends_a_frame_later(tmp_path: Path) -> None:
    times = (np.arange(95) / 24 + np.where(np.arange(95) >= 40, 0.5, 0)).tolist()
    found = go(tmp_path, replace(THREE_SHOTS, times=times))
    assert found.shots.start_seconds.tolist() == [0, times[40], times[70]]
    assert found.shots.stop_seconds.tolist() == [times[40], times[70], times[94] + 1 / 24]
    assert found.video.seconds == times[94] + 1 / 24


@pytest.mark.parametrize("stride", [2, 3, 5])
def test_a_stride_looks_at_fewer_frames_and_fills_between(tmp_path: Path, stride: int) -> None:
    studio = Studio({"a.mp4": THREE_SHOTS})
    found = go(tmp_path, THREE_SHOTS, changed(detect={"stride": stride}), studio)
    assert studio.network.seen == len(range(0, 95, stride))
    rows = np.fromfile(tmp_path / "faces.bin", FACE_ROW)
    assert (rows["interpolated"] == (rows["frame"] % stride != 0)).all()
    expected = np.concatenate([60 + np.arange(40), 64 + np.arange(30), 66 + np.arange(25)])
    assert np.allclose(rows["box"][:, 0], expected[rows["frame"]], atol=1e-3)
    for start, stop, shot in zip(found.tracks.start, found.tracks.stop, found.shots.start, strict=True):
        assert 0 <= start - shot < stride
        assert (stop - 1) % stride == 0


@pytest.mark.parametrize(
    "config",
    [
        changed(decode={"batch": 1}),
        changed(decode={"batch": 7}),
        changed(decode={"batch": 64}),
        changed(detect={"workers": 1}),
        changed(detect={"workers": 6}),
    ],
)
def test_neither_batch_nor_workers_change_the_result(tmp_path: Path, config: IngestConfig) -> None:
    expected = left_by(tmp_path / "a", go(tmp_path / "a", THREE_SHOTS))
    assert left_by(tmp_path / "b", go(tmp_path / "b", THREE_SHOTS, config)) == expected


def test_a_moving_camera_keeps_its_faces_in_one_track_where_it_is_compensated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera jerks by 30 pixels at a time, as much as the face is wide, over a background that tells so."""
    noise = np.random.default_rng(0).integers(0, 256, (18, 80, 3), np.uint8)
    background = np.asarray(cv2.resize(noise, (640, 144)), np.uint8)
    seen_from = [200 + 30 * (i // 10 % 2) for i in range(60)]  # pixels of the displayed picture, 320 wide
    jerky = film([[Face(300 - left, side=30)] for left in seen_from])
    scale = 256 / 320

    def thumbnails(self: FakeOps, batch: Any, width: int) -> Any:
        lefts = [round(seen_from[frame.number] * scale) for frame in batch.pixels]
        return np.stack([background[:, left : left + width] for left in lefts])

    monkeypatch.setattr(FakeOps, "thumbnails", thumbnails)
    shots = {"threshold": 255.0}
    still = go(tmp_path / "off", jerky, changed(shots=shots))
    moved = go(tmp_path / "affine", jerky, changed(shots=shots, track={"camera_motion": "affine"}))
    assert len(still.tracks) > 1
    assert moved.tracks.start.tolist() == [0]
    assert moved.tracks.stop.tolist() == [60]


def test_one_frame_is_one_shot_and_its_face_a_short_track(tmp_path: Path) -> None:
    found = go(tmp_path, film(walk(1)))
    assert (found.video.frames, found.shots.stop.tolist()) == (1, [1])
    assert found.tracks.status.tolist() == ["short"]
    assert np.fromfile(tmp_path / "crops.bin", np.uint8).size == CROP_SIZE * CROP_SIZE * 3


def test_a_film_without_faces_has_shots_and_no_tracks(tmp_path: Path) -> None:
    found = go(tmp_path, film([[]] * 30, [[]] * 30))
    assert (len(found.shots), len(found.tracks), len(found.crops)) == (2, 0, 0)


def test_a_container_that_claims_no_rate_is_taken_for_25_a_second(tmp_path: Path) -> None:
    found = go(tmp_path, film(walk(10), fps=Fraction(0)))
    assert found.video.fps == 25
    assert found.video.seconds == pytest.approx(0.4)


def test_progress_counts_up_to_the_frames(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    studio = Studio({"a.mp4": THREE_SHOTS})
    ingest_video(
        Path("a.mp4"),
        0,
        detector_of(studio),
        studio.backend,
        CONFIG,
        tmp_path,
        tmp_path / "cache",
        lambda done, of: told.append((done, of)),
    )
    assert told == sorted(told)
    assert told[-1] == (95, 95)


def test_frames_found_before_a_break_are_not_looked_at_again_and_the_result_is_the_same(tmp_path: Path) -> None:
    long = film(walk(300, step=0.2), walk(220, 80, step=0.2))
    expected = left_by(tmp_path / "whole", go(tmp_path / "whole", long))
    broken = replace(long, breaks_at=400, error=KeyError("scripted"))
    with pytest.raises(KeyError, match="scripted"):
        go(tmp_path / "again", broken)
    studio = Studio({"a.mp4": long})
    again = go(tmp_path / "again", long, studio=studio)
    assert studio.network.seen == 520 - 240
    assert left_by(tmp_path / "again", again) == expected


@pytest.mark.parametrize("where", ["decoder", "detector", "progress"])
def test_an_error_anywhere_stops_the_threads_before_the_decoder_is_closed(tmp_path: Path, where: str) -> None:
    before = set(threading.enumerate())
    long = film(walk(400, step=0.1))
    studio = Studio({"a.mp4": replace(long, breaks_at=100) if where == "decoder" else long})
    detect = detector_of(studio)

    def breaking(batch: Any) -> Any:
        if where == "detector" and 100 in batch.frame_indices:
            raise VideoError("scripted to break")
        return detect(batch)

    def progress(done: int, of: int) -> None:
        if where == "progress" and done > 100:
            raise VideoError("scripted to break")

    with pytest.raises(VideoError, match="scripted") as caught:
        ingest_video(Path("a.mp4"), 0, breaking, studio.backend, CONFIG, tmp_path, tmp_path / "cache", progress)
    # The traceback is still held here, as it is wherever an error is being reported.
    assert caught.tb is not None
    (decoder,) = studio.decoders
    assert decoder.closed
    assert not decoder.reading_when_closed
    assert set(threading.enumerate()) <= before
