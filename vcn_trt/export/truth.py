"""A run as labels (`vcn eval` reads them): what was corrected by hand becomes what others are measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcn_trt.cast import called
from vcn_trt.labels import LabelledShot, LabelledTrack, Labels
from vcn_trt.types import UNKNOWN, TrackSet, Video


def labels_of(
    tracks: TrackSet, people: NDArray[np.int32], known: Mapping[int, str | None], video: Video, path: Path
) -> Labels:
    """The labels of one video. people: (n_tracks,) clusters. A person is called by name, else "Person 3"; Unknown
    tracks become ignored ones. Boxes without width or height, outside any picture, are left out."""
    shots = tracks.shots[tracks.shots.video == video.id]
    named = [(int(t), called(int(people[t]), known)) for t in _of(tracks, video) if people[t] != UNKNOWN]
    ignored = [(int(t), None) for t in _of(tracks, video) if people[t] == UNKNOWN]
    alike = sum(Path(v.path).name == Path(video.path).name for v in tracks.videos) > 1
    return Labels(
        path=path,
        video=video.path if alike else Path(video.path).name,
        fps=video.fps,
        width=video.width,
        height=video.height,
        frames=video.frames,
        shots=tuple(
            LabelledShot(s, a, b)
            for s, a, b in zip(shots.shot.tolist(), shots.start.tolist(), shots.stop.tolist(), strict=True)
        ),
        tracks=_labelled(tracks, named),
        ignore_tracks=_labelled(tracks, ignored),
    )


def _of(tracks: TrackSet, video: Video) -> NDArray[np.int64]:
    return np.flatnonzero(tracks.tracks.video == video.id)


def _labelled(tracks: TrackSet, rows: Sequence[tuple[int, str | None]]) -> tuple[LabelledTrack, ...]:
    found = []
    for track, identity in rows:
        faces = tracks.faces[slice(*np.searchsorted(tracks.faces.track, [track, track + 1]))]
        box = faces.box.astype(np.float64).round(2)
        whole = (box[:, 2:] > box[:, :2]).all(axis=1)
        if whole.any():
            shot = int(tracks.tracks.shot[track])
            found.append(LabelledTrack(track, shot, identity, faces.frame[whole], faces.box[whole]))
    return tuple(found)
