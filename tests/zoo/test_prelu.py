"""PReLU spelt out gives the same numbers under the same names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from networks import TOLERANCE, session, small_iresnet, small_vit

from vcn_trt.zoo import export
from vcn_trt.zoo.prelu import spell_out


def test_a_network_keeps_its_numbers_and_its_names(tmp_path: Path) -> None:
    base = small_iresnet(adaface=False)
    path = export.export_onnx(base, tmp_path / "e.onnx")
    spelt = spell_out(onnx.load(path))
    onnx.checker.check_model(spelt)
    assert "PRelu" not in {n.op_type for n in spelt.graph.node}
    assert {k for k in base.state_dict() if "num_batches" not in k} < {i.name for i in spelt.graph.initializer}
    planes = np.random.default_rng(0).normal(0, 0.5, (2, 3, 112, 112)).astype(np.float32)
    for a, b in zip(
        session(path).run(None, {"input": planes}),
        session(spelt.SerializeToString()).run(None, {"input": planes}),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=TOLERANCE * max(1.0, float(np.abs(a).max())))


def test_slopes_below_zero_and_above_one_hold(tmp_path: Path) -> None:
    slopes = torch.tensor([-0.5, 0.0, 1.0, 3.0])
    x = np.float32([[[[-2.0, 0.0, 2.0]]] * 4]).reshape(1, 4, 1, 3)
    node = onnx.helper.make_node("PRelu", ["x", "a"], ["y"])
    shape = [1, 4, 1, 3]
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(slopes.reshape(4, 1, 1).numpy(), "a")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    found = session(spell_out(model).SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_array_equal(found[0, :, 0], [[1, 0, 2], [0, 0, 2], [-2, 0, 2], [-6, 0, 2]])


def test_a_network_without_prelu_is_left_alone(tmp_path: Path) -> None:
    model = onnx.load(export.export_onnx(small_vit(), tmp_path / "v.onnx"))
    before = model.SerializeToString()
    assert spell_out(model).SerializeToString() == before
