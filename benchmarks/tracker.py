"""The tracker against the `trackers` package's BoT-SORT on the same detections: speed, and on labelled films, tracks.

    python benchmarks/tracker.py --footage data/episodes --detections /tmp --out benchmarks/results/tracker.json

Speed is the processor time of one thread from a frame's boxes to its ids, both trackers turn about in one process,
medians over the rounds. The package wants its own `Detections`: the ratio is given without the time to build them, and
with it. Camera motion is off. --detections keeps what the detector found, one file a film, made where missing.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import record
import supervision as sv
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from trackers import BoTSORTTracker

from vcn_trt import labels
from vcn_trt.boxes import iou
from vcn_trt.config import DecodeConfig, DetectConfig, ShotsConfig, TrackConfig
from vcn_trt.ingest.track import GATE, Tracker, interpolate

EPISODES = ("sitcom", "sitcom_180p", "dev_episode", "cc_episode")
CROWDS = (1, 5, 20, 100)
CROWD_FRAMES = 200
ROUNDS = 9
OVERLAP = 0.4  # of a tracked and a labelled box, as in `vcn eval`

Frame = tuple[NDArray[np.float32], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", type=Path, required=True, help="the folder of labelled films")
    parser.add_argument("--detections", type=Path, required=True, help="where detections are kept between runs")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    args = parser.parse_args()

    found = {name: detections(args.footage / f"{name}.mp4", args.detections) for name in EPISODES}
    truth = {name: labels.read(args.footage / f"{name}.gt.json") for name in EPISODES}
    speeds = {f"{n} faces": speed(crowd(n), 30.0, set()) for n in CROWDS}
    for name in EPISODES:
        cuts = {shot.start for shot in truth[name].shots}
        speeds[name] = speed(frames_of(found[name]), float(truth[name].fps or 24), cuts)
    tracks = {
        name: {
            f"{cuts}, {'gate' if gate else 'no gate'}": quality(truth[name], found[name], where, gate)
            for cuts, where in (
                ("labelled cuts", [shot.start for shot in truth[name].shots]),
                ("found cuts", found[name]["cuts"].tolist()),
                ("no cuts", []),
            )
            for gate in (None, GATE)
        }
        for name in EPISODES
    }
    show(speeds, tracks)
    if args.out:
        packages = {name: metadata.version(name) for name in ("trackers", "supervision")}
        what = {"speed": "microseconds of thread time a frame", "rounds": ROUNDS, "compared": packages}
        title = "The tracker beside another on the same detections, and on the labelled films."
        record.write(args.out, title, what | {"speeds": speeds, "tracks": tracks})


def speed(frames: Sequence[Frame], fps: float, cuts: Collection[int]) -> dict[str, Any]:
    """Medians over the rounds, and whether both gave the same faces to the same tracks."""
    built = [build(frame) for frame in frames]
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        ours, seconds = clock(lambda: track(frames, fps, cuts))
        times["ours"].append(seconds)
        theirs, seconds = clock(lambda: track_by_package(built, fps, cuts))
        times["package"].append(seconds)
        _, seconds = clock(lambda: [build(frame) for frame in frames])
        times["build"].append(seconds)
    us = {key: np.array(values) / len(frames) * 1e6 for key, values in times.items()}
    return {
        "faces_a_frame": round(float(np.mean([len(score) for _, score in frames])), 2),
        "ours_us": round(float(np.median(us["ours"])), 1),
        "package_us": round(float(np.median(us["package"])), 1),
        "package_with_building_us": round(float(np.median(us["package"] + us["build"])), 1),
        "ratio": round(float(np.median(us["package"] / us["ours"])), 2),
        "ratio_with_building": round(float(np.median((us["package"] + us["build"]) / us["ours"])), 2),
        "same_tracks": same(ours, theirs),
    }


def track(frames: Sequence[Frame], fps: float, cuts: Collection[int]) -> list[NDArray[np.int64]]:
    tracker, ids = Tracker(TrackConfig(), fps), []
    for frame, (box, score) in enumerate(frames):
        if frame in cuts:
            tracker.flush()
        ids.append(tracker.update(frame, box, score))
    return ids


def track_by_package(built: Sequence[sv.Detections], fps: float, cuts: Collection[int]) -> list[sv.Detections]:
    tracker = BoTSORTTracker(enable_cmc=False, instant_first_frame_activation=False, frame_rate=fps)
    results = []
    for frame, given in enumerate(built):
        if frame in cuts:
            tracker.tracks = []  # `reset` would also begin the ids anew
        results.append(tracker.update(given))
    return results


def build(frame: Frame) -> sv.Detections:
    box, score = frame
    return sv.Detections(xyxy=box, confidence=score, data={"row": np.arange(len(box))})


def clock(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.thread_time()
    result = work()
    return result, time.thread_time() - start


def same(ours: list[NDArray[np.int64]], theirs: list[sv.Detections]) -> bool:
    """Equal up to renaming. The package tells a track's id from its second face on."""
    known: set[int] = set()
    pairs = {(-1, -1)}
    for ids, result in zip(ours, theirs, strict=True):
        other = np.full(len(ids), -1)
        if len(result):
            other[result.data["row"]] = result.tracker_id
        pairs.update((i if i in known else -1, j) for i, j in zip(ids.tolist(), other.tolist(), strict=True))
        known.update(ids.tolist())
    return len(pairs) == len({i for i, _ in pairs}) == len({j for _, j in pairs})


def crowd(n: int) -> list[Frame]:
    """n faces that wander over a wide picture, each frame with a jitter of a pixel and a new score."""
    rng = np.random.default_rng(n)
    low, velocity = rng.uniform(0, 1800, (n, 2)), rng.normal(0, 2, (n, 2))
    frames = []
    for _ in range(CROWD_FRAMES):
        low += velocity
        box = np.hstack([low, low + np.array([40, 50])]) + rng.normal(0, 1, (n, 4))
        frames.append((box.astype(np.float32), rng.uniform(0.65, 1, n).astype(np.float32)))
    return frames


def frames_of(found: dict[str, NDArray[Any]]) -> list[Frame]:
    bounds = np.searchsorted(found["frame"], np.arange(int(found["n_frames"]) + 1))
    return [(found["box"][a:b], found["score"][a:b]) for a, b in pairwise(bounds.tolist())]


def quality(
    truth: labels.Labels, found: dict[str, NDArray[Any]], cuts: Collection[int], gate: float | None
) -> dict[str, Any]:
    """Confirmed tracks, gaps filled, beside the labelled ones; each labelled face meets at most one tracked one."""
    tracker = Tracker(TrackConfig(), float(truth.fps or 24), gate)
    rows: dict[int, list[int]] = defaultdict(list)
    ended, row = [], 0
    for frame, (box, score) in enumerate(frames_of(found)):
        if frame in cuts:
            ended += tracker.flush()
        for i in tracker.update(frame, box, score).tolist():
            rows[i].append(row)
            row += 1
    ended += tracker.flush()
    tracked: dict[int, list[tuple[int, NDArray[np.float32]]]] = defaultdict(list)
    confirmed = [t.id for t in ended if t.confirmed]
    for i in confirmed:
        filled = interpolate(*(found[key][rows[i]] for key in ("frame", "box", "landmarks", "score")))
        for frame, box in zip(filled.frame.tolist(), filled.box, strict=True):
            tracked[frame].append((i, box))

    labelled: dict[int, list[tuple[int, NDArray[np.float32]]]] = defaultdict(list)
    for number, known in enumerate(truth.tracks):
        for frame, box in zip(known.frames.tolist(), known.boxes, strict=True):
            labelled[frame].append((number, box))
    people: dict[int, Counter[str]] = defaultdict(Counter)  # of each tracked track
    parts: dict[int, list[int]] = defaultdict(list)  # of each labelled track, the tracks that met it, frame by frame
    for frame in sorted(labelled):
        if not tracked[frame]:
            continue
        overlap = iou(np.array([b for _, b in labelled[frame]]), np.array([b for _, b in tracked[frame]]))
        for a, b in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
            if overlap[a, b] >= OVERLAP:
                number, i = labelled[frame][a][0], tracked[frame][b][0]
                people[i][str(truth.tracks[number].identity)] += 1
                parts[number].append(i)
    faces = sum(map(len, labelled.values()))
    return {
        "labelled_tracks": len(truth.tracks),
        "tracks": len(confirmed),
        "discarded": len(ended) - len(confirmed),
        "coverage": round(sum(map(len, parts.values())) / faces, 4),
        "mixed": sum(len(met) > 1 for met in people.values()),
        "switches": sum(a != b for met in parts.values() for a, b in pairwise(met)),
        "tracks_a_labelled_track": round(float(np.mean([len(set(met)) for met in parts.values()])), 3),
        "labelled_tracks_missed": len(truth.tracks) - len(parts),
    }


def detections(video: Path, folder: Path) -> dict[str, NDArray[Any]]:
    """Every frame's faces at a working size of 640 pixels, and ContentDetector's cuts, read from `folder` or made."""
    path = folder / f"tracker_{video.stem}.npz"
    if not path.exists():
        from vcn_trt import backends
        from vcn_trt.ingest.detect import FaceDetector
        from vcn_trt.ingest.shots import THUMBNAIL_WIDTH, ShotFinder
        from vcn_trt.zoo import fetch

        backend = backends.open("cpu")
        config = DetectConfig(size=640)
        manifest, weights = fetch.resolve(config.model)
        detector = FaceDetector(backend.open_network(weights), manifest, backend, config)
        decoder = backend.open_decoder(video, 0, DecodeConfig())
        shots = ShotFinder(ShotsConfig(), decoder.video.fps)
        frame, faces, cuts = [], [], []
        for batch in decoder:
            faces += detector(batch)
            frame += batch.frame_indices.tolist()
            small = backend.ops.thumbnails(batch, THUMBNAIL_WIDTH)
            for index, thumbnail in zip(batch.frame_indices.tolist(), small, strict=True):
                cuts += shots.update(index, thumbnail)
        decoder.close()
        np.savez(
            path,
            frame=np.repeat(frame, [len(f.boxes) for f in faces]),
            box=np.concatenate([f.boxes for f in faces]),
            score=np.concatenate([f.scores for f in faces]),
            landmarks=np.concatenate([f.landmarks for f in faces]),
            cuts=np.array(cuts + shots.finish(), np.int64),
            n_frames=len(frame),
        )
    with np.load(path) as stored:
        return dict(stored)


def show(speeds: dict[str, Any], tracks: dict[str, Any]) -> None:
    keys = list(next(iter(speeds.values())))
    print(record.markdown(["detections", *keys], [[name, *(s[k] for k in keys)] for name, s in speeds.items()]), "\n")
    keys = list(next(iter(next(iter(tracks.values())).values())))
    rows = [[name, how, *(q[k] for k in keys)] for name, ways in tracks.items() for how, q in ways.items()]
    print(record.markdown(["film", "cuts", *keys], rows))


if __name__ == "__main__":
    main()
