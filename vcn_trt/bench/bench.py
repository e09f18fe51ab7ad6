"""A bench: the backend and everything else that the parts measure with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vcn_trt.backends.base import Array, Backend, FrameBatch
from vcn_trt.bench.clock import Clock, device_clock, host_clock
from vcn_trt.bench.film import Films
from vcn_trt.bench.limits import Rates
from vcn_trt.config import Config
from vcn_trt.errors import VideoError


@dataclass(frozen=True)
class Bench:
    """streams: how many at once, one measurement each. seconds: for each contestant of a measurement. tracks: of the
    clustering. folder: for what is written and thrown away. rates: of this card; None of a CPU, and where they could
    not be measured. gpu: the card's name, "" on a CPU."""

    backend: Backend
    config: Config
    films: Films
    streams: tuple[int, ...]
    seconds: float
    tracks: int
    folder: Path
    rates: Rates | None = None
    gpu: str = ""

    @property
    def on_card(self) -> bool:
        return self.backend.torch_device.startswith("cuda")

    @cached_property
    def host_clock(self) -> Clock:
        return host_clock(self.backend.torch_device)

    @cached_property
    def device_clock(self) -> Clock:
        return device_clock(self.backend.torch_device)

    def first_batch(self) -> FrameBatch:
        """The first frames of the first film, in the backend's form. Raises VideoError."""
        with closing(self.backend.open_decoder(self.films.whole[0], 0, self.config.decode)) as decoder:
            batches: Iterator[FrameBatch] = iter(decoder)
            batch = next(batches, None)
        if batch is None or not len(batch):
            raise VideoError(f"{self.films.whole[0]} has no frames; bench on another film")
        return batch

    def resident(self, array: Any) -> Array:
        """A NumPy array where the backend keeps its data, so that no upload is measured."""
        device = getattr(self.backend.ops, "device", None)
        if device is None:
            return array
        with device.active():
            return device.xp.asarray(array)
