"""The checkpoint of detections: whole chunks are found again, what was in the making is looked for again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vcn_trt.backends.base import RawFaces
from vcn_trt.ingest.detections import CHUNK, DetectionLog


def faces(frame: int) -> RawFaces:
    """Frame number % 3 faces, whose numbers tell the frame."""
    n = frame % 3
    boxes = np.arange(4 * n, dtype=np.float32).reshape(n, 4) + frame
    return RawFaces(boxes, np.full(n, 0.5, np.float32), np.full((n, 5, 2), frame, np.float32))


def log_of(folder: Path, frames: int) -> DetectionLog:
    log = DetectionLog(folder)
    for frame in range(log.known, frames):
        log.append(frame, faces(frame))
    return log


def test_a_new_log_knows_nothing(tmp_path: Path) -> None:
    assert DetectionLog(tmp_path / "new").known == 0


@pytest.mark.parametrize(
    ("frames", "known"),
    [(CHUNK - 1, 0), (CHUNK, CHUNK), (CHUNK + 1, CHUNK), (2 * CHUNK + 7, 2 * CHUNK)],
)
def test_a_partial_chunk_is_dropped_and_whole_ones_are_known(tmp_path: Path, frames: int, known: int) -> None:
    log_of(tmp_path, frames)
    assert DetectionLog(tmp_path).known == known


def test_known_faces_come_back_as_they_were_also_for_frames_without_any(tmp_path: Path) -> None:
    log_of(tmp_path, 2 * CHUNK)
    again = DetectionLog(tmp_path)
    for frame in (0, 1, 2, 239, 240, 241, 2 * CHUNK - 1, 5):
        for found, expected in zip(again.read(frame), faces(frame), strict=True):
            assert found.dtype == np.float32
            assert np.array_equal(found, expected)


def test_a_log_goes_on_where_it_stood_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    log_of(tmp_path / "whole", 3 * CHUNK)
    log_of(tmp_path / "broken", CHUNK + 100)
    log_of(tmp_path / "broken", 3 * CHUNK)
    for chunk in sorted((tmp_path / "whole").glob("*.npz")):
        assert chunk.read_bytes() == (tmp_path / "broken" / chunk.name).read_bytes()


def test_a_chunk_behind_a_missing_one_is_not_known(tmp_path: Path) -> None:
    log_of(tmp_path, 3 * CHUNK)
    sorted(tmp_path.glob("detections-*.npz"))[1].unlink()
    assert DetectionLog(tmp_path).known == CHUNK


def test_a_half_written_chunk_is_not_known(tmp_path: Path) -> None:
    log_of(tmp_path, CHUNK)
    whole = next(tmp_path.glob("detections-*.npz"))
    (tmp_path / "detections.tmp.npz").write_bytes(whole.read_bytes()[:100])
    assert DetectionLog(tmp_path).known == CHUNK
    whole.unlink()
    assert DetectionLog(tmp_path).known == 0


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20])
def test_no_usual_batch_straddles_the_end_of_a_chunk(batch: int) -> None:
    assert CHUNK % batch == 0
