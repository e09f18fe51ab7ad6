"""IResNet-100 as ArcFace uses it (Deng et al., CVPR 2019) and IR-101 as AdaFace does (Kim et al., CVPR 2022):
pre-activated blocks BN-conv-BN-PReLU-conv-BN, then BN -> dropout -> FC -> BN to 512 numbers.

The two differ in one thing: where a stage begins, ArcFace projects the shortcut, AdaFace projects it only where the
width changes and otherwise takes every second pixel. Names are those of ArcFace's published checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from vcn_trt.zoo.base import FaceBase

DEPTHS = (3, 13, 30, 3)
_WIDTHS = (64, 128, 256, 512)


class Block(nn.Module):
    """`adaface` runs its shortcut first, so it is registered first: weights are matched in running order."""

    def __init__(self, channels: int, out: int, stride: int, adaface: bool) -> None:
        super().__init__()
        self.adaface = adaface
        if adaface:
            self.downsample = _shortcut(channels, out, stride, project=channels != out)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, 1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.prelu = nn.PReLU(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        if not adaface:
            self.downsample = _shortcut(channels, out, stride, project=stride != 1 or channels != out)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x) if self.adaface else None
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return cast(Tensor, y + (self.downsample(x) if shortcut is None else shortcut))


class IResNet(FaceBase):
    """(n, 3, 112, 112) in -1..1, RGB (ArcFace) or BGR (AdaFace) -> (n, 512). Features: (n, 512, 7, 7)."""

    def __init__(self, adaface: bool = False, dropout: float = 0.4, depths: tuple[int, int, int, int] = DEPTHS) -> None:
        super().__init__()
        self.dim = 512
        self.conv1 = nn.Conv2d(3, 64, 3, 1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        channels = 64
        for i, (depth, out) in enumerate(zip(depths, _WIDTHS, strict=True)):
            blocks = []
            for j in range(depth):
                blocks.append(Block(channels, out, 1 if j else 2, adaface))
                channels = out
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels * 7 * 7, self.dim)
        self.features_bn = nn.BatchNorm1d(self.dim)

    def features(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for i in range(len(DEPTHS)):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return cast(Tensor, self.bn2(x))

    def embed(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.features_bn(self.fc(self.dropout(features).flatten(1))))

    @staticmethod
    def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """ArcFace's last BatchNorm is called `features` there, a method here."""
        return {re.sub(r"^features\.", "features_bn.", k): v for k, v in tensors.items()}

    @staticmethod
    def rename_adaface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """AdaFace's checkpoints number their layers: input_layer.0, body.N.res_layer.M, output_layer.0. Its last
        BatchNorm has no scale of its own (one and zero), and the class head is left out."""
        stem = {"input_layer.0": "conv1", "input_layer.1": "bn1", "input_layer.2": "prelu"}
        tail = {"output_layer.0": "bn2", "output_layer.3": "fc", "output_layer.4": "features_bn"}
        inner = dict(enumerate(("bn1", "conv1", "bn2", "prelu", "conv2", "bn3")))
        places = [f"layer{i + 1}.{j}" for i, depth in enumerate(DEPTHS) for j in range(depth)]
        ours = {}
        for key, value in tensors.items():
            block = re.match(r"body\.(\d+)\.(res_layer|shortcut_layer)\.(\d+)\.(.+)", key)
            if block and int(block[1]) < len(places):
                part = inner.get(int(block[3]), block[3]) if block[2] == "res_layer" else f"downsample.{block[3]}"
                ours[f"{places[int(block[1])]}.{part}.{block[4]}"] = value
            elif not key.startswith("head."):
                layer, _, name = key.rpartition(".")
                ours[f"{ {**stem, **tail}.get(layer, layer) }.{name}"] = value
        if "features_bn.running_mean" in ours and "features_bn.weight" not in ours:
            mean = ours["features_bn.running_mean"]
            ours |= {"features_bn.weight": mean.new_ones(len(mean)), "features_bn.bias": mean.new_zeros(len(mean))}
        return ours


def _shortcut(channels: int, out: int, stride: int, project: bool) -> nn.Module:
    if project:
        return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    return nn.MaxPool2d(1, stride) if stride != 1 else nn.Identity()
