"""What is measured on: the user's films, else the sample film, else, where its faces cannot be fetched, a made one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.errors import VcnError
from vcn_trt.run import Hook
from vcn_trt.sample import build
from vcn_trt.sample.film import join
from vcn_trt.zoo import fetch

LOOPS = 10
"""The film that is only decoded is the sample so many times over: a card would be through it in half a second."""

MADE_FRAMES, MADE_WIDTH, MADE_HEIGHT, MADE_FPS = 480, 1280, 720, 24


@dataclass(frozen=True)
class Films:
    """whole: those that runs are made of. decoded: those that are only decoded. kind: "given", "sample" or "made"."""

    whole: tuple[Path, ...]
    decoded: tuple[Path, ...]
    kind: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "films": [describe(path) for path in self.whole]}


def open_films(given: Sequence[Path], hook: Hook, cache: Path | None = None) -> Films:
    """The given films, or the sample, made once under `cache` ($VCN_HOME/bench)."""
    if given:
        return Films(tuple(given), tuple(given), "given")
    folder = cache or fetch.home() / "bench"
    kind, film = "sample", folder / "film.mp4"
    if not film.exists():
        try:
            build(folder, fetch.home() / "sample", lambda step, done, total: hook("sample", done, total, "frames"))
        except VcnError:
            kind, film = "made", made(folder / "made.mp4")
    long = film.with_name(f"{film.stem}-{LOOPS}.mp4")
    if not long.exists():
        _whole(long, lambda part: join([film] * LOOPS, part))
    return Films((film,), (long,), kind)


def made(path: Path, frames: int = MADE_FRAMES) -> Path:
    """H.264, 1280x720, of a drifting pattern with some grain: no faces, and about as hard to decode as film."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _whole(path, lambda part: _encode(part, _pictures(frames)))
    return path


def describe(path: Path) -> dict[str, Any]:
    """A film's size, codec and length, as its container has them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return {
            "name": path.name,
            "codec": stream.codec_context.codec.canonical_name,
            "width": stream.width,
            "height": stream.height,
            "pixel_format": stream.pix_fmt,
            "fps": float(stream.average_rate or 0),
            "frames": stream.frames,
        }


def _pictures(frames: int) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (20, 36, 3)).astype(np.uint8)
    plate = cv2.resize(coarse, (2 * MADE_WIDTH, 2 * MADE_HEIGHT), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 2, (MADE_HEIGHT, MADE_WIDTH, 1)).round().astype(np.int8).repeat(3, 2)
    for i in range(frames):
        x, y = i % MADE_WIDTH, i // 2 % MADE_HEIGHT
        shifted = np.roll(grain, 37 * i, axis=1)
        yield cv2.add(plate[y : y + MADE_HEIGHT, x : x + MADE_WIDTH], shifted, dtype=cv2.CV_8U).astype(np.uint8)


def _encode(path: Path, pictures: Iterator[NDArray[np.uint8]]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264",
            rate=MADE_FPS,
            width=MADE_WIDTH,
            height=MADE_HEIGHT,
            pix_fmt="yuv420p",
            options={"preset": "superfast", "crf": "23"},
        )
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def _whole(path: Path, write: Any) -> None:
    """Written whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".film-") as folder:
        part = Path(folder) / path.name
        write(part)
        os.replace(part, path)


def copies(films: Sequence[Path], n: int, folder: Path) -> list[Path]:
    """n films under names of their own, the given ones in turn: links, where the disk has them."""
    out = []
    for i in range(n):
        film = films[i % len(films)].resolve()
        out.append(folder / f"{i + 1}-{film.name}")
        try:
            os.link(film, out[-1])
        except OSError:
            shutil.copy(film, out[-1])
    return out
