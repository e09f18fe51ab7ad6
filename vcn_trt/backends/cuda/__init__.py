"""The CUDA column: NVDEC decodes, TensorRT runs the networks, kernels do the maths between."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcn_trt.backends.base import Backend
from vcn_trt.backends.cuda.device import CupyDevice, card_of, lacking, look
from vcn_trt.engine import compat
from vcn_trt.errors import DeviceError

if TYPE_CHECKING:
    from vcn_trt.engine.ready import Host


def open_cuda(device: str, why: str = "as asked", gpu_memory: float = 0.0) -> Backend:
    """The backend of "cuda" or "cuda:N", gpu_memory GiB of it at most (0: all); `why` it was chosen goes into its
    description. Raises DeviceError, with what to install, where it cannot be used."""
    card = usable(device)
    from vcn_trt.backends.cuda import capability, memory
    from vcn_trt.backends.cuda.lane import CupyLane
    from vcn_trt.backends.cuda.network import TensorrtNetwork
    from vcn_trt.backends.cuda.nvdec import LOOK_AHEAD, Nvdec, open_decoder_by
    from vcn_trt.backends.cuda.ops import CudaOps

    found = capability.probe(card)  # before this process has a context that a failing driver would take along
    cupy, host = open_card(device)
    memory.bound(card, gpu_memory)
    library = None if found.lacking else capability.load()
    look_ahead = min(LOOK_AHEAD, cupy.memory // 8)
    nvdec = Nvdec(library, card, found, lambda: CupyLane(cupy), cupy.to_numpy, look_ahead)
    parts = f"{cupy.description}, {found.description}, {host.machine.tensorrt}"
    return Backend(
        name=f"cuda:{card}",
        torch_device=f"cuda:{card}",
        ops=CudaOps(cupy),
        open_decoder=open_decoder_by(nvdec),
        open_network=lambda path: TensorrtNetwork(path, host),
        description=f"cuda:{card}, {parts}: {why}",
        streams=max(1, found.engines),
        memory=partial(memory.peaks, card),
    )


def open_card(device: str) -> tuple[CupyDevice, Host]:
    """The card, and TensorRT on it. Raises as `open_cuda`."""
    card = usable(device)
    from vcn_trt.backends.cuda.network import open_host

    cupy = CupyDevice(card)
    return cupy, open_host(cupy, cupy.name, cupy.capability)


def usable(device: str) -> int:
    """The number of the card. Raises DeviceError, with what to install, where it cannot be used."""
    card = card_of(device)
    if reason := why_not(card):
        raise DeviceError(f"device {device!r} cannot be used: {reason}; or run with --device cpu")
    return card


def why_not(card: int = 0) -> str:
    """What keeps this column from being used, and the command that mends it, or ""."""
    found = look()
    return lacking(card, found) or compat.lacking(found.torch_cuda)
