"""The default networks on a real card, against torch: built, refitted, saved, opened again. Nothing is a stand-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from columns import open_column
from engine_networks import changed, cosine, exported, weights_of

from vcn_trt.backends.base import Backend
from vcn_trt.backends.cuda.network import TensorrtNetwork
from vcn_trt.engine import compat, gate, pictures
from vcn_trt.engine.definition import Definition, define
from vcn_trt.zoo.base import FaceBase, prepare
from vcn_trt.zoo.bases import load_base

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def backend() -> Backend:
    return open_column("cuda:0").backend


@pytest.fixture
def sface(weights_home: Path) -> FaceBase:
    return load_base(f"sface={weights_home / 'weights' / 'sface' / 'sface.onnx'}")


def vectors(network: TensorrtNetwork, backend: Backend, planes: np.ndarray) -> np.ndarray:
    return np.asarray(backend.ops.to_numpy(network({"input": planes})["embedding"]))


def by_torch(base: FaceBase, planes: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return base.cpu()(torch.from_numpy(planes)).numpy()


def test_the_base_is_torch_s_at_every_batch_and_after_a_refit(
    backend: Backend, sface: FaceBase, tmp_path: Path
) -> None:
    network = backend.open_network(exported(sface, tmp_path))
    assert isinstance(network, TensorrtNetwork)
    planes = prepare(pictures.crops(8), sface.manifest)
    many = np.concatenate([planes] * 40)[:300]
    expected = by_torch(sface, planes)
    for n in (1, 3, 8, 300, 3):  # again: the graph of a bucket, not its first execution
        found = vectors(network, backend, many[:n])
        assert cosine(found, np.concatenate([expected] * 40)[:n]) >= gate.COSINE
    if not compat.can_refit(network._host.trt):
        return
    changed(sface, seed=5)
    network.refit({k: v.cuda() for k, v in weights_of(sface).items()})
    assert network.facts["how"] == "refitted"
    assert cosine(vectors(network, backend, many[:8]), by_torch(sface, planes)) >= gate.COSINE
    network.save(tmp_path / "adapted.onnx")
    reopened = backend.open_network(tmp_path / "adapted.onnx")
    assert isinstance(reopened, TensorrtNetwork)
    assert reopened.facts["how"] == "refitted"
    np.testing.assert_allclose(
        vectors(reopened, backend, planes), vectors(network, backend, planes), rtol=1e-3, atol=1e-3
    )


def test_the_detector_finds_the_drawn_faces_at_several_sizes(backend: Backend, weights_home: Path) -> None:
    path = weights_home / "weights" / "retinaface_mnet025" / "retinaface_mnet025.onnx"
    network, model = backend.open_network(path), define(path).model
    for width, height in ((640, 384), (160, 96), (640, 384), (1280, 736)):
        shown = np.stack([pictures.frame(width, height, i) for i in range(3)])
        inputs = {network.input_names[0]: gate.prepared(shown, model)}
        found = {name: backend.ops.to_numpy(array) for name, array in network(inputs).items()}
        verdict = gate.compare(found, gate.reference(model, inputs), (3, 3, height, width))
        assert verdict.passed, verdict


@pytest.mark.parametrize("kind", ["mobilefacenet", "iresnet", "vit"])
def test_every_architecture_is_built_and_passes_its_gate(
    backend: Backend, definition_of: Callable[[str], Definition], kind: str
) -> None:
    network = backend.open_network(definition_of(kind).path)
    assert isinstance(network, TensorrtNetwork)
    assert network.facts["gate"]["passed"]
