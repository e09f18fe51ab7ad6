"""The tracks grouped by person, and `clusters.json`: the answer that other programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.adapt.serfiq import mad_reject, track_quality, weak_tracks
from vcn_trt.adapt.stage import Adaptation
from vcn_trt.backends.base import Backend, Ops
from vcn_trt.cluster import cuml
from vcn_trt.cluster.alike import crop_profiles, track_profiles
from vcn_trt.cluster.baselines import by_size, cluster_tracks
from vcn_trt.cluster.calibrated import group_tracks
from vcn_trt.cluster.doubts import bridges, kept_apart
from vcn_trt.cluster.limits import calibrate
from vcn_trt.cluster.merge import MergeRules, merge_tracks
from vcn_trt.config import ClusterConfig, QualityConfig
from vcn_trt.errors import RunError
from vcn_trt.ingest import align
from vcn_trt.ragged import Ragged
from vcn_trt.run import Desk, Stage, write_text
from vcn_trt.types import STATUSES, UNKNOWN, BaseVectors, Bridge, Clusters, Faces, Merge, Near, Tracks, TrackSet

SCHEMA = "vcn-trt/clusters/1"
FILE = "clusters.json"
BASELINE_NOTE = (
    "The grouping is a baseline ({method}) on the {vectors} vectors, for comparison: cluster.method=vcn is the method."
)


def cluster(
    desk: Desk,
    tracks: TrackSet,
    base: BaseVectors,
    adapted: Adaptation,
    backend: Backend,
    config: ClusterConfig,
    quality: QualityConfig,
) -> dict[str, Any]:
    """Group the good tracks by person; the others are Unknown with their status. -> facts for the record"""
    desk.progress(0, tracks.n_tracks, "tracks")
    kept = tracks.kept_by_track()
    table = tracks.tracks.with_columns(quality=track_quality(Ragged(base.quality[kept.values], kept.offsets)))
    table, weak = judged(table, base.faceless, quality)
    rows = _some(kept, table.status == "ok")
    facts: dict[str, Any] = {"method": config.method, "warnings": []}
    pairs = seen_together(table)
    if config.method == "vcn":
        people, more = adapted_people(rows, weak, pairs, adapted, backend.ops, config)
        facts |= more
        alone = (table.status == "ok") & (people.labels == UNKNOWN)
        table = table.with_columns(status=np.where(alone, "quality", table.status))
    else:
        vectors = adapted.vectors.base if config.vectors == "base" else adapted.vectors.adapted
        by_track = Ragged(np.asarray(vectors)[rows.values], rows.offsets)
        device = backend.torch_device
        people = cluster_tracks(by_track, config.method, threshold=config.threshold, k=config.k, torch_device=device)
        if config.method in ("dbscan", "hdbscan"):
            facts["by"] = "cuML" if cuml.serves(device) else "scikit-learn"
        facts["warnings"].append(BASELINE_NOTE.format(method=config.method, vectors=config.vectors))
    facts["warnings"] += together(pairs, people.labels, config)
    labelled = table.with_columns(cluster=people.labels)
    store.write_table(desk.folder / "tracks.parquet", [labelled], Tracks)
    answer = to_json(tracks, labelled, people)
    write_text(desk.folder / FILE, json.dumps(answer, ensure_ascii=False) + "\n")
    desk.progress(tracks.n_tracks, tracks.n_tracks, "tracks")
    unknown = {s: int((table.status == s).sum()) for s in STATUSES[1:]}
    return facts | {
        "people": people.n_clusters,
        "tracks": len(table),
        "unknown": int((people.labels == UNKNOWN).sum()),
        "unknown_by_status": {s: n for s, n in unknown.items() if n},
    }


def judged(table: Tracks, faceless: float, config: QualityConfig) -> tuple[Tracks, NDArray[np.bool_]]:
    """The tracks with the status that their quality gives them, and which are weak (section 3.6)."""
    good = table.status == "ok"
    scores = np.where(good, table.quality, np.nan)
    weak = np.zeros(len(table), bool)
    if config.rule == "mad":
        low = mad_reject(scores, config.deviations)
        return table.with_columns(status=np.where(low, "quality", table.status)), weak
    return table, weak_tracks(scores, faceless) if config.rule == "calibrated" else weak


def seen_together(table: Tracks) -> NDArray[np.int64]:
    """Pairs of tracks with a frame in common: two faces seen at once. (m, 2), first below second"""
    pairs = []
    order = np.lexsort((table.start, table.video))
    open_: list[int] = []
    for j in order.tolist():
        open_ = [i for i in open_ if table.video[i] == table.video[j] and table.stop[i] > table.start[j]]
        pairs += [(min(i, j), max(i, j)) for i in open_]
        open_.append(j)
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def together(pairs: NDArray[np.int64], labels: NDArray[np.int32], config: ClusterConfig) -> list[str]:
    """What to tell of people who are in one frame with themselves: mirrors and screens exist, mistakes too."""
    if config.cannot_link == "off":
        return []
    a, b = pairs.T
    people = np.unique(labels[a][(labels[a] == labels[b]) & (labels[a] != UNKNOWN)])
    return [f"person {c} is seen twice in one frame: look at the tracks" for c in people.tolist()]


def adapted_people(
    rows: Ragged,
    weak: NDArray[np.bool_],
    pairs: NDArray[np.int64],
    adapted: Adaptation,
    ops: Ops,
    config: ClusterConfig,
) -> tuple[Clusters, dict[str, Any]]:
    """Section 3.7: tracks to people by the adapted network's metric. rows: crop numbers, a group a track."""
    n, some = len(rows), np.flatnonzero(rows.counts > 0)
    labels, limits = np.full(n, UNKNOWN, np.int32), np.full(n, np.nan, np.float32)
    if not len(some):
        return Clusters(labels, limits, method=f"vcn, {config.metric}"), {}
    own = rows.take(some)
    place = np.full(n, -1)
    place[some] = np.arange(len(some))
    seen = place[pairs]
    seen = seen[(seen >= 0).all(1)]
    apart = seen if config.cannot_link != "off" else seen[:0]
    near: list[Near] = []
    holding: list[Bridge] = []
    vectors, head = adapted.vectors, adapted.head()
    unit = Ragged(np.asarray(vectors.adapted)[own.values], own.offsets)
    other = unit if vectors.student is None else Ragged(vectors.student[own.values], own.offsets)
    if config.limits == "calibrated":
        alike = track_profiles(unit, other, adapted.views[:, own.values], head, ops, config)
        scale = calibrate(alike, config.quantile, config.cap)
        found = scale.limits(config.share)
        enforced = apart if config.cannot_link == "enforce" else apart[:0]
        groups, merges = group_tracks(alike, scale, enforced, weak[some], ops, config)
        near = kept_apart(groups, alike.profiles, found, seen)
        holding = bridges(groups, alike.profiles, found, merges)
    else:
        rules = MergeRules(config.rule, config.later, config.one_crop, config.guard, config.cannot_link)
        merged = merge_tracks(crop_profiles(unit, other, head, ops, config), ops, rules, apart)
        groups, merges, found = merged.labels, merged.merges, merged.thresholds
        groups = np.where((np.bincount(groups, ~weak[some]) > 0)[groups], groups, UNKNOWN)
    someone = groups >= 0
    labels[some[someone]] = by_size(groups[someone])
    limits[some] = found
    people = Clusters(
        labels,
        limits,
        [replace(m, a=int(some[m.a]), b=int(some[m.b])) for m in merges],
        f"vcn, {config.metric}",
        [replace(n, a=int(some[n.a]), b=int(some[n.b])) for n in near],
        [Bridge(int(some[b.track]), tuple(some[list(b.holds)].tolist())) for b in holding],
    )
    return people, {"weak_tracks": int(weak[some].sum())}


def _some(groups: Ragged, chosen: NDArray[np.bool_]) -> Ragged:
    """The groups that are chosen; the others stay, empty."""
    return Ragged(groups.values[chosen[groups.group_ids]], np.cumsum(np.r_[0, np.where(chosen, groups.counts, 0)]))


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
        "apart": [vars(near) for near in people.apart],
        "bridges": [vars(bridge) for bridge in people.bridges],
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
        apart=[Near(**near) for near in answer.get("apart", ())],
        bridges=[Bridge(b["track"], tuple(b["holds"])) for b in answer.get("bridges", ())],
    )


CLUSTER = Stage(name="cluster", version=4, files=("tracks.parquet", FILE), compute=cluster, load=load)


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
