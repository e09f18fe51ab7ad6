"""What is known of tracks, among some of them, on their crops and on their matches."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.known import Known
from vcn_trt.ragged import Ragged


def known(together: list[int], apart: list[tuple[int, int]]) -> Known:
    n = len(together)
    pairs = np.array(apart, np.int64).reshape(-1, 2)
    return Known(np.array(together), pairs, np.zeros(n, bool), np.zeros(n, bool))


def test_what_is_said_through_a_track_that_is_not_taken_stays() -> None:
    # 0 and 1 are one person, 2 and 3 another, and not that one: said of 0 and 2, which are left out.
    found = known([0, 0, 2, 2, 4], [(0, 2)]).take(np.array([1, 3, 4]))
    assert found.together.tolist() == [0, 1, 2]
    assert found.apart.tolist() == [[0, 1]]


def test_who_is_one_person_by_hand_is_no_two_because_a_frame_shows_both() -> None:
    found = known([0, 0, 2], []).and_apart(np.array([[0, 1], [1, 2]]))
    assert found.apart.tolist() == [[1, 2]]


def test_crops_of_one_person_are_one_group() -> None:
    groups = Ragged(np.array([10, 11, 12, 13]), np.array([0, 1, 3, 3, 4]))
    joined = known([0, 1, 2, 0], []).joined(groups)
    assert [g.tolist() for g in joined] == [[10, 13], [11, 12], [], []]
    same = known([0, 1, 2, 3], []).joined(groups)
    assert (same.values.tolist(), same.offsets.tolist()) == (groups.values.tolist(), groups.offsets.tolist())


def test_matches_known_to_be_right_are_there_and_those_known_to_be_wrong_are_not() -> None:
    # 0 and 1 are one person and not 2, who is one with 3 and 4; 4 has no crops. 5 is found by itself.
    matches = Ragged(np.array([2, 5, 1, 5, 1, 3]), np.array([0, 2, 2, 3, 4, 4, 6]))
    found = known([0, 0, 2, 2, 2, 5], [(0, 2)]).matched(matches, np.array([True, True, True, True, False, True]))
    assert [g.tolist() for g in found] == [[1, 5], [0], [3], [2, 5], [], [1, 3]]


@given(
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=5),
    st.lists(st.integers(0, 5), unique=True, min_size=1),
)
def test_taken_tracks_are_told_as_pair_by_pair(
    person: list[int], pairs: list[tuple[int, int]], rows: list[int]
) -> None:
    first = [person.index(p) for p in person]
    said = [(a, b) for a, b in pairs if first[a] != first[b]]
    found = known(first, said).take(np.array(rows))
    naive = {tuple(sorted((person[a], person[b]))) for a, b in said}
    told = {tuple(sorted((int(found.together[a]), int(found.together[b])))) for a, b in found.apart.tolist()}
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            assert (found.together[i] == found.together[j]) == (person[a] == person[b])
            pair = tuple(sorted((int(found.together[i]), int(found.together[j]))))
            assert (pair in told) == (tuple(sorted((person[a], person[b]))) in naive)
