"""The networks: the detector from frames to faces, then both networks alone, beside the same architecture and weights
in plain torch; on a card in half precision and compiled."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vcn_trt.backends.base import Network
from vcn_trt.backends.cuda.floor import Work
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.limits import most_of
from vcn_trt.bench.measure import OURS, Call, Contestant, Figure, Most, race
from vcn_trt.errors import ModelError
from vcn_trt.ingest.detect import FaceDetector, working_size
from vcn_trt.overlap import cores
from vcn_trt.types import CROP_SIZE
from vcn_trt.zoo import weights
from vcn_trt.zoo.base import Both, prepare
from vcn_trt.zoo.bases import load_base
from vcn_trt.zoo.export import cached_onnx
from vcn_trt.zoo.models import Model, open_model
from vcn_trt.zoo.retinaface import retinaface_mnet025, retinaface_r50

CARD_BATCHES = (16, 64)
"""Beside the config's own, which suits a CPU: a card wants more crops a call."""


@dataclass(frozen=True)
class Subject:
    """A network and an input for it. module: the same in torch, opened when it is needed."""

    name: str
    unit: str
    network: Network
    inputs: NDArray[np.float32]
    module: Callable[[], nn.Module]


def detect(bench: Bench) -> Iterator[Figure]:
    """From frames on the device to faces on the host, as ingest calls it; then the network alone."""
    model = open_model(bench.config.detect.model, "detector")
    network = bench.backend.open_network(model.path)
    detector = FaceDetector(network, model.manifest, bench.backend, bench.config.detect)
    batch = bench.first_batch()
    in_flight = bench.config.detect.workers or cores()

    def look() -> float:
        detector(batch)
        return len(batch)

    how = f"{bench.backend.name}, {in_flight} calls in flight a stream"
    ours = Contestant(OURS, how, lambda n: [look] * (n * in_flight))
    size = bench.config.detect.size or working_size(batch)
    facts = {"frames_a_call": len(batch), "size": size}
    for streams in bench.streams:
        what = "frames to faces"
        yield from race(what, "frames", streams, [ours], bench.host_clock, bench.seconds, None, facts)
    m = model.manifest
    pixels, _ = bench.backend.ops.letterbox(batch, size, m.mean, m.scale, m.rgb)
    subject = Subject("detector", "frames", network, bench.backend.ops.to_numpy(pixels), lambda: detector_module(model))
    yield from _alone(bench, subject, in_flight)


def embed(bench: Bench) -> Iterator[Figure]:
    """The base alone, on prepared crops that are there. Their content does not count: they are noise."""
    base = load_base(bench.config.embed.model)
    network = bench.backend.open_network(cached_onnx(base))
    rng = np.random.default_rng(0)
    for n in dict.fromkeys((bench.config.embed.batch, *(CARD_BATCHES if bench.on_card else ()))):
        crops = rng.integers(0, 256, (n, CROP_SIZE, CROP_SIZE, 3)).astype(np.float32)
        yield from _alone(bench, Subject("base", "crops", network, prepare(crops, base.manifest), lambda: Both(base)))


def detector_module(model: Model) -> nn.Module:
    """The detector in torch. Raises ModelError where there is no such architecture here."""
    makers = {"retinaface_mnet025": retinaface_mnet025, "retinaface_r50": retinaface_r50}
    if model.manifest.architecture not in makers:
        raise ModelError(f"{model.name} has no torch architecture here, only {', '.join(makers)} have")
    module = makers[model.manifest.architecture]()
    weights.load_into(module, model.path)
    return module


def _alone(bench: Bench, subject: Subject, in_flight: int = 0) -> Iterator[Figure]:
    """A network's calls alone. Ours runs a call a core on a CPU, torch one call on all cores; on a card each stream has
    one call in flight."""
    in_flight = 1 if bench.on_card else in_flight or cores()
    name, inputs = subject.network.input_names[0], bench.resident(subject.inputs)
    units = len(subject.inputs)

    def ours() -> float:
        subject.network({name: inputs})
        return units

    peer = functools.cache(lambda: peer_call(bench, subject))  # compiled once, whatever the streams
    how = f"{bench.backend.name}, {in_flight} in flight a stream"
    contestants = [
        Contestant(OURS, how, lambda n: [ours] * (n * in_flight)),
        Contestant("torch", torch_how(bench.on_card), lambda n: [peer()] * n),
    ]
    facts: dict[str, Any] = {"shape": "x".join(map(str, subject.inputs.shape))}
    most = _most(bench, subject)
    for streams in bench.streams:
        what = f"{subject.name} alone, {units} a call"
        yield from race(what, subject.unit, streams, contestants, bench.device_clock, bench.seconds, most, facts)


def torch_how(on_card: bool) -> str:
    return "half, compiled, channels last" if on_card else f"float32, eager, {torch.get_num_threads()} threads a call"


def peer_call(bench: Bench, subject: Subject) -> Call:
    """The same work in plain torch, its input on the device as well."""
    module, device = copy.deepcopy(subject.module()).eval(), bench.backend.torch_device
    x = torch.from_numpy(subject.inputs).to(device)
    if bench.on_card:
        x = x.half().contiguous(memory_format=torch.channels_last)
        module = module.to(device).half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module = torch.compile(module, dynamic=False)  # type: ignore[assignment]
        with torch.inference_mode():
            module(x)  # compiled here, in one thread

    def call() -> float:
        with torch.inference_mode():
            module(x)
        return len(x)

    return call


def _most(bench: Bench, subject: Subject) -> Most | None:
    """Operations of the architecture as torch counts them, weights, input and output once."""
    if bench.rates is None:
        return None
    try:
        module = subject.module()
    except Exception:  # the peer says why
        return None
    work = network_work(module, subject.inputs.shape, 2 if bench.on_card else 4)
    return most_of(work, len(subject.inputs), bench.rates.card(bench.gpu, half=bench.on_card))


def network_work(module: nn.Module, shape: tuple[int, ...], sample: int) -> Work:
    """Counted without computing anything. sample: bytes a number."""
    from torch.utils.flop_counter import FlopCounterMode

    module, x = copy.deepcopy(module).eval().to("meta"), torch.empty(shape, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        out: Sequence[Tensor] = module(x)
    numbers = sum(p.numel() for p in module.parameters()) + x.numel() + sum(y.numel() for y in out)
    return Work(sample * numbers, counter.get_total_flops())
