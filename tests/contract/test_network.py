"""What every column's Network must do. A further backend adds its name to BACKENDS and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vcn_trt import backends
from vcn_trt.backends.base import Backend
from vcn_trt.errors import ModelError

BACKENDS = ["cpu"]
WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(params=BACKENDS, scope="module")
def backend(request: pytest.FixtureRequest) -> Backend:
    return backends.open(request.param)


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """y = x W, z = 2 y."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Add", ["y", "y"], ["z"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("y", "z")],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    path = tmp_path / "linear.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_outputs_come_by_name_for_any_batch(backend: Backend, linear: Path) -> None:
    network = backend.open_network(linear)
    assert list(network.input_names) == ["x"]
    assert list(network.output_names) == ["y", "z"]
    for n in (1, 5):
        x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
        found = network({"x": x})
        np.testing.assert_allclose(backend.ops.to_numpy(found["y"]), x @ WEIGHT, rtol=1e-5)
        np.testing.assert_allclose(backend.ops.to_numpy(found["z"]), 2 * x @ WEIGHT, rtol=1e-5)


def test_calls_may_overlap(backend: Backend, linear: Path) -> None:
    network = backend.open_network(linear)
    inputs = [np.full((2, 3), i, np.float32) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for x, found in zip(inputs, pool.map(lambda x: network({"x": x}), inputs), strict=True):
            np.testing.assert_allclose(backend.ops.to_numpy(found["y"]), x @ WEIGHT, rtol=1e-5)


def test_refit_replaces_weights_by_name(backend: Backend, linear: Path) -> None:
    network = backend.open_network(linear)
    x = np.eye(3, dtype=np.float32)
    network.refit({"w": -WEIGHT})
    np.testing.assert_allclose(backend.ops.to_numpy(network({"x": x})["y"]), -WEIGHT)


def test_refit_refuses_an_unknown_name_and_another_shape(backend: Backend, linear: Path) -> None:
    network = backend.open_network(linear)
    with pytest.raises(ModelError, match="no weight 'v'"):
        network.refit({"v": WEIGHT})
    with pytest.raises(ModelError, match=r"shape \(3, 4\), the refit brings \(4, 3\)"):
        network.refit({"w": WEIGHT.T})
    np.testing.assert_allclose(backend.ops.to_numpy(network({"x": np.eye(3, dtype=np.float32)})["y"]), WEIGHT)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07"])
def test_what_is_no_network_is_refused_by_name(backend: Backend, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx is not a network"):
        backend.open_network(path)


def test_a_missing_file_is_refused_by_name(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gone"):
        backend.open_network(tmp_path / "gone.onnx")
