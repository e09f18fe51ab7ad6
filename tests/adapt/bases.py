"""Bases with random weights and footage of vectors, small enough to train in a blink."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from vcn_trt.ragged import Ragged
from vcn_trt.zoo import bases, manifest
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.vit import VisionTransformer


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Tiny(FaceBase):
    """Features of 3 x 4 x 4 numbers behind a BatchNorm, then a dropout, a linear layer and another BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 6
        self.manifest = replace(manifest.load("sface"), name="tiny")
        self.conv = nn.Conv2d(3, 3, 28, 28)
        self.bn = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(48, 6)
        self.fc_bn = nn.BatchNorm1d(6)

    def features(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x / 255))

    def embed(self, features: Tensor) -> Tensor:
        return self.fc_bn(self.fc(self.dropout(features).flatten(1)))


def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().eval()


def base_of(kind: str) -> FaceBase:
    """SFace, MobileFaceNet, or a small transformer of FaRL's form, at random."""
    torch.manual_seed(0)
    if kind != "vit":
        return bases.build(manifest.load(kind))
    vit = VisionTransformer(image=112, patch=28, width=16, layers=2, heads=2, dim=8)
    vit.manifest = replace(manifest.load("farl_b16"), name="small_vit", input_size=112)
    return vit.eval()


def tracks_of(*counts: int) -> Ragged:
    """Tracks of so many crops each, numbered in order."""
    return Ragged(np.arange(sum(counts)), np.cumsum([0, *counts]))


def no_matches(n_tracks: int) -> Ragged:
    return Ragged(np.zeros(0, np.int64), np.zeros(n_tracks + 1, np.int64))


def people(n_people: int, tracks_each: int, crops_each: int, dim: int = 16, views: int = 4) -> tuple[Tensor, Ragged]:
    """Vectors of people far from each other, their tracks near them, their crops and views nearer. Tracks of one person
    follow each other. (views, n_crops, dim)"""
    g = seeded(3)
    person = torch.randn(n_people, dim, generator=g).repeat_interleave(tracks_each, 0)
    track = (person + 0.3 * torch.randn(person.shape, generator=g)).repeat_interleave(crops_each, 0)
    vectors = track + 0.2 * torch.randn(views, *track.shape, generator=g)
    return vectors, tracks_of(*[crops_each] * (n_people * tracks_each))
