"""Runs that are grouped by the real stages from tracks that are there, without videos: again, and with corrections."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from made import base_from, pictures_of, projection, track_set

from vcn_trt import api, backends, pipeline, store
from vcn_trt.config import AdaptConfig, Config, QualityConfig
from vcn_trt.run import Run, Stage, hold, silent
from vcn_trt.sources import Source
from vcn_trt.types import UNKNOWN, Crops, Faces, Shots, Tracks, TrackSet

BACKEND = backends.open("cpu")
CONFIG = Config(adapt=AdaptConfig(rounds=0, outputs=64, views=2), quality=QualityConfig(rule="off"))


def people(*tracks_of_each: int) -> TrackSet:
    """So many tracks of each person, one person after the other, none at once with another."""
    return track_set([pictures_of(p, 4, t) for p, n in enumerate(tracks_of_each) for t in range(n)])


def group(folder: Path, tracks: TrackSet, config: Config = CONFIG, films: Sequence[str] = ("a",)) -> api.Answer:
    """A run as from videos, of tracks that are there. films: the fingerprint of each video."""
    videos = [replace(video, path=f"{film}.mp4") for film, video in zip(films, tracks.videos, strict=True)]
    tracks = replace(tracks, videos=videos)

    def write(desk: Any, *_: Any) -> dict[str, Any]:
        (desk.folder / ".work").mkdir()
        for name, kind in (("shots", Shots), ("faces", Faces), ("crops", Crops), (".work/tracks", Tracks)):
            table = getattr(tracks, name.removeprefix(".work/"))
            store.write_table(desk.folder / f"{name}.parquet", [table], kind)
        store.write_images(desk.folder / "crops.npy", len(tracks.images), iter([tracks.images[:]]))
        listed = [store.video_to_json(v) for v in videos]
        return {"videos": listed, "failed": [], "frames": 1, "resumed": True, "warnings": []}

    files = ("shots.parquet", "faces.parquet", "crops.parquet", "crops.npy", ".work/tracks.parquet")
    made = Stage("ingest", 1, files, write, lambda *_: tracks)
    sources = [Source(Path(f"{film}.mp4"), film) for film in films]
    content = hashlib.sha256(tracks.tracks.start.tobytes() + np.ascontiguousarray(tracks.images).tobytes()).hexdigest()
    with hold(folder, config, sources, update=True):
        run = Run(folder, config, sources, "cpu", silent)
        run.begin()
        found = run.stage(made, content, sources)
        pipeline.group(run, found, base_from(projection()), None, BACKEND)
        api.conclude(run)
    return api.open_run(folder)


def groups(answer: api.Answer) -> set[frozenset[int]]:
    labels = answer.people.labels
    return {frozenset(np.flatnonzero(labels == c).tolist()) for c in set(labels.tolist()) - {UNKNOWN}}
