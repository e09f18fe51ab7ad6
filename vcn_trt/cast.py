"""The people of a run by name: what a cluster is called, and which one a user means."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcn_trt.cluster import people
from vcn_trt.errors import UsageError


@dataclass(frozen=True)
class Person:
    """Someone asked for. numbers: their clusters, several where more than one bears the name."""

    name: str
    numbers: tuple[int, ...]


def names(folder: Path) -> dict[int, str | None]:
    """What each cluster of a run is called, None where it has no name: `name` of `clusters.json`, whoever put it
    there. Raises RunError where the file cannot be read."""
    return named(people.read(folder))


def named(answer: Mapping[str, Any]) -> dict[int, str | None]:
    """As of `names`, of an answer in the form of `clusters.json`."""
    return {int(c["id"]): c["name"] for c in answer["clusters"]}


def called(number: int, known: Mapping[int, str | None]) -> str:
    """How a cluster is shown: its name, else its number."""
    return known.get(number) or f"Person {number}"


def cast(known: Mapping[int, str | None]) -> list[Person]:
    """Everyone, in the order of their first cluster; clusters of one name are one person."""
    numbers: dict[str, list[int]] = {}
    for number in sorted(known):
        numbers.setdefault(called(number, known), []).append(number)
    return [Person(name, tuple(own)) for name, own in numbers.items()]


def find(asked: str, known: Mapping[int, str | None]) -> Person:
    """The person that a user means: a name (a capital letter matters only where two names differ in nothing else), or a
    cluster's number as 3, #3 or "Person 3". A name goes before a bare number; #3 is always the cluster.

    Raises UsageError where there is no such person, naming those that come near.
    """
    everyone = cast(known)
    exact = [p for p in everyone if _folded(p.name) == _folded(asked)]
    loose = [p for p in everyone if _folded(p.name).casefold() == _folded(asked).casefold()]
    for found in (exact, loose):
        if len(found) == 1:
            return found[0]
    if loose:
        raise UsageError(f"{asked!r} may be {' or '.join(repr(p.name) for p in loose)}: write it as it is there")
    # `#3` alone is a cluster, so that a name "#3" cannot hide it.
    number = asked.strip().lower().removeprefix("person").strip().removeprefix("#")
    if number.isascii() and number.isdigit() and int(number) in known:
        return Person(called(int(number), known), (int(number),))
    near = difflib.get_close_matches(asked, [p.name for p in everyone], n=3, cutoff=0.5) or [p.name for p in everyone]
    there = ", ".join(repr(name) for name in near[:8]) + (" ..." if len(near) > 8 else "")
    raise UsageError(
        f"there is no {asked!r} in this run; expected a name or a cluster's number (as 3 or #3): "
        f"{there or 'it has no one'}"
    )


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())
