"""One frame of a video, by seeking, with the faces in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt import cast, draw
from vcn_trt.backends.cpu.container import open_source, read_claims
from vcn_trt.backends.cpu.frame import CpuFrame, Orientation, displayed_size
from vcn_trt.errors import VideoError
from vcn_trt.export.text import one_line
from vcn_trt.types import UNKNOWN, Faces

WIDEST = 1280
"""Pixels: a page shows no more."""

BACK = (0.0, 10.0, 60.0)
"""Seconds before a frame to which is sought, one after the other, until a picture before it comes: transport streams
have no index and may land behind it."""

ONWARDS = 2.0
"""Seconds up to which decoding goes on from the last frame, as in a clip, instead of seeking."""


class Stills:
    """Frames of videos, one file open at a time; threads take turns."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._path: Path | None = None
        self._container: Any = None
        self._stream: Any = None
        self._origin = Fraction(0)
        self._frames: Iterator[tuple[float, Any]] = iter(())
        self._last = 0.0

    def at(self, path: Path, seconds: float, half: float) -> NDArray[np.uint8]:
        """The frame that is shown from `seconds` after the container's start, or the last before the end. half: half a
        frame in seconds. (height, width, 3) RGB, as displayed. AVI holds no presentation times: a frame or two beside
        the one that is meant may come of it. Raises VideoError."""
        with self._turn:
            try:
                return self._displayed(self._find(path, seconds, half))
            except av.error.FFmpegError as error:
                self.close()
                raise VideoError(f"{path} cannot be decoded at {seconds:.2f} s ({error.strerror})") from error

    def _find(self, path: Path, seconds: float, half: float) -> Any:
        if path != self._path:
            self._open(path)
        elif self._last < seconds - half <= self._last + ONWARDS:
            found = self._onwards(seconds - half)
            if found is not None:
                return found
        for back in BACK:
            self._seek(seconds - back)
            found = self._from_here(seconds, half)
            if found is not None:
                return found
        self._open(path)  # no seek has come before it: from the beginning
        found = self._from_here(seconds, half) if seconds <= BACK[-1] else None
        if found is None:
            self.close()
            raise VideoError(f"{path} gives no picture at {seconds:.2f} s: it is damaged there, or shorter than it was")
        return found

    def _from_here(self, seconds: float, half: float) -> Any:
        """The frame, by decoding on; None where decoding begins behind it, or not at all."""
        first = next(self._frames, None)
        if first is None or first[0] > seconds + half:
            return None
        self._last, found = first
        return found if first[0] >= seconds - half else self._onwards(seconds - half) or found

    def _onwards(self, least: float) -> Any:
        """The first frame from `least` seconds on; the last one where there is none."""
        found = None
        for at, frame in self._frames:
            self._last, found = at, frame
            if at >= least:
                break
        return found

    def _open(self, path: Path) -> None:
        self.close()
        self._container, self._stream = open_source(path, 0)
        origin = read_claims(self._container, self._stream).origin
        self._origin = Fraction(0) if origin is None else origin
        if origin is None:  # it takes the first frame's
            first = next(self._decoded(), None)
            self._origin = Fraction(0) if first is None else Fraction(first[0]).limit_denominator(1_000_000)
        self._path, self._frames = path, self._decoded()

    def _seek(self, seconds: float) -> None:
        least = self._stream.start_time or 0
        to = int((Fraction(seconds) + self._origin) / self._stream.time_base)
        self._container.seek(max(to, least), stream=self._stream)
        self._frames = self._decoded()

    def _decoded(self) -> Iterator[tuple[float, Any]]:
        for frame in self._container.decode(self._stream):
            if frame.pts is not None:
                yield float(frame.pts * self._stream.time_base - self._origin), frame

    def _displayed(self, frame: Any) -> NDArray[np.uint8]:
        turned = Orientation.of(frame)
        size = displayed_size(frame.width, frame.height, self._stream.sample_aspect_ratio, turned)
        return CpuFrame(frame, turned, size).rgb()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._path = self._container = self._stream = None
        self._frames = iter(())


def jpeg(
    picture: NDArray[np.uint8],
    faces: Faces,
    track: int,
    labels: NDArray[np.int32],
    names: Mapping[int, str | None],
) -> bytes:
    """A frame with its faces boxed and named, that of `track` in white as well. picture: drawn into; faces: of this
    frame; labels: (n_tracks,) clusters."""
    height, width = picture.shape[:2]
    for box in faces.box[faces.track == track]:
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        thick = 3 * max(2, height // 300)
        cv2.rectangle(picture, (x1, y1), (x2, y2), (255, 255, 255), thick)
    found = []
    for box, of in zip(faces.box.tolist(), faces.track.tolist(), strict=True):
        number = int(labels[of])
        name = "Unknown" if number == UNKNOWN else one_line(cast.called(number, names))
        found.append(draw.Label(tuple(box), f"{name}, track {of}", draw.colour_of(number)))
    draw.labels(picture, found, draw.font())  # a font is no other thread's
    if width > WIDEST:
        picture = np.asarray(
            cv2.resize(picture, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA), np.uint8
        )
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return encoded.tobytes()
