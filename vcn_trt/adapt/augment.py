"""Random views of face crops (section 3.4): mirror image, rotation, colour temperature, and the sizes at which the
footage shows its other faces, with the landmark error that goes with them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from vcn_trt.types import CROP_SIZE

ROTATION = 15.0
"""Degrees, either way."""

KELVIN = (3500.0, 9500.0)

FACE = 1.5
"""The side of a crop in units of the face box's shorter side: the template's eyes and mouth leave that much around."""

SMALLEST = 4
"""Pixels of a crop's side below which nothing of a face is left."""

_LUMA = (0.299, 0.587, 0.114)


def augment(
    crops: Tensor, generator: torch.Generator, sides: Tensor | None = None, footage: Tensor | None = None
) -> Tensor:
    """Mirror image, rotation and colour temperature, each with probability 1/2; with `sides` also another face's size.

    crops: (n, 112, 112, 3) uint8 RGB on any device. generator: on the CPU, so that a seed draws the same views
    everywhere. sides: (n,) the shorter sides of the crops' face boxes, in pixels of the picture; footage: (m,) those of
    the clip, one of which each crop draws. Where it is smaller than its own, the crop is reduced to it and enlarged
    again; its landmarks err by half a pixel of that size. -> (n, 112, 112, 3) float32, 0 to 255, on the crops' device.
    """
    n, device = len(crops), crops.device

    def rand() -> Tensor:
        return torch.rand(n, generator=generator)

    def there(drawn: Tensor) -> Tensor:
        return drawn.to(device, non_blocking=True)  # a card takes its copy without making us wait

    turn = torch.where(rand() < 0.5, (rand() * 2 - 1) * ROTATION, 0.0).deg2rad()
    mirror = torch.where(rand() < 0.5, -1.0, 1.0)
    kelvin = torch.where(rand() < 0.5, KELVIN[0] + rand() * (KELVIN[1] - KELVIN[0]), 6500.0)
    scale, shift, rows = torch.ones(n), torch.zeros(n, 2), None
    if sides is not None and footage is not None:
        drawn = footage.cpu()[torch.randint(len(footage), (n,), generator=generator)]
        side = torch.minimum(sides.cpu(), drawn).float()
        pixel = CROP_SIZE / FACE / side.clamp(min=1.0)  # one of the picture, in pixels of the crop
        error = torch.randn(n, 4, generator=generator) * 0.5 * pixel[:, None]
        # Five landmarks lie some 40 pixels apart and fill half a crop: what half a pixel does to turn and scale.
        turn, scale, shift = turn + error[:, 0] / 40, torch.exp(error[:, 1] / (CROP_SIZE / 2)), error[:, 2:]
        rows = torch.where(drawn < sides.cpu(), (FACE * side).round().long().clamp(SMALLEST, CROP_SIZE), CROP_SIZE)
    planes = _warp(crops.permute(0, 3, 1, 2).float(), there(_affine(turn, scale, mirror, shift)))
    planes = (planes * there(temperature_gains(kelvin))[:, :, None, None]).clamp(0, 255)
    if rows is not None:
        planes = reduce(planes, there(rows))
    return planes.permute(0, 2, 3, 1)


def reduce(planes: Tensor, sides: Tensor) -> Tensor:
    """Each crop as if its side had `sides` pixels: R x R^T, R averaging areas and then interpolating bilinearly.
    planes: (n, c, 112, 112); sides: (n,) int64, 4 to 112 (as it is)."""
    matrices = _resampling(planes.device)[sides - SMALLEST][:, None]  # (n, 1, 112, 112)
    return matrices @ planes @ matrices.transpose(2, 3)


def temperature_gains(kelvin: Tensor) -> Tensor:
    """RGB gains of light of these colour temperatures against 6500 K, the luma of white kept. (n,) -> (n, 3)

    Tanner Helland's fit (2012) to Charity's table of black bodies."""
    gains = _black_body(kelvin) / _black_body(torch.tensor([6500.0]))
    return gains / (gains @ torch.tensor(_LUMA))[:, None]


def _black_body(kelvin: Tensor) -> Tensor:
    t = kelvin / 100
    warm = t <= 66
    red = torch.where(warm, 255.0, 329.699 * (t - 60).clamp(min=1) ** -0.13320)
    green = torch.where(warm, 99.4708 * t.log() - 161.120, 288.122 * (t - 60).clamp(min=1) ** -0.075515)
    blue = torch.where(warm, 138.518 * (t - 10).clamp(min=1).log() - 305.045, 255.0)
    return torch.stack([red, green, blue], 1).clamp(1, 255)


def _affine(turn: Tensor, scale: Tensor, mirror: Tensor, shift: Tensor) -> Tensor:
    """From each view's pixels to the crop's, in grid_sample's units about the middle. (n, 2, 3)"""
    cos, sin = turn.cos() / scale, turn.sin() / scale
    x, y = (-shift * 2 / CROP_SIZE).unbind(1)
    return torch.stack([mirror * cos, -mirror * sin, mirror * x, sin, cos, y], 1).view(-1, 2, 3)


def _warp(planes: Tensor, affine: Tensor) -> Tensor:
    grid = functional.affine_grid(affine, list(planes.shape), align_corners=False)
    return functional.grid_sample(planes, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


@lru_cache(maxsize=2)
def _resampling(device: torch.device) -> Tensor:
    """The matrices of `reduce` for every side from 4 to 112. (109, 112, 112), 5 MiB"""
    matrices = []
    for n in range(SMALLEST, CROP_SIZE + 1):
        edges = torch.arange(n + 1, dtype=torch.float64) * CROP_SIZE / n
        pixels = torch.arange(CROP_SIZE, dtype=torch.float64)
        overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
        areas = overlap.clamp(min=0) * n / CROP_SIZE  # (n, 112)
        bilinear = functional.interpolate(
            torch.eye(n, dtype=torch.float64)[None], size=CROP_SIZE, mode="linear", align_corners=False
        )[0].T
        matrices.append(bilinear @ areas)
    return torch.stack(matrices).float().to(device)
