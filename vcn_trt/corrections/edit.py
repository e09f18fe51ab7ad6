"""Correct a finished run: `append`, `undo` and `redo` add a line to its log and put the answer right at once.

What contradicts an earlier correction is refused, with both shown, and nothing is changed. A run that another process
works in is not corrected meanwhile."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcn_trt.answer import finished, read_tracks
from vcn_trt.cluster import people
from vcn_trt.corrections import log as logs
from vcn_trt.corrections import words
from vcn_trt.corrections.answer import correct, read_grouped
from vcn_trt.corrections.bound import Binder, Bound
from vcn_trt.corrections.event import Event, stamped
from vcn_trt.corrections.fold import Contradiction, Edit, State
from vcn_trt.corrections.log import Log
from vcn_trt.errors import RunError, UsageError
from vcn_trt.run import read_record
from vcn_trt.types import TrackSet

PATIENCE = 3.0
"""Seconds that an edit waits for another one to be done."""


class ContradictionError(RunError):
    """An edit that cannot hold beside an earlier one, and was not made. found: both, by id; `other` is "" where nothing
    but itself speaks against it. why: both in words."""

    def __init__(self, message: str, found: Contradiction, why: str) -> None:
        super().__init__(message)
        self.found, self.why = found, why


@dataclass(frozen=True)
class Corrected:
    """event: what was added to the log. state: what holds now. told: what a person should know: corrections that cannot
    be applied, names that meet. answer: `clusters.json` as it is now."""

    event: Event
    state: State
    told: tuple[str, ...]
    answer: people.Read


@dataclass(frozen=True, eq=False)
class Opened:
    """What a caller who corrects a run again and again has of it. binder: of these tracks, or of these under another
    answer. answer: as it was last seen."""

    tracks: TrackSet
    binder: Binder
    answer: people.Read | None = None


def append(folder: Path, edit: Edit, opened: Opened | None = None) -> Corrected:
    """Add an edit, by the numbers of the run's tracks, people by all of theirs; apply it. Raises UsageError for what
    cannot be meant, ContradictionError where it contradicts, RunError where it cannot be written."""

    def event(now: _Now) -> Event:
        check(edit, now.opened.tracks.n_tracks)
        anchor = now.opened.binder.finder.anchor
        return stamped(
            edit.kind,
            tracks=tuple(anchor(t) for t in edit.tracks),
            people=tuple(tuple(anchor(t) for t in person) for person in edit.people),
            name=edit.name,
        )

    with _open(folder, opened) as now:
        return now.add(event(now))


def undo(folder: Path, id: str | None = None, opened: Opened | None = None) -> Corrected:
    """Take an edit back: the last one that holds, or the one of this id (its beginning does)."""
    with _open(folder, opened) as now:
        holds = [event.id for event in now.log.edits]
        return now.add(stamped("undo", of=_chosen(id, holds, "nothing to undo: no correction holds")))


def redo(folder: Path, id: str | None = None, opened: Opened | None = None) -> Corrected:
    """Let an edit hold again: the one undone last, or the one of this id."""
    with _open(folder, opened) as now:
        undone = now.log.undone
        gone = sorted(undone, key=undone.__getitem__)
        return now.add(stamped("redo", of=_chosen(id, gone, "nothing to redo: no correction is undone")))


def state(folder: Path) -> Bound:
    """What the log of a run says, and what of it cannot be applied. Nothing is written."""
    return open_run(folder).binder.bound(logs.read(folder))


def unwritable(folder: Path) -> str:
    """Why a run cannot be corrected here, as on a disk that is read-only; "" where it can. Nothing is changed."""
    inside = folder / ".work"
    try:
        inside.mkdir(exist_ok=True)
        (inside / "lock").open("a").close()
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK) else "Permission denied"


def open_run(folder: Path) -> Opened:
    """A finished run, in no time and without torch. Raises RunError where there is none."""
    record = finished(folder)
    tracks = read_tracks(folder, record)
    return Opened(tracks, Binder(tracks, record["sources"]))


def check(edit: Edit, n: int) -> None:
    """Raise UsageError where an edit cannot be meant in a run of n tracks."""
    everyone = [t for own in (edit.tracks, *edit.people) for t in own]
    for track in everyone:
        if not 0 <= track < n:
            raise UsageError(f"there is no track {track} in this run; expected 0 to {n - 1} (as in report.html)")
    if len(set(everyone)) < len(everyone):
        twice = next(t for t in everyone if everyone.count(t) > 1)
        raise UsageError(f"track {twice} is named twice in one correction; expected each once")
    if edit.kind in ("split", "move", "reject") and not edit.tracks:
        raise UsageError(f"{edit.kind} which tracks? Name at least one with --tracks")
    if not all(edit.people):
        raise UsageError(f"{edit.kind}: a person without tracks; expected someone of this run")
    if edit.kind in ("merge", "same", "different") and len(edit.people) < 2:
        raise UsageError(f"{edit.kind} takes two people or more, found {len(edit.people)}")


@dataclass(frozen=True, eq=False)
class _Now:
    folder: Path
    opened: Opened
    log: Log

    def add(self, event: Event) -> Corrected:
        log, tracks, bound = self.log + event, self.opened.tracks, self.opened.binder.bound
        after = bound(log)
        self._refuse_new(after.state, log, event)
        grouped = read_grouped(self.folder, tracks)
        for stage in ("cluster", "report"):  # their files are no more what their stamps say
            (self.folder / ".work" / f"{stage}.json").unlink(missing_ok=True)
        logs.append(self.folder, event)
        told, answer = correct(self.folder, tracks, grouped, after, self.opened.answer)
        return Corrected(event, after.state, (*after.told, *told), answer)

    def _refuse_new(self, state: State, log: Log, event: Event) -> None:
        """Raise ContradictionError for a contradiction that was not there before the event."""
        if not state.contradictions:
            return
        before = {c.id for c in self.opened.binder.bound(self.log).state.contradictions}
        for found in state.contradictions:
            if found.id not in before:
                first = found.other or found.id
                turn = f"to {event.kind} {event.of} is not possible: " if event.of else ""
                why = words.contradiction(found, log.events)
                message = f"{turn}{why}. Nothing was changed; `vcn undo {self.folder} {first}` takes the other back"
                raise ContradictionError(message, found, why)


def _read(folder: Path, opened: Opened | None) -> _Now:
    finished(folder)
    return _Now(folder, opened or open_run(folder), logs.read(folder))


@contextmanager
def _open(folder: Path, opened: Opened | None) -> Iterator[_Now]:
    """The run, for this process alone."""
    read_record(folder)
    try:
        (folder / ".work").mkdir(exist_ok=True)
        with (folder / ".work" / "lock").open("w") as lock:
            _wait_for(lock, folder)
            yield _read(folder, opened)
    except OSError as error:
        raise RunError(
            f"cannot write to {error.filename or folder} ({error.strerror}): make it writable to correct this run"
        ) from error


def _wait_for(lock: Any, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise RunError(f"another process works in {folder}: wait for it, then correct again") from error
            time.sleep(0.01)


def _chosen(id: str | None, ids: list[str], nothing: str) -> str:
    if not ids:
        raise UsageError(nothing)
    if id is None:
        return ids[-1]
    found = [one for one in ids if one.startswith(id)]
    if len(found) != 1:
        raise UsageError(f"{id!r} is {'no' if not found else 'more than one'} correction of {', '.join(ids)}")
    return found[0]
