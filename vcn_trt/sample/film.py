"""Makes the sample film: renders each shot with its own grade and grain, encodes H.264, writes the labels beside it."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.sample.edit import FPS, HEIGHT, WIDTH, Layer, Shot, cut
from vcn_trt.sample.sources import SOURCES, Footage, Progress, fetch

TAKES = 4
"""A long film repeats this many takes: each is rendered and encoded once, then its packets are copied."""

WHOLE, HIDDEN = 0.85, 0.2
"""A face is ignored if a frame shows less than WHOLE of it, and not labelled where at most HIDDEN of it shows."""


def build(out: Path, cache: Path, progress: Progress | None = None, seconds: float | None = None) -> Path:
    """Make `out`/film.mp4 (H.264, 1280x720, 24 fps) and its labels `out`/film.json (the JSON of `vcn eval`), and return
    the film's path. What stands there under these names is replaced, whole or not at all.

    cache: a folder for the 13 MB of archives that the faces come from. seconds: None for the edit as it is (49.5 s);
    less cuts it off, more repeats it in other takes without taking more memory, but for the labels. Raises VcnError
    where the archives cannot be fetched.
    """
    fetch(cache, progress)
    footage = Footage(cache)
    length = sum(shot.frames for shot in cut())
    wanted = length if seconds is None else max(1, round(seconds * FPS))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".film-") as name:
        folder = Path(name)
        takes = [(i % TAKES, min(length, wanted - i * length)) for i in range(-(-wanted // length))]
        to_encode = list(dict.fromkeys(takes))
        total, done = sum(frames for _, frames in to_encode), 0
        for take, frames in to_encode:
            pictures = itertools.islice(_render(cut(take), footage, take), frames)
            _encode(pictures, folder / f"{take}-{frames}.mp4", progress, done, total)
            done += frames
        join([folder / f"{take}-{frames}.mp4" for take, frames in takes], folder / "film.mp4")
        labels = label([cut(take) for take, _ in takes], wanted)
        (folder / "film.json").write_text(json.dumps(labels), encoding="utf-8")
        for finished in ("film.json", "film.mp4"):
            os.replace(folder / finished, out / finished)
    return out / "film.mp4"


def label(takes: Sequence[Sequence[Shot]], frames: int) -> dict[str, Any]:
    """Who is where in the first `frames` frames of these takes, in a row: the JSON that `vcn_trt.labels` reads."""
    shots: list[dict[str, int]] = []
    tracks: list[dict[str, Any]] = []
    ignored: list[dict[str, Any]] = []
    dissolves: list[dict[str, Any]] = []
    start = 0
    for shot in itertools.chain.from_iterable(takes):
        count = min(shot.frames, frames - start)
        if count <= 0:
            break
        if shot.fade:
            dissolves.append({"type": "dissolve", "around": start})
        for layer in shot.layers:
            for who in SOURCES[layer.source].faces:
                seen = [layer.face(who, i, i / (shot.frames - 1)) for i in range(count)]
                if max(share for _, share in seen) <= HIDDEN:
                    continue
                track: dict[str, Any] = {"track_id": len(tracks) + len(ignored), "shot": len(shots), "identity": who}
                rows = [(start + i, box) for i, (box, share) in enumerate(seen) if share > HIDDEN]
                track["frames"] = [frame for frame, _ in rows]
                track["boxes"] = [np.round(box, 1).tolist() for _, box in rows]
                (tracks if min(share for _, share in seen) >= WHOLE else ignored).append(track)
        shots.append({"index": len(shots), "start": start, "end": start + count})
        start += count
    return {
        "video": "film.mp4",
        "fps": FPS,
        "width": WIDTH,
        "height": HEIGHT,
        "frames": frames,
        "shots": shots,
        "missed_transitions": dissolves,
        "identities": sorted({track["identity"] for track in tracks}),
        "tracks": tracks,
        "ignore_tracks": ignored,
    }


def _render(shots: Sequence[Shot], footage: Footage, take: int) -> Iterator[NDArray[np.uint8]]:
    """Every frame of the edit, (720, 1280, 3) BGR. The same take gives the same pixels."""
    following = [*(shot.fade // 2 for shot in shots[1:]), 0]
    tail: list[NDArray[np.uint8]] = []
    for number, (shot, after) in enumerate(zip(shots, following, strict=True)):
        before = shot.fade // 2
        pictures = _shoot(shot, before, after, footage, np.random.default_rng([take, number]))
        # `tail` holds the outgoing picture around the cut: half of the dissolve before it, half behind it.
        for i, outgoing in enumerate(tail):
            alpha = (i + 1) / (len(tail) + 1)
            yield cv2.addWeighted(outgoing, 1 - alpha, next(pictures), alpha, 0).astype(np.uint8)
        yield from itertools.islice(pictures, shot.frames - before - after)
        tail = list(pictures)


def _shoot(
    shot: Shot, before: int, after: int, footage: Footage, rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """A shot from `before` frames ahead of its start to `after` frames behind its end."""
    count = before + shot.frames + after
    pictures = [footage.frames(layer.source, layer.at - before, count) for layer in shot.layers]
    grade = _grade(rng)
    # Grain is costly to draw and cheap to shift: one field a shot, moved at random from frame to frame.
    grain = np.clip(rng.normal(0, rng.uniform(0.8, 2.0), (HEIGHT, WIDTH, 1)), -8, 8).astype(np.int8).repeat(3, axis=2)
    full = len(shot.layers) == 1 and shot.layers[0].panel == (0, 0, WIDTH, HEIGHT)
    for i in range(count):
        canvas = np.empty((HEIGHT, WIDTH, 3), np.uint8) if full else footage.plate.copy()
        progress = min(max((i - before) / (shot.frames - 1), 0.0), 1.0)
        for layer, frames in zip(shot.layers, pictures, strict=True):
            _draw(canvas, layer, frames[i if len(frames) > 1 else 0], progress)
        canvas = cv2.LUT(canvas, grade).astype(np.uint8, copy=False)
        shifted = np.roll(grain, tuple(rng.integers(0, (HEIGHT, WIDTH))), axis=(0, 1))
        yield cv2.add(canvas, shifted, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def _draw(canvas: NDArray[np.uint8], layer: Layer, picture: NDArray[np.uint8], progress: float) -> None:
    x, y, width, height = layer.panel
    camera = layer.camera(progress)
    camera[:, 2] -= x, y
    canvas[y : y + height, x : x + width] = cv2.warpAffine(
        picture, camera, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _grade(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure, contrast and colour balance of a shot, as a table of each channel. (1, 256, 3)"""
    gamma, gain, tint = rng.uniform(0.85, 1.2), rng.uniform(0.9, 1.1), rng.uniform(0.94, 1.06, 3)
    table = 255 * gain * tint * (np.arange(256)[None, :, None] / 255) ** gamma
    rounded: NDArray[np.uint8] = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return rounded


def _encode(
    pictures: Iterator[NDArray[np.uint8]], path: Path, progress: Progress | None, done: int, total: int
) -> None:
    with av.open(path, "w") as container:
        options: Mapping[str, str] = {"preset": "superfast", "crf": "23"}
        stream = container.add_stream(
            "libx264", rate=FPS, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p", options=options
        )
        for i, picture in enumerate(pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            if progress and i % FPS == 0:
                progress("rendering the sample", done + i, total)
        container.mux(stream.encode())
    if progress:
        progress("rendering the sample", done + i + 1, total)


def join(parts: Sequence[Path], path: Path) -> None:
    """One file of the parts' packets, as they are: every part begins with a key frame and is coded in the same way."""
    with av.open(path, "w") as container:
        stream = None
        offset = 0  # in units of the parts' time base
        for part in parts:
            with av.open(part) as source:
                video = source.streams.video[0]
                stream = stream or container.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.dts is None:  # the demuxer's flush
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    container.mux(packet)
                offset += round(video.frames / FPS / video.time_base)
