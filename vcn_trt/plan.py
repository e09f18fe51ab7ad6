"""`vcn run --dry-run`: what a run would do, without doing it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vcn_trt import backends
from vcn_trt.config import Config
from vcn_trt.errors import ModelError, RunError, VideoError
from vcn_trt.run import check_same, read_record
from vcn_trt.sources import Source
from vcn_trt.types import CROP_SIZE
from vcn_trt.zoo import fetch

CROPS_A_SECOND = 4
"""Two people on screen, each sampled twice a second: what the labelled films have on average, rounded up."""

CROP_BYTES = CROP_SIZE * CROP_SIZE * 3


@dataclass(frozen=True)
class PlannedVideo:
    """One line of the plan; `problem` where it will be left out."""

    path: str
    description: str = ""
    frames: int = 0
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Plan:
    """out: the run directory, and what would become of one that is there; refused: nothing could start. models: name
    to path, or what to do. disk_bytes: an estimate of what the run will take, twice its crops while it joins them."""

    out: str
    folder_state: str
    refused: bool
    device: str
    videos: list[PlannedVideo]
    models: dict[str, str]
    disk_bytes: int
    free_bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def make(sources: Sequence[Source], out: Path, config: Config, update: bool) -> Plan:
    """Open every video and look for every model; nothing is written."""
    backend = backends.open(config.device)
    videos = []
    for source in sources:
        try:
            decoder = backend.open_decoder(source.path, 0, config.decode)
        except VideoError as error:
            videos.append(PlannedVideo(str(source.path), problem=str(error)))
            continue
        v = decoder.video
        decoder.close()
        seconds = v.seconds or (v.frames / float(v.fps) if v.fps else 0.0)
        text = f"{v.codec} {v.width}x{v.height}, {float(v.fps):.3f} fps, {seconds:.1f} s"
        videos.append(PlannedVideo(str(source.path), text, v.frames, seconds))
    where = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    rate = CROPS_A_SECOND * 0.5 / config.crops.interval_seconds
    models = {name: _state(name) for name in (config.detect.model, config.embed.model)}
    state, refused = _folder(out, where, config, sources, update)
    return Plan(
        out=str(out),
        folder_state=state,
        refused=refused or any(not fine for _, fine in models.values()),
        device=backend.description,
        videos=videos,
        models={name: state for name, (state, _) in models.items()},
        disk_bytes=int(2 * rate * CROP_BYTES * sum(v.seconds for v in videos)) + (1 << 20),
        free_bytes=shutil.disk_usage(where).free,
    )


def _folder(out: Path, where: Path, config: Config, sources: Sequence[Source], update: bool) -> tuple[str, bool]:
    """What would become of the run directory, and whether it would be refused."""
    if not os.access(where, os.W_OK):
        return f"cannot be written ({where})", True
    if not (out / "run.json").exists():
        taken = out.exists() and any(f.name != ".work" for f in out.iterdir())
        return ("is not empty and holds no run", True) if taken else ("new", False)
    try:
        if update:
            read_record(out)
            return "a run is there: what this changes would be computed anew", False
        check_same(out, config, sources)
    except RunError as error:
        return str(error), True
    return "a run is there: it would go on, or is done", False


def _state(model: str) -> tuple[str, bool]:
    """Where a model's weights are, or what is amiss; and whether a run could start."""
    try:
        return str(fetch.path(model)), True
    except ModelError as error:
        return ("will be fetched", True) if fetch.to_fetch(model) else (str(error), False)
