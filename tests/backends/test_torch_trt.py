"""A base through torch-tensorrt, on a stand-in that behaves as the 2.14 wheel's MutableTorchTensorRTModule reads: it
compiles at the first call, refits at the first call after new weights, and compiles anew for a batch outside its range.
No torch-tensorrt has run."""

from __future__ import annotations

import copy
import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from made import projection

from vcn_trt import backends
from vcn_trt.backends.cuda.torch_trt import LARGEST, TorchTensorrtNetwork
from vcn_trt.embed import open_base
from vcn_trt.errors import DeviceError, ModelError, UsageError
from vcn_trt.zoo.base import FaceBase


class Mutable:
    """`off`: what its kernels add to everything. `broken`: what its refit raises."""

    built: ClassVar[list[Mutable]] = []
    off, broken = 0.0, None

    def __init__(self, pytorch_model: torch.nn.Module, *, device: Any = None, **settings: Any) -> None:
        assert not pytorch_model.training
        self.model, self.settings = pytorch_model, settings
        self.did: list[str] = []
        self.stale = False
        self.built.append(self)

    def set_expected_dynamic_shape_range(self, args: tuple[dict[int, Any], ...], kwargs: dict[str, Any]) -> None:
        ((axis, dim),) = args[0].items()
        assert axis == 0
        assert kwargs == {}
        self.range = dim.min, dim.max

    def load_state_dict(self, state: dict[str, Any], strict: bool = True, assign: bool = False) -> None:
        self.stale = True
        self.model.load_state_dict(state, strict=strict, assign=assign)

    def __call__(self, x: torch.Tensor) -> Any:
        if not self.did:
            self.engine = copy.deepcopy(self.model)
            self.did.append("compiled")
        elif not self.range[0] <= len(x) <= self.range[1]:
            self.did.append("compiled anew")
        elif self.stale:
            if self.broken:
                raise self.broken
            self.engine = copy.deepcopy(self.model)
            self.did.append("refitted")
        self.stale = False
        return tuple(y + self.off for y in self.engine(x))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[Mutable]:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", SimpleNamespace(MutableTorchTensorRTModule=Mutable))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(from_dlpack=np.from_dlpack))
    monkeypatch.setattr(Mutable, "off", 0.0)
    monkeypatch.setattr(Mutable, "broken", None)
    Mutable.built.clear()
    return Mutable


def crops(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 3, 112, 112)).astype(np.float32)


@torch.no_grad()
def by_torch(base: FaceBase, x: np.ndarray) -> np.ndarray:
    return base(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("n", [1, 2, 5, LARGEST + 1])
def test_any_batch_gives_both_outputs_and_compiles_nothing_again(n: int, library: type[Mutable]) -> None:
    base, x = projection(), crops(n)
    network = TorchTensorrtNetwork(base, "cpu")
    found = network({"input": x})
    np.testing.assert_allclose(found["embedding"], by_torch(base, x), atol=1e-5)
    assert found["features"].shape == (n, 3, 14, 14)
    assert library.built[0].did == ["compiled"]
    assert library.built[0].settings["autocast_low_precision_type"] is torch.float16


def test_refit_takes_weights_by_name_and_leaves_the_base_alone(library: type[Mutable]) -> None:
    base, x = projection(), crops(3)
    network, before = TorchTensorrtNetwork(base, "cpu"), by_torch(base, x)
    network.refit({"fc.weight": -base.fc.weight.detach()})
    assert library.built[0].did == ["compiled", "refitted"]
    np.testing.assert_allclose(network({"input": x})["embedding"], -before, atol=1e-5)
    np.testing.assert_array_equal(by_torch(base, x), before)


def test_refit_refuses_an_unknown_name_and_another_shape(library: type[Mutable]) -> None:
    network = TorchTensorrtNetwork(projection(), "cpu")
    with pytest.raises(ModelError, match="no weight 'v'"):
        network.refit({"v": np.zeros(3)})
    with pytest.raises(ModelError, match=r"shape \(128, 588\), the refit brings \(3,\)"):
        network.refit({"fc.weight": np.zeros(3)})


def test_a_refit_that_fails_is_a_models_error_but_for_memory(library: type[Mutable]) -> None:
    network, weights = TorchTensorrtNetwork(projection(), "cpu"), {"fc.weight": torch.zeros(128, 588)}
    library.broken = RuntimeError("engine is not refittable")
    with pytest.raises(ModelError, match=r"could not refit projection .*engine is not refittable"):
        network.refit(weights)
    library.broken = torch.cuda.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        network.refit(weights)


def test_what_is_far_from_torch_is_not_used(library: type[Mutable]) -> None:
    library.off = 10.0
    with pytest.raises(ModelError, match=r"cosine -?0\.\d+ with torch.*embed\.engine=backend"):
        TorchTensorrtNetwork(projection(), "cpu")


def test_without_the_library_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(from_dlpack=np.from_dlpack))
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(DeviceError, match=r"pip install 'torch-tensorrt==\d+\.\d+\.\*'"):
        TorchTensorrtNetwork(projection(), "cpu")


def test_on_a_cpu_it_is_a_wrong_option(weights_home: Any) -> None:
    with pytest.raises(UsageError, match="needs a card"):
        open_base("sface", backends.open("cpu"), "torch_tensorrt")
