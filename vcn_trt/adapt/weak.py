"""Track face quality (section 3.6): the tracks whose mean quality speaks against them become Unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.ragged import Ragged

NORMAL = 1.4826
"""The standard deviation of normal values in units of their median absolute deviation."""


def track_quality(scores: Ragged) -> NDArray[np.float32]:
    """The mean of each track's crops, NaN for a track without any. scores: (n_crops,) a group a track. (n_tracks,)"""
    return scores.mean().astype(np.float32)


def mad_threshold(scores: NDArray[np.floating[Any]], deviations: float = 2.5) -> float:
    """median - deviations x 1.4826 x MAD (Leys et al. 2013), of the scores that are not NaN. -inf where nothing can be
    said: fewer than three scores, or a MAD of 0, half of them being equal."""
    known = scores[~np.isnan(scores)].astype(np.float64)
    if len(known) < 3:
        return -np.inf
    median = float(np.median(known))
    mad = float(np.median(np.abs(known - median)))
    return median - deviations * NORMAL * mad if mad > 0 else -np.inf


def weak_tracks(scores: NDArray[np.floating[Any]], faceless: float) -> NDArray[np.bool_]:
    """Tracks that are nearer in quality to pictures without a face than to the footage's median track. scores:
    (n_tracks,), NaN is not judged; faceless: the quality of `scrambled` crops, NaN judges nobody."""
    known = scores[~np.isnan(scores)]
    middle = (faceless + float(np.median(known))) / 2 if len(known) else np.nan
    return np.asarray(scores < middle)


def mad_reject(scores: NDArray[np.floating[Any]], deviations: float = 2.5) -> NDArray[np.bool_]:
    """Tracks whose quality is an outlier below the others': one-sided, as no face is too good. NaN is not judged."""
    return np.asarray(scores < mad_threshold(scores, deviations))
