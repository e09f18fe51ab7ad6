"""Stages that overlap: an iterator that runs ahead in its own thread, and a map that keeps several calls in flight,
in order.

Both are generators: leaving one early (an error, Ctrl-C) stops its threads; an exception inside reaches the consumer
at the place where its item would have come.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")


CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""A container's CPU quota (Linux, cgroup v2): microseconds of CPU time, or "max", and of what period."""


def cores(cpu_max: Path = CPU_MAX) -> int:
    """How many cores this process may use: those of its affinity, and no more than its container's quota, rounded up.
    Threads beyond the quota would only take each other's time slices."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text(encoding="ascii").split()
        return min(allowed, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        return allowed  # No such file, or "max": no quota.


class Clock:
    """Busy seconds by activity, added up over threads: they may exceed the time on the wall."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, activity: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - start
            with self._lock:
                self.seconds[activity] += took


def prefetch(items: Iterable[T], depth: int, clock: Clock, activity: str) -> Generator[T, None, None]:
    """`items`, produced by a thread of their own up to `depth` ahead of the consumer."""
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[bool, T | BaseException | None]) -> None:
        while not stop.is_set():
            try:
                return ready.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def produce() -> None:
        iterator = iter(items)
        try:
            while not stop.is_set():
                with clock(activity):
                    item = next(iterator, _END)
                if item is _END:
                    return put((False, None))
                put((True, item))  # type: ignore[arg-type]
        except BaseException as error:
            put((False, error))

    thread = threading.Thread(target=produce, name=activity, daemon=True)
    thread.start()
    try:
        while True:
            alive, item = ready.get()
            if not alive:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def map_ahead(function: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[tuple[T, R], None, None]:
    """(item, function(item)) in the order of the items, with up to `workers` calls running and one waiting."""
    flight: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="network") as pool:
        try:
            for item in items:
                flight.append((item, pool.submit(function, item)))
                if len(flight) > workers:
                    done, future = flight.popleft()
                    yield done, future.result()
            while flight:
                done, future = flight.popleft()
                yield done, future.result()
        finally:
            for _, future in flight:
                future.cancel()


def side_by_side(function: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
    """function(item) in the order of the items, one on each core: matrix products too small to share the cores well."""
    with threadpool_limits(1, "blas"):
        yield from (found for _, found in map_ahead(function, items, cores()))


_END = object()
