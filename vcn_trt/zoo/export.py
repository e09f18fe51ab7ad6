"""A base as an ONNX file: dynamic batch, outputs `embedding` and `features`, initialisers named as in its state_dict,
so that adapted weights are refitted by name (ONNX Runtime, TensorRT)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch
from vcn_trt.zoo.base import Both, FaceBase
from vcn_trt.zoo.manifest import CONVENTIONS

OPSET = 17
"""The newest that TensorRT 8.6 parses; 10 and 11 and ONNX Runtime take it too."""

_VERSION = "2"


def export_onnx(base: FaceBase, path: Path) -> Path:
    """Write a base, in eval mode, to `path`, whole or not at all. Input `input` (n, 3, size, size) float32, prepared
    crops; outputs `embedding` (n, dim) and `features` (n, ...)."""
    size = base.manifest.input_size
    example = torch.zeros(2, 3, size, size, device=next(base.parameters()).device)
    was_training = base.training
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            part = Path(folder) / path.name
            _trace(Both(base.eval()), example, part)
            model = onnx.load(part)
            _fold_constants(model)
            _name_as_state_dict(model, base)
            onnx.helper.set_model_props(model, {CONVENTIONS: _conventions(base)})
            onnx.checker.check_model(model)
            onnx.save(model, part)
            os.replace(part, path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        base.train(was_training)
    return path


def cached_onnx(base: FaceBase) -> Path:
    """The export of exactly these weights under $VCN_HOME/exports, written once."""
    path = fetch.home() / "exports" / f"{base.manifest.name}-{content_hash(base)[:16]}.onnx"
    return path if path.is_file() else export_onnx(base, path)


def content_hash(base: FaceBase) -> str:
    """sha256 over the architecture, the export's version and every tensor: the key under which an export is kept."""
    digest = hashlib.sha256(f"{base.manifest.architecture} {OPSET} {_VERSION}".encode())
    for name, tensor in base.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _conventions(base: FaceBase) -> str:
    m = base.manifest
    return json.dumps({"network": m.name, "rgb": m.rgb, "mean": m.mean, "scale": m.scale, "std": m.std})


def _trace(module: nn.Module, example: Tensor, path: Path) -> None:
    # The classic exporter: it needs no further package, writes an opset that every TensorRT here parses, and keeps
    # each parameter under its name as long as it neither folds constants nor (PRESERVE) BatchNorm. torch deprecates
    # it in favour of one that starts at opset 18.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1")  # _fold_constants does it
        torch.onnx.export(
            module,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["embedding", "features"],
            dynamic_axes={name: {0: "batch"} for name in ("input", "embedding", "features")},
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )


def _fold_constants(model: onnx.ModelProto) -> None:
    """Compute the nodes that depend on no input and no weight (paddings and shapes, as the tracer spells them out)."""
    known = {n.output[0]: n for n in model.graph.node if n.op_type == "Constant"}
    kept = []
    for node in model.graph.node:
        inputs = [i for i in node.input if i]
        if node.op_type != "Constant" and inputs and all(i in known for i in inputs):
            value = ReferenceEvaluator(_alone([*(known[i] for i in dict.fromkeys(inputs)), node])).run(None, {})[0]
            tensor = numpy_helper.from_array(np.asarray(value), node.output[0])
            node = onnx.helper.make_node("Constant", [], [node.output[0]], value=tensor)
            known[node.output[0]] = node
        kept.append(node)
    used = {i for n in kept for i in n.input} | {o.name for o in model.graph.output}
    del model.graph.node[:]
    model.graph.node.extend(n for n in kept if n.op_type != "Constant" or n.output[0] in used)


def _alone(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """The nodes as a model without inputs that gives the last one's output."""
    output = onnx.helper.make_empty_tensor_value_info(nodes[-1].output[0])
    graph = onnx.helper.make_graph(nodes, "constants", [], [output])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])


def _name_as_state_dict(model: onnx.ModelProto, base: FaceBase) -> None:
    """Drop the wrapper's prefix from the initialisers and hold their names to the state_dict's."""
    for initialiser in model.graph.initializer:
        initialiser.name = initialiser.name.removeprefix("base.")
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = name.removeprefix("base.")
    ours = {k for k in base.state_dict() if not k.endswith("num_batches_tracked")}
    found = {i.name for i in model.graph.initializer}
    if not ours <= found:
        raise ModelError(
            f"the export lost the names of {len(ours - found)} weights, the first {sorted(ours - found)[0]}"
        )
