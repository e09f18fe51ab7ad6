"""Tiny films for tests, written with PyAV. Each frame carries its number as twelve bars, so a picture tells it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BARS = 12


def numbered(number: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Twelve vertical bars, dark 0 or light 1, the highest bit left, tinted so that colour matters. (h, w, 3) RGB"""
    light = (number >> (BARS - 1 - np.arange(width) * BARS // width)) & 1
    row = np.where(light[:, None] == 1, np.array([235, 210, 200]), np.array([20, 30, 50]))
    return np.broadcast_to(row, (height, width, 3)).astype(np.uint8)


def number_in(picture: NDArray[Any]) -> int:
    """The number that a picture of `numbered`, at any size, shows."""
    columns = picture.astype(float).mean(axis=(0, 2))
    centres = ((np.arange(BARS) + 0.5) * len(columns) / BARS).astype(int)
    return int("".join("1" if value > 120 else "0" for value in columns[centres]), 2)


def write(
    path: Path,
    pictures: Iterable[NDArray[np.uint8] | av.VideoFrame],
    *,
    rate: Fraction | int = 24,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    hflip: bool = False,
    pixel_aspect: Fraction | None = None,
    audio_seconds: float = 0.0,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """A film of RGB pictures, all of one size. pts: in `time_base` units, else evenly at `rate`."""
    stream: Any = None
    with scheduling_kept(), av.open(str(path), "w", format=format, options={**(container_options or {})}) as out:
        out.metadata.update(metadata or {})
        for i, picture in enumerate(pictures):
            frame = (
                picture if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(picture, format="rgb24")
            )
            if stream is None:
                stream = out.add_stream(
                    codec, rate=rate, options=options or {"preset": "veryfast", "bf": "2", "g": "12"}
                )
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pix_fmt
                if pixel_aspect is not None:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                if rotation or hflip:
                    stream.set_display_rotation(rotation, hflip=hflip)
                stream.codec_context.time_base = time_base or 1 / Fraction(rate)
                sound = out.add_stream("aac", rate=48000, layout="mono") if audio_seconds else None
            frame.pts = i if pts is None else pts[i]
            frame.time_base = stream.codec_context.time_base
            out.mux(stream.encode(frame))
        if stream is not None:
            out.mux(stream.encode(None))
        if stream is not None and sound is not None:
            samples = np.zeros((1, 1024), np.float32)
            for block in range(int(audio_seconds * 48000) // 1024):
                silence = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                silence.sample_rate, silence.pts = 48000, block * 1024
                out.mux(sound.encode(silence))
            out.mux(sound.encode(None))
    return path


@contextmanager
def scheduling_kept() -> Iterator[None]:
    """SVT-AV1 makes the thread that calls it a real-time one where it may, as root: from then on whatever that thread
    or its children wait for by spinning never gets a core."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def repeat(source: Path, path: Path, times: int) -> Path:
    """A long film: the packets of a short one over and over, the clock running on."""
    with av.open(str(source)) as given, av.open(str(path), "w") as out:
        film = given.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in given.demux(film) if p.size]
        length = (
            max(pts for _, pts, _, _ in packets) - min(pts for _, pts, _, _ in packets) + film.duration // film.frames
        )
        stream = out.add_stream_from_template(film)
        for turn in range(times):
            for data, pts, dts, key in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, film.time_base, key
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                out.mux(packet)
    return path
