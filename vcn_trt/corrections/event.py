"""One line of `corrections.jsonl`: an edit, or the taking back of one. It tells tracks by what they show, so that it
outlives their numbers."""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SCHEMA = "vcn-trt/corrections/1"

EDITS = ("name", "merge", "split", "move", "reject", "same", "different")
TURNS = ("undo", "redo")


@dataclass(frozen=True)
class Anchor:
    """A track by one of its faces. track: its number when the edit was made. video: the file's fingerprint. box: xyxy
    in pixels of the displayed picture."""

    track: int
    video: str
    frame: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Event:
    """kind: one of EDITS, or of TURNS. tracks: those that a split, move or reject is about. people: each by all of its
    tracks: who is named, merged, told apart; of a split or reject who the tracks are not; of a move who they are.
    name: of a naming, None takes the name away. of: the edit that is undone or redone."""

    id: str
    time: str
    kind: str
    tracks: tuple[Anchor, ...] = ()
    people: tuple[tuple[Anchor, ...], ...] = ()
    name: str | None = None
    of: str | None = None


def stamped(kind: str, **parts: Any) -> Event:
    """An event of now, with an id of its own."""
    return Event(secrets.token_hex(6), datetime.now(UTC).isoformat(timespec="milliseconds"), kind, **parts)


def to_line(event: Event) -> bytes:
    """As it stands in the file, with its line's end."""
    tree: dict[str, Any] = {"schema": SCHEMA, "id": event.id, "time": event.time, "kind": event.kind}
    if event.kind in TURNS:
        tree["of"] = event.of
    else:
        tree["tracks"] = [vars(a) for a in event.tracks]
        tree["people"] = [[vars(a) for a in person] for person in event.people]
    if event.kind == "name":
        tree["name"] = event.name
    # A byte of a name that is no UTF-8 becomes JSON's own escape.
    return (json.dumps(tree, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def from_tree(tree: dict[str, Any]) -> Event:
    """Raises ValueError, KeyError or TypeError where it is no event of this schema."""
    kind = tree["kind"]
    if kind not in EDITS + TURNS:
        raise ValueError(f"unknown kind {kind!r}")
    name = tree.get("name")
    if name is not None and not isinstance(name, str):
        raise ValueError("a name is a text")
    return Event(
        id=_text(tree["id"]),
        time=_text(tree["time"]),
        kind=kind,
        tracks=tuple(_anchor(a) for a in tree.get("tracks", ())),
        people=tuple(tuple(_anchor(a) for a in person) for person in tree.get("people", ())),
        name=name,
        of=_text(tree["of"]) if kind in TURNS else None,
    )


def _anchor(tree: dict[str, Any]) -> Anchor:
    x1, y1, x2, y2 = (float(x) for x in tree["box"])
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise ValueError("a box is four numbers")
    return Anchor(int(tree["track"]), _text(tree["video"]), int(tree["frame"]), (x1, y1, x2, y2))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, found {value!r}")
    return value
