"""Who is not who: pairs of sets of tracks, none of one side being a person of the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

Side = tuple[int, int]
"""The number of a statement, and 0 or 1: its left or its right."""


class Apart:
    """Statements that two sets of tracks are not one person, and of each track the sides that it is on."""

    def __init__(self, pairs: Iterable[tuple[Iterable[int], Iterable[int]]] = ()) -> None:
        self.pairs: list[tuple[set[int], set[int]]] = []
        self.sides: dict[int, set[Side]] = defaultdict(set)
        for left, right in pairs:
            self.add(left, right)

    def add(self, left: Iterable[int], right: Iterable[int]) -> int:
        """-> the number of the statement"""
        number = len(self.pairs)
        self.pairs.append((set(left), set(right)))
        for side, tracks in enumerate(self.pairs[-1]):
            here = number, side
            for track in tracks:
                self.sides[track].add(here)
        return number

    def remove(self, track: int, side: Side) -> None:
        """The statement says nothing of the track any more."""
        self.pairs[side[0]][side[1]].discard(track)
        self.sides[track].discard(side)

    def sides_of(self, tracks: Iterable[int]) -> set[Side]:
        found: set[Side] = set()
        for track in tracks:
            found |= self.sides.get(track, set())
        return found

    def within(self, tracks: Iterable[int]) -> int | None:
        """The first statement that says that these are not all one person; None where none does."""
        return crossing(self.sides_of(tracks))


def crossing(sides: set[Side]) -> int | None:
    """The first statement of which both sides are there."""
    return min((number for number, side in sides if side == 0 and (number, 1) in sides), default=None)
