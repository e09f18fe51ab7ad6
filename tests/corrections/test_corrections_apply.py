"""An answer put right: only what was said changes, and all of it does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from said import about, edits, fold, single

from vcn_trt.corrections.apply import apply
from vcn_trt.corrections.fold import Edit
from vcn_trt.types import UNKNOWN


def applied(labels: list[int], *said: Edit, status: list[str] | None = None) -> tuple[list[int], list[str]]:
    why = status or ["ok" if c > 0 else "short" for c in labels]
    found, told = apply(np.array(labels, np.int32), np.array(why, "U8"), fold(said))
    return found.tolist(), told.tolist()


def test_without_corrections_the_answer_stays() -> None:
    assert applied([1, 1, 2, -1]) == ([1, 1, 2, -1], ["ok", "ok", "ok", "short"])


def test_merged_people_are_one_cluster_and_the_others_are_numbered_anew() -> None:
    assert applied([1, 1, 1, 2, 2, 3], about("merge", [3, 4], [5]))[0] == [1, 1, 1, 2, 2, 2]
    assert applied([1, 1, 1, 2, 2, 3, 4], about("merge", [3, 4], [5, 6]))[0] == [2, 2, 2, 1, 1, 1, 1]


def test_tracks_that_are_split_off_leave_the_others_together() -> None:
    assert applied([1, 1, 1, 1], single("split", [1, 2, 3], [0]))[0] == [2, 1, 1, 1]
    assert applied([1, 1, 1, 2], single("split", [0, 3], [1, 2]))[0] == [1, 2, 2, 1]


def test_a_moved_track_brings_no_one_along_though_it_was_with_but_one_other() -> None:
    assert applied([1, 1, 1, 2, 2], single("move", [3], [0, 1, 2]))[0] == [1, 1, 1, 1, 2]


def test_an_unknown_track_that_is_moved_becomes_that_person() -> None:
    assert applied([1, 1, -1], single("move", [2], [0, 1])) == ([1, 1, 1], ["ok"] * 3)


def test_rejected_tracks_are_unknown_with_their_own_status() -> None:
    assert applied([1, 1, 1], single("reject", [2])) == ([1, 1, -1], ["ok", "ok", "no_face"])
    assert applied([1, 1, 1], single("reject", [2], [0, 1])) == ([1, 1, -1], ["ok", "ok", "rejected"])


def test_a_rejected_track_that_a_new_grouping_gave_to_someone_else_stays_there() -> None:
    assert applied([1, 1, 2, 2], single("reject", [2], [0, 1])) == ([1, 1, 2, 2], ["ok"] * 4)


def test_different_people_in_one_cluster_are_two() -> None:
    assert applied([1, 1, 1, 1, 1], about("different", [0, 1], [2, 3]))[0] == [1, 1, 2, 2, 1]


def test_those_of_whom_nothing_is_said_go_with_whom_they_were_with() -> None:
    # Track 2 was added to the first person by a later grouping, after the merge.
    assert applied([1, 1, 1, 2, 2], about("merge", [0, 1], [3, 4]))[0] == [1, 1, 1, 1, 1]


@given(edits, st.lists(st.integers(-1, 4).filter(bool), min_size=9, max_size=9))
def test_any_answer_agrees_with_any_edits_once_they_are_applied(said: list[Edit], labels: list[int]) -> None:
    state = fold(said)
    status = np.array(["ok" if c > 0 else "crops" for c in labels], "U8")
    found, why = apply(np.array(labels, np.int32), status, state)
    for tracks in state.people:
        assert len({int(found[t]) for t in tracks}) == 1
        assert all(found[t] != UNKNOWN for t in tracks)
    for left, right in state.apart:
        assert not {int(found[t]) for t in left} & {int(found[t]) for t in right} - {UNKNOWN}
    assert all(found[t] == UNKNOWN for t in state.no_face)
    assert ((found == UNKNOWN) == np.isin(why, ["crops", "no_face", "rejected"])).all()
    assert set(found[found > 0].tolist()) == set(range(1, int(found.max(initial=0)) + 1))
    again, same = apply(found, why, state)
    assert (again.tolist(), same.tolist()) == (found.tolist(), why.tolist())
    touched = {t for e in said for t in (*e.tracks, *(t for person in e.people for t in person))}
    free = [t for t in range(9) if t not in touched]
    for t in free:
        assert (found[t] == UNKNOWN) == (labels[t] == UNKNOWN)
        assert all(found[t] == found[u] for u in free if labels[t] == labels[u] != UNKNOWN)
