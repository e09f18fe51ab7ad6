"""A network as TensorRT is to build it: the ONNX file, its recipe, and the graph that comes of both."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from vcn_trt.engine import recipe as recipes
from vcn_trt.engine.fold import Folded, fold
from vcn_trt.engine.half import to_half
from vcn_trt.engine.recipe import Precision, Recipe
from vcn_trt.errors import ModelError
from vcn_trt.zoo import initialisers

VERSION = "2"
"""Raise it when the same file and recipe give another graph: plans of the old one are then built anew."""


@dataclass(frozen=True, eq=False)
class Definition:
    """path: the ONNX file's. model: the network as it came. content: sha256 of the file."""

    path: Path
    model: onnx.ModelProto
    content: str
    recipe: Recipe

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def in_float32(self) -> str:
        """The command that builds it without half precision."""
        return f"`vcn engines build {shlex.quote(str(self.path))} --precision float32`"

    @cached_property
    def folded(self) -> Folded:
        return fold(self.model)

    @cached_property
    def graph(self) -> onnx.ModelProto:
        """What TensorRT parses: no BatchNorm, and half precision where the recipe says so. Raises ModelError."""
        return to_half(self.folded.model) if self.recipe.precision == "half" else self.folded.model

    @cached_property
    def structure(self) -> str:
        """sha256 of the graph without its weights' values: a plan of the same takes these weights by refit."""
        bare = onnx.ModelProto()
        bare.CopyFrom(self.graph)
        del bare.metadata_props[:]
        del bare.graph.initializer[:]
        for tensor in sorted(self.graph.graph.initializer, key=lambda t: t.name):
            if tensor.name in self.folded.rules:
                bare.graph.initializer.append(
                    onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
                )
            else:
                bare.graph.initializer.append(tensor)
        return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        """Of each weight of the graph that a refit can replace: float16 or float32."""
        types = {t.name: onnx.helper.tensor_dtype_to_np_dtype(t.data_type) for t in self.graph.graph.initializer}
        return {name: np.dtype(types[name]) for name in self.folded.rules}

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The network's own float weights by name, before folding."""
        return {
            t.name: numpy_helper.to_array(t)
            for t in self.model.graph.initializer
            if t.data_type == onnx.TensorProto.FLOAT
        }

    def at(self, precision: Precision) -> Definition:
        """The same network in another precision."""
        return replace(self, recipe=self.recipe.at(precision))

    def replaced(self, weights: Mapping[str, NDArray[np.generic]]) -> Definition:
        """The network with some weights replaced. Raises ModelError for an unknown name and for another shape."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        initialisers.replace(model, weights, self.name)
        return replace(self, model=model, content=hashlib.sha256(model.SerializeToString()).hexdigest())


def define(path: Path, precision: Precision | None = None) -> Definition:
    """The network in an ONNX file, under the recipe that fits it, in another precision than the recipe's where one is
    given. Raises ModelError where the file is missing or no network, and where no recipe fits."""
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
        if not model.graph.node:
            raise ValueError("the graph is empty")
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's own exception classes differ between its versions
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{path} is not a network that TensorRT can load ({said}); check the file with `vcn models verify`, or "
            "give another by path"
        ) from error
    # Older exports list their weights as inputs, too.
    weights = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    recipe = recipes.of(model, path)
    return Definition(path, model, hashlib.sha256(content).hexdigest(), recipe.at(precision or recipe.precision))
