"""What engines need of the card beside what kernels do. `backends.cuda.device.CupyDevice` is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vcn_trt.backends.cuda.kernels import Device

Enqueue = Callable[[int], None]
"""Puts work on the stream whose handle it is given."""


class EngineDevice(Device, Protocol):
    @property
    def stream(self) -> int:
        """The handle of the one stream, torch's, that all work goes to."""
        ...

    def capture(self, enqueue: Enqueue) -> Callable[[], None]:
        """What `enqueue` puts on a stream as one CUDA graph; calling the answer launches it on the one stream. The
        addresses in it are those of the capture. Raises RuntimeError where the work cannot be captured."""
        ...

    def wait(self) -> None:
        """Until all work on the stream is done."""
        ...
