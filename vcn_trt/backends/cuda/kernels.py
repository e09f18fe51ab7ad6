"""The kernels as Python calls them: by name and by the names of their parameters, every argument checked first.

The `.cu` file is the truth for the order and the types of its parameters; the shapes stand here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

from vcn_trt import assets
from vcn_trt.backends.base import Array

FRAME_BYTES = 128
"""Of a `Frame` in kernels/frame.cuh."""

SHAPES: dict[str, dict[str, tuple[int | str, ...]]] = {
    "letterbox": {
        "frames": ("n", FRAME_BYTES),
        "mean": (3,),
        "out": ("n", 3, "padded_height", "padded_width"),
    },
    "thumbnails": {"frames": ("n", FRAME_BYTES), "out": ("n", "height", "width", 3)},
    "warp_faces": {
        "frames": ("n", FRAME_BYTES),
        "which": ("faces",),
        "maps": ("faces", 6),
        "out": ("faces", "size", "size", 3),
    },
    "sharpness": {"frames": ("n", FRAME_BYTES), "which": ("faces",), "maps": ("faces", 6), "out": ("faces",)},
    "retinaface_faces": {
        "loc": ("n", "anchors", 4),
        "conf": ("n", "anchors", 2),
        "marks": ("n", "anchors", 10),
        "count": (1,),
        "found": ("capacity", 2),
        "faces": ("capacity", 15),
    },
    "scrfd_faces": {
        "distance": ("n", "anchors", 4),
        "conf": ("n", "anchors", 1),
        "marks": ("n", "anchors", 10),
        "count": (1,),
        "found": ("capacity", 2),
        "faces": ("capacity", 15),
    },
    "nms": {"boxes": ("n", 4), "offsets": ("groups + 1",), "keep": ("n",)},
    "softmax_means": {
        "teacher": ("crops", "k"),
        "student": ("crops", "k"),
        "offsets": ("tracks + 1",),
        "centre": ("k",),
        "p": ("tracks", "k"),
        "l": ("tracks", "k"),
        "own": ("tracks", "slices"),
    },
    "pair_edges": {
        "p": ("n", "k"),
        "l": ("n", "k"),
        "thresholds": ("n",),
        "order": ("n",),
        "tiles": ("tiles", 2),
        "count": (1,),
        "a": ("capacity",),
        "b": ("capacity",),
        "similarity": ("capacity",),
    },
    "gaussian_fit": {
        "values": ("crops", "d"),
        "start": ("fits",),
        "stop": ("fits",),
        "left_out": ("fits",),
        "basis_at": ("fits + 1",),
        "gram_at": ("fits + 1",),
        "mean": ("fits", "d"),
        "inverse": ("fits", "d"),
        "basis": ("rows", "d"),
        "gram": ("numbers",),
        "constant": ("fits",),
    },
    "log_densities": {
        "points": ("points", "d"),
        "first": ("fits",),
        "last": ("fits",),
        "out_at": ("fits",),
        "mean": ("fits", "d"),
        "inverse": ("fits", "d"),
        "basis": ("rows", "d"),
        "basis_at": ("fits + 1",),
        "constant": ("fits",),
        "out": ("numbers",),
    },
}
"""Every array's shape. A word is a length: the same wherever the kernel's arguments name it, scalars among them."""

_DTYPES = {
    "Frame": np.uint8,
    "unsigned char": np.uint8,
    "int": np.int32,
    "long long": np.int64,
    "float": np.float32,
    "double": np.float64,
}

Dims = tuple[int, int, int]


class Device(Protocol):
    """Where arrays live and kernels run. xp: CuPy, or what has its functions."""

    xp: Any

    def active(self) -> AbstractContextManager[Any]:
        """Within it, arrays are made and kernels run on this device, in the one stream."""
        ...

    def pointer(self, array: Array) -> int:
        """The address of an array's first element."""
        ...

    def launch(self, name: str, grid: Dims, block: Dims, values: Sequence[Any]) -> None:
        """Run kernels/<name>.cu with arrays and NumPy scalars that have been checked."""
        ...

    def to_numpy(self, array: Array) -> Any:
        """A copy on the host, made when everything queued before it is done."""
        ...


class Parameter(NamedTuple):
    name: str
    dtype: np.dtype[Any]
    array: bool


def launch(device: Device, name: str, grid: tuple[int, ...], block: tuple[int, ...], **arguments: Any) -> None:
    """Run a kernel. Raises TypeError for a wrong name or dtype, ValueError for a wrong shape or a view that is not
    contiguous. An empty grid is no launch."""
    expected = parameters(name)
    if set(arguments) != {p.name for p in expected}:
        raise TypeError(f"{name} takes {', '.join(p.name for p in expected)}; found {', '.join(arguments)}")
    lengths: dict[str, int] = {p.name: int(arguments[p.name]) for p in expected if not p.array and p.dtype.kind == "i"}
    values = [_checked(name, p, arguments[p.name], lengths) for p in expected]
    if min(grid) > 0:
        device.launch(name, _three(grid), _three(block), values)


@functools.cache
def parameters(name: str) -> tuple[Parameter, ...]:
    """What a kernel takes, in its order, read from its source."""
    text = (assets.folder("kernels") / f"{name}.cu").read_text(encoding="utf-8")
    found = re.search(rf"\b{name}\(([^)]*)\)\s*\{{", text)
    if not found:
        raise ValueError(f"kernels/{name}.cu defines no kernel of its name")
    out = []
    for one in found[1].split(","):
        kind, star, word = re.fullmatch(  # type: ignore[union-attr]
            r"(?:const )?(Frame|unsigned char|int|long long|float|double)(\*?)(?: __restrict__)? (\w+)", one.strip()
        ).groups()
        out.append(Parameter(word, np.dtype(_DTYPES[kind]), bool(star)))
    return tuple(out)


@functools.cache
def source(name: str) -> str:
    """A kernel's text with its header in it. CuPy's cache of compiled modules is keyed by the text alone: it would not
    notice another header."""
    folder = assets.folder("kernels")
    header = (folder / "frame.cuh").read_text(encoding="utf-8").replace("#pragma once", "")
    return (folder / f"{name}.cu").read_text(encoding="utf-8").replace('#include "frame.cuh"', header)


def _checked(kernel: str, parameter: Parameter, value: Any, lengths: dict[str, int]) -> Any:
    if not parameter.array:
        return parameter.dtype.type(value)
    where = f"{kernel}: {parameter.name}"
    if getattr(value, "dtype", None) != parameter.dtype:
        found = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"{where} must be an array of {parameter.dtype}, found {found}")
    shape = SHAPES[kernel][parameter.name]
    if len(value.shape) != len(shape):
        raise ValueError(f"{where} must have the shape {_written(shape)}, found {tuple(value.shape)}")
    for length, found in zip(shape, value.shape, strict=True):
        if isinstance(length, str):
            word, _, more = length.partition(" + ")
            length = lengths.setdefault(word, found - int(more or 0)) + int(more or 0)
        if found != length:
            raise ValueError(f"{where} must have the shape {_written(shape)}, found {tuple(value.shape)}; {lengths}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{where} must be contiguous, found a view with strides {tuple(value.strides)}")
    return value


def _written(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _three(lengths: tuple[int, ...]) -> Dims:
    x, y, z = (*lengths, 1, 1, 1)[:3]
    return x, y, z
