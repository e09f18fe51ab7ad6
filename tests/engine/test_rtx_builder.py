"""Every network through NVIDIA's own parser and builder: TensorRT-RTX builds ahead of time, without a card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from engine_networks import linear, saved
from numpy import ones
from onnx import TensorProto, helper

from vcn_trt.engine.build import build
from vcn_trt.engine.definition import Definition, define
from vcn_trt.errors import ModelError


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip(
        "tensorrt_rtx",
        reason="TensorRT-RTX is not here: python -m pip install tensorrt-rtx-cu13 (95 MB)",
        exc_type=ImportError,
    )


@pytest.mark.parametrize(
    ("kind", "precision"),
    [(kind, "half") for kind in ("sface", "mobilefacenet", "iresnet", "vit")]
    + [(kind, "float32") for kind in ("iresnet", "vit")],
)
def test_a_base_of_any_batch_is_parsed_and_built(
    trt: Any, definition_of: Callable[[str], Definition], kind: str, precision: Any
) -> None:
    d = definition_of(kind).at(precision)
    phases: list[tuple[str, int, int]] = []
    plan = build(trt, d, None, lambda *step: phases.append(step))
    weights = sum(len(i.raw_data) for i in d.graph.graph.initializer)
    assert weights < len(plan) < weights + 8e6
    assert phases[0] == (f"Building {kind}.onnx", 0, 0)
    assert [done for phase, done, _ in phases if phase == "Building engine"] == list(range(phases[-1][1] + 1))


@pytest.mark.parametrize("precision", ["half", "float32"])
def test_the_detector_of_any_size_is_parsed_and_built(trt: Any, weights_home: Path, precision: Any) -> None:
    d = define(weights_home / "weights" / "retinaface_mnet025" / "retinaface_mnet025.onnx", precision)
    assert len(build(trt, d, None, lambda *step: None)) > 1e6


def test_strong_typing_refuses_what_the_conversion_would_mix(trt: Any, tmp_path: Path) -> None:
    """A half weight beside a float value: the conversion must never leave it so."""
    d = define(linear(tmp_path / "l.onnx", ones((3, 4), "float32")))
    mixed = onnx.ModelProto()
    mixed.CopyFrom(d.graph)
    for node in mixed.graph.node:
        if node.op_type == "MatMul":
            node.input[0] = "x"
    d.__dict__["graph"] = mixed
    with pytest.raises(ModelError, match=r"cannot (parse|build) l\.onnx"):
        build(trt, d, None, lambda *step: None)


def test_an_operator_that_it_does_not_know_is_named(trt: Any, tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Bernoulli", ["x"], ["y"])], "g", [x], [y])
    with pytest.raises(ModelError, match=r"TensorRT .* cannot parse b\.onnx: Bernoulli: .*Run with --device cpu"):
        build(trt, define(saved(graph, tmp_path / "b.onnx"), "float32"), None, lambda *step: None)


def test_an_interrupt_ends_a_real_build(trt: Any, definition_of: Callable[[str], Definition]) -> None:
    def stop(phase: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(trt, definition_of("vit"), None, stop)
