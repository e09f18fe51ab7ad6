"""Which labelled person each predicted track follows: boxes against labelled boxes, a frame at a time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from vcn_trt.errors import LabelError
from vcn_trt.labels import Labels
from vcn_trt.ragged import ranges
from vcn_trt.types import Faces, Video

MIN_IOU = 0.4

FRAMES_APART = 2
"""By how many frames labels and video may differ: containers round their ends. More is another film, or another cut."""


@dataclass(frozen=True, eq=False)
class Matches:
    """What the predicted tracks are, by box. A track is matched, ignored, unmatched, or in a video without labels.

    identity: the person of each track, None where it is not matched. (n_tracks,)
    ignored: tracks that meet only ignored boxes. unmatched: that meet none. unlabelled: in a video without labels.
    (n_tracks,) bool, disjoint. face_track, face_identity: the track and person of every matched face, in order of
    track, then frame. (n_matched,)
    boxes: labelled faces of people, over all videos. They are covered by face_track, one face each.
    """

    identity: Sequence[str | None]
    ignored: NDArray[np.bool_]
    unmatched: NDArray[np.bool_]
    unlabelled: NDArray[np.bool_]
    face_track: NDArray[np.int64]
    face_identity: NDArray[np.str_]
    boxes: int


def assign(labels: Sequence[Labels], videos: Sequence[Video]) -> dict[int, Labels]:
    """The labels of each video that has some, by video id.

    The file name decides; among several videos of one name, the most folders before it that agree. A label file's
    `video` without folders counts as in the label file's own. Raises LabelError as `evaluate` does.
    """
    if not labels:
        raise LabelError("no label file was given; expected one or more, a file for each video to be measured")
    both = (
        f"label files are for {', '.join(f'{one.video} ({one.path})' for one in labels)}; "
        f"the run's videos are {', '.join(v.path for v in videos) or 'none'}"
    )
    by_video: dict[int, Labels] = {}
    for one in labels:
        shared = [_shared_parts(one, v) for v in videos]
        found = [v for v, n in zip(videos, shared, strict=True) if n and n == max(shared)]
        if not found and len(labels) == len(videos) == 1:
            found = list(videos)
        if len(found) != 1:
            which = "no video" if not found else f"{len(found)} videos"
            raise LabelError(f"{one.path} fits {which} of the run: {both}")
        video = found[0]
        if video.id in by_video:
            raise LabelError(f"{by_video[video.id].path} and {one.path} are both labels of {video.path}: {both}")
        if one.width is not None and (one.width, one.height) != (video.width, video.height):
            raise LabelError(
                f"{one.path} is for pictures of {one.width}x{one.height}, "
                f"{video.path} has {video.width}x{video.height}: "
                "boxes are compared pixel by pixel, so run on the video that was labelled"
            )
        if one.frames is not None and abs(one.frames - video.frames) > FRAMES_APART:
            raise LabelError(
                f"{one.path} is for a video of {one.frames} frames, {video.path} has {video.frames}: "
                "boxes are compared frame by frame, so run on the video that was labelled"
            )
        by_video[video.id] = one
    return by_video


def renamed(by_video: Mapping[int, Labels], videos: Sequence[Video]) -> list[str]:
    """A sentence for each video whose labels are for one of another name or folder."""
    return [
        f"{by_video[v.id].path} is for {by_video[v.id].video}, and was compared with {v.path}"
        for v in videos
        if v.id in by_video and _suffix(PurePath(by_video[v.id].video), PurePath(v.path)) < _length(by_video[v.id])
    ]


def match_tracks(
    faces: Faces,
    labels: Mapping[int, Labels],
    n_tracks: int,
    track_video: NDArray[np.integer],
    min_iou: float = MIN_IOU,
) -> Matches:
    """Which person each predicted track follows.

    labels: by video id. track_video: the video of each track. In every frame predicted faces and labelled boxes
    (ignored ones too) are paired one to one, best IoU first, down to `min_iou`: so of two tracks on one face the worse
    is no match. A track is the person with whom it is paired in most frames; of people with equally many, the one of
    the larger IoU sum. One that is paired with ignored boxes alone is ignored, one without any pair unmatched.
    """
    truth = [
        (video, frame, box, "" if t.identity is None else t.identity)
        for video, one in sorted(labels.items())
        for t in (*one.tracks, *one.ignore_tracks)
        for frame, box in zip(t.frames, t.boxes, strict=True)
    ]
    true_video = np.array([t[0] for t in truth], np.int64)
    true_frame = np.array([t[1] for t in truth], np.int64)
    true_box = np.array([t[2] for t in truth], np.float32).reshape(-1, 4)
    true_name = np.array([t[3] for t in truth], np.str_)
    face, box, iou = _pair(faces.video, faces.frame, faces.box, true_video, true_frame, true_box, min_iou)

    met = np.zeros(n_tracks, bool)
    met[faces.track[face]] = True
    person = true_name[box] != ""
    face, box, iou = face[person], box[person], iou[person]
    track, name = faces.track[face].astype(np.int64), true_name[box]
    names, number = np.unique(name, return_inverse=True)
    frames = np.zeros((n_tracks, len(names)), np.int64)  # (n_tracks, n_people)
    overlap = np.zeros((n_tracks, len(names)))
    np.add.at(frames, (track, number), 1)
    np.add.at(overlap, (track, number), iou)
    identity: list[str | None] = [None] * n_tracks
    for t in np.unique(track):
        identity[t] = str(names[np.lexsort((overlap[t], frames[t]))[-1]])
    matched = frames.any(axis=1)
    labelled = np.isin(track_video, list(labels))
    order = np.lexsort((faces.frame[face], track))
    return Matches(
        identity=identity,
        ignored=met & ~matched,
        unmatched=labelled & ~met,
        unlabelled=~labelled,
        face_track=track[order],
        face_identity=name[order],
        boxes=int((true_name != "").sum()),
    )


def _pair(
    video: NDArray[np.integer],
    frame: NDArray[np.int64],
    boxes: NDArray[np.float32],
    true_video: NDArray[np.int64],
    true_frame: NDArray[np.int64],
    true_boxes: NDArray[np.float32],
    min_iou: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """One-to-one pairs of a frame's faces and boxes, best IoU first: faces, labelled boxes, IoU. (n_pairs,) each"""
    span = int(max(frame.max(initial=0), true_frame.max(initial=0))) + 1
    key, true_key = video.astype(np.int64) * span + frame, true_video * span + true_frame
    by_frame = np.argsort(true_key, kind="stable")
    first = np.searchsorted(true_key[by_frame], key, side="left")
    count = np.searchsorted(true_key[by_frame], key, side="right") - first
    # Every face beside every labelled box of its frame.
    left = np.repeat(np.arange(len(key)), count)
    right = by_frame[ranges(first, count)]
    iou = _iou(boxes[left].astype(np.float64), true_boxes[right].astype(np.float64))
    close = iou >= min_iou
    left, right, iou = left[close], right[close], iou[close]
    order = np.lexsort((right, left, -iou))
    left, right, iou = left[order], right[order], iou[order]
    taken: list[NDArray[np.int64]] = []
    alive = np.arange(len(left))
    while len(alive):
        # A pair that is the best left for both its sides is what going down the list one by one would take.
        first_left, first_right = (np.unique(side[alive], return_index=True)[1] for side in (left, right))
        best = np.intersect1d(first_left, first_right)
        chosen = alive[best]
        taken.append(chosen)
        alive = alive[~np.isin(left[alive], left[chosen]) & ~np.isin(right[alive], right[chosen])]
    rows = np.sort(np.concatenate(taken)) if taken else np.empty(0, np.int64)
    return left[rows], right[rows], iou[rows]


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row. (n, 4), (n, 4) -> (n,)"""
    sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None)
    common = sides.prod(1)
    areas = np.clip(a[:, 2:] - a[:, :2], 0, None).prod(1) + np.clip(b[:, 2:] - b[:, :2], 0, None).prod(1)
    return np.asarray(np.divide(common, areas - common, out=np.zeros_like(common), where=areas > common))


def _shared_parts(labels: Labels, video: Video) -> int:
    """How many parts of their paths agree, from the file name back; 0 where the names differ."""
    return _suffix(Path(os.path.abspath(labels.path.parent / labels.video)), Path(os.path.abspath(video.path)))


def _suffix(labelled: PurePath, path: PurePath) -> int:
    if labelled.name != path.name and (labelled.suffix or labelled.name != path.stem):
        return 0
    folders = zip(reversed(labelled.parent.parts), reversed(path.parent.parts), strict=False)
    return 1 + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], folders))


def _length(labels: Labels) -> int:
    return len(PurePath(labels.video).parts)
