"""The CPU column: PyAV decodes, ONNX Runtime runs the networks, NumPy and OpenCV do the rest."""

from __future__ import annotations

from vcn_trt.backends.base import Backend
from vcn_trt.backends.cpu.decode import open_decoder
from vcn_trt.backends.cpu.network import OnnxNetwork
from vcn_trt.backends.cpu.ops import CpuOps


def open_cpu(why: str) -> Backend:
    """The CPU backend; `why` it was chosen goes into its description."""
    return Backend(
        name="cpu",
        torch_device="cpu",
        ops=CpuOps(),
        open_decoder=open_decoder,
        open_network=OnnxNetwork,
        description=f"cpu: {why}",
    )
