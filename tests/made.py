"""Footage that is made, and a base for it: people are patterns, and what a stage makes of them is known."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vcn_trt.embed import Base
from vcn_trt.errors import ModelError
from vcn_trt.ingest.align import TEMPLATE
from vcn_trt.types import CROP_SIZE, Crops, Faces, Shots, Tracks, TrackSet, Video
from vcn_trt.zoo import manifest
from vcn_trt.zoo.base import FaceBase

Pictures = NDArray[np.uint8]


class Projection(FaceBase):
    """A picture reduced to 14x14 pixels, then a random projection behind a dropout: it keeps what is alike alike."""

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.dim = dim
        self.manifest = replace(
            manifest.load("sface"), name="projection", dim=dim, mean=(127.5,) * 3, std=(1.0,) * 3, scale=1 / 127.5
        )
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(3 * 14 * 14, dim, bias=False)

    def features(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 8)

    def embed(self, features: Tensor) -> Tensor:
        return self.fc(self.dropout(features).flatten(1))


class TorchNetwork:
    """A base as the backend's network."""

    input_names, output_names = ("input",), ("embedding", "features")

    def __init__(self, base: FaceBase) -> None:
        self.base = copy.deepcopy(base)

    @torch.no_grad()
    def __call__(self, inputs: Any) -> dict[str, Any]:
        features = self.base.features(torch.as_tensor(inputs["input"]))
        return {"features": features.numpy(), "embedding": self.base.embed(features).numpy()}

    def refit(self, weights: Any) -> None:
        if unknown := self.base.load_state_dict(weights, strict=False).unexpected_keys:
            raise ModelError(f"no weight {unknown[0]!r}")

    def proven_on(self, inputs: Any) -> bool:
        return True


def projection() -> FaceBase:
    torch.manual_seed(0)
    return Projection().eval()


def base_from(torch_base: FaceBase) -> Base:
    return Base(torch_base.manifest, torch_base, TorchNetwork(torch_base), torch_base.manifest.name, TorchNetwork)


def pictures_of(person: int, n: int, track: int = 0, spread: float = 0.15) -> Pictures:
    """n crops of one track: the person's pattern, its mirror image beside it, and what differs from track to track and
    from crop to crop. (n, 112, 112, 3)"""

    def pattern(*seed: int) -> NDArray[np.float64]:
        half = np.random.default_rng(seed).normal(size=(14, 7, 3))
        return np.concatenate([half, half[:, ::-1]], 1)

    rows = [pattern(1, person) + spread * (pattern(2, person, track) + pattern(3, person, track, i)) for i in range(n)]
    small = [(128 + 50 * row).clip(0, 255).astype(np.uint8) for row in rows]
    whole = [cv2.resize(s, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC) for s in small]
    return np.stack(whole) if whole else np.zeros((0, CROP_SIZE, CROP_SIZE, 3), np.uint8)


def track_set(
    tracks: Sequence[Pictures],
    starts: Sequence[int] | None = None,
    kept: NDArray[np.bool_] | None = None,
    status: Sequence[str] | None = None,
) -> TrackSet:
    """A track for each stack of crops, a crop a frame: one after the other, or from the frames given. kept: of all
    crops in order, all where it is not given."""
    counts = np.array([len(t) for t in tracks], np.int64)
    begin = np.cumsum(counts) - counts if starts is None else np.array(starts, np.int64)
    n, rows = len(tracks), int(counts.sum())
    track = np.repeat(np.arange(n), counts)
    frame = np.concatenate([np.zeros(0, np.int64), *(b + np.arange(c) for b, c in zip(begin, counts, strict=True))])
    end = int((begin + counts).max(initial=1))
    faces = Faces.empty(rows).with_columns(
        track=track,
        frame=frame,
        seconds=frame / 24,
        box=np.tile([0, 0, 60.0, 60.0], (rows, 1)),
        landmarks=np.tile(TEMPLATE * 60 / CROP_SIZE, (rows, 1, 1)),
    )
    crops = Crops.empty(rows).with_columns(track=track, frame=frame, kept=np.ones(rows, bool) if kept is None else kept)
    table = Tracks.empty(n).with_columns(
        track=np.arange(n),
        start=begin,
        stop=begin + counts,
        n_faces=counts,
        n_crops=counts,
        quality=np.full(n, np.nan),
        status=np.array(["ok"] * n if status is None else list(status)),
        cluster=np.full(n, -1),
        representative_frame=begin,
    )
    shots = Shots.empty(1).with_columns(stop=[end], stop_seconds=[end / 24])
    images = np.concatenate([np.zeros((0, CROP_SIZE, CROP_SIZE, 3), np.uint8), *tracks])
    return TrackSet([Video(0, "made.mp4", Fraction(24), end, 320, 180)], shots, faces, table, crops, images)
