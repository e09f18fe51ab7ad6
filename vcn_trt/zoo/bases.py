"""The face-ID bases by name or by path, as torch modules with their weights in, ready to run."""

from __future__ import annotations

from pathlib import Path

from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch, weights
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.manifest import Manifest
from vcn_trt.zoo.sface import SFace


def load_base(name_or_path: str | Path) -> FaceBase:
    """A base with its weights, in eval mode, on the CPU; `.manifest` holds its conventions.

    "sface" takes the fetched weights; "arcface_r100=my.onnx" another file for that architecture (ONNX, safetensors, a
    torch state_dict); a path alone does where the file is known by name or sha256. Raises ModelError."""
    manifest, path = fetch.resolve(name_or_path)
    base, rename = build(manifest), None
    weights.load_into(base, path, rename)
    return base


def build(manifest: Manifest) -> FaceBase:
    """The architecture of a manifest with random weights, in eval mode."""
    if manifest.kind != "base":
        raise ModelError(f"{manifest.name} is a {manifest.kind}, expected a face-ID base")
    base = SFace(manifest.dropout)
    base.manifest = manifest
    return base.eval()
