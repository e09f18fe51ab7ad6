"""The stage that groups the tracks by person (section 3.7) and leaves `clusters.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.adapt.stage import Adaptation
from vcn_trt.adapt.weak import mad_reject, track_quality, weak_tracks
from vcn_trt.answer import TRACKS
from vcn_trt.backends.base import Backend, Ops
from vcn_trt.cluster import cuml
from vcn_trt.cluster.alike import crop_profiles, track_profiles
from vcn_trt.cluster.baselines import Method, cluster_tracks
from vcn_trt.cluster.calibrated import group_tracks
from vcn_trt.cluster.doubts import bridges, kept_apart
from vcn_trt.cluster.limits import calibrate
from vcn_trt.cluster.merge import MergeRules, merge_tracks
from vcn_trt.cluster.people import FILE, by_size, load, relabelled, seen_together, together
from vcn_trt.config import ClusterConfig, QualityConfig, what_counts
from vcn_trt.corrections.answer import GROUPED, Grouped, save_grouped, write_answer
from vcn_trt.corrections.apply import apply
from vcn_trt.corrections.bound import NOTHING, Bound
from vcn_trt.known import Known
from vcn_trt.ragged import Ragged
from vcn_trt.run import Desk, Stage
from vcn_trt.types import STATUSES, UNKNOWN, BaseVectors, Bridge, Clusters, Near, Tracks, TrackSet

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
    by_hand: Bound = NOTHING,
) -> dict[str, Any]:
    """Group the good tracks by person; the others are Unknown with their status. What is said by hand holds. -> facts
    for the record"""
    desk.progress(0, tracks.n_tracks, "tracks")
    kept = tracks.kept_by_track()
    table = tracks.tracks.with_columns(quality=track_quality(Ragged(base.quality[kept.values], kept.offsets)))
    pairs = seen_together(table)

    def grouped(known: Known) -> tuple[Clusters, NDArray[np.str_], dict[str, Any]]:
        said = table.with_columns(status=np.where(known.no_face, "no_face", table.status))
        good, weak = judged(said, base.faceless, quality, known.someone)
        rows = _some(kept, good.status == "ok")
        if config.method != "vcn":
            people, facts = baseline_people(rows, adapted, backend, config, config.method)
            return people, good.status, facts
        people, facts = adapted_people(rows, weak, pairs, adapted, backend.ops, config, known)
        alone = (good.status == "ok") & (people.labels == UNKNOWN)
        return people, np.where(alone, "quality", good.status), facts

    links = by_hand.for_adapt(len(table))
    people, status, facts = free, free_status, _ = grouped(Known.nothing(len(table)))
    if links and config.method == "vcn":
        people, status, facts = grouped(*links)
    uncorrected = _uncorrected(desk.keep, table, (config, quality), free.labels, free_status, bool(links))
    labels, status = apply(people.labels, status, by_hand.state)
    people, table = relabelled(people, labels), table.with_columns(status=status)
    (desk.folder / ".work").mkdir()
    save_grouped(desk.folder / GROUPED, Grouped(labels, status, *uncorrected, by_hand.state.applied))
    told, _ = write_answer(desk.folder, tracks, table, people, by_hand)
    desk.progress(tracks.n_tracks, tracks.n_tracks, "tracks")
    unknown = {s: int((table.status == s).sum()) for s in STATUSES[1:]}
    return facts | {
        "method": config.method,
        "warnings": [*facts.get("warnings", ()), *together(pairs, labels, config), *by_hand.told, *told],
        "people": people.n_clusters,
        "tracks": len(table),
        "unknown": int((labels == UNKNOWN).sum()),
        "unknown_by_status": {s: n for s, n in unknown.items() if n},
    }


def _uncorrected(
    keep: Path,
    table: Tracks,
    configs: Sequence[Any],
    labels: NDArray[np.int32],
    status: NDArray[np.str_],
    corrected: bool,
) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """The labels and status of a grouping without corrections. Vectors that were adapted with some (`corrected`) know
    of them all the same: what the same tracks and configs gave before the first is kept, and goes before."""
    digest = hashlib.sha256(json.dumps([what_counts(c) for c in configs], sort_keys=True).encode())
    for column in (table.video, table.start, table.stop, table.n_crops):
        digest.update(column.tobytes())
    path = keep / f"uncorrected-{digest.hexdigest()[:12]}.npz"
    if not corrected:
        store.replace_npz(path, {"labels": labels, "status": status})
    elif (found := store.read_npz(path)) is not None and set(found) == {"labels", "status"}:
        return found["labels"], found["status"]
    return labels, status


def baseline_people(
    rows: Ragged, adapted: Adaptation, backend: Backend, config: ClusterConfig, method: Method
) -> tuple[Clusters, dict[str, Any]]:
    """One of the baselines on the mean vectors. rows: crop numbers, a group a track. What is known beforehand does not
    reach it: that is applied to its answer."""
    vectors = adapted.vectors.base if config.vectors == "base" else adapted.vectors.adapted
    by_track = Ragged(np.asarray(vectors)[rows.values], rows.offsets)
    device = backend.torch_device
    people = cluster_tracks(by_track, method, threshold=config.threshold, k=config.k, torch_device=device)
    facts: dict[str, Any] = {"warnings": [BASELINE_NOTE.format(method=method, vectors=config.vectors)]}
    if method in ("dbscan", "hdbscan"):
        facts["by"] = "cuML" if cuml.serves(device) else "scikit-learn"
    return people, facts


def judged(
    table: Tracks, faceless: float, config: QualityConfig, someone: NDArray[np.bool_] | None = None
) -> tuple[Tracks, NDArray[np.bool_]]:
    """The tracks with the status that their quality gives them, and which are weak (section 3.6). someone: (n_tracks,)
    those of whom it is known that they show a face, which are neither."""
    sure = np.zeros(len(table), bool) if someone is None else someone
    good = table.status == "ok"
    scores = np.where(good, table.quality, np.nan)
    weak = np.zeros(len(table), bool)
    if config.rule == "mad":
        low = mad_reject(scores, config.deviations) & ~sure
        return table.with_columns(status=np.where(low, "quality", table.status)), weak
    return table, weak_tracks(scores, faceless) & ~sure if config.rule == "calibrated" else weak


def adapted_people(
    rows: Ragged,
    weak: NDArray[np.bool_],
    pairs: NDArray[np.int64],
    adapted: Adaptation,
    ops: Ops,
    config: ClusterConfig,
    known: Known | None = None,
) -> tuple[Clusters, dict[str, Any]]:
    """Section 3.7: tracks to people by the adapted network's metric. rows: crop numbers, a group a track. pairs: (m, 2)
    tracks seen in one frame; known: who is who, whatever the metric says."""
    n, some = len(rows), np.flatnonzero(rows.counts > 0)
    labels, limits = np.full(n, UNKNOWN, np.int32), np.full(n, np.nan, np.float32)
    if not len(some):
        return Clusters(labels, limits, method=f"vcn, {config.metric}"), {}
    own = rows.take(some)
    seen = pairs if config.cannot_link == "enforce" else pairs[:0]
    before = (known or Known.nothing(n)).and_apart(seen).take(some)
    one = before.together if (before.together != np.arange(len(some))).any() else None
    near: list[Near] = []
    holding: list[Bridge] = []
    vectors, head = adapted.vectors, adapted.head()
    unit = Ragged(np.asarray(vectors.adapted)[own.values], own.offsets)
    other = unit if vectors.student is None else Ragged(vectors.student[own.values], own.offsets)
    if config.limits == "calibrated":
        alike = track_profiles(unit, other, adapted.views[:, own.values], head, ops, config)
        scale = calibrate(alike, config.quantile, config.cap)
        found = scale.limits(config.share)
        groups, merges = group_tracks(alike, scale, before.apart, weak[some], ops, config, one)
        near = kept_apart(groups, alike.profiles, found, Known.nothing(n).and_apart(pairs).take(some).apart)
        holding = bridges(groups, alike.profiles, found, merges)
    else:
        rules = MergeRules(config.rule, config.later, config.one_crop, config.guard, "enforce")
        merged = merge_tracks(crop_profiles(unit, other, head, ops, config), ops, rules, before.apart, together=one)
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


CLUSTER = Stage(name="cluster", version=4, files=(TRACKS, FILE, GROUPED), compute=cluster, load=load)
