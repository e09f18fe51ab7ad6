"""Who was kept apart by little, and which track alone holds a person together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from vcn_trt.cluster.doubts import _cuts, bridges, kept_apart
from vcn_trt.cluster.metric import Profiles, cosine_profiles
from vcn_trt.ragged import Ragged
from vcn_trt.types import Bridge, Merge

NOBODY = np.zeros((0, 2), np.int64)


def at(*angles: float) -> Profiles:
    """Tracks by their direction in the plane, in degrees; their similarity is 1 - cos."""
    turned = np.radians(np.array(angles))
    return cosine_profiles(Ragged(np.stack([np.cos(turned), np.sin(turned)], 1), np.arange(len(angles) + 1)))


def apart(angles: Any, labels: Any, limit: float, pairs: Any = NOBODY) -> list[tuple[int, int, float, float, bool]]:
    found = kept_apart(np.array(labels), at(*angles), np.full(len(angles), limit), np.array(pairs))
    return [(n.a, n.b, round(n.similarity, 4), round(n.threshold, 4), n.together) for n in found]


def test_the_pair_of_the_least_margin_comes_first_with_its_nearest_tracks() -> None:
    # Person 0 at 0 and 10, person 1 at 60, person 2 at 180: 1 - cos is 0.5 and 0.3572 (mean 0.4286) to person 1.
    found = apart([0, 10, 60, 180], [0, 0, 1, 2], 0.4)
    assert found[0] == (1, 2, 0.4286, 0.4, False)
    assert [pair[:2] for pair in found] == [(1, 2), (2, 3), (1, 3)]


def test_two_who_are_seen_together_are_said_to_be_and_may_be_below_the_threshold() -> None:
    (pair,) = apart([0, 10], [0, 1], 0.4, [[1, 0]])
    assert pair == (0, 1, 0.0152, 0.4, True)


def test_tracks_of_no_one_are_in_no_pair() -> None:
    assert apart([0, 5, 60], [0, -1, 1], 0.4) == [(0, 2, 0.5, 0.4, False)]
    assert apart([0, 5], [-1, -1], 0.4) == []
    assert kept_apart(np.zeros(0, np.int64), at(), np.zeros(0), NOBODY) == []


def test_blocks_of_people_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    angles = np.random.default_rng(0).uniform(0, 360, 40)
    whole = apart(angles, np.arange(40), 0.4)
    monkeypatch.setattr("vcn_trt.cluster.doubts._ROWS", 7)
    assert apart(angles, np.arange(40), 0.4) == whole
    monkeypatch.setattr("vcn_trt.cluster.doubts.NEAREST", 25)
    assert apart(angles, np.arange(40), 0.4) == whole[:25]


def held(angles: Any, limit: float, merges: Any = ()) -> list[Bridge]:
    labels = np.zeros(len(angles), np.int64)
    return bridges(labels, at(*angles), np.full(len(angles), limit), [Merge(0, a, b, 0.0, 0.0) for a, b in merges])


def test_a_track_between_two_groups_is_a_bridge_and_holds_the_smaller() -> None:
    # Near is below 25 degrees: three at 0, two at 40, and one between that alone is near both.
    assert held([0, 1, 2, 20, 40, 41], 1 - np.cos(np.radians(25))) == [Bridge(3, (4, 5))]


def test_a_single_track_that_hangs_on_another_makes_no_bridge() -> None:
    assert held([0, 1, 2, 3, 20, 40], 1 - np.cos(np.radians(25))) == []


def test_a_merge_holds_where_no_pair_is_near() -> None:
    near = 1 - np.cos(np.radians(25))
    assert held([0, 1, 2, 90, 91, 92], near, [(0, 3)]) == [Bridge(0, (1, 2)), Bridge(3, (4, 5))]
    assert held([0, 1, 2, 90, 91, 92], near, [(0, 3), (1, 4)]) == []


def test_tracks_that_nothing_holds_together_have_no_bridge() -> None:
    assert held([0, 1, 2, 90, 91, 92], 1 - np.cos(np.radians(25))) == []


def test_a_merge_of_tracks_that_are_no_longer_one_person_counts_for_nothing() -> None:
    near = 1 - np.cos(np.radians(25))
    labels, angles = np.array([0, 0, 0, -1, 0, 0, 0]), (0, 1, 2, 45, 90, 91, 92)
    merges = [Merge(0, 2, 3, 0.0, 0.0), Merge(1, 3, 4, 0.0, 0.0)]
    assert bridges(labels, at(*angles), np.full(7, near), merges) == []


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.floats(0.1, 0.6))
def test_cuts_are_the_vertices_whose_removal_leaves_parts(seed: int, n: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    near = np.triu(rng.random((n, n)) < share, 1)
    near[np.arange(n - 1), rng.permutation(np.arange(1, n))] |= True  # more edges; then all are made reachable
    near[0, 1:] |= connected_components(near, directed=False)[1][1:] != connected_components(near, directed=False)[1][0]
    near = (near | near.T) & ~np.eye(n, dtype=bool)
    found = {v: sorted(sorted(part.tolist()) for part in parts) for v, parts in _cuts(near)}
    expected = {}
    for v in range(n):
        rest = np.delete(np.arange(n), v)
        count, part = connected_components(near[np.ix_(rest, rest)], directed=False)
        if count > 1:
            expected[v] = sorted(rest[part == i].tolist() for i in range(count))
    assert found == expected
