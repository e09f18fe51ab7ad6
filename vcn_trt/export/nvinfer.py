"""A configuration of DeepStream's Gst-nvinfer for one of our networks, written from its manifest, so that a DeepStream
pipeline can take it. The keys are those of NVIDIA's property parser; no DeepStream has read the files.

nvinfer computes net-scale-factor * (x - offsets[c]) with one factor for all planes, resizes with black bars, and cuts
boxes out upright. So it cannot express: a standard deviation a plane; bars of what is 0 after the mean is off, as our
letterbox has them (a face at a bar may score otherwise); and the warp by five landmarks that a face-ID base needs. A
base therefore takes its tensors from the metadata (`input-tensor-from-meta`): Gst-nvdspreprocess or a user's own
element prepares them.
"""

from __future__ import annotations

import re
from pathlib import Path

import onnx

from vcn_trt.errors import ModelError, UsageError
from vcn_trt.zoo import fetch
from vcn_trt.zoo.bases import load_base
from vcn_trt.zoo.export import cached_onnx
from vcn_trt.zoo.manifest import Manifest

OTHER = 100
"""network-type of a network whose outputs nvinfer does not parse: they come as NvDsInferTensorMeta."""

HALF = 2
"""network-mode: the precision in which nvinfer builds an engine where it is given none."""


def config(
    manifest: Manifest,
    network: Path,
    *,
    engine: Path | None = None,
    batch: int = 1,
    size: tuple[int, int] = (640, 384),
    unique_id: int = 1,
) -> str:
    """The text of the file. network: its ONNX file; engine: a TensorRT plan of it, else nvinfer builds one beside the
    ONNX file. size: width and height that a detector sees, multiples of 32, of the film's aspect. unique_id: this
    element's among those of the pipeline.

    Raises UsageError for a size or batch that the network does not take, ModelError where nvinfer cannot prepare its
    input.
    """
    detects = manifest.kind == "detector"
    width, height = size if detects else (manifest.input_size, manifest.input_size)
    if detects and (width % 32 or height % 32 or min(size) < 32):
        raise UsageError(f"a detector's width and height must be multiples of 32; found {width}x{height}")
    if batch < 1 or (batch > 1 and manifest.architecture == "scrfd"):
        raise UsageError(f"{manifest.title} takes batches of 1{'' if batch > 1 else ' or more'}; found {batch}")
    if detects and manifest.std != (1.0, 1.0, 1.0):
        raise ModelError(
            f"{manifest.title} divides its planes by {manifest.std}; nvinfer has one factor for all: prepare its input "
            "by Gst-nvdspreprocess"
        )
    keys: dict[str, object] = {
        "gpu-id": 0,
        "gie-unique-id": unique_id,
        "onnx-file": network.resolve(),  # else they are taken from the file's own folder
        **({"model-engine-file": engine.resolve()} if engine else {}),
        "batch-size": batch,
        "infer-dims": f"3;{height};{width}",
        "network-mode": HALF,
        "network-type": OTHER,
        "output-tensor-meta": 1,
        "output-blob-names": ";".join(_outputs(network)),
    }
    if detects:
        keys |= {
            "process-mode": 1,
            "model-color-format": 0 if manifest.rgb else 1,
            "net-scale-factor": f"{manifest.scale:.10g}",
            "offsets": ";".join(f"{m:.10g}" for m in manifest.mean),
            "maintain-aspect-ratio": 1,
            "symmetric-padding": 0,
        }
    else:
        keys["input-tensor-from-meta"] = 1
    lines = [f"# {manifest.title} ({manifest.licence}), written by vcn-trt.", *_notes(manifest), "[property]"]
    return "\n".join([*lines, *(f"{key}={value}" for key, value in keys.items())]) + "\n"


def network_of(name_or_path: str) -> tuple[Manifest, Path]:
    """A model's manifest and ONNX file: a detector's weights are one, a base is exported."""
    manifest, path = fetch.resolve(name_or_path)
    return manifest, path if manifest.kind == "detector" else cached_onnx(load_base(name_or_path))


def size_of(text: str) -> tuple[int, int]:
    """Width and height of "640x384". Raises UsageError."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise UsageError(f"a size is WIDTHxHEIGHT in pixels, for example 640x384; found {text!r}")
    return int(match[1]), int(match[2])


def _notes(manifest: Manifest) -> list[str]:
    if manifest.kind == "detector":
        return [
            "# Boxes, scores and landmarks come as tensors (NvDsInferTensorMeta), to be decoded and suppressed.",
            "# The bars beside the picture are black here and 0 after the mean is off in vcn-trt.",
        ]
    planes = "RGB" if manifest.rgb else "BGR"
    return [
        "# Its tensors come from upstream (Gst-nvdspreprocess): faces warped by five landmarks to the ArcFace",
        f"# template, {manifest.input_size}x{manifest.input_size} {planes} planes, (x - mean) * scale / std with",
        f"# mean {manifest.mean}, scale {manifest.scale:g}, std {manifest.std}.",
        "# Upright boxes, as nvinfer cuts them, give vectors of another kind.",
    ]


def _outputs(network: Path) -> list[str]:
    try:
        return [output.name for output in onnx.load(str(network), load_external_data=False).graph.output]
    except Exception as error:  # onnx and protobuf raise what they like
        raise ModelError(f"{network} is no ONNX file that can be read ({error}): give the network's") from error
