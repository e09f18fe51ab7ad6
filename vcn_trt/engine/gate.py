"""The gate that every engine passes before it is used: against the network it was made of, run by ONNX Runtime in
float32 on the CPU, on a few drawn faces (`pictures`), and again on the footage once there is some. Vectors must have a
cosine of 0.999 or more, a detector's boxes must be within a pixel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from vcn_trt.backends.base import RawFaces
from vcn_trt.backends.cpu.ops import CpuOps
from vcn_trt.engine import pictures
from vcn_trt.engine.definition import Definition
from vcn_trt.zoo.manifest import CONVENTIONS
from vcn_trt.zoo.prelu import spell_out

COSINE = 0.999
PIXELS = 1.0
SCORES = 0.02
"""A score of a face may be off by so much."""

SURE, LEAST = 0.5, 8
"""Boxes that the network is sure of are held to its own, and so many of its best where it is sure of none."""

Run = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]

_RETINAFACE: dict[str, Any] = {"rgb": False, "mean": (104.0, 117.0, 123.0), "scale": 1.0, "std": (1.0, 1.0, 1.0)}
_USUAL: dict[str, Any] = {"rgb": True, "mean": (127.5,) * 3, "scale": 1 / 127.5, "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class Verdict:
    """cosine: the lowest of any output's rows, of networks that give vectors; pixels, scores: the largest difference
    of a box's edges and of a score, of detectors."""

    cosine: float | None = None
    pixels: float | None = None
    scores: float | None = None

    @property
    def passed(self) -> bool:
        # Written so that NaN fails.
        if self.cosine is not None:
            return self.cosine >= COSINE
        return self.pixels is not None and self.scores is not None and self.pixels <= PIXELS and self.scores <= SCORES

    def __str__(self) -> str:
        if self.cosine is not None:
            return f"cosine {self.cosine:.6f} to the network in float32, expected {COSINE} or more"
        return (
            f"boxes within {self.pixels:.2f} pixels and scores within {self.scores:.4f} of the network's in float32, "
            f"expected {PIXELS:g} and {SCORES:g}"
        )


def check(run: Run, definition: Definition, inputs: Mapping[str, NDArray[Any]] | None = None) -> Verdict:
    """Hold an engine's outputs to the network's on these inputs, drawn faces by default. run: named NumPy arrays in,
    named NumPy arrays out."""
    inputs = samples(definition) if inputs is None else inputs
    expected = reference(definition.model, inputs)
    found = run(inputs)
    return compare(found, expected, next(iter(inputs.values())).shape)


def reference(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the network itself says, by ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    ours = onnx.ModelProto()
    ours.CopyFrom(model)
    session = onnxruntime.InferenceSession(
        spell_out(ours).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(inputs)), strict=True))


def compare(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], shape: Sequence[int]) -> Verdict:
    """Outputs by name, for an input of `shape`."""
    theirs, ours = faces_of(found, shape), faces_of(expected, shape)
    if theirs is None or ours is None:
        return Verdict(cosine=float(np.min([_cosine(found[name], expected[name]) for name in expected])))
    pixels = scores = 0.0
    for a, b in zip(theirs, ours, strict=True):
        if len(a.scores) != len(b.scores):  # a NaN is no face
            return Verdict(pixels=np.nan, scores=np.nan)
        best = np.argsort(-b.scores, kind="stable")
        best = best[: max(LEAST, int((b.scores > SURE).sum()))]
        pixels = float(np.maximum(pixels, np.abs(a.boxes[best] - b.boxes[best]).max()))  # keeps NaN
        scores = float(np.maximum(scores, np.abs(a.scores - b.scores).max()))
    return Verdict(pixels=pixels, scores=scores)


def faces_of(outputs: Mapping[str, NDArray[Any]], shape: Sequence[int]) -> list[RawFaces] | None:
    """Every anchor of every frame as a face, where these are the outputs of RetinaFace or of SCRFD; else None."""
    arrays = [a if a.ndim == 3 else a[None] for a in outputs.values()]
    kinds = sorted(a.shape[-1] for a in arrays if a.ndim == 3)
    size = (int(shape[-2]), int(shape[-1]))

    def of(kind: int) -> list[NDArray[Any]]:
        """Those of so many numbers an anchor, the finest level first."""
        return sorted((a for a in arrays if a.shape[-1] == kind), key=lambda a: -a.shape[1])

    if kinds == [2, 4, 10]:
        return CpuOps().retinaface_faces([of(4)[0], of(2)[0], of(10)[0]], size, 1.0, -np.inf)
    if kinds == [1, 1, 1, 4, 4, 4, 10, 10, 10]:
        levels = zip(of(4), of(1), of(10), strict=True)
        return CpuOps().scrfd_faces([a for level in levels for a in level], size, 1.0, -np.inf)
    return None


def samples(definition: Definition) -> dict[str, NDArray[np.float32]]:
    """What an engine is tried on: drawn faces as the network wants them, or a fixed noise where its input is no
    picture."""
    first = definition.model.graph.input[0]
    smallest, _, largest = definition.recipe.shapes(_shape(first))
    if len(smallest) != 4 or smallest[1] != 3:
        rows = (min(pictures.FACES, largest[0]), *smallest[1:])
        return {first.name: np.random.default_rng(0).normal(size=rows).astype(np.float32)}
    if smallest[2:] == largest[2:]:
        height, width = largest[2:]
        shown = pictures.crops(min(pictures.FACES, largest[0]), min(height, width))
        shown = np.stack([cv2.resize(crop, (width, height)) for crop in shown])
    else:
        height, width = (int(np.clip(s, a, b)) for s, a, b in zip((384, 640), smallest[2:], largest[2:], strict=True))
        shown = np.stack([pictures.frame(width, height, i) for i in range(min(2, largest[0]))])
    return {first.name: prepared(shown, definition.model)}


def prepared(images: NDArray[np.uint8], model: onnx.ModelProto) -> NDArray[np.float32]:
    """Pictures (n, h, w, 3) RGB as the network wants them, (n, 3, h, w): as its export says, else as its kind usually
    does."""
    said = {p.key: p.value for p in model.metadata_props}.get(CONVENTIONS)
    how = json.loads(said) if said else _RETINAFACE if len(model.graph.output) == 3 else _USUAL
    planes = (images if how["rgb"] else images[..., ::-1]).astype(np.float32)
    values = (planes - np.array(how["mean"], np.float32)) * np.float32(how["scale"]) / np.array(how["std"], np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """-1 where it is free."""
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The lowest of the rows; 1 of two rows of zeros, NaN where anything is not finite."""
    x, y = (v.reshape(len(v), -1).astype(np.float64) for v in (a, b))
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    same = (x == y).all(1)
    return float(np.where(same, 1.0, (x * y).sum(1) / np.where(lengths > 0, lengths, np.nan)).min(initial=1.0))
