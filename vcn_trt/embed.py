"""The kept crops through the face-ID base as it comes: a vector each (Algorithm 1, stage 3.1), and how good a picture
of a face the base takes it for (section 3.6)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from vcn_trt import store
from vcn_trt.adapt.serfiq import crop_quality, scrambled
from vcn_trt.backends.base import Backend, Network
from vcn_trt.config import EmbedConfig
from vcn_trt.errors import UsageError
from vcn_trt.halving import halving
from vcn_trt.overlap import cores, map_ahead
from vcn_trt.run import Desk, Stage
from vcn_trt.spread import evenly
from vcn_trt.types import BaseVectors, TrackSet
from vcn_trt.zoo.base import FaceBase, prepare
from vcn_trt.zoo.bases import load_base
from vcn_trt.zoo.export import cached_onnx
from vcn_trt.zoo.manifest import Manifest
from vcn_trt.zoo.models import open_model

FILE = ".work/base.npz"

CARD_BATCH = 256
"""Crops a call on a card, where few leave most of it idle."""

PROOF = 16
"""Crops of the footage on which the network is held to float32 before the others pass it."""

SCRAMBLED = 64
"""Pictures without a face that are measured: their median quality is then known within 0.005."""


@dataclass(frozen=True)
class Base:
    """A face-ID base, ready to run: in torch, to train and to drop out, and as a network of the backend. open: makes
    such a network of these weights or of others."""

    manifest: Manifest
    torch: FaceBase
    network: Network
    identity: str
    open: Callable[[FaceBase], Network]


def open_base(name_or_path: str, backend: Backend, engine: Literal["backend", "torch_tensorrt"] = "backend") -> Base:
    """The base that a config names, run by the backend's engine or by torch-tensorrt. Raises ModelError where it is not
    here or not what it should be: before hours of ingest, not after."""
    model = open_model(name_or_path, "base")
    base = load_base(f"{model.manifest.name}={model.path}")

    def opened(base: FaceBase) -> Network:
        if engine == "backend":
            return backend.open_network(cached_onnx(base))
        from vcn_trt.backends.cuda.torch_trt import TorchTensorrtNetwork

        return TorchTensorrtNetwork(base, backend.torch_device)

    if engine != "backend" and not backend.torch_device.startswith("cuda"):
        raise UsageError(f"embed.engine={engine} needs a card: run with --device cuda:0, or leave it at backend")

    return Base(model.manifest, base, opened(base), model.identity, opened)


def embed(
    desk: Desk, tracks: TrackSet, base: Base, backend: Backend, config: EmbedConfig, passes: int
) -> dict[str, Any]:
    """Embed every kept crop and judge it by so many `passes` (0: not at all); a rejected one has a row of NaN. -> facts
    for the record"""
    kept = np.flatnonzero(tracks.crops.kept)
    vectors = np.full((len(tracks.crops), base.manifest.dim), np.nan, np.float32)
    scores = np.full(len(tracks.crops), np.nan, np.float32)

    device = torch.device(backend.torch_device)
    judge = base.torch if device.type == "cpu" else copy.deepcopy(base.torch).to(device)
    batch = config.batch if device.type == "cpu" else max(config.batch, CARD_BATCH)
    fits = batch

    def see(images: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
        found = base.network({"input": prepare(images, base.manifest)})
        vector = backend.ops.to_numpy(found["embedding"])
        if not passes:
            return vector, np.full(len(vector), np.nan, np.float32)
        # The same masks in every run: a crop's quality is its own, whatever the seed.
        generator = torch.Generator().manual_seed(0)
        return vector, crop_quality(from_dlpack(found["features"]), judge, passes, generator=generator).cpu().numpy()

    def look(images: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
        nonlocal fits
        seen, fits = halving(lambda parts: [see(images[part]) for part in parts], len(images), fits)
        return np.concatenate([vector for vector, _ in seen]), np.concatenate([score for _, score in seen])

    if len(kept):
        some = kept[evenly(len(kept), PROOF)]
        base.network.proven_on({"input": prepare(tracks.images[some], base.manifest)})

    def batches(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [rows[i : i + batch] for i in range(0, len(rows), batch)]

    done = 0
    for rows, (vector, score) in map_ahead(lambda rows: look(tracks.images[rows]), batches(kept), cores()):
        vectors[rows], scores[rows] = vector, score
        done += len(rows)
        desk.progress(done, len(kept), "crops")
    faceless = np.nan
    if passes and len(kept):
        some = kept[evenly(len(kept), SCRAMBLED)]
        pictures = scrambled(tracks.images[some], np.random.default_rng(0))
        measured = map_ahead(lambda rows: look(pictures[rows])[1], batches(np.arange(len(some))), cores())
        faceless = float(np.median(np.concatenate([score for _, score in measured])))
    path = desk.folder / FILE
    path.parent.mkdir(exist_ok=True)
    store.write_embeddings(path, BaseVectors(vectors, scores, faceless))
    facts = {"model": base.manifest.name, "crops": len(kept), "dim": base.manifest.dim}
    if passes and len(kept):
        facts |= {"median_quality": round(float(np.nanmedian(scores)), 4), "faceless_quality": round(faceless, 4)}
    return facts


def load(folder: Path, facts: dict[str, Any]) -> BaseVectors:
    return store.read_base_vectors(folder / FILE)


EMBED = Stage(name="embed", version=2, files=(FILE,), compute=embed, load=load)
