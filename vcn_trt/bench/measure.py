"""Measuring: contestants that do the same work take turns, in rounds, so that what else the machine does hits them
alike; medians, with their spread beside them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from vcn_trt.bench.clock import Clock

Call = Callable[[], float]
"""One piece of work, done or queued on the device when it returns. -> units: frames, crops, ... One that has a `close`
is closed at the end, in the thread that called it."""

OURS = "ours"
ROUNDS = 5
PATIENCE = 4
"""Contestants whose single calls take long get fewer rounds: none begins once so many times their seconds are over."""


@dataclass(frozen=True)
class Contestant:
    """by: "ours", or the name of a peer. how: with what it does the work. open: the calls that so many streams make
    side by side, each of them again and again in a thread of its own. warm: whether a first call differs from later
    ones."""

    by: str
    how: str
    open: Callable[[int], Sequence[Call]]
    warm: bool = True


@dataclass(frozen=True)
class Measured:
    """rounds: units done and seconds that they took on the wall, warm-up left out. calls: seconds of each call."""

    rounds: Sequence[tuple[float, float]]
    calls: Sequence[float]

    @property
    def rates(self) -> list[float]:
        """Units a second, of all streams together, a round each."""
        return [units / seconds for units, seconds in self.rounds if seconds > 0]


@dataclass(frozen=True)
class Most:
    """What no implementation could exceed: units a second, and by which reckoning."""

    rate: float
    of: str


@dataclass(frozen=True)
class Figure:
    """One line of the table: what did how much. Rates are units a second of the whole device, and of one stream; calls
    are in seconds. over: how many times faster than each peer, round by round. share: of `most`. failed: why there are
    no figures."""

    what: str
    by: str
    how: str
    unit: str
    streams: int
    rounds: int = 0
    calls: int = 0
    rate: dict[str, float] = field(default_factory=dict)
    rate_a_stream: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    over: dict[str, dict[str, float]] = field(default_factory=dict)
    most: dict[str, Any] | None = None
    share: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    failed: str = ""


def race(
    what: str,
    unit: str,
    streams: int,
    contestants: Sequence[Contestant],
    clock: Clock,
    seconds: float,
    most: Most | None = None,
    facts: dict[str, Any] | None = None,
    rounds: int = ROUNDS,
) -> list[Figure]:
    """Each contestant for about so many `seconds`, in turns. One that fails is reported with its reason, and the others
    go on. `facts` stand with all."""
    failed: dict[int, str] = {}
    lanes: dict[int, Lanes] = {}
    found: dict[int, list[Round]] = {i: [] for i in range(len(contestants))}
    try:
        for i, contestant in enumerate(contestants):
            try:
                lanes[i] = Lanes(contestant.open(streams))
                if contestant.warm:
                    lanes[i].round(clock, 0)
            except Exception as error:
                failed[i] = reason_of(error)
        began = time.perf_counter()
        for turn in range(rounds):
            for k in range(len(contestants)):
                i = (k + turn) % len(contestants)  # none always finds the machine as the same other left it
                if i in failed:
                    continue
                try:
                    found[i].append(lanes[i].round(clock, seconds / rounds))
                except Exception as error:
                    failed[i] = reason_of(error)
            if time.perf_counter() - began > PATIENCE * seconds * len(contestants):
                break
    finally:
        for some in lanes.values():
            some.close()
    measured = {
        i: Measured([(r.units, r.seconds) for r in done], [c for r in done for c in r.calls])
        for i, done in found.items()
        if i not in failed
    }
    return [
        figure(what, unit, streams, c, measured[i], most, facts, _over(i, contestants, measured))
        if i in measured
        else Figure(what, c.by, c.how, unit, streams, failed=failed[i])
        for i, c in enumerate(contestants)
    ]


def figure(
    what: str,
    unit: str,
    streams: int,
    of: Contestant,
    measured: Measured,
    most: Most | None = None,
    facts: dict[str, Any] | None = None,
    over: dict[str, dict[str, float]] | None = None,
) -> Figure:
    """A line of what was measured."""
    rate = spread(measured.rates)
    return Figure(
        what=what,
        by=of.by,
        how=of.how,
        unit=unit,
        streams=streams,
        rounds=len(measured.rounds),
        calls=len(measured.calls),
        rate=rate,
        rate_a_stream=rate["median"] / streams,
        seconds=latency(measured.calls),
        over=over or {},
        most={"rate": most.rate, "of": most.of} if most else None,
        share=rate["median"] / most.rate if most else None,
        facts=facts or {},
    )


@dataclass(frozen=True)
class Round:
    """seconds: on the wall, until the device is done; calls: of each call."""

    units: float
    seconds: float
    calls: list[float]


class Lanes:
    """Calls side by side, each in a thread of its own from first to last: a decoder can be bound to one."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._lanes = [(call, ThreadPoolExecutor(1, thread_name_prefix="bench")) for call in calls]

    def round(self, clock: Clock, seconds: float) -> Round:
        """Every call again and again until `seconds` are over, and once at least."""
        clock.finish()
        start = time.perf_counter()

        def work(call: Call) -> tuple[float, list[Any]]:
            units = 0.0
            marks: list[Any] = []
            while not marks or time.perf_counter() - start < seconds:
                before = clock.mark()
                units += call()
                marks.append((before, clock.mark()))
            return units, marks

        flight = [pool.submit(work, call) for call, pool in self._lanes]
        wait(flight)
        done = [future.result() for future in flight]
        clock.finish()
        took = time.perf_counter() - start
        return Round(sum(u for u, _ in done), took, [clock.seconds(a, b) for _, marks in done for a, b in marks])

    def close(self) -> None:
        for call, pool in self._lanes:
            if close := getattr(call, "close", None):
                wait([pool.submit(close)])  # one that failed before may fail again: its reason is known
            pool.shutdown()


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def latency(calls: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile, the latter by nearest rank: an observed call that at most one in a hundred exceeds.
    Below a hundred calls it is the slowest."""
    if not calls:
        return {}
    ordered = sorted(calls)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    return {"median": median(ordered), "p99": p99, "min": ordered[0], "max": ordered[-1]}


def reason_of(error: BaseException) -> str:
    """An error in one line: what a table has room for."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _over(i: int, contestants: Sequence[Contestant], measured: dict[int, Measured]) -> dict[str, dict[str, float]]:
    """How many times faster than each peer, turn by turn."""
    if contestants[i].by != OURS:
        return {}
    return {
        c.by: spread([a / b for a, b in zip(measured[i].rates, measured[k].rates, strict=False)])
        for k, c in enumerate(contestants)
        if k != i and k in measured
    }
