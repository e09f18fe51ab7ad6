"""The card: how arrays and kernels reach it. One stream, torch's, and one memory pool, torch's, so that networks,
kernels and training share both."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from vcn_trt.backends.base import Array
from vcn_trt.backends.cuda.kernels import Dims, source
from vcn_trt.errors import DeviceError


def card_of(device: str) -> int:
    """The number of "cuda" or "cuda:N". Raises DeviceError for another word."""
    match = re.fullmatch(r"cuda(?::(\d+))?", device)
    if not match:
        raise DeviceError(f"unknown device {device!r}; expected auto, cpu, cuda or cuda:N with the number of a card")
    return int(match[1] or 0)


class CupyDevice:
    """`Device` on one card. Calls may come from several threads: all use torch's default stream of that card."""

    def __init__(self, card: int) -> None:
        import cupy
        import torch

        self.xp = cupy
        self.card = card
        self._stream = cupy.cuda.Stream.from_external(_Foreign(torch.cuda.default_stream(card).cuda_stream))
        self._allocator = TorchPool(torch, self._stream.ptr).allocator(cupy)
        self._kernel = functools.cache(self._compiled)
        properties = torch.cuda.get_device_properties(card)
        self.memory = int(properties.total_memory)
        self.name, self.capability = str(properties.name), f"{properties.major}.{properties.minor}"
        self.description = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"

    def active(self) -> AbstractContextManager[Any]:
        stack = ExitStack()
        stack.enter_context(self.xp.cuda.Device(self.card))
        stack.enter_context(self._stream)
        stack.enter_context(self.xp.cuda.using_allocator(self._allocator))
        return stack

    def pointer(self, array: Array) -> int:
        return int(array.data.ptr)

    def to_numpy(self, array: Array) -> Any:
        return self.xp.asnumpy(array)  # waits for the stream

    def launch(self, name: str, grid: Dims, block: Dims, values: Sequence[Any]) -> None:
        self._kernel(name)(grid, block, tuple(values))

    @property
    def stream(self) -> int:
        return int(self._stream.ptr)

    def wait(self) -> None:
        with self.xp.cuda.Device(self.card):  # the handle of a default stream is the current card's
            self._stream.synchronize()

    def capture(self, enqueue: Callable[[int], None]) -> Callable[[], None]:
        """See `engine.device`. CUDA captures no default stream, which torch's is: the capture has one of its own, which
        does not wait for the default one, and the graph is launched on torch's."""
        aside = self.xp.cuda.Stream(non_blocking=True)
        with aside:
            aside.begin_capture()
            try:
                enqueue(int(aside.ptr))
            finally:
                graph = aside.end_capture()
        return lambda: graph.launch(self._stream)

    def _compiled(self, name: str) -> Any:
        """NVRTC compiles for the card that is there; CuPy keeps the result on disk."""
        return self.xp.RawModule(code=source(name), options=("--std=c++17",)).get_function(name)


class _Foreign:
    """CUDA's stream protocol: a stream of another library. (`ExternalStream` warns since CuPy 14.)"""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._handle


class TorchPool:
    """CuPy's memory out of torch's caching pool: what one frees the other can have."""

    def __init__(self, torch: Any, stream: int) -> None:
        self._torch, self._stream = torch, stream

    def allocator(self, cupy: Any) -> Any:
        return cupy.cuda.PythonFunctionAllocator(self.malloc, self.free).malloc

    def malloc(self, size: int, card: int) -> int:
        """The address of so many bytes, 0 for none."""
        return int(self._torch.cuda.caching_allocator_alloc(size, card, self._stream)) if size else 0

    def free(self, address: int, card: int) -> None:
        if address:
            self._torch.cuda.caching_allocator_delete(address)
