"""The adapted model: back from disk to the bit, refused on another base, and the same in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from bases import base_of, no_matches, seeded, tiny, tracks_of
from safetensors import safe_open

from vcn_trt.adapt import model
from vcn_trt.adapt.branch import Branch, look
from vcn_trt.adapt.heads import mlp_head, whitened_head
from vcn_trt.adapt.split import open_views
from vcn_trt.adapt.train import adapt
from vcn_trt.config import AdaptConfig
from vcn_trt.errors import ModelError
from vcn_trt.zoo.base import FaceBase

CONFIG = AdaptConfig(rounds=1, steps=3, batch=4, outputs=32, lr=0.05, warm_up=0.0)
CPU = torch.device("cpu")


def adapted_of(base: FaceBase, trains, kind="mlp", config: AdaptConfig = CONFIG) -> model.Adapted:
    crops = torch.randint(0, 256, (4, 112, 112, 3), generator=seeded(), dtype=torch.uint8).numpy()
    views, tracks = open_views(base, crops, None, trains, 1, 0, CPU), tracks_of(2, 2)
    head = mlp_head(base.dim, 32, seeded(), 16, 8)
    if kind == "whitened":
        head = whitened_head(look(Branch(base, head, trains), views, 0, "base"), tracks, 32, 0.3, seeded())
    trained = adapt(views, head, tracks, lambda z: no_matches(2), replace(config, head=kind), 0)
    assert trained.fell_back is None
    return model.of_trained(trained, config)


def states(adapted: model.Adapted) -> list[torch.Tensor]:
    parts = (adapted.base, adapted.head, adapted.student_base, adapted.student_head)
    return [v for part in parts for v in part.state_dict().values()]


@pytest.mark.parametrize("trains", ["head", "last", "all"])
@pytest.mark.parametrize("kind", ["whitened", "mlp"])
def test_a_saved_model_comes_back_to_the_bit(tmp_path: Path, trains, kind) -> None:
    base = tiny()
    adapted = adapted_of(base, trains, kind)
    path = tmp_path / "model" / model.WEIGHTS
    model.save(path, adapted, base, "a" * 64, CONFIG)
    found = model.load(path, base, "a" * 64)
    assert all(torch.equal(a, b) for a, b in zip(states(adapted), states(found), strict=True))
    assert torch.equal(found.centre, adapted.centre)
    assert (found.tau_student, found.tau_teacher, found.head.kind) == (0.1, 0.04, kind)


def test_only_what_changed_of_the_base_is_kept(tmp_path: Path) -> None:
    base = tiny()

    def kept(adapted: model.Adapted) -> set[str]:
        model.save(tmp_path / "m", adapted, base, "", CONFIG)
        with safe_open(tmp_path / "m", "pt") as file:
            return set(file.keys())

    assert not any("base" in k for k in kept(adapted_of(base, "head")))
    last = kept(adapted_of(base, "last"))
    assert {"teacher.base.fc.weight", "student.base.fc.weight", "teacher.head.prototypes"} <= last
    assert not any("conv" in k or "running" in k for k in last)
    start = kept(adapted_of(base, "last", config=replace(CONFIG, rounds=0)))
    assert not any(k.startswith("student") or "base" in k for k in start)


def test_another_base_is_refused(tmp_path: Path) -> None:
    base, path = tiny(), tmp_path / "m"
    model.save(path, adapted_of(base, "head"), base, "a" * 64, CONFIG)
    with pytest.raises(ModelError, match=r"adapts the base tiny .a{12}., found tiny .b{12}."):
        model.load(path, base, "b" * 64)
    with pytest.raises(ModelError, match="found sface"):
        model.load(path, base_of("sface"), "a" * 64)


def test_nan_is_neither_written_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, path = tiny(), tmp_path / "m"
    adapted = adapted_of(base, "head")
    adapted.head.prototypes.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match="holds 1 NaN"):
        model.save(path, adapted, base, "", CONFIG)
    assert not path.exists()
    with monkeypatch.context() as unchecked:
        unchecked.setattr(model, "check_finite", lambda state, path: None)
        model.save(path, adapted, base, "", CONFIG)
    with pytest.raises(ModelError, match="holds 1 NaN"):
        model.load(path, base, "")


@pytest.mark.parametrize("damage", [lambda b: b[:-50], lambda b: b"", lambda b: b"x" * 400])
def test_a_damaged_file_is_told(tmp_path: Path, damage) -> None:
    base, path = tiny(), tmp_path / "m"
    model.save(path, adapted_of(base, "head"), base, "", CONFIG)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="cannot read the adapted model"):
        model.load(path, base, "")
    with pytest.raises(ModelError, match="cannot read the adapted model"):
        model.load(tmp_path / "absent", base, "")


@pytest.mark.parametrize(("kind", "trains"), [("sface", "last"), ("mobilefacenet", "head"), ("vit", "all")])
@pytest.mark.parametrize("head", ["whitened", "mlp"])
def test_the_onnx_file_gives_the_adapted_unit_vectors(tmp_path: Path, kind: str, trains, head) -> None:
    base = base_of(kind)
    adapted = adapted_of(base, trains, head)
    path = model.export(tmp_path / model.ONNX, adapted)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    size = base.manifest.input_size
    x = torch.randn(5, 3, size, size, generator=seeded(9))
    embedding, features = session.run(["embedding", "features"], {"input": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(embedding, adapted.head.bottleneck(adapted.base(x)).numpy(), atol=1e-3)
        assert features.shape == adapted.base.features(x).shape
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-4)
    names = {i.name for i in onnx.load(path).graph.initializer}
    expected = {k for k in model.AdaptedBase(adapted.base, adapted.head).state_dict() if "num_batches" not in k}
    assert expected <= names


def test_an_export_that_differs_from_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted, other = adapted_of(tiny(), "head"), adapted_of(tiny(), "head")
    with torch.no_grad():
        other.head.body[0].weight[0] += 0.1
    real = model.export_onnx
    wrong = model.AdaptedBase(other.base, other.head)
    monkeypatch.setattr(model, "export_onnx", lambda network, path: real(wrong, path))
    with pytest.raises(ModelError, match="from torch's, expected within"):
        model.export(tmp_path / "m.onnx", adapted)
