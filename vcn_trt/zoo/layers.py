"""An ONNX graph as the list of its weighted layers in running order, quantised weights unfolded to float32.

Public ONNX files name their tensors after nothing ("onnx::Conv_587") and fold BatchNorm away, so weights reach our
modules by position (`weights.align`), with every shape checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from vcn_trt.errors import ModelError

Kind = Literal["conv", "bn", "prelu", "linear"]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer's tensors under torch's names and shapes; `name` is what the file calls its first one."""

    kind: Kind
    name: str
    tensors: dict[str, NDArray[np.float32]]
    eps: float = 0.0


def read_onnx(path: Path) -> onnx.ModelProto:
    """The graph with its weights. Raises ModelError where the file is no whole ONNX model."""
    try:
        model = onnx.load(path)
        if not model.graph.node:
            raise ValueError("the graph is empty")
        return model
    except (OSError, MemoryError):
        raise
    except Exception as error:  # protobuf's own exception classes differ between its versions
        raise ModelError(f"{path} is not an ONNX model, or truncated: {str(error)[:200]}") from error


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Every tensor known before an input is: initialisers, Constant nodes, and what Identity, Reshape, Unsqueeze and
    DequantizeLinear make of them. DequantizeLinear with block_size repeats each scale over its block along the axis
    (ONNX opset 21)."""
    known = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        have = [known[i] for i in node.input if i in known]
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    known[node.output[0]] = numpy_helper.to_array(attribute.t)
        elif len(have) == len(node.input) and have:
            if node.op_type == "Identity":
                known[node.output[0]] = have[0]
            elif node.op_type == "Reshape":
                known[node.output[0]] = have[0].reshape(have[1])
            elif node.op_type == "Unsqueeze" and len(have) == 2:
                known[node.output[0]] = np.expand_dims(have[0], tuple(have[1].tolist()))
            elif node.op_type == "DequantizeLinear":
                known[node.output[0]] = _dequantise(node, *have)
    return known


def of_onnx(model: onnx.ModelProto) -> list[Layer]:
    """The weighted layers in running order. A layer that runs twice on the same weights is listed once."""
    known, seen, layers = constants(model), set(), []
    # Exporters write shared weights as Identity nodes: follow them, so that sharing shows.
    alias = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Identity"}
    for node in model.graph.node:
        layer = _layer(node, known)
        if layer is None:
            continue
        origin = layer.name
        while origin in alias:
            origin = alias[origin]
        # Equal slopes or statistics are no sign of a layer that runs twice: exporters merge equal tensors.
        if layer.kind in ("bn", "prelu") or origin not in seen:
            seen.add(origin)
            layers.append(layer)
    return _with_added_bias(model, known, layers)


def _layer(node: onnx.NodeProto, known: dict[str, NDArray[Any]]) -> Layer | None:
    names = list(node.input)
    weights = [np.asarray(known[n], np.float32) for n in names[1:] if n in known]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if a.name != "value"}
    if node.op_type == "Conv" and weights:
        return Layer("conv", names[1], dict(zip(("weight", "bias"), weights, strict=False)))
    if node.op_type == "BatchNormalization" and len(weights) == 4:
        keys = ("weight", "bias", "running_mean", "running_var")
        return Layer("bn", names[1], dict(zip(keys, weights, strict=True)), attributes.get("epsilon", 1e-5))
    if node.op_type == "PRelu" and weights:
        return Layer("prelu", names[1], {"weight": weights[0].reshape(-1)})
    if node.op_type == "Gemm" and weights:
        weight = weights[0] if attributes.get("transB", 0) else weights[0].T
        return Layer("linear", names[1], dict(zip(("weight", "bias"), [weight, *weights[1:]], strict=False)))
    if node.op_type == "MatMul" and weights and weights[0].ndim == 2:
        return Layer("linear", names[1], {"weight": weights[0].T})
    return None


def _with_added_bias(model: onnx.ModelProto, known: dict[str, NDArray[Any]], layers: list[Layer]) -> list[Layer]:
    """MatMul followed by Add of a constant row is one linear layer."""
    made_by = {n.output[0]: n.input[1] for n in model.graph.node if n.op_type == "MatMul"}
    for node in model.graph.node:
        if node.op_type != "Add":
            continue
        for one, other in (tuple(node.input), tuple(node.input)[::-1]):
            if one in made_by and other in known and known[other].ndim == 1:
                for layer in layers:
                    if layer.kind == "linear" and layer.name == made_by[one]:
                        layer.tensors["bias"] = np.asarray(known[other], np.float32)
    return layers


def _dequantise(node: onnx.NodeProto, q: NDArray[Any], scale: NDArray[Any], *zero: NDArray[Any]) -> NDArray[np.float32]:
    attributes = {a.name: a.i for a in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    zero_point = zero[0] if zero else np.zeros_like(scale, q.dtype)

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        if block:
            return np.repeat(values, block, axis=axis).take(range(q.shape[axis]), axis=axis)
        return values.reshape([-1 if i == axis % q.ndim else 1 for i in range(q.ndim)]) if values.ndim == 1 else values

    # The subtraction is exact in int32; one rounding, in the product, as ONNX Runtime does it.
    steps = (q.astype(np.int32) - spread(zero_point).astype(np.int32)).astype(np.float32)
    unfolded: NDArray[np.float32] = np.multiply(steps, spread(scale), dtype=np.float32)
    return unfolded
