"""The baselines on the LABELLED tracks of the four episodes: clustering alone, detection and tracking right.

    python benchmarks/baselines_on_labels.py FOOTAGE/episodes --out benchmarks/results/baselines_on_labels.json

Each labelled track is sampled every 0.5 s; RetinaFace looks at those frames for the landmarks, SFace embeds the crops,
and the track is the mean of its normalised crops. Every setting of every baseline is scored on every episode: the
defaults of `vcn_trt/cluster/baselines.py` come from here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vcn_trt import labels
from vcn_trt.backends.base import FrameBatch
from vcn_trt.backends.cpu import open_cpu
from vcn_trt.boxes import iou
from vcn_trt.cluster import baselines
from vcn_trt.config import DecodeConfig, DetectConfig
from vcn_trt.ingest.align import similarity
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.labels import Labels
from vcn_trt.metrics import Scores, score
from vcn_trt.ragged import Ragged
from vcn_trt.zoo import fetch
from vcn_trt.zoo.base import prepare
from vcn_trt.zoo.bases import load_base

INTERVAL_SECONDS = 0.5
HAC_THRESHOLDS = np.round(np.arange(0.30, 0.951, 0.05), 2).tolist()
DBSCAN_THRESHOLDS = np.round(np.arange(0.20, 0.801, 0.05), 2).tolist()
EPISODES = ("sitcom", "sitcom_180p", "dev_episode", "cc_episode")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("episodes", type=Path, help="folder of NAME.mp4 and NAME.gt.json")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {"interval_seconds": INTERVAL_SECONDS, "base": "sface", "episodes": {}}
    for name in EPISODES:
        start = time.perf_counter()
        truth = labels.read(args.episodes / f"{name}.gt.json")
        crops, missed = embed(truth, args.episodes / truth.video)
        people = np.array([t.identity for t in truth.tracks])
        found = crops.counts > 0
        entry: dict[str, Any] = {
            "identities": len(truth.identities),
            "tracks": len(people),
            "tracks_without_crop": int((~found).sum()),
            "crops": len(crops.values),
            "crops_without_landmarks": missed,
            "seconds": round(time.perf_counter() - start, 1),
            "methods": {s: _short(score(c, people[found])) for s, c in settings(crops, len(set(people[found])))},
        }
        results["episodes"][name] = entry
    results["mean"] = {
        setting: {
            key: round(float(np.mean([e["methods"][setting][key] for e in results["episodes"].values()])), 4)
            for key in ("wcp", "pcr", "nmi", "bcubed_f")
        }
        for setting in results["episodes"][EPISODES[0]]["methods"]
        if all(setting in e["methods"] for e in results["episodes"].values())
    }
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)


def settings(crops: Ragged, k: int) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """Every method and parameter, with its clusters of the tracks that have crops."""
    groups = Ragged(crops.values, np.unique(crops.offsets))  # empty groups drop out
    for threshold in HAC_THRESHOLDS:
        yield f"hac {threshold:.2f}", baselines.cluster_tracks(groups, "hac", threshold=threshold).labels
    yield "hac true k", baselines.cluster_tracks(groups, "hac", k=k).labels
    unit = groups_to_unit(groups)
    for min_samples in (2, 3):
        for threshold in DBSCAN_THRESHOLDS:
            found = baselines.dbscan(unit, threshold, min_samples)
            yield f"dbscan {threshold:.2f} min_samples {min_samples}", baselines.by_size(found)
    for size in (2, 3, 4):
        yield f"hdbscan min_cluster_size {size}", baselines.by_size(baselines.hdbscan(unit, size))
    for level, partition in enumerate(baselines.finch_partitions(unit)):
        yield f"finch level {level}", baselines.by_size(partition)
    yield "finch", baselines.cluster_tracks(groups, "finch").labels
    yield "finch true k", baselines.cluster_tracks(groups, "finch", k=k).labels


def groups_to_unit(groups: Ragged) -> NDArray[np.float64]:
    """One unit vector a track, the mean of its normalised crops. (n_tracks, dim)"""
    values = np.asarray(groups.values, np.float64)
    means = Ragged(values / np.linalg.norm(values, axis=1, keepdims=True), groups.offsets).mean()
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def embed(truth: Labels, video: Path) -> tuple[Ragged, int]:
    """The SFace vectors of each labelled track's sampled crops, and how many samples had no detection for landmarks."""
    wanted: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}
    step = float(truth.fps or 24) * INTERVAL_SECONDS
    for number, track in enumerate(truth.tracks):
        at = track.frames[0] + np.arange(0, track.frames[-1] - track.frames[0] + 1, step)
        nearest = np.unique(np.abs(track.frames[:, None] - at[None]).argmin(0))
        for row in nearest:
            wanted.setdefault(int(track.frames[row]), []).append((number, track.boxes[row]))
    backend = open_cpu("the benchmark compares clusterings")
    manifest, path = fetch.resolve("retinaface_mnet025")
    detector = FaceDetector(backend.open_network(path), manifest, backend, DetectConfig())
    base = load_base("sface")
    owners: list[int] = []
    vectors: list[NDArray[np.float32]] = []
    missed = 0
    decoder = backend.open_decoder(video, 0, DecodeConfig())
    for batch in decoder:
        rows = [i for i, frame in enumerate(batch.frame_indices) if int(frame) in wanted]
        if not rows:
            continue
        looked = FrameBatch([batch.pixels[i] for i in rows], batch.frame_indices[rows], batch.seconds[rows])
        for row, faces in enumerate(detector(looked)):
            for number, box in wanted[int(looked.frame_indices[row])]:
                overlap = iou(faces.boxes, box[None])[:, 0]
                if not len(overlap) or overlap.max() < 0.4:
                    missed += 1
                    continue
                transform = similarity(faces.landmarks[[overlap.argmax()]])
                crop = backend.ops.warp_faces(looked, np.array([row]), transform)
                with torch.inference_mode():
                    vectors.append(base(torch.from_numpy(prepare(crop, base.manifest))).numpy()[0])
                owners.append(number)
    decoder.close()
    order = np.argsort(owners, kind="stable")
    return Ragged.from_group_ids(np.stack(vectors)[order], np.array(owners)[order], len(truth.tracks)), missed


def _short(scores: Scores) -> dict[str, float | int]:
    keys = ("clusters", "wcp", "pcr", "nmi", "ari", "bcubed_precision", "bcubed_recall", "bcubed_f", "pair_f")
    return {key: round(getattr(scores, key), 4) for key in keys}


def show(results: dict[str, Any]) -> None:
    """WCP at PCR for every setting and episode, and the mean B-cubed F."""
    table = Table("setting", *EPISODES, "mean B³ F", title="WCP @ PCR (B³ F)")
    names = dict.fromkeys(s for e in results["episodes"].values() for s in e["methods"])
    for setting in names:
        cells = [results["episodes"][name]["methods"].get(setting) for name in EPISODES]
        mean = results["mean"].get(setting)
        table.add_row(
            setting,
            *("" if c is None else f"{c['wcp']:.2f} @ {c['pcr']:.2f} ({c['bcubed_f']:.2f})" for c in cells),
            "" if mean is None else f"{mean['bcubed_f']:.3f}",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
