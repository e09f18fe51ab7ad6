"""The CUDA column, as far as it goes: NVDEC decodes, kernels on the card do the maths. TensorRT engines are to come."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from vcn_trt.backends.base import Backend, Network
from vcn_trt.backends.cuda.device import CupyDevice, card_of, lacking, look
from vcn_trt.errors import DeviceError

NO_ENGINES = "it runs no networks yet"
"""What the column lacks for a whole run."""


def open_cuda(device: str, gpu_memory: float = 0.0) -> Backend:
    """The backend of "cuda" or "cuda:N", gpu_memory GiB of it at most (0: all). Raises DeviceError, with what to
    install, where it cannot be used."""
    card = card_of(device)
    if reason := lacking(card, look()):
        raise DeviceError(f"device {device!r} cannot be used: {reason}; or run with --device cpu")
    from vcn_trt.backends.cuda import capability, memory
    from vcn_trt.backends.cuda.lane import CupyLane
    from vcn_trt.backends.cuda.nvdec import LOOK_AHEAD, Nvdec, open_decoder_by
    from vcn_trt.backends.cuda.ops import CudaOps

    found = capability.probe(card)  # before this process has a context that a failing driver would take along
    cupy = CupyDevice(card)
    memory.bound(card, gpu_memory)
    library = None if found.lacking else capability.load()
    look_ahead = min(LOOK_AHEAD, cupy.memory // 8)
    nvdec = Nvdec(library, card, found, lambda: CupyLane(cupy), cupy.to_numpy, look_ahead)
    return Backend(
        name=f"cuda:{card}",
        torch_device=f"cuda:{card}",
        ops=CudaOps(cupy),
        open_decoder=open_decoder_by(nvdec),
        open_network=_open_network,
        description=f"cuda:{card}, {cupy.description}, {found.description}: as asked",
        streams=max(1, found.engines),
        memory=partial(memory.peaks, card),
    )


def why_not() -> str:
    """Why `auto` does not take this column."""
    return lacking(0, look()) or f"the CUDA column is not whole: {NO_ENGINES}"


def _open_network(path: Path) -> Network:
    raise DeviceError(
        f"{path.name} cannot run on the card: the CUDA column has no engines in this version; run with --device cpu"
    )
