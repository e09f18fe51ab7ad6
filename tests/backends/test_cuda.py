"""Opening the CUDA column: what is missing is named with the command that mends it; torch's stream and pool are CuPy's.
Driver, torch and CuPy are stand-ins: none of this has met a card."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_trt import FakeTrt
from machines import BARE, WHOLE

from vcn_trt import backends
from vcn_trt.backends import cuda
from vcn_trt.backends.cuda import capability, device
from vcn_trt.backends.cuda.capability import Capability
from vcn_trt.backends.cuda.device import CupyDevice, TorchPool, card_of
from vcn_trt.backends.cuda.kernels import launch, source
from vcn_trt.backends.cuda.stack import Found
from vcn_trt.engine import compat
from vcn_trt.errors import DeviceError, ModelError

BLIND = replace(WHOLE, modules=WHOLE.modules - {"tensorrt"})
"""All but TensorRT."""


def test_a_device_is_a_number_of_a_card() -> None:
    assert (card_of("cuda"), card_of("cuda:3")) == (0, 3)
    for word in ("cuda:", "cuda:-1", "cuda:x", "cuda0"):
        with pytest.raises(DeviceError, match="expected auto, cpu, cuda or cuda:N"):
            card_of(word)


def test_an_explicit_device_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "look", lambda: BARE)
    with pytest.raises(DeviceError, match=r"device 'cuda:0' cannot be used: there is no NVIDIA driver.* --device cpu"):
        backends.open("cuda:0")
    with pytest.raises(DeviceError, match="unknown device 'tpu'"):
        backends.open("tpu")


@pytest.mark.parametrize(("found", "why"), [(BARE, "no NVIDIA driver"), (BLIND, "TensorRT is missing")])
def test_auto_takes_the_cpu_and_says_why(monkeypatch: pytest.MonkeyPatch, found: Found, why: str) -> None:
    monkeypatch.setattr(cuda, "look", lambda: found)
    backend = backends.open("auto")
    assert backend.name == "cpu"
    assert why in backend.description


def test_auto_takes_the_card_when_all_is_there(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "look", lambda: WHOLE)
    monkeypatch.setattr(cuda, "why_not", lambda card=0: "")
    monkeypatch.setattr(compat, "load", FakeTrt)
    monkeypatch.setattr(capability, "probe", lambda card: Capability({}, 7, ""))
    monkeypatch.setattr(capability, "load", lambda: None)
    backend = backends.open("auto")
    assert backend.name == "cuda:0"
    assert backend.description == "cuda:0, Fake 9000, 8 GiB, 7 NVDEC engines, TensorRT 11.4.0.106: chosen by auto"


def test_auto_takes_the_cpu_where_tensorrt_does_not_load(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise DeviceError("TensorRT is installed and does not load")

    monkeypatch.setattr(cuda, "look", lambda: WHOLE)
    monkeypatch.setattr(cuda, "why_not", lambda card=0: "")
    monkeypatch.setattr(compat, "load", broken)
    backend = backends.open("auto")
    assert backend.description == "cpu: chosen by auto; TensorRT is installed and does not load"
    with pytest.raises(DeviceError, match="does not load"):
        backends.open("cuda:0")


class FakeCard:
    """Torch and CuPy on a card that counts what is asked of it."""

    def __init__(self) -> None:
        self.memory: dict[int, int] = {}
        self.entered: list[str] = []
        self.compiled: list[str] = []
        self.launched: list[tuple[Any, ...]] = []
        self.torch = SimpleNamespace(
            cuda=SimpleNamespace(
                default_stream=lambda card: SimpleNamespace(cuda_stream=77 + card),
                get_device_properties=lambda card: SimpleNamespace(
                    name="Fake 9000", total_memory=8 << 30, major=9, minor=0
                ),
                caching_allocator_alloc=self._alloc,
                caching_allocator_delete=self.memory.pop,
                set_per_process_memory_fraction=lambda share, card: None,
            )
        )
        self.cupy = SimpleNamespace(
            cuda=SimpleNamespace(
                Stream=self._streams(),
                Device=lambda card: self._entering(f"card {card}"),
                using_allocator=lambda allocator: self._entering("torch's pool"),
                PythonFunctionAllocator=lambda malloc, free: SimpleNamespace(malloc=(malloc, free)),
            ),
            RawModule=self._module,
            asnumpy=np.array,
        )

    def _alloc(self, size: int, card: int, stream: int) -> int:
        self.memory[1000 + len(self.memory)] = size
        return 1000 + len(self.memory) - 1

    def _entering(self, what: str) -> AbstractContextManager[Any]:
        self.entered.append(what)
        return nullcontext()

    def _streams(self) -> Any:
        """CuPy's class: called for a stream of its own, `from_external` for another library's."""

        def made(non_blocking: bool) -> Any:
            return self._aside(non_blocking)

        made.from_external = lambda stream: self._stream(stream.__cuda_stream__()[1])  # type: ignore[attr-defined]
        return made

    def _stream(self, pointer: int) -> Any:
        entering = self._entering

        class Stream(nullcontext):  # type: ignore[type-arg]
            ptr = pointer
            synchronize = staticmethod(lambda: self.entered.append("waited"))

            def __enter__(self) -> Any:
                return entering(f"stream {pointer}")

        return Stream()

    def _aside(self, non_blocking: bool) -> Any:
        """A stream that can be captured; torch's default one cannot."""
        assert non_blocking, "it would wait for the default stream, and the capture would be refused"
        graph = SimpleNamespace(launch=lambda stream: self.launched.append(("graph", stream.ptr)))

        class Aside(nullcontext):  # type: ignore[type-arg]
            ptr = 5
            begin_capture = staticmethod(lambda: self.entered.append("capture"))
            end_capture = staticmethod(lambda: (self.entered.append("captured"), graph)[1])

        return Aside()

    def _module(self, code: str, options: tuple[str, ...]) -> Any:
        self.compiled.append(code)
        return SimpleNamespace(get_function=lambda name: lambda *call: self.launched.append((name, *call)))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeCard:
    fake = FakeCard()
    monkeypatch.setitem(sys.modules, "torch", fake.torch)
    monkeypatch.setitem(sys.modules, "cupy", fake.cupy)
    return fake


def test_arrays_and_kernels_use_torchs_stream_and_pool(card: FakeCard) -> None:
    with CupyDevice(1).active():
        assert card.entered == ["card 1", "stream 78", "torch's pool"]


def test_a_kernel_is_compiled_once_with_its_header_in_its_text(card: FakeCard) -> None:
    here = CupyDevice(0)
    for _ in range(2):
        boxes, keep = np.zeros((3, 4), np.float32), np.zeros(3, np.uint8)
        launch(here, "nms", (2,), (256,), boxes=boxes, offsets=np.array([0, 1, 3]), threshold=0.5, keep=keep)
    assert card.compiled == [source("nms")]
    (name, grid, block, values), _ = card.launched
    assert (name, grid, block) == ("nms", (2, 1, 1), (256, 1, 1))
    assert [v.dtype for v in values] == [np.float32, np.int64, np.float32, np.uint8]
    assert values[2] == np.float32(0.5)


def test_memory_comes_from_torch_and_goes_back(card: FakeCard) -> None:
    pool = TorchPool(card.torch, 77)
    address = pool.malloc(4096, 0)
    assert card.memory == {address: 4096}
    assert pool.malloc(0, 0) == 0
    pool.free(0, 0)
    pool.free(address, 0)
    assert card.memory == {}


def test_a_graph_is_captured_aside_and_launched_on_torchs_stream(card: FakeCard) -> None:
    here, streams = CupyDevice(1), []
    launch = here.capture(streams.append)
    assert (streams, card.entered, card.launched) == ([5], ["capture", "captured"], [])
    launch()
    here.wait()
    assert card.launched == [("graph", 78)]
    assert card.entered[-1] == "waited"
    assert here.stream == 78

    def breaks(stream: int) -> None:
        raise RuntimeError("operation not permitted")

    with pytest.raises(RuntimeError, match="not permitted"):
        here.capture(breaks)
    assert card.entered[-1] == "captured"  # a capture that is left open would take in what comes next


def test_the_column_opens_with_tensorrt(card: FakeCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda, "look", lambda: WHOLE)
    monkeypatch.setattr(capability, "probe", lambda card: Capability({}, 7, "" if card == 1 else "it is another"))
    monkeypatch.setattr(capability, "load", lambda: None)
    monkeypatch.setattr(compat, "load", FakeTrt)
    backend = backends.open("cuda:1")
    assert backend.streams == 7
    assert (backend.name, backend.torch_device, backend.identity) == ("cuda:1", "cuda:1", "cuda")
    assert backend.description == "cuda:1, Fake 9000, 8 GiB, 7 NVDEC engines, TensorRT 11.4.0.106: as asked"
    with pytest.raises(ModelError, match=r"model\.onnx is not a network that TensorRT can load"):
        backend.open_network(tmp_path / "model.onnx")


def test_without_tensorrt_it_decodes_and_computes_and_opens_no_network(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "look", lambda: BLIND)
    monkeypatch.setattr(capability, "probe", lambda card: Capability({}, 7, ""))
    monkeypatch.setattr(capability, "load", lambda: None)
    backend = backends.open("cuda:0")
    assert "no TensorRT: as asked" in backend.description
    with pytest.raises(DeviceError, match=r"model\.onnx cannot run on the card: TensorRT is missing; run "):
        backend.open_network(Path("model.onnx"))
    with pytest.raises(DeviceError, match=r"'cuda:0' cannot be used: TensorRT is missing"):
        cuda.open_card("cuda:0")


def test_cupy_has_the_names_that_are_used() -> None:
    cupy = pytest.importorskip("cupy", reason="no CuPy here", exc_type=ImportError)
    assert callable(cupy.RawModule)
    assert callable(cupy.asnumpy)
    for name in (
        *("Device", "using_allocator", "PythonFunctionAllocator"),
        *("Stream", "Event", "get_current_stream", "alloc_pinned_memory"),
    ):
        assert callable(getattr(cupy.cuda, name))
    for name in (
        "ascontiguousarray",
        "lexsort",
        "pad",
        "stack",
        "concatenate",
        "empty",
        "zeros",
        "arange",
        "asarray",
        "from_dlpack",
    ):
        assert callable(getattr(cupy, name))
    assert callable(cupy.from_dlpack)
    assert cupy.cuda.Stream.from_external(device._Foreign(0)).ptr == 0
    for name in ("copy_from_host_async", "copy_from_device_async"):
        assert callable(getattr(cupy.cuda.MemoryPointer, name))
    taken = cupy.cuda.PythonFunctionAllocator(lambda size, card: 0, lambda address, card: None)
    assert callable(taken.malloc)
