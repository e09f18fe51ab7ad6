"""Who truly is on screen: the label files that a run is measured against, this project's JSON and `.ids` files."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.errors import LabelError

IDS_HEADER = "CVHCI_TRACKLABELS_V1"
SUFFIXES = frozenset({".json", ".ids"})
"""Of label files, where they are named among others."""


@dataclass(frozen=True, eq=False)
class LabelledTrack:
    """One person followed through one shot. identity: None for a face that is neither rewarded nor punished.

    frames: (n,) int64, rising, gaps allowed. boxes: (n, 4) float32 xyxy in pixels of the displayed picture.
    shot: the index of its shot, -1 where the file has none.
    """

    track_id: int
    shot: int
    identity: str | None
    frames: NDArray[np.int64]
    boxes: NDArray[np.float32]


@dataclass(frozen=True)
class LabelledShot:
    """Frames start to stop (exclusive)."""

    index: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Labels:
    """The truth about one video. Width, height, frame count and rate are None where the file does not tell them.

    tracks: labelled people. ignore_tracks: faces that count for nothing (too small, turned away, ambiguous).
    false_cuts: starts in `shots` that are no cut. dissolves: frames around which one shot fades into the next.
    """

    path: Path
    video: str
    fps: Fraction | None
    width: int | None
    height: int | None
    frames: int | None
    shots: tuple[LabelledShot, ...]
    tracks: tuple[LabelledTrack, ...]
    ignore_tracks: tuple[LabelledTrack, ...] = ()
    false_cuts: tuple[int, ...] = ()
    dissolves: tuple[int, ...] = ()

    @property
    def identities(self) -> tuple[str, ...]:
        """Everyone with a track, in alphabetical order; a cast list may name people who never appear."""
        return tuple(sorted({t.identity for t in self.tracks if t.identity is not None}))


def read(path: Path) -> Labels:
    """The labels of one video.

    A JSON file holds `video`, `fps`, `width`, `height`, `frames`, `shots` (`index`, `start`, `end` exclusive) and
    `tracks` (`track_id`, `shot`, `identity`, `frames`, `boxes`). `ignore_tracks`, `false_cuts_in_shots` and
    `missed_transitions` may be absent, other keys are passed over. `fps` is a number or a fraction as "24000/1001".

    An `.ids` file (the labels of the TV series benchmarks: Baeuml et al. 2013, Tapaswi et al. 2019) opens with the line
    CVHCI_TRACKLABELS_V1; each further line is a track's number and a name without spaces. It holds no boxes: they are
    read from the track table beside it, the same name ending in `.tracks`. That is a text file of columns separated by
    blanks or commas. Its first line names them: `track`, `frame` (from 0) and `x1 y1 x2 y2` or `x y w h`, in any order,
    others passed over; so are blank lines and lines from `#`. A track of the table without a name is an ignored one.
    The video is the one of the same stem.

    Raises LabelError naming the file, the track and what was found.
    """
    text = _text(path)
    first = text.lstrip().split("\n", 1)[0].strip()
    if first.startswith("{"):
        return _from_json(path, text)
    if first == IDS_HEADER:
        return _from_ids(path, text)
    raise LabelError(f"{path}: expected JSON labels or a first line {IDS_HEADER}, found {first[:60]!r}")


def write(labels: Labels, path: Path) -> None:
    """The labels as this project's JSON, see `text`."""
    path.write_text(text(labels), encoding="utf-8")


def text(labels: Labels) -> str:
    """The labels as this project's JSON, boxes to a hundredth of a pixel. Raises LabelError where the rate, size or
    frame count is not known: the format asks for them."""
    if labels.fps is None or labels.width is None or labels.height is None or labels.frames is None:
        raise LabelError(f"the labels of {labels.video} tell no rate, size or frame count, which a label file holds")
    tree = {
        "video": labels.video,
        "fps": float(labels.fps) if labels.fps.denominator == 1 else str(labels.fps),
        "width": labels.width,
        "height": labels.height,
        "frames": labels.frames,
        "shots": [{"index": s.index, "start": s.start, "end": s.stop} for s in labels.shots],
        "identities": list(labels.identities),
        "tracks": [_plain(t) for t in labels.tracks],
        "ignore_tracks": [_plain(t) for t in labels.ignore_tracks],
        "false_cuts_in_shots": list(labels.false_cuts),
        "missed_transitions": [{"type": "dissolve", "around": frame} for frame in labels.dissolves],
    }
    return json.dumps(tree)


def _plain(track: LabelledTrack) -> dict[str, Any]:
    return {
        "track_id": track.track_id,
        "shot": track.shot,
        "identity": "ignore" if track.identity is None else track.identity,
        "frames": track.frames.tolist(),
        "boxes": track.boxes.astype(np.float64).round(2).tolist(),
    }


def _from_json(path: Path, text: str) -> Labels:
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise LabelError(f"{path} is not JSON: {error}") from error
    video = _get(tree, "video", str, f"{path}")
    shots = []
    for i, entry in enumerate(_get(tree, "shots", list, f"{path}")):
        where = f"{path}: shot {i}"
        start, stop = _get(entry, "start", int, where), _get(entry, "end", int, where)
        if start < 0 or stop <= start:
            raise LabelError(f"{where}: expected 0 <= start < end, found start {start}, end {stop}")
        shots.append(LabelledShot(_get(entry, "index", int, where), start, stop))
    missed = [_mapping(m, f"{path}: missed_transitions") for m in _get(tree, "missed_transitions", list, f"{path}", [])]
    return Labels(
        path=path,
        video=video,
        fps=_fps(_get(tree, "fps", (int, float, str), f"{path}"), path),
        width=_positive(tree, "width", path),
        height=_positive(tree, "height", path),
        frames=_positive(tree, "frames", path),
        shots=tuple(sorted(shots, key=lambda s: s.start)),
        tracks=_unique(path, [_track(path, t, ignored=False) for t in _get(tree, "tracks", list, f"{path}")]),
        ignore_tracks=tuple(_track(path, t, ignored=True) for t in _get(tree, "ignore_tracks", list, f"{path}", [])),
        false_cuts=_frames(tree, "false_cuts_in_shots", path),
        dissolves=tuple(_get(m, "around", int, f"{path}: missed_transitions") for m in missed),
    )


def _track(path: Path, entry: Any, ignored: bool) -> LabelledTrack:
    kind = "ignored track" if ignored else "track"
    track_id = _get(entry, "track_id", int, f"{path}: a {kind}")
    where = f"{path}: {kind} {track_id}"
    identity = None if ignored else _get(entry, "identity", str, where)
    if identity == "":
        raise LabelError(f"{where}: the identity is empty; a face that counts for nothing belongs in ignore_tracks")
    frames, boxes = _get(entry, "frames", list, where), _get(entry, "boxes", list, where)
    return _checked(where, track_id, _get(entry, "shot", int, where), identity, frames, boxes)


def _checked(
    where: str, track_id: int, shot: int, identity: str | None, frames: Sequence[Any], boxes: Sequence[Any]
) -> LabelledTrack:
    if len(frames) != len(boxes) or not frames:
        raise LabelError(
            f"{where}: expected one box a frame, at least one; found {len(frames)} frames, {len(boxes)} boxes"
        )
    if not all(isinstance(f, int) and not isinstance(f, bool) and f >= 0 for f in frames):
        raise LabelError(f"{where}: expected frame numbers from 0, found {_odd_one(frames)!r}")
    for before, frame in itertools.pairwise(frames):
        if frame <= before:
            raise LabelError(f"{where}: frames must rise, found {before} before {frame}")
    bad = next((b for b in boxes if not _is_box(b)), None)
    if bad is not None:
        raise LabelError(f"{where}: expected boxes of four numbers x1 y1 x2 y2, found {bad!r}")
    array = np.array(boxes, np.float64)  # (n, 4)
    inverted = (array[:, 2:] <= array[:, :2]).any(axis=1)
    if inverted.any():
        i = int(np.argmax(inverted))
        raise LabelError(f"{where}, frame {frames[i]}: expected x1 < x2 and y1 < y2, found {boxes[i]}")
    return LabelledTrack(track_id, shot, identity, np.array(frames, np.int64), array.astype(np.float32))


def _from_ids(path: Path, text: str) -> Labels:
    names: dict[int, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields == [IDS_HEADER]:
            continue
        if len(fields) != 2 or not fields[0].isdigit():
            raise LabelError(f"{path}, line {number}: expected a track's number and a name, found {line.strip()!r}")
        if int(fields[0]) in names:
            raise LabelError(f"{path}, line {number}: track {fields[0]} is named a second time")
        names[int(fields[0])] = fields[1]
    table = path.with_suffix(".tracks")
    if not table.is_file():
        raise LabelError(
            f"{path} names tracks but holds no boxes: expected the track table {table.name} beside it, "
            "columns `track frame x1 y1 x2 y2` or `track frame x y w h`, named in its first line"
        )
    rows = _track_table(table)
    absent = sorted(set(names) - set(rows))
    if absent:
        raise LabelError(f"{path}: {len(absent)} named tracks are not in {table.name}, the first is track {absent[0]}")
    tracks = [
        _checked(f"{table}: track {t}", t, -1, names.get(t), *zip(*sorted(rows[t]), strict=True)) for t in sorted(rows)
    ]
    return Labels(
        path=path,
        video=path.stem,
        fps=None,
        width=None,
        height=None,
        frames=None,
        shots=(),
        tracks=tuple(t for t in tracks if t.identity is not None),
        ignore_tracks=tuple(t for t in tracks if t.identity is None),
    )


def _track_table(path: Path) -> dict[int, list[tuple[int, list[float]]]]:
    """The (frame, xyxy box) rows of each track."""
    lines = [(n, line.replace(",", " ").split()) for n, line in enumerate(_text(path).splitlines(), 1)]
    lines = [(n, fields) for n, fields in lines if fields and not fields[0].startswith("#")]
    names = lines[0][1] if lines else []
    corners, size = ["x1", "y1", "x2", "y2"], ["x", "y", "w", "h"]
    box = corners if set(corners) <= set(names) else size
    if not {"track", "frame", *box} <= set(names):
        found = " ".join(names)[:80]
        raise LabelError(
            f"{path}: expected a first line naming the columns `track frame x1 y1 x2 y2` or `track frame x y w h`, "
            f"found {found!r}"
        )
    rows: dict[int, list[tuple[int, list[float]]]] = {}
    for number, fields in lines[1:]:
        try:
            row = dict(zip(names, fields, strict=True))
            track, frame, numbers = int(row["track"]), int(row["frame"]), [float(row[c]) for c in box]
        except ValueError as error:
            raise LabelError(
                f"{path}, line {number}: expected {len(names)} numbers ({' '.join(names)}), found {' '.join(fields)!r}"
            ) from error
        if box is size:
            numbers[2:] = [numbers[0] + numbers[2], numbers[1] + numbers[3]]
        rows.setdefault(track, []).append((frame, numbers))
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelError(f"cannot read the labels {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is no text: expected JSON labels or an .ids file") from error


def _mapping(tree: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(tree, dict):
        raise LabelError(f"{where}: expected an object with keys, found {str(tree)[:60]!r}")
    return tree


_REQUIRED = object()


def _get(tree: Any, key: str, kind: type | tuple[type, ...], where: str, default: Any = _REQUIRED) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    value = _mapping(tree, where).get(key, default)
    if value is _REQUIRED:
        raise LabelError(f"{where}: the key {key!r} is missing; found {', '.join(map(repr, tree)) or 'none'}")
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = " or ".join(k.__name__ for k in kinds)
        raise LabelError(f"{where}: {key!r} must be {expected}, found {str(value)[:60]!r}")
    return value


def _positive(tree: Any, key: str, path: Path) -> int:
    value: int = _get(tree, key, int, f"{path}")
    if value <= 0:
        raise LabelError(f"{path}: {key!r} must be above 0, found {value}")
    return value


def _fps(value: float | str, path: Path) -> Fraction:
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise LabelError(f"{path}: 'fps' must be a rate such as 25 or \"24000/1001\", found {value!r}")
    return rate


def _frames(tree: Any, key: str, path: Path) -> tuple[int, ...]:
    values = _get(tree, key, list, f"{path}", [])
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise LabelError(f"{path}: {key!r} must list frame numbers, found {_odd_one(values)!r}")
    return tuple(values)


def _unique(path: Path, tracks: Sequence[LabelledTrack]) -> tuple[LabelledTrack, ...]:
    seen: set[int] = set()
    for track in tracks:
        if track.track_id in seen:
            raise LabelError(f"{path}: two tracks have the track_id {track.track_id}")
        seen.add(track.track_id)
    return tuple(tracks)


def _odd_one(values: Iterable[Any]) -> Any:
    return next(v for v in values if not isinstance(v, int) or isinstance(v, bool) or v < 0)


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 4
        and all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    )
