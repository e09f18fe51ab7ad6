"""The detections of a video on disk, chunk by chunk as they come: what a killed run does not look for again.

The network is most of the cost of ingest, and its answers do not depend on shots, tracking or crop rules. So they are
the checkpoint: a run that goes on decodes again, takes what is here, and asks the network from the first frame that
is not.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vcn_trt.backends.base import RawFaces
from vcn_trt.types import Detections

CHUNK = 240
"""Frames a file: ten seconds of film. A multiple of every batch size up to 6, 8, 10, 12, 15, 16 and 20, so that a
batch never straddles what is known and what is not."""


class DetectionLog:
    """Frames come in order, each once. `known`: how many frames, from 0, were found on disk when it was opened."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._open: list[Detections] = []
        self._read: tuple[int, Detections] | None = None
        self.known = 0
        while self._path(self.known // CHUNK).exists():
            self.known += CHUNK

    def read(self, frame: int) -> RawFaces:
        """The faces of a known frame."""
        chunk = frame // CHUNK
        if self._read is None or self._read[0] != chunk:
            with np.load(self._path(chunk)) as columns:
                self._read = chunk, Detections(**columns)
        rows = self._read[1]
        rows = rows[slice(*np.searchsorted(rows.frame, [frame, frame + 1]))]
        return RawFaces(rows.box, rows.score, rows.landmarks)

    def append(self, frame: int, faces: RawFaces) -> None:
        """The faces of the next frame beyond the known ones; a full chunk is written at once."""
        self._open.append(Detections(np.full(len(faces.scores), frame), faces.boxes, faces.scores, faces.landmarks))
        if (frame + 1) % CHUNK == 0:
            self._write(frame // CHUNK)

    def _path(self, chunk: int) -> Path:
        return self._folder / f"detections-{chunk:06d}.npz"

    def _write(self, chunk: int) -> None:
        rows = Detections.concatenate(self._open)
        scratch = self._folder / "detections.tmp.npz"
        np.savez(scratch, frame=rows.frame, box=rows.box, score=rows.score, landmarks=rows.landmarks)
        os.replace(scratch, self._path(chunk))
        self._open = []
