"""Corrections for a person to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vcn_trt.corrections.event import Anchor, Event
from vcn_trt.corrections.fold import Contradiction

SHOWN = 6


def sentence(event: Event) -> str:
    """What an event says, with its id and time. Tracks by the numbers that they had when it was made."""
    people = [_tracks(person) for person in event.people]
    if event.kind == "name":
        said = f"call {people[0]} {event.name!r}" if event.name is not None else f"take the name of {people[0]} away"
    elif event.kind in ("merge", "same"):
        said = f"{' and '.join(people)} are one person"
    elif event.kind == "different":
        said = f"{' and '.join(people)} are two people"
    elif event.kind == "move":
        said = f"{_tracks(event.tracks)} to the person of {people[0]}"
    elif event.kind == "split":
        said = f"{_tracks(event.tracks)} to a person of their own" + (f", not that of {people[0]}" if people else "")
    elif event.kind == "reject":
        said = (
            f"{_tracks(event.tracks)}: not the person of {people[0]}" if people else f"{_tracks(event.tracks)}: no face"
        )
    else:
        said = f"{event.of}"
    return f"{event.kind} {event.id} ({event.time[:19].replace('T', ' ')}): {said}"


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
