"""All videos of a production to one set of tracks (section 3.2). One that cannot be read is reported and left out."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt import store
from vcn_trt.backends.base import Backend, Network
from vcn_trt.card_errors import as_device_error
from vcn_trt.config import IngestConfig, what_counts
from vcn_trt.errors import ModelError, VcnError, VideoError
from vcn_trt.ingest import parts
from vcn_trt.ingest.detect import VERSION, FaceDetector
from vcn_trt.ingest.sample import FACE_ROW
from vcn_trt.ingest.stream import Ingested, ingest_video
from vcn_trt.run import Desk, Stage
from vcn_trt.sources import Source
from vcn_trt.types import UNKNOWN, Crops, Faces, Shots, Tracks, TrackSet
from vcn_trt.zoo.models import Model

TRACKS_FILE = ".work/tracks.parquet"
"""The tracks before clustering: `tracks.parquet` itself is the cluster stage's."""

PROBE = 64
"""Side of the black picture that a network must take before it is shown a video."""

BLOCK = 512
"""Crops copied at a time: 19 MB."""


def ingest(
    desk: Desk, sources: Sequence[Source], model: Model, backend: Backend, config: IngestConfig
) -> dict[str, Any]:
    """Decode, detect, track and sample every video, then join them. Raises VideoError where none could be read."""
    network = backend.open_network(model.path)
    _probe(network, model)
    detector = FaceDetector(network, model.manifest, backend, config.detect)
    detections = _short_hash(
        VERSION, backend.identity, model.identity, what_counts(config.detect), what_counts(config.decode)
    )
    # Unfinished work of another config is not this one's.
    unfinished = _short_hash(INGEST.version, VERSION, backend.identity, model.identity, what_counts(config))
    done: list[tuple[Path, Ingested]] = []
    failed: list[dict[str, str]] = []
    unforeseen = resumed = False
    for number, source in enumerate(sources):
        folder = desk.unfinished / f"{source.fingerprint[:16]}-{unfinished}"
        folder.mkdir(exist_ok=True)
        progress = _share(desk.progress, number, len(sources))
        try:
            part = parts.load(folder, len(done))
            resumed |= part is not None
            if part is None:
                cache = desk.keep / f"{source.fingerprint[:16]}-{detections}"
                part = ingest_video(source.path, len(done), detector, backend, config, folder, cache, progress)
                parts.save(part, folder)
            resumed |= part.resumed
            # A copy of a film under another name has the same content and so the same part.
            done.append((folder, replace(part, video=replace(part.video, path=str(source.path)))))
        except VideoError as error:
            failed.append({"path": str(source.path), "reason": str(error)})
        except (VcnError, OSError, MemoryError):
            raise  # the disk, a model, the machine: not this video's fault
        except Exception as error:
            if lost := as_device_error(error):
                raise lost from error  # every other video would fail by it
            # One bad file never stops the others: what no one foresaw is reported with its place in the code, and tried
            # again by the next run.
            unforeseen = True
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"unexpected {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
            failed.append({"path": str(source.path), "reason": reason})
    if not done:
        raise VideoError("no video could be read:\n" + "\n".join(f"  {f['path']}: {f['reason']}" for f in failed))
    return join(done, desk.folder) | {"failed": failed, "resumed": resumed, "again": unforeseen}


def join(done: Sequence[tuple[Path, Ingested]], folder: Path) -> dict[str, Any]:
    """Write the parts as one TrackSet, tracks numbered through, block by block. -> facts for the record."""
    first_track = np.cumsum([0, *(len(part.tracks) for _, part in done)])
    parted = list(zip(first_track, done, strict=False))
    tracks = Tracks.concatenate(_tracks(int(first), part) for first, (_, part) in parted)
    crops = Crops.concatenate(_crops(int(first), part) for first, (_, part) in parted)
    (folder / TRACKS_FILE).parent.mkdir()
    store.write_table(folder / TRACKS_FILE, [tracks], Tracks)
    store.write_table(folder / "shots.parquet", [part.shots for _, part in done], Shots)
    store.write_table(
        folder / "faces.parquet", (f for first, (at, part) in parted for f in _faces(int(first), at, part)), Faces
    )
    store.write_table(folder / "crops.parquet", [crops], Crops)
    store.write_images(folder / "crops.npy", len(crops), (b for at, part in done for b in _pictures(at, part)))
    return {
        "videos": [store.video_to_json(part.video) for _, part in done],
        "frames": sum(part.video.frames for _, part in done),
        "shots": sum(len(part.shots) for _, part in done),
        "faces": int(tracks.n_faces.sum()),
        "tracks": len(tracks),
        "crops": len(crops),
        "crops_kept": int(crops.kept.sum()),
        "lost": sum(part.lost for _, part in done),
        "warnings": [f"{Path(part.video.path).name}: {text}" for _, part in done for text in part.warnings],
        "busy_seconds": _busy([part for _, part in done]),
    }


def load(folder: Path, facts: dict[str, Any]) -> TrackSet:
    """What `ingest` left in a run directory."""
    return store.read_track_set(folder, TRACKS_FILE, [store.video_from_json(v) for v in facts["videos"]])


INGEST = Stage(
    name="ingest",
    version=3,
    files=("shots.parquet", "faces.parquet", "crops.parquet", "crops.npy", TRACKS_FILE),
    compute=ingest,
    load=load,
)


def _probe(network: Network, model: Model) -> None:
    """Raise ModelError where the network takes no pictures: else every video would seem to be at fault."""
    try:
        network({network.input_names[0]: np.zeros((1, 3, PROBE, PROBE), np.float32)})
    except Exception as error:
        raise ModelError(
            f"{model.path} does not run as {model.manifest.title} ({(str(error) or type(error).__name__)[:200]}); give "
            "the detector's weights as detect.model, or leave it at its default"
        ) from error


def _tracks(first: int, part: Ingested) -> Tracks:
    t, n = part.tracks, len(part.tracks)
    of_track = np.repeat(np.arange(n), t.n_crops)
    return Tracks(
        track=first + np.arange(n),
        video=np.full(n, part.video.id),
        shot=t.shot,
        start=t.start,
        stop=t.stop,
        n_faces=t.n_faces,
        n_crops=np.bincount(of_track[part.crops.reason == ""], minlength=n),
        quality=np.full(n, np.nan),
        status=t.status,
        cluster=np.full(n, UNKNOWN),
        representative_frame=t.representative_frame,
    )


def _crops(first: int, part: Ingested) -> Crops:
    return Crops(
        track=first + np.repeat(np.arange(len(part.tracks)), part.tracks.n_crops),
        frame=part.crops.frame,
        kept=part.crops.reason == "",
        reason=part.crops.reason,
    )


def _faces(first: int, folder: Path, part: Ingested) -> Iterator[Faces]:
    with (folder / "faces.bin").open("rb") as file:
        pending: list[Faces] = []
        for number, (row, n) in enumerate(zip(part.tracks.first_face, part.tracks.n_faces, strict=True)):
            file.seek(int(row) * FACE_ROW.itemsize)
            rows = np.frombuffer(file.read(int(n) * FACE_ROW.itemsize), FACE_ROW)
            pending.append(
                Faces(
                    track=np.full(n, first + number),
                    video=np.full(n, part.video.id),
                    **{name: rows[name] for name in FACE_ROW.names or ()},
                )
            )
            if sum(map(len, pending)) > 1 << 15:
                yield Faces.concatenate(pending)
                pending = []
        yield Faces.concatenate(pending)


def _pictures(folder: Path, part: Ingested) -> Iterator[Any]:
    with (folder / "crops.bin").open("rb") as file:
        for start in range(0, len(part.crops), BLOCK):
            yield store.read_rows(file, part.crops.row[start : start + BLOCK])


def _busy(done: Sequence[Ingested]) -> dict[str, float]:
    names = sorted({name for part in done for name in part.seconds})
    return {name: round(sum(part.seconds.get(name, 0.0) for part in done), 3) for name in names}


def _share(progress: Callable[[int, int, str], None], number: int, n: int) -> Callable[[int, int], None]:
    unit = "frames" if n == 1 else f"frames of video {number + 1} of {n}"
    return lambda completed, total: progress(completed, total, unit)


def _short_hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
