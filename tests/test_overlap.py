"""Stages that overlap keep the order, pass exceptions on in their place, and leave no thread behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

import pytest

from vcn_trt.overlap import Clock, cores, map_ahead, prefetch

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def collect(items: Iterable[T], seen: list[T]) -> None:
    for item in items:
        seen.append(item)


def breaks(at: int) -> Iterator[int]:
    yield from range(at)
    raise KeyError(at)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("6400000 100000", 6),
        ("max 100000", 6),
        ("", 6),
        ("0 0", 6),
    ],
)
def test_a_quota_limits_the_cores_and_is_rounded_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert cores(tmp_path / "cpu.max") == expected
    assert cores(tmp_path / "no such file") == 6


def test_prefetched_items_come_in_order_and_all() -> None:
    assert list(prefetch(range(100), 2, Clock(), "count")) == list(range(100))
    assert list(prefetch([], 2, Clock(), "count")) == []


def test_prefetching_runs_ahead_by_its_depth_and_no_further() -> None:
    made: list[int] = []
    ahead = prefetch((made.append(i) or i for i in range(50)), 3, Clock(), "make")  # type: ignore[func-returns-value]
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 5  # one taken, three waiting, one in the thread's hand
    ahead.close()


def test_an_exception_arrives_where_its_item_would_have() -> None:
    seen: list[int] = []
    with pytest.raises(KeyError, match="7"):
        collect(prefetch(breaks(7), 2, Clock(), "read"), seen)
    assert seen == list(range(7))


def test_leaving_early_stops_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.set()

    ahead = prefetch(source(), 2, Clock(), "read")
    assert list(islice(ahead, 3)) == [0, 1, 2]
    ahead.close()
    assert closed.is_set()


def test_the_clock_counts_the_time_of_the_producer_not_of_the_wait() -> None:
    clock = Clock()

    def slow() -> Iterator[int]:
        for i in range(3):
            time.sleep(0.02)
            yield i

    for _ in prefetch(slow(), 1, clock, "read"):
        time.sleep(0.05)
    assert 0.06 <= clock.seconds["read"] < 0.15


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_keep_the_order_of_their_items(workers: int) -> None:
    def slow_for_even(i: int) -> int:
        time.sleep(0.004 * (i % 2 == 0))
        return i * i

    assert list(map_ahead(slow_for_even, range(20), workers)) == [(i, i * i) for i in range(20)]


def test_as_many_calls_are_in_flight_as_there_are_workers() -> None:
    together = threading.Barrier(3, timeout=5)
    assert [r for _, r in map_ahead(lambda i: together.wait() >= 0, range(6), 3)] == [True] * 6


def test_a_failing_call_raises_after_the_results_before_it() -> None:
    seen: list[tuple[int, float]] = []
    with pytest.raises(ZeroDivisionError):
        collect(map_ahead(lambda i: 12 / (i - 4), range(20), 2), seen)
    assert seen == [(0, -3), (1, -4), (2, -6), (3, -12)]


def test_a_failing_source_raises_and_ends_the_calls() -> None:
    with pytest.raises(KeyError, match="5"):
        list(map_ahead(lambda i: i, prefetch(breaks(5), 2, Clock(), "read"), 2))


def test_leaving_the_map_early_takes_no_more_items() -> None:
    taken: list[int] = []
    mapped = map_ahead(lambda i: i, (taken.append(i) or i for i in range(100)), 2)  # type: ignore[func-returns-value]
    assert next(mapped) == (0, 0)
    mapped.close()
    assert len(taken) <= 4
