"""What a page asks for, made an edit: only where the people that it shows are still as it shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vcn_trt.corrections.event import EDITS
from vcn_trt.corrections.fold import Edit
from vcn_trt.errors import RunError, UsageError

WHOLE = ("name", "merge", "same", "different")
"""Edits that say something of people as a whole."""


class StaleError(RunError):
    """An edit of people who are others by now."""


def edit_of(asked: Any, everyone: Sequence[set[int]]) -> Edit:
    """asked: kind, and as they apply tracks, people (each by all of their tracks; of a split, move or reject without
    `tracks`) and name. everyone: the tracks of each person now.

    So an edit that another one has passed is made where it does not touch it, and refused where it does. Raises
    UsageError for what is no edit, StaleError for people who are others by now."""
    if not isinstance(asked, dict) or asked.get("kind") not in EDITS:
        raise UsageError(f"expected an edit of kind {', '.join(EDITS)}, found {asked!r:.80}")
    kind, name = asked["kind"], asked.get("name")
    tracks = _numbers(asked.get("tracks", []))
    people = asked.get("people", [])
    if not isinstance(people, list):
        raise UsageError(f"{kind}: expected people as lists of tracks, found {people!r:.80}")
    if name is not None and not isinstance(name, str):
        raise UsageError(f"a name is a text, found {name!r:.80}")
    edit = Edit(kind, tracks, tuple(map(_numbers, people)), (name or "").strip() or None)
    if kind in ("name", "move") and len(edit.people) != 1:
        raise UsageError(f"{kind} takes one person, found {len(edit.people)}")
    _check_still_so(edit, everyone)
    return edit


def _check_still_so(edit: Edit, everyone: Sequence[set[int]]) -> None:
    apart = set() if edit.kind in WHOLE else set(edit.tracks)
    there = [next((now for now in everyone if now - apart == set(person)), None) for person in edit.people]
    # Tracks that are taken from someone are still with them, or still with no one; where others are moved or rejected
    # from, nothing is said of those.
    known, source = set().union(*everyone), set().union(*(now or set() for now in there))
    from_them = edit.kind == "split" or (edit.kind == "reject" and bool(edit.people))
    strange = from_them and any(track in known and track not in source for track in edit.tracks)
    if strange or any(now is None for now in there):
        raise StaleError(
            "the answer has changed meanwhile, in another window or by a command, and these people are not as they "
            "were shown. The page is up to date now: look again. Nothing was changed"
        )


def _numbers(found: Any) -> tuple[int, ...]:
    if not isinstance(found, list) or not all(type(n) is int for n in found):
        raise UsageError(f"expected a list of track numbers, found {found!r:.80}")
    return tuple(found)
