"""Which crops are worth keeping (section 3.2, third step): size and sharpness, each rejection with its reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcn_trt.config import CropsConfig


def rejections(boxes: NDArray[np.floating], sharpness: NDArray[np.floating], config: CropsConfig) -> NDArray[np.str_]:
    """Why each crop is rejected: "size" (shorter box side), "blur" (sharpness), or "" where it is kept.
    boxes (m, 4) in displayed pixels, sharpness (m,) -> (m,)"""
    side = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf)
    reason = np.full(len(boxes), "", "U8")
    reason[~(sharpness >= config.min_sharpness)] = "blur"
    reason[side < config.min_side] = "size"
    return reason


def track_status(n_faces: int, reasons: NDArray[np.str_], min_faces: int, config: CropsConfig) -> str:
    """ "short", "crops" (most of its samples were rejected, or all) or "ok"."""
    if n_faces < min_faces:
        return "short"
    rejected = float((reasons != "").mean()) if len(reasons) else 1.0
    return "crops" if rejected > config.max_rejected or rejected == 1.0 else "ok"
