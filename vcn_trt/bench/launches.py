"""Kernels alone: every launch of an op between two marks, and what it had to move and do, told from its arguments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from vcn_trt.backends.cuda.floor import FLOORS, Work
from vcn_trt.backends.cuda.kernels import Device, Dims, parameters
from vcn_trt.backends.cuda.maths import TILE
from vcn_trt.bench.clock import Clock


class Picture(NamedTuple):
    """Of the frames that kernels read: width, height, and bytes a sample."""

    width: int
    height: int
    sample: int


class Launch(NamedTuple):
    seconds: float
    work: Work


class TimedDevice:
    """`Device` that notes its launches. Caches are emptied before each: a run's input is never in them."""

    def __init__(self, device: Device, clock: Clock, picture: Picture) -> None:
        self.xp = device.xp
        self._device, self._clock, self._picture = device, clock, picture
        self._noted: list[tuple[str, Any, Any, dict[str, Any]]] = []

    def active(self) -> AbstractContextManager[Any]:
        return self._device.active()

    def pointer(self, array: Any) -> int:
        return self._device.pointer(array)

    def to_numpy(self, array: Any) -> Any:
        return self._device.to_numpy(array)

    def launch(self, name: str, grid: Dims, block: Dims, values: Sequence[Any]) -> None:
        self._clock.cool()
        start = self._clock.mark()
        self._device.launch(name, grid, block, values)
        stop = self._clock.mark()
        arguments = dict(zip((p.name for p in parameters(name)), values, strict=True))
        self._noted.append((name, start, stop, arguments))

    def launches(self) -> dict[str, list[Launch]]:
        """By kernel, those since the last call."""
        self._clock.finish()
        found: dict[str, list[Launch]] = defaultdict(list)
        for name, start, stop, arguments in self._noted:
            work = work_of(name, arguments, self._picture, self.to_numpy)
            found[name].append(Launch(self._clock.seconds(start, stop), work))
        self._noted.clear()
        return found


def work_of(name: str, a: dict[str, Any], picture: Picture, to_numpy: Callable[[Any], Any]) -> Work:
    """The floor of one launch: `floor.py`'s function of the kernel's name, on what its arguments say."""
    size, floor = picture[:2], FLOORS[name]
    if name == "letterbox":
        return floor(int(a["n"]), *size, int(a["padded_width"]), int(a["padded_height"]), picture.sample)
    if name == "thumbnails":
        return floor(int(a["n"]), *size, int(a["width"]), int(a["height"]), picture.sample)
    if name in ("warp_faces", "sharpness"):
        return floor(len(a["which"]), picture.sample)
    if name in ("retinaface_faces", "scrfd_faces"):
        return floor(int(a["n"]), int(a["anchors"]), int(to_numpy(a["count"])[0]))
    if name == "nms":
        return floor(len(a["boxes"]), int(to_numpy(a["keep"]).sum()))
    if name == "softmax_means":
        return floor(len(a["teacher"]), len(a["p"]), int(a["k"]))
    if name == "pair_edges":
        n, tiles = int(a["n"]), to_numpy(a["tiles"])
        diagonal = int((tiles[:, 0] == tiles[:, 1]).sum())
        pairs = (len(tiles) - diagonal / 2) * TILE * TILE  # a tile on the diagonal holds each pair twice
        return floor(n, int(a["k"]), int(to_numpy(a["count"])[0]), min(1.0, pairs / (n * (n - 1) / 2)))
    fits, d, rows = len(a["mean"]), int(a["d"]), to_numpy(a["basis_at"])
    if name == "gaussian_fit":
        crops = round(float((to_numpy(a["stop"]) - to_numpy(a["start"])).mean()))
        return floor(fits, crops, d, bool(rows[-1]))
    points = round(float((to_numpy(a["last"]) - to_numpy(a["first"])).mean()))
    return floor(fits, points, round(rows[-1] / fits), d)
