"""Rounds, calls and what is made of them, by a clock that the test turns."""

from __future__ import annotations

import threading

import pytest

from vcn_trt.bench import measure
from vcn_trt.bench.clock import HostClock
from vcn_trt.bench.measure import OURS, Call, Contestant, Lanes, Measured, Most, figure, latency, race, spread


def contestant(by: str, call: Call, warm: bool = True) -> Contestant:
    return Contestant(by, "so", lambda streams: [call] * streams, warm)


def test_of_few_calls_the_slowest_is_the_99th_percentile() -> None:
    assert latency([3.0]) == {"median": 3, "p99": 3, "min": 3, "max": 3}
    assert latency([4.0, 1.0, 2.0]) == {"median": 2, "p99": 4, "min": 1, "max": 4}
    assert latency([]) == {}


def test_of_many_calls_one_in_a_hundred_may_exceed_it() -> None:
    assert latency([float(i) for i in range(1, 101)])["p99"] == 99
    assert latency([float(i) for i in range(1, 102)])["p99"] == 100
    assert latency([float(i) for i in range(200)])["p99"] == 197  # 198 of 200 are not above it


def test_the_median_of_an_even_number_is_between_two() -> None:
    assert spread([1.0, 5.0, 2.0, 4.0]) == {"median": 3, "min": 1, "max": 5}


def test_a_rate_is_of_the_device_and_of_a_stream() -> None:
    measured = Measured([(100, 2.0), (90, 1.0), (60, 1.0)], [0.1, 0.3])
    found = figure("frames", "frames", 2, contestant(OURS, lambda: 1), measured, Most(120, "a reckoning"))
    assert found.rate == {"median": 60, "min": 50, "max": 90}
    assert found.rate_a_stream == 30
    assert found.share == 0.5
    assert (found.rounds, found.calls) == (3, 2)


def test_every_stream_calls_in_a_thread_of_its_own() -> None:
    meeting = threading.Barrier(3, timeout=10)  # never passed by one thread alone

    def call() -> float:
        meeting.wait()
        return 4

    done = Lanes([call] * 3).round(HostClock(), 0)
    assert (done.units, len(done.calls)) == (12, 3)


def test_a_stream_keeps_its_thread_and_is_closed_in_it() -> None:
    seen: list[tuple[str, int]] = []

    class Stream:
        def __call__(self) -> float:
            seen.append(("call", threading.get_ident()))
            return 1

        def close(self) -> None:
            seen.append(("close", threading.get_ident()))

    race("x", "calls", 1, [Contestant(OURS, "so", lambda n: [Stream()])], HostClock(), 1e-9, rounds=3)
    assert [what for what, _ in seen] == ["call"] * 4 + ["close"]
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_a_stream_that_cannot_be_closed_takes_no_figure_away() -> None:
    class Stream:
        def __call__(self) -> float:
            return 1

        def close(self) -> None:
            raise OSError("gone")

    (found,) = race("x", "calls", 1, [Contestant(OURS, "so", lambda n: [Stream()])], HostClock(), 1e-9)
    assert (found.failed, found.rounds) == ("", measure.ROUNDS)


def test_a_round_takes_its_time_and_one_call_at_least() -> None:
    assert len(Lanes([lambda: 1]).round(HostClock(), 0).calls) == 1
    done = Lanes([lambda: 1]).round(HostClock(), 0.05)
    assert done.seconds >= 0.05
    assert done.units == len(done.calls) > 1


def test_contestants_take_turns_and_begin_in_turn() -> None:
    order: list[str] = []

    def call_of(by: str) -> Call:
        return lambda: order.append(by) or 1  # type: ignore[func-returns-value]

    race("x", "calls", 1, [contestant(by, call_of(by)) for by in (OURS, "peer")], HostClock(), 1e-9, rounds=3)
    assert order[:2] == [OURS, "peer"]  # warm-up
    assert order[2:] == [OURS, "peer", "peer", OURS, OURS, "peer"]


def test_a_peer_is_compared_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([(8, 1), (2, 1), (1, 1), (9, 1), (6, 1), (3, 1)])  # ours, peer | peer, ours | ours, peer
    monkeypatch.setattr(measure.Lanes, "round", lambda *a: measure.Round(*next(rounds), []))
    both = [contestant(by, lambda: 1, warm=False) for by in (OURS, "peer")]
    ours, peer = race("x", "calls", 1, both, HostClock(), 1, rounds=3)
    assert ours.over == {"peer": {"median": 4, "min": 2, "max": 9}}  # 8/2, 9/1, 6/3
    assert peer.over == {}


def test_one_that_fails_says_why_and_the_others_go_on() -> None:
    calls = 0

    def breaks_later() -> float:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise MemoryError("out of memory\nand a trace")
        return 1

    def cannot_open(streams: int) -> list[Call]:
        raise ImportError("no such library")

    found = race(
        *("x", "calls", 1),
        [contestant(OURS, lambda: 1), contestant("breaks", breaks_later), Contestant("missing", "so", cannot_open)],
        HostClock(),
        1e-9,
    )
    assert [f.failed for f in found] == ["", "MemoryError: out of memory", "ImportError: no such library"]
    assert found[0].rounds == measure.ROUNDS
    assert found[0].over == {}
    assert (found[1].rate, found[1].rounds) == ({}, 0)


def test_long_calls_get_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PATIENCE", 4)
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def slow() -> float:
        now[0] += 3
        return 1

    (found,) = race("x", "calls", 1, [contestant(OURS, slow)], HostClock(), 1)
    assert found.rounds == 2  # 3 seconds are within four times one, 6 are not
    assert found.seconds["median"] == 3
