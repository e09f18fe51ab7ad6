"""A `Lane` without a card that is as late as one may be: what is queued happens when someone waits for it, not before.
So what is read too early is garbage, and what is overwritten too early is lost."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import DTypeLike, NDArray

GARBAGE = 0xA5


class ShimLane:
    """Arrays are NumPy's. Libraries that write in the lane find it by its `ptr`."""

    _handles = itertools.count(16, 16)
    of: ClassVar[WeakValueDictionary[int, ShimLane]] = WeakValueDictionary()

    def __init__(self) -> None:
        self.ptr = next(self._handles)
        self.of[self.ptr] = self
        self._queue: deque[Callable[[], None]] = deque()
        self._queued = self._done = 0

    def queue(self, work: Callable[[], None]) -> None:
        self._queue.append(work)
        self._queued += 1

    def run(self, until: int) -> None:
        while self._done < until:
            self._queue.popleft()()
            self._done += 1

    def pinned(self, size: int) -> NDArray[np.uint8]:
        return np.full(size, GARBAGE, np.uint8)

    def empty(self, size: int, dtype: DTypeLike) -> NDArray[Any]:
        array = np.empty(size, dtype)
        array.view(np.uint8)[:] = GARBAGE
        return array

    def put(self, target: NDArray[Any], source: NDArray[Any]) -> None:
        self.queue(lambda: np.copyto(target, source))

    def view(self, surface: Any) -> NDArray[Any]:
        assert surface.__dlpack_device__() == (2, 0), "a surface lies on the card"
        view = np.from_dlpack(_OnHost(surface.__dlpack__(stream=self.ptr)))
        if not view.flags.c_contiguous:
            raise ValueError(f"the surface's rows lie {view.strides} bytes apart, expected {view.shape} without gaps")
        return view

    def copy(self, target: NDArray[Any], source: NDArray[Any]) -> None:
        self.queue(lambda: np.copyto(target, source))

    def mark(self) -> _Mark:
        return _Mark(self, self._queued)

    def join(self) -> None:
        self.run(self._queued)


class _Mark:
    def __init__(self, lane: ShimLane, place: int) -> None:
        self._lane, self._place = lane, place

    def wait(self) -> None:
        self._lane.run(self._place)


class _OnHost:
    """A capsule, for NumPy, which takes no array of a card."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **asked: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0
