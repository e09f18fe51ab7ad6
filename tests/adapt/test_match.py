"""Coarse matching against the paper's steps written as loops, and by hand in one dimension."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt import backends
from vcn_trt.adapt.match import (
    coarse_matches,
    find_matches,
    match_score,
    nearest_matches,
    own_likeness,
    pooled_variance,
    threshold,
)
from vcn_trt.config import MatchConfig
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
    found = lists(coarse_matches(tracks, OPS, MatchConfig(gaussian="spherical")))
    assert found[0] == [1]
    assert found[1] == found[2] == [], "their own crops lie within 0.1: nobody is that near"


def test_mutual_matches_need_both_thresholds() -> None:
    tracks = tracks_of([-1, 0, 1], [0.8, 0.9, 1.0], [-1.2, 0.2, 1.2])
    rules = {"gaussian": "spherical"}
    assert lists(coarse_matches(tracks, OPS, MatchConfig(**rules))) == [[1, 2], [], [0, 1]]
    assert lists(coarse_matches(tracks, OPS, MatchConfig(direction="mutual", **rules))) == [[2], [], [0]]


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
    assert lists(coarse_matches(tracks, OPS, MatchConfig(gaussian="spherical"))) == [[1, 2], [], [], []]
    both = coarse_matches(tracks, OPS, MatchConfig(gaussian="spherical", direction="mutual"))
    assert lists(both) == [[], [], [], []]


@pytest.mark.parametrize("kind", KINDS)
def test_without_tracks_crops_or_spread_nobody_matches(kind: str) -> None:
    rules = MatchConfig(gaussian=kind)
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
    rules = MatchConfig(gaussian=kind, densities=densities, own="left_out" if left_out else "fitted")
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
        score = match_score(coarse_matches(crops, OPS, MatchConfig(gaussian=kind, own=own)), who)
        assert score.precision == 1
        assert score.recall > 0.5, kind


def test_a_crop_judged_by_the_others_sets_a_wider_threshold() -> None:
    # Fitted, -1, 0, 1 have variance 1 and the outlier is 1 from the mean; left out, it is 1.5 from 0.5 of variance 0.5.
    tracks = tracks_of([-1, 0, 1], [1.5, 1.6, 1.7])
    assert lists(coarse_matches(tracks, OPS, MatchConfig())) == [[], []]
    assert lists(coarse_matches(tracks, OPS, MatchConfig(own="left_out")))[0] == [1]


def test_precision_and_recall_worked_by_hand() -> None:
    # Tracks 0, 1, 2 are Ann, 3 is Bob. Found: 0-1 (right), 0-3 (wrong), 1-0 (right). There are 6 ordered pairs of Ann.
    matches = Ragged(np.array([1, 3, 0]), np.array([0, 2, 3, 3, 3]))
    score = match_score(matches, np.array(["Ann", "Ann", "Ann", "Bob"]))
    assert (score.matches, score.precision, score.recall) == (3, pytest.approx(2 / 3), pytest.approx(2 / 6))
    nothing = match_score(Ragged(np.zeros(0, np.int64), np.zeros(3, np.int64)), np.array(["Ann", "Bob"]))
    assert nothing.matches == 0
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.recall)


# Nearest matches ----------------------------------------------------------------------------------------------------


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def naive_own(crops: np.ndarray) -> float:
    """crops: (n_views, n, d) of one track: the mean cosine of different crops in any view; of views for a lone crop."""
    v, m, _ = crops.shape
    if m == 1:
        pairs = [crops[i, 0] @ crops[j, 0] for i in range(v) for j in range(v) if i != j]
    else:
        pairs = [
            crops[i, a] @ crops[j, b] for i in range(v) for j in range(v) for a in range(m) for b in range(m) if a != b
        ]
    return float(np.mean(pairs)) if pairs else 1.0


def naive_nearest(views: np.ndarray, tracks: Ragged, nearest: int, likeness: float) -> list[list[int]]:
    z = unit(views.astype(np.float64))
    n = len(tracks)
    middle = unit(z[:2].mean(0))
    mean = {j: unit(middle[tracks[j]].mean(0)) for j in range(n) if len(tracks[j])}
    own = {j: naive_own(z[:, tracks[j]]) for j in mean}
    near = {j: sorted(set(mean) - {j}, key=lambda k, j=j: -(mean[j] @ mean[k]))[:nearest] for j in mean}
    return [
        sorted(k for k in near.get(j, []) if j in near[k] and mean[j] @ mean[k] > likeness * max(own[j], own[k]))
        for j in range(n)
    ]


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    n_views=st.integers(2, 4),
    nearest=st.integers(1, 5),
    likeness=st.sampled_from([0.0, 0.5, 0.9]),
    seed=st.integers(0, 2**32 - 1),
    block=st.integers(1, 10),
)
def test_nearest_matches_are_those_of_a_loop_over_tracks(
    counts: list[int], n_views: int, nearest: int, likeness: float, seed: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 3, len(counts))
    crops = np.repeat(rng.normal(size=(3, 5))[who], counts, 0)
    views = (crops + rng.normal(0, 0.7, (n_views, *crops.shape))).astype(np.float32)
    order = rng.permutation(sum(counts))  # tracks need not hold rows in order
    tracks = Ragged(order, np.cumsum([0, *counts]))
    found = nearest_matches(views, tracks, nearest, likeness, block)
    assert lists(found) == naive_nearest(views, tracks, nearest, likeness)
    assert all(j in found[k] for j in range(len(counts)) for k in found[j]), "matches are mutual"


def test_nearest_matches_worked_by_hand() -> None:
    # Cosines: 0.8 (0 and 1), 0.6 (1 and 2), 0 (0 and 2). Each has crops 0.96 alike, their own views the same.
    directions = np.array([[1, 0], [0.8, 0.6], [0, 1]])
    turn = np.arccos(0.96) / 2
    crops = np.concatenate([[turned(d, turn), turned(d, -turn)] for d in directions])
    views, tracks = np.stack([crops, crops]).astype(np.float32), Ragged(np.arange(6), np.array([0, 2, 4, 6]))
    assert lists(nearest_matches(views, tracks, 2, 0.5)) == [[1], [0, 2], [1]]
    assert lists(nearest_matches(views, tracks, 2, 0.7)) == [[1], [0], []], "0.6 is not above 0.7 x 0.96"
    assert lists(nearest_matches(views, tracks, 1, 0.5)) == [[1], [0], []], "1 is nearest to 2, but 0 is nearest to 1"


def turned(d: np.ndarray, by: float) -> np.ndarray:
    return np.array([d[0] * math.cos(by) - d[1] * math.sin(by), d[0] * math.sin(by) + d[1] * math.cos(by)])


def test_what_a_track_has_with_itself_is_a_mean_over_pairs() -> None:
    views = unit(np.random.default_rng(0).normal(size=(3, 4, 6)))
    assert own_likeness(views) == pytest.approx(naive_own(views))
    assert own_likeness(views[:, :1]) == pytest.approx(naive_own(views[:, :1])), "a lone crop: its views"
    assert own_likeness(views[:1, :1]) == 1


def test_fewer_than_two_tracks_with_crops_match_nobody() -> None:
    views = np.ones((2, 3, 4), np.float32)
    for offsets in ([0], [0, 3], [0, 0, 3, 3]):
        tracks = Ragged(np.arange(offsets[-1]), np.array(offsets))
        assert lists(nearest_matches(views, tracks, 3, 0.5)) == [[]] * len(tracks)


def test_identical_crops_match_though_nothing_is_nearer_than_another() -> None:
    tracks = Ragged(np.arange(8), np.array([0, 2, 4, 6, 8]))
    found = nearest_matches(np.ones((2, 8, 4), np.float32), tracks, 3, 0.5)
    assert lists(found) == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_the_rule_of_the_config_chooses() -> None:
    crops = np.array([[-1, 1], [0, 1], [1, 1], [0.8, 1], [0.9, 1], [1.0, 1]], np.float32)
    views, tracks = np.stack([crops, crops]), Ragged(np.arange(6), np.array([0, 3, 6]))
    assert lists(find_matches(views, tracks, OPS, MatchConfig())) == lists(nearest_matches(views, tracks, 3, 0.5))
    paper = coarse_matches(Ragged(crops, tracks.offsets), OPS, MatchConfig(rule="gaussian"))
    assert lists(find_matches(views, tracks, OPS, MatchConfig(rule="gaussian"))) == lists(paper) == [[1], []]
