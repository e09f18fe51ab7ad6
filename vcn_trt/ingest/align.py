"""Five landmarks to the face-ID network's canvas: the least-squares similarity to ArcFace's template."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
"""Where eyes, nose and mouth corners lie on the 112x112 crop (Deng et al., ArcFace, CVPR 2019). (5, 2)"""


def similarity(landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """The similarity from the picture to the crop that brings each face's landmarks nearest to the template.

    landmarks: (m, 5, 2) pixels. -> (m, 2, 3). As complex numbers the least-squares rotation and scale is one quotient
    (Umeyama 1991, without reflection). Landmarks that coincide give a transform of zeros: an empty crop.
    """
    source = _complex(np.asarray(landmarks, np.float64))  # (m, 5)
    target = _complex(TEMPLATE)  # (5,)
    source_mean, target_mean = source.mean(1, keepdims=True), target.mean()
    centred = source - source_mean
    spread = (np.abs(centred) ** 2).sum(1)
    product = (np.conj(centred) * (target - target_mean)).sum(1)
    turn = np.divide(product, spread, out=np.zeros_like(product), where=spread > 1e-9)  # (m,) scale * e^(i angle)
    shift = target_mean - turn * source_mean[:, 0]
    transform = np.empty((len(source), 2, 3), np.float32)
    transform[:, 0, 0] = transform[:, 1, 1] = turn.real
    transform[:, 1, 0] = turn.imag
    transform[:, 0, 1] = -turn.imag
    transform[:, :, 2] = np.stack([shift.real, shift.imag], 1)
    return transform


def frontalness(landmarks: NDArray[np.floating], transforms: NDArray[np.floating]) -> NDArray[np.float32]:
    """How frontal each face is: minus the RMS distance, in crop pixels, of its warped landmarks from the frontal
    template. landmarks (m, 5, 2), transforms (m, 2, 3) -> (m,), 0 for a perfect match."""
    warped = np.einsum("mij,mkj->mki", transforms[:, :, :2], landmarks) + transforms[:, None, :, 2]
    distance: NDArray[np.float32] = np.sqrt(((warped - TEMPLATE) ** 2).sum(-1).mean(-1)).astype(np.float32)
    return -distance


def _complex(points: NDArray[np.float64]) -> NDArray[np.complex128]:
    return points[..., 0] + 1j * points[..., 1]
