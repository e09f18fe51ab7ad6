"""BatchNorm folded away before TensorRT sees the network, so that every weight of the engine has a name and is known
from the network's own: TensorRT's parser folds it too, into weights of names of its own that a refit by name misses.

A BatchNorm (scale g, shift b, mean m, variance v) behind a convolution or a linear layer with weight W and bias c is
the same layer with W' = s W and c' = s (c - m) + b, where s = g / sqrt(v + eps) a channel out. Elsewhere (before a
padded convolution it cannot be folded forward, as padding is zero) it becomes x s + (b - m s).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vcn_trt.backends.base import Array

Named = Mapping[str, Array]


@dataclass(frozen=True)
class Norm:
    """A BatchNorm by the names of its weights."""

    scale: str
    shift: str
    mean: str
    variance: str
    epsilon: float

    def factors(self, given: Named, xp: Any) -> tuple[Array, Array]:
        """s and b - m s, a number a channel."""
        s = given[self.scale] / xp.sqrt(given[self.variance] + np.float32(self.epsilon))
        return s, given[self.shift] - given[self.mean] * s

    @property
    def names(self) -> tuple[str, ...]:
        return self.scale, self.shift, self.mean, self.variance


@dataclass(frozen=True)
class Rule:
    """How one weight of the folded network comes from the original's. source: the weight that is taken, scaled by the
    norm's s a row (kind "weight"), or the bias, "" where there was none (kind "bias"). "scale" and "shift" are the
    norm's own. Without a norm the source is taken as it is."""

    shape: tuple[int, ...]
    source: str = ""
    norm: Norm | None = None
    kind: str = "weight"

    def __call__(self, given: Named, xp: Any) -> Array:
        if self.norm is None:
            return given[self.source].reshape(self.shape)
        scale, shift = self.norm.factors(given, xp)
        if self.kind == "weight":
            rows = (slice(None), *[None] * (len(self.shape) - 1))
            return given[self.source].reshape(self.shape) * scale[rows]
        if self.kind == "bias":
            return shift + (given[self.source] * scale if self.source else 0)
        return (scale if self.kind == "scale" else shift).reshape(self.shape)

    @property
    def sources(self) -> tuple[str, ...]:
        return (*([self.source] if self.source else []), *(self.norm.names if self.norm else ()))


@dataclass(frozen=True)
class Folded:
    """A network without BatchNorm. rules: of each of its float weights, by name."""

    model: onnx.ModelProto
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def weights(self, given: Named, xp: Any) -> dict[str, Array]:
        """The folded network's weights from the original's, float32 arrays of `xp`."""
        return {name: rule(given, xp) for name, rule in self.rules.items()}


def fold(model: onnx.ModelProto) -> Folded:
    """The network without BatchNorm; what goes in stays as it is. Weights that no BatchNorm touches keep name and
    value, slopes of PRelu lose the Unsqueeze before them."""
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    given = {i.name: numpy_helper.to_array(i) for i in graph.initializer if i.data_type == onnx.TensorProto.FLOAT}
    rules = {name: Rule(value.shape, name) for name, value in given.items()}
    _reshape_constants(graph, rules)
    ranks = _ranks(model)
    made_by = {n.output[0]: n for n in graph.node}
    used = Counter(i for n in graph.node for i in n.input) + Counter(o.name for o in graph.output)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "BatchNormalization" or not all(i in rules for i in node.input[1:5]):
            nodes.append(node)
            continue
        scale, shift, mean, variance = node.input[1:5]
        norm = Norm(scale, shift, mean, variance, _attribute(node, "epsilon", 1e-5))
        before = made_by.get(node.input[0])
        if before is not None and used[node.input[0]] == 1 and _takes_scale(before, rules, used):
            _into(before, norm, rules)
            before.output[0] = node.output[0]
        else:
            nodes += _spelt_out(node, norm, rules, ranks.get(node.input[0], 4))
    del graph.node[:]
    graph.node.extend(nodes)
    _keep_used(graph, rules)
    others = [i for i in graph.initializer if i.name not in rules]
    del graph.initializer[:]
    graph.initializer.extend(others)
    for name, value in Folded(folded, rules).weights(given, np).items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
    return Folded(folded, rules)


def _reshape_constants(graph: onnx.GraphProto, rules: dict[str, Rule]) -> None:
    """A weight that only an Unsqueeze by constant axes reads is kept in its shape behind it."""
    axes_of = {
        n.output[0]: numpy_helper.to_array(n.attribute[0].t).reshape(-1).tolist()
        for n in graph.node
        if n.op_type == "Constant" and n.attribute[0].name == "value"
    }
    used = Counter(i for n in graph.node for i in n.input)
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.node:
        name = node.input[0] if node.input else ""
        if node.op_type != "Unsqueeze" or name not in rules or used[name] > 1 or node.input[-1] not in axes_of:
            kept.append(node)
            continue
        axes = axes_of[node.input[1]]
        shape = np.expand_dims(np.empty(rules[name].shape, np.bool_), tuple(map(int, axes))).shape
        rules[name] = Rule(shape, name)
        renamed[node.output[0]] = name
    del graph.node[:]
    graph.node.extend(kept)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)


def _takes_scale(node: onnx.NodeProto, rules: Mapping[str, Rule], used: Mapping[str, int]) -> bool:
    """Whether a scale a channel out can go into this node's weights, which no other node reads."""
    weights = list(node.input[1:])
    if not weights or not all(w in rules and used[w] == 1 and rules[w].norm is None for w in weights):
        return False
    if node.op_type == "Gemm":
        plain = all(_attribute(node, key, 1.0) == 1.0 for key in ("alpha", "beta"))
        return plain and _attribute(node, "transB", 0) == 1 and len(rules[weights[-1]].shape) in (1, 2)
    return bool(node.op_type == "Conv")


def _into(node: onnx.NodeProto, norm: Norm, rules: dict[str, Rule]) -> None:
    weight = node.input[1]
    rules[weight] = Rule(rules[weight].shape, weight, norm)
    bias = node.input[2] if len(node.input) > 2 else ""
    name = bias or f"{weight.removesuffix('.weight')}.bias"
    rules[name] = Rule((rules[weight].shape[0],), bias, norm, "bias")
    if not bias:
        node.input.append(name)


def _spelt_out(node: onnx.NodeProto, norm: Norm, rules: dict[str, Rule], rank: int) -> list[onnx.NodeProto]:
    base, middle = norm.scale.removesuffix(".weight"), f"{node.output[0]}/scaled"
    channels = math.prod(rules[norm.scale].shape)
    shape = (channels, *[1] * (rank - 2))
    rules[f"{base}.scale"] = Rule(shape, norm=norm, kind="scale")
    rules[f"{base}.shift"] = Rule(shape, norm=norm, kind="shift")
    return [
        helper.make_node("Mul", [node.input[0], f"{base}.scale"], [middle]),
        helper.make_node("Add", [middle, f"{base}.shift"], [node.output[0]]),
    ]


def _keep_used(graph: onnx.GraphProto, rules: dict[str, Rule]) -> None:
    """Drop weights that only BatchNorms read, and constants that nothing reads."""
    used = {i for n in graph.node for i in n.input} | {o.name for o in graph.output}
    weights = [i for i in graph.initializer if i.name in used]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    for name in [name for name in rules if name not in used]:
        del rules[name]
    kept = [n for n in graph.node if n.op_type != "Constant" or n.output[0] in used]
    del graph.node[:]
    graph.node.extend(kept)


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = [*graph.value_info, *graph.output, *graph.input]
    return {v.name: len(v.type.tensor_type.shape.dim) for v in known if v.type.tensor_type.HasField("shape")}


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
