"""Algorithm 1 against itself written as loops over crops, and what its readings and guards do."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt import backends
from vcn_trt.backends.base import Rule
from vcn_trt.cluster.link import forest, mutual
from vcn_trt.cluster.merge import Merged, MergeRules, merge_tracks
from vcn_trt.cluster.metric import Profiles, cosine_profiles, euclidean_profiles, loss_profiles
from vcn_trt.errors import ModelError
from vcn_trt.ragged import Ragged

OPS = backends.open("cpu").ops
GUARDS = ("none", "mutual", "average")
LATER = ("paper_means", "exact")


def on_a_line(*tracks: list[float]) -> Profiles:
    """Crops that are numbers, compared by squared distance."""
    return euclidean_profiles(Ragged.from_lists([np.array(t, float).reshape(-1, 1) for t in tracks]))


def people(seed: int, n_people: int = 4, tracks_each: int = 4, spread: float = 0.6) -> tuple[Ragged, np.ndarray]:
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(n_people), tracks_each))
    middle = rng.normal(0, 1, (n_people, 6))[who] + rng.normal(0, spread, (len(who), 6))
    counts = rng.integers(1, 5, len(who))
    crops = np.repeat(middle, counts, axis=0) + rng.normal(0, 0.4, (counts.sum(), 6))
    return Ragged(crops, np.cumsum([0, *counts])), who


# Algorithm 1 in the plainest form -----------------------------------------------------------------------------------


def squared(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a - b) ** 2).sum())


def naive_items(members: list[int], crops: Ragged, later: str) -> list[np.ndarray]:
    if len(members) == 1 or later == "exact":
        return [crop for j in members for crop in crops[j]]
    return [crops[j].mean(0) for j in members]


def naive_algorithm(crops: Ragged, rule: Rule, later: str, known: np.ndarray | None = None) -> set[frozenset[int]]:
    first = np.arange(len(crops)) if known is None else known
    clusters = [np.flatnonzero(first == number).tolist() for number in np.unique(first)]
    while True:
        items = [naive_items(c, crops, later) for c in clusters]
        limits = [
            np.mean([squared(x[a], x[b]) for a in range(len(x)) for b in range(a)]) if len(x) > 1 else math.nan
            for x in items
        ]
        group = list(range(len(clusters)))
        for a in range(len(clusters)):
            for b in range(a):
                similarity = np.mean([squared(x, y) for x in items[a] for y in items[b]])
                known = [t for t in (limits[a], limits[b]) if not math.isnan(t)]
                limit = {"or": max, "and": min, "mean": np.mean}[rule](known) if known else -math.inf
                if similarity < limit * (1 - 1e-5):
                    old, new = group[a], group[b]
                    group = [new if g == old else g for g in group]
        merged = [[j for c, g in zip(clusters, group, strict=True) if g == label for j in c] for label in set(group)]
        if len(merged) == len(clusters):
            return {frozenset(c) for c in clusters}
        clusters = merged


def as_sets(found: Merged) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(found.labels == c).tolist()) for c in set(found.labels.tolist()) - {-1}}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rule=st.sampled_from(get_args(Rule)), later=st.sampled_from(LATER))
def test_the_answer_is_that_of_the_naive_algorithm(seed: int, rule: Rule, later: str) -> None:
    crops, _ = people(seed, 3, 3, 0.3)
    found = merge_tracks(euclidean_profiles(crops), OPS, MergeRules(rule=rule, later=later), tile=3)
    assert as_sets(found) == naive_algorithm(crops, rule, later)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rule=st.sampled_from(get_args(Rule)), later=st.sampled_from(LATER))
def test_tracks_known_to_be_one_person_are_where_the_naive_algorithm_begins(seed: int, rule: Rule, later: str) -> None:
    crops, _ = people(seed, 3, 3, 0.3)
    known = np.random.default_rng(seed).integers(0, 6, len(crops))
    rules = MergeRules(rule=rule, later=later)
    found = merge_tracks(euclidean_profiles(crops), OPS, rules, tile=3, together=known)
    assert as_sets(found) == naive_algorithm(crops, rule, later, known)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    guard=st.sampled_from(GUARDS),
    later=st.sampled_from(LATER),
    one_crop=st.sampled_from(["partner", "median", "never"]),
    enforce=st.booleans(),
)
def test_the_answer_does_not_depend_on_the_order_of_the_tracks(
    seed: int, guard: str, later: str, one_crop: str, enforce: bool
) -> None:
    crops, _ = people(seed)
    rules = MergeRules(guard=guard, later=later, one_crop=one_crop, cannot_link="enforce" if enforce else "off")
    pairs = np.array([[0, 1], [2, 9], [4, 5]])
    order = np.random.default_rng(seed).permutation(len(crops))
    place = np.argsort(order)
    moved = Ragged.from_lists([crops[j] for j in order])
    found = merge_tracks(cosine_profiles(crops), OPS, rules, pairs, tile=4)
    other = merge_tracks(cosine_profiles(moved), OPS, rules, place[pairs], tile=5)
    assert as_sets(found) == {frozenset(order[list(c)].tolist()) for c in as_sets(other)}
    back = {(m.round, *sorted((int(order[m.a]), int(order[m.b])))) for m in other.merges}
    assert {(m.round, m.a, m.b) for m in found.merges} == back


# Readings, by hand --------------------------------------------------------------------------------------------------


def test_either_threshold_both_or_their_mean() -> None:
    # Track 0 spreads by 4 (threshold 16), track 1 by 2 (threshold 4): 3 apart, mean squared distance 9 + 4 + 1 = 14.
    tracks = on_a_line([-2, 2], [2, 4])
    assert tracks.thresholds().tolist() == pytest.approx([16, 4])
    assert tracks.similarities()[0, 1] == pytest.approx(14)
    labels = {rule: merge_tracks(tracks, OPS, MergeRules(rule=rule)).labels.tolist() for rule in get_args(Rule)}
    assert labels == {"or": [0, 0], "and": [0, 1], "mean": [0, 1]}


def test_merges_are_kept_with_their_similarity_and_threshold() -> None:
    found = merge_tracks(on_a_line([-2, 2], [2, 4]), OPS)
    (merge,) = found.merges
    assert (merge.round, merge.a, merge.b) == (0, 0, 1)
    assert (merge.similarity, merge.threshold) == pytest.approx((14, 16))
    assert found.thresholds.tolist() == pytest.approx([16, 4])
    assert found.rounds == 1


def test_tracks_that_match_through_a_third_are_one() -> None:
    # Section 3.7: "if track pairs (1,2) and (2,3) are matched, then tracks 1, 2, and 3 are combined".
    found = merge_tracks(on_a_line([0, 1], [-1, 3], [2, 3]), OPS, MergeRules(rule="or"))
    assert found.labels.tolist() == [0, 0, 0]
    assert found.rounds == 1


def test_each_merge_joins_two_groups_that_were_apart() -> None:
    crops, _ = people(3, 4, 6)
    found = merge_tracks(cosine_profiles(crops), OPS)
    assert len(found.merges) == len(crops) - len(as_sets(found))
    assert {m.similarity < m.threshold for m in found.merges} == {True}
    assert {found.labels[m.a] == found.labels[m.b] for m in found.merges} == {True}


def test_a_later_merge_names_the_two_nearest_tracks_of_its_clusters() -> None:
    # 0 and 1 are nearest to each other; then 2 comes, which is nearer to 1: (12 + 11.61) / 2 from the two together.
    tracks = on_a_line([-2, 2], [-1.9, 2.1], [0, 4])
    found = merge_tracks(tracks, OPS, MergeRules(later="exact", guard="mutual"))
    assert [(m.round, m.a, m.b) for m in found.merges] == [(0, 0, 1), (1, 1, 2)]
    assert found.merges[1].similarity == pytest.approx(11.805)
    assert found.merges[1].threshold == pytest.approx(16)


def test_a_track_of_one_crop_asks_its_partner_the_median_or_nobody() -> None:
    # The wide track (threshold 4) accepts the single crop at 0.5 (1.25); two single crops decide nothing.
    tracks = on_a_line([-1, 1], [0.5], [30.0], [30.1])

    def labels(one_crop: str) -> list[int]:
        return merge_tracks(tracks, OPS, MergeRules(one_crop=one_crop)).labels.tolist()

    assert labels("partner") == [0, 0, 1, 2]
    assert labels("median") == [0, 0, 1, 1]
    assert labels("never") == [0, 1, 2, 3]


def test_tracks_of_one_crop_only_stay_alone() -> None:
    for one_crop in ("partner", "median", "never"):
        found = merge_tracks(on_a_line([0.0], [0.0], [1.0]), OPS, MergeRules(one_crop=one_crop))
        assert found.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("guard", GUARDS)
def test_no_track_one_track_and_tracks_without_crops(guard: str) -> None:
    rules = MergeRules(guard=guard)
    none = euclidean_profiles(Ragged(np.zeros((0, 3)), np.array([0])))
    assert merge_tracks(none, OPS, rules).labels.tolist() == []
    assert merge_tracks(on_a_line([1, 2]), OPS, rules).labels.tolist() == [0]
    empty = on_a_line([], [0, 4], [], [1, 3])
    found = merge_tracks(empty, OPS, rules, np.array([[0, 1]]))
    assert found.labels.tolist() == [-1, 0, -1, 0]
    assert [(m.a, m.b) for m in found.merges] == [(1, 3)]
    assert np.isnan(found.thresholds[[0, 2]]).all()
    rejected = merge_tracks(on_a_line([], []), OPS, rules)
    assert rejected.labels.tolist() == [-1, -1]


@pytest.mark.parametrize("guard", GUARDS)
def test_a_collapsed_metric_merges_nobody(guard: str) -> None:
    # Every output uniform: each similarity and each threshold is ln K, and equal is not below.
    flat = Ragged(np.zeros((12, 64), np.float32), np.arange(0, 13, 3))
    collapsed = loss_profiles(OPS, flat, flat, np.zeros(64), 0.04, 0.1)
    assert merge_tracks(collapsed, OPS, MergeRules(guard=guard)).labels.tolist() == [0, 1, 2, 3]


def test_vectors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ModelError, match="not finite"):
        merge_tracks(on_a_line([0, 1], [math.nan, 2]), OPS)


# Guards against chaining --------------------------------------------------------------------------------------------


def bridged(seed: int = 0) -> tuple[Profiles, np.ndarray]:
    """Two people of ten clean tracks, and one bad track whose crops are spread over both: its wide threshold matches
    every track of either."""
    rng = np.random.default_rng(seed)
    middle = np.repeat([[0.0, 0.0], [6.0, 0.0]], 10, axis=0)
    tracks = [m + rng.normal(0, 1, (6, 2)) + rng.normal(0, 0.2, 2) for m in middle]
    tracks.append(np.array([3.0, 0]) + rng.normal(0, 1, (6, 2)) + np.array([[-4, 0], [4, 0]] * 3))
    return euclidean_profiles(Ragged.from_lists(tracks)), np.repeat([0, 1, 2], [10, 10, 1])


def test_one_bad_track_bridges_two_people_in_the_paper_s_reading() -> None:
    for seed in range(5):
        tracks, _ = bridged(seed)
        assert set(merge_tracks(tracks, OPS).labels.tolist()) == {0}


@pytest.mark.parametrize("guard", ["mutual", "average"])
def test_a_guard_keeps_two_people_apart_whom_one_bad_track_bridges(guard: str) -> None:
    for seed in range(5):
        tracks, who = bridged(seed)
        found = merge_tracks(tracks, OPS, MergeRules(guard=guard, later="exact", rule="mean"))
        assert not set(found.labels[who == 0]) & set(found.labels[who == 1])


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("later", LATER)
def test_people_far_apart_are_found_under_every_guard(guard: str, later: str) -> None:
    rng = np.random.default_rng(5)
    who = rng.permutation(np.repeat(np.arange(4), 5))
    crops = np.repeat(np.eye(4)[who] * 50, 6, axis=0) + rng.normal(0, 1, (120, 4))
    tracks = euclidean_profiles(Ragged(crops, np.arange(0, 121, 6)))
    found = merge_tracks(tracks, OPS, MergeRules(guard=guard, later=later))
    assert all(len(set(who[list(c)])) == 1 for c in as_sets(found))


def test_mutual_takes_each_other_s_nearest() -> None:
    tiles = list(OPS.pair_edges(*line_of(0, 1, 2.5, 3), np.full(4, 4.0), "or", 2))
    found = mutual(tiles, 4)
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [(2, 3), (0, 1)]


def test_the_forest_holds_the_shortest_edges_however_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = list(OPS.pair_edges(*line_of(0, 1, 2.5, 3), np.full(4, 20.0), "or", 1))
    whole = forest(tiles, 4)
    assert sorted(zip(whole.a.tolist(), whole.b.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3)]
    monkeypatch.setattr("vcn_trt.cluster.link._BUFFER", 1)
    for one, other in zip(whole, forest(tiles, 4), strict=True):
        np.testing.assert_array_equal(one, other)


def line_of(*places: float) -> tuple[np.ndarray, np.ndarray]:
    tracks = on_a_line(*[[x] for x in places])
    return tracks.p, tracks.l


# Tracks seen at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard", GUARDS)
def test_tracks_seen_at_once_fall_together_are_told_or_are_kept_apart(guard: str) -> None:
    tracks = on_a_line([-2, 2], [-1.9, 2.2], [-2.1, 1.8], [-1.8, 2.1])
    pairs = np.array([[0, 1]])
    off, warn, enforce = (
        merge_tracks(tracks, OPS, MergeRules(guard=guard, cannot_link=reading, later="exact"), pairs)
        for reading in ("off", "warn", "enforce")
    )
    assert off.labels.tolist() == warn.labels.tolist()
    assert off.violations.shape == (0, 2)
    assert warn.violations.tolist() == ([[0, 1]] if warn.labels[0] == warn.labels[1] else [])
    assert enforce.labels[0] != enforce.labels[1]
    assert enforce.violations.shape == (0, 2)
    if guard == "none":
        assert warn.violations.tolist() == [[0, 1]]
        assert len(set(enforce.labels.tolist())) == 2, "the others still join one of the two"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), guard=st.sampled_from(GUARDS), later=st.sampled_from(LATER))
def test_enforced_pairs_never_meet_through_others(seed: int, guard: str, later: str) -> None:
    crops, _ = people(seed, 3, 5, 1.0)
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, 15, (6, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    rules = MergeRules(guard=guard, later=later, cannot_link="enforce")
    found = merge_tracks(cosine_profiles(crops), OPS, rules, pairs, tile=4)
    assert (found.labels[pairs[:, 0]] != found.labels[pairs[:, 1]]).all()


def test_pairs_of_no_track_are_refused() -> None:
    for pair in ([0, 2], [1, 1], [-1, 0]):
        with pytest.raises(ValueError, match="pairs of different tracks"):
            merge_tracks(on_a_line([0, 1], [1, 2]), OPS, MergeRules(cannot_link="warn"), np.array([pair]))
