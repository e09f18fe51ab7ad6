"""Small networks as ONNX files, and exports of the real bases with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from vcn_trt.zoo import bases, iresnet, manifest
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.export import export_onnx
from vcn_trt.zoo.iresnet import IResNet
from vcn_trt.zoo.vit import VisionTransformer


def linear(path: Path, weight: NDArray[np.float32]) -> Path:
    """y = x W, for any number of rows."""
    n, m = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", n])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", m])],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    return saved(graph, path)


def saved(graph: onnx.GraphProto, path: Path) -> Path:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


class Small(FaceBase):
    """The features of a convolution with all that is folded: BatchNorm behind it, before the next, and on a vector."""

    def __init__(self, side: int = 16) -> None:
        super().__init__()
        self.dim = 8
        self.manifest = replace(manifest.load("sface"), name="small", input_size=side, dim=8)
        self.conv = nn.Conv2d(3, 6, 3, 2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.prelu = nn.PReLU(6)
        self.bn_before = nn.BatchNorm2d(6)
        self.conv_biased = nn.Conv2d(6, 6, 3, padding=1)
        self.bn_behind = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(6 * (side // 2) ** 2, 8)
        self.fc_bn = nn.BatchNorm1d(8)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        y = self.prelu(self.bn(self.conv(x)))
        return y + self.bn_behind(self.conv_biased(self.bn_before(y)))

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc_bn(self.fc(self.dropout(features).flatten(1)))


def base_of(kind: str, seed: int = 0) -> FaceBase:
    """A base with random weights: small, sface, mobilefacenet, iresnet, adaface or vit, the last three small."""
    torch.manual_seed(seed)
    base: FaceBase
    if kind == "small":
        base = Small()
    elif kind == "vit":
        base = VisionTransformer(image=32, patch=16, width=64, layers=2, heads=4, dim=24)
        base.manifest = replace(manifest.load("farl_b16"), name="vit", input_size=32, dim=24)
    elif kind in ("iresnet", "adaface"):
        with mock.patch.object(iresnet, "_WIDTHS", (16, 16, 24, 24)):  # the layers are what counts, not their size
            base = IResNet(adaface=kind == "adaface", depths=(1, 2, 1, 1))
        base.manifest = manifest.load("adaface_r101" if kind == "adaface" else "arcface_r100")
    else:
        base = bases.build(manifest.load(kind))
    return changed(base, seed)


def changed(base: FaceBase, seed: int) -> FaceBase:
    """Every parameter and statistic moved, as a training would, in place."""
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, tensor in base.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.mul_(0.75 + 0.5 * noise) if "weight" in name or "var" in name else tensor.add_(noise * 0.2 - 0.1)
    return base.eval()


def exported(base: FaceBase, folder: Path, name: str = "base.onnx") -> Path:
    return export_onnx(base, folder / name)


def run(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """By ONNX Runtime, as it is."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(inputs)), strict=True))


def weights_of(base: FaceBase) -> dict[str, torch.Tensor]:
    return {k: v for k, v in base.state_dict().items() if not k.endswith("num_batches_tracked")}


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The lowest of the rows."""
    x, y = (v.reshape(len(v), -1).astype(np.float64) for v in (a, b))
    return float(((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)).min())
