"""Other weights into an engine that is there, by name and from the card's memory where TensorRT takes them from it: a
second, where building takes minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from vcn_trt.backends.base import Array
from vcn_trt.engine import compat
from vcn_trt.engine.compat import Trt
from vcn_trt.engine.definition import Definition
from vcn_trt.engine.device import EngineDevice
from vcn_trt.errors import ModelError


def refit(trt: Trt, engine: Any, definition: Definition, device: EngineDevice, weights: Mapping[str, Array]) -> None:
    """Give the engine other weights: all of the network's own, by their names in it; torch, CuPy or NumPy. definition:
    of that structure, its own weights are not looked at.

    Raises ModelError where engine and network do not know each other's names, or TensorRT refuses. The engine is then
    of no use any more: part of its weights may be new.
    """
    on_card = compat.takes_device_weights(trt)
    log = compat.logger(trt)
    refitter = trt.Refitter(engine, log)
    if unknown := sorted(set(definition.folded.rules) - set(refitter.get_all_weights())):
        raise ModelError(f"the engine of {definition.name} has no {_listed(unknown)} to refit: build it anew")
    with device.active():
        xp = device.xp if on_card else np
        given = {name: as_array(xp, value) for name, value in weights.items()}
        values = definition.folded.weights(given, xp)
        held = {name: xp.ascontiguousarray(values[name], dtype) for name, dtype in definition.dtypes.items()}
        device.wait()  # TensorRT reads them on a stream of its own
        for name, value in held.items():
            _give(trt, refitter, name, value, device.pointer(value) if on_card else 0, log)
        # What TensorRT merged with one of them at build time it wants again, though it has not changed.
        missing = refitter.get_missing_weights()
        constants = _constants(definition.graph) if missing else {}
        for name in [n for n in missing if n in constants]:
            held[name] = xp.ascontiguousarray(xp.asarray(constants[name]))
            _give(trt, refitter, name, held[name], device.pointer(held[name]) if on_card else 0, log)
        device.wait()
        if missing := sorted(refitter.get_missing_weights()):
            raise ModelError(f"a refit of {definition.name} would need {_listed(missing)} besides: build it anew")
        if not refitter.refit_cuda_engine():
            raise ModelError(f"TensorRT {trt.__version__} refuses to refit {definition.name}{compat.said(log)}")


def as_array(xp: Any, value: Any) -> Array:
    """Weights as an array of `xp`, float32: a torch tensor on the card without a copy where it can be."""
    if hasattr(value, "detach"):
        value = value.detach().float().contiguous()
        value = xp.from_dlpack(value) if value.is_cuda and xp is not np else value.cpu().numpy()
    elif xp is np and hasattr(value, "get"):
        value = value.get()
    return xp.asarray(value, np.float32)


def _give(trt: Trt, refitter: Any, name: str, value: Array, address: int, log: Any) -> None:
    if not compat.set_weights(trt, refitter, name, value, address):
        raise ModelError(f"TensorRT {trt.__version__} refuses the weight {name!r}{compat.said(log)}: build anew")


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The graph's float constants by name, among them those that are no weights of the network."""
    nodes = [n for n in model.graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]
    tensors = {n.output[0]: n.attribute[0].t for n in nodes} | {i.name: i for i in model.graph.initializer}
    values = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}
    return {name: value for name, value in values.items() if value.dtype.kind == "f"}


def _listed(names: list[str]) -> str:
    some = ", ".join(map(repr, names[:3]))
    return f"weight {some}" if len(names) == 1 else f"{len(names)} weights, {some}{', ...' if len(names) > 3 else ''},"
