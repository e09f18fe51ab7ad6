"""The columns that the contract is asserted over. A column that cannot be opened here skips, with the reason."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nvdec
import pytest
import shim
from lanes import ShimLane

from vcn_trt import backends
from vcn_trt.backends.base import Backend, FrameBatch, Network, Ops
from vcn_trt.backends.cuda.capability import Capability
from vcn_trt.backends.cuda.device import CupyDevice
from vcn_trt.backends.cuda.kernels import Device
from vcn_trt.backends.cuda.lane import CupyLane, Lane
from vcn_trt.backends.cuda.nvdec import open_decoder_by
from vcn_trt.backends.cuda.ops import CudaOps
from vcn_trt.backends.cuda.upload import Uploader
from vcn_trt.errors import DeviceError

SHIM = "kernels on the CPU"
NVDEC = "kernels and NVDEC on the CPU"
COLUMNS = ["cpu", SHIM, pytest.param("cuda:0", marks=pytest.mark.gpu)]


@dataclass(frozen=True)
class Column:
    """A backend, and how the tests bring their own frames and arrays to it. device, lane: None of the CPU column."""

    backend: Backend
    device: Device | None = None
    lane: Lane | None = None

    @property
    def subsampling(self) -> int:
        """Levels that a smooth RGB picture can lose on its way to the column: 4:2:0 halves its colours' resolution."""
        return 0 if self.device is None else 4

    @property
    def ops(self) -> Ops:
        return self.backend.ops

    def frames(self, batch: FrameBatch) -> FrameBatch:
        """A batch of CpuFrames in the column's own form."""
        if self.lane is None:
            return batch
        return FrameBatch(Uploader(self.lane)(batch.pixels), batch.frame_indices, batch.seconds)

    def array(self, values: Any) -> Any:
        if self.device is None:
            return values
        with self.device.active():
            return self.device.xp.asarray(values)


def open_column(name: str) -> Column:
    if name in (SHIM, NVDEC):
        if reason := shim.missing():
            pytest.skip(reason)
        device = shim.ShimDevice()
        card = nvdec.card()
        if name == SHIM:
            card = card._replace(library=None, capability=Capability({}, 0, "there is none"))
        backend = Backend(name, "cpu", CudaOps(device), open_decoder_by(card), _no_network)
        return Column(backend, device, ShimLane())
    try:
        backend = backends.open(name)
    except DeviceError as error:
        if os.environ.get("VCN_REQUIRE_GPU") == "1":
            pytest.fail(f"{error}; VCN_REQUIRE_GPU=1 asks for it")
        pytest.skip(str(error))
    device = backend.ops.device if isinstance(backend.ops, CudaOps) else None
    return Column(backend, device, CupyLane(device) if isinstance(device, CupyDevice) else None)


def _no_network(path: Path) -> Network:
    raise NotImplementedError
