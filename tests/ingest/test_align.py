"""The similarity to ArcFace's template, against OpenCV's and a plain least-squares solution."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from vcn_trt.ingest.align import TEMPLATE, frontalness, similarity

points = arrays.arrays(np.float64, (5, 2), elements=st.floats(-4000, 4000, width=32))


def least_squares(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """a, b, x, y of [[a, -b, x], [b, a, y]] from the ten equations, one row each."""
    rows, values = [], []
    for (x, y), (u, v) in zip(landmarks, TEMPLATE, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, x, y = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return np.array([[a, -b, x], [b, a, y]])


def moved(scale: float, angle: float, shift: tuple[float, float]) -> NDArray[np.float64]:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return TEMPLATE @ turn.T + shift


def test_the_template_itself_stays_where_it_is() -> None:
    assert np.allclose(similarity(TEMPLATE[None])[0], [[1, 0, 0], [0, 1, 0]], atol=1e-6)
    assert np.allclose(frontalness(TEMPLATE[None], similarity(TEMPLATE[None])), 0, atol=1e-4)


def test_a_face_twice_as_large_and_moved_is_halved_and_brought_back() -> None:
    assert np.allclose(similarity((2 * TEMPLATE + (10, 30))[None])[0], [[0.5, 0, -5], [0, 0.5, -15]], atol=1e-5)


def test_a_face_turned_by_a_quarter_is_turned_back() -> None:
    turned = np.stack([-TEMPLATE[:, 1], TEMPLATE[:, 0]], 1)  # (x, y) -> (-y, x)
    assert np.allclose(similarity(turned[None])[0], [[0, 1, 0], [-1, 0, 0]], atol=1e-5)


@given(st.floats(0.05, 40), st.floats(-3.1, 3.1), st.tuples(st.floats(-4000, 4000), st.floats(-2000, 2000)))
def test_any_similarity_of_the_template_is_undone(scale: float, angle: float, shift: tuple[float, float]) -> None:
    landmarks = moved(scale, angle, shift)
    transform = similarity(landmarks[None])
    found = landmarks @ transform[0, :, :2].T.astype(float) + transform[0, :, 2]
    assert np.allclose(found, TEMPLATE, atol=0.05)
    assert np.allclose(frontalness(landmarks[None], transform), 0, atol=0.05)


@given(points)
def test_it_is_the_least_squares_solution(landmarks: NDArray[np.float64]) -> None:
    spread = np.abs(landmarks - landmarks.mean(0)).max()
    if spread < 1:
        return  # nearly coincident points: the test below
    expected = least_squares(landmarks)
    found = similarity(landmarks[None])[0].astype(float)
    corners = np.array([[*p, 1] for p in landmarks]).T
    assert np.allclose(found @ corners, expected @ corners, atol=0.02)


def test_it_is_opencvs_where_all_points_agree() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        landmarks = moved(rng.uniform(0.2, 8), rng.uniform(-1, 1), tuple(rng.uniform(0, 900, 2)))
        landmarks += rng.normal(0, 0.002, (5, 2)) * np.ptp(landmarks)
        # A threshold that no point exceeds: RANSAC then ends in the least-squares fit of all five.
        reference, inliers = cv2.estimateAffinePartial2D(
            landmarks, TEMPLATE, method=cv2.RANSAC, ransacReprojThreshold=20, refineIters=100
        )
        assert inliers.all()
        assert np.allclose(similarity(landmarks[None])[0, :, :2], reference[:, :2], atol=1e-3)
        found = similarity(landmarks[None])[0] @ [*landmarks.mean(0), 1]
        assert np.allclose(found, reference @ [*landmarks.mean(0), 1], atol=0.02)


def test_many_faces_at_once_are_each_on_its_own() -> None:
    landmarks = np.random.default_rng(2).uniform(0, 500, (7, 5, 2))
    together = similarity(landmarks)
    assert together.shape == (7, 2, 3)
    assert together.dtype == np.float32
    assert np.array_equal(together, np.concatenate([similarity(face[None]) for face in landmarks]))
    assert similarity(np.zeros((0, 5, 2))).shape == (0, 2, 3)
    assert frontalness(np.zeros((0, 5, 2)), np.zeros((0, 2, 3))).shape == (0,)


def test_landmarks_that_coincide_give_a_finite_empty_crop() -> None:
    transform = similarity(np.full((1, 5, 2), 300.0))[0]
    assert np.isfinite(transform).all()
    assert np.array_equal(transform[:, :2], np.zeros((2, 2)))


def test_a_mirrored_face_is_never_reflected_into_place() -> None:
    mirrored = TEMPLATE * (-1, 1) + (112, 0)
    assert np.linalg.det(similarity(mirrored[None])[0, :, :2]) > 0


def test_a_turned_head_is_less_frontal_than_a_straight_one() -> None:
    turned = TEMPLATE.copy()
    turned[2, 0] += 12  # the nose
    both = np.stack([TEMPLATE, turned])
    straight, aside = frontalness(both, similarity(both))
    assert straight > aside
    # The nose alone is off by 12 and pulls the others a little with it: at most 12 / sqrt(5), as an RMS of five.
    assert -12 / 5**0.5 < aside < -3
