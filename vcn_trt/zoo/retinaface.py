"""RetinaFace (Deng et al., CVPR 2020): a body, a feature pyramid, a context module a level, and per anchor two class
scores, four box and ten landmark offsets. Bodies: MobileNet x0.25 and ResNet-50."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vcn_trt.zoo.resnet50 import Body

ANCHORS = 2
"""A cell: (16, 32), (64, 128), (256, 512) pixels at strides 8, 16, 32."""


class RetinaFace(nn.Module):
    """(n, 3, h, w) BGR less (104, 117, 123), h and w multiples of 32 -> loc (n, a, 4), conf (n, a, 2) as probabilities,
    landmarks (n, a, 10), with a = 2 (hw/64 + hw/256 + hw/1024) anchors, stride by stride, row by row."""

    def __init__(self, body: nn.Module, widths: tuple[int, int, int], out: int) -> None:
        super().__init__()
        slope = 0.1 if out <= 64 else 0.0
        self.body = body
        self.lateral = nn.ModuleList(_unit(width, out, 1, slope) for width in widths)
        self.merge2 = _unit(out, out, 3, slope)
        self.merge1 = _unit(out, out, 3, slope)
        self.context = nn.ModuleList(Context(out, slope) for _ in widths)
        self.classes = nn.ModuleList(nn.Conv2d(out, ANCHORS * 2, 1) for _ in widths)
        self.boxes = nn.ModuleList(nn.Conv2d(out, ANCHORS * 4, 1) for _ in widths)
        self.landmarks = nn.ModuleList(nn.Conv2d(out, ANCHORS * 10, 1) for _ in widths)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.pyramid(x)
        scores = _rows(self.classes, maps, 2)
        return _rows(self.boxes, maps, 4), scores.softmax(-1), _rows(self.landmarks, maps, 10)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """What the heads read: one map a stride, each (n, out, h / stride, w / stride)."""
        fine, middle, coarse = (lateral(m) for lateral, m in zip(self.lateral, self.body(x)[-3:], strict=True))
        middle = self.merge2(middle + functional.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        fine = self.merge1(fine + functional.interpolate(middle, scale_factor=2.0, mode="nearest"))
        return [context(m) for context, m in zip(self.context, (fine, middle, coarse), strict=True)]


class Context(nn.Module):
    """SSH's context module (Najibi et al., ICCV 2017): 3x3, 5x5 and 7x7 views, the larger ones as chains of 3x3."""

    def __init__(self, out: int, slope: float) -> None:
        super().__init__()
        self.conv3 = _unit(out, out // 2, 3, None)
        self.conv5_1 = _unit(out, out // 4, 3, slope)
        self.conv5_2 = _unit(out // 4, out // 4, 3, None)
        self.conv7_2 = _unit(out // 4, out // 4, 3, slope)
        self.conv7_3 = _unit(out // 4, out // 4, 3, None)

    def forward(self, x: Tensor) -> Tensor:
        near = self.conv5_1(x)
        return torch.relu(torch.cat([self.conv3(x), self.conv5_2(near), self.conv7_3(self.conv7_2(near))], 1))


class MobileNet025(nn.Module):
    """MobileNet-v1 at a quarter of its width, to the maps at strides 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _unit(3, 8, 3, 0.1, stride=2), *_separable((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
        )
        self.stage2 = nn.Sequential(*_separable((64, 128, 2), *[(128, 128, 1)] * 5))
        self.stage3 = nn.Sequential(*_separable((128, 256, 2), (256, 256, 1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.stage1(x)
        middle = self.stage2(fine)
        return [fine, middle, self.stage3(middle)]


def retinaface_mnet025() -> RetinaFace:
    """The default detector's architecture, with random weights."""
    return RetinaFace(MobileNet025(), (64, 128, 256), 64).eval()


def retinaface_r50() -> RetinaFace:
    """The large detector's architecture, with random weights."""
    return RetinaFace(Body(), (512, 1024, 2048), 256).eval()


def _unit(channels: int, out: int, kernel: int, slope: float | None, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    activation = [] if slope is None else [nn.LeakyReLU(slope)]
    return nn.Sequential(convolution, nn.BatchNorm2d(out), *activation)


def _separable(*blocks: tuple[int, int, int]) -> list[nn.Sequential]:
    """Depthwise 3x3 and pointwise 1x1 for each (channels in, out, stride)."""
    return [nn.Sequential(_unit(i, i, 3, 0.1, s, groups=i), _unit(i, o, 1, 0.1)) for i, o, s in blocks]


def _rows(heads: nn.ModuleList, maps: list[Tensor], values: int) -> Tensor:
    """A head's maps as one list of anchors. (n, a, values)"""
    flat = [head(m).permute(0, 2, 3, 1).flatten(1, 2) for head, m in zip(heads, maps, strict=True)]
    return torch.cat(flat, 1).reshape(maps[0].shape[0], -1, values)
