"""What torch, CuPy and cuBLAS raise where a card is full or lost. It is told by names and words: no library of a card
is imported for it, and none of them shares a type with another."""

from __future__ import annotations

from vcn_trt.errors import DeviceError

FULL = ("CUDA error: out of memory", "cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "_ALLOC_FAILED")

LOST = (
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "device-side assert triggered",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error detected",
    "device(s) is/are busy or unavailable",
    "no CUDA-capable device is detected",
)
"""CUDA's texts of errors (`cudaGetErrorString`) after which nothing runs in this process any more."""


def out_of_memory(error: BaseException) -> bool:
    """Whether a card has no memory left. A host without memory is another matter."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and any(text in str(error) for text in FULL))


def as_device_error(error: BaseException) -> DeviceError | None:
    """What to tell the user where a card is full or lost; None for every other error."""
    what = first_line(error)
    if out_of_memory(error):
        return DeviceError(
            f"the card has no memory left ({what}). What was computed is kept: end what else runs on it (`nvidia-smi` "
            "lists it), set decode.batch=1 or raise --gpu-memory, and run the same command again"
        )
    if isinstance(error, RuntimeError) and any(text in str(error) for text in LOST):
        return DeviceError(
            f"the card is lost to this process ({what}). What was computed is kept: the same command goes on where "
            "this one stood. Should it happen again, `nvidia-smi -q` and the system's log (Xid) say what ails it; "
            "--device cpu needs no card"
        )
    return None


def first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
