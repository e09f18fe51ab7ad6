"""The stepped pairs of numbers are the paper's 8-state filter, held to it written out with matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vcn_trt.ingest import kalman

Array = NDArray[np.float64]


class Reference:
    """One track's filter as in the paper: state (x, y, w, h and velocities), 8x8 covariance, equations 1 to 4."""

    F = np.eye(8) + np.eye(8, k=4)
    H = np.eye(4, 8)

    def __init__(self, z: Array) -> None:
        w, h = z[2:]
        self.x = np.concatenate([z, np.zeros(4)])
        self.P = np.diag(np.square([0.1 * w, 0.1 * h, 0.1 * w, 0.1 * h, w / 16, h / 16, w / 16, h / 16]))

    def predict(self) -> None:
        w, h = self.x[2:4]
        Q = np.diag(np.square([w / 20, h / 20, w / 20, h / 20, w / 160, h / 160, w / 160, h / 160]))
        self.x, self.P = self.F @ self.x, self.F @ self.P @ self.F.T + Q
        self.x[2:4] = np.maximum(self.x[2:4], kalman.SMALLEST)

    def update(self, z: Array) -> None:
        w, h = self.x[2:4]
        S = self.H @ self.P @ self.H.T + np.diag(np.square([w / 20, h / 20, w / 20, h / 20]))
        K = self.P @ self.H.T @ np.linalg.inv(S)
        self.x, self.P = self.x + K @ (z - self.x[:4]), self.P - K @ S @ K.T

    def distance(self, z: Array) -> float:
        w, h = self.x[2:4]
        S = self.H @ self.P @ self.H.T + np.diag(np.square([w / 20, h / 20, w / 20, h / 20]))
        return float((z - self.x[:4]) @ np.linalg.inv(S) @ (z - self.x[:4]))

    def move(self, transform: Array) -> None:
        M = np.kron(np.eye(4), transform[:, :2])
        self.x, self.P = M @ self.x, M @ self.P @ M.T
        self.x[:2] += transform[:, 2]
        self.x[2:4] = np.maximum(self.x[2:4], kalman.SMALLEST)


def assert_equal(filters: Array, references: list[Reference]) -> None:
    for j, reference in enumerate(references):
        value, velocity, variance, covariance, velocity_variance = filters[:, :, j].reshape(5, 4)
        np.testing.assert_allclose(np.concatenate([value, velocity]), reference.x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(variance, np.diag(reference.P)[:4], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(velocity_variance, np.diag(reference.P)[4:], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(covariance, np.diag(reference.P, 4), rtol=1e-7, atol=1e-9)


steps = st.lists(st.sampled_from(["predict", "predict3", "update", "move"]), max_size=12)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), steps=steps)
def test_every_track_is_the_papers_filter(n: int, seed: int, steps: list[str]) -> None:
    rng = np.random.default_rng(seed)

    def boxes() -> Array:
        return np.stack([rng.uniform(-100, 2000, (n, 2)), rng.uniform(5, 300, (n, 2))])  # (2, n, 2)

    def z(measured: Array) -> list[Array]:
        return list(measured.transpose(1, 0, 2).reshape(n, 4))

    start = boxes()
    filters, references = kalman.initiate(start), [Reference(row) for row in z(start)]
    for step in steps:
        if step == "predict":
            filters = kalman.predict(filters)
        elif step == "predict3":
            filters = kalman.predict(filters, 3)
        elif step == "update":
            measured = boxes()
            filters = kalman.update(filters, measured)
        else:  # without rotation the paper's covariance stays block-diagonal, and equality is exact
            transform = np.array([[rng.uniform(0.9, 1.1), 0, rng.normal(0, 20)], [0, 1, rng.normal(0, 20)]])
            filters = kalman.move(filters, transform)
        for j, reference in enumerate(references):
            if step.startswith("predict"):
                for _ in range(3 if step == "predict3" else 1):
                    reference.predict()
            elif step == "update":
                reference.update(z(measured)[j])
            else:
                reference.move(transform)
        assert_equal(filters, references)
    others = boxes()
    expected = [[reference.distance(row) for row in z(others)] for reference in references]
    np.testing.assert_allclose(kalman.distance(filters, others), expected, rtol=1e-6)


def test_a_rolling_camera_keeps_the_papers_state_and_variances() -> None:
    start = np.array([[[100.0, 50.0]], [[40.0, 60.0]]])
    filters, reference = kalman.predict(kalman.initiate(start)), Reference(start.ravel())
    reference.predict()
    c, s = np.cos(0.05), np.sin(0.05)
    transform = np.array([[c, -s, 5.0], [s, c, -3.0]])
    reference.move(transform)
    assert_equal(kalman.move(filters, transform), [reference])
    assert abs(reference.P[0, 1]) < 0.05 * np.sqrt(reference.P[0, 0] * reference.P[1, 1])  # what is left out


def test_a_box_is_measured_by_centre_and_size() -> None:
    measured = kalman.measurement(np.array([[10.0, 20.0, 30.0, 60.0], [0.0, 0.0, 1.0, 2.0]]))
    assert measured.tolist() == [[[20.0, 40.0], [0.5, 1.0]], [[20.0, 40.0], [1.0, 2.0]]]


def test_a_shrinking_box_never_turns_inside_out() -> None:
    filters = kalman.initiate(np.array([[[0.0, 0.0]], [[10.0, 10.0]]]))
    filters[1, 1] = -4.0
    assert kalman.predict(filters, 5)[0, 1].tolist() == [[kalman.SMALLEST, pytest.approx(kalman.SMALLEST)]]
