"""Coarse matching against the paper's steps written as loops, and by hand in one dimension."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt import backends
from vcn_trt.adapt.match import MatchRules, coarse_matches, match_score, pooled_variance, threshold
from vcn_trt.ragged import Ragged

OPS = backends.open("cpu").ops
KINDS = ("spherical", "diag", "shrunk", "full")


def lists(matches: Ragged) -> list[list[int]]:
    return [m.tolist() for m in matches]


def tracks_of(*tracks: list[float]) -> Ragged:
    return Ragged.from_lists([np.array(t, float).reshape(-1, 1) for t in tracks])


def test_a_track_matches_what_is_as_likely_as_its_own_outliers() -> None:
    # Track 0 has crops at -1, 0, 1: its unlikeliest is 1 from the mean. Track 1's mean is at 0.9, track 2's at 1.1.
    tracks = tracks_of([-1, 0, 1], [0.8, 0.9, 1.0], [1.0, 1.1, 1.2])
    found = lists(coarse_matches(tracks, OPS, MatchRules(gaussian="spherical")))
    assert found[0] == [1]
    assert found[1] == found[2] == [], "their own crops lie within 0.1: nobody is that near"


def test_mutual_matches_need_both_thresholds() -> None:
    tracks = tracks_of([-1, 0, 1], [0.8, 0.9, 1.0], [-1.2, 0.2, 1.2])
    rules = {"gaussian": "spherical"}
    assert lists(coarse_matches(tracks, OPS, MatchRules(**rules))) == [[1, 2], [], [0, 1]]
    assert lists(coarse_matches(tracks, OPS, MatchRules(direction="mutual", **rules))) == [[2], [], [0]]


def test_the_threshold_is_the_mean_of_the_lowest_quarter() -> None:
    densities = np.array([-3.0, -1, -9, -2, -5])  # ceil(0.25 . 5) = 2 of them: -9 and -5
    assert threshold(densities, 0.25, "logpdf") == -7
    assert threshold(densities, 0.25, "pdf") == pytest.approx(math.log((math.exp(-9) + math.exp(-5)) / 2))
    assert threshold(densities[:3], 0.25, "logpdf") == -9
    # Densities far outside the range of float64 still have a mean.
    assert threshold(densities - 5000, 0.5, "pdf") == pytest.approx(
        -5000 + math.log((math.exp(-9) + math.exp(-5) + math.exp(-3)) / 3)
    )


def test_a_track_of_few_crops_has_no_matches_but_can_be_one() -> None:
    tracks = tracks_of([-1, 0, 1], [0.1], [0.2, 0.1], [])
    assert lists(coarse_matches(tracks, OPS, MatchRules(gaussian="spherical"))) == [[1, 2], [], [], []]
    both = coarse_matches(tracks, OPS, MatchRules(gaussian="spherical", direction="mutual"))
    assert lists(both) == [[], [], [], []]


@pytest.mark.parametrize("kind", KINDS)
def test_without_tracks_crops_or_spread_nobody_matches(kind: str) -> None:
    rules = MatchRules(gaussian=kind)
    for tracks in (
        Ragged(np.zeros((0, 4)), np.array([0])),
        Ragged(np.zeros((0, 4)), np.array([0, 0, 0])),
        Ragged(np.random.default_rng(0).normal(size=(2, 4)), np.array([0, 1, 2])),
        Ragged(np.ones((8, 4)), np.array([0, 4, 8])),
        Ragged(np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 5])),
    ):
        assert lists(coarse_matches(tracks, OPS, rules)) == [[]] * len(tracks)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    kind=st.sampled_from(KINDS),
    densities=st.sampled_from(["logpdf", "pdf"]),
    left_out=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    block=st.integers(1, 5),
)
def test_matches_are_those_of_the_steps_in_the_paper(
    counts: list[int], kind: str, densities: str, left_out: bool, seed: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    tracks = Ragged(rng.normal(size=(sum(counts), 5)), np.cumsum([0, *counts]))
    rules = MatchRules(gaussian=kind, densities=densities, own="left_out" if left_out else "fitted")
    found = lists(coarse_matches(tracks, OPS, rules, block))
    pooled = pooled_variance(tracks)
    for j, n in enumerate(counts):
        expected = []
        if n >= 3:
            alone = Ragged(tracks[j], np.array([0, n]))
            own = sorted(OPS.own_log_densities(alone, kind, pooled, left_out))[: math.ceil(0.25 * n)]
            limit = np.mean(own) if densities == "logpdf" else np.logaddexp.reduce(own) - math.log(len(own))
            for k, m in enumerate(counts):
                if k != j and m and OPS.log_densities(alone, tracks[k].mean(0)[None], kind, pooled)[0, 0] >= limit:
                    expected.append(k)
        assert found[j] == expected


def test_pooled_variance_is_that_within_tracks() -> None:
    # Squares about the means: 1 + 1 and 0; two tracks of two crops leave 2 degrees of freedom in one dimension.
    assert pooled_variance(tracks_of([4, 6], [100, 100], [7])) == pytest.approx(1)
    assert pooled_variance(tracks_of([1], [2])) == 0


def test_matches_of_people_who_stand_apart_are_right_for_every_gaussian() -> None:
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(4), 6)
    middle = np.eye(32)[who] * 30 + rng.normal(0, 0.05, (24, 32))
    crops = Ragged((np.repeat(middle, 8, 0) + rng.normal(0, 1, (192, 32))), np.arange(0, 193, 8))
    for kind, own in (("spherical", "fitted"), ("diag", "fitted"), ("shrunk", "left_out"), ("full", "left_out")):
        score = match_score(coarse_matches(crops, OPS, MatchRules(gaussian=kind, own=own)), who)
        assert score.precision == 1
        assert score.recall > 0.5, kind


def test_a_crop_judged_by_the_others_sets_a_wider_threshold() -> None:
    # Fitted, -1, 0, 1 have variance 1 and the outlier is 1 from the mean; left out, it is 1.5 from 0.5 of variance 0.5.
    tracks = tracks_of([-1, 0, 1], [1.5, 1.6, 1.7])
    assert lists(coarse_matches(tracks, OPS, MatchRules())) == [[], []]
    assert lists(coarse_matches(tracks, OPS, MatchRules(own="left_out")))[0] == [1]


def test_precision_and_recall_worked_by_hand() -> None:
    # Tracks 0, 1, 2 are Ann, 3 is Bob. Found: 0-1 (right), 0-3 (wrong), 1-0 (right). There are 6 ordered pairs of Ann.
    matches = Ragged(np.array([1, 3, 0]), np.array([0, 2, 3, 3, 3]))
    score = match_score(matches, np.array(["Ann", "Ann", "Ann", "Bob"]))
    assert (score.matches, score.precision, score.recall) == (3, pytest.approx(2 / 3), pytest.approx(2 / 6))
    nothing = match_score(Ragged(np.zeros(0, np.int64), np.zeros(3, np.int64)), np.array(["Ann", "Bob"]))
    assert nothing.matches == 0
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.recall)
