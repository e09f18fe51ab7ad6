"""Pictures with faces in them that need no file and are the same on every machine: drawn, shaded and grained. They are
what an engine is tried on. Nobody is in them; the detector sees most as faces all the same."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

FACES = 8


def crops(n: int = FACES, size: int = 112) -> Picture:
    """Faces as a base sees them: eyes, nose and mouth where the alignment puts them. (n, size, size, 3) RGB"""
    drawn = [cv2.resize(face(i), (size, size), interpolation=cv2.INTER_AREA) for i in range(n)]
    return np.asarray(np.stack(drawn), np.uint8)


def frame(width: int, height: int, seed: int = 0) -> Picture:
    """A picture with faces of three sizes beside each other. (height, width, 3) RGB"""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (4, 6, 3)).astype(np.uint8)
    picture: Picture = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    left = width // 32
    for i, part in enumerate((0.6, 0.4, 0.25)):
        side = int(height * part)
        if left + side > width:
            break
        top = (height - side) // 2
        picture[top : top + side, left : left + side] = cv2.resize(
            face(seed * 3 + i), (side, side), interpolation=cv2.INTER_AREA
        )
        left += side + width // 32
    return picture


def face(seed: int, side: int = 448) -> Picture:
    """One face of random skin, hair and expression, looking at us. (side, side, 3) RGB"""
    rng = np.random.default_rng(seed)
    scale = side / 112
    skin = np.array([rng.uniform(150, 230)] * 3) * (1, rng.uniform(0.7, 0.82), rng.uniform(0.55, 0.7))
    hair = rng.uniform(15, 110) * np.array([1, 0.75, 0.5])
    picture = np.full((side, side, 3), rng.uniform(60, 200, 3), np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return int(x * scale), int(y * scale)

    def oval(x: float, y: float, a: float, b: float, colour: NDArray[np.float64], turn: float = 0.0) -> None:
        cv2.ellipse(picture, (at(x, y), at(2 * a, 2 * b), turn), tuple(map(float, colour)), -1, cv2.LINE_AA)

    wide = rng.uniform(36, 42)
    oval(56, 56, wide + 8, 62, hair)
    oval(56, 68, wide, 52, skin)
    for x in (38.3, 73.5):
        oval(x, 41, 9, 2.5, hair * 0.8, rng.uniform(-8, 8))
        oval(x, 51.6, 9, 5.5, skin * 0.72)
        oval(x, 51.6, 7, 4, np.array([235.0, 232, 228]))
        oval(x, 51.6, 3.6, 3.8, np.array([60.0, 45, 35]))
        oval(x, 51.6, 1.6, 1.6, np.array([10.0, 10, 10]))
    oval(56, 66, 4, 14, skin * 1.08)
    oval(56, 73.5, 8, 4, skin * 0.85)
    for x in (52, 60):
        oval(x, 75, 1.8, 1.2, skin * 0.45)
    open_mouth = rng.uniform(1, 4)
    oval(56, 92.2, 15, 3 + open_mouth, skin * (0.85, 0.5, 0.5))
    oval(56, 92.2, 12, open_mouth * 0.6, skin * 0.35)
    light = np.linspace(rng.uniform(0.75, 1), rng.uniform(0.75, 1.1), side)[None, :, None]
    shaded = cv2.GaussianBlur(picture, (0, 0), 1.2 * scale).astype(np.float32) * light
    grain = cv2.resize(rng.normal(0, 6, (side // 3, side // 3)).astype(np.float32), (side, side))
    return np.asarray((shaded + grain[..., None]).clip(0, 255), np.uint8)
