"""The parts of all videos as one set of tracks, numbered through, block by block: no more of it is in memory than its
tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt import store
from vcn_trt.ingest.sample import FACE_ROW
from vcn_trt.ingest.stream import Ingested
from vcn_trt.types import UNKNOWN, Crops, Faces, Shots, Tracks

TRACKS_FILE = ".work/tracks.parquet"
"""The tracks before clustering: `tracks.parquet` itself is the cluster stage's."""

BLOCK = 512
"""Crops copied at a time: 19 MB."""


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
        "notes": [f"{Path(part.video.path).name}: {text}" for _, part in done for text in part.notes],
        "busy_seconds": _busy([part for _, part in done]),
    }


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
