"""The maths in the words of SciPy, torch and OpenCV: each gives the call that does what our op does, its input laid out
beforehand where that is the peer's way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from vcn_trt.ragged import Ragged

TILE = 2048
"""Rows of a block of the pair matrix: torch wants large products."""

REGULAR = 1e-6
GAUSSIANS = 32
"""Of which all distances are held at once."""


def nms(boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float) -> Callable[[], Any]:
    """boxes: (n, 4) xyxy."""
    corners, listed = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist(), scores.tolist()
    return lambda: cv2.dnn.NMSBoxes(corners, listed, 0.0, threshold)


def softmax_means(logits: Ragged, tau_t: float, tau_s: float, device: str) -> Callable[[], Any]:
    """From host to host, as ours. Groups are of one size."""
    n, each = len(logits), int(logits.counts[0])

    def call() -> Any:
        x = torch.from_numpy(np.asarray(logits.values)).to(device)
        p, l = (x / tau_t).softmax(-1), (x / tau_s).log_softmax(-1)  # noqa: E741
        own = (p * l).sum(-1).reshape(n, each).sum(1)
        return [y.cpu() for y in (p.reshape(n, each, -1).mean(1), l.reshape(n, each, -1).mean(1), own)]

    return call


def pair_edges(
    p: NDArray[np.float32],
    l: NDArray[np.float32],  # noqa: E741
    thresholds: NDArray[np.floating],
    device: str,
) -> Callable[[], Any]:
    """Every block above the diagonal, from host to host; rule "mean"."""

    def call() -> int:
        a, b = (torch.from_numpy(x).to(device) for x in (p, l))
        t = torch.from_numpy(np.asarray(thresholds, np.float32)).to(device)
        found = 0
        for i in range(0, len(a), TILE):
            for j in range(i, len(a), TILE):
                rows, columns = slice(i, i + TILE), slice(j, j + TILE)
                similarity = -(a[rows] @ b[columns].T + b[rows] @ a[columns].T) / 2
                below = similarity < (t[rows, None] + t[None, columns]) / 2
                where = (below.triu(1) if i == j else below).nonzero().cpu()
                found += len(where)
        return found

    return call


def log_densities(tracks: Ragged, points: NDArray[np.float64]) -> Callable[[], Any]:
    """Each track's own Gaussian by SciPy, its covariance made regular as ours is: by a millionth of the pooled
    variance, which is 1."""

    def call() -> NDArray[np.float64]:
        out = np.empty((len(tracks), len(points)))
        for row, crops in zip(out, tracks, strict=True):
            x = np.asarray(crops, np.float64)
            covariance = np.cov(x, rowvar=False) + REGULAR * np.eye(x.shape[1])
            row[:] = multivariate_normal(x.mean(0), covariance).logpdf(points)
        return out

    return call


def log_densities_on(tracks: Ragged, points: NDArray[np.float64], device: str) -> Callable[[], Any]:
    """The same by torch's Cholesky factors, in double, some tracks at a time; from host to host. Tracks are of one
    size."""

    def call() -> NDArray[np.float64]:
        values = torch.from_numpy(np.asarray(tracks.values, np.float64)).to(device)
        y, out = torch.from_numpy(points).to(device), []
        n, d = int(tracks.counts[0]), y.shape[1]
        for x in torch.split(values.reshape(-1, n, d), GAUSSIANS):
            mean = x.mean(1, keepdim=True)
            covariance = (x - mean).mT @ (x - mean) / (n - 1) + REGULAR * torch.eye(d, dtype=x.dtype, device=device)
            factor = torch.linalg.cholesky(covariance)
            along = torch.linalg.solve_triangular(factor, (y - mean).mT, upper=False)  # (some, d, points)
            log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
            out.append(-0.5 * (d * math.log(2 * math.pi) + log_det[:, None] + along.square().sum(1)))
        return np.asarray(torch.cat(out).cpu())

    return call
