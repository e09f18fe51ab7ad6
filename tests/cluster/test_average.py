"""Average linkage to thresholds against the same as loops over pairs of tracks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vcn_trt import backends
from vcn_trt.backends.base import TIE
from vcn_trt.cluster import average
from vcn_trt.cluster.average import Linked, link_by_average
from vcn_trt.cluster.metric import cosine_profiles
from vcn_trt.ragged import Ragged

OPS = backends.open("cpu").ops
NOBODY = np.zeros((0, 2), np.int64)
Footage = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]


def footage_of(n: int, seed: int, bans: int, weak: int) -> Footage:
    """Vectors, limits, tracks seen together and weak tracks, at random."""
    rng = np.random.default_rng(seed)
    p, l = rng.normal(size=(2, n, 4)).astype(np.float32)  # noqa: E741
    limits = rng.normal(0, 1, n)
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n)]
    apart = rng.permutation(np.array(pairs, np.int64).reshape(-1, 2))[:bans]
    return p, l, limits, apart, rng.permutation(n) < weak


footage = st.builds(footage_of, st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(0, 8), st.integers(0, 12))


def link(made: Footage, tile: int = 64) -> Linked:
    p, l, limits, apart, weak = made  # noqa: E741
    return link_by_average(p, l, limits, OPS, apart, weak, tile)


def matrix(made: Footage) -> NDArray[np.float64]:
    p, l = made[0].astype(np.float64), made[1].astype(np.float64)  # noqa: E741
    return -(p @ l.T + l @ p.T) / 2


def naive(made: Footage, known: NDArray[np.int64] | None = None) -> set[frozenset[int]]:
    similarity, (_, _, limits, apart, weak) = matrix(made), made
    banned = {frozenset(pair) for pair in apart.tolist()}
    first = np.arange(len(limits)) if known is None else known
    clusters = [np.flatnonzero(first == number).tolist() for number in np.unique(first)]

    def candidates() -> Iterator[tuple[float, int, int]]:
        for x, one in enumerate(clusters):
            for y, other in enumerate(clusters[:x]):
                if any(frozenset((a, b)) in banned for a in one for b in other) or weak[one + other].all():
                    continue
                near = np.mean([similarity[a, b] for a in one for b in other])
                limit = (np.mean(limits[one]) + np.mean(limits[other])) / 2
                if limit - near > TIE * abs(limit):
                    yield float(limit - near), x, y

    while found := max(candidates(), default=None):
        _, x, y = found
        clusters[y] += clusters.pop(x)
    return {frozenset(c) for c in clusters}


def groups(labels: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == c).tolist()) for c in np.unique(labels)}


@settings(max_examples=150)
@given(made=footage, tile=st.integers(1, 13))
def test_the_answer_is_that_of_the_naive_algorithm(made: Footage, tile: int) -> None:
    assert groups(link(made, tile).labels) == naive(made)


@settings(max_examples=100)
@given(made=footage, seed=st.integers(0, 2**32 - 1), tile=st.integers(1, 13))
def test_tracks_known_to_be_one_person_are_where_the_naive_algorithm_begins(
    made: Footage, seed: int, tile: int
) -> None:
    p, l, limits, apart, weak = made  # noqa: E741
    known = np.random.default_rng(seed).integers(0, max(1, len(p) // 2), len(p))
    apart = apart[known[apart[:, 0]] != known[apart[:, 1]]]
    found = link_by_average(p, l, limits, OPS, apart, weak, tile, together=known)
    assert groups(found.labels) == naive((p, l, limits, apart, weak), known)
    assert len(found.merges) == len(np.unique(known)) - len(np.unique(found.labels)), "what is known is no merge"


@settings(max_examples=50)
@given(made=footage, seed=st.integers(0, 2**32 - 1))
def test_the_answer_does_not_depend_on_the_order_of_the_tracks(made: Footage, seed: int) -> None:
    p, l, limits, apart, weak = made  # noqa: E741
    order = np.random.default_rng(seed).permutation(len(p))  # track order[i] comes i-th
    place = np.argsort(order)
    again = link((p[order], l[order], limits[order], place[apart], weak[order])).labels
    assert groups(again[place]) == groups(link(made).labels)


@settings(max_examples=50)
@given(made=footage)
def test_every_merge_is_recorded_and_was_below_its_limit(made: Footage) -> None:
    found, near = link(made), matrix(made)
    assert len(found.merges) == len(made[0]) - len(set(found.labels))
    now = np.arange(len(made[0]))
    for number, merge in enumerate(found.merges):
        assert merge.round == number
        assert merge.similarity < merge.threshold
        assert merge.a < merge.b
        one, other = (np.flatnonzero(now == now[t]) for t in (merge.a, merge.b))
        assert not set(one) & set(other), "the two were in different clusters"
        assert merge.similarity == pytest.approx(near[np.ix_(one, other)].mean(), rel=1e-4, abs=1e-5)
        limits = [made[2][c].mean() for c in (one, other)]
        assert merge.threshold == pytest.approx(np.mean(limits), rel=1e-4, abs=1e-5)
        assert near[merge.a, merge.b] == pytest.approx(near[np.ix_(one, other)].min(), abs=1e-5), "its two nearest"
        now[other] = now[merge.a]
    assert groups(now) == groups(found.labels)


@settings(max_examples=50)
@given(made=footage)
def test_clusters_are_numbered_in_order_of_their_first_tracks(made: Footage) -> None:
    labels = link(made).labels.tolist()
    assert sorted(set(labels), key=labels.index) == list(range(max(labels) + 1))


def test_many_at_once_join_as_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    several = 0
    for seed in range(60):
        made = footage_of(40, seed, 60, 10)  # with tracks seen at once, and weak ones
        one_by_one = link(made)
        monkeypatch.setattr(average, "AT_ONCE", 1)
        at_once = link(made)
        monkeypatch.undo()
        np.testing.assert_array_equal(at_once.labels, one_by_one.labels)
        for found in (at_once, one_by_one):
            assert len(found.merges) == 40 - len(set(found.labels))
        expected, found = (sorted((m.a, m.b, m.similarity) for m in x.merges) for x in (one_by_one, at_once))
        assert [x[:2] for x in found] == [x[:2] for x in expected]
        np.testing.assert_allclose([x[2] for x in found], [x[2] for x in expected], rtol=1e-9)
        several += [m.a for m in at_once.merges] != [m.a for m in one_by_one.merges]
    assert several > 30, "another order, or this compared nothing"


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_in_parts_it_still_ends_and_never_joins_what_is_apart(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(average, "GROUP", size)
    for seed in range(20):
        made = footage_of(24, seed, 30, 8)
        found = link(made)
        apart, weak = made[3:]
        assert (found.labels[apart[:, 0]] != found.labels[apart[:, 1]]).all()
        for cluster in groups(found.labels):
            members = sorted(cluster)
            assert len(members) == 1 or not weak[members].all()
        assert all(m.similarity < m.threshold for m in found.merges)
        if size == 1:
            assert len(found.merges) == 0, "no group of two fits"


def test_in_parts_people_who_stand_apart_are_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(average, "GROUP", 4)
    who, vectors = people(5, 8)
    found = link_cosine(vectors, 0.5)
    assert groups(found.labels) == groups(who)


def people(n: int, each: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Who a track is, and its vector: near one of n axes."""
    who = np.arange(n * each) % n
    return who, np.eye(n)[who] + np.random.default_rng(0).normal(0, 0.05, (n * each, n))


def link_cosine(vectors: NDArray[np.float64], limit: float, apart: NDArray[np.int64] = NOBODY) -> Linked:
    n = len(vectors)
    profiles = cosine_profiles(Ragged(vectors, np.arange(n + 1)))
    return link_by_average(profiles.p, profiles.l, np.full(n, limit), OPS, apart, np.zeros(n, bool))


def test_one_track_between_two_people_does_not_join_them() -> None:
    who, vectors = people(2, 5)
    vectors = np.vstack([vectors, [1, 1]])  # at 45 degrees to both: 0.29 from each, they are 1 from each other
    found = link_cosine(vectors, 0.4).labels
    assert groups(found[:-1]) == groups(who)
    assert found[-1] in found[:-1], "it goes with one of the two"


def test_tracks_seen_together_keep_whole_clusters_apart() -> None:
    # Three tracks of one look; the first two are seen at once: the third goes with either, and takes the ban along.
    vectors = np.array([[1.0, 0], [1, 0.2], [1, 0.15]])
    assert len(set(link_cosine(vectors, 0.5).labels)) == 1
    found = link_cosine(vectors, 0.5, np.array([[0, 1]])).labels
    assert found[0] != found[1]
    assert found[2] == found[1], "the nearer"


def test_weak_tracks_join_a_good_one_but_never_each_other() -> None:
    vectors = np.array([[1.0, 0], [1, 0.01], [0, 1], [0.01, 1]])
    profiles = cosine_profiles(Ragged(vectors, np.arange(5)))
    weak = np.array([True, True, False, True])
    found = link_by_average(profiles.p, profiles.l, np.full(4, 0.5), OPS, NOBODY, weak)
    assert found.labels.tolist() == [0, 1, 2, 2]


def test_worked_by_hand() -> None:
    # Points on a line by squared distance: p = (x, x^2, 1), l = (2x, -1, -x^2). Limit 7 for all.
    x = np.array([0.0, 1.0, 3.0, 9.0])
    one = np.ones(4)
    p, l = np.stack([x, x * x, one], 1), np.stack([2 * x, -one, -x * x], 1)  # noqa: E741
    found = link_by_average(p.astype(np.float32), l.astype(np.float32), np.full(4, 7.0), OPS, NOBODY, np.zeros(4, bool))
    # 0 and 1 at 1; then {0, 1} and 3 at (9 + 4) / 2 = 6.5; 9 stays, at 36 and more.
    assert [(m.a, m.b, m.similarity, m.threshold) for m in found.merges] == [
        (0, 1, pytest.approx(1), 7),
        (1, 2, pytest.approx(6.5), 7),
    ]
    assert found.labels.tolist() == [0, 0, 0, 1]


def test_no_tracks_and_one_track() -> None:
    for n in (0, 1):
        empty = np.zeros((n, 3), np.float32)
        found = link_by_average(empty, empty, np.zeros(n), OPS, NOBODY, np.zeros(n, bool))
        assert found.labels.tolist() == [0] * n
        assert found.merges == ()


def test_identical_tracks_are_one() -> None:
    assert set(link_cosine(np.ones((30, 3)), 0.1).labels) == {0}


def test_a_similarity_equal_to_its_limit_does_not_join() -> None:
    assert len(set(link_cosine(np.eye(2), 1.0).labels)) == 2
    assert len(set(link_cosine(np.eye(2), 1.001).labels)) == 1
