"""What all edits together say: which tracks are one person, which are two, which are no faces, and what people are
called. Of two that contradict each other the later one is not applied.

What is said of a person as a whole (merge, same, different, name) holds for each of its tracks until something is said
of that track by itself (split, move, reject): to take a wrong track out of someone who was merged is no contradiction.
What was said of a track by itself is not undone in passing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vcn_trt.corrections.apart import Apart, crossing


@dataclass(frozen=True)
class Edit:
    """An edit of a run: `Event` in the numbers of that run's tracks."""

    kind: str
    tracks: tuple[int, ...] = ()
    people: tuple[tuple[int, ...], ...] = ()
    name: str | None = None
    id: str = ""


@dataclass(frozen=True)
class Contradiction:
    """An edit that cannot hold, and the one before it that says otherwise ("" where that is none)."""

    id: str
    other: str
    why: str


@dataclass(frozen=True)
class Naming:
    """What someone is called, and the tracks that the name belongs to."""

    id: str
    name: str
    tracks: frozenset[int]


@dataclass(frozen=True)
class State:
    """people: disjoint sets of tracks, each one person. placed: tracks that are there by a move. apart: no track of one
    set is the person of a track of the other. no_face: tracks that are no faces. rejected: tracks that were taken from
    a person, and of no one else. applied: the edits that hold."""

    people: tuple[frozenset[int], ...] = ()
    placed: frozenset[int] = frozenset()
    apart: tuple[tuple[frozenset[int], frozenset[int]], ...] = ()
    no_face: frozenset[int] = frozenset()
    rejected: frozenset[int] = frozenset()
    names: tuple[Naming, ...] = ()
    applied: tuple[str, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()


class Fold:
    """The edits that hold, in their order, to what they say together, again and again: where they are those of the last
    time and more, only the new ones are taken."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._taken: tuple[Edit, ...] = ()
        self._hand = _Hand()
        self._applied: list[str] = []
        self._refused: list[Contradiction] = []

    def state(self, edits: tuple[Edit, ...]) -> State:
        if edits[: len(self._taken)] != self._taken:
            self._begin()
        for edit in edits[len(self._taken) :]:
            try:
                self._hand.take(edit)
                self._applied.append(edit.id)
            except _Contradicts as found:
                self._refused.append(Contradiction(edit.id, found.other, str(found)))
        self._taken = edits
        return self._hand.state(self._applied, self._refused)


class _Contradicts(Exception):
    """other: the edit that says otherwise."""

    def __init__(self, other: str, why: str) -> None:
        super().__init__(why)
        self.other = other


class _Hand:
    """What was said so far. group: of each track its person; because: the edits that made a person; placed, no_face,
    rejected: tracks and the edit that said so; naming: tracks and the edit that named them."""

    def __init__(self) -> None:
        self.group: dict[int, int] = {}
        self.members: dict[int, set[int]] = {}
        self.because: dict[int, list[str]] = {}
        self.placed: dict[int, str] = {}
        self.no_face: dict[int, str] = {}
        self.rejected: dict[int, str] = {}
        self.naming: dict[int, str] = {}
        self.names: dict[str, str] = {}
        self.apart = Apart()
        self.said: list[tuple[str, bool]] = []
        """Of each statement of `apart`: its edit, and whether its left is said of the tracks themselves."""

    def take(self, edit: Edit) -> None:
        """Raises _Contradicts, and has changed nothing then."""
        if edit.kind in ("merge", "same"):
            name = self._name_of(edit.people)
            self._one_person(edit, {t for person in edit.people for t in person}, set())
            self._call([t for person in edit.people for t in person], name)
        elif edit.kind == "different":
            self._different(edit)
        elif edit.kind == "move":
            self._move(edit)
        elif edit.kind == "split":
            others = {t for person in edit.people for t in person} - set(edit.tracks)
            self._one_person(edit, set(edit.tracks), self._leaving(edit, others))
            self._keep_apart(edit, set(edit.tracks), others, by_track=True)
        elif edit.kind == "reject" and edit.people:
            others = {t for person in edit.people for t in person} - set(edit.tracks)
            for track in self._leaving(edit, others):
                self._leave(track)
                if track not in self.no_face:
                    self.rejected[track] = edit.id
            self._keep_apart(edit, set(edit.tracks), others, by_track=True)
        elif edit.kind == "reject":
            for track in edit.tracks:
                if track in self.placed:
                    raise _Contradicts(self.placed[track], f"track {track} was moved to someone by hand")
            for track in edit.tracks:
                self._leave(track)
                self.no_face[track] = edit.id
        else:
            self._call_anew(edit)

    def state(self, applied: Iterable[str], refused: Iterable[Contradiction]) -> State:
        return State(
            people=tuple(frozenset(m) for m in sorted(self.members.values(), key=min)),
            placed=frozenset(self.placed),
            apart=tuple((frozenset(a), frozenset(b)) for a, b in self.apart.pairs if a and b),
            no_face=frozenset(self.no_face),
            rejected=frozenset(self.rejected),
            names=self._namings(),
            applied=tuple(applied),
            contradictions=tuple(refused),
        )

    def _namings(self) -> tuple[Naming, ...]:
        own = defaultdict(set)
        for track, id in self.naming.items():
            own[id].add(track)
        return tuple(Naming(id, name, frozenset(own[id])) for id, name in self.names.items() if id in own)

    def _move(self, edit: Edit) -> None:
        target = {t for person in edit.people for t in person} - set(edit.tracks)
        there = self._whole(target)
        for track in edit.tracks:
            if track in self.placed and not self.members[self.group[track]] & there:
                raise _Contradicts(self.placed[track], f"track {track} was moved to someone else by hand")
        leaving = {t for t in edit.tracks if t not in self.placed}
        name = self._name_of(edit.people)
        self._one_person(edit, target | set(edit.tracks), leaving)
        self.placed |= {t: edit.id for t in leaving}
        self._call(edit.tracks, name)

    def _different(self, edit: Edit) -> None:
        one, other = (set(person) for person in edit.people)
        both = self._whole(one) & self._whole(other)
        if both:
            track = min(both)
            other_edit = self.because[self.group[track]][-1] if track in self.group else ""
            raise _Contradicts(other_edit, "they are one person")
        self._keep_apart(edit, one, other, by_track=False)

    def _leaving(self, edit: Edit, others: set[int]) -> set[int]:
        """The tracks of a split or reject that leave whom they were with: not those that a move has put elsewhere."""
        for track in edit.tracks:
            if track in self.placed and self.members[self.group[track]] & others:
                raise _Contradicts(self.placed[track], f"track {track} was moved there by hand")
        return {t for t in edit.tracks if t not in self.placed}

    def _one_person(self, edit: Edit, tracks: set[int], leaving: set[int]) -> None:
        """Join all of these and whom they are one with; of those that leave only what is said of them alone counts."""
        for track in sorted(tracks):
            if track in self.no_face:
                raise _Contradicts(self.no_face[track], f"track {track} is no face")
        stay = self._whole(tracks - leaving) - leaving
        sides = self.apart.sides_of(stay)
        for track in leaving:
            sides |= {side for side in self.apart.sides.get(track, ()) if self._of_itself(side)}
        if (number := crossing(sides)) is not None:
            raise _Contradicts(self.said[number][0], "they are not one person")
        for track in leaving:
            self._leave(track)
        for track in tracks:
            self.rejected.pop(track, None)
        groups = sorted({self.group[t] for t in stay if t in self.group})
        number = groups[0] if groups else max(self.members, default=-1) + 1
        joined = self.members.setdefault(number, set())
        because = self.because.setdefault(number, [])
        for other in groups[1:]:
            joined |= self.members.pop(other)
            because += self.because.pop(other)
        joined |= tracks
        because.append(edit.id)
        self.group |= dict.fromkeys(joined, number)

    def _keep_apart(self, edit: Edit, left: set[int], right: set[int], by_track: bool) -> None:
        if left and right:
            self.apart.add(left, right)
            self.said.append((edit.id, by_track))

    def _leave(self, track: int) -> None:
        """Forget what was said of whom it was with, as a whole."""
        if track in self.group:
            number = self.group.pop(track)
            self.members[number].discard(track)
            if not self.members[number]:
                del self.members[number], self.because[number]
        for side in list(self.apart.sides.get(track, ())):
            if not self._of_itself(side):
                self.apart.remove(track, side)
        self.naming.pop(track, None)
        self.rejected.pop(track, None)

    def _of_itself(self, side: tuple[int, int]) -> bool:
        return side[1] == 0 and self.said[side[0]][1]

    def _whole(self, tracks: Iterable[int]) -> set[int]:
        """They and whom they are one with."""
        found = set(tracks)
        for number in {self.group[t] for t in found if t in self.group}:
            found |= self.members[number]
        return found

    def _call_anew(self, edit: Edit) -> None:
        for track in (t for person in edit.people for t in person):
            self.naming.pop(track, None)
        if edit.name is not None:
            self.names[edit.id] = edit.name
            self._call([t for person in edit.people for t in person], edit.id)

    def _name_of(self, people: Sequence[Sequence[int]]) -> str | None:
        """The naming of the first of these who has a name."""
        for person in people:
            votes = Counter(id for t in person if (id := self.naming.get(t)) is not None)
            if votes:
                return votes.most_common(1)[0][0]
        return None

    def _call(self, tracks: Iterable[int], naming: str | None) -> None:
        if naming is not None:
            self.naming |= dict.fromkeys(tracks, naming)
