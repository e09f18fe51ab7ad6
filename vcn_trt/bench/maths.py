"""The maths between the networks, op by op as a stage calls it, beside SciPy, torch or OpenCV on the same input; on a
card, where frames and faces have no such peer, beside the CPU column; and there each kernel alone against its floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vcn_trt.backends.base import Backend, FrameBatch, Ops, RawFaces
from vcn_trt.backends.cpu.ops import STRIDES, CpuOps
from vcn_trt.backends.cuda.ops import CudaOps
from vcn_trt.bench import peers
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.launches import Launch, Picture, TimedDevice
from vcn_trt.bench.limits import most_of
from vcn_trt.bench.measure import OURS, ROUNDS, Contestant, Figure, Measured, figure, race, reason_of
from vcn_trt.bench.tracks import TAU_STUDENT, TAU_TEACHER, TRACKS_A_PERSON, K, made_tracks, ragged
from vcn_trt.ingest.detect import working_size
from vcn_trt.ingest.shots import THUMBNAIL_WIDTH
from vcn_trt.ragged import Ragged

CARD_BATCH = 16
"""Frames a call there; a CPU takes the config's."""

FACES, BOXES, SCORE = 32, 200, 0.99
CROPS_A_TRACK, DIM = 6, 128
GAUSSIANS = {"cpu": (16, 256), "cuda": (256, 10_000)}
"""Tracks and points of the densities."""
PAIRS = {"cpu": 2000, "cuda": 20_000}
"""Tracks of pair_edges and softmax_means, at most those of the clustering."""


@dataclass(frozen=True)
class Op:
    """One op on one input. call: with any column's ops, and frames in that column's form. peer: its name, how it does
    it, and how to open it: a call that does the same."""

    name: str
    unit: str
    units: int
    facts: dict[str, Any]
    call: Callable[[Ops, FrameBatch], Any]
    peer: tuple[str, str, Callable[[], Callable[[], Any]]] | None = None


def kernels(bench: Bench) -> Iterator[Figure]:
    """Every op in one thread; on a card then the kernels that it launched."""
    if bench.on_card:
        config = replace(bench.config, decode=replace(bench.config.decode, batch=CARD_BATCH))
        bench = replace(bench, config=config)
    batch = bench.first_batch()
    other = _cpu_column(bench) if bench.on_card else None
    for op in [*_of_frames(bench, batch), *_of_detections(bench, batch), *_of_tracks(bench)]:
        contestants = [
            Contestant(OURS, f"{bench.backend.name}, one call at a time", _calls(op, bench.backend.ops, batch))
        ]
        if op.peer:
            by, how, opened = op.peer
            contestants.append(Contestant(by, how, _peer(op, opened)))
        elif other:
            contestants.append(
                Contestant("CPU column", "NumPy, OpenCV, one thread", _calls(op, other[0].ops, other[1]))
            )
        yield from race(op.name, op.unit, 1, contestants, bench.host_clock, bench.seconds / 2, facts=op.facts)
        if isinstance(bench.backend.ops, CudaOps):
            yield from _alone(bench, op, batch)


def _calls(op: Op, ops: Ops, batch: FrameBatch) -> Callable[[int], Sequence[Callable[[], float]]]:
    def call() -> float:
        op.call(ops, batch)
        return op.units

    return lambda streams: [call]


def _peer(op: Op, opened: Callable[[], Callable[[], Any]]) -> Callable[[int], Sequence[Callable[[], float]]]:
    def calls(streams: int) -> Sequence[Callable[[], float]]:
        work = opened()

        def call() -> float:
            work()
            return op.units

        return [call]

    return calls


def _alone(bench: Bench, op: Op, batch: FrameBatch) -> Iterator[Figure]:
    """What the op launches, without the way to the card and back."""
    first = batch.pixels[0]
    picture = Picture(first.width, first.height, first.luma.dtype.itemsize)
    device = TimedDevice(bench.backend.ops.device, bench.device_clock, picture)  # type: ignore[attr-defined]
    ops = CudaOps(device)

    def one_round() -> dict[str, list[Launch]]:
        found: dict[str, list[Launch]] = {}
        end = time.perf_counter() + bench.seconds / 4 / ROUNDS
        while True:
            op.call(ops, batch)
            for name, some in device.launches().items():
                found.setdefault(name, []).extend(some)
            if time.perf_counter() >= end:
                return found

    try:
        one_round()
        rounds = [one_round() for _ in range(ROUNDS)]
    except Exception as error:
        yield Figure(f"kernels of {op.name}", OURS, bench.backend.name, "launches", 1, failed=reason_of(error))
        return
    by = Contestant(OURS, f"{bench.backend.name}, caches emptied", lambda n: [])
    for name in rounds[0]:
        some: list[list[Launch]] = [r[name] for r in rounds]
        measured = Measured([(len(r), sum(x.seconds for x in r)) for r in some], [x.seconds for r in some for x in r])
        every = [x.work for r in some for x in r]
        work = type(every[0])(*(sum(column) / len(every) for column in zip(*every, strict=True)))
        most = most_of(work, 1, bench.rates.card(bench.gpu)) if bench.rates else None
        facts = {"bytes": work.bytes, "operations": work.operations, "doubles": work.doubles}
        yield figure(f"kernel {name} of {op.name}", "launches", 1, by, measured, most, facts)


def _cpu_column(bench: Bench) -> tuple[Backend, FrameBatch]:
    from vcn_trt.backends.cpu import open_cpu

    cpu = open_cpu("the peer of what has no other")
    return cpu, replace(bench, backend=cpu).first_batch()


def _of_frames(bench: Bench, batch: FrameBatch) -> list[Op]:
    size, n, first = bench.config.detect.size or working_size(batch), len(batch), batch.pixels[0]
    which = np.arange(FACES) % n
    # Faces a sixth of the picture's height, spread over it.
    scale = 112 / (first.height / 6)
    at = np.linspace(0.1, 0.7, FACES)
    transforms = np.zeros((FACES, 2, 3), np.float32)
    transforms[:, 0, 0] = transforms[:, 1, 1] = scale
    transforms[:, :, 2] = -scale * np.stack([at * first.width, at * first.height], 1)
    facts = {"frames": n, "picture": f"{first.width}x{first.height}"}
    mean = (104.0, 117.0, 123.0)
    return [
        Op("letterbox", "frames", n, facts, lambda ops, b: ops.letterbox(b, size, mean, 1.0, False)),
        Op("thumbnails", "frames", n, facts, lambda ops, b: ops.thumbnails(b, THUMBNAIL_WIDTH)),
        Op("warp_faces", "faces", FACES, facts, lambda ops, b: ops.warp_faces(b, which, transforms)),
        Op("sharpness", "faces", FACES, facts, lambda ops, b: ops.sharpness(b, which, transforms)),
    ]


def _of_detections(bench: Bench, batch: FrameBatch) -> list[Op]:
    rng, n, (h, w) = np.random.default_rng(0), len(batch), (384, 640)
    anchors = [2 * -(-h // s) * -(-w // s) for s in STRIDES]
    retina = [rng.random((n, sum(anchors), k)).astype(np.float32) for k in (4, 2, 10)]
    scrfd = [rng.random((n, a, k)).astype(np.float32) for a in anchors for k in (4, 1, 10)]
    low = rng.random((BOXES, 2)).astype(np.float32) * 600
    boxes = np.hstack([low, low + 40])
    scores = rng.random(BOXES).astype(np.float32)
    faces = RawFaces(boxes, scores, np.zeros((BOXES, 5, 2), np.float32))
    facts: dict[str, Any] = {"frames": n, "anchors": sum(anchors)}

    def decoded(name: str, outputs: list[Any]) -> Callable[[Ops, FrameBatch], Any]:
        kept: dict[int, list[Any]] = {}  # of ours they are where a network leaves them, of a peer on the host

        def call(ops: Ops, b: FrameBatch) -> Any:
            mine = ops is bench.backend.ops or isinstance(ops, CudaOps)
            if mine not in kept:
                kept[mine] = [bench.resident(x) for x in outputs] if mine else outputs
            return getattr(ops, name)(kept[mine], (h, w), 1.0, SCORE)

        return call

    return [
        Op("retinaface_faces", "frames", n, facts, decoded("retinaface_faces", retina)),
        Op("scrfd_faces", "frames", n, facts, decoded("scrfd_faces", scrfd)),
        Op(
            *("nms", "boxes", BOXES, {"boxes": BOXES}),
            lambda ops, b: ops.nms(faces, 0.4),
            peer=("OpenCV", "dnn.NMSBoxes", lambda: peers.nms(boxes, scores, 0.4)),
        ),
    ]


def _of_tracks(bench: Bench) -> list[Op]:
    kind, device, rng = "cuda" if bench.on_card else "cpu", bench.backend.torch_device, np.random.default_rng(0)
    n = min(bench.tracks, PAIRS[kind])
    logits = ragged(rng.normal(0, 0.1, (n, CROPS_A_TRACK, K)).astype(np.float32))
    centre = np.zeros(K, np.float32)
    taus = TAU_TEACHER, TAU_STUDENT
    profiles = made_tracks(n, max(4, n // TRACKS_A_PERSON), CpuOps()).profiles
    pairs = profiles.p, profiles.l, profiles.thresholds()
    tracks, points = GAUSSIANS[kind]
    crops = Ragged(rng.normal(size=(tracks * 20, DIM)), np.arange(0, tracks * 20 + 1, 20))
    asked = rng.normal(size=(points, DIM))
    of_gaussians = {"tracks": tracks, "points": points, "dim": DIM, "crops_a_track": 20}
    return [
        Op(
            *("softmax_means", "crops", len(logits.values), {"tracks": n, "k": K}),
            lambda ops, b: ops.softmax_means(logits, logits, centre, *taus),
            peer=("torch", f"float32, {device}", lambda: peers.softmax_means(logits, *taus, device)),
        ),
        Op(
            *("pair_edges", "pairs", n * (n - 1) // 2, {"tracks": n, "k": K}),
            lambda ops, b: sum(len(edges.a) for edges in ops.pair_edges(*pairs, "mean")),
            peer=("torch", f"float32, tiled, {device}", lambda: peers.pair_edges(*pairs, device)),
        ),
        Op(
            *("log_densities", "densities", tracks * points, of_gaussians),
            lambda ops, b: ops.log_densities(crops, asked, "full", 1.0),
            peer=("torch", f"Cholesky, float64, {device}", lambda: peers.log_densities_on(crops, asked, device))
            if bench.on_card
            else ("SciPy", "multivariate_normal.logpdf, float64", lambda: peers.log_densities(crops, asked)),
        ),
        Op(
            *("own_log_densities", "densities", tracks * 20, of_gaussians | {"points": "its own crops"}),
            lambda ops, b: ops.own_log_densities(crops, "full", 1.0),
        ),
    ]
