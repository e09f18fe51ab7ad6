"""The kept crops of a run as a training sees them: in all their views, through the frozen part of the base on the
backend's network."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.adapt.refit import running
from vcn_trt.adapt.split import Trains, Views, open_views
from vcn_trt.backends.base import Network
from vcn_trt.config import AdaptConfig
from vcn_trt.run import Desk
from vcn_trt.spread import evenly
from vcn_trt.types import Crops, Faces, TrackSet
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.export import content_hash


class Kept:
    """The pictures of some rows, in order. sides: (n,) the shorter sides of their face boxes, in pixels of the
    picture."""

    def __init__(self, tracks: TrackSet, rows: NDArray[np.int64]) -> None:
        self.images, self.rows = tracks.images, rows
        self.sides = _sides(tracks.faces, tracks.crops)[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return self.images[self.rows[rows]]

    def some(self, n: int) -> NDArray[np.uint8]:
        """At most n of them, evenly spread."""
        return self[evenly(len(self), n)]

    def digest(self) -> str:
        """sha256 of them."""
        digest = hashlib.sha256()
        for i in range(0, len(self), 256):
            digest.update(np.ascontiguousarray(self[i : i + 256]).data)
        return digest.hexdigest()


def views_of(
    desk: Desk,
    images: Kept,
    base: FaceBase,
    network: Network | None,
    trains: Trains,
    device: torch.device,
    config: AdaptConfig,
    seed: int,
) -> Views:
    """The views of a training on the device. network: of the same weights as `base`; None lets torch look. What a head
    alone trains on is kept: another training need not make it again."""
    sides = images.sides if config.footage_sizes else None
    output = "features" if trains == "last" else "embedding"

    def told(done: int, total: int) -> None:
        desk.progress(done, total, "crops")

    def opened() -> Views:
        with nullcontext() if network is None else running(network, output, device) as frozen:
            return open_views(base, images, sides, trains, config.views, seed, device, frozen, told)

    if trains != "head":
        return opened()
    parts = [content_hash(base), config.views, seed, [images.digest(), None if sides is None else sides.tolist()]]
    path = desk.keep / f"views-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}.npz"
    kept_before = store.read_npz(path)
    if kept_before is not None:
        return Views.cached(base, "head", torch.from_numpy(kept_before["values"]).to(device))
    views = opened()
    for old in desk.keep.glob("views-*.npz"):
        old.unlink()
    store.replace_npz(path, {"values": views.content.cpu().numpy()})
    return views


def _sides(faces: Faces, crops: Crops) -> NDArray[np.float32]:
    first = np.searchsorted(faces.track, crops.track)
    rows = first + (crops.frame - faces.frame[first])  # a track has a face in every frame, interpolated or seen
    size = faces.box[rows, 2:] - faces.box[rows, :2]
    return np.asarray(size.min(1), np.float32)
