"""Fixtures of the kernel tests: the CUDA column run on the CPU, its threads in either order."""

from __future__ import annotations

import pytest
import shim

from vcn_trt.backends.cuda.ops import CudaOps


@pytest.fixture(scope="session")
def once() -> CudaOps:
    """In order alone."""
    if reason := shim.missing():
        pytest.skip(reason)
    return CudaOps(shim.ShimDevice())


@pytest.fixture(params=[False, True], ids=["in order", "last thread first"], scope="session")
def ops(request: pytest.FixtureRequest) -> CudaOps:
    """What depends on the order of threads between two barriers differs between the two."""
    if reason := shim.missing():
        pytest.skip(reason)
    return CudaOps(shim.ShimDevice(request.param))
