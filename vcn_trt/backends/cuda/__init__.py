"""The CUDA column: TensorRT runs the networks, kernels do the maths between, frames come from PyAV and are uploaded.
NVDEC is still to come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcn_trt.backends.base import Backend
from vcn_trt.backends.cuda.device import CupyDevice, card_of, lacking, look
from vcn_trt.engine import compat
from vcn_trt.errors import DeviceError

if TYPE_CHECKING:
    from vcn_trt.engine.ready import Host


def open_cuda(device: str, why: str = "as asked") -> Backend:
    """The backend of "cuda" or "cuda:N"; `why` it was chosen goes into its description. Raises DeviceError, with what
    to install, where it cannot be used."""
    cupy, host = open_card(device)
    from vcn_trt.backends.cuda.network import TensorrtNetwork
    from vcn_trt.backends.cuda.ops import CudaOps
    from vcn_trt.backends.cuda.upload import open_decoder_on

    return Backend(
        name=f"cuda:{cupy.card}",
        torch_device=f"cuda:{cupy.card}",
        ops=CudaOps(cupy),
        open_decoder=open_decoder_on(cupy),
        open_network=lambda path: TensorrtNetwork(path, host),
        description=f"cuda:{cupy.card}, {cupy.description}, {host.machine.tensorrt}: {why}",
    )


def open_card(device: str) -> tuple[CupyDevice, Host]:
    """The card, and TensorRT on it. Raises as `open_cuda`."""
    card = card_of(device)
    if reason := why_not(card):
        raise DeviceError(f"device {device!r} cannot be used: {reason}; or run with --device cpu")
    from vcn_trt.backends.cuda.network import open_host

    cupy = CupyDevice(card)
    return cupy, open_host(cupy, cupy.name, cupy.capability)


def why_not(card: int = 0) -> str:
    """What keeps this column from being used, and the command that mends it, or ""."""
    found = look()
    return lacking(card, found) or compat.lacking(found.torch_cuda)
