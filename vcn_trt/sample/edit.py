"""The cut of the sample film: which picture is seen how long, and the geometry of the camera's move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vcn_trt.sample.sources import SOURCES

WIDTH, HEIGHT, FPS = 1280, 720, 24

Window = tuple[float, float, float]
"""What the camera sees of a source: centre x, y and width in source pixels. Its height follows from the panel."""


@dataclass(frozen=True)
class Layer:
    """A source seen by a camera that moves from `window` to `to` while the shot lasts and turns from roll[0] to roll[1]
    degrees, drawn into `panel` (x, y, width, height of the frame). `at`: the clip's frame at which the shot begins."""

    source: str
    window: Window
    to: Window | None = None
    at: int = 0
    roll: tuple[float, float] = (0.0, 0.0)
    panel: tuple[int, int, int, int] = (0, 0, WIDTH, HEIGHT)

    def camera(self, progress: float) -> NDArray[np.float64]:
        """The affine map from source pixels to pixels of the frame, at progress 0 to 1 of the shot. (2, 3)"""
        ease = progress * progress * (3 - 2 * progress)
        window, to = np.array(self.window), np.array(self.to or self.window)
        cx, cy, width = window + ease * (to - window)
        angle = np.radians(self.roll[0] + ease * (self.roll[1] - self.roll[0]))
        x, y, panel_width, panel_height = self.panel
        turn = panel_width / width * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([x + panel_width / 2, y + panel_height / 2])
        return np.column_stack([turn, middle - turn @ (cx, cy)])

    def face(self, who: str, frame: int, progress: float) -> tuple[NDArray[np.float64], float]:
        """The box of `who` in the frame, (4,) xyxy clipped to the panel, and the share of it that is seen (0 to 1). A
        roll of a few degrees moves an upright box and does not turn it."""
        box = SOURCES[self.source].box(who, self.at + frame)
        camera = self.camera(progress)
        centre = camera[:, :2] @ (box[:2] + box[2:]) / 2 + camera[:, 2]
        half = np.hypot(*camera[:, 0]) * (box[2:] - box[:2]) / 2
        x, y, width, height = self.panel
        low, high = np.clip([centre - half, centre + half], (x, y), (x + width, y + height))
        return np.concatenate([low, high]), float(np.prod(high - low) / np.prod(2 * half))


@dataclass(frozen=True)
class Shot:
    """So many frames of one or more layers. fade: it comes in by a dissolve of that many (even) frames."""

    frames: int
    layers: tuple[Layer, ...]
    fade: int = 0


def cut(take: int = 0) -> tuple[Shot, ...]:
    """The shots in order. Take 0 is the plain edit; other takes zoom in by up to 4 % and turn a little more."""
    if take == 0:
        return _EDIT
    rng = np.random.default_rng(take)
    return tuple(replace(s, layers=tuple(_retake(layer, rng) for layer in s.layers)) for s in _EDIT)


def _retake(layer: Layer, rng: np.random.Generator) -> Layer:
    # Only ever closer, and rolled by less than that leaves room for: the camera must not look past the picture's edge.
    closer, turn = rng.uniform(0.96, 0.99), rng.uniform(-0.2, 0.2)
    window = (*layer.window[:2], layer.window[2] * closer)
    to = layer.to and (*layer.to[:2], layer.to[2] * closer)
    return replace(layer, window=window, to=to, roll=(layer.roll[0] + turn, layer.roll[1] + turn))


def _shot(frames: int, *layers: Layer, fade: int = 0) -> Shot:
    return Shot(frames, layers, fade)


_LEFT, _RIGHT = (20, 187, 610, 346), (650, 187, 610, 346)  # two callers on one screen
_EDIT = (
    _shot(44, Layer("group", (500, 300, 960), (470, 280, 880), roll=(0, 1))),
    _shot(34, Layer("nina", (330, 176, 610), (340, 176, 590), at=0)),
    _shot(34, Layer("sam_at_home", (320, 180, 630), (315, 180, 590), at=0, roll=(0.5, -0.5))),
    _shot(30, Layer("bruno", (762, 450, 1480), (740, 440, 1380))),
    _shot(28, Layer("group", (262, 130, 400), (262, 125, 370), roll=(-1, 0))),
    _shot(36, Layer("carl", (84, 72, 168), (82, 70, 160), at=0, panel=(200, 0, 880, 720))),
    _shot(
        40,
        Layer("sam_later", (470, 272, 930), at=0, panel=_LEFT),
        Layer("nina", (330, 178, 620), at=60, panel=_RIGHT),
    ),
    _shot(36, Layer("group", (460, 323, 400), (480, 326, 420))),
    _shot(30, Layer("sky", (480, 270, 900), (440, 260, 840), at=30)),
    _shot(34, Layer("nina", (360, 172, 530), (345, 172, 560), at=200, roll=(0, 1))),
    _shot(34, Layer("group", (660, 365, 330), (670, 362, 350))),
    _shot(32, Layer("sam_later", (480, 275, 880), (470, 275, 760), at=40)),
    _shot(
        32,
        Layer("group", (474, 268, 112), (474, 266, 108), panel=(0, 0, 440, 720)),
        Layer("sam_outdoors", (286, 281, 566), (285, 280, 530), panel=(440, 0, 840, 720)),
    ),
    _shot(34, Layer("carl", (88, 62, 170), (85, 60, 150), at=40)),
    _shot(30, Layer("group", (265, 300, 330), (280, 300, 300), roll=(0, 2))),
    _shot(30, Layer("bruno", (760, 420, 1000), (750, 410, 1100), roll=(-2, 0))),
    _shot(
        34,
        Layer("group", (310, 215, 246), (308, 212, 238), panel=(0, 0, 540, 720)),
        Layer("bruno", (790, 518, 1050), (780, 515, 1000), panel=(540, 0, 740, 720)),
    ),
    _shot(36, Layer("nina", (325, 178, 620), (330, 178, 600), at=180, panel=(320, 180, 640, 360))),
    _shot(30, Layer("group", (810, 360, 340), (800, 358, 320))),
    _shot(36, Layer("sam_at_home", (245, 180, 480), (255, 180, 470), at=34), fade=12),
    _shot(
        36,
        Layer("group", (580, 370, 158), (580, 372, 150), panel=(0, 0, 480, 720)),
        Layer("carl", (86, 72, 154), (80, 70, 145), at=80, panel=(480, 0, 800, 720)),
    ),
    _shot(44, Layer("group", (520, 275, 800), (480, 300, 900), roll=(-1.5, 0))),
    _shot(34, Layer("nina", (368, 171, 530), (375, 171, 515), at=260, roll=(0, -1))),
    _shot(28, Layer("lake", (960, 540, 1600), (900, 560, 1400))),
    _shot(34, Layer("group", (490, 322, 370), (465, 325, 430), roll=(1, -1))),
    _shot(34, Layer("carl", (86, 48, 168), (84, 50, 160), at=10, panel=(100, 160, 560, 315))),
    _shot(
        36,
        Layer("nina", (325, 178, 610), at=320, panel=_LEFT),
        Layer("carl", (84, 55, 160), at=60, panel=_RIGHT),
    ),
    _shot(32, Layer("sam_outdoors", (286, 281, 560), (286, 285, 520), panel=(280, 0, 720, 720))),
    _shot(28, Layer("group", (350, 297, 290), (360, 298, 270), roll=(2, 0))),
    _shot(
        34,
        Layer("bruno", (770, 518, 990), (760, 515, 960), panel=(0, 0, 700, 720)),
        Layer("group", (757, 365, 182), (757, 362, 174), panel=(700, 0, 580, 720)),
    ),
    _shot(34, Layer("nina", (370, 180, 500), (350, 180, 560), at=400)),
    _shot(28, Layer("group", (250, 118, 360), (258, 116, 330), roll=(1, 3))),
    _shot(34, Layer("sam_later", (450, 275, 850), (480, 272, 930), at=6)),
    _shot(30, Layer("group", (664, 366, 350), (655, 366, 310), roll=(0, -2))),
    _shot(48, Layer("group", (505, 250, 700), (500, 310, 940))),
)
