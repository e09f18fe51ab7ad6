"""A network in half precision, as strongly typed TensorRT (11, RTX) wants it: decided in the graph, not by a flag.

Inputs and outputs stay float32, so callers do not change. Sums over many numbers, exponentials and norms stay float32
too, with a Cast on either side: a softmax, a layer norm or the length of a vector lose more than they cost.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vcn_trt.errors import ModelError

FULL = {
    *("Softmax", "LogSoftmax", "LayerNormalization", "InstanceNormalization", "BatchNormalization", "LpNormalization"),
    *("ReduceMean", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "GlobalAveragePool"),
    *("Pow", "Exp", "Log", "Sqrt", "Reciprocal", "Div", "Erf", "Range"),
}
"""Operators that compute in float32. GlobalAveragePool sums a whole map; Div and Sqrt are what normalising ends in."""

_PARAMETERS = {"Resize": (1, 2), "Upsample": (1,)}
"""Inputs that are float32 in any precision: regions and scales, which are no data."""

LARGEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with half weights and half values between its layers; names stay. The given one is not changed.

    Raises ModelError where a weight is too large for half precision."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    types = _types(model)
    weights = {i.name: i for i in graph.initializer if i.data_type == TensorProto.FLOAT}
    constants = {n.output[0]: n for n in graph.node if _float_constant(n)}
    is_half: set[str] = set()
    casts: dict[tuple[str, bool], str] = {}
    nodes: list[onnx.NodeProto] = []

    def as_type(name: str, wanted: bool) -> str:
        """The name of a float value in half (wanted) or float32, behind a Cast where it is the other."""
        if types.get(name) != TensorProto.FLOAT or (name in is_half) == wanted:
            return name
        if (name, wanted) not in casts:
            casts[name, wanted] = f"{name}/{'half' if wanted else 'float'}"
            to = TensorProto.FLOAT16 if wanted else TensorProto.FLOAT
            nodes.append(helper.make_node("Cast", [name], [casts[name, wanted]], to=to))
        return casts[name, wanted]

    halved = _read_as_half(graph.node, set(weights) | set(constants))
    for name in sorted(halved & set(weights)):
        weights[name].CopyFrom(_halved(weights[name], name))
    is_half |= halved
    outputs = {o.name for o in graph.output}
    for node in graph.node:
        if node.output[0] in constants:
            if node.output[0] in halved:
                node.attribute[0].t.CopyFrom(_halved(node.attribute[0].t, node.output[0]))
            nodes.append(node)
            continue
        full = _stays_full(node)
        for i, name in enumerate(node.input):
            node.input[i] = as_type(name, not full and i not in _PARAMETERS.get(node.op_type, ()))
        nodes.append(node)
        if full:
            continue
        for i, name in enumerate(node.output):
            if types.get(name) != TensorProto.FLOAT:
                continue
            if name not in outputs:
                is_half.add(name)
                continue
            # The output keeps its name and its type; what reads it inside takes the value before the Cast.
            casts[name, True] = node.output[i] = f"{name}/half"
            nodes.append(helper.make_node("Cast", [casts[name, True]], [name], to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return half


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    return known | {i.name: i.data_type for i in graph.initializer}


def _float_constant(node: onnx.NodeProto) -> bool:
    first = node.attribute[0] if node.op_type == "Constant" else None
    return first is not None and first.name == "value" and bool(first.t.data_type == TensorProto.FLOAT)


def _stays_full(node: onnx.NodeProto) -> bool:
    # A Cast or a ConstantOfShape says itself of what type it is.
    return node.op_type in FULL or node.op_type in ("Cast", "ConstantOfShape", "Constant")


def _read_as_half(nodes: Iterable[onnx.NodeProto], constants: set[str]) -> set[str]:
    """The constants that are stored in half: all readers want them so. What others read stays float32."""
    half: set[str] = set()
    full: set[str] = set()
    for node in nodes:
        for i, name in enumerate(node.input):
            if name in constants:
                parameter = i in _PARAMETERS.get(node.op_type, ())
                (full if _stays_full(node) or parameter else half).add(name)
    return half - full


def _halved(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if largest > LARGEST:
        raise ModelError(
            f"weight {name} reaches {largest:g}, half precision ends at {LARGEST:g}; build with --precision float32"
        )
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)
