"""`open("auto" | "cpu" | "cuda:0")`: the one place that knows which columns there are."""

from __future__ import annotations

from vcn_trt.backends.base import Backend
from vcn_trt.errors import DeviceError

__all__ = ["Backend", "open"]


def open(device: str) -> Backend:
    """The backend of a device. "auto" takes the best column there is; its `description` says which and why.

    Raises DeviceError for a device that is not there: there is no quiet fall-back.
    """
    if device in ("auto", "cpu"):
        from vcn_trt.backends.cpu import open_cpu

        why = "the CPU column, the only one in this version" if device == "auto" else "as asked"
        return open_cpu(why)
    if device.split(":")[0] == "cuda":
        raise DeviceError(f"device {device!r}: this version of vcn-trt has no CUDA column yet; run with --device cpu")
    raise DeviceError(f"unknown device {device!r}; expected auto or cpu")
