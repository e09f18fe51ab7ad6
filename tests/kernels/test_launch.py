"""What a launch refuses, what the shim detects, and that Python and CUDA speak of the same parameters."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shim

from vcn_trt import assets
from vcn_trt.backends.cuda.frame import FRAME
from vcn_trt.backends.cuda.kernels import FRAME_BYTES, SHAPES, launch, parameters, source
from vcn_trt.backends.cuda.ops import CudaOps


def nms(ops: CudaOps, **other: Any) -> None:
    arguments = {
        "boxes": np.zeros((6, 4), np.float32),
        "offsets": np.array([0, 2, 6]),
        "threshold": 0.5,
        "keep": np.zeros(6, np.uint8),
    }
    launch(ops.device, "nms", (2,), (32,), **(arguments | other))


def test_every_kernel_has_its_shapes_and_every_shape_its_array() -> None:
    names = {p.stem for p in assets.folder("kernels").glob("*.cu")}
    assert names == set(SHAPES)
    for name in names:
        assert {p.name for p in parameters(name) if p.array} == set(SHAPES[name])
    assert FRAME.itemsize == FRAME_BYTES


def test_parameters_are_read_from_the_source() -> None:
    assert [(p.name, str(p.dtype), p.array) for p in parameters("nms")] == [
        ("boxes", "float32", True),
        ("offsets", "int64", True),
        ("threshold", "float32", False),
        ("keep", "uint8", True),
    ]


def test_a_source_is_whole_without_its_header() -> None:
    for name in SHAPES:
        assert "#include" not in source(name)
        assert "#pragma once" not in source(name)


@pytest.mark.parametrize(
    ("other", "error", "says"),
    [
        ({"boxes": np.zeros((6, 4))}, TypeError, "nms: boxes must be an array of float32, found float64"),
        ({"boxes": [[0.0] * 4] * 6}, TypeError, "found list"),
        ({"offsets": np.array([0, 2, 6], np.int32)}, TypeError, "offsets must be an array of int64, found int32"),
        ({"boxes": np.zeros((6, 5), np.float32)}, ValueError, r"must have the shape \(n, 4\), found \(6, 5\)"),
        ({"boxes": np.zeros(24, np.float32)}, ValueError, r"must have the shape \(n, 4\), found \(24,\)"),
        ({"keep": np.zeros(5, np.uint8)}, ValueError, r"keep must have the shape \(n\), found \(5,\); .*'n': 6"),
        ({"boxes": np.zeros((12, 4), np.float32)[::2]}, ValueError, r"must be contiguous, found .* strides \(32, 4\)"),
        ({"surplus": 1}, TypeError, "nms takes boxes, offsets, threshold, keep; found .* surplus"),
    ],
)
def test_a_wrong_argument_is_named(ops: CudaOps, other: dict[str, Any], error: type[Exception], says: str) -> None:
    nms(ops)
    with pytest.raises(error, match=says):
        nms(ops, **other)


def test_a_length_given_as_a_number_must_be_that_of_the_arrays(ops: CudaOps) -> None:
    out = np.zeros((1, 4, 5, 3), np.uint8)
    frames = np.zeros((1, FRAME_BYTES), np.uint8)
    with pytest.raises(ValueError, match=r"out must have the shape \(n, height, width, 3\), found \(1, 4, 5, 3\)"):
        launch(ops.device, "thumbnails", (1,), (1,), frames=frames, out=out, n=1, height=4, width=6)


def test_an_empty_grid_launches_nothing(ops: CudaOps) -> None:
    keep = np.full(6, 9, np.uint8)
    launch(
        ops.device,
        "nms",
        (0,),
        (32,),
        boxes=np.zeros((6, 4), np.float32),
        offsets=np.array([0]),
        threshold=1,
        keep=keep,
    )
    assert (keep == 9).all()


def run(tmp_path: Path, body: str, reversed: bool, threads: int = 64) -> np.ndarray:
    """A kernel `probe(float* out)` of one block."""
    if reason := shim.missing():
        pytest.skip(reason)
    (tmp_path / "probe.cu").write_text(f'extern "C" __global__ void probe(float* out) {{ {body} }}')
    out = np.zeros(threads, np.float32)
    pointer = ctypes.c_void_p(out.ctypes.data)
    addresses = (ctypes.c_void_p * 1)(ctypes.addressof(pointer))
    shim.run(shim.build(tmp_path / "probe.cu"), (1, 1, 1), (threads, 1, 1), addresses, reversed)
    return out


SHIFT = "__shared__ float s[64]; int t = threadIdx.x; s[t] = t; %s out[t] = s[(t + 1) %% 64]; %s"


@pytest.mark.parametrize("reversed", [False, True])
def test_the_shim_passes_values_between_threads(tmp_path: Path, reversed: bool) -> None:
    out = run(tmp_path, SHIFT % ("__syncthreads();", ""), reversed)
    assert out.tolist() == [*range(1, 64), 0]


def test_a_missing_barrier_shows_by_the_order_of_threads(tmp_path: Path) -> None:
    raced = SHIFT % ("", "__syncthreads();")
    assert run(tmp_path, raced, False).tolist() != run(tmp_path, raced, True).tolist()


def test_threads_that_part_at_a_barrier_are_found(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="some threads of a block ended"):
        run(tmp_path, "if (threadIdx.x < 3) __syncthreads(); out[threadIdx.x] = 1;", False)
