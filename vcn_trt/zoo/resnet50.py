"""ResNet-50 (He et al., CVPR 2016): VGGFace2's base (Cao et al., FG 2018) and the body of RetinaFace-R50.

VGGFace2 was trained in Caffe, where a block's stride sits in its first 1x1 convolution and the pooling behind the
stem rounds up without padding; torch's own ResNet-50 puts the stride in the 3x3 one. Parameters are the same and are
named as torch's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from vcn_trt.zoo.base import FaceBase


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut; four times `width` channels come out."""

    def __init__(self, channels: int, width: int, stride: int, caffe: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != width * 4:
            projection = nn.Conv2d(channels, width * 4, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(width * 4))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Body(nn.Module):
    """Image to the maps of the four stages, at strides 4, 8, 16, 32."""

    def __init__(self, caffe: bool = False, depths: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True) if caffe else nn.MaxPool2d(3, 2, padding=1)
        channels = 64
        for i, depth in enumerate(depths):
            width, blocks = 64 * 2**i, []
            for j in range(depth):
                blocks.append(Bottleneck(channels, width, 2 if i and not j else 1, caffe))
                channels = width * 4
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        maps = []
        for i in range(self.stages):
            x = self.get_submodule(f"layer{i + 1}")(x)
            maps.append(x)
        return maps


class VGGFace2(FaceBase):
    """(n, 3, 224, 224) BGR less the mean -> (n, 2048), the pooled map. Features: the same before the dropout, as
    nothing lies behind the pooling but the classes it was trained on."""

    def __init__(self, dropout: float = 0.4, depths: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.dim = 256 * 2 ** (len(depths) - 1)
        self.body = Body(caffe=True, depths=depths)
        self.dropout = nn.Dropout(dropout)

    def features(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.body(x)[-1].mean((2, 3)))

    def embed(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.dropout(features))

    @staticmethod
    def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published checkpoints keep the body at the top and end in the classes (`fc`), which are not needed."""
        ours = {k if k.startswith("body.") else f"body.{k}": v for k, v in tensors.items()}
        return {k: v for k, v in ours.items() if not k.startswith(("body.fc.", "body.classifier."))}
