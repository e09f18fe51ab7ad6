"""SFace (Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss", TIP 2021): MobileNet-v1 with PReLU, then
BN -> dropout -> FC -> BN to 128 numbers, as ArcFace ends. The blocks run at 112, 56, 28, 14 and 7 pixels."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from vcn_trt.zoo.base import FaceBase

# (channels out, stride) of the depthwise-separable blocks.
_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


class SFace(FaceBase):
    """(n, 3, 112, 112) RGB in -1..1 -> (n, 128). Features: (n, 1024, 7, 7)."""

    def __init__(self, dropout: float = 0.4) -> None:
        super().__init__()
        self.dim = 128
        self.stem = _unit(3, 32, kernel=3)
        channels, blocks = 32, []
        for out, stride in _BLOCKS:
            depthwise = _unit(channels, channels, kernel=3, stride=stride, groups=channels)
            blocks.append(nn.Sequential(depthwise, _unit(channels, out, kernel=1)))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(channels, eps=2e-5)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels * 7 * 7, self.dim)
        self.fc_bn = nn.BatchNorm1d(self.dim, eps=2e-5)

    def features(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.bn(self.blocks(self.stem(x))))

    def embed(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.fc_bn(self.fc(self.dropout(features).flatten(1))))


def _unit(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out, eps=1e-3), nn.PReLU(out))
