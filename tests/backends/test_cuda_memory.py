"""The bound on a card's memory and what a stage took of it, on a stand-in with torch.cuda's names; and the primary
context for a user's own pycuda code."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from vcn_trt import backends
from vcn_trt.backends import cuda
from vcn_trt.backends.cuda import memory
from vcn_trt.backends.cuda.pycuda import primary_context
from vcn_trt.errors import DeviceError

GIB = 1 << 30


class FakePool:
    """torch.cuda of one card of 8 GiB."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int]] = []
        self.peak = 3 * GIB

    def get_device_properties(self, card: int) -> Any:
        return SimpleNamespace(name="Fake 9000", total_memory=8 * GIB)

    def set_per_process_memory_fraction(self, fraction: float, device: int) -> None:
        if not 0 <= fraction <= 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        self.asked.append((fraction, device))

    def mem_get_info(self, device: int) -> tuple[int, int]:
        return 6 * GIB, 8 * GIB

    def max_memory_allocated(self, device: int) -> int:
        return self.peak // 2

    def max_memory_reserved(self, device: int) -> int:
        return self.peak

    def reset_peak_memory_stats(self, device: int) -> None:
        self.peak = 0


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> FakePool:
    fake = FakePool()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def test_the_pool_grows_to_its_bound_and_without_one_to_the_card(pool: FakePool) -> None:
    memory.bound(1, 2.0)
    memory.bound(1, 0.0)
    memory.bound(1, 80.0)
    assert pool.asked == [(0.25, 1), (1.0, 1), (1.0, 1)]


def test_peaks_are_told_in_mib_and_counted_anew(pool: FakePool) -> None:
    assert memory.peaks(0) == {"gpu_memory_mib": {"peak_allocated": 1536, "peak_reserved": 3072, "card_in_use": 2048}}
    assert memory.peaks(0)["gpu_memory_mib"]["peak_reserved"] == 0


def test_torch_has_the_names_that_are_used() -> None:
    for name in vars(FakePool):
        assert name.startswith("_") or callable(getattr(torch.cuda, name))


def test_the_bound_reaches_the_column_that_has_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(cuda, "open_cuda", lambda device, gpu_memory: asked.append((device, gpu_memory)))
    backends.open("cuda:1", 4.0)
    assert asked == [("cuda:1", 4.0)]
    assert backends.open("cpu", 4.0).memory() == {}


# pycuda -------------------------------------------------------------------------------------------------------------


class FakeContext:
    """A primary context with pycuda's methods: `pop`, a static one, takes the current context away."""

    calls: ClassVar[list[str]] = []

    def push(self) -> None:
        self.calls.append("push")

    @staticmethod
    def pop() -> None:
        FakeContext.calls.append("pop")


def test_the_primary_context_is_retained_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeContext.calls.clear()
    driver = ModuleType("pycuda.driver")
    driver.init = lambda: FakeContext.calls.append("init")  # type: ignore[attr-defined]
    driver.Device = lambda card: SimpleNamespace(retain_primary_context=FakeContext)  # type: ignore[attr-defined]
    package = ModuleType("pycuda")
    package.driver = driver  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    with primary_context(1) as context:
        assert isinstance(context, FakeContext)
        assert FakeContext.calls == ["init", "push"]
    assert FakeContext.calls == ["init", "push", "pop"]


def test_without_pycuda_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(DeviceError, match="pip install pycuda"), primary_context():
        pass
