"""Boxes and names drawn onto a picture, a colour for each person."""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

GREY = (150, 150, 150)
GOLDEN = 0.61803398875
"""Steps of the golden ratio around the circle of hues keep any number of them apart (Anderson's known trick)."""


class Label(NamedTuple):
    """box: xyxy in pixels of the picture, parts outside it allowed."""

    box: tuple[float, float, float, float]
    text: str
    colour: tuple[int, int, int]


def colour_of(number: int) -> tuple[int, int, int]:
    """RGB of a person, by number; grey for no one (-1)."""
    if number < 1:
        return GREY
    red, green, blue = colorsys.hsv_to_rgb((0.02 + GOLDEN * (number - 1)) % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def labels(picture: NDArray[np.uint8], drawn: Iterable[Label], face: Any) -> None:
    """Draw into `picture`, (h, w, 3) uint8 RGB. face: an OpenCV font, `font()`."""
    height, width = picture.shape[:2]
    line, size = max(2, height // 300), max(12, height // 36)
    for label in drawn:
        x1, y1, x2, y2 = (round(float(v)) for v in label.box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), label.colour, line)
        text = in_visual_order(label.text)
        _, _, text_width, _ = cv2.getTextSize((width, height), text, (0, 0), face, size, 500)
        # Above the box, else inside its top; never beyond the picture's edges.
        bar = round(1.4 * size)
        top = y1 - bar if y1 >= bar else max(0, y1)
        left = max(0, min(x1, width - text_width - size))
        cv2.rectangle(picture, (left, top), (left + text_width + size // 2, top + bar), label.colour, -1)
        ink = (0, 0, 0) if np.dot(label.colour, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
        cv2.putText(picture, text, (left + size // 4, top + round(1.05 * size)), ink, face, size, 500)


def font() -> Any:
    """OpenCV's own font of all scripts (Latin, Greek, Cyrillic, Hebrew, Arabic, Chinese, Japanese, Korean); what it has
    not, such as emoji, is drawn as a question mark. Not to be shared between threads."""
    return cv2.FontFace("uni")


def in_visual_order(text: str) -> str:
    """Right-to-left words turned round, as OpenCV draws from left to right alone. Words in other scripts between them
    stay where they are: a simple form of Unicode's bidirectional algorithm, enough for a name."""
    words = text.split(" ")
    turned = [w[::-1] if _leftward(w) else w for w in words]
    out: list[str] = []
    run: list[str] = []
    for word, drawn in zip([*words, "a"], [*turned, ""], strict=True):
        if _leftward(word):
            run.append(drawn)
            continue
        out += [*reversed(run), drawn]
        run = []
    return " ".join(out[:-1])


def _leftward(word: str) -> bool:
    return any(unicodedata.bidirectional(c) in ("R", "AL") for c in word)
