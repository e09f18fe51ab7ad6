"""The CPU column: PyAV decodes, ONNX Runtime runs the networks, NumPy and OpenCV do the rest."""

from __future__ import annotations

import ctypes
import os
import platform

from vcn_trt.backends.base import Backend
from vcn_trt.backends.cpu.decode import open_decoder
from vcn_trt.backends.cpu.network import OnnxNetwork
from vcn_trt.backends.cpu.ops import CpuOps

M_MMAP_THRESHOLD = -3
LARGE = 256 * 1024


def open_cpu(why: str) -> Backend:
    """The CPU backend; `why` it was chosen goes into its description."""
    _give_large_buffers_back()
    return Backend(
        name="cpu",
        torch_device="cpu",
        ops=CpuOps(),
        open_decoder=open_decoder,
        open_network=OnnxNetwork,
        description=f"cpu: {why}",
    )


def _give_large_buffers_back() -> None:
    """Let glibc return pictures to the system when they are freed.

    By default it raises the size from which it does so to that of the pictures themselves; made in one thread and
    freed in another, they then leave holes: memory grew by 17 MB a minute of film, and 1 GB an hour. Held at 256 KiB
    it stays flat, for 4 % of the speed. A threshold set from outside (MALLOC_MMAP_THRESHOLD_) stands.
    """
    if platform.libc_ver()[0] == "glibc" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
