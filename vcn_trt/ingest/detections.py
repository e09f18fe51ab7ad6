"""The detections of a video on disk, chunk by chunk as they come: what a killed run does not look for again.

The network is most of the cost of ingest, and its answers do not depend on shots, tracking or crop rules. So they are
the checkpoint: a run that goes on decodes again, takes what is here, and asks the network from the first frame that
is not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vcn_trt.backends.base import RawFaces
from vcn_trt.errors import RunError
from vcn_trt.store import read_npz, replace_npz
from vcn_trt.types import Detections

CHUNK = 240
"""Frames a file: ten seconds of film. A multiple of every batch size up to 6, 8, 10, 12, 15, 16 and 20, so that a
batch never straddles what is known and what is not."""


class DetectionLog:
    """Frames come in order, each once. `known`: how many frames, from 0, were found on disk, whole, when it was
    opened."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._open: list[Detections] = []
        self._read: tuple[int, Detections] | None = None
        self.known = self._next = 0
        while (found := self._load(self.known // CHUNK)) is not None:
            self.known = self._next = found[0]
            if self.known % CHUNK:
                break  # the last of a whole video

    def read(self, frame: int) -> RawFaces:
        """The faces of a known frame."""
        chunk = frame // CHUNK
        if self._read is None or self._read[0] != chunk:
            found = self._load(chunk)
            if found is None:
                raise RunError(f"{self._path(chunk)} was damaged while it was used; run the same command again")
            self._read = chunk, found[1]
        rows = self._read[1]
        rows = rows[slice(*np.searchsorted(rows.frame, [frame, frame + 1]))]
        return RawFaces(rows.box, rows.score, rows.landmarks)

    def append(self, frame: int, faces: RawFaces) -> None:
        """The faces of the next frame beyond the known ones; a full chunk is written at once."""
        if not self._open and frame % CHUNK and (tail := self._load(frame // CHUNK)) is not None:
            self._open.append(tail[1])  # this time the video is longer than its last chunk told
        self._open.append(Detections(np.full(len(faces.scores), frame), faces.boxes, faces.scores, faces.landmarks))
        self._next = frame + 1
        if self._next % CHUNK == 0:
            self._write()

    def finish(self) -> None:
        """The video has ended: its last, shorter chunk is written too."""
        if self._open:
            self._write()

    def _path(self, chunk: int) -> Path:
        return self._folder / f"detections-{chunk:06d}.npz"

    def _write(self) -> None:
        rows = Detections.concatenate(self._open)
        columns = {"frame": rows.frame, "box": rows.box, "score": rows.score, "landmarks": rows.landmarks}
        replace_npz(self._path((self._next - 1) // CHUNK), {"stop": np.array(self._next), **columns})
        self._open = []

    def _load(self, chunk: int) -> tuple[int, Detections] | None:
        """The first frame behind a chunk, and its faces; None where it is missing or damaged: it is then looked for
        anew."""
        arrays = read_npz(self._path(chunk))
        try:
            return None if arrays is None else (int(arrays.pop("stop")), Detections(**arrays))
        except (KeyError, TypeError, ValueError):
            return None
