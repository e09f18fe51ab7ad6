"""What every decoder is: one pass over a film, in batches, that can be ended at any time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt.backends.base import DecodeReport, FrameBatch
from vcn_trt.types import Video


class OnePass(ABC):
    """The `Decoder` of a film whose frames are told one by one. One thread at a time."""

    video: Video

    def __init__(self, path: Path, batch: int) -> None:
        self.report = DecodeReport()
        self._path, self._batch = path, batch
        self._closed = self._started = False
        self._running: Generator[tuple[Any, float], None, None] | None = None

    @abstractmethod
    def _frames(self) -> Generator[tuple[Any, float], None, None]:
        """Pixels and seconds, in presentation order; called once. At its end the report is whole."""

    @abstractmethod
    def _release(self) -> None:
        """Free everything; twice does no harm."""

    def __iter__(self) -> Iterator[FrameBatch]:
        if self._closed or self._started:
            raise RuntimeError(f"the one pass over {self._path} is under way or over: open another decoder")
        self._started = True
        return self._batches()

    def close(self) -> None:
        """Free the decoder and its threads; twice does no harm. To be called in the thread that iterates."""
        self._closed = True
        if self._running is not None:
            self._running.close()
        self._release()

    def _batches(self) -> Iterator[FrameBatch]:
        try:
            self._running = self._frames()
            while items := list(islice(self._running, self._batch)):
                start = self.report.frames
                self.report.frames += len(items)
                yield FrameBatch(
                    pixels=[pixels for pixels, _ in items],
                    frame_indices=np.arange(start, self.report.frames, dtype=np.int64),
                    seconds=np.array([seconds for _, seconds in items], np.float64),
                )
                if self._closed:
                    raise RuntimeError(f"the decoder of {self._path} was closed in the middle of its pass")
        finally:
            self.close()
