"""The orders that a lane keeps between its stream and the main one, read off what it asks of CuPy: no card ran this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vcn_trt.backends.cuda.lane import CupyLane


class Stream:
    """What was queued, in order. As in CuPy, the current one is that of the innermost `with`."""

    current: list[Stream]

    def __init__(self, name: str = "lane", non_blocking: bool = True) -> None:
        assert non_blocking
        self.name, self.ptr, self.queued = name, 48, list[Any]()

    def __enter__(self) -> Stream:
        Stream.current.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        Stream.current.pop()

    def wait_event(self, event: Event) -> None:
        self.queued.append(("wait", *event.at))


class Event:
    def __init__(self, disable_timing: bool) -> None:
        self.at: tuple[str, int] = ("never", 0)
        self.waited = False

    def record(self, stream: Stream) -> None:
        self.at = (stream.name, len(stream.queued))

    def synchronize(self) -> None:
        self.waited = True


class Pointer:
    def __init__(self, what: str) -> None:
        self.what = what

    def copy_from_host_async(self, source: int, nbytes: int, stream: Stream) -> None:
        stream.queued.append(("put", self.what, nbytes))

    def copy_from_device_async(self, source: Pointer, nbytes: int, stream: Stream) -> None:
        stream.queued.append(("copy", source.what, nbytes))


class Array:
    def __init__(self, what: str, shape: tuple[int, ...], contiguous: bool = True) -> None:
        self.data, self.shape, self.size, self.dtype = Pointer(what), shape, int(np.prod(shape)), np.dtype(np.uint8)
        self.nbytes, self.flags, self.strides = self.size, SimpleNamespace(c_contiguous=contiguous), (256, 1)


@contextmanager
def nothing(*_: Any) -> Iterator[None]:
    yield


class Card:
    """A device and its CuPy. The main stream has something under way."""

    def __init__(self) -> None:
        self.main = Stream("main")
        self.main.queued = ["a kernel"]
        Stream.current = []
        self.card = 0
        self.xp = SimpleNamespace(
            cuda=SimpleNamespace(
                Device=nothing,
                Stream=Stream,
                Event=Event,
                get_current_stream=lambda: Stream.current[-1],
                alloc_pinned_memory=bytearray,
            ),
            empty=self._empty,
            from_dlpack=self._from_dlpack,
        )
        self.contiguous = True

    def active(self) -> Stream:
        return self.main

    def _empty(self, size: int, dtype: Any) -> Array:
        assert Stream.current[-1] is self.main, "memory of the main stream's pool"
        return Array("new", (size,))

    def _from_dlpack(self, surface: str) -> Array:
        Stream.current[-1].queued.append("a view")
        return Array(surface, (6, 8), self.contiguous)


@pytest.fixture
def card() -> Card:
    return Card()


def test_memory_is_written_only_after_what_the_main_stream_had_to_do_with_it(card: Card) -> None:
    lane = CupyLane(card)  # type: ignore[arg-type]
    target = lane.empty(16, np.uint8)
    lane.put(target, lane.pinned(16))
    assert lane._stream.queued == [("wait", "main", 1), ("put", "new", 16)]
    assert lane.ptr == 48


def test_a_surface_is_asked_for_and_copied_in_the_stream_that_wrote_it(card: Card) -> None:
    lane = CupyLane(card)  # type: ignore[arg-type]
    target = lane.empty(48, np.uint8)
    lane.copy(target, lane.view("surface"))
    assert lane._stream.queued == [("wait", "main", 1), "a view", ("copy", "surface", 48)]
    card.contiguous = False
    with pytest.raises(ValueError, match=r"rows lie \(256, 1\) bytes apart, expected \(6, 8\) without gaps"):
        lane.view("surface")


def test_the_main_stream_reads_after_the_lane_and_the_host_after_a_mark(card: Card) -> None:
    lane = CupyLane(card)  # type: ignore[arg-type]
    lane.put(lane.empty(16, np.uint8), lane.pinned(16))
    mark: Any = lane.mark()
    assert not mark._event.waited
    mark.wait()
    assert (mark._event.at, mark._event.waited) == (("lane", 2), True)
    lane.join()
    assert card.main.queued == ["a kernel", ("wait", "lane", 2)]
