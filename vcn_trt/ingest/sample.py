"""Crops and rows of the tracks that live now (section 3.2, fourth step), written to disk as they come.

A crop is taken at a track's first face and then at the first seen face after each further `interval_seconds`: by
time, not by frame count, so that a film of varying frame rate is sampled evenly.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import FrameBatch, Ops, RawFaces
from vcn_trt.config import CropsConfig, TrackConfig
from vcn_trt.ingest import align
from vcn_trt.ingest.quality import rejections, track_status
from vcn_trt.ingest.track import FinishedTrack, Tracker, interpolate
from vcn_trt.types import Table, column

ROUNDING = 1e-6
"""Seconds by which a frame may come before its crop is due: 5/24 + 0.5 + 0.5 is a little more than 29/24."""

FACE_ROW = np.dtype(
    [
        ("frame", "i8"),
        ("seconds", "f8"),
        ("box", "f4", 4),
        ("score", "f4"),
        ("landmarks", "f4", (5, 2)),
        ("sharpness", "f4"),
        ("interpolated", "?"),
    ]
)
"""A tracked face in `faces.bin`: the rows of one track stand together."""


@dataclass(frozen=True, eq=False)
class SampledTracks(Table):
    """The tracks of one video. first_face: where a track's `n_faces` rows begin in `faces.bin`; n_crops: its rows of
    `SampledCrops`, in the same order; left, top: of its first box."""

    shot: NDArray[Any] = column(np.int32)
    start: NDArray[Any] = column(np.int64)
    stop: NDArray[Any] = column(np.int64)
    left: NDArray[Any] = column(np.float32)
    top: NDArray[Any] = column(np.float32)
    first_face: NDArray[Any] = column(np.int64)
    n_faces: NDArray[Any] = column(np.int64)
    n_crops: NDArray[Any] = column(np.int64)
    representative_frame: NDArray[Any] = column(np.int64)
    status: NDArray[Any] = column("U8")


@dataclass(frozen=True, eq=False)
class SampledCrops(Table):
    """Crops, track by track. row: of `crops.bin`. reason: why it is rejected, or ""."""

    row: NDArray[Any] = column(np.int64)
    frame: NDArray[Any] = column(np.int64)
    reason: NDArray[Any] = column("U8")


@dataclass
class _LiveTrack:
    rows: list[NDArray[np.void]] = field(default_factory=list)
    frontalness: list[float] = field(default_factory=list)
    crop_rows: list[int] = field(default_factory=list)
    crop_faces: list[int] = field(default_factory=list)  # index into rows
    due: float = -math.inf


class Sampler:
    """Follows the tracker through one video and keeps what is worth keeping, in `folder`."""

    def __init__(self, tracker: Tracker, ops: Ops, config: CropsConfig, track: TrackConfig, folder: Path) -> None:
        self._tracker, self._ops, self._config, self._track_config = tracker, ops, config, track
        self._live: dict[int, _LiveTrack] = {}
        self._shot = 0
        self._looked_at = 0  # frames of this shot
        self._face_rows = self._crop_rows = 0
        self._faces: BinaryIO = (folder / "faces.bin").open("wb")
        self._crops: BinaryIO = (folder / "crops.bin").open("wb")
        self._tracks: list[SampledTracks] = []
        self._crop_tables: list[SampledCrops] = []
        self.seconds = array("d")
        """When each frame so far is shown."""

    def step(
        self, batch: FrameBatch, index: int, faces: RawFaces | None, camera: NDArray[np.float64] | None = None
    ) -> None:
        """The next frame: number `index` of its batch, and its faces, None where the detector did not look."""
        frame, seconds = int(batch.frame_indices[index]), float(batch.seconds[index])
        self.seconds.append(seconds)
        if faces is None:
            return
        self._looked_at += 1
        ids = self._tracker.update(frame, faces.boxes, faces.scores, camera)
        self._retire(self._tracker.finished())
        held = np.flatnonzero(ids >= 0)
        if not len(held):
            return
        transforms = align.similarity(faces.landmarks[held])
        sharp = self._ops.sharpness(batch, np.full(len(held), index), transforms)
        frontal = align.frontalness(faces.landmarks[held], transforms)
        due: list[int] = []
        for k, face in enumerate(held):
            track = self._live.setdefault(int(ids[face]), _LiveTrack())
            row = np.zeros((), FACE_ROW)
            row["frame"], row["seconds"], row["sharpness"] = frame, seconds, sharp[k]
            row["box"], row["score"], row["landmarks"] = faces.boxes[face], faces.scores[face], faces.landmarks[face]
            track.rows.append(row)
            track.frontalness.append(float(frontal[k]))
            if seconds >= track.due - ROUNDING:
                due.append(k)
                track.crop_rows.append(self._crop_rows + len(due) - 1)
                track.crop_faces.append(len(track.rows) - 1)
                track.due = self._next_due(track.due, seconds)
        if due:
            self._crops.write(self._ops.warp_faces(batch, np.full(len(due), index), transforms[due]).tobytes())
            self._crop_rows += len(due)

    def cut(self) -> None:
        """The next frame begins a new shot."""
        self._retire(self._tracker.flush())
        self._shot += 1
        self._looked_at = 0

    def finish(self) -> tuple[SampledTracks, SampledCrops]:
        """The video has ended: every track ends, and the files are complete on disk. -> the tracks by start, then
        from left to right."""
        self._retire(self._tracker.flush())
        for file in (self._faces, self._crops):
            file.flush()
            os.fsync(file.fileno())
        self.close()
        tracks = SampledTracks.concatenate(self._tracks)
        order = np.lexsort([tracks.top, tracks.left, tracks.start])
        return tracks[order], SampledCrops.concatenate(self._crop_tables[i] for i in order)

    def close(self) -> None:
        self._faces.close()
        self._crops.close()

    def _next_due(self, due: float, seconds: float) -> float:
        interval = self._config.interval_seconds
        if due == -math.inf:
            return seconds + interval
        # On the grid of the first crop: a late one does not shift those after it.
        return due + interval * max(1, math.floor((seconds - due + ROUNDING) / interval) + 1)

    def _retire(self, ended: Iterable[FinishedTrack]) -> None:
        for track_id, confirmed in ended:
            track = self._live.pop(track_id)
            # A shot of a single looked-at frame can confirm no track: what was seen there is kept, as a short track.
            if confirmed or self._looked_at <= 1:
                self._record(track)

    def _record(self, track: _LiveTrack) -> None:
        seen = np.stack(track.rows)
        rows = fill_gaps(seen, self.seconds)
        self._faces.write(rows.tobytes())
        first, self._face_rows = self._face_rows, self._face_rows + len(rows)
        picks = np.array(track.crop_faces, np.int64)
        reasons = rejections(seen["box"][picks], seen["sharpness"][picks], self._config)
        # The most frontal of the kept crops stands for the track wherever a person sees it.
        frontal = np.where(reasons == "", 0, -1e6) + np.array(track.frontalness)[picks]
        self._tracks.append(
            SampledTracks(
                shot=np.array([self._shot]),
                # Copies, all of them: a view would keep every row of every track in memory.
                start=rows["frame"][[0]],
                stop=rows["frame"][[-1]] + 1,
                left=rows["box"][[0], 0],
                top=rows["box"][[0], 1],
                first_face=np.array([first]),
                n_faces=np.array([len(rows)]),
                n_crops=np.array([len(picks)]),
                representative_frame=seen["frame"][picks[[frontal.argmax()]]],
                status=np.array([track_status(seen["score"], reasons, self._track_config, self._config)]),
            )
        )
        self._crop_tables.append(
            SampledCrops(row=np.array(track.crop_rows), frame=seen["frame"][picks], reason=reasons)
        )


def fill_gaps(seen: NDArray[np.void], seconds: Sequence[float]) -> NDArray[np.void]:
    """One track's rows with the frames between its first and last filled linearly; filled rows have no sharpness.
    seconds: when each frame of the video is shown."""
    frames, boxes, landmarks, scores, interpolated = interpolate(
        seen["frame"], seen["box"], seen["landmarks"], seen["score"]
    )
    rows = np.zeros(len(frames), FACE_ROW)
    rows["frame"], rows["box"], rows["landmarks"], rows["score"] = frames, boxes, landmarks, scores
    rows["seconds"] = seconds[frames[0] : frames[-1] + 1]
    rows["interpolated"] = interpolated
    rows["sharpness"] = np.nan
    rows["sharpness"][~interpolated] = seen["sharpness"]
    return rows
