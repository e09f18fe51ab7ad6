"""What every column's Network must do. A further backend adds its name to TOLERANCES and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from columns import open_column
from fake_card import FakeCard
from fake_trt import FakeTrt
from onnx import TensorProto, helper, numpy_helper

from vcn_trt.backends.base import Backend
from vcn_trt.backends.cpu.decode import open_decoder
from vcn_trt.backends.cpu.ops import CpuOps
from vcn_trt.backends.cuda.network import TensorrtNetwork
from vcn_trt.engine.plans import Machine
from vcn_trt.engine.ready import Host
from vcn_trt.errors import ModelError

ENGINES = "engines on the CPU"
TOLERANCES = {"cpu": 1e-5, ENGINES: 4e-3, "cuda:0": 4e-3}
"""Of products of small numbers, as a part of the largest: float32, and half precision."""

BACKENDS = ["cpu", ENGINES, pytest.param("cuda:0", marks=pytest.mark.gpu)]
WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(params=BACKENDS, scope="module")
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCN_HOME", str(tmp_path_factory.mktemp("home")))  # engines of these networks are no use to anyone
        if request.param != ENGINES:
            yield open_column(request.param).backend
            return
        host = Host(FakeTrt(), FakeCard(), Machine("TensorRT 11.4.0.106", "Fake 9000", "9.0"), lambda sentence: None)
        yield Backend(ENGINES, "cpu", CpuOps(), open_decoder, lambda path: TensorrtNetwork(path, host))


def close(backend: Backend, found: Any, expected: Any) -> None:
    """Equal, within the tolerance of the column's precision."""
    tolerance = TOLERANCES[backend.name]
    np.testing.assert_allclose(
        backend.ops.to_numpy(found), expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()
    )


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
        close(backend, found["y"], x @ WEIGHT)
        close(backend, found["z"], 2 * x @ WEIGHT)


def test_calls_may_overlap(backend: Backend, linear: Path) -> None:
    network = backend.open_network(linear)
    inputs = [np.full((2, 3), i, np.float32) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for x, found in zip(inputs, pool.map(lambda x: network({"x": x}), inputs), strict=True):
            close(backend, found["y"], x @ WEIGHT)


def test_refit_replaces_weights_by_name(backend: Backend, linear: Path) -> None:
    network = backend.open_network(linear)
    x = np.eye(3, dtype=np.float32)
    network.refit({"w": -WEIGHT})
    close(backend, network({"x": x})["y"], -WEIGHT)


def test_refit_refuses_an_unknown_name_and_another_shape(backend: Backend, linear: Path) -> None:
    network = backend.open_network(linear)
    with pytest.raises(ModelError, match="no weight 'v'"):
        network.refit({"v": WEIGHT})
    with pytest.raises(ModelError, match=r"shape \(3, 4\), the refit brings \(4, 3\)"):
        network.refit({"w": WEIGHT.T})
    close(backend, network({"x": np.eye(3, dtype=np.float32)})["y"], WEIGHT)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07"])
def test_what_is_no_network_is_refused_by_name(backend: Backend, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx is not a network"):
        backend.open_network(path)


def test_a_missing_file_is_refused_by_name(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gone"):
        backend.open_network(tmp_path / "gone.onnx")
