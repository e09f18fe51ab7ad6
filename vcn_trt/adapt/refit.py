"""Networks of the backend in torch's hands: crops through them, and the weights of a base that has trained into them by
refit, held to torch."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.dlpack import from_dlpack

from vcn_trt.adapt.split import DRAWN, in_parts
from vcn_trt.backends.base import Network
from vcn_trt.embed import Base
from vcn_trt.errors import ModelError
from vcn_trt.overlap import cores
from vcn_trt.zoo.base import FaceBase, prepare

COSINE = 0.999
"""The least cosine with torch's float32 that a crop's vector by a network may have."""

CROPS = 16
"""Crops of the footage on which a network is held to it."""

_AT_ONCE = 4
"""Crops a call of the network on a CPU: more are no faster."""


@contextmanager
def running(network: Network, output: str, device: torch.device) -> Iterator[Callable[[Tensor], Tensor]]:
    """One output of a network as a function of tensors on the device, prepared crops (n, 3, size, size) -> (n, ...). On
    a card both sides take the other's arrays where they lie."""
    if device.type != "cpu":
        yield in_parts(lambda x: from_dlpack(network({"input": x})[output]), DRAWN)
        return
    with ThreadPoolExecutor(cores(), thread_name_prefix="network") as pool:

        def run(x: Tensor) -> Tensor:
            some = [x[i : i + _AT_ONCE].numpy() for i in range(0, len(x), _AT_ONCE)]
            found = pool.map(lambda crops: network({"input": crops})[output], some)
            return torch.cat([torch.as_tensor(y) for y in found])

        yield run


def fitted(
    by: FaceBase, base: Base, crops: NDArray[np.uint8], device: torch.device
) -> tuple[Network | None, dict[str, Any]]:
    """A network with the weights of `by`, which `base.torch` has become by training: the base's own plan, opened once
    more and refitted; where that fails, one of its own export. None where neither comes near torch.

    crops: (n, 112, 112, 3) uint8, what it is held to torch on. -> the network, and facts: "refit", the lowest cosine
    and the seconds it took, where there was one; "warnings".
    """
    if _same_weights(by, base.torch):
        return base.network, {"warnings": []}
    x = prepare(torch.from_numpy(crops).to(device), base.manifest)
    with torch.no_grad():
        expected = copy.deepcopy(by).to(device).eval()(x)
    started = time.perf_counter()
    try:
        network = base.open(base.torch)
        network.refit(_weights(by))
        cosine = _held_to(expected, network, x)
        why = f"cosine {cosine:.5f} with torch, expected {COSINE} or more"
        if cosine >= COSINE:
            seconds = round(time.perf_counter() - started, 3)
            return network, {"refit": {"cosine": round(cosine, 6), "seconds": seconds}, "warnings": []}
        del network  # before another takes its place on the card
    except ModelError as error:
        why = str(error)
    warning = f"the base's network did not take the adapted weights ({why}); it was exported and opened anew"
    anew = base.open(copy.deepcopy(by).cpu())
    cosine = _held_to(expected, anew, x)
    if cosine >= COSINE:
        return anew, {"warnings": [warning]}
    return None, {"warnings": [f"{warning}, with cosine {cosine:.5f}: torch itself looked at the crops"]}


def _weights(base: FaceBase) -> dict[str, Any]:
    """What an export names: BatchNorm's count of its batches is no weight."""
    state = base.state_dict()
    return {k: v.detach() for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _held_to(expected: Tensor, network: Network, x: Tensor) -> float:
    """The lowest cosine of a crop's vectors, NaN where one is no vector."""
    with running(network, "embedding", x.device) as run:
        found = run(x)
    return float(functional.cosine_similarity(found.float(), expected, dim=1).min())


def _same_weights(one: FaceBase, other: FaceBase) -> bool:
    mine, its = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[k].cpu(), its[k].cpu()) for k in its)
