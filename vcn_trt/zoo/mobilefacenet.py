"""MobileFaceNet (Chen et al., CCBR 2018): inverted residual blocks, a 7x7 global depthwise convolution, 192 numbers.
Its BatchNorms are folded into the convolutions, as in the file that it is loaded from."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from vcn_trt.zoo.base import FaceBase

# (channels inside, channels out, stride, how often) of the blocks, at 56 pixels and from there 28, 14, 7.
_BLOCKS = [(128, 64, 2, 1), (128, 64, 1, 4), (256, 128, 2, 1), (256, 128, 1, 6), (512, 128, 2, 1), (256, 128, 1, 2)]


class MobileFaceNet(FaceBase):
    """(n, 3, 112, 112) RGB in -1..1 -> (n, 192). Features: (n, 512, 1, 1) behind the global depthwise convolution."""

    def __init__(self, dropout: float = 0.4) -> None:
        super().__init__()
        self.dim = 192
        self.stem = nn.Sequential(Convolution(3, 64, 3, stride=2), nn.PReLU(64))
        self.first = nn.Sequential(Convolution(64, 64, 3, groups=64), nn.PReLU(64), Convolution(64, 64, 1))
        channels, blocks = 64, []
        for inside, out, stride, times in _BLOCKS:
            for _ in range(times):
                blocks.append(Block(channels, inside, out, stride))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.expand = nn.Sequential(Convolution(channels, 512, 1), nn.PReLU(512))
        self.pool = nn.Conv2d(512, 512, 7, groups=512)
        self.mix = nn.Conv2d(512, 512, 1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Conv2d(512, self.dim, 1)

    def features(self, x: Tensor) -> Tensor:
        x = self.expand(self.blocks(self.first(self.stem(x))))
        return cast(Tensor, self.mix(self.pool(x)))

    def embed(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.dropout(features)).flatten(1))


class Block(nn.Module):
    """Expand, filter, project; the input is added where the shape stays."""

    def __init__(self, channels: int, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(Convolution(channels, inside, 1), nn.PReLU(inside)),
            *(Convolution(inside, inside, 3, stride, groups=inside), nn.PReLU(inside)),
            Convolution(inside, out, 1),
        )
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return cast(Tensor, x + y if self.residual else y)


class Convolution(nn.Conv2d):
    """Padded as TensorFlow does: at stride 2 an even picture gets its one row and column right and below alone."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        uneven = kernel == 3 and stride == 2
        super().__init__(channels, out, kernel, stride, padding=0 if uneven else kernel // 2, groups=groups)
        self.margins = (0, 1, 0, 1) if uneven else None  # left, right, above, below

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.margins) if self.margins else x)
