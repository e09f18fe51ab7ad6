"""Adaptation, and what follows it: the adapted weights into the network by refit, beside exporting it and opening it
anew."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vcn_trt.adapt.heads import whitened_head
from vcn_trt.adapt.match import find_matches
from vcn_trt.adapt.split import Views, chosen, open_views
from vcn_trt.adapt.train import Progress, adapt
from vcn_trt.backends.base import Network
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.measure import OURS, ROUNDS, Contestant, Figure, Measured, figure, race
from vcn_trt.ragged import Ragged
from vcn_trt.types import CROP_SIZE, PLAIN
from vcn_trt.zoo.base import FaceBase, prepare
from vcn_trt.zoo.bases import load_base
from vcn_trt.zoo.export import cached_onnx, export_onnx

PEOPLE, TRACKS_A_PERSON, CROPS_A_TRACK = 8, 8, 6
MOVED = 0.05
"""By how much of their size weights change before a refit."""

CROPS = 16
"""On which a refitted network is held to torch."""


def adaptation(bench: Bench) -> Iterator[Figure]:
    """Training steps of one round each, matching and start left out, by the progress that `adapt` tells. It is torch
    itself, so there is no peer."""
    config, match = bench.config.adapt, bench.config.match
    base, device = load_base(bench.config.embed.model), torch.device(bench.backend.torch_device)
    trains = chosen(config.trains, device)
    views = _views(base, trains, config.views, device)
    n = views.n_crops
    tracks = Ragged(np.arange(n), np.arange(0, n + 1, CROPS_A_TRACK))
    generator = torch.Generator().manual_seed(bench.config.seed)
    plain = views.content.cpu() if trains == "head" else torch.randn(PLAIN, n, base.dim, generator=generator)
    head = whitened_head(plain, tracks, config.outputs, config.shrink, generator)

    def train(steps: int) -> list[float]:
        """Seconds of each step but the first, which waits for the start."""
        times: list[float] = []
        of_round = replace(config, rounds=1, steps=steps)

        def told(now: Progress) -> None:
            bench.host_clock.finish()
            times.append(time.perf_counter())

        def matcher(z: NDArray[np.float32]) -> Ragged:
            return find_matches(z, tracks, bench.backend.ops, match)

        adapt(views, head, tracks, matcher, of_round, bench.config.seed, None, told)
        return np.diff(times).tolist()

    a_step = max(train(3))
    steps = max(2, min(config.steps, round(bench.seconds / ROUNDS / a_step)))
    rounds = [train(steps + 1) for _ in range(ROUNDS)]
    measured = Measured([(len(r), sum(r)) for r in rounds], [t for r in rounds for t in r])
    by = Contestant(OURS, f"torch on {device}, trains {trains}", lambda n: [])
    facts = {"pairs_a_step": config.batch, "crops": n, "views": views.n_views, "outputs": config.outputs}
    yield figure("training", "steps", 1, by, measured, facts=facts)


def refit(bench: Bench) -> Iterator[Figure]:
    """New weights in all of the base's layers, until the network is ready again."""
    base = load_base(bench.config.embed.model)
    network = bench.backend.open_network(cached_onnx(base))
    trained = copy.deepcopy(base)
    rng = np.random.default_rng(time.time_ns())  # a plan of these very weights must not be in a cache

    def move() -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            for mine, theirs in zip(trained.parameters(), base.parameters(), strict=True):
                mine.copy_(theirs * (1 + MOVED * float(rng.uniform(-1, 1))))
        return {k: v.numpy() for k, v in trained.state_dict().items() if not k.endswith("num_batches_tracked")}

    def ours() -> float:
        network.refit(move())
        _ready(network, base)
        return 1

    opened: list[Network] = []

    def anew() -> float:
        move()
        exported = export_onnx(trained, bench.folder / f"{base.manifest.name}-anew.onnx")
        opened[:] = [bench.backend.open_network(exported)]
        _ready(opened[0], base)
        return 1

    contestants = [
        Contestant(OURS, f"{bench.backend.name}, refit", lambda n: [ours]),
        Contestant("rebuild", f"{bench.backend.name}, exported and opened anew", lambda n: [anew], warm=False),
    ]
    facts = {"weights_mb": round(sum(p.numel() for p in base.parameters()) * 4 / 1e6, 1)}
    found = race("base", "refits", 1, contestants, bench.host_clock, bench.seconds, facts=facts, rounds=3)
    if not found[0].failed:
        network.refit(move())
        found[0] = replace(found[0], facts=facts | {"cosine_to_torch": _cosine(network, trained, bench)})
    yield from found


def _ready(network: Network, base: FaceBase) -> None:
    """One crop through it: what is put off until a first call counts, too."""
    size = base.manifest.input_size
    network({network.input_names[0]: np.zeros((1, 3, size, size), np.float32)})


def _cosine(network: Network, trained: FaceBase, bench: Bench) -> float:
    """The least likeness of the network's embeddings and torch's."""
    crops = np.random.default_rng(0).integers(0, 256, (CROPS, CROP_SIZE, CROP_SIZE, 3)).astype(np.uint8)
    x = prepare(crops, trained.manifest)
    ours = bench.backend.ops.to_numpy(network({network.input_names[0]: x})["embedding"])
    with torch.no_grad():
        theirs = trained(torch.from_numpy(x)).numpy()
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return round(float(((ours * theirs).sum(1) / lengths).min()), 6)


def _views(base: FaceBase, trains: Any, n_augmented: int, device: torch.device) -> Views:
    """Of made people. Where the head alone trains, what the base would make of them is made as well: that work is the
    network's, which has figures of its own."""
    rng = np.random.default_rng(0)
    n = PEOPLE * TRACKS_A_PERSON * CROPS_A_TRACK
    who = np.arange(n) // (TRACKS_A_PERSON * CROPS_A_TRACK)
    if trains == "head":
        middle = rng.normal(size=(PEOPLE, base.dim))[who]
        values = middle + 0.3 * rng.normal(size=(PLAIN + n_augmented, n, base.dim))
        return Views.cached(base, trains, torch.from_numpy(values.astype(np.float32)).to(device))
    coarse = rng.integers(0, 256, (PEOPLE, 14, 14, 3)).repeat(8, 1).repeat(8, 2)[who]
    crops = np.clip(coarse + rng.normal(0, 12, (n, CROP_SIZE, CROP_SIZE, 3)), 0, 255).astype(np.uint8)
    return open_views(base, crops, None, trains, n_augmented, 0, device)
