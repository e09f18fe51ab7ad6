"""How crops reach a network: one function, the same numbers from NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vcn_trt.zoo import manifest
from vcn_trt.zoo.base import prepare

BASES = [n for n in manifest.names() if manifest.load(n).kind == "base"]


def test_sface_sees_rgb_from_minus_one_to_one() -> None:
    crops = np.zeros((1, 112, 112, 3), np.uint8)
    crops[..., 0], crops[..., 2] = 255, 127
    planes = prepare(crops, manifest.load("sface"))
    assert planes.shape == (1, 3, 112, 112)
    np.testing.assert_array_equal(planes[0, :, 5, 7], np.float32([127.5, -127.5, -0.5]) / 128)


def test_adaface_sees_bgr() -> None:
    crops = np.zeros((1, 112, 112, 3), np.uint8)
    crops[..., 0] = 255
    np.testing.assert_allclose(prepare(crops, manifest.load("adaface_r101"))[0, :, 0, 0], [-1, -1, 1], rtol=1e-6)


@pytest.mark.parametrize("name", BASES)
def test_numpy_and_torch_agree(name: str) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    found = manifest.load(name)
    planes = prepare(crops, found)
    assert planes.dtype == np.float32
    assert planes.shape == (3, 3, found.input_size, found.input_size)
    np.testing.assert_allclose(prepare(torch.from_numpy(crops), found).numpy(), planes, atol=1e-4)
    np.testing.assert_array_equal(prepare(crops.astype(np.float32), found), planes)


def test_enlarging_is_torch_s_bilinear_interpolation() -> None:
    found = manifest.load("farl_b16")
    crops = torch.rand(2, 112, 112, 3, generator=torch.Generator().manual_seed(0)) * 255
    mean, std = torch.tensor(found.mean), torch.tensor(found.std)
    planes = ((crops - mean) / std).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(planes, size=(224, 224), mode="bilinear", align_corners=False)
    torch.testing.assert_close(prepare(crops, found), expected, atol=1e-5, rtol=0)


def test_gradients_reach_the_crops() -> None:
    crops = torch.full((1, 112, 112, 3), 100.0, requires_grad=True)
    prepare(crops, manifest.load("sface")).sum().backward()
    assert crops.grad is not None
    torch.testing.assert_close(crops.grad, torch.full_like(crops, 1 / 128))


def test_crops_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(n, h, w, 3\)"):
        prepare(np.zeros((1, 3, 112, 112), np.uint8), manifest.load("sface"))
    with pytest.raises(ValueError, match="larger than the network's input"):
        prepare(np.zeros((1, 160, 160, 3), np.uint8), manifest.load("sface"))
