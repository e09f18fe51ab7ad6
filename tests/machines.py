"""What `stack.look()` finds on machines that were thought up: none of these numbers was read off a card."""

from __future__ import annotations

from vcn_trt.backends.cuda.stack import VIDEO, Answer, Card, Found

H100 = Card("NVIDIA H100 80GB HBM3", (9, 0), 80 << 30)
SLICE = Card("NVIDIA H100 80GB HBM3 MIG 1g.10gb", (9, 0), 10 << 30)
RTX4090 = Card("NVIDIA GeForce RTX 4090", (8, 9), 24 << 30)
V100 = Card("Tesla V100-SXM2-16GB", (7, 0), 16 << 30)

ANSWER = Answer("580.95.05", (13, 0), cards=(H100, H100), libraries={"libcuda.so.1": "", **dict.fromkeys(VIDEO, "")})
PACKAGES = {
    "torch": "2.13.0",
    "cupy-cuda13x": "14.2.0",
    "nvidia-cuda-nvrtc": "13.0.88",
    "tensorrt-cu13-bindings": "11.4.0.106",
    "tensorrt-cu13-libs": "11.4.0.106",
    "PyNvVideoCodec": "2.2.4",
}
MODULES = frozenset({"cupy", "tensorrt", "PyNvVideoCodec"})
WHOLE = Found("580.95.05", ANSWER, "13.0", PACKAGES, MODULES)
"""Two cards and all that the column needs."""
BARE = Found(packages={"torch": "2.13.0+cpu"})
"""No driver, no card."""
