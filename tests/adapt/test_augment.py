"""Views of a crop: what each change does to it, and that a seed repeats it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from bases import seeded

from vcn_trt.adapt import augment as module
from vcn_trt.adapt.augment import augment, reduce, temperature_gains


def crops(n: int, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(n, 3, 12, 12, generator=seeded(seed)) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).to(torch.uint8)


def test_a_view_has_the_form_and_range_of_a_crop() -> None:
    sides = torch.tensor([10.0, 60.0, 200.0])
    found = augment(crops(3), seeded(), sides, sides)
    assert found.shape == (3, 112, 112, 3)
    assert found.dtype == torch.float32
    assert 0 <= found.min() < found.max() <= 255


def test_a_seed_repeats_the_views_and_another_does_not() -> None:
    sides = torch.full((4,), 30.0)
    one, same, other = (augment(crops(4), seeded(s), sides, sides) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_each_change_comes_to_half_of_the_crops() -> None:
    pictures = crops(1).expand(400, -1, -1, -1)
    found = augment(pictures, seeded())
    plain, mirror = pictures.float(), pictures.flip(2).float()

    def share(like: torch.Tensor) -> float:
        return float(((found - like).abs().amax((1, 2, 3)) < 0.01).float().mean())

    # An eighth is neither mirrored nor turned nor coloured, an eighth is mirrored alone.
    assert share(plain) == pytest.approx(0.125, abs=0.05)
    assert share(mirror) == pytest.approx(0.125, abs=0.05)


def test_rotation_stays_within_its_bounds_and_reaches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = module._affine

    def spy(turn, scale, mirror, shift):
        seen.append(turn)
        return original(turn, scale, mirror, shift)

    monkeypatch.setattr(module, "_affine", spy)
    augment(crops(1).expand(300, -1, -1, -1), seeded())
    degrees = seen[0].rad2deg().abs()
    assert 14 < degrees.max() <= 15
    assert float((degrees == 0).float().mean()) == pytest.approx(0.5, abs=0.1)


def test_a_turned_crop_is_that_of_opencv() -> None:
    picture = crops(1)
    turn, one = torch.tensor([0.2]), torch.ones(1)
    planes = picture.permute(0, 3, 1, 2).float()
    found = module._warp(planes, module._affine(turn, one, one, torch.zeros(1, 2)))[0].permute(1, 2, 0).numpy()
    matrix = cv2.getRotationMatrix2D((55.5, 55.5), np.degrees(0.2), 1)
    expected = cv2.warpAffine(picture[0].numpy().astype(np.float32), matrix, (112, 112), borderMode=cv2.BORDER_REFLECT)
    assert np.abs(found - expected)[8:-8, 8:-8].max() < 3  # OpenCV's coordinates are rounded to 1/32 pixel


@pytest.mark.parametrize("side", [4, 15, 37, 56, 111, 112])
def test_a_reduced_crop_is_that_of_opencv(side: int) -> None:
    picture = crops(1)[0].numpy().astype(np.float32)
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    found = reduce(planes, torch.tensor([side]))[0].permute(1, 2, 0).numpy()
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found, cv2.resize(small, (112, 112)), atol=0.02)


def test_reducing_is_the_same_for_a_crop_alone_and_among_others() -> None:
    planes = crops(3).permute(0, 3, 1, 2).float()
    together = reduce(planes, torch.tensor([10, 112, 50]))
    torch.testing.assert_close(together[2:], reduce(planes[2:], torch.tensor([50])))
    torch.testing.assert_close(together[1], planes[1], atol=1e-3, rtol=0)


def test_only_smaller_faces_of_the_footage_take_detail_away() -> None:
    noise = (torch.rand(64, 112, 112, 3, generator=seeded()) * 255).to(torch.uint8)

    def detail(own: float, drawn: float) -> float:
        found = augment(noise, seeded(), torch.full((64,), own), torch.full((1,), drawn))
        return float((found[:, 1:] - found[:, :-1]).abs().mean())

    assert detail(70, 10) < 0.2 * detail(70, 70)
    assert detail(70, 400) == pytest.approx(detail(70, 70))


def test_landmarks_err_by_half_a_pixel_of_the_face_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shifts = []
    original = module._affine

    def spy(turn, scale, mirror, shift):
        shifts.append(shift)
        return original(turn, scale, mirror, shift)

    monkeypatch.setattr(module, "_affine", spy)
    many = crops(1).expand(500, -1, -1, -1)
    augment(many, seeded(), torch.full((500,), 80.0), torch.tensor([16.0]))
    assert float(shifts[0].std()) == pytest.approx(0.5 * 112 / 1.5 / 16, rel=0.1)


def test_colour_temperature_keeps_white_at_6500_and_reddens_below() -> None:
    gains = temperature_gains(torch.tensor([6500.0, 3500.0, 9500.0]))
    torch.testing.assert_close(gains[0], torch.ones(3), atol=1e-3, rtol=0)
    assert gains[1, 0] > 1 > gains[1, 2]
    assert gains[2, 2] > 1 > gains[2, 0]
    torch.testing.assert_close(gains @ torch.tensor([0.299, 0.587, 0.114]), torch.ones(3))
