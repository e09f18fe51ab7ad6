"""The weights of an ONNX network by name: what a refit replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from vcn_trt.errors import ModelError


def check(model: onnx.ModelProto, weights: Mapping[str, Any], called: str) -> None:
    """Raises ModelError where the network has no weight of a name, or one of another shape. called: its name."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for name, value in weights.items():
        if name not in shapes:
            raise ModelError(f"{called} has no weight {name!r}; export the network again before a refit")
        found, expected = tuple(value.shape), shapes[name]
        if found != expected:
            raise ModelError(f"weight {name!r} of {called} has shape {expected}, the refit brings {found}")


def replace(model: onnx.ModelProto, weights: Mapping[str, NDArray[np.generic]], called: str) -> None:
    """Put these weights in, in place, each in the type of the one before it. Raises as `check`, and then changes
    nothing."""
    check(model, weights, called)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            dtype = numpy_helper.to_array(tensor).dtype
            value = np.ascontiguousarray(weights[tensor.name], dtype)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
