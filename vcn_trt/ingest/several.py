"""Several videos at once: a card decodes with all its engines only where as many films, or parts of one, are in
flight. What comes of each does not depend on the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
Step = Callable[[int, int], None]
"""progress(frames done, frames claimed, 0 where nothing is claimed) of one video."""


def at_once(
    work: Callable[[T, Step], R], videos: Sequence[T], streams: int, progress: Callable[[int, int, str], None]
) -> list[R]:
    """work(video, step) of every video, up to `streams` at the same time, each in its own thread; results in order.

    Where one raises, no other is begun, and those that run are stopped at their next step, as by a kill; then the error
    of the first video by order that has one of its own is raised.
    """
    if streams == 1:
        return [work(video, one_of(progress, number, len(videos))) for number, video in enumerate(videos)]
    together, stop = Together(progress, len(videos)), threading.Event()

    def guarded(number: int) -> R:
        def step(completed: int, total: int) -> None:
            if stop.is_set():
                raise Stopped
            together.step(number, completed, total)

        try:
            return work(videos[number], step)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(streams, thread_name_prefix="video") as pool:
        futures = [pool.submit(guarded, number) for number in range(len(videos))]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:  # Ctrl-C comes to this thread
            stop.set()
            raise
        finally:
            for future in futures:
                future.cancel()
    errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
    for error in errors:
        if not isinstance(error, Stopped):
            raise error
    return [future.result() for future in futures]


class Stopped(BaseException):
    """Another video's error ends this one's work. No `Exception`: it is nobody's to handle."""


def one_of(progress: Callable[[int, int, str], None], number: int, n: int) -> Step:
    """The progress of one video after the other."""
    unit = "frames" if n == 1 else f"frames of video {number + 1} of {n}"
    return lambda completed, total: progress(completed, total, unit)


class Together:
    """The progress of videos in flight as that of one: their frames added up. Steps come from any thread."""

    def __init__(self, progress: Callable[[int, int, str], None], n: int) -> None:
        self._progress, self._unit = progress, f"frames of {n} videos"
        self._done, self._claimed = [0] * n, [0] * n
        self._lock = threading.Lock()

    def step(self, number: int, completed: int, total: int) -> None:
        with self._lock:
            self._done[number], self._claimed[number] = completed, total
            # The whole is known once each video has told its own.
            whole = sum(self._claimed) if all(self._claimed) else 0
            self._progress(sum(self._done), whole, self._unit)
