"""What the log of a run says of the tracks that the run has now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt.corrections import log as logs
from vcn_trt.corrections import words
from vcn_trt.corrections.anchors import Finder, fingerprints
from vcn_trt.corrections.event import Event
from vcn_trt.corrections.fold import Edit, Fold, State
from vcn_trt.corrections.log import Log
from vcn_trt.known import Known
from vcn_trt.types import TrackSet

NEEDS = {"name": 1, "merge": 2, "same": 2, "different": 2, "move": 1}
"""Of how many people an edit must still find tracks; a split or reject says something of its tracks alone, too."""


@dataclass(frozen=True)
class Bound:
    """edits: those that hold, in the numbers of this run. told: what cannot be applied, and why."""

    edits: tuple[Edit, ...] = ()
    state: State = field(default_factory=State)
    told: tuple[str, ...] = ()

    @property
    def identity(self) -> list[Any]:
        """Of all that it says, for the key of a stage."""
        return [[vars(edit) for edit in self.edits], list(self.told)]

    def known(self, n: int) -> Known:
        """What it says of n tracks before they are compared."""
        state, known = self.state, Known.nothing(n)
        for tracks in state.people:
            known.together[list(tracks)] = min(tracks)
            known.someone[list(tracks)] = True
        known.no_face[list(state.no_face)] = True
        pairs = [np.zeros((0, 2), np.int64)]
        for one, other in state.apart:
            a, b = (np.unique(known.together[list(tracks)]) for tracks in (one, other))
            pairs.append(np.stack([np.repeat(a, len(b)), np.tile(b, len(a))], 1))
        return Known(known.together, np.unique(np.concatenate(pairs), axis=0), known.someone, known.no_face)

    def for_adapt(self, n: int) -> tuple[Known, ...]:
        """What adaptation reads of it: nothing where nothing is said of who is who, so that its key stays."""
        state = self.state
        return (self.known(n),) if state.people or state.apart or state.no_face else ()

    @property
    def for_cluster(self) -> tuple[Bound, ...]:
        """What clustering reads of it: nothing where there are no corrections."""
        return (self,) if self.edits or self.told else ()


NOTHING = Bound()
"""Of a run without corrections."""


def of_run(folder: Path, tracks: TrackSet, sources: Iterable[Mapping[str, str]]) -> Bound:
    """The corrections of a run directory. sources: of its record. Raises RunError where the log is of a newer
    version."""
    log = logs.read(folder)
    return Binder(tracks, sources).bound(log) if log.events else Bound(told=log.notes)


def corrected(folder: Path, tracks: TrackSet, sources: Iterable[Mapping[str, str]]) -> set[int]:
    """The tracks of a run of which a correction tells who they are, or are not."""
    state = of_run(folder, tracks, sources).state
    return set().union(state.no_face, *state.people, *(side for pair in state.apart for side in pair))


class Binder:
    """Logs in the numbers of a run's tracks. What was found is kept: between two edits little of a log is new. sources:
    of the run's record."""

    def __init__(self, tracks: TrackSet, sources: Iterable[Mapping[str, str]]) -> None:
        self.finder = Finder(tracks, fingerprints(sources, tracks.videos))
        self._edits: dict[str, tuple[Event, _Found]] = {}
        self._last: tuple[Log, Bound] | None = None
        self._fold = Fold()

    def bound(self, log: Log) -> Bound:
        if self._last is None or self._last[0] != log:
            self._last = log, self._bound(log)
        return self._last[1]

    def _bound(self, log: Log) -> Bound:
        edits, told = [], [*log.notes]
        for event in log.edits:
            edit, lost, of = self._edit(event)
            gone = edit is None
            if lost or gone:
                what = "cannot be applied, for" if gone else "is applied without some of its tracks:"
                told.append(f"correction {words.sentence(event)} {what} {lost} of its {of} tracks are not in this run")
            if edit is not None:
                edits.append(edit)
        state = self._fold.state(tuple(edits))
        told += [f"correction {words.contradiction(c, log.events)}; it is not applied" for c in state.contradictions]
        return Bound(tuple(edits), state, tuple(told))

    def _edit(self, event: Event) -> _Found:
        kept = self._edits.get(event.id)
        if kept is None or kept[0] is not event:  # as read from the log it is the same from then on
            found = kept[1] if kept is not None and kept[0] == event else _edit(event, self.finder)
            kept = self._edits[event.id] = event, found
        return kept[1]


_Found = tuple[Edit | None, int, int]
"""The edit, None where too little of it is left; how many of its tracks are lost, of how many."""


def _edit(event: Event, finder: Finder) -> _Found:
    everyone = [[finder.track(a) for a in anchors] for anchors in (event.tracks, *event.people)]
    lost, of = sum(t is None for own in everyone for t in own), sum(map(len, everyone))
    tracks, *people = (tuple(dict.fromkeys(t for t in own if t is not None)) for own in everyone)
    people = [person for person in people if person]
    enough = len(people) >= NEEDS.get(event.kind, 0) and (tracks or event.kind not in ("split", "move", "reject"))
    if event.kind == "reject" and event.people and not people:
        enough = False  # without the person it would say that they are no faces
    return Edit(event.kind, tracks, tuple(people), event.name, event.id) if enough else None, lost, of
