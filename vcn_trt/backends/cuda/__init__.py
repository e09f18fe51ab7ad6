"""The CUDA column: NVDEC decodes, TensorRT runs the networks, kernels do the maths between."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vcn_trt.backends.base import Backend, Network
from vcn_trt.backends.cuda.device import CupyDevice, card_of
from vcn_trt.backends.cuda.lacking import lacking, no_networks
from vcn_trt.backends.cuda.stack import look
from vcn_trt.errors import DeviceError

if TYPE_CHECKING:
    from vcn_trt.engine.ready import Host


def open_cuda(device: str, why: str = "as asked", gpu_memory: float = 0.0) -> Backend:
    """The backend of "cuda" or "cuda:N", gpu_memory GiB of it at most (0: all); `why` it was chosen goes into its
    description. Raises DeviceError, with what to install, where the card cannot be used. Without TensorRT it opens, to
    decode and to compute, and no network does."""
    card = card_of(device)
    facts = look()
    _demand(device, lacking(card, facts))
    from vcn_trt.backends.cuda import capability, memory
    from vcn_trt.backends.cuda.lane import CupyLane
    from vcn_trt.backends.cuda.network import TensorrtNetwork, open_host
    from vcn_trt.backends.cuda.nvdec import LOOK_AHEAD, Nvdec, open_decoder_by
    from vcn_trt.backends.cuda.ops import CudaOps

    found = capability.probe(card)  # before this process has a context that a failing driver would take along
    cupy = CupyDevice(card)
    memory.bound(card, gpu_memory)
    none = no_networks(card, facts)
    host = None if none else open_host(cupy, cupy.name, cupy.capability)
    library = None if found.lacking else capability.load()
    look_ahead = min(LOOK_AHEAD, cupy.memory // 8)
    nvdec = Nvdec(library, card, found, lambda: CupyLane(cupy), cupy.to_numpy, look_ahead)

    def open_network(path: Path) -> Network:
        if host is None:
            raise DeviceError(f"{path.name} cannot run on the card: {none}; or run with --device cpu")
        return TensorrtNetwork(path, host)

    networks = host.machine.tensorrt if host else "no TensorRT"
    return Backend(
        name=f"cuda:{card}",
        torch_device=f"cuda:{card}",
        ops=CudaOps(cupy),
        open_decoder=open_decoder_by(nvdec),
        open_network=open_network,
        description=f"cuda:{card}, {cupy.description}, {found.description}, {networks}: {why}",
        streams=max(1, found.engines),
        memory=partial(memory.peaks, card),
    )


def open_card(device: str) -> tuple[CupyDevice, Host]:
    """The card, and TensorRT on it. Raises DeviceError, with what to install, where either cannot be used."""
    card = card_of(device)
    _demand(device, why_not(card))
    from vcn_trt.backends.cuda.network import open_host

    cupy = CupyDevice(card)
    return cupy, open_host(cupy, cupy.name, cupy.capability)


def why_not(card: int = 0) -> str:
    """What keeps this column from being used for a whole run, and the command that mends it, or ""."""
    found = look()
    return lacking(card, found) or no_networks(card, found)


def _demand(device: str, reason: str) -> None:
    if reason:
        raise DeviceError(f"device {device!r} cannot be used: {reason}; or run with --device cpu")
