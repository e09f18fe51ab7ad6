"""Engines that run: buckets, splitting, fixed addresses and graphs, threads, too little memory, what does not fit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from engine_networks import linear, saved
from fake_bindings import VERSIONS, Script
from fake_card import FakeCard
from onnx import TensorProto, helper

from vcn_trt.backends.cuda.network import TensorrtNetwork
from vcn_trt.engine import runner
from vcn_trt.errors import DeviceError, ModelError

W = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return linear(tmp_path / "net.onnx", W)


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """y = 2 x, of pictures of any size."""
    sizes = ["n", 3, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)],
    )
    return saved(graph, tmp_path / "double.onnx")


@pytest.mark.parametrize("version", VERSIONS)
def test_batches_are_padded_to_buckets_and_large_ones_split(host, net: Path, version: str) -> None:
    script = Script()
    network = TensorrtNetwork(net, host(version, script))
    for n, executed in [(1, [1]), (3, [4]), (4, [4]), (5, [16]), (128, [128]), (300, [128, 128, 64]), (129, [128, 1])]:
        network({"x": rows(n)})
        script.executed.clear()
        found = network({"x": rows(n)})["y"]
        np.testing.assert_allclose(found, rows(n) @ W, atol=1e-2)
        assert [shapes[0][0] for shapes in script.executed] == executed


def test_no_rows_give_no_rows(host, net: Path) -> None:
    assert TensorrtNetwork(net, host())({"x": rows(0)})["y"].shape == (0, 5)


def test_an_answer_is_not_overwritten_by_the_next(host, net: Path) -> None:
    network = TensorrtNetwork(net, host())
    first = network({"x": rows(3)})["y"]
    kept = first.copy()
    network({"x": -rows(3)})
    np.testing.assert_array_equal(first, kept)


def test_each_bucket_runs_as_one_graph_after_one_execution_by_hand(host, net: Path) -> None:
    card, script = FakeCard(), Script()
    network = TensorrtNetwork(net, host(script=script, card=card))
    card.launches, script.contexts = 0, 0
    script.executed.clear()
    for _ in range(3):
        network({"x": rows(2)})
    assert (card.launches, len(script.executed), script.contexts) == (3, 4, 1)


def test_where_nothing_can_be_captured_it_runs_all_the_same_and_that_is_said(host, said: list[str], net: Path) -> None:
    network = TensorrtNetwork(net, host(card=FakeCard(captures=False)))
    np.testing.assert_allclose(network({"x": rows(3)})["y"], rows(3) @ W, atol=1e-2)
    assert "net.onnx runs without a CUDA graph, a little slower: cudaErrorStreamCaptureUnsupported" in said
    network = TensorrtNetwork(net, host(script=Script(fails={"capture"})))
    np.testing.assert_allclose(network({"x": rows(3)})["y"], rows(3) @ W, atol=1e-2)
    assert "net.onnx runs without a CUDA graph, a little slower: TensorRT cannot run net.onnx" in said[-1]


def test_threads_get_their_own_answers(host, net: Path) -> None:
    network = TensorrtNetwork(net, host())
    with ThreadPoolExecutor(8) as pool:
        for n, found in zip(range(1, 60), pool.map(lambda n: network({"x": rows(n)})["y"], range(1, 60)), strict=True):
            np.testing.assert_allclose(found, rows(n) @ W, atol=1e-2)


def test_pictures_of_several_sizes_have_their_own_lanes_but_not_for_ever(
    host, doubling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LANES", 2)
    script = Script()
    network = TensorrtNetwork(doubling, host(script=script))
    script.contexts = 0
    for width, made in [(64, 1), (96, 2), (64, 2), (128, 3), (64, 3), (96, 4)]:
        x = np.random.default_rng(width).normal(size=(3, 3, 32, width)).astype(np.float32)
        np.testing.assert_allclose(network({"x": x})["y"], 2 * x, rtol=2e-3)
        assert script.contexts == made


def test_too_little_memory_halves_the_batch_and_goes_on(host, said: list[str], net: Path) -> None:
    script = Script()
    network = TensorrtNetwork(net, host(script=script, card=FakeCard(memory=16 * 5 * 4)))
    said.clear()
    found = network({"x": rows(128)})["y"]
    np.testing.assert_allclose(found, rows(128) @ W, atol=1e-2)
    assert said == [f"The card's memory is short: net.onnx goes on in batches of {n}" for n in (64, 16)]
    script.executed.clear()
    network({"x": rows(40)})
    assert [shapes[0][0] for shapes in script.executed] == [16, 16, 16]


def test_a_network_of_one_picture_a_call_runs_as_it_is(host, tmp_path: Path) -> None:
    sizes = [1, 3, "h", "w"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", values[:1], values[1:])
    path = saved(graph, tmp_path / "single.onnx")
    network = TensorrtNetwork(path, host())
    assert network.facts["recipe"]["name"] == "detector_single"
    x = np.random.default_rng(0).normal(size=(1, 3, 32, 64)).astype(np.float32)
    np.testing.assert_allclose(network({"x": x})["y"], 2 * x, rtol=2e-3)
    with pytest.raises(ModelError, match=r"is \(2, 3, 32, 64\), and its engine takes \(1, 3, 32, 32\) to"):
        network({"x": np.concatenate([x, x])})
    with pytest.raises(DeviceError, match=r"too small for single.onnx even in batches of 1"):
        TensorrtNetwork(path, host(card=FakeCard(memory=8)))({"x": x})


def test_no_memory_at_all_is_an_error(host, net: Path) -> None:
    with pytest.raises(DeviceError, match=r"too small for net.onnx even in batches of 1: see with `nvidia-smi`"):
        TensorrtNetwork(net, host(card=FakeCard(memory=8)))


def test_what_the_engine_does_not_take_is_refused_with_what_to_change(host, net: Path, doubling: Path) -> None:
    network = TensorrtNetwork(net, host())
    with pytest.raises(ModelError, match=r"net.onnx takes x; found input"):
        network({"input": rows(2)})
    with pytest.raises(ModelError, match=r"input 'x' of net.onnx is \(2, 3\), and its engine takes \(1, 4\) to"):
        network({"x": rows(2)[:, :3]})
    pictures = TensorrtNetwork(doubling, host())
    with pytest.raises(ModelError, match=r"takes .* to \(16, 3, 1280, 1280\): copy the recipe detector to \$VCN_HOME/"):
        pictures({"x": np.zeros((1, 3, 32, 1312), np.float32)})
