"""The face-ID bases by name or by path, as torch modules with their weights in, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch, weights
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.iresnet import IResNet
from vcn_trt.zoo.manifest import Manifest
from vcn_trt.zoo.mobilefacenet import MobileFaceNet
from vcn_trt.zoo.resnet50 import VGGFace2
from vcn_trt.zoo.sface import SFace
from vcn_trt.zoo.vit import VisionTransformer

# How each architecture is made, and the names that its published checkpoints use.
_ARCHITECTURES: dict[str, tuple[Callable[[float], FaceBase], weights.Rename | None]] = {
    "sface": (SFace, None),
    "mobilefacenet": (MobileFaceNet, None),
    "iresnet100": (lambda dropout: IResNet(dropout=dropout), IResNet.rename),
    "ir101": (lambda dropout: IResNet(adaface=True, dropout=dropout), IResNet.rename_adaface),
    "resnet50_caffe": (VGGFace2, VGGFace2.rename),
    "vit_b16": (lambda dropout: VisionTransformer(dropout=dropout), VisionTransformer.rename),
}


def load_base(name_or_path: str | Path) -> FaceBase:
    """A base with its weights, in eval mode, on the CPU; `.manifest` holds its conventions.

    "sface" takes the fetched weights; "arcface_r100=my.onnx" another file for that architecture (ONNX, TensorFlow Lite,
    safetensors, a torch state_dict); a path alone does where the file is known by name or sha256. Raises ModelError.
    """
    manifest, path = fetch.resolve(name_or_path)
    base = build(manifest)
    weights.load_into(base, path, _ARCHITECTURES[manifest.architecture][1])
    return base


def build(manifest: Manifest) -> FaceBase:
    """The architecture of a manifest with random weights, in eval mode."""
    if manifest.kind != "base":
        raise ModelError(f"{manifest.name} is a {manifest.kind}: expected a face-ID base")
    if manifest.architecture not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise ModelError(f"{manifest.name} asks for the architecture {manifest.architecture!r}; known are {known}")
    base = _ARCHITECTURES[manifest.architecture][0](manifest.dropout)
    base.manifest = manifest
    return base.eval()
