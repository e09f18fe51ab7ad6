"""Which crops are kept, and what becomes of a track whose crops are not."""

from __future__ import annotations

import numpy as np
import pytest

from vcn_trt.config import CropsConfig, TrackConfig
from vcn_trt.ingest.quality import rejections, track_status

CONFIG = CropsConfig(min_side=20, min_sharpness=10, max_rejected=0.5)


def box(width: float, height: float) -> list[float]:
    return [100.0, 50.0, 100.0 + width, 50.0 + height]


@pytest.mark.parametrize(
    ("width", "height", "sharpness", "reason"),
    [
        (20, 20, 10, ""),  # the limits themselves are good enough
        (19.9, 40, 50, "size"),  # the shorter side counts
        (40, 19.9, 50, "size"),
        (40, 40, 9.9, "blur"),
        (40, 40, float("nan"), "blur"),  # a sharpness that could not be measured
        (10, 10, 1, "size"),  # size is said first
    ],
)
def test_a_crop_is_rejected_for_its_shorter_side_or_its_blur(
    width: float, height: float, sharpness: float, reason: str
) -> None:
    assert rejections(np.array([box(width, height)]), np.array([sharpness]), CONFIG).tolist() == [reason]


def test_no_crops_have_no_reasons() -> None:
    assert rejections(np.zeros((0, 4)), np.zeros(0), CONFIG).tolist() == []


@pytest.mark.parametrize(
    ("n_faces", "reasons", "status"),
    [
        (2, ["", ""], "short"),
        (3, ["", ""], "ok"),
        (2, ["size", "size"], "short"),  # too short is said first
        (9, ["", "blur"], "ok"),  # half rejected is allowed
        (9, ["", "blur", "size"], "crops"),
        (9, ["blur"], "crops"),
        (9, [], "crops"),
    ],
)
def test_a_track_is_unknown_when_too_short_or_mostly_rejected(n_faces: int, reasons: list[str], status: str) -> None:
    assert track_status(np.ones(n_faces), np.array(reasons, "U8"), TrackConfig(), CONFIG) == status


def test_a_track_without_one_kept_crop_is_never_good_however_generous_the_config() -> None:
    generous = CropsConfig(max_rejected=1.0)
    assert track_status(np.ones(9), np.array(["blur", "size"]), TrackConfig(), generous) == "crops"
    assert track_status(np.ones(9), np.array(["blur", ""]), TrackConfig(), generous) == "ok"


@pytest.mark.parametrize(
    ("scores", "status"),
    [([0.9, 0.45, 0.4, 0.3], "quality"), ([0.9, 0.55, 0.4, 0.5], "ok"), ([0.4, 0.4], "short")],
)
def test_a_track_that_is_mostly_taken_for_no_face_is_unknown(scores: list[float], status: str) -> None:
    assert track_status(np.array(scores), np.array([""]), TrackConfig(), CONFIG) == status
