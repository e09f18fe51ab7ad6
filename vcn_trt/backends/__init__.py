"""`open("auto" | "cpu" | "cuda:0")`: the one place that knows which columns there are."""

from __future__ import annotations

from vcn_trt.backends.base import Backend
from vcn_trt.errors import DeviceError

__all__ = ["Backend", "open"]


def open(device: str) -> Backend:
    """The backend of a device. "auto" takes the best column there is; its `description` says which and why.

    Raises DeviceError for a device that is not there: there is no quiet fall-back.
    """
    if device == "cpu":
        from vcn_trt.backends.cpu import open_cpu

        return open_cpu("as asked")
    if device == "auto":
        from vcn_trt.backends.cpu import open_cpu
        from vcn_trt.backends.cuda import open_cuda, why_not

        if reason := why_not():
            return open_cpu(f"chosen by auto; {reason}")
        return open_cuda("cuda:0", "chosen by auto")
    if device.split(":")[0] == "cuda":
        from vcn_trt.backends.cuda import open_cuda

        return open_cuda(device)
    raise DeviceError(f"unknown device {device!r}; expected auto, cpu or cuda:N")
