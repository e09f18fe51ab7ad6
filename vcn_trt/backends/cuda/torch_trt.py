"""A face-ID base compiled by torch-tensorrt, straight from torch: what `embed.engine=torch_tensorrt` puts in the place
of the engine that is built of its ONNX file. Weights are refitted by the library itself."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vcn_trt.backends.base import Array
from vcn_trt.card_errors import first_line, out_of_memory
from vcn_trt.errors import DeviceError, ModelError
from vcn_trt.zoo.base import Both, FaceBase

SMALLEST, LARGEST = 2, 256
"""The batches that it is compiled for: torch.export takes a batch of 1 for a constant."""

COSINE = 0.999
"""The least cosine with torch's float32."""


class TorchTensorrtNetwork:
    """`Network` of a base on a card. Calls may overlap from several threads; one at a time runs.

    It is compiled at once and in every process: nothing is kept. Raises DeviceError where torch-tensorrt is not
    installed, ModelError where what it compiled is far from torch.
    """

    input_names: Sequence[str] = ("input",)
    output_names: Sequence[str] = ("embedding", "features")

    def __init__(self, base: FaceBase, device: str) -> None:
        library, self._from_dlpack = _libraries()
        self._name, self._device, self._lock = base.manifest.name, torch.device(device), threading.Lock()
        self._shapes = {k: tuple(v.shape) for k, v in base.state_dict().items()}
        base = copy.deepcopy(base).eval().requires_grad_(False).to(self._device)
        size = base.manifest.input_size
        self._eager = copy.deepcopy(base)
        noise = torch.randn(SMALLEST, 3, size, size, generator=torch.Generator().manual_seed(0)).to(self._device)
        self._sample = noise / 2
        self._module = library.MutableTorchTensorRTModule(
            Both(base).eval(),
            device=self._device,
            min_block_size=1,
            enable_autocast=True,
            autocast_low_precision_type=torch.float16,
        )
        batch = torch.export.Dim("batch", min=SMALLEST, max=LARGEST)
        self._module.set_expected_dynamic_shape_range(({0: batch},), {})
        self._hold(self._sample)

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        x = torch.as_tensor(inputs["input"], device=self._device)
        parts = [self._run(x[i : i + LARGEST]) for i in range(0, len(x), LARGEST)]
        named = zip(self.output_names, map(torch.cat, zip(*parts, strict=True)), strict=True)
        return {name: self._from_dlpack(found) for name, found in named}

    def refit(self, weights: Mapping[str, NDArray[Any]]) -> None:
        for name, value in weights.items():
            if name not in self._shapes:
                raise ModelError(f"{self._name} has no weight {name!r}; known are those of its state_dict")
            if tuple(value.shape) != self._shapes[name]:
                found, expected = tuple(value.shape), self._shapes[name]
                raise ModelError(f"weight {name!r} of {self._name} has shape {expected}, the refit brings {found}")
        with self._lock:
            self._module.load_state_dict({f"base.{k}": torch.as_tensor(v) for k, v in weights.items()}, strict=False)
            self._eager.load_state_dict({k: torch.as_tensor(v) for k, v in weights.items()}, strict=False)
        try:
            self._run(self._sample)  # the library refits at the next call: here, where it can still be told
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            raise ModelError(f"torch-tensorrt could not refit {self._name} ({first_line(error)})") from error

    def proven_on(self, inputs: Mapping[str, Array]) -> bool:
        self._hold(torch.as_tensor(inputs["input"], device=self._device))
        return True

    @torch.no_grad()
    def _hold(self, x: Tensor) -> None:
        """To torch's float32. Raises ModelError."""
        cosine = float(functional.cosine_similarity(self._run(x)[0], self._eager(x), dim=1).min())
        if not cosine >= COSINE:
            raise ModelError(
                f"what torch-tensorrt made of {self._name} has cosine {cosine:.5f} with torch, expected {COSINE} or "
                "more: run with --set embed.engine=backend"
            )

    @torch.no_grad()
    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n = len(x)
        padded = x if n >= SMALLEST else x.repeat(SMALLEST, 1, 1, 1)
        with self._lock:
            embedding, features = self._module(padded.contiguous())
        return embedding[:n].float(), features[:n].float()


def _libraries() -> tuple[Any, Any]:
    """torch-tensorrt, and what makes a CuPy array of a tensor where it lies."""
    try:
        import cupy
        import torch_tensorrt  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        version = ".".join(torch.__version__.split(".")[:2])
        raise DeviceError(
            f"embed.engine=torch_tensorrt cannot be used ({error}): run `{sys.executable} -m pip install "
            f"'torch-tensorrt=={version}.*'`, which is of this torch, or leave embed.engine at backend"
        ) from error
    return torch_tensorrt, cupy.from_dlpack
