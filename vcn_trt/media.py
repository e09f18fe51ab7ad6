"""A video as an editing system knows it: clip and reel name, timecode, and its frames on the grid of its rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.errors import RunError
from vcn_trt.sources import fingerprint
from vcn_trt.timecode import Clock, start_of
from vcn_trt.types import TrackSet, Video


@dataclass(frozen=True, eq=False)
class Media:
    """start: the number of the first frame on `clock`. variable: whether the presentation times leave the grid of the
    rate; then `position` follows the times, as an editing system does that conforms such a file. notes: sentences for a
    person. frames, seconds: (n,) the boundaries whose times are known."""

    video: Video
    path: Path
    name: str
    reel: str
    clock: Clock
    start: int
    variable: bool
    notes: tuple[str, ...]
    _frames: NDArray[np.int64]
    _seconds: NDArray[np.float64]

    def position(self, frame: int) -> int:
        """Where a decoded frame stands on the grid, from 0: its own number but for a variable rate."""
        return round(float(self._grid(frame))) if self.variable else frame

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """In and out (exclusive) on the grid, one frame at least."""
        begin = self.position(start)
        return begin, max(begin + 1, self.position(stop))

    @property
    def length(self) -> int:
        """Frames on the grid."""
        return max(1, self.position(self.video.frames))

    def seconds(self, frame: int) -> float:
        """When a frame is shown, from the container's start; the number of frames stands for the end."""
        return float(np.interp(frame, self._frames, self._seconds))

    def timecode(self, position: int) -> str:
        """Source timecode of a place on the grid."""
        return self.clock.text(self.start + position)

    def _grid(self, frame: int) -> float:
        return (self.seconds(frame) - float(self._seconds[0])) * float(self.clock.fps)


def of(tracks: TrackSet, folder: Path | None = None) -> list[Media]:
    """Every video of a run. folder: where the files are for whoever reads the result, instead of where they were."""
    reels = _reels(tracks.videos)
    return [_media(v, tracks, reel, folder) for v, reel in zip(tracks.videos, reels, strict=True)]


def place(record: Mapping[str, Any], video: Video, folder: Path | None) -> Path:
    """Where a video's file is: as the run found it, or by its name in `folder`. record: run.json. Raises RunError where
    it is not there, or is another than the run saw: its boxes would lie beside the faces."""
    path = folder / Path(video.path).name if folder else Path(video.path)
    if not path.is_file():
        raise RunError(
            f"the video {path} is not there: say which folder it is in with --media FOLDER (what needs no picture of "
            "it works without)"
        )
    known = {s["path"]: s["fingerprint"] for s in record["sources"]}
    if video.path in known and fingerprint(path) != known[video.path]:
        raise RunError(
            f"{path} is not the video that the run saw (its content differs): give the folder of that one with "
            "--media, or run `vcn run --update` on this one"
        )
    return path


def _media(video: Video, tracks: TrackSet, reel: str, folder: Path | None) -> Media:
    clock, start, problem = start_of(video.fps, video.start_timecode)
    frames, seconds = _known_times(video, tracks)
    # A clock of milliseconds (Matroska) stays within half a frame of the grid; dropped or held frames do not.
    drift = (seconds - seconds[0]) * float(video.fps) - frames
    variable = bool(np.abs(drift).max() >= 0.5)
    given = Path(video.path)
    notes = [f"{given.name}: {problem}"] if problem else []
    if variable:
        notes.append(
            f"{given.name} has a variable frame rate: timecodes give the nearest frame at {float(video.fps):.3f} a "
            "second by presentation time, as an editing system conforms it; frame numbers count decoded frames"
        )
    path = Path(folder) / given.name if folder else given
    return Media(video, path.absolute(), given.name, reel, clock, start, variable, tuple(notes), frames, seconds)


def _known_times(video: Video, tracks: TrackSet) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) frames, rising, and their seconds: of shots, of faces, and of the ends of tracks, which no face has."""
    shots, faces = tracks.shots[tracks.shots.video == video.id], tracks.faces[tracks.faces.video == video.id]
    last = np.flatnonzero(np.append(np.diff(faces.track) != 0, True))[: len(faces)]
    step = 1 / float(video.fps)
    frames: NDArray[Any] = np.concatenate([shots.start, shots.stop, faces.frame, faces.frame[last] + 1, [0]])
    times: NDArray[Any] = np.concatenate(
        [shots.start_seconds, shots.stop_seconds, faces.seconds, faces.seconds[last] + step, [0.0]]
    )
    # The first of equal frames is kept: a stated time goes before one that was reckoned.
    unique, first = np.unique(frames, return_index=True)
    return unique.astype(np.int64), np.maximum.accumulate(times[first])


def _reels(videos: Sequence[Video]) -> list[str]:
    """The reel that the container names, else the file's stem; equal stems are told apart by their number."""
    reels: list[str] = []
    for video in videos:
        stem = Path(video.path).stem
        taken = any(reel == stem for reel in reels)
        reels.append(video.reel or (f"{stem}_{video.id + 1}" if taken else stem))
    return reels
