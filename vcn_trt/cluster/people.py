"""The people of a run and `clusters.json`: the answer that other programs read, written and read without what it took
to find it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.config import ClusterConfig
from vcn_trt.errors import RunError
from vcn_trt.ingest import align
from vcn_trt.ragged import ranges
from vcn_trt.types import UNKNOWN, Bridge, Clusters, Faces, Merge, Near, Tracks, TrackSet

SCHEMA = "vcn-trt/clusters/1"
FILE = "clusters.json"
KNOWN = {"tracks", "screen_seconds", "representative"}
"""What a cluster's tracks alone decide."""


def to_json(
    tracks: TrackSet,
    table: Tracks,
    people: Clusters,
    names: Mapping[int, str] | None = None,
    corrections: Sequence[str] = (),
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The answer in the form of the output contract. names: of clusters that have one; corrections: the ids of those
    that it agrees with; earlier: another answer on the same tracks, of whose clusters what is known is not found
    again."""
    names = names or {}
    known = {tuple(c["tracks"]): c for c in (earlier or {}).get("clusters", ()) if c.keys() >= KNOWN}
    clusters = []
    for number in range(1, people.n_clusters + 1):
        own = np.flatnonzero(table.cluster == number)
        person = known.get(tuple(own.tolist())) or _person(own, tracks, table)
        clusters.append(person | {"id": number, "name": names.get(number)})
    return {
        "schema": SCHEMA,
        "method": people.method,
        "videos": [store.video_to_json(video) for video in tracks.videos],
        "corrections": list(corrections),
        "clusters": clusters,
        "tracks": [
            {
                "id": track,
                "video": video,
                "shot": shot,
                "start": start,
                "stop": stop,
                "cluster": cluster,
                "status": status,
                "quality": quality,
                "threshold": threshold,
            }
            for track, video, shot, start, stop, cluster, status, quality, threshold in zip(
                *map(np.ndarray.tolist, (table.track, table.video, table.shot, table.start, table.stop)),
                *map(np.ndarray.tolist, (table.cluster, table.status)),
                *map(_numbers, (table.quality, people.thresholds)),
                strict=True,
            )
        ],
        "merges": [vars(merge) for merge in people.merges],
        "apart": [vars(near) for near in people.apart],
        "bridges": [vars(bridge) for bridge in people.bridges],
    }


def load(folder: Path, facts: dict[str, Any]) -> Clusters:
    """The answer in a run directory. Raises RunError where it is missing or of another schema."""
    return from_json(read(folder))


def read(folder: Path) -> dict[str, Any]:
    """The answer in a run directory, as it stands in the file. Raises RunError as `load`."""
    path = folder / FILE
    try:
        answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = answer["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); run `vcn run` on this folder again") from error
    if schema != SCHEMA:
        raise RunError(f"{path} is of schema {schema!r}, this version reads {SCHEMA!r}")
    return answer


@dataclass(frozen=True, eq=False)
class Read:
    """An answer as it stands in a file. stamp: of the file, as of `store.stamp`."""

    tree: dict[str, Any]
    stamp: store.Stamp


def read_again(folder: Path, before: Read | None) -> Read:
    """As `read`; what was read or written before is not parsed again while the file is the same."""
    stamp = store.stamp(folder / FILE)
    return before if before is not None and stamp == before.stamp else Read(read(folder), stamp)


def from_json(answer: dict[str, Any]) -> Clusters:
    """The other way round from `to_json`."""
    return Clusters(
        labels=np.array([t["cluster"] for t in answer["tracks"]], np.int32),
        thresholds=np.array(
            [np.nan if t["threshold"] is None else t["threshold"] for t in answer["tracks"]], np.float32
        ),
        merges=[Merge(**merge) for merge in answer["merges"]],
        method=answer.get("method", ""),
        apart=[Near(**near) for near in answer.get("apart", ())],
        bridges=[Bridge(b["track"], tuple(b["holds"])) for b in answer.get("bridges", ())],
    )


def relabelled(people: Clusters, labels: NDArray[np.int32]) -> Clusters:
    """The same tracks with other labels: (n_tracks,). Of what is in doubt, what these have settled goes."""
    bridges = [b for b in people.bridges if len({int(labels[t]) for t in (b.track, *b.holds)}) == 1]
    apart = [n for n in people.apart if labels[n.a] != labels[n.b]]
    return replace(people, labels=labels, apart=apart, bridges=bridges)


def by_size(found: NDArray[np.int64]) -> NDArray[np.int32]:
    """Any numbering to one from 1, most tracks first, ties by first track. (n,)"""
    _, first, group, size = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(first), np.int32)
    rank[np.lexsort((first, -size))] = np.arange(1, len(first) + 1)
    return rank[group]


def seen_together(table: Tracks) -> NDArray[np.int64]:
    """Pairs of tracks with a frame in common: two faces seen at once. (m, 2), first below second"""
    pairs = [np.zeros((0, 2), np.int64)]
    for video in np.unique(table.video):
        here = np.flatnonzero(table.video == video)
        here = here[np.argsort(table.start[here], kind="stable")]
        # Those that begin later, and before a track's end, follow it in a row.
        place = np.arange(len(here))
        follow = np.maximum(np.searchsorted(table.start[here], table.stop[here]) - place - 1, 0)
        one = np.repeat(place, follow)
        other = ranges(place + 1, follow)
        pairs.append(np.sort(np.stack([here[one], here[other]], 1), axis=1))
    found = np.concatenate(pairs)
    return np.asarray(found[np.lexsort((found[:, 1], found[:, 0]))])


def of_one_person(pairs: NDArray[np.int64], labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """The pairs of tracks that are one person. (m, 2)"""
    a, b = pairs.T
    return np.asarray(pairs[(labels[a] == labels[b]) & (labels[a] != UNKNOWN)])


def together(pairs: NDArray[np.int64], labels: NDArray[np.int32], config: ClusterConfig) -> list[str]:
    """What to tell of people who are in one frame with themselves: mirrors and screens exist, mistakes too."""
    if config.cannot_link == "off":
        return []
    people = np.unique(labels[of_one_person(pairs, labels)])
    return [f"person {c} is seen twice in one frame: look at the tracks" for c in people.tolist()]


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


def _person(own: NDArray[np.integer[Any]], tracks: TrackSet, table: Tracks) -> dict[str, Any]:
    face = _representative(tracks.faces, table[own])
    return {
        "id": 0,
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


def _numbers(values: NDArray[np.floating[Any]]) -> list[float | None]:
    return [None if math.isnan(x) else round(x, 6) for x in values.tolist()]
