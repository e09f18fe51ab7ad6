"""The default base: the torch module against ONNX Runtime and OpenCV on the published file, and its own export."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from networks import TOLERANCE, cosine, embed, one_input, session, smooth_pictures
from numpy.typing import NDArray

from vcn_trt.zoo import bases, export, fetch
from vcn_trt.zoo.base import FaceBase, prepare


@pytest.fixture(scope="module")
def sface(weights_home: Path) -> FaceBase:
    return bases.load_base("sface")


@pytest.fixture(scope="module")
def published(weights_home: Path) -> bytes:
    return one_input(fetch.path("sface"))


def by_onnx_runtime(model: bytes, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    run = session(model)
    return np.concatenate([run.run(None, {"data": c[None].transpose(0, 3, 1, 2).astype(np.float32)})[0] for c in crops])


def test_the_module_equals_onnx_runtime_on_the_published_file(sface: FaceBase, published: bytes) -> None:
    crops = smooth_pictures(4)
    ours = embed(sface, prepare(crops, sface.manifest))
    assert ours.shape == (4, sface.dim) == (4, 128)
    np.testing.assert_allclose(ours, by_onnx_runtime(published, crops), atol=TOLERANCE)


def test_the_module_equals_opencv_s_face_recogniser(sface: FaceBase, published: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sface.onnx"
    path.write_bytes(published)
    recogniser = cv2.FaceRecognizerSF.create(str(path), "")
    crops = smooth_pictures(4)
    theirs = np.concatenate([recogniser.feature(np.ascontiguousarray(c[..., ::-1])).copy() for c in crops])
    assert (cosine(embed(sface, prepare(crops, sface.manifest)), theirs) > 1 - TOLERANCE).all()


def test_photographs_of_one_person_are_nearer_than_of_two(sface: FaceBase, published: bytes, footage: Path) -> None:
    people = sorted((footage / "faces" / "lfw10").iterdir())[:2]
    crops = []
    for person in people:
        for photograph in sorted(person.glob("*.jpg"))[:3]:
            picture = cv2.imread(str(photograph))
            h, w = picture.shape[:2]
            middle = picture[h // 2 - h // 4 : h // 2 + h // 4, w // 2 - w // 4 : w // 2 + w // 4, ::-1]
            crops.append(cv2.resize(middle, (112, 112), interpolation=cv2.INTER_AREA))
    vectors = embed(sface, prepare(np.stack(crops), sface.manifest))
    assert (cosine(vectors, by_onnx_runtime(published, np.stack(crops))) > 1 - TOLERANCE).all()
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = units @ units.T
    same = np.concatenate([likeness[:3, :3][np.triu_indices(3, 1)], likeness[3:, 3:][np.triu_indices(3, 1)]])
    assert same.mean() > likeness[:3, 3:].mean() + 0.2


def test_the_export_keeps_names_and_numbers_at_any_batch(sface: FaceBase, tmp_path: Path) -> None:
    path = export.export_onnx(sface, tmp_path / "e.onnx")
    model = onnx.load(path)
    assert {i.name for i in model.graph.initializer} == {k for k in sface.state_dict() if "num_batches" not in k}
    assert [o.name for o in model.graph.output] == ["embedding", "features"]
    assert not {n.op_type for n in model.graph.node} & {"Dropout", "DequantizeLinear"}
    for n in (1, 5):
        planes = prepare(smooth_pictures(n), sface.manifest)
        embedding, features = session(path).run(None, {"input": planes})
        np.testing.assert_allclose(embedding, embed(sface, planes), atol=TOLERANCE)
        assert features.shape == (n, 1024, 7, 7)
        with torch.no_grad():
            again = sface.embed(torch.from_numpy(features)).numpy()
        np.testing.assert_allclose(again, embedding, atol=TOLERANCE)


def test_an_export_loads_back_by_name(sface: FaceBase, tmp_path: Path) -> None:
    path = export.export_onnx(sface, tmp_path / "e.onnx")
    again = bases.load_base(f"sface={path}")
    for name, tensor in sface.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_cache_is_keyed_by_the_weights(
    sface: FaceBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_home: Path
) -> None:
    adapted = bases.load_base("sface")
    monkeypatch.setenv("VCN_HOME", str(tmp_path))
    first = export.cached_onnx(sface)
    stamp = first.stat().st_mtime_ns
    assert export.cached_onnx(sface).stat().st_mtime_ns == stamp
    with torch.no_grad():
        adapted.get_parameter("fc.bias")[0] += 1
    assert export.cached_onnx(adapted) != first
    assert len(list((tmp_path / "exports").iterdir())) == 2


def test_dropout_acts_between_features_and_embedding_in_training_alone(sface: FaceBase) -> None:
    base = bases.load_base("sface")
    planes = torch.from_numpy(prepare(smooth_pictures(2), base.manifest))
    with torch.no_grad():
        features = base.features(planes)
        assert torch.equal(base.embed(features), base.embed(features))
        base.dropout.train()
        assert base.dropout.p == pytest.approx(0.4)
        assert not torch.equal(base.embed(features), base.embed(features))
        assert torch.equal(base.features(planes), features)
