"""What edits say together: each kind by hand, what contradicts, and any edits at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from said import about, edits, fold, name, single

from vcn_trt.corrections.event import Event
from vcn_trt.corrections.fold import Edit, Fold, State
from vcn_trt.corrections.log import Log


def groups(state: State) -> list[list[int]]:
    return [sorted(tracks) for tracks in state.people]


def apart(state: State) -> set[tuple[int, int]]:
    return {(min(a, b), max(a, b)) for left, right in state.apart for a in left for b in right}


def test_a_merge_makes_all_tracks_of_both_one_person_and_a_chain_of_them_one() -> None:
    state = fold([about("merge", [0, 1], [2]), about("same", [4], [5]), about("merge", [2, 0, 1], [4, 5], id="q")])
    assert groups(state) == [[0, 1, 2, 4, 5]]
    assert state.applied == ("p", "p", "q")


def test_a_split_is_a_person_of_its_own_and_not_the_rest() -> None:
    state = fold([single("split", [1, 2], [0, 3])])
    assert groups(state) == [[1, 2]]
    assert apart(state) == {(0, 1), (1, 3), (0, 2), (2, 3)}


def test_a_split_out_of_who_was_merged_is_no_contradiction() -> None:
    state = fold([about("merge", [0, 1], [2, 3], id="a"), single("split", [2], [0, 1, 3], id="b")])
    assert (groups(state), state.contradictions) == ([[0, 1, 3], [2]], ())


def test_a_move_takes_a_track_to_a_person_and_from_whom_it_was_merged_with() -> None:
    state = fold([about("merge", [0, 1], [2]), single("move", [2], [5, 6])])
    assert groups(state) == [[0, 1], [2, 5, 6]]
    assert state.placed == {2}
    assert apart(state) == set(), "whom it was with may be the same person: nothing was said"


def test_what_is_no_face_is_no_one() -> None:
    state = fold([about("merge", [0, 1], [2]), single("reject", [1])])
    assert (groups(state), state.no_face) == ([[0, 2]], {1})


def test_not_this_person_leaves_the_track_to_no_one() -> None:
    state = fold([single("reject", [1], [0, 2])])
    assert (groups(state), state.rejected, apart(state)) == ([], {1}, {(0, 1), (1, 2)})
    moved = fold([single("reject", [1], [0, 2]), single("move", [1], [4], id="m")])
    assert (groups(moved), moved.rejected, apart(moved)) == ([[1, 4]], frozenset(), {(0, 1), (1, 2)})


def test_a_later_name_of_the_same_tracks_counts_and_none_takes_it_away() -> None:
    state = fold([name([0, 1], "Anna", "a"), name([2], "Ben", "b"), name([0, 1], "Anne", "c")])
    assert {(n.name, n.tracks) for n in state.names} == {("Anne", frozenset({0, 1})), ("Ben", frozenset({2}))}
    assert fold([name([0], "Anna", "a"), name([0], None, "b")]).names == ()


def test_a_merge_passes_the_first_name_on() -> None:
    state = fold([name([2], "Ben", "b"), name([0], "Anna", "a"), about("merge", [5], [0], [2, 3])])
    assert [(n.name, sorted(n.tracks)) for n in state.names] == [("Anna", [0, 2, 3, 5])]


def test_a_track_that_is_split_off_leaves_the_name_behind() -> None:
    state = fold([name([0, 1, 2], "Anna"), single("split", [2], [0, 1])])
    assert [sorted(n.tracks) for n in state.names] == [[0, 1]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (about("different", [0], [1]), about("merge", [0], [1])),
        (about("merge", [0], [1]), about("different", [0, 2], [1])),
        (single("split", [0], [1, 2]), about("same", [0], [1, 2])),
        (single("reject", [0], [1, 2]), single("move", [0], [1, 2])),
        (single("reject", [0], [1, 2]), about("merge", [0, 4], [2])),
        (single("move", [0], [1, 2]), single("split", [0], [1, 2])),
        (single("move", [0], [1, 2]), single("reject", [0], [1, 2])),
        (single("move", [0], [1, 2]), single("reject", [0])),
        (single("move", [0], [1, 2]), single("move", [0], [3, 4])),
        (single("reject", [0]), single("move", [0], [1])),
        (single("reject", [0]), about("merge", [0], [1])),
    ],
)
def test_of_two_that_contradict_the_later_is_not_applied_and_both_are_told(first: Edit, second: Edit) -> None:
    one, other = Edit(**vars(first) | {"id": "first"}), Edit(**vars(second) | {"id": "second"})
    state = fold([one, other])
    (found,) = state.contradictions
    assert (found.id, found.other, state.applied) == ("second", "first", ("first",))
    assert found.why
    alone = fold([one])
    assert (state.people, state.apart, state.no_face) == (alone.people, alone.apart, alone.no_face)


def test_different_people_stay_so_for_those_who_joined_them() -> None:
    edits = [about("different", [0], [1]), about("merge", [0], [2], id="a"), about("merge", [2], [1], id="b")]
    assert [c.id for c in fold(edits).contradictions] == ["b"]


def by_itself_later(given_edits: Sequence[Edit], place: int, applied: set[str]) -> set[int]:
    """Tracks of which something was said by itself after an edit."""
    return {t for e in given_edits[place + 1 :] if e.id in applied for t in e.tracks}


@given(edits)
def test_every_edit_that_is_applied_holds(given_edits: list[Edit]) -> None:
    state = fold(given_edits)
    of = {t: i for i, tracks in enumerate(state.people) for t in tracks}
    applied = set(state.applied)
    assert len(of) == sum(map(len, state.people)), "no track is two people"
    assert all(state.people)
    assert not set(of) & (state.no_face | state.rejected)
    for left, right in state.apart:
        assert not {of[t] for t in left if t in of} & {of[t] for t in right if t in of}
        assert not left & right
    pairs = apart(state)
    for place, edit in enumerate(given_edits):
        if edit.id not in applied:
            assert edit.id in {c.id for c in state.contradictions}
            continue
        later = by_itself_later(given_edits, place, applied)
        people = [[t for t in person if t not in later] for person in edit.people]
        together = [t for person in people for t in person]
        if edit.kind in ("merge", "same"):
            assert len({of[t] for t in together}) <= 1
        elif edit.kind == "different":
            assert {(min(a, b), max(a, b)) for a in people[0] for b in people[1]} <= pairs
        elif edit.kind == "move":
            assert all(of[t] == of[u] for t in edit.tracks for u in together)
        elif edit.kind in ("split", "reject") and edit.people:
            assert {(min(a, b), max(a, b)) for a in edit.tracks for b in together} <= pairs
        elif edit.kind == "reject":
            assert set(edit.tracks) <= state.no_face


@given(edits, st.data())
def test_undo_and_redo_change_nothing(given_edits: list[Edit], data: st.DataObject) -> None:
    events = [Event(e.id, "", e.kind) for e in given_edits]
    log = Log(tuple(events))
    for step in range(data.draw(st.integers(0, 3))):
        if given_edits:
            of = data.draw(st.sampled_from(given_edits)).id
            log = log + Event(f"u{step}", "", "undo", of=of) + Event(f"r{step}", "", "redo", of=of)
    assert log.edits == tuple(events)
    if given_edits:
        of = data.draw(st.sampled_from(given_edits)).id
        assert [e.id for e in (log + Event("u", "", "undo", of=of)).edits] == [e.id for e in given_edits if e.id != of]


@given(edits, st.lists(st.integers(0, 12), max_size=6))
def test_a_fold_that_goes_on_says_what_one_from_the_beginning_says(said: list[Edit], ends: list[int]) -> None:
    going_on = Fold()
    for end in ends:
        some = said[:end] if end % 3 else said[end:]  # more, fewer, or others
        assert going_on.state(tuple(some)) == fold(some)
