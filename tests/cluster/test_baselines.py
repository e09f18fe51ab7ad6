"""The baselines on vectors whose groups are plain to see, and at their edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vcn_trt.cluster.baselines import Method, by_size, cluster_tracks, finch_partitions
from vcn_trt.errors import ModelError, UsageError
from vcn_trt.ragged import Ragged

METHODS: tuple[Method, ...] = ("hac", "dbscan", "hdbscan", "finch")


def at(*degrees: float) -> NDArray[np.float64]:
    """Unit vectors in the plane."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1)


def people(counts: Sequence[int], seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Shuffled tracks of people who stand at right angles in 32 dimensions, with a little noise; and who each is."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return np.eye(32)[who] * 3 + rng.normal(0, 0.05, (len(who), 32)), who


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_plain_groups_numbered_by_size(method: Method) -> None:
    vectors, who = people([5, 9, 7])
    # FINCH's levels rarely have the true number: without it, the nearest here are 7 and 2.
    labels = cluster_tracks(vectors, method, k=3 if method == "finch" else 0).labels
    np.testing.assert_array_equal(labels, np.array([3, 1, 2])[who])


@pytest.mark.parametrize("method", ["hac", "finch"])
def test_a_known_number_of_people_is_kept(method: Method) -> None:
    vectors, _ = people([3] * 6)
    assert set(cluster_tracks(vectors, method, k=2).labels.tolist()) == {1, 2}


def test_hac_merges_by_mean_distance_up_to_the_threshold() -> None:
    # Tracks at 0, 10 and 60 degrees: 0 and 10 are 1 - cos 10 apart, 60 is (2 - cos 60 - cos 50) / 2 from the two.
    first, second = 1 - math.cos(math.radians(10)), 1 - (math.cos(math.radians(60)) + math.cos(math.radians(50))) / 2
    found = cluster_tracks(at(0, 10, 60), "hac", threshold=second + 1e-6)
    assert found.labels.tolist() == [1, 1, 1]
    assert [(m.round, m.a, m.b) for m in found.merges] == [(0, 0, 1), (1, 1, 2)]
    assert [m.similarity for m in found.merges] == pytest.approx([first, second])
    assert {m.threshold for m in found.merges} == {second + 1e-6}
    apart = cluster_tracks(at(0, 10, 60), "hac", threshold=second - 1e-6)
    assert apart.labels.tolist() == [1, 1, 2]
    assert len(apart.merges) == 1


def test_hac_with_k_says_which_distance_it_stopped_before() -> None:
    found = cluster_tracks(at(0, 10, 60), "hac", k=2)
    second = 1 - (math.cos(math.radians(60)) + math.cos(math.radians(50))) / 2
    assert found.labels.tolist() == [1, 1, 2]
    assert [m.threshold for m in found.merges] == pytest.approx([second])
    assert cluster_tracks(at(0, 10, 60), "hac", k=1).merges[0].threshold == 2.0


def test_hac_keeps_exactly_k_among_equal_distances() -> None:
    for k in range(1, 6):
        assert cluster_tracks(np.eye(5), "hac", k=k).labels.max() == k


def test_dbscan_joins_neighbours_and_leaves_noise_alone() -> None:
    # 20 degrees are 0.0603 apart, 40 are 0.234: a chain of 20 degree steps is one person, the one at 90 is another.
    assert cluster_tracks(at(0, 20, 40, 90), "dbscan", threshold=0.07).labels.tolist() == [1, 1, 1, 2]
    assert cluster_tracks(at(0, 20, 40, 90), "dbscan", threshold=0.05).labels.tolist() == [1, 2, 3, 4]


def test_finch_takes_the_partition_of_the_best_silhouette() -> None:
    # Pairs 4 degrees apart, of which two and two are 14 apart: pairs at the finest level, and two people above it.
    vectors = at(0, 4, 14, 18, 100, 104, 114, 118)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert [len(np.unique(p)) for p in finch_partitions(unit)] == [4, 2]
    assert cluster_tracks(vectors, "finch").labels.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("method", METHODS)
def test_no_one_and_someone(method: Method) -> None:
    assert cluster_tracks(np.empty((0, 8)), method).labels.tolist() == []
    assert cluster_tracks(np.ones((1, 8)), method).labels.tolist() == [1]
    assert len(cluster_tracks(at(0, 90), method).labels) == 2


@pytest.mark.parametrize("method", ["hac", "dbscan", "finch"])
@pytest.mark.parametrize("n", [2, 3, 20])
def test_identical_tracks_are_one_person(method: Method, n: int) -> None:
    assert cluster_tracks(np.ones((n, 4)), method).labels.tolist() == [1] * n


def test_hdbscan_cannot_find_one_single_person() -> None:
    assert sorted(cluster_tracks(np.ones((3, 4)), "hdbscan").labels.tolist()) == [1, 2, 3]


def test_crops_are_normalised_then_averaged() -> None:
    # Track 0 looks along x once loudly and along y twice softly: its mean points 63.4 degrees up, near track 1 at 65.
    crops = Ragged.from_lists([np.array([[9.0, 0], [0, 0.1], [0, 0.1]]), at(65), np.empty((0, 2)), at(0)])
    found = cluster_tracks(crops, "hac", threshold=0.01)
    assert found.labels.tolist() == [1, 1, -1, 2]
    assert [(m.a, m.b) for m in found.merges] == [(0, 1)]
    assert found.merges[0].similarity == pytest.approx(1 - math.cos(math.radians(65) - math.atan2(2, 1)))


def test_tracks_without_crops_are_unknown() -> None:
    vectors = np.vstack([at(0, 90), [[np.nan, np.nan]], at(0)])
    found = cluster_tracks(vectors, "hac", threshold=0.1)
    assert found.labels.tolist() == [1, 2, -1, 1]
    assert [(m.a, m.b) for m in found.merges] == [(0, 3)]
    assert np.isnan(found.thresholds).all()
    assert found.method == "hac"
    assert cluster_tracks(np.full((3, 2), np.nan), "finch").labels.tolist() == [-1, -1, -1]


def test_damaged_embeddings_are_refused() -> None:
    with pytest.raises(ModelError, match="embedding of track 1 is not finite"):
        cluster_tracks(np.array([[1.0, 0], [np.nan, 1], [0, 1]]))
    with pytest.raises(ModelError, match="a crop of track 1 is not finite"):
        cluster_tracks(Ragged.from_lists([at(0), np.array([[1.0, 0], [np.inf, 1]])]))
    with pytest.raises(ModelError, match="no direction"):
        cluster_tracks(np.array([[1.0, 0], [0, 0]]))


def test_options_that_cannot_be_meant_are_refused() -> None:
    vectors = at(0, 10, 60)
    with pytest.raises(UsageError, match="unknown clustering method 'kmeans'; known: hac, dbscan, hdbscan, finch"):
        cluster_tracks(vectors, "kmeans")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="dbscan finds the number of people itself"):
        cluster_tracks(vectors, "dbscan", k=2)
    with pytest.raises(UsageError, match="finch has no threshold"):
        cluster_tracks(vectors, "finch", threshold=0.5)
    with pytest.raises(UsageError, match="cosine distance from 0 to 2; found 3"):
        cluster_tracks(vectors, "hac", threshold=3)
    with pytest.raises(UsageError, match="5 people cannot be found in 3 tracks"):
        cluster_tracks(vectors, "hac", k=5)
    with pytest.raises(UsageError, match="k must be 1 or more"):
        cluster_tracks(vectors, "hac", k=-1)
    with pytest.raises(UsageError, match="finch cannot find 3 people: its finest partition has 1"):
        cluster_tracks(vectors, "finch", k=3)


def test_by_size_breaks_ties_by_first_track() -> None:
    assert by_size(np.array([7, 3, 3, 9, 7, 5])).tolist() == [1, 2, 2, 3, 1, 4]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 14), st.integers(0, 10_000), st.floats(0.05, 1.5))
def test_hac_equals_the_naive_algorithm(n: int, seed: int, threshold: float) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    groups = [[i] for i in range(n)]
    while len(groups) > 1:
        pairs = [(distance[np.ix_(a, b)].mean(), i, j) for j, b in enumerate(groups) for i, a in enumerate(groups[:j])]
        nearest, i, j = min(pairs)
        if nearest > threshold:
            break
        groups[i] += groups.pop(j)
    expected = np.empty(n, np.int64)
    for number, group in enumerate(groups):
        expected[group] = number
    found = cluster_tracks(vectors, "hac", threshold=threshold)
    np.testing.assert_array_equal(found.labels, by_size(expected))
    assert len(found.merges) == n - len(groups)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_tracks_does_not_matter(method: Method) -> None:
    vectors, _ = people([6, 4, 3, 2])
    order = np.random.default_rng(1).permutation(len(vectors))
    one, other = cluster_tracks(vectors, method).labels, cluster_tracks(vectors[order], method).labels
    np.testing.assert_array_equal(
        one[:, None] == one[None], (other[:, None] == other[None])[np.ix_(np.argsort(order), np.argsort(order))]
    )
