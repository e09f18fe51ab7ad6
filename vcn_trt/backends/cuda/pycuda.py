"""For users with pycuda code of their own: the card's primary context, which torch and CuPy work in, so that a pointer
of one is good in the other. Nothing here uses pycuda itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vcn_trt.errors import DeviceError


@contextmanager
def primary_context(card: int = 0) -> Iterator[Any]:
    """The primary context of a card, retained and current inside: pycuda's calls of this thread then see torch's and
    CuPy's memory (wrap an array by `pycuda.gpuarray.GPUArray(shape, dtype, gpudata=array.data.ptr)`).

    Do not import `pycuda.autoinit`, which makes a context of its own, whose pointers mean nothing here. Raises
    DeviceError where pycuda is not installed.
    """
    try:
        import pycuda.driver as driver  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise DeviceError(
            f"pycuda cannot be imported ({error}): run `{sys.executable} -m pip install pycuda`, which compiles it "
            "against the CUDA toolkit of this machine"
        ) from error
    driver.init()
    context = driver.Device(card).retain_primary_context()
    context.push()
    try:
        yield context
    finally:
        context.pop()  # and released when the last reference goes, as pycuda.autoprimaryctx has it
