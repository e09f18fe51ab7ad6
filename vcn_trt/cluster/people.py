"""The tracks grouped by person, and `clusters.json`: the answer that other programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.cluster.baselines import cluster_tracks
from vcn_trt.config import ClusterConfig
from vcn_trt.errors import RunError
from vcn_trt.ingest import align
from vcn_trt.ragged import Ragged
from vcn_trt.run import Desk, Stage, write_text
from vcn_trt.types import UNKNOWN, Clusters, Embeddings, Faces, Merge, Tracks, TrackSet

SCHEMA = "vcn-trt/clusters/1"
FILE = "clusters.json"
BASELINE_NOTE = (
    "The grouping is a baseline ({method}) on the face-ID network as it comes: "
    "this version does not yet adapt it to the footage."
)


def cluster(desk: Desk, tracks: TrackSet, vectors: Embeddings, config: ClusterConfig) -> dict[str, Any]:
    """Group the good tracks by person; the others are Unknown with their status. -> facts for the record"""
    desk.progress(0, tracks.n_tracks, "tracks")
    table = tracks.tracks
    kept = tracks.kept_by_track()
    rows = [r if s == "ok" else r[:0] for r, s in zip(kept, table.status, strict=True)]
    by_track = Ragged(vectors.base[np.concatenate([np.zeros(0, np.int64), *rows])], np.cumsum([0, *map(len, rows)]))
    people = cluster_tracks(by_track, config.method, threshold=config.threshold, k=config.k)
    labelled = table.with_columns(cluster=people.labels)
    store.write_table(desk.folder / "tracks.parquet", [labelled], Tracks)
    answer = to_json(tracks, labelled, people)
    write_text(desk.folder / FILE, json.dumps(answer, ensure_ascii=False) + "\n")
    desk.progress(tracks.n_tracks, tracks.n_tracks, "tracks")
    return {
        "method": config.method,
        "people": people.n_clusters,
        "tracks": len(table),
        "unknown": int((people.labels == UNKNOWN).sum()),
        "warnings": [BASELINE_NOTE.format(method=config.method)],
    }


def to_json(tracks: TrackSet, table: Tracks, people: Clusters) -> dict[str, Any]:
    """The answer in the form of the output contract."""
    return {
        "schema": SCHEMA,
        "method": people.method,
        "videos": [store.video_to_json(video) for video in tracks.videos],
        "clusters": [_person(c, tracks, table) for c in range(1, people.n_clusters + 1)],
        "tracks": [
            {
                "id": int(table.track[i]),
                "video": int(table.video[i]),
                "shot": int(table.shot[i]),
                "start": int(table.start[i]),
                "stop": int(table.stop[i]),
                "cluster": int(table.cluster[i]),
                "status": str(table.status[i]),
                "quality": _number(table.quality[i]),
                "threshold": _number(people.thresholds[i]),
            }
            for i in range(len(table))
        ],
        "merges": [vars(merge) for merge in people.merges],
    }


def load(folder: Path, facts: dict[str, Any]) -> Clusters:
    """The answer in a run directory. Raises RunError where it is missing or of another schema."""
    path = folder / FILE
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
        schema = answer["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); run `vcn run` on this folder again") from error
    if schema != SCHEMA:
        raise RunError(f"{path} is of schema {schema!r}, this version reads {SCHEMA!r}")
    return Clusters(
        labels=np.array([t["cluster"] for t in answer["tracks"]], np.int32),
        thresholds=np.array(
            [np.nan if t["threshold"] is None else t["threshold"] for t in answer["tracks"]], np.float32
        ),
        merges=[Merge(**merge) for merge in answer["merges"]],
        method=answer.get("method", ""),
    )


CLUSTER = Stage(name="cluster", version=1, files=("tracks.parquet", FILE), compute=cluster, load=load)


def screen_seconds(faces: Faces, own: NDArray[np.integer[Any]], fps: Sequence[float]) -> float:
    """How long any of these tracks is on screen: overlapping ones count once. own: track ids; fps: of each video."""
    total = 0.0
    first, last = np.searchsorted(faces.track, own), np.searchsorted(faces.track, own, side="right") - 1
    for video in np.unique(faces.video[first]):
        here = faces.video[first] == video
        starts, ends = faces.seconds[first[here]], faces.seconds[last[here]] + 1 / fps[video]
        reached = -np.inf
        for i in np.argsort(starts, kind="stable"):
            total += max(0.0, ends[i] - max(starts[i], reached))
            reached = max(reached, ends[i])
    return round(total, 3)


def _person(number: int, tracks: TrackSet, table: Tracks) -> dict[str, Any]:
    own = np.flatnonzero(table.cluster == number)
    face = _representative(tracks.faces, table[own])
    return {
        "id": number,
        "name": None,
        "tracks": own.tolist(),
        "screen_seconds": screen_seconds(tracks.faces, own, [float(v.fps) for v in tracks.videos]),
        "representative": {
            "track": int(tracks.faces.track[face]),
            "frame": int(tracks.faces.frame[face]),
            "box": [round(float(x), 1) for x in tracks.faces.box[face]],
        },
    }


def _representative(faces: Faces, own: Tracks) -> int:
    """The row of the most frontal representative face, among those not smaller than the median of them."""
    first = np.searchsorted(faces.track, own.track)
    rows = first + (own.representative_frame - faces.frame[first])
    marks = faces.landmarks[rows]
    side = (faces.box[rows, 2:] - faces.box[rows, :2]).min(1)
    frontal = align.frontalness(marks, align.similarity(marks))
    return int(rows[np.where(side >= np.median(side), frontal, -np.inf).argmax()])


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
