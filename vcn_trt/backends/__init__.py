"""`open("auto" | "cpu" | "cuda:0")`: the one place that knows which columns there are."""

from __future__ import annotations

from vcn_trt.backends.base import Backend
from vcn_trt.errors import DeviceError

__all__ = ["Backend", "open"]


def open(device: str, gpu_memory: float = 0.0) -> Backend:
    """The backend of a device. "auto" takes the best column there is; its `description` says which and why.
    gpu_memory: GiB of a card that may be used, 0 for all.

    Raises DeviceError for a device that is not there: there is no quiet fall-back.
    """
    if device == "cpu":
        from vcn_trt.backends.cpu import open_cpu

        return open_cpu("as asked")
    if device == "auto":
        from vcn_trt.backends.cpu import open_cpu
        from vcn_trt.backends.cuda import open_cuda, why_not

        reason = why_not()
        if not reason:
            try:
                return open_cuda("cuda:0", "chosen by auto", gpu_memory)
            except DeviceError as error:  # TensorRT is there and does not load, or does not serve this card
                reason = str(error)
        return open_cpu(f"chosen by auto; {reason}")
    if device.split(":")[0] == "cuda":
        from vcn_trt.backends.cuda import open_cuda

        return open_cuda(device, gpu_memory=gpu_memory)
    raise DeviceError(f"unknown device {device!r}; expected auto, cpu or cuda:N")
