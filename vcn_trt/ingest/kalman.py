"""Where a face box will be next: BoT-SORT's Kalman filter on centre and size with constant velocity.

The paper (Aharon et al. 2022, section 3.1) writes one filter of eight states. All its noise is diagonal, so each of
the four numbers of a box (centre x, y, width, height) with its velocity is a filter of its own, whose 2x2 covariance is
three numbers: all tracks are stepped together by a dozen array operations, and no matrix is inverted.

`filters` is (5, 2, n, 2) float64: value, velocity, variance, covariance with the velocity, velocity variance; centre or
size; the track; x or y. Pixels and frames throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POSITION, VELOCITY, MEASUREMENT = 0.05, 0.00625, 0.05
"""The paper's noise factors: standard deviations a frame, as parts of the box's width (for x) and height (for y)."""

SMALLEST = 1e-3
"""Pixels: a shrinking box that is seen no more would otherwise turn inside out."""

# One frame on: the value gains the velocity, F P F' gains 2 cov + var_v and var_v. A product is faster than the sums.
_STEP = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 2, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]], np.float64)
_PROCESS = np.array([POSITION**2, VELOCITY**2]).reshape(2, 1, 1, 1)
_MEASUREMENT = MEASUREMENT**2
_GAIN, _PART = np.array([2, 3, 2, 2, 3]), np.array([0, 0, 2, 3, 3])
_START = np.array([(2 * POSITION) ** 2, (10 * VELOCITY) ** 2]).reshape(2, 1, 1, 1)
_TO_MEASUREMENT = np.array([[0.5, 0.5], [-1.0, 1.0]])


def measurement(boxes: Array) -> Array:
    """xyxy boxes (n, 4) as centres and sizes. (2, n, 2)"""
    measured: Array = _TO_MEASUREMENT.dot(boxes.reshape(-1, 2, 2).transpose(1, 0, 2).reshape(2, -1))
    return measured.reshape(2, -1, 2)


def initiate(measured: Array) -> Array:
    """Filters at rest at measured centres and sizes (2, n, 2), as unsure as the authors' code is. (5, 2, n, 2)"""
    filters = np.zeros((5, *measured.shape))
    filters[0] = measured
    filters[2::2] = _START * np.square(measured[1])
    return filters


def predict(filters: Array, steps: int = 1) -> Array:
    """The filters `steps` frames on; the noise of each frame follows the size at the frame before (equation 3)."""
    for _ in range(steps):
        noise = _PROCESS * np.square(filters[0, 1])  # (2, 1, n, 2)
        filters = _STEP.dot(filters.reshape(5, -1)).reshape(filters.shape)
        variances = filters[2::2]
        variances += noise
        _clamp(filters)
    return filters


def update(filters: Array, measured: Array) -> Array:
    """The filters after each has seen its box (2, n, 2); the measurement's noise follows the predicted size (eq. 4)."""
    # With s the innovation's variance and y = z - x, each number falls by gain times part:
    # x by p/s (-y), v by c/s (-y), p by p/s p, c by p/s c, q by c/s c.
    gain: Array = filters.take(_GAIN, axis=0)
    gain /= filters[2] + _measurement_noise(filters)
    part: Array = filters.take(_PART, axis=0)
    innovation = part[:2]
    innovation -= measured
    return filters - gain * part


def distance(filters: Array, measured: Array) -> Array:
    """Squared Mahalanobis distance of each filter's expectation to each box (2, m, 2): chi-square of four. (n, m)"""
    unsure = filters[2] + _measurement_noise(filters)  # (2, n, 2)
    total: Array = (np.square(measured[:, None] - filters[0][:, :, None]) / unsure[:, :, None]).sum((0, 3))
    return total


def move(filters: Array, transform: Array) -> Array:
    """The filters carried along by the camera: x -> M x + t for centres, M for sizes and velocities (section 3.2).

    transform: (2, 3), from the previous frame's pixels to this one's. A rotation would also tie x to y: that covariance
    is left out (it vanishes for a square box, whose x and y are equally unsure); the variances are the paper's.
    """
    m = transform[:, :2]
    moved = np.concatenate([filters[:2] @ m.T, filters[2:] @ (m * m).T])
    moved[0, 0] += transform[:, 2]
    _clamp(moved)
    return moved


def _measurement_noise(filters: Array) -> Array:
    noise: Array = _MEASUREMENT * np.square(filters[0, 1])
    return noise  # (n, 2)


def _clamp(filters: Array) -> None:
    size = filters[0, 1]
    np.maximum(size, SMALLEST, out=size)
