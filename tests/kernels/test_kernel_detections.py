"""The kernels of the detector's outputs, held to the CPU column: the same faces, in the same order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt.backends.base import RawFaces
from vcn_trt.backends.cpu.ops import CpuOps
from vcn_trt.backends.cuda.kernels import launch
from vcn_trt.backends.cuda.ops import CudaOps

sizes = st.integers(1, 140)
scores = st.sampled_from([-1.0, 0.3, 0.95, 1.0])  # all, some, few, none


def anchors(height: int, width: int) -> list[int]:
    return [2 * math.ceil(height / s) * math.ceil(width / s) for s in (8, 16, 32)]


def assert_same(found: list[RawFaces], expected: list[RawFaces]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=2e-6, atol=2e-4)
        np.testing.assert_allclose(one.landmarks, other.landmarks, rtol=2e-6, atol=2e-4)
        assert [a.dtype for a in one] == [np.float32] * 3
        assert [a.shape for a in one] == [a.shape for a in other]


@settings(max_examples=25)
@given(n=st.integers(1, 3), height=sizes, width=sizes, score=scores, seed=st.integers(0, 99))
def test_retinaface_gives_the_faces_of_the_cpu(
    ops: CudaOps, n: int, height: int, width: int, score: float, seed: int
) -> None:
    rng, a = np.random.default_rng(seed), sum(anchors(height, width))
    outputs = [rng.normal(size=(n, a, k)).astype(np.float32) for k in (4, 2, 10)]
    outputs[1] = rng.random((n, a, 2)).astype(np.float32)
    args = outputs, (height, width), 0.37, score
    assert_same(ops.retinaface_faces(*args), CpuOps().retinaface_faces(*args))


@settings(max_examples=15)
@given(n=st.integers(1, 3), height=sizes, width=sizes, score=scores, seed=st.integers(0, 99))
def test_scrfd_gives_the_faces_of_the_cpu(
    ops: CudaOps, n: int, height: int, width: int, score: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    outputs = [rng.random((n, a, k)).astype(np.float32) for a in anchors(height, width) for k in (4, 1, 10)]
    args = outputs, (height, width), 1.7, score
    assert_same(ops.scrfd_faces(*args), CpuOps().scrfd_faces(*args))


def test_outputs_of_another_input_size_are_refused(ops: CudaOps) -> None:
    outputs = [np.zeros((1, 42, k), np.float32) for k in (4, 2, 10)]  # of 32x32
    with pytest.raises(ValueError, match="an input of 64x32 has 84 anchors, found 42"):
        ops.retinaface_faces(outputs, (64, 32), 1.0, 0.5)
    with pytest.raises(ValueError, match=r"has \[64, 16, 4\] anchors"):
        ops.scrfd_faces([np.zeros((1, 2, k), np.float32) for _ in range(3) for k in (4, 1, 10)], (64, 32), 1.0, 0.5)


def crowd(n: int, seed: int) -> RawFaces:
    """Boxes on a coarse grid: many ties of scores, and of overlaps with the threshold. Some are empty."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 12, (n, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 9, (n, 2))], 1).astype(np.float32)
    return RawFaces(boxes, (rng.integers(0, 6, n) / 5).astype(np.float32), np.zeros((n, 5, 2), np.float32))


@settings(max_examples=40)
@given(n=st.integers(0, 60), seed=st.integers(0, 9999), threshold=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]))
def test_nms_keeps_what_the_cpu_keeps(ops: CudaOps, n: int, seed: int, threshold: float) -> None:
    faces = crowd(n, seed)
    assert ops.nms(faces, threshold).tolist() == CpuOps().nms(faces, threshold).tolist()


def test_nms_of_more_boxes_than_threads(ops: CudaOps) -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 300, (700, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (700, 2))], 1).astype(np.float32)
    faces = RawFaces(boxes, rng.random(700).astype(np.float32), np.zeros((700, 5, 2), np.float32))
    kept = CpuOps().nms(faces, 0.3)
    assert 256 < len(kept) < 700
    assert ops.nms(faces, 0.3).tolist() == kept.tolist()


def test_frames_are_suppressed_each_for_itself_in_one_launch(ops: CudaOps) -> None:
    crowds = [crowd(n, n) for n in (7, 0, 1, 19)]
    crowds = [RawFaces(*(a[np.argsort(-c.scores, kind="stable")] for a in c)) for c in crowds]
    boxes = np.concatenate([c.boxes for c in crowds])
    keep = np.full(len(boxes), 7, np.uint8)
    offsets = np.cumsum([0, *(len(c.boxes) for c in crowds)])
    launch(ops.device, "nms", (4,), (32,), boxes=boxes, offsets=offsets, threshold=0.3, keep=keep)
    for c, a, b in zip(crowds, offsets, offsets[1:], strict=False):
        assert np.flatnonzero(keep[a:b]).tolist() == sorted(CpuOps().nms(c, 0.3).tolist())
