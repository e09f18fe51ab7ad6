"""What one video gave, on disk: so that a production of many goes on after the last that was finished."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vcn_trt.ingest.sample import SampledCrops, SampledTracks
from vcn_trt.ingest.stream import Ingested
from vcn_trt.store import read_npz, replace_npz, video_from_json, video_to_json
from vcn_trt.types import Shots, Table

FILE = "part.npz"
AnyTable = TypeVar("AnyTable", bound=Table)


def save(part: Ingested, folder: Path) -> None:
    """Write all but faces.bin and crops.bin, which are there; last and whole, so that it vouches for them."""
    notes = {
        "video": video_to_json(part.video),
        "lost": part.lost,
        "warnings": part.warnings,
        "notes": part.notes,
        "seconds": part.seconds,
        "resumed": part.resumed,
        "bytes": _sizes(folder),
    }
    tables = _columns("shots", part.shots) | _columns("tracks", part.tracks) | _columns("crops", part.crops)
    replace_npz(folder / FILE, {"notes": np.array(json.dumps(notes)), **tables})


def load(folder: Path) -> Ingested | None:
    """The part in a folder; None where it was not finished, or is damaged."""
    arrays = read_npz(folder / FILE)
    try:
        if arrays is None or (notes := json.loads(str(arrays["notes"])))["bytes"] != _sizes(folder):
            return None
        return Ingested(
            video=video_from_json(notes["video"]),
            shots=_table("shots", Shots, arrays),
            tracks=_table("tracks", SampledTracks, arrays),
            crops=_table("crops", SampledCrops, arrays),
            lost=notes["lost"],
            warnings=notes["warnings"],
            notes=notes["notes"],
            seconds=notes["seconds"],
            resumed=notes["resumed"],
        )
    except (KeyError, TypeError, ValueError, OSError):
        return None


def _sizes(folder: Path) -> list[int]:
    return [(folder / name).stat().st_size for name in ("faces.bin", "crops.bin")]


def _columns(prefix: str, table: Table) -> dict[str, Any]:
    return {f"{prefix}.{f.name}": getattr(table, f.name) for f in fields(table)}


def _table(prefix: str, kind: type[AnyTable], arrays: dict[str, Any]) -> AnyTable:
    return kind(**{f.name: arrays[f"{prefix}.{f.name}"] for f in fields(kind)})
