"""Some of many, evenly spread: the first, the last, and as even steps between as whole numbers allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly(n: int, most: int) -> NDArray[np.int64]:
    """At most `most` places from 0 to n - 1, rising; all of them where there are no more."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
