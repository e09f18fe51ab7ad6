"""A tiny film with real faces, out of the sample's archives: three people, three shots, two seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import clips
import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.sample.sources import Footage

WIDTH, HEIGHT = 320, 180
SHOTS = (20, 16, 16)
PORTRAIT = slice(99, 200)
"""The columns of a 9:16 picture around Sam."""


def shots(footage: Footage) -> Iterator[NDArray[np.uint8]]:
    """Sam moves; over the photographs of Bruno and of Theo the camera does. (180, 320, 3) RGB"""
    for picture in footage.frames("sam_at_home", 0, SHOTS[0]):
        yield cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[..., ::-1]
    for name, (x, y, width), n in (("bruno", (300, 60, 920), SHOTS[1]), ("group", (90, 20, 340), SHOTS[2])):
        picture = footage.frames(name, 0, 1)[0]
        for i in range(n):
            window = picture[y : y + width * HEIGHT // WIDTH, x + 2 * i : x + 2 * i + width]
            yield cv2.resize(window, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[..., ::-1]


def write(path: Path, footage: Footage, frames: int | None = None, size: tuple[int, int] | None = None) -> Path:
    """The film, its first frames only, or enlarged to another (width, height), for a portrait cut out first."""
    pictures = list(shots(footage))[:frames]
    if size:
        if size[1] > size[0]:
            pictures = [p[:, PORTRAIT] for p in pictures]
        pictures = [cv2.resize(p, size, interpolation=cv2.INTER_LINEAR) for p in pictures]
    return clips.write(path, [np.ascontiguousarray(p) for p in pictures])
