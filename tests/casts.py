"""A made run directory for what editors use: tracks in shots, clusters with names, as if a run had found them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt import store
from vcn_trt.answer import Answer
from vcn_trt.config import Config, to_dict
from vcn_trt.run import write_text
from vcn_trt.sources import fingerprint
from vcn_trt.types import CROP_SIZE, UNKNOWN, Clusters, Crops, Faces, Shots, Tracks, TrackSet, Video


@dataclass(frozen=True)
class Seen:
    """A track: frames start to stop of a video, its cluster, and its status where it has none."""

    start: int
    stop: int
    cluster: int = UNKNOWN
    video: int = 0
    status: str = "ok"


@dataclass(frozen=True)
class Film:
    """cuts: where shots begin, besides 0. times: of every frame and of the end; evenly where none are given."""

    name: str = "A001.mov"
    fps: Fraction = Fraction(25)
    frames: int = 200
    cuts: Sequence[int] = ()
    timecode: str | None = None
    times: Sequence[float] | None = None
    reel: str | None = None
    folder: str = "/films"

    def seconds(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array(self.times if self.times is not None else np.arange(self.frames + 1) / float(self.fps))


@dataclass
class Made:
    answer: Answer
    tracks: TrackSet
    labels: np.ndarray[tuple[int], np.dtype[np.int32]]
    names: dict[int, str | None] = field(default_factory=dict)


def answer(
    folder: Path, films: Sequence[Film], seen: Sequence[Seen], names: Mapping[int, str | None] | None = None
) -> Made:
    """A finished run in `folder`. Faces are 20 pixels wide, one beside the other; a crop a track shows its number."""
    videos = [
        Video(
            i,
            f"{f.folder}/{f.name}",
            f.fps,
            f.frames,
            320,
            180,
            f.timecode,
            seconds=float(f.seconds()[-1]),
            reel=f.reel,
        )
        for i, f in enumerate(films)
    ]
    shots = [
        (v, s, a, b, film.seconds()[a], film.seconds()[b])
        for v, film in enumerate(films)
        for s, (a, b) in enumerate(zip([0, *film.cuts], [*film.cuts, film.frames], strict=True))
    ]
    columns = dict(
        zip(("video", "shot", "start", "stop", "start_seconds", "stop_seconds"), zip(*shots, strict=True), strict=True)
    )
    rows = [(t, s.video, f) for t, s in enumerate(seen) for f in range(s.start, s.stop)]
    track, video, frame = np.array(rows, np.int64).reshape(-1, 3).T
    x = 10.0 + 24 * track
    faces = Faces.empty(len(rows)).with_columns(
        track=track,
        video=video,
        frame=frame,
        seconds=np.array([films[v].seconds()[f] for _, v, f in rows]),
        box=np.stack([x, np.full(len(rows), 30.0), x + 20, np.full(len(rows), 54.0)], 1).reshape(-1, 4),
    )
    shot = [int(np.searchsorted([0, *films[s.video].cuts], s.start, side="right")) - 1 for s in seen]
    n = len(seen)
    labels = np.array([s.cluster for s in seen], np.int32)
    middle = np.array([(s.start + s.stop) // 2 for s in seen], np.int64)
    tracks = TrackSet(
        videos=videos,
        shots=Shots(**{k: np.array(v) for k, v in columns.items()}),
        faces=faces,
        tracks=Tracks.empty(n).with_columns(
            track=np.arange(n),
            video=np.array([s.video for s in seen], np.int32),
            shot=np.array(shot, np.int32),
            start=np.array([s.start for s in seen], np.int64),
            stop=np.array([s.stop for s in seen], np.int64),
            status=np.array([s.status for s in seen], "U8"),
            cluster=labels,
            representative_frame=middle,
        ),
        crops=Crops.empty(n).with_columns(track=np.arange(n), frame=middle, kept=np.ones(n, bool)),
        images=np.broadcast_to(20 * np.arange(n, dtype=np.uint8)[:, None, None, None], (n, CROP_SIZE, CROP_SIZE, 3)),
    )
    known: dict[int, str | None] = {n: (names or {}).get(n) for n in range(1, int(labels.max(initial=0)) + 1)}
    people = Clusters(labels, np.full(n, np.nan, np.float32), method="hac")
    record: dict[str, Any] = {
        "schema": "vcn-trt/run/1",
        "config": to_dict(Config()),
        "sources": [{"path": v.path, "fingerprint": fingerprint(Path(v.path))} for v in videos],
        **{"stages": {}, "state": "done", "videos": [store.video_to_json(v) for v in videos], "failed": []},
    }
    made = Made(Answer(folder, tracks, people, record), tracks, labels, known)
    _save(made)
    return made


def _save(made: Made) -> None:
    """The run directory that `open_run` reads."""
    folder, tracks = made.answer.folder, made.tracks
    folder.mkdir(parents=True, exist_ok=True)
    store.write_table(folder / "shots.parquet", [tracks.shots], Shots)
    store.write_table(folder / "faces.parquet", [tracks.faces], Faces)
    store.write_table(folder / "tracks.parquet", [tracks.tracks], Tracks)
    store.write_table(folder / "crops.parquet", [tracks.crops], Crops)
    store.write_images(folder / "crops.npy", len(tracks.images), iter([tracks.images[:]]))
    write_text(folder / "run.json", json.dumps(made.answer.record, ensure_ascii=False))
    answer = {
        "schema": "vcn-trt/clusters/1",
        "clusters": [{"id": number, "name": name} for number, name in made.names.items()],
        "tracks": [{"cluster": int(label), "threshold": None} for label in made.labels],
        "merges": [],
    }
    write_text(folder / "clusters.json", json.dumps(answer, ensure_ascii=False))
