"""How a run shows itself in a terminal: a bar where there is one, a line now and then where there is none. On stderr:
stdout is for the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vcn_trt.run import Hook, silent

ERR = Console(stderr=True, soft_wrap=True, highlight=False)
OUT = Console(soft_wrap=True, highlight=False)

EVERY_SECONDS = 5.0
TITLES = {
    "ingest": "Finding and following faces",
    "embed": "Recognising",
    "adapt": "Adapting to the footage",
    "cluster": "Grouping by person",
    "report": "Writing the report",
    "overlay": "Drawing",
}


def say(sentence: str) -> None:
    """A line on stderr, as it is."""
    ERR.print(sentence, markup=False)


@contextmanager
def progress(quiet: bool) -> Iterator[Hook]:
    """The hook to hand to a run."""
    if quiet:
        yield silent
    elif ERR.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.fields[of]} {task.fields[unit]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=ERR) as bars:
            yield _Bars(bars)
    else:
        yield _Lines()


class _Bars:
    """One bar a stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, _Rate]] = {}

    def __call__(self, stage: str, completed: int, total: int, unit: str) -> None:
        of = str(total) if total else "?"
        if stage not in self._tasks:
            title = TITLES.get(stage, stage)
            task = self._bars.add_task(title, total=total or None, of=of, unit=unit, rate="")
            self._tasks[stage] = task, _Rate()
        task, rate = self._tasks[stage]
        self._bars.update(task, completed=completed, total=total or None, of=of, unit=unit, rate=rate(completed))


class _Lines:
    """A line when a stage begins and ends, and every few seconds between."""

    def __init__(self) -> None:
        self._stage, self._said, self._rate = "", 0.0, _Rate()

    def __call__(self, stage: str, completed: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._rate = stage, _Rate()
        elif now - self._said < EVERY_SECONDS and not 0 < total <= completed:
            return
        self._said = now
        of = f"/{total}" if total else ""
        print(f"{TITLES.get(stage, stage)}: {completed}{of} {unit} {self._rate(completed)}".rstrip(), file=sys.stderr)


class _Rate:
    """Units a second since the first call, which may not be at zero: a stage can go on where it stood."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def __call__(self, completed: int) -> str:
        now = time.monotonic()
        if self._first is None or completed < self._first[1]:
            self._first = now, completed
        elapsed, done = now - self._first[0], completed - self._first[1]
        return f"{done / elapsed:.0f}/s" if elapsed > 0.5 and done else ""
