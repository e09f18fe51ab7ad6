"""The kept crops through the face-ID base (Algorithm 1, stage 3.1), a vector each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt import store
from vcn_trt.backends.base import Backend, Network
from vcn_trt.config import EmbedConfig
from vcn_trt.overlap import cores, map_ahead
from vcn_trt.run import Desk, Stage
from vcn_trt.types import Embeddings, TrackSet
from vcn_trt.zoo.base import prepare
from vcn_trt.zoo.bases import load_base
from vcn_trt.zoo.export import cached_onnx
from vcn_trt.zoo.manifest import Manifest
from vcn_trt.zoo.models import open_model

FILE = "embeddings.npz"


@dataclass(frozen=True)
class Base:
    """A face-ID base, ready to run."""

    manifest: Manifest
    network: Network
    identity: str


def open_base(name_or_path: str, backend: Backend) -> Base:
    """The base that a config names. Raises ModelError where it is not here or not what it should be: before hours of
    ingest, not after."""
    model = open_model(name_or_path, "base")
    network = backend.open_network(cached_onnx(load_base(f"{model.manifest.name}={model.path}")))
    return Base(model.manifest, network, model.identity)


def embed(desk: Desk, tracks: TrackSet, base: Base, backend: Backend, config: EmbedConfig) -> dict[str, Any]:
    """Embed every kept crop; a rejected one has a row of NaN. -> facts for the record"""
    network, manifest = base.network, base.manifest
    kept = np.flatnonzero(tracks.crops.kept)
    vectors = np.full((len(tracks.crops), manifest.dim), np.nan, np.float32)
    batches = [kept[i : i + config.batch] for i in range(0, len(kept), config.batch)]

    def look(rows: Any) -> Any:
        return backend.ops.to_numpy(network({"input": prepare(tracks.images[rows], manifest)})["embedding"])

    done = 0
    for rows, found in map_ahead(look, batches, cores()):
        vectors[rows] = found
        done += len(rows)
        desk.progress(done, len(kept), "crops")
    store.write_embeddings(desk.folder / FILE, Embeddings(vectors))
    return {"model": manifest.name, "crops": len(kept), "dim": manifest.dim}


def load(folder: Path, facts: dict[str, Any]) -> Embeddings:
    return store.read_embeddings(folder / FILE)


EMBED = Stage(name="embed", version=1, files=(FILE,), compute=embed, load=load)
