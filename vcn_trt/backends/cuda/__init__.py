"""The CUDA column, as far as it goes: the maths run in kernels on the card, frames come from PyAV and are uploaded.
NVDEC and TensorRT engines are still to come."""

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
    from vcn_trt.backends.cuda import memory
    from vcn_trt.backends.cuda.ops import CudaOps
    from vcn_trt.backends.cuda.upload import open_decoder_on

    cupy = CupyDevice(card)
    memory.bound(card, gpu_memory)
    return Backend(
        name=f"cuda:{card}",
        torch_device=f"cuda:{card}",
        ops=CudaOps(cupy),
        open_decoder=open_decoder_on(cupy),
        open_network=_open_network,
        description=f"cuda:{card}, {cupy.description}: as asked",
        memory=partial(memory.peaks, card),
    )


def why_not() -> str:
    """Why `auto` does not take this column."""
    return lacking(0, look()) or f"the CUDA column is not whole: {NO_ENGINES}"


def _open_network(path: Path) -> Network:
    raise DeviceError(
        f"{path.name} cannot run on the card: the CUDA column has no engines in this version; run with --device cpu"
    )
