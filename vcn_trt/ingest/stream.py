"""One video, one pass: decode, shots, faces, tracks and crops, each in its own thread, memory bounded by the frames
in flight.

    decoder thread -> detector calls, one a core -> this thread: shots, tracks, crops

A cut is known only some frames after it (PySceneDetect merges flashes), so tracking runs that far behind the shot
detector.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Backend, Decoder, FrameBatch, RawFaces
from vcn_trt.config import IngestConfig
from vcn_trt.ingest.camera_motion import CameraMotion
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.ingest.detections import DetectionLog
from vcn_trt.ingest.sample import SampledCrops, SampledTracks, Sampler
from vcn_trt.ingest.shots import THUMBNAIL_WIDTH, ShotFinder
from vcn_trt.ingest.track import GATE, Tracker
from vcn_trt.overlap import Clock, cores, map_ahead, prefetch
from vcn_trt.types import Shots, Video

FALLBACK_FPS = Fraction(25)
"""Where a container claims no rate: only windows counted in frames depend on it, times come from the frames."""


@dataclass(frozen=True, eq=False)
class Ingested:
    """What one video gave. Rows of `faces.bin` and pictures of `crops.bin` lie in its folder; `tracks` point into
    them. notes: of how it was decoded. resumed: whether an earlier try's work was used, so that its speed tells
    nothing."""

    video: Video
    shots: Shots
    tracks: SampledTracks
    crops: SampledCrops
    lost: int
    warnings: list[str]
    notes: list[str]
    seconds: dict[str, float]
    resumed: bool = False


def ingest_video(
    path: Path,
    video_id: int,
    detector: FaceDetector,
    backend: Backend,
    config: IngestConfig,
    folder: Path,
    cache: Path,
    progress: Callable[[int, int], None],
) -> Ingested:
    """Everything that ingest learns of one video; `folder` takes its files, `cache` the detections that a later try
    need not repeat.

    progress(frames done, frames claimed, 0 where the container makes no claim). Raises VideoError where nothing can
    be decoded.
    """
    clock, log = Clock(), DetectionLog(cache)
    decoder = backend.open_decoder(path, video_id, config.decode)
    try:
        fps = decoder.video.fps if decoder.video.fps > 0 else FALLBACK_FPS
        shots = ShotFinder(config.shots, fps)
        tracker = Tracker(config.track, float(fps), GATE if config.track.gate else None)
        sampler = Sampler(tracker, backend.ops, config.crops, config.track, folder)
        try:
            cuts = _follow(decoder, detector, shots, sampler, backend, config, log, clock, progress)
            with clock("track and sample"):
                tracks, crops = sampler.finish()
        finally:
            sampler.close()
    finally:
        decoder.close()
    times = sampler.seconds
    end = (times[-1] + float(1 / fps)) if times else 0.0
    video = replace(decoder.video, frames=len(times), fps=fps, seconds=end)
    return Ingested(
        video=video,
        shots=_shots(video, cuts, [*times, end]),
        tracks=tracks,
        crops=crops,
        lost=decoder.report.lost,
        warnings=list(decoder.report.warnings),
        notes=list(decoder.report.notes),
        seconds=dict(clock.seconds),
        resumed=log.known > 0,
    )


def _follow(
    decoder: Decoder,
    detector: FaceDetector,
    shots: ShotFinder,
    sampler: Sampler,
    backend: Backend,
    config: IngestConfig,
    log: DetectionLog,
    clock: Clock,
    progress: Callable[[int, int], None],
) -> list[int]:
    """Run the whole video through; -> the frames that begin a new shot."""
    camera = CameraMotion() if config.track.camera_motion == "affine" else None
    stride = config.detect.stride
    workers = config.detect.workers or max(1, cores() // max(1, config.decode.streams))

    def look(batch: FrameBatch) -> tuple[NDArray[np.uint8], dict[int, RawFaces]]:
        with clock("detect"):
            wanted = [i for i, frame in enumerate(batch.frame_indices) if frame >= log.known and frame % stride == 0]
            faces = detector(_subset(batch, wanted)) if wanted else []
        with clock("thumbnails"):
            return backend.ops.thumbnails(batch, THUMBNAIL_WIDTH), dict(zip(wanted, faces, strict=True))

    cuts: set[int] = set()
    waiting: deque[_Waiting] = deque()

    def drain(until: float) -> None:
        with clock("track and sample"):
            while waiting and waiting[0].frame <= until:
                item = waiting.popleft()
                if item.frame in cuts:
                    sampler.cut()
                    if camera:
                        camera.flush()
                moved = camera.update(item.thumbnail, item.scale) if camera and item.faces is not None else None
                sampler.step(item.batch, item.index, item.faces, moved)

    # Closed here, not when a traceback lets go of them: a decoder must not be closed while its thread still reads.
    with (
        closing(prefetch(decoder, 2, clock, "decode")) as ahead,
        closing(map_ahead(look, ahead, workers)) as looked_at,
    ):
        for batch, (thumbnails, found) in looked_at:
            scale = thumbnails.shape[2] / decoder.video.width
            for index, thumbnail in enumerate(thumbnails):
                frame = int(batch.frame_indices[index])
                with clock("shots"):
                    cuts.update(shots.update(frame, thumbnail))
                faces = found.get(index)
                if frame < log.known:
                    faces = log.read(frame) if frame % stride == 0 else None
                else:
                    log.append(frame, faces or NO_FACES)
                waiting.append(_Waiting(frame, batch, index, faces, thumbnail, scale))
            drain(frame - shots.delay)
            progress(frame + 1, decoder.video.frames)
    log.finish()
    cuts.update(shots.finish())
    drain(np.inf)
    return sorted(cuts)


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A frame whose cuts are not all known yet."""

    frame: int
    batch: FrameBatch
    index: int
    faces: RawFaces | None
    thumbnail: NDArray[np.uint8]
    scale: float


NO_FACES = RawFaces(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


def _subset(batch: FrameBatch, which: list[int]) -> FrameBatch:
    if len(which) == len(batch):
        return batch
    return FrameBatch([batch.pixels[i] for i in which], batch.frame_indices[which], batch.seconds[which])


def _shots(video: Video, cuts: list[int], times: list[float]) -> Shots:
    """times: of every frame, and the end of the last."""
    starts = np.array([0, *cuts] if video.frames else [], np.int64)
    stops = np.append(starts[1:], video.frames)[: len(starts)]
    seconds = np.array(times)
    return Shots(
        video=np.full(len(starts), video.id),
        shot=np.arange(len(starts)),
        start=starts,
        stop=stops,
        start_seconds=seconds[starts],
        stop_seconds=seconds[stops],
    )
