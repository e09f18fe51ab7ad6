"""A model as a stage's input: its manifest, the file of its weights, and what tells it from another."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch
from vcn_trt.zoo.manifest import Manifest


@dataclass(frozen=True)
class Model:
    """`identity` tells weights and conventions from others: a run made with those is not taken for the same."""

    name: str
    manifest: Manifest
    path: Path
    identity: str


def open_model(name_or_path: str, kind: str) -> Model:
    """The "detector" or "base" that a config names. Raises ModelError where it is not here, damaged, or of the other
    kind."""
    manifest, path = fetch.resolve(name_or_path)
    if manifest.kind != kind:
        raise ModelError(f"{name_or_path} is a {manifest.kind} ({manifest.title}); expected a {kind}")
    conventions = hashlib.sha256(repr(asdict(manifest)).encode()).hexdigest()
    return Model(name_or_path, manifest, path, f"{fetch.sha256_of(path)} {conventions[:16]}")
