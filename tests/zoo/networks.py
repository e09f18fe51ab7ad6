"""Small stand-ins and comparisons that the tests of the networks share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from vcn_trt.zoo import manifest
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.iresnet import IResNet
from vcn_trt.zoo.vit import VisionTransformer

TOLERANCE = 1e-4
"""On cosine and on outputs of order one, float32 across runtimes."""


def smooth_pictures(n: int, size: int = 112, seed: int = 0) -> NDArray[np.uint8]:
    """Random pictures with structure at the scale of a face's parts. (n, size, size, 3)"""
    coarse = torch.rand(n, 3, 9, 9, generator=torch.Generator().manual_seed(seed)) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row."""
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def session(model: Path | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def one_input(path: Path) -> bytes:
    """The graph with its picture as the only input: the published SFace file still lists its weights as inputs."""
    model = onnx.load(path)
    first = model.graph.input[0]
    del model.graph.input[:]
    model.graph.input.append(first)
    return bytes(model.SerializeToString())


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic away from its initial value, so that a misplaced one shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim <= 1:
            positive = "running_var" in name or ("weight" in name)
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + (0.75 if positive else -0.25))
    return network.eval()


def small_vit() -> VisionTransformer:
    """FaRL's form with four patches."""
    torch.manual_seed(0)
    network = VisionTransformer(image=32, patch=16, width=64, layers=2, heads=4, dim=24)
    network.manifest = replace(manifest.load("farl_b16"), input_size=32, dim=24)
    return network.eval()


def small_iresnet(adaface: bool) -> IResNet:
    """One block a stage."""
    torch.manual_seed(0)
    network = IResNet(adaface=adaface, depths=(1, 2, 1, 1))
    network.manifest = manifest.load("adaface_r101" if adaface else "arcface_r100")
    randomised(network)
    return network


def embed(base: FaceBase, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        return np.asarray(base(torch.from_numpy(planes)))
