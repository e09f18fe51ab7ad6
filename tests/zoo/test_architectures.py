"""The architectures with random weights: shapes, published sizes, gradients, exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from networks import TOLERANCE, embed, randomised, session, small_iresnet, small_vit
from torch import Tensor, nn

from vcn_trt.errors import ModelError
from vcn_trt.zoo import bases, export, manifest
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.mobilefacenet import Convolution
from vcn_trt.zoo.resnet50 import Body, VGGFace2
from vcn_trt.zoo.retinaface import retinaface_mnet025, retinaface_r50

MILLIONS = {
    "sface": 9.64,
    "mobilefacenet": 1.29,
    "arcface_r100": 65.16,
    "adaface_r101": 65.15,
    "vggface2_r50": 23.51,  # ResNet-50's 25.56 less its thousand classes
    "farl_b16": 86.19,
}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", MILLIONS)
def test_a_base_has_its_published_size_and_shape(name: str) -> None:
    base = bases.build(manifest.load(name))
    assert count(base) / 1e6 == pytest.approx(MILLIONS[name], abs=0.005)
    size = base.manifest.input_size
    with torch.no_grad():
        features = base.features(torch.zeros(1, 3, size, size))
        assert base.embed(features).shape == (1, base.dim) == (1, base.manifest.dim)
    assert not base.training
    assert base.dropout.p == base.manifest.dropout


def test_resnet50_with_its_classes_has_torch_s_own_size() -> None:
    assert count(Body()) + 2048 * 1000 + 1000 == 25_557_032


def test_the_detectors_have_their_published_sizes() -> None:
    assert count(retinaface_mnet025()) == 426_608
    assert count(retinaface_r50()) / 1e6 == pytest.approx(27.29, abs=0.01)


def test_caffe_s_pooling_rounds_up() -> None:
    with torch.no_grad():
        maps = Body(caffe=True, depths=(1, 1))(torch.zeros(1, 3, 224, 224))
        assert [tuple(m.shape) for m in maps] == [(1, 256, 56, 56), (1, 512, 28, 28)]


def test_a_detector_is_no_base() -> None:
    with pytest.raises(ModelError, match=r"retinaface_mnet025 is a detector: expected a face-ID base"):
        bases.build(manifest.load("retinaface_mnet025"))


@pytest.mark.parametrize("make", [lambda: small_iresnet(False), lambda: small_iresnet(True), small_vit])
def test_gradients_reach_every_parameter(make: type[FaceBase]) -> None:
    base = make()
    size = base.manifest.input_size
    base(torch.randn(2, 3, size, size)).square().sum().backward()
    for name, parameter in base.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def small_vggface2() -> FaceBase:
    base = VGGFace2(depths=(1, 1))
    base.manifest = manifest.load("vggface2_r50")
    randomised(base)
    return base


def mobilefacenet() -> FaceBase:
    torch.manual_seed(0)
    base = bases.build(manifest.load("mobilefacenet"))
    randomised(base)
    return base


@pytest.mark.parametrize(
    "make", [lambda: small_iresnet(False), lambda: small_iresnet(True), small_vit, small_vggface2, mobilefacenet]
)
def test_the_export_agrees_with_torch_under_the_state_dict_s_names(make: type[FaceBase], tmp_path: Path) -> None:
    base = make()
    path = export.export_onnx(base, tmp_path / "e.onnx")
    names = {i.name for i in onnx.load(path).graph.initializer}
    assert names == {k for k in base.state_dict() if "num_batches" not in k}
    size = base.manifest.input_size
    planes = np.random.default_rng(0).normal(0, 0.5, (3, 3, size, size)).astype(np.float32)
    found = session(path).run(None, {"input": planes})[0]
    expected = embed(base, planes)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * max(1.0, float(np.abs(expected).max())))


def test_exporting_leaves_training_mode_as_it_was(tmp_path: Path) -> None:
    base = small_vit().train()
    export.export_onnx(base, tmp_path / "e.onnx")
    assert base.training
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot write"):
        export.export_onnx(base, tmp_path / "file" / "e.onnx")
    assert base.training


def test_masked_patches_are_not_seen() -> None:
    base, mask_token = small_vit(), torch.zeros(64)
    one, other = torch.randn(2, 1, 3, 32, 32)
    other[..., 16:] = one[..., 16:]  # the right half, patches 1 and 3, is the same
    left = torch.tensor([[True, False, True, False]])
    with torch.no_grad():
        assert not torch.allclose(base(one), base(other))
        for a, b in zip(base.tokens(one, left, mask_token), base.tokens(other, left, mask_token), strict=True):
            torch.testing.assert_close(a, b)
        start, patches = base.tokens(one)
        assert (start.shape, patches.shape) == ((1, 64), (1, 4, 64))
        assert torch.equal(base.features(one), start)
    with pytest.raises(ValueError, match="mask_token"):
        base.tokens(one, left)


def test_attention_is_torch_s_own() -> None:
    torch.manual_seed(0)
    ours = small_vit().transformer["resblocks"].get_submodule("0.attn")
    theirs = nn.MultiheadAttention(64, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 64)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0], atol=1e-5, rtol=1e-5)


def test_uneven_padding_is_tensorflow_s() -> None:
    """At stride 2 an even row gets its one zero on the right: windows start at 0, 2, 4."""
    convolution = Convolution(1, 1, 3, stride=2)
    row = torch.arange(6.0)
    picture = row.repeat(6, 1)[None, None]
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 0] = torch.tensor([100.0, 10.0, 1.0])
        assert convolution.bias is not None
        convolution.bias.zero_()
        found = convolution(picture)
    expected = torch.tensor([0 * 100 + 1 * 10 + 2.0, 2 * 100 + 3 * 10 + 4, 4 * 100 + 5 * 10 + 0])
    assert found.shape == (1, 1, 3, 3)
    torch.testing.assert_close(found[0, 0], expected.repeat(3, 1))


def test_the_pyramid_gives_two_anchors_a_cell() -> None:
    with torch.no_grad():
        loc, conf, landmarks = retinaface_mnet025()(torch.randn(2, 3, 64, 96))
    anchors = 2 * (8 * 12 + 4 * 6 + 2 * 3)
    assert (loc.shape, conf.shape, landmarks.shape) == ((2, anchors, 4), (2, anchors, 2), (2, anchors, 10))
    torch.testing.assert_close(conf.sum(-1), torch.ones(2, anchors))


def test_retinaface_trains() -> None:
    network = retinaface_mnet025()
    outputs: tuple[Tensor, ...] = network(torch.randn(1, 3, 64, 64))
    sum(o.square().sum() for o in outputs).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
