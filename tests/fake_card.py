"""A card without a card: NumPy in CuPy's place, and graphs that run when they are launched."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OutOfMemoryError(MemoryError):
    """As CuPy has it."""


class FakeCard:
    """`EngineDevice`. memory: bytes that an array may have at most. captures: whether a stream can be captured."""

    ASIDE, MAIN = 7, 1
    recorded: list[Callable[[], None]] = []  # noqa: RUF012

    def __init__(self, memory: int | None = None, captures: bool = True) -> None:
        self.xp = self if memory is not None else np
        self.memory, self.captures = memory, captures
        self.launches = 0
        self.stream = self.MAIN

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def zeros(self, shape: Any, dtype: Any) -> NDArray[Any]:
        if self.memory is not None and np.prod(shape) * np.dtype(dtype).itemsize > self.memory:
            raise OutOfMemoryError("out of memory")
        return np.zeros(shape, dtype)

    def active(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def pointer(self, array: NDArray[Any]) -> int:
        return int(array.ctypes.data)

    def to_numpy(self, array: Any) -> NDArray[Any]:
        return np.array(array)

    def launch(self, *_: Any) -> None:
        raise NotImplementedError

    def wait(self) -> None:
        pass

    def capture(self, enqueue: Callable[[int], None]) -> Callable[[], None]:
        if not self.captures:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")
        FakeCard.recorded = []
        enqueue(self.ASIDE)
        work = list(FakeCard.recorded)

        def launch() -> None:
            self.launches += 1
            for part in work:
                part()

        return launch


def at_address(address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """The array that lies there."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = (ctypes.c_uint8 * size).from_address(address)
    return np.frombuffer(buffer, dtype).reshape(shape)
