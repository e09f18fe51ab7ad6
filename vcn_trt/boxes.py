"""Boxes as x1, y1, x2, y2 in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def area(boxes: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """(n, 4) -> (n,), 0 for an inverted box."""
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1))


def intersection(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The area each pair shares: (n, 4) and (m, 4) -> (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(-1))


def iou(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Intersection over union of every pair: (n, 4) and (m, 4) -> (n, m), 0 where both are empty."""
    common = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def covered(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The share of each box of `a` that lies within each of `b`: (n, 4) and (m, 4) -> (n, m), 0 where it is empty."""
    common, own = intersection(a, b), area(a)[:, None]
    return np.asarray(np.divide(common, own, out=np.zeros_like(common), where=own > 0))
