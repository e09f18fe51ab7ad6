"""A finished run, read: what editing, reporting and measuring begin with, without what it took to find it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcn_trt import store
from vcn_trt.cluster import people
from vcn_trt.errors import RunError
from vcn_trt.run import FINISHED, read_record
from vcn_trt.types import Clusters, TrackSet

TRACKS = "tracks.parquet"


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
    record = finished(folder)
    return Answer(folder, read_tracks(folder, record), people.load(folder, {}), record)


def finished(folder: Path) -> dict[str, Any]:
    """The record of a run. Raises RunError as `open_run`."""
    record = read_record(folder)
    if record["state"] not in FINISHED:
        raise RunError(
            f"{folder} holds no finished run (its state is {record['state']!r}): run `vcn run` on this folder again"
        )
    return record


def read_tracks(folder: Path, record: Mapping[str, Any]) -> TrackSet:
    """The tracks of a finished run. Raises RunError where they cannot be read."""
    return store.read_track_set(folder, TRACKS, [store.video_from_json(v) for v in record["videos"]])
