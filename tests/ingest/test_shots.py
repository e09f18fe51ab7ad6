"""Cuts in made films: where they are found, how late they are told, and which are taken as one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vcn_trt.config import ShotsConfig
from vcn_trt.ingest.shots import THUMBNAIL_WIDTH, ShotFinder

DETECTORS: tuple[Any, ...] = ("content", "adaptive")


def scene(number: int) -> NDArray[np.uint8]:
    """A texture of its own colours, larger than the picture so that a camera can move over it."""
    noise = np.random.default_rng(number).integers(0, 256, (9, 16, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (THUMBNAIL_WIDTH + 128, 144 + 72)), np.uint8)


def film(*lengths: int) -> list[NDArray[np.uint8]]:
    """Shots of so many frames, over each of which the camera moves by a pixel a frame."""
    shots = [(scene(number), i) for number, n in enumerate(lengths) for i in range(n)]
    return [np.ascontiguousarray(s[:144, i : i + THUMBNAIL_WIDTH]) for s, i in shots]


def told(pictures: Sequence[NDArray[np.uint8]], config: ShotsConfig) -> tuple[list[tuple[int, int]], int]:
    """(the cut, the frame at which it was told: the number of frames for those told at the end), and the delay."""
    finder = ShotFinder(config, Fraction(24))
    found = [(cut, frame) for frame, picture in enumerate(pictures) for cut in finder.update(frame, picture)]
    return found + [(cut, len(pictures)) for cut in finder.finish()], finder.delay


def cuts(pictures: Sequence[NDArray[np.uint8]], **values: Any) -> list[int]:
    return [cut for cut, _ in told(pictures, ShotsConfig(**values))[0]]


@pytest.mark.parametrize("detector", DETECTORS)
def test_cuts_between_moving_shots_are_found_at_their_first_frame(detector: Any) -> None:
    assert cuts(film(30, 25, 40), detector=detector) == [30, 55]
    assert cuts(film(60), detector=detector) == []


def test_the_adaptive_detector_takes_a_restless_camera_for_no_cut_where_the_other_does() -> None:
    # From frame 30 to 44 every frame differs from the last as two shots do: a whip pan. The cut at 60 stands out.
    pictures = film(30) + [scene(100 + i)[:144, :THUMBNAIL_WIDTH] for i in range(15)] + film(0, 15, 30)
    assert cuts(pictures, detector="adaptive") == [60]
    assert set(cuts(pictures, detector="content")) > {60}


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("min_frames", [1, 8, 15])
def test_no_cut_is_told_later_than_the_delay(detector: Any, min_frames: int) -> None:
    latest = 0
    for lengths in ((30, 25, 40), (20, 3, 20, 9, 1, 30), (9, 8, 7, 6, 5, 4, 3, 2, 30), (30, 2)):
        found, delay = told(film(*lengths), ShotsConfig(detector=detector, min_frames=min_frames))
        assert all(0 <= frame - cut <= delay for cut, frame in found)
        latest = max([latest, *(frame - cut for cut, frame in found)])
    # A smaller delay would not do: at one frame nothing is merged, so ContentDetector tells each cut at once.
    assert latest == (0 if (detector, min_frames) == ("content", 1) else delay)


@pytest.mark.parametrize("detector", DETECTORS)
def test_cuts_nearer_than_the_shortest_shot_are_one(detector: Any) -> None:
    flash = film(30, 5, 30)
    assert cuts(flash, detector=detector, min_frames=3) == [30, 35]
    assert len(cuts(flash, detector=detector, min_frames=8)) == 1
    assert cuts(film(30, 8, 30), detector=detector, min_frames=8) == [30, 38]
