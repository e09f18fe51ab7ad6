"""Which crops are worth keeping (section 3.2, third step): size and sharpness, each rejection with its reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcn_trt.config import CropsConfig, TrackConfig


def rejections(boxes: NDArray[np.floating], sharpness: NDArray[np.floating], config: CropsConfig) -> NDArray[np.str_]:
    """Why each crop is rejected: "size" (shorter box side), "blur" (sharpness), or "" where it is kept.
    boxes (m, 4) in displayed pixels, sharpness (m,) -> (m,)"""
    side = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf)
    reason = np.full(len(boxes), "", "U8")
    reason[~(sharpness >= config.min_sharpness)] = "blur"
    reason[side < config.min_side] = "size"
    return reason


def track_status(
    scores: NDArray[np.floating], reasons: NDArray[np.str_], track: TrackConfig, crops: CropsConfig
) -> str:
    """What a track is good for, by its seen faces' scores (n_faces,) and its samples' rejections: "short", "quality"
    (in half of its frames or more the detector took it for no face), "crops" (most samples, or all, rejected), "ok"."""
    if len(scores) < track.min_faces:
        return "short"
    if np.median(scores) < track.sure:
        return "quality"
    rejected = float((reasons != "").mean()) if len(reasons) else 1.0
    return "crops" if rejected > crops.max_rejected or rejected == 1.0 else "ok"
