"""What the NVIDIA driver answers, as JSON lines on standard output: `python probe.py LIBRARY...`.

Run as a process of its own, since a failing driver call can end the process that makes it. What it is about to do it
says first, so that whoever started it knows what it died of. The standard library alone, and no context on a card.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def load(name: str) -> ctypes.CDLL | None:
    tell(doing=f"loading {name}")
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        tell(library=name, error=str(error))
        return None
    tell(library=name, error="")
    return library


def driver(cuda: ctypes.CDLL) -> None:
    """The newest CUDA that the driver serves, what cuInit says, and the cards."""
    number, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    if cuda.cuDriverGetVersion(ctypes.byref(number)) == 0:
        tell(cuda=[number.value // 1000, number.value % 1000 // 10])
    tell(doing="cuInit")
    tell(init=cuda.cuInit(0))
    tell(doing="asking for the cards")
    if cuda.cuDeviceGetCount(ctypes.byref(number)) != 0:
        return
    for ordinal in range(number.value):
        card, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        cuda.cuDeviceGet(ctypes.byref(card), ordinal)
        cuda.cuDeviceGetName(name, len(name), card)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, card)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, card)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), card)
        tell(card=name.value.decode(errors="replace"), capability=[major.value, minor.value], memory=memory.value)


def release(nvml: ctypes.CDLL) -> None:
    """The driver's own number, which `/proc` does not have in every container."""
    text = ctypes.create_string_buffer(96)
    tell(doing="nvmlInit")
    if nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0:
        tell(driver=text.value.decode(errors="replace"))


if __name__ == "__main__":
    if (nvml := load("libnvidia-ml.so.1")) is not None:
        release(nvml)
    if (cuda := load("libcuda.so.1")) is not None:
        driver(cuda)
    for wanted in sys.argv[1:]:
        load(wanted)
