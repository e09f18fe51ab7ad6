"""Corrections for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vcn_trt.corrections.event import Anchor, Event
from vcn_trt.corrections.fold import Contradiction

SHOWN = 6


def sentence(event: Event) -> str:
    """What an event says, with its id and time. Tracks by the numbers that they had when it was made."""
    return f"{event.kind} {event.id} ({event.time[:19].replace('T', ' ')}): {says(event)}"


def says(event: Event) -> str:
    """What an event says, without its kind."""
    people = [_tracks(person) for person in event.people]
    if event.kind == "name":
        return f"call {people[0]} {event.name!r}" if event.name is not None else f"take the name of {people[0]} away"
    if event.kind in ("merge", "same"):
        return f"{' and '.join(people)} are one person"
    if event.kind == "different":
        return f"{' and '.join(people)} are two people"
    if event.kind == "move":
        return f"{_tracks(event.tracks)} to the person of {people[0]}"
    if event.kind == "split":
        return f"{_tracks(event.tracks)} to a person of their own" + (f", not that of {people[0]}" if people else "")
    if event.kind == "reject":
        return f"{_tracks(event.tracks)}: " + (f"not the person of {people[0]}" if people else "no face")
    return str(event.of)


def contradiction(found: Contradiction, events: Sequence[Event]) -> str:
    """Both edits, and what is wrong between them."""
    by_id = {event.id: event for event in events}
    one = sentence(by_id[found.id])
    other = f" contradicts {sentence(by_id[found.other])}" if found.other in by_id else " cannot hold"
    return f"{one}{other}: {found.why}"


def _tracks(anchors: Iterable[Anchor]) -> str:
    numbers = [a.track for a in anchors]
    if len(numbers) == 1:
        return f"track {numbers[0]}"
    shown = ", ".join(map(str, numbers[:SHOWN]))
    return f"tracks {shown}" + (f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else "")
