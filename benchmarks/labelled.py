"""A run on labelled tracks: what ingest would leave, had it found exactly the tracks of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vcn_trt import api, backends, pipeline, store
from vcn_trt.backends.base import Backend, FrameBatch
from vcn_trt.boxes import iou
from vcn_trt.config import Config
from vcn_trt.embed import open_base
from vcn_trt.ingest.align import similarity
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.labels import Labels
from vcn_trt.run import Desk, Run, Stage, hold, silent
from vcn_trt.sources import find
from vcn_trt.types import CROP_SIZE, Crops, Faces, Shots, Tracks, TrackSet, Video
from vcn_trt.zoo import fetch

TRACKS = ".work/tracks.parquet"


def labelled_run(truths: Sequence[Labels], videos: Sequence[Path], folder: Path, config: Config) -> api.Answer:
    """The stages behind ingest on the labelled tracks of a production, in a run directory. videos: of each truth."""
    backend = backends.open(config.device)
    of_video = dict(zip(videos, truths, strict=True))
    sources = find(videos)

    def tracks_of_labels(desk: Desk, *inputs: Any) -> dict[str, Any]:
        parts = [_of_one(of_video[s.path], s.path, number, backend, config) for number, s in enumerate(sources)]
        return _write(desk, parts)

    def load(place: Path, facts: dict[str, Any]) -> TrackSet:
        return store.read_track_set(place, TRACKS, [store.video_from_json(v) for v in facts["videos"]])

    files = ("shots.parquet", "faces.parquet", TRACKS, "crops.parquet", "crops.npy")
    with hold(folder, config, sources, update=True):
        run = Run(folder, config, sources, backend.description, silent)
        run.begin()
        tracks = run.stage(Stage("ingest", 1, files, tracks_of_labels, load), sources, config.crops)
        pipeline.group(run, tracks, open_base(config.embed.model, backend), None, backend)
        api.conclude(run)
    return api.open_run(folder)


class _Part(NamedTuple):
    """One video, its tracks numbered from 0."""

    video: Video
    frames: int
    tracks: Tracks
    faces: Faces
    crops: Crops
    shots: Shots
    images: NDArray[np.uint8]


def _write(desk: Desk, parts: Sequence[_Part]) -> dict[str, Any]:
    first = np.cumsum([0, *(len(part.tracks) for part in parts)])
    moved = [(int(n), part) for n, part in zip(first, parts, strict=False)]
    (desk.folder / TRACKS).parent.mkdir()
    tracks = [p.tracks.with_columns(track=p.tracks.track + n) for n, p in moved]
    store.write_table(desk.folder / TRACKS, tracks, Tracks)
    faces = [p.faces.with_columns(track=p.faces.track + n) for n, p in moved]
    store.write_table(desk.folder / "faces.parquet", faces, Faces)
    crops = [p.crops.with_columns(track=p.crops.track + n) for n, p in moved]
    store.write_table(desk.folder / "crops.parquet", crops, Crops)
    store.write_table(desk.folder / "shots.parquet", [p.shots for p in parts], Shots)
    np.save(desk.folder / "crops.npy", np.concatenate([p.images for p in parts]))
    videos = [store.video_to_json(p.video) for p in parts]
    return {"videos": videos, "failed": [], "frames": sum(p.frames for p in parts), "resumed": True}


def _of_one(truth: Labels, path: Path, number: int, backend: Backend, config: Config) -> _Part:
    wanted: dict[int, list[int]] = {}
    for j, track in enumerate(truth.tracks):
        at = np.arange(track.frames[0], track.frames[-1] + 1, float(truth.fps or 24) * config.crops.interval_seconds)
        for row in np.unique(np.abs(track.frames[:, None] - at[None]).argmin(0)):
            wanted.setdefault(int(track.frames[row]), []).append(j)
    manifest, weights = fetch.resolve(config.detect.model)
    detector = FaceDetector(backend.open_network(weights), manifest, backend, config.detect)
    decoder = backend.open_decoder(path, number, config.decode)
    seen: list[tuple[int, int, Any, Any]] = []  # track, frame, landmarks, crop
    for batch in decoder:
        rows = [i for i, frame in enumerate(batch.frame_indices) if int(frame) in wanted]
        if not rows:
            continue
        looked = FrameBatch([batch.pixels[i] for i in rows], batch.frame_indices[rows], batch.seconds[rows])
        for row, faces in enumerate(detector(looked)):
            frame = int(looked.frame_indices[row])
            for j in wanted[frame]:
                track = truth.tracks[j]
                overlap = iou(faces.boxes, track.boxes[track.frames == frame])[:, 0]
                if len(overlap) and overlap.max() >= 0.4:
                    marks = faces.landmarks[[overlap.argmax()]]
                    crop = backend.ops.warp_faces(looked, np.array([row]), similarity(marks))
                    seen.append((j, frame, marks[0], backend.ops.to_numpy(crop)[0]))
    decoder.close()
    seen.sort(key=lambda s: s[:2])
    fps, n = float(truth.fps or 24), len(truth.tracks)
    # Labels may leave frames of a track out; a track has a face in every frame.
    spans = [np.arange(t.frames[0], t.frames[-1] + 1) for t in truth.tracks]
    boxes = [t.boxes[np.abs(s[:, None] - t.frames[None]).argmin(1)] for s, t in zip(spans, truth.tracks, strict=True)]
    rows_of = [np.full(len(s), j) for j, s in enumerate(spans)]
    frames, track_of = np.concatenate(spans), np.concatenate(rows_of)
    faces = Faces.empty(len(frames)).with_columns(
        track=track_of,
        video=np.full(len(frames), number),
        frame=frames,
        seconds=frames / fps,
        box=np.concatenate(boxes),
        score=np.ones(len(frames)),
    )
    at = np.searchsorted(track_of, [s[0] for s in seen]) + [s[1] - truth.tracks[s[0]].frames[0] for s in seen]
    landmarks = faces.landmarks.copy()
    landmarks[at] = np.array([s[2] for s in seen])
    counts = np.bincount([s[0] for s in seen], minlength=n)
    first = {j: frame for j, frame, *_ in reversed(seen)}
    tracks = Tracks.empty(n).with_columns(
        track=np.arange(n),
        video=np.full(n, number),
        shot=np.array([t.shot for t in truth.tracks]),
        start=np.array([s[0] for s in spans]),
        stop=np.array([s[-1] + 1 for s in spans]),
        n_faces=np.array([len(s) for s in spans]),
        n_crops=counts,
        quality=np.full(n, np.nan),
        status=np.where(counts > 0, "ok", "crops"),
        cluster=np.full(n, -1),
        representative_frame=np.array([first.get(j, int(s[0])) for j, s in enumerate(spans)]),
    )
    m = len(seen)
    crops = Crops.empty(m).with_columns(
        track=np.array([s[0] for s in seen]), frame=np.array([s[1] for s in seen]), kept=np.ones(m, bool)
    )
    cuts = [(s.index, s.start, s.stop) for s in truth.shots]
    shots = Shots.empty(len(cuts)).with_columns(
        video=np.full(len(cuts), number),
        shot=np.array([c[0] for c in cuts]),
        start=np.array([c[1] for c in cuts]),
        stop=np.array([c[2] for c in cuts]),
        start_seconds=np.array([c[1] / fps for c in cuts]),
        stop_seconds=np.array([c[2] / fps for c in cuts]),
    )
    shown = faces.with_columns(landmarks=landmarks)
    images = np.array([s[3] for s in seen], np.uint8).reshape(-1, CROP_SIZE, CROP_SIZE, 3)
    return _Part(decoder.video, decoder.report.frames, tracks, shown, crops, shots, images)
