"""All videos of a production to one set of tracks (section 3.2). One that cannot be read is reported and left out."""

from __future__ import annotations

import hashlib
import json
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt import store
from vcn_trt.backends.base import Backend, Network
from vcn_trt.card_errors import as_device_error
from vcn_trt.config import IngestConfig, what_counts
from vcn_trt.errors import ModelError, VcnError, VideoError
from vcn_trt.ingest import parts
from vcn_trt.ingest.detect import VERSION, FaceDetector
from vcn_trt.ingest.join import TRACKS_FILE, join
from vcn_trt.ingest.several import Step, at_once
from vcn_trt.ingest.stream import Ingested, ingest_video
from vcn_trt.run import Desk, Stage
from vcn_trt.sources import Source
from vcn_trt.types import TrackSet
from vcn_trt.zoo.models import Model

PROBE = 64
"""Side of the black picture that a network must take before it is shown a video."""


def ingest(
    desk: Desk, sources: Sequence[Source], model: Model, backend: Backend, config: IngestConfig
) -> dict[str, Any]:
    """Decode, detect, track and sample every video, then join them. Raises VideoError where none could be read."""
    network = backend.open_network(model.path)
    _probe(network, model)
    detector = FaceDetector(network, model.manifest, backend, config.detect)
    detections = _short_hash(
        VERSION, backend.identity, model.identity, what_counts(config.detect), what_counts(config.decode)
    )
    # Unfinished work of another config is not this one's.
    unfinished = _short_hash(INGEST.version, VERSION, backend.identity, model.identity, what_counts(config))
    streams = max(1, min(config.decode.streams or backend.streams, len(sources)))
    at_work = replace(config, decode=replace(config.decode, streams=streams))
    one_at_a_time = {source.fingerprint: threading.Lock() for source in sources}

    def one(source: Source, step: Step) -> Outcome:
        folder = desk.unfinished / f"{source.fingerprint[:16]}-{unfinished}"
        cache = desk.keep / f"{source.fingerprint[:16]}-{detections}"
        # A copy of a film under another name has the same content and so the same part: it waits for that.
        with one_at_a_time[source.fingerprint]:
            folder.mkdir(exist_ok=True)
            return _outcome(lambda: _part(source, detector, backend, at_work, folder, cache, step), folder)

    outcomes = at_once(one, sources, streams, desk.progress)
    done = [(o.folder, o.part) for o in outcomes if o.part is not None]
    done = [(folder, numbered(part, number)) for number, (folder, part) in enumerate(done)]
    failed = [
        {"path": str(s.path), "reason": o.reason} for s, o in zip(sources, outcomes, strict=True) if o.part is None
    ]
    if not done:
        raise VideoError("no video could be read:\n" + "\n".join(f"  {f['path']}: {f['reason']}" for f in failed))
    again = any(outcome.unforeseen for outcome in outcomes)
    resumed = any(part.resumed for _, part in done)
    return join(done, desk.folder) | {"failed": failed, "resumed": resumed, "again": again}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one video: its part, or the reason why there is none. unforeseen: no one knows whether it is the
    video's fault, so the next run tries again."""

    folder: Path
    part: Ingested | None = None
    reason: str = ""
    unforeseen: bool = False


def _outcome(work: Callable[[], Ingested], folder: Path) -> Outcome:
    """One bad file never stops the others."""
    try:
        return Outcome(folder, work())
    except VideoError as error:
        return Outcome(folder, reason=str(error))
    except (VcnError, OSError, MemoryError):
        raise  # the disk, a model, the machine: not this video's fault
    except Exception as error:
        if lost := as_device_error(error):
            raise lost from error  # every other video would fail by it
        # What no one foresaw is reported with its place in the code.
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"unexpected {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        return Outcome(folder, reason=reason, unforeseen=True)


def _part(
    source: Source,
    detector: FaceDetector,
    backend: Backend,
    config: IngestConfig,
    folder: Path,
    cache: Path,
    step: Step,
) -> Ingested:
    """One video's part: of an earlier try that finished it, else made now. Its number is not known yet."""
    part = parts.load(folder)
    if part is not None:
        part = replace(part, resumed=True)
    else:
        part = ingest_video(source.path, 0, detector, backend, config, folder, cache, step)
        parts.save(part, folder)
    return replace(part, video=replace(part.video, path=str(source.path)))


def numbered(part: Ingested, video_id: int) -> Ingested:
    """A part as that of video `video_id` of its production."""
    shots = part.shots.with_columns(video=np.full(len(part.shots), video_id))
    return replace(part, video=replace(part.video, id=video_id), shots=shots)


def load(folder: Path, facts: dict[str, Any]) -> TrackSet:
    """What `ingest` left in a run directory."""
    return store.read_track_set(folder, TRACKS_FILE, [store.video_from_json(v) for v in facts["videos"]])


INGEST = Stage(
    name="ingest",
    version=3,
    files=("shots.parquet", "faces.parquet", "crops.parquet", "crops.npy", TRACKS_FILE),
    compute=ingest,
    load=load,
)


def _probe(network: Network, model: Model) -> None:
    """Raise ModelError where the network takes no pictures: else every video would seem to be at fault."""
    try:
        network({network.input_names[0]: np.zeros((1, 3, PROBE, PROBE), np.float32)})
    except Exception as error:
        raise ModelError(
            f"{model.path} does not run as {model.manifest.title} ({(str(error) or type(error).__name__)[:200]}); give "
            "the detector's weights as detect.model, or leave it at its default"
        ) from error


def _short_hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
