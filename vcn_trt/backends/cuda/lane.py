"""A stream beside the main one, in which pictures come onto the card while the main one computes.

Two orders are kept. Memory of the main stream's pool is written only after what the main stream had queued when it was
taken, for its last owner may still be read there. And nothing in the main stream reads a picture before the lane is
done with it: by `join`, or because the host waited.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcn_trt.backends.base import Array
from vcn_trt.backends.cuda.device import CupyDevice


class Mark(Protocol):
    """A place in a lane."""

    def wait(self) -> None:
        """Let the host wait until all that was queued before it is done."""
        ...


class Lane(Protocol):
    """One stream for copies. Its calls come from one thread at a time. ptr: the stream's handle, never 0."""

    ptr: int

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """So many bytes on the host that the card reads by itself. (size,)"""
        ...

    def empty(self, size: int, dtype: DTypeLike) -> Array:
        """An array of the main stream's pool that this lane may write. (size,) The lane waits for the main stream: one
        array for many pictures waits once."""
        ...

    def put(self, target: Array, source: NDArray[Any]) -> None:
        """Queue a copy from pinned memory; `source` must stay as it is until a later mark is reached."""
        ...

    def view(self, surface: Any) -> Array:
        """An array that another library wrote in this lane and offers by DLPack. What the library queues later may
        overwrite it. Raises ValueError where it is not contiguous."""
        ...

    def copy(self, target: Array, source: Array) -> None:
        """Queue a copy on the card, of as many bytes."""
        ...

    def mark(self) -> Mark:
        """The place that has been reached."""
        ...

    def join(self) -> None:
        """Let the main stream wait for all that is queued here."""
        ...


class CupyLane:
    """`Lane` on a card. The stream does not block: the legacy default stream, torch's, would wait for it and it for
    that at every copy."""

    def __init__(self, device: CupyDevice) -> None:
        self._device, self._cupy = device, device.xp
        with self._cupy.cuda.Device(device.card):
            self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self.ptr = int(self._stream.ptr)

    def pinned(self, size: int) -> NDArray[np.uint8]:
        with self._cupy.cuda.Device(self._device.card):
            return np.frombuffer(self._cupy.cuda.alloc_pinned_memory(size), np.uint8, size)

    def empty(self, size: int, dtype: DTypeLike) -> Array:
        with self._device.active():
            array = self._cupy.empty(size, dtype)
            taken = self._event(self._cupy.cuda.get_current_stream())
        self._stream.wait_event(taken)
        return array

    def put(self, target: Array, source: NDArray[Any]) -> None:
        with self._cupy.cuda.Device(self._device.card):
            target.data.copy_from_host_async(source.ctypes.data, source.nbytes, self._stream)

    def view(self, surface: Any) -> Array:
        with self._cupy.cuda.Device(self._device.card), self._stream:
            view = self._cupy.from_dlpack(surface)  # asks for it in this stream, in which it was written
        if not view.flags.c_contiguous:
            raise ValueError(f"the surface's rows lie {view.strides} bytes apart, expected {view.shape} without gaps")
        return view

    def copy(self, target: Array, source: Array) -> None:
        with self._cupy.cuda.Device(self._device.card):
            target.data.copy_from_device_async(source.data, source.nbytes, self._stream)

    def mark(self) -> Mark:
        return _Reached(self._event(self._stream))

    def join(self) -> None:
        reached = self._event(self._stream)
        with self._device.active():
            self._cupy.cuda.get_current_stream().wait_event(reached)

    def _event(self, stream: Any) -> Any:
        with self._cupy.cuda.Device(self._device.card):
            event = self._cupy.cuda.Event(disable_timing=True)
            event.record(stream)
        return event


class _Reached:
    def __init__(self, event: Any) -> None:
        self._event = event

    def wait(self) -> None:
        self._event.synchronize()
