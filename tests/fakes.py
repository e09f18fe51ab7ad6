"""A backend without codec or weights: scripted frames, faces that the script puts there. It proves what the stages make
of a film, frame by frame, in milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Backend, DecodeReport, FrameBatch, RawFaces
from vcn_trt.boxes import iou
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import VideoError
from vcn_trt.ingest.align import TEMPLATE
from vcn_trt.types import CROP_SIZE, Video

WIDTH, HEIGHT = 320, 180
MAX_FACES = 4


@dataclass(frozen=True)
class Face:
    """A scripted face. turned: pixels by which its nose is off, 0 for a frontal one."""

    x: float
    y: float = 40.0
    side: float = 56.0
    score: float = 0.95
    turned: float = 0.0
    sharpness: float = 100.0

    @property
    def box(self) -> NDArray[np.float32]:
        return np.array([self.x, self.y, self.x + self.side, self.y + self.side], np.float32)

    @property
    def landmarks(self) -> NDArray[np.float32]:
        points = TEMPLATE * self.side / CROP_SIZE + (self.x, self.y)
        points[2, 0] += self.turned
        return points.astype(np.float32)


@dataclass(frozen=True)
class Frame:
    """A picture of one shade with faces. It counts as the backend's pixels."""

    number: int
    faces: tuple[Face, ...] = ()
    shade: int = 40
    width: int = WIDTH
    height: int = HEIGHT


@dataclass
class Film:
    """What a file "holds". times: of each frame in seconds, evenly at `fps` where none are given. breaks_at: the frame
    before which decoding raises `error`."""

    frames: Sequence[Frame]
    fps: Fraction = Fraction(24)
    times: Sequence[float] | None = None
    breaks_at: int | None = None
    error: BaseException | None = None

    def seconds(self) -> NDArray[np.float64]:
        return np.array(self.times if self.times is not None else np.arange(len(self.frames)) / float(self.fps or 25))


def film(*shots: Sequence[Sequence[Face]], **facts: Any) -> Film:
    """Shots one after the other, each a list of the faces of its frames; their shades tell them apart."""
    faces = [(f, shade) for shot, shade in zip(shots, (40, 200) * len(shots), strict=False) for f in shot]
    return Film([Frame(i, tuple(f), shade) for i, (f, shade) in enumerate(faces)], **facts)


class FakeDecoder:
    """Raises VideoError where there is no film, and RuntimeError where it is closed while a thread reads from it."""

    def __init__(self, film: Film, path: Path, video_id: int, batch: int) -> None:
        self._film, self._batch = film, batch
        self.video = Video(video_id, str(path), film.fps, len(film.frames), WIDTH, HEIGHT, codec="fake")
        self.report = DecodeReport()
        self.closed = False
        self.reading_when_closed = False
        self._reading = threading.Event()

    def __iter__(self) -> Iterator[FrameBatch]:
        self._reading.set()
        try:
            frames, seconds = self._film.frames, self._film.seconds()
            for start in range(0, len(frames), self._batch):
                if self._film.breaks_at is not None and self._film.breaks_at < start + self._batch:
                    raise self._film.error or VideoError("scripted to break")
                rows = slice(start, start + self._batch)
                batch = FrameBatch(frames[rows], np.arange(len(frames))[rows], seconds[rows])
                self.report.frames += len(batch)
                yield batch
        finally:
            self._reading.clear()

    def close(self) -> None:
        self.reading_when_closed = self.reading_when_closed or self._reading.is_set()
        self.closed = True


class FakeNetwork:
    """Passes on the faces that `FakeOps.letterbox` packed, and counts the frames it was shown."""

    input_names, output_names = ("input",), ("loc", "conf", "landmarks")

    def __init__(self) -> None:
        self.seen = 0
        self._lock = threading.Lock()

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        packed = inputs["input"][:, 0]  # (n, MAX_FACES, 15)
        with self._lock:
            self.seen += len(packed)
        return {"loc": packed[..., :4], "conf": packed[..., 3:5], "landmarks": packed[..., 5:]}

    def refit(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        raise NotImplementedError

    def proven_on(self, inputs: Mapping[str, Any]) -> bool:
        return True


class FakeOps:
    def to_numpy(self, array: Any) -> NDArray[Any]:
        return np.asarray(array)

    def letterbox(
        self, batch: FrameBatch, size: int, mean: tuple[float, float, float], scale: float, rgb: bool
    ) -> tuple[NDArray[np.float32], float]:
        packed = np.zeros((len(batch), 1, MAX_FACES, 15), np.float32)
        for row, frame in zip(packed, batch.pixels, strict=True):
            for entry, face in zip(row[0], frame.faces, strict=False):
                entry[:] = [*face.box, face.score, *face.landmarks.ravel()]
        return packed, 1.0

    def thumbnails(self, batch: FrameBatch, width: int) -> NDArray[np.uint8]:
        return np.stack([np.full((18, 32, 3), frame.shade, np.uint8) for frame in batch.pixels])

    def warp_faces(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Each crop is painted with its frame's number, modulo 251."""
        return np.stack([np.full((CROP_SIZE, CROP_SIZE, 3), batch.pixels[i].number % 251, np.uint8) for i in which])

    def sharpness(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """That of the scripted face in whose place the transform finds one: the nearest by its left edge."""
        sharp = []
        for index, transform in zip(which, transforms, strict=True):
            left = -transform[0, 2] / transform[0, 0]
            sharp.append(min(batch.pixels[index].faces, key=lambda f: abs(f.x - left)).sharpness)
        return np.array(sharp, np.float32)

    def retinaface_faces(
        self, outputs: Sequence[Any], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        found = []
        for boxes, scores, landmarks in zip(*outputs, strict=True):
            rows = scores[:, 1] > score
            found.append(RawFaces(boxes[rows], scores[rows, 1], landmarks[rows].reshape(-1, 5, 2)))
        return found

    def scrfd_faces(
        self, outputs: Sequence[Any], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        raise NotImplementedError

    def nms(self, faces: RawFaces, threshold: float) -> NDArray[np.int64]:
        order = np.argsort(-faces.scores, kind="stable")
        kept: list[int] = []
        for i in order.tolist():
            if not len(kept) or iou(faces.boxes[[i]], faces.boxes[kept]).max() <= threshold:
                kept.append(i)
        return np.array(kept, np.int64)


class Studio:
    """A fake backend and what happened in it. films: by file name; a file that is not there cannot be read."""

    def __init__(self, films: Mapping[str, Film]) -> None:
        self.films = dict(films)
        self.network = FakeNetwork()
        self.decoders: list[FakeDecoder] = []
        self.backend = Backend(
            "fake", "cpu", FakeOps(), self._open_decoder, self._open_network, "scripted frames, no codec"
        )

    def _open_network(self, path: Path) -> FakeNetwork:
        return self.network

    def _open_decoder(self, path: Path, video_id: int, config: DecodeConfig) -> FakeDecoder:
        if path.name not in self.films:
            raise VideoError(f"{path} is no film of this studio")
        self.decoders.append(FakeDecoder(self.films[path.name], path, video_id, config.batch))
        return self.decoders[-1]


def write_files(folder: Path, studio: Studio) -> list[Path]:
    """A file a film, for what looks at files: its content is its name."""
    paths = [folder / name for name in studio.films]
    for path in paths:
        path.write_text(path.name)
    return paths


def detector_of(studio: Studio) -> Callable[[FrameBatch], list[RawFaces]]:
    """A stand-in for `FaceDetector` that needs no manifest: what the script says, frame by frame."""

    def detect(batch: FrameBatch) -> list[RawFaces]:
        packed, factor = studio.backend.ops.letterbox(batch, 0, (0, 0, 0), 1, False)
        outputs = studio.network({"input": packed})
        return FakeOps().retinaface_faces(list(outputs.values()), (1, 1), factor, 0.1)

    return detect
