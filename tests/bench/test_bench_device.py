"""What is read off the device: clocks of a card, its sensors, its limits; with stand-ins for torch and nvidia-smi."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vcn_trt.backends.cuda.floor import Card, Work
from vcn_trt.bench import limits, record, sensors
from vcn_trt.bench.clock import EventClock, SyncedClock
from vcn_trt.bench.measure import Lanes


class FakeTorch:
    """A card that is done with what it was asked for only when it is waited for."""

    def __init__(self) -> None:
        self.now, self.queued, self.synced, self.zeroed = 0.0, 0.0, 0, 0
        self.cuda = SimpleNamespace(
            default_stream=lambda device: SimpleNamespace(of=device, synchronize=lambda: self._synchronize(device)),
            Event=self._event,
        )
        self.uint8 = "uint8"

    def ask(self, milliseconds: float) -> None:
        self.queued += milliseconds

    def empty(self, size: int, dtype: str, device: str) -> Any:
        def zero() -> None:
            self.zeroed += 1

        return SimpleNamespace(zero_=zero)

    def _synchronize(self, device: str) -> None:
        assert device == "cuda:1"
        self.synced += 1
        self.now, self.queued = self.now + self.queued, 0

    def _event(self, enable_timing: bool) -> Any:
        fake = self

        class Event:
            at = -1.0

            def record(self, stream: Any) -> None:
                assert (stream.of, enable_timing) == ("cuda:1", True)
                self.at = fake.now + fake.queued

            def elapsed_time(self, other: Any) -> float:
                assert other.at <= fake.now, "asked before the card was done"
                return float(other.at - self.at)

        return Event()


def test_events_time_the_card_without_waiting_for_it() -> None:
    torch = FakeTorch()
    clock = EventClock(torch, "cuda:1")
    calls = 0

    def call() -> float:
        nonlocal calls
        calls += 1
        torch.ask(250)
        return 1

    done = Lanes([call]).round(clock, 0)
    assert (calls, done.calls) == (1, [0.25])
    assert torch.synced == 2  # before the round and after it, not between


def test_the_hosts_clock_waits_for_the_card_at_every_mark() -> None:
    torch = FakeTorch()
    clock = SyncedClock(torch, "cuda:1")
    start = clock.mark()
    torch.ask(5)
    assert clock.seconds(start, clock.mark()) >= 0
    assert (torch.synced, torch.queued) == (2, 0)


def test_caches_are_emptied_between_launches() -> None:
    torch = FakeTorch()
    clock = EventClock(torch, "cuda:1")
    clock.cool()
    clock.cool()
    assert torch.zeroed == 2


def test_readings_are_summed_up_and_what_is_not_told_is_left_out() -> None:
    readings = sensors.Readings()
    assert readings.summary() is None
    for line in ("300.5, 1980, 2619, 40, 99, 0", "410.5, [N/A], 2619, 42, 97, 0", "nonsense"):
        readings.take(line)
    found = readings.summary()
    assert found is not None
    assert found["readings"] == 2
    assert found["watt"] == {"median": 355.5, "max": 410.5}
    assert found["sm_mhz"] == {"median": 1980, "max": 1980}


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(pci_bus_id=0x65, pci_domain_id=0, pci_device_id=0)
    cuda = SimpleNamespace(get_device_properties=lambda device: found)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


@pytest.mark.usefixtures("card")
def test_a_card_is_watched_by_its_bus_address(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nwhile :; do echo "100, 1, 2, 3, 4, 5"; sleep 0.01; done\n'
    )
    program.chmod(0o755)
    with sensors.watch("cuda:0", str(program)) as readings:
        for _ in range(1000):
            if readings.columns.get("watt"):
                break
            __import__("time").sleep(0.01)
    found = readings.summary()
    assert found is not None
    assert found["watt"] == {"median": 100, "max": 100}
    assert "--id=00000000:65:00.0" in (tmp_path / "asked").read_text()


@pytest.mark.usefixtures("card")
def test_no_sensors_are_no_error(tmp_path: Path) -> None:
    with sensors.watch("cuda:0", str(tmp_path / "nowhere")) as readings:
        pass
    assert readings.summary() is None
    with sensors.watch("cpu", "/bin/false") as readings:
        pass
    assert readings.summary() is None


def test_the_greatest_of_the_times_is_the_limit() -> None:
    card = Card("a card", bandwidth=10, operations=100, doubles=2)
    assert limits.most_of(Work(50, 100), 10, card) == limits.Most(2, "bytes over bandwidth")
    assert limits.most_of(Work(50, 1000), 10, card) == limits.Most(1, "operations over rate")
    assert limits.most_of(Work(50, 0, 40), 10, card) == limits.Most(0.5, "operations in double over rate")


def test_networks_are_held_to_the_rate_of_their_precision() -> None:
    rates = limits.Rates(1.0, 2.0, 3.0, 40.0)
    assert rates.card("x").operations == 2
    assert rates.card("x", half=True).operations == 40


def test_nvdec_has_a_rule_of_thumb_where_one_is_known() -> None:
    most = limits.most_decoded("NVIDIA H100 80GB HBM3", "h264", 1280, 720)
    assert most is not None
    assert most.rate == pytest.approx(7 * 700 * 2.25)
    assert "rule of thumb" in most.of
    assert limits.most_decoded("NVIDIA H200", "hevc", 1920, 1080) == limits.Most(8750, most.of)
    assert limits.most_decoded("NVIDIA H200", "prores", 1920, 1080) is None
    assert limits.most_decoded("NVIDIA RTX 4090", "h264", 1920, 1080) is None
    assert limits.most_decoded("", "h264", 1920, 1080) is None


def test_data_sheets_are_known_by_the_cards_name() -> None:
    found = limits.sheet("NVIDIA H200")
    assert found is not None
    assert found["bandwidth"] == 4.8e12
    assert limits.sheet("NVIDIA H20") is None
    assert limits.sheet("") is None


def test_rates_are_measured_on_whatever_torch_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.01)
    monkeypatch.setattr(limits, "COPY_BYTES", 1 << 20)
    monkeypatch.setattr(limits, "SIDE", 64)
    rates = limits.measure_rates("cpu")
    assert min(rates.bandwidth, rates.float32, rates.float64, rates.half) > 1e5
    assert record.device("cpu", "cpu", "as asked") == {"name": "cpu", "description": "as asked"}
