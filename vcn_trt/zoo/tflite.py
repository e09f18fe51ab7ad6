"""TensorFlow Lite files as the list of their weighted layers: just enough of the flatbuffer format to read
convolutions and PReLU from a float network. Field numbers are those of TensorFlow Lite's published schema, version
3."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcn_trt.errors import ModelError
from vcn_trt.zoo.layers import Layer

_CONV_2D, _DEPTHWISE_CONV_2D, _MUL = 3, 4, 18
_OPERATORS, _SUBGRAPHS, _BUFFERS = 1, 2, 4  # fields of the model
_FLOAT32 = 0


def read_layers(path: Path) -> list[Layer]:
    """Convolutions in torch's layout (BatchNorm is folded in them) and PReLUs, in running order. Converters spell PReLU
    as relu(x) + (a / 2) (x - |x|), so a constant vector that multiplies is half a slope. Raises ModelError."""
    try:
        return list(_layers(_Table.root(path.read_bytes())))
    except (struct.error, IndexError, ValueError) as error:
        raise ModelError(f"{path} is not a whole TensorFlow Lite file of float32 layers: {error}") from error


def _layers(model: _Table) -> Iterator[Layer]:
    # The 8-bit field came first and caps at 127; the 32-bit one holds larger codes.
    codes = [max(o.integer(0, "<b"), o.integer(3, "<i")) for o in model.tables(_OPERATORS)]
    graph, buffers = model.tables(_SUBGRAPHS)[0], model.tables(_BUFFERS)
    tensors = graph.tables(0)
    for operator in graph.tables(3):
        code = codes[operator.integer(0, "<I")]
        if code not in (_CONV_2D, _DEPTHWISE_CONV_2D, _MUL):
            continue
        inputs = [tensors[i] for i in operator.integers(1)]
        constants = [(t.text(3), _values(t, buffers)) for t in inputs if buffers[t.integer(2, "<I")].raw(0)]
        if not constants:
            continue
        name, first = constants[0]
        if code == _MUL:
            yield Layer("prelu", name, {"weight": first.reshape(-1) * 2})
            continue
        # (out, h, w, in), or (1, h, w, channels) where each channel has its own kernel
        weight = first.transpose((0, 3, 1, 2) if code == _CONV_2D else (3, 0, 1, 2))
        yield Layer("conv", name, {"weight": weight, "bias": constants[1][1]})


def _values(tensor: _Table, buffers: list[_Table]) -> NDArray[np.float32]:
    if tensor.integer(1, "<b") != _FLOAT32:
        raise ValueError(f"{tensor.text(3)!r} is not float32")
    return np.frombuffer(buffers[tensor.integer(2, "<I")].raw(0), "<f4").reshape(tensor.integers(0))


class _Table:
    """One flatbuffer table: a signed offset back to a list of 16-bit field offsets, 0 for a field left out."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def integer(self, field: int, form: str) -> int:
        at = self._field(field)
        return int(struct.unpack_from(form, self.data, at)[0]) if at else 0

    def integers(self, field: int) -> list[int]:
        start, length = self._vector(field)
        return list(struct.unpack_from(f"<{length}i", self.data, start))

    def raw(self, field: int) -> bytes:
        start, length = self._vector(field)
        if start + length > len(self.data):
            raise ValueError("the file ends early")
        return self.data[start : start + length]

    def text(self, field: int) -> str:
        return self.raw(field).decode(errors="replace")

    def tables(self, field: int) -> list[_Table]:
        start, length = self._vector(field)
        offsets = struct.unpack_from(f"<{length}I", self.data, start)
        return [_Table(self.data, start + 4 * i + offset) for i, offset in enumerate(offsets)]

    def _field(self, field: int) -> int:
        offsets = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        if offsets < 0:
            raise ValueError("an offset points before the file")
        size = struct.unpack_from("<H", self.data, offsets)[0]
        place = 4 + 2 * field
        offset = struct.unpack_from("<H", self.data, offsets + place)[0] if place < size else 0
        return self.at + offset if offset else 0

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + struct.unpack_from("<I", self.data, at)[0]
        return start + 4, struct.unpack_from("<I", self.data, start)[0]
