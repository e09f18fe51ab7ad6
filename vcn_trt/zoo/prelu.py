"""PReLU spelt out for ONNX Runtime's CPU kernels: its own PRelu took 80 % of SFace's time, because it is slow and
because every one sends the blocked layout of the convolutions there and back. Measured on one core: SFace 31 to 15 ms
a crop, MobileFaceNet 13 to 7 ms, the numbers equal to 1e-6 of their size."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

_ONE = "prelu/one"


def spell_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """Each PRelu with slope a as a x + (1 - a) max(x, 0), in place; -> the same model. Weights keep their names and the
    slopes their shapes, so a refit by name works before it and after it."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (x, slope), y = node.input, node.output[0]
        rest, positive, whole, added = (f"{y}/{part}" for part in ("rest", "positive", "whole", "added"))
        nodes += [
            helper.make_node("Sub", [_ONE, slope], [rest]),
            helper.make_node("Relu", [x], [positive]),
            helper.make_node("Mul", [x, slope], [whole]),
            helper.make_node("Mul", [positive, rest], [added]),
            helper.make_node("Add", [whole, added], [y]),
        ]
    if len(nodes) > len(model.graph.node):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1), _ONE))
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model
