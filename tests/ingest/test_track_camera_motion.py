"""A known motion of a textured picture is found; nothing is made up where there is nothing to follow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vcn_trt.ingest.camera_motion import CameraMotion


def texture() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (45, 80), np.uint8)
    return np.asarray(cv2.resize(noise, (320, 180), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_a_known_similarity_is_found_in_displayed_pixels() -> None:
    c, s = 1.02 * np.cos(0.01), 1.02 * np.sin(0.01)
    moved = np.array([[c, -s, 3.0], [s, c, -2.0]])
    before = texture()
    after = np.asarray(cv2.warpAffine(before, moved, (320, 180), borderMode=cv2.BORDER_REFLECT), np.uint8)
    motion = CameraMotion()
    assert motion.update(before, 0.25) is None
    found = motion.update(after, 0.25)
    assert found is not None
    np.testing.assert_allclose(found[:, :2], moved[:, :2], atol=2e-3)
    np.testing.assert_allclose(found[:, 2], moved[:, 2] * 4, atol=1.0)


def test_grey_and_colour_agree() -> None:
    grey = texture()
    shifted = np.roll(grey, 2, axis=1)
    results = []
    for pictures in ((grey, shifted), (cv2.merge([grey] * 3), cv2.merge([shifted] * 3))):
        motion = CameraMotion()
        motion.update(np.asarray(pictures[0], np.uint8), 1.0)
        results.append(motion.update(np.asarray(pictures[1], np.uint8), 1.0))
    assert results[0] is not None
    assert results[1] is not None
    np.testing.assert_array_equal(results[0], results[1])


def test_a_flat_picture_and_a_cut_tell_nothing() -> None:
    motion = CameraMotion()
    flat = np.full((180, 320), 90, np.uint8)
    assert [motion.update(flat, 1.0) for _ in range(3)] == [None] * 3
    motion.update(texture(), 1.0)
    motion.flush()
    assert motion.update(texture(), 1.0) is None


def test_another_size_is_refused() -> None:
    motion = CameraMotion()
    motion.update(texture(), 1.0)
    with pytest.raises(ValueError, match="one size"):
        motion.update(texture()[:90], 1.0)
