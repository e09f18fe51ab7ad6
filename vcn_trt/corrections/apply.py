"""An answer corrected: what is said by hand put onto tracks that were grouped before, and nothing else changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vcn_trt.cluster.people import by_size
from vcn_trt.corrections.apart import Apart, Side
from vcn_trt.corrections.fold import State
from vcn_trt.types import UNKNOWN


def apply(
    labels: NDArray[np.int32], status: NDArray[np.str_], state: State
) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """labels: (n_tracks,) clusters, UNKNOWN for no one; status: (n_tracks,) of each track. -> the same, corrected.

    Tracks of which nothing is said stay with those they were with, also where all of these become someone else's. An
    answer that agrees with the state comes back as it is."""
    before, label, why = labels.tolist(), labels.tolist(), status.tolist()
    for track in state.no_face:
        label[track], why[track] = UNKNOWN, "no_face"
    apart = Apart(state.apart)
    for track in _still_there(state, before, apart):
        label[track], why[track] = UNKNOWN, "rejected"
    group_of = {track: g for g, tracks in enumerate(state.people) for track in tracks}
    rest: dict[int, set[int]] = defaultdict(set)
    for track, c in enumerate(label):
        if c != UNKNOWN and track not in group_of:
            rest[c].add(track)
    people = _with_their_own(state, before, rest, apart)
    clusters = [part for tracks in people for part in _parted(tracks, state.people, group_of, apart)]
    corrected = np.full(len(label), UNKNOWN, np.int64)
    for number, tracks in enumerate(clusters):
        for track in tracks:
            corrected[track], why[track] = number, "ok"
    someone = corrected != UNKNOWN
    corrected[someone] = by_size(corrected[someone])
    return corrected.astype(np.int32), np.array(why, status.dtype)


def _still_there(state: State, before: Sequence[int], apart: Apart) -> list[int]:
    """The tracks that were taken from a person with whom they still are; a new grouping may have found them another."""
    sides: dict[int, set[Side]] = defaultdict(set)
    for track in apart.sides:
        sides[before[track]] |= apart.sides_of([track])
    return [t for t in state.rejected if before[t] != UNKNOWN and _opposite(apart.sides_of([t])) & sides[before[t]]]


def _with_their_own(state: State, before: Sequence[int], rest: dict[int, set[int]], apart: Apart) -> list[set[int]]:
    """The people by hand, each with those who were with its tracks and of whom nothing is said; then everyone else."""
    people = [set(tracks) for tracks in state.people]
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for g, tracks in enumerate(state.people):
        for track in tracks - state.placed:  # whom a move has taken away brings no one along
            votes[before[track]][g] += 1
    for c in sorted(rest):
        for g, _ in votes[c].most_common():
            if apart.within(people[g] | rest[c]) is None:
                people[g] |= rest.pop(c)
                break
    return [*people, *rest.values()]


def _parted(
    tracks: set[int], groups: Sequence[frozenset[int]], group_of: dict[int, int], apart: Apart
) -> list[set[int]]:
    """The tracks as one person, or as the fewest that a walk over them finds, where some of them are not one."""
    if apart.within(tracks) is None:
        return [tracks] if tracks else []
    units: list[Iterable[int]] = [groups[g] for g in sorted({group_of[t] for t in tracks if t in group_of})]
    units += [[t] for t in sorted(tracks) if t not in group_of]
    parts: list[tuple[set[int], set[Side]]] = []
    for unit in units:
        sides = apart.sides_of(unit)
        against = _opposite(sides)
        for part, taken in parts:
            if not against & taken:
                part.update(unit)
                taken |= sides
                break
        else:
            parts.append((set(unit), set(sides)))
    return [part for part, _ in parts]


def _opposite(sides: set[Side]) -> set[Side]:
    return {(number, 1 - side) for number, side in sides}
