"""Why two tracks are one person, or are not (section 3.7): the merges that lead from one to the other, each with its
similarity and the threshold that it was held to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vcn_trt.answer import Answer
from vcn_trt.cluster.people import seen_together
from vcn_trt.corrections.bound import corrected
from vcn_trt.errors import UsageError
from vcn_trt.types import UNKNOWN, Clusters, Merge

BY_HAND = "Corrections by hand are among the reasons: `vcn corrections` lists them."


@dataclass(frozen=True)
class Why:
    """tracks: the two. people: each one's cluster, UNKNOWN for no one. status: of each. links: the merges from the
    first to the second, empty where they are not one person. together: whether a frame shows both. by_hand: whether a
    correction tells who either of them is, or is not."""

    tracks: tuple[int, int]
    people: tuple[int, int]
    status: tuple[str, str]
    links: tuple[Merge, ...]
    together: bool
    by_hand: bool = False

    @property
    def one_person(self) -> bool:
        return self.people[0] == self.people[1] != UNKNOWN

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"one_person": self.one_person}


def explain(answer: Answer, a: int, b: int) -> Why:
    """What a finished run knows of two of its tracks. Raises UsageError where there is no such track."""
    table = answer.tracks.tracks
    for track in (a, b):
        if not 0 <= track < len(table):
            there = f"0 to {len(table) - 1}" if len(table) else "none"
            raise UsageError(f"there is no track {track} in this run; expected {there} (as in report.html)")
    labels = answer.people.labels
    rows = np.array(sorted({a, b}))
    return Why(
        tracks=(a, b),
        people=(int(labels[a]), int(labels[b])),
        status=(str(table.status[a]), str(table.status[b])),
        links=tuple(chain(answer.people.merges, a, b)),
        together=len(seen_together(table[rows])) > 0,
        by_hand=bool({a, b} & corrected(answer.folder, answer.tracks, answer.record["sources"])),
    )


def chain(merges: Sequence[Merge], a: int, b: int) -> list[Merge]:
    """The merges on the way from track a to track b, in its order. Each merge joined two groups that were apart, so
    there is one way at most. Empty where there is none."""
    at: dict[int, list[Merge]] = {}
    for merge in merges:
        at.setdefault(merge.a, []).append(merge)
        at.setdefault(merge.b, []).append(merge)
    came: dict[int, Merge | None] = {a: None}
    waiting = deque([a])
    while waiting:
        track = waiting.popleft()
        for merge in at.get(track, ()):
            other = merge.a + merge.b - track
            if other not in came:
                came[other] = merge
                waiting.append(other)
    links: list[Merge] = []
    track = b
    while link := came.get(track):
        links.append(link)
        track = link.a + link.b - track
    return links[::-1]


def sentences(why: Why, people: Clusters) -> list[str]:
    """The same for a person to read."""
    a, b = why.tracks
    if a == b:
        return [f"Track {a} is compared with itself."]
    if why.one_person and why.by_hand:
        lines = [f"Tracks {a} and {b} are both person {why.people[0]}. {BY_HAND}"]
        return [*lines, *_steps(why)]
    if why.one_person and not why.links:  # a baseline keeps no merges
        return [f"Tracks {a} and {b} are both person {why.people[0]}; {people.method} leaves no merges to tell why."]
    if why.one_person:
        n = len(why.links)
        lines = [f"Tracks {a} and {b} are both person {why.people[0]}, by {n} merge{'s' if n > 1 else ''}:"]
        return [*lines, *_steps(why)]
    lines = []
    for track, person, status in zip(why.tracks, why.people, why.status, strict=True):
        lines.append(f"Track {track} is " + (f"person {person}." if person != UNKNOWN else f"Unknown ({status})."))
    if why.by_hand:
        lines.append(BY_HAND)
    if why.together:
        lines.append("One frame shows both, and cluster.cannot_link decides what that means.")
    for track in why.tracks:
        threshold = people.thresholds[track]
        if not np.isnan(threshold):
            lines.append(f"Track {track} joins what is nearer than {threshold:.4f} (its own threshold).")
    return lines


def _steps(why: Why) -> list[str]:
    """A line a merge, from where the last one led."""
    lines, at = [], why.tracks[0]
    for merge in why.links:
        other = merge.a + merge.b - at
        by = merge.threshold - merge.similarity
        lines.append(
            f"  {at} - {other}: their groups met at {merge.similarity:.4f}, {by:.4f} below the threshold "
            f"{merge.threshold:.4f} (merge {merge.round})"
        )
        at = other
    return lines
