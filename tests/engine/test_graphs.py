"""From an export to what TensorRT parses: BatchNorm folded, half precision, the same names for whatever weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from engine_networks import base_of, changed, cosine, exported, linear, run, saved, weights_of
from onnx import TensorProto, helper, numpy_helper

from vcn_trt.engine import gate
from vcn_trt.engine.definition import Definition, define
from vcn_trt.engine.fold import fold
from vcn_trt.engine.half import to_half
from vcn_trt.errors import ModelError
from vcn_trt.sample.sources import SOURCES, Footage
from vcn_trt.zoo.base import prepare
from vcn_trt.zoo.bases import load_base

ROUNDING = 1e-5
"""Of sums of float32 in another order, as a part of the largest number."""

Defined = Callable[[str], Definition]

BASES = ["small", "mobilefacenet", "iresnet", "adaface", "vit"]


@pytest.mark.parametrize("kind", BASES)
def test_folding_changes_no_number_and_half_precision_no_direction(definition_of: Defined, kind: str) -> None:
    d = definition_of(kind)
    folded, half = d.folded.model, d.graph
    inputs = gate.samples(d)
    expected, same, near = (run(model, inputs) for model in (d.model, folded, half))
    assert list(same) == list(near) == list(expected) == ["embedding", "features"]
    for name, value in expected.items():
        np.testing.assert_allclose(same[name], value, atol=ROUNDING * np.abs(value).max())
        assert cosine(near[name], value) >= gate.COSINE
        assert not np.array_equal(near[name], value)
    for model in (folded, half):
        onnx.checker.check_model(model, full_check=True)
        assert not [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    for value in (*half.graph.input, *half.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    types = {i.name: i.data_type for i in half.graph.initializer}
    products = [n for n in half.graph.node if n.op_type in ("Conv", "Gemm")]
    assert products
    assert all(types[name] == TensorProto.FLOAT16 for n in products for name in n.input[1:])


@pytest.mark.parametrize("kind", ["small", "mobilefacenet", "iresnet", "vit"])
def test_other_weights_make_the_same_graph_under_the_same_names(
    definition_of: Defined, tmp_path: Path, kind: str
) -> None:
    base = changed(base_of(kind), seed=7)
    other = define(exported(base, tmp_path))
    before = definition_of(kind)
    assert {i.name for i in other.model.graph.initializer} == {i.name for i in before.model.graph.initializer}
    assert set(weights_of(base)) == {i.name for i in other.model.graph.initializer}
    assert other.folded.rules == before.folded.rules
    assert other.structure == before.structure
    assert other.content != before.content
    assert before.at("float32").structure != before.structure


def test_every_weight_of_the_engine_comes_from_the_state_dict_alone(tmp_path: Path) -> None:
    base, other = base_of("small"), base_of("small", seed=3)
    folded = define(exported(base, tmp_path)).folded
    weights = {k: v.numpy() for k, v in weights_of(other).items()}
    assert set(weights) == {name for rule in folded.rules.values() for name in rule.sources}
    derived = folded.weights(weights, np)
    expected = {
        i.name: numpy_helper.to_array(i)
        for i in define(exported(other, tmp_path, "other.onnx")).folded.model.graph.initializer
    }
    assert set(derived) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(derived[name], value, rtol=1e-6)


def test_a_batch_norm_behind_a_convolution_by_hand(tmp_path: Path) -> None:
    """s = 2 / sqrt(3.99 + 0.01) = 1; W' = 5, c' = 1 (1 - 4) + 7 = 4."""
    values = {"w": [[[[5.0]]]], "c": [1.0], "g": [2.0], "b": [7.0], "m": [4.0], "v": [3.99]}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "c"], ["y"]),
            helper.make_node("BatchNormalization", ["y", "g", "b", "m", "v"], ["z"], epsilon=0.01),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 2, 2])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 1, 2, 2])],
        [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in values.items()],
    )
    folded = fold(onnx.load(saved(graph, tmp_path / "g.onnx"))).model
    assert [n.op_type for n in folded.graph.node] == ["Conv"]
    found = {i.name: numpy_helper.to_array(i).ravel().tolist() for i in folded.graph.initializer}
    assert found == {"w": [pytest.approx(5.0)], "c": [pytest.approx(4.0)]}


def test_a_convolution_that_others_read_keeps_its_own_numbers(tmp_path: Path) -> None:
    class Forked(type(base_of("small"))):  # type: ignore[misc]
        def features(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return self.prelu(self.bn(y)) + self.bn_behind(self.conv_biased(self.bn_before(y)))

    base = Forked()
    changed(base, 0)
    d = define(exported(base, tmp_path))
    assert {"bn.scale", "bn.shift"} <= set(d.folded.rules)
    inputs = gate.samples(d)
    for name, value in run(d.model, inputs).items():
        np.testing.assert_allclose(run(d.folded.model, inputs)[name], value, atol=1e-5)


def test_sums_norms_and_exponentials_stay_in_float(definition_of: Defined) -> None:
    half = definition_of("vit").graph
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(half).graph.value_info}
    kept = [n for n in half.graph.node if n.op_type in ("Softmax", "LayerNormalization", "Sqrt")]
    assert len(kept) >= 8
    assert all(types.get(n.output[0], TensorProto.FLOAT) == TensorProto.FLOAT for n in kept)
    products = [n for n in half.graph.node if n.op_type == "MatMul"]
    assert all(types.get(n.output[0], TensorProto.FLOAT16) == TensorProto.FLOAT16 for n in products)


def test_a_length_that_half_cannot_hold_is_summed_in_float(tmp_path: Path) -> None:
    """The square of 300 is 90,000, and half precision ends at 65,504."""
    graph = helper.make_graph(
        [helper.make_node("ReduceL2", ["x"], ["l"], axes=[1]), helper.make_node("Div", ["x", "l"], ["y"])],
        "unit",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )
    model = to_half(onnx.load(saved(graph, tmp_path / "unit.onnx")))
    found = run(model, {"x": np.array([[300.0, 400.0]], np.float32)})["y"]
    np.testing.assert_allclose(found, [[0.6, 0.8]], rtol=1e-3)


def test_a_weight_too_large_for_half_is_named(tmp_path: Path) -> None:
    path = linear(tmp_path / "l.onnx", np.array([[1.0, 70000.0]], np.float32))
    with pytest.raises(
        ModelError, match=r"weight w reaches 70000, half precision ends at 65504; build with --precision"
    ):
        _ = define(path).graph
    assert define(path, "float32").graph.graph.initializer[0].data_type == TensorProto.FLOAT


def test_the_detector_in_half_precision_sees_the_same_faces(weights_home: Path) -> None:
    d = define(weights_home / "weights" / "retinaface_mnet025" / "retinaface_mnet025.onnx")
    assert d.recipe.name == "detector"
    inputs = gate.samples(d)
    found, expected = run(d.graph, inputs), run(d.model, inputs)
    verdict = gate.compare(found, expected, next(iter(inputs.values())).shape)
    assert verdict.passed, verdict
    faces = gate.faces_of(expected, next(iter(inputs.values())).shape)
    assert faces is not None
    assert all((f.scores > 0.9).sum() >= 3 for f in faces)  # drawn faces are faces to it


def test_the_detector_in_half_precision_is_within_a_pixel_on_a_photograph(
    face_photographs: Footage, weights_home: Path
) -> None:
    d = define(weights_home / "weights" / "retinaface_mnet025" / "retinaface_mnet025.onnx")
    picture = cv2.resize(face_photographs.frames("group", 0, 1)[0], (960, 640))[None, ..., ::-1]
    inputs = {d.model.graph.input[0].name: gate.prepared(picture, d.model)}
    verdict = gate.compare(run(d.graph, inputs), run(d.model, inputs), (1, 3, 640, 960))
    assert verdict.passed, verdict


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.onnx").write_bytes(b"not a network")
    for name in ("b.onnx", "gone.onnx"):
        with pytest.raises(ModelError, match=f"{name} is not a network that TensorRT can load"):
            define(tmp_path / name)


def test_sface_in_half_precision_tells_real_faces_as_it_does_in_float(
    face_photographs: Footage, weights_home: Path, tmp_path: Path
) -> None:
    """The default base with its own weights, on photographs."""
    base = load_base(f"sface={weights_home / 'weights' / 'sface' / 'sface.onnx'}")
    d = define(exported(base, tmp_path))
    crops = []
    for name in ("group", "sam_outdoors", "bruno"):
        picture = face_photographs.frames(name, 0, 1)[0]
        for who in SOURCES[name].faces:
            left, top, right, bottom = SOURCES[name].box(who, 0).astype(int).clip(0)
            crops.append(cv2.resize(picture[top:bottom, left:right, ::-1], (112, 112)))
    inputs = {"input": prepare(np.stack(crops), base.manifest)}
    assert len(crops) >= 5
    verdict = gate.compare(run(d.graph, inputs), run(d.model, inputs), (len(crops), 3, 112, 112))
    assert verdict.passed, verdict
