"""A track's threshold between strangers and itself, worked by hand on cosines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vcn_trt.cluster import limits
from vcn_trt.cluster.limits import Alike, calibrate
from vcn_trt.cluster.metric import cosine_profiles
from vcn_trt.ragged import Ragged

# Cosines: 0.6 (first and second), 0 (first and third), 0.8 (second and third). A distance is 1 less that.
THREE = [[1, 0], [0.6, 0.8], [0, 1]]


def alike(vectors: Any, own: Any, lone: Any = None) -> Alike:
    """Tracks of one vector each, orthogonal ones telling nothing of each other."""
    n = len(vectors)
    profiles = cosine_profiles(Ragged(np.array(vectors, float), np.arange(n + 1)))
    return Alike(profiles, np.full(n, -1.0), np.array(own, float), np.array(lone if lone else [False] * n))


def calibrated_limits(tracks: Alike, share: float, quantile: float, cap: float) -> Any:
    return calibrate(tracks, quantile, cap).limits(share)


def test_a_limit_is_a_share_of_the_way_from_strangers_to_itself() -> None:
    # The medians with the two others: 0.3, 0.7 and 0.4. Half way to 0.9, 0.9 and 0.8: 0.6, 0.8 and 0.6.
    found = calibrated_limits(alike(THREE, [0.9, 0.9, 0.8]), share=0.5, quantile=0.5, cap=1)
    np.testing.assert_allclose(found, [0.4, 0.2, 0.4], atol=1e-6)


def test_the_share_goes_from_strangers_to_itself() -> None:
    tracks = alike(THREE, [0.9, 0.9, 0.8])
    np.testing.assert_allclose(calibrated_limits(tracks, 0, 0.5, 1), [0.7, 0.3, 0.6], atol=1e-6)
    np.testing.assert_allclose(calibrated_limits(tracks, 1, 0.5, 1), [0.1, 0.1, 0.2], atol=1e-6)


def test_the_quantile_is_of_each_tracks_others() -> None:
    tracks = alike(THREE, [1, 1, 1])
    np.testing.assert_allclose(calibrated_limits(tracks, 0, 0, 1), [1, 0.4, 1], atol=1e-6)
    np.testing.assert_allclose(calibrated_limits(tracks, 0, 0.25, 1), [0.85, 0.35, 0.8], atol=1e-6)


def test_strangers_are_at_most_the_cap_of_a_tracks_own() -> None:
    # 0.3 stays below 0.5 x 0.9 = 0.45; 0.7 becomes 0.45; 0.4 stays at 0.5 x 0.8.
    found = calibrated_limits(alike(THREE, [0.9, 0.9, 0.8]), 0, 0.5, 0.5)
    np.testing.assert_allclose(found, [0.7, 0.55, 0.6], atol=1e-6)


def test_in_footage_of_one_person_the_tracks_are_within_their_limits() -> None:
    # All others are the person: 0.8 of each other and of itself. Without a cap nobody would join.
    vectors = np.eye(5) * 0.5 + 0.5 + 0.1
    tracks = alike(vectors, [0.8] * 5)
    distance = tracks.profiles.similarities()[0, 1]
    assert (calibrated_limits(tracks, 0.43, 0.2, 0.25) > distance).all()
    assert calibrated_limits(tracks, 0.43, 0.2, 0.25) == pytest.approx(1 - 0.8 * (0.25 + 0.43 * 0.75))


def test_a_lone_crop_takes_the_median_of_the_tracks_that_have_more() -> None:
    found = calibrated_limits(alike([*THREE, [1, 0]], [0.9, 2.0, 0.7, 2.0], [False, True, False, True]), 1, 0.5, 1)
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.2], atol=1e-6)


def test_where_all_are_lone_each_takes_its_own() -> None:
    found = calibrated_limits(alike(THREE, [0.9, 0.8, 0.7], [True] * 3), 1, 0.5, 1)
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3], atol=1e-6)


@pytest.mark.parametrize("lone", [False, True])
def test_a_single_track_has_no_strangers_and_takes_the_cap(lone: bool) -> None:
    found = calibrated_limits(alike([[1, 0]], [0.8], [lone]), 0.5, 0.2, 0.25)
    np.testing.assert_allclose(found, [1 - 0.8 * (0.25 + 0.5 * 0.75)])


def test_no_tracks_have_no_limits() -> None:
    assert calibrated_limits(alike(np.zeros((0, 2)), []), 0.5, 0.2, 0.25).shape == (0,)


def test_the_zero_of_both_tracks_is_what_evidence_is_measured_from() -> None:
    # With zeros -1 and -0.8, orthogonal vectors (similarity 1) have the evidence 0.9 - 1 = -0.1.
    tracks = Alike(alike(np.eye(2), [1, 1]).profiles, np.array([-1, -0.8]), np.ones(2), np.zeros(2, bool))
    np.testing.assert_allclose(calibrated_limits(tracks, 0, 0.5, 1), [1.1, 0.9], atol=1e-6)


def test_of_many_tracks_evenly_spread_ones_stand_for_the_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRANGERS", 2)  # the first and the last
    found = calibrated_limits(alike([*THREE, [0.8, 0.6]], [1] * 4), 0, 0.5, 1)
    # Cosines with [1, 0] and [0.8, 0.6]: the last alone (0.8); 0.6 and 0.96; 0 and 0.6; the first alone (0.8).
    np.testing.assert_allclose(found, [0.2, 0.22, 0.7, 0.2], atol=1e-6)


def test_the_rows_that_are_worked_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = alike(np.random.default_rng(0).normal(size=(11, 4)), np.linspace(0.5, 1, 11))
    whole = calibrated_limits(tracks, 0.43, 0.2, 0.25)
    for rows in (1, 4, 10, 11):
        monkeypatch.setattr(limits, "_ROWS", rows)
        np.testing.assert_allclose(calibrated_limits(tracks, 0.43, 0.2, 0.25), whole, rtol=1e-6)
