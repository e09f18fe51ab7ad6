"""`corrections.jsonl`: written by adding lines alone. Two windows at once or a kill lose nothing that was told as done;
a line that a kill has torn is passed over, and told."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vcn_trt.corrections.event import EDITS, SCHEMA, Event, from_tree, to_line
from vcn_trt.errors import RunError

FILE = "corrections.jsonl"


@dataclass(frozen=True)
class Log:
    """events: all, in their order. notes: what of the file was passed over."""

    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, event: Event) -> Log:
        return Log((*self.events, event), self.notes)

    @property
    def undone(self) -> dict[str, int]:
        """The edits that do not hold now, and the place of the event that undid each."""
        edits = {event.id for event in self.events if event.kind in EDITS}
        found: dict[str, int] = {}
        for place, event in enumerate(self.events):
            if event.kind == "undo" and event.of in edits:
                found[event.of] = place
            elif event.kind == "redo" and event.of in edits:
                found.pop(event.of, None)
        return found

    @property
    def edits(self) -> tuple[Event, ...]:
        """Those that hold, in the order in which they were first made: what is redone is back in its old place."""
        undone = self.undone
        return tuple(e for e in self.events if e.kind in EDITS and e.id not in undone)


def read(folder: Path) -> Log:
    """The log of a run directory; empty where there is none. Raises RunError where it is of a newer version."""
    path = folder / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Log()
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): make it readable") from error
    events: dict[str, Event] = {}
    notes = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            schema, event = _line(line)
            if event is not None:
                events.setdefault(event.id, event)
        except (ValueError, KeyError, TypeError, RecursionError):
            notes.append(f"{FILE}, line {number}: no whole correction, passed over")
            continue
        if schema != SCHEMA:
            raise RunError(
                f"{path}, line {number}, is of schema {schema!r}, this version reads {SCHEMA!r}: install the version "
                "that wrote it"
            )
    return Log(tuple(events.values()), tuple(notes))


@lru_cache(maxsize=4096)
def _line(line: bytes) -> tuple[Any, Event | None]:
    """Its schema, and its event where that is ours; lines are never changed, and a log is read with every edit. Raises
    ValueError, KeyError, TypeError or RecursionError for what is no line of a log."""
    tree = json.loads(line)
    schema = tree["schema"]
    return schema, from_tree(tree) if schema == SCHEMA else None


def append(folder: Path, event: Event) -> None:
    """Add a line: under a lock, by one write, and on the disk before this returns. Raises RunError."""
    path = folder / FILE
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            line = (b"\n" if torn else b"") + to_line(event)
            if os.write(file, line) != len(line):  # as on a full disk
                os.ftruncate(file, size)
                raise RunError(f"no space left for {path}: free some and correct again; nothing was changed")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise RunError(f"cannot write to {path} ({error.strerror}): make it writable; nothing was changed") from error
