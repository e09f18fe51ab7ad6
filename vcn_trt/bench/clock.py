"""How time is taken. A card works behind the program's back: what was asked of it is done only when it says so."""

from __future__ import annotations

import time
from typing import Any, Protocol

COLD_BYTES = 256 << 20
"""Written between two timed launches: more than any card's second-level cache, so that a kernel's input comes from
memory, as it does in a run."""


class Clock(Protocol):
    """mark: this moment, in the order of the device's work. seconds: between two marks, once `finish` has returned.
    finish: waits until all that was asked of the device is done. cool: empties its caches, where it has any."""

    def mark(self) -> Any: ...

    def seconds(self, start: Any, stop: Any) -> float: ...

    def finish(self) -> None: ...

    def cool(self) -> None: ...


class HostClock:
    """A CPU's: what has returned is done."""

    def mark(self) -> float:
        return time.perf_counter()

    def seconds(self, start: float, stop: float) -> float:
        return stop - start

    def finish(self) -> None:
        pass

    def cool(self) -> None:
        pass


class SyncedClock(HostClock):
    """A card's by the host's clock: every mark waits for the device. For calls whose answer the host needs."""

    def __init__(self, torch: Any, device: str) -> None:
        self._torch, self._device = torch, device

    def mark(self) -> float:
        self.finish()
        return time.perf_counter()

    def finish(self) -> None:
        # Not the whole device: CUDA forbids that while another thread captures a graph.
        self._torch.cuda.default_stream(self._device).synchronize()


class EventClock:
    """A card's own: events in torch's default stream, between which the host need not wait. For networks and kernels
    alone."""

    def __init__(self, torch: Any, device: str) -> None:
        self._torch, self._device = torch, device
        self._stream = torch.cuda.default_stream(device)
        self._cold: Any = None

    def mark(self) -> Any:
        event = self._torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        return event

    def seconds(self, start: Any, stop: Any) -> float:
        return float(start.elapsed_time(stop)) / 1000

    def finish(self) -> None:
        self._stream.synchronize()

    def cool(self) -> None:
        if self._cold is None:
            self._cold = self._torch.empty(COLD_BYTES, dtype=self._torch.uint8, device=self._device)
        self._cold.zero_()


def host_clock(torch_device: str) -> Clock:
    """For what the host waits for anyway: stages, decoders, answers that come back."""
    if not torch_device.startswith("cuda"):
        return HostClock()
    import torch

    return SyncedClock(torch, torch_device)


def device_clock(torch_device: str) -> Clock:
    """For what runs on the device alone."""
    if not torch_device.startswith("cuda"):
        return HostClock()
    import torch

    return EventClock(torch, torch_device)
