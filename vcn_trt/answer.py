"""A finished run, read: what editing, reporting and measuring begin with, without what it took to find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcn_trt import store
from vcn_trt.cluster import people
from vcn_trt.errors import RunError
from vcn_trt.run import FINISHED, read_record
from vcn_trt.types import Clusters, TrackSet


@dataclass(frozen=True, eq=False)
class Answer:
    """A finished run directory: who is on screen, when. record: its run.json."""

    folder: Path
    tracks: TrackSet
    people: Clusters
    record: dict[str, Any]

    @property
    def failed(self) -> list[dict[str, str]]:
        """The videos that could not be read: path and reason."""
        failed: list[dict[str, str]] = self.record["failed"]
        return failed


def open_run(folder: str | Path) -> Answer:
    """A finished run directory. Raises RunError where it is none, or was broken off before its answer."""
    folder = Path(folder)
    record = read_record(folder)
    if record["state"] not in FINISHED:
        raise RunError(
            f"{folder} holds no finished run (its state is {record['state']!r}): run `vcn run` on this folder again"
        )
    videos = [store.video_from_json(v) for v in record["videos"]]
    tracks = store.read_track_set(folder, "tracks.parquet", videos)
    return Answer(folder, tracks, people.load(folder, {}), record)
