"""The CUDA column, as far as it goes: the maths run in kernels on the card, frames come from PyAV and are uploaded.
NVDEC and TensorRT engines are still to come."""

from __future__ import annotations

from pathlib import Path

from vcn_trt.backends.base import Backend, Network
from vcn_trt.backends.cuda.device import CupyDevice, card_of
from vcn_trt.backends.cuda.lacking import lacking, no_networks
from vcn_trt.backends.cuda.stack import look
from vcn_trt.errors import DeviceError

NO_ENGINES = "it runs no networks yet"
"""What the column lacks for a whole run."""


def open_cuda(device: str) -> Backend:
    """The backend of "cuda" or "cuda:N". Raises DeviceError, with what to install, where it cannot be used."""
    card = card_of(device)
    if reason := lacking(card, look()):
        raise DeviceError(f"device {device!r} cannot be used: {reason}; or run with --device cpu")
    from vcn_trt.backends.cuda.ops import CudaOps
    from vcn_trt.backends.cuda.upload import open_decoder_on

    cupy = CupyDevice(card)
    return Backend(
        name=f"cuda:{card}",
        torch_device=f"cuda:{card}",
        ops=CudaOps(cupy),
        open_decoder=open_decoder_on(cupy),
        open_network=_open_network,
        description=f"cuda:{card}, {cupy.description}: as asked",
    )


def why_not() -> str:
    """Why `auto` does not take this column."""
    found = look()
    return lacking(0, found) or no_networks(0, found) or f"the CUDA column is not whole: {NO_ENGINES}"


def _open_network(path: Path) -> Network:
    reason = no_networks(0, look()) or "the CUDA column has no engines in this version"
    raise DeviceError(f"{path.name} cannot run on the card: {reason}; or run with --device cpu")
