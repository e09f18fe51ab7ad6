"""Every name of TensorRT that the package uses is there in the bindings of the versions it is for."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from fake_bindings import BINDINGS, VERSIONS

import vcn_trt
from vcn_trt.engine import compat
from vcn_trt.errors import DeviceError

SOURCES = sorted(Path(vcn_trt.__file__).parent.glob("engine/*.py"))

OPTIONAL = {
    "EXPLICIT_BATCH": {"11", "rtx"},
    "STRONGLY_TYPED": {"8"},
    "FP16": {"11", "rtx"},
    "PROFILE_SHARING_0806": {"11", "rtx"},
    "progress_monitor": {"8"},
    "device_memory_size": {"11", "rtx"},
    "device_memory_size_v2": {"8", "10.0"},
    "USER_MANAGED": {"8"},
    "create_execution_context_without_device_memory": {"11", "rtx"},
    "set_device_memory": {"8", "10.0"},
    "get_weights_prototype": {"8"},
    "create_runtime_config": {"8", "10.0"},
    "set_execution_context_allocation_strategy": {"8", "10.0"},
    "dynamic_shapes_kernel_specialization_strategy": {"8", "10", "11"},
    "EAGER": {"8", "10", "11"},
    "REQUIRE_USER_ALLOCATION": {"8", "10", "11"},
}
"""Names that some versions lack: compat.py asks for them first."""

OBJECTS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "parser": "OnnxParser",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "made": "IExecutionContext",
    "refitter": "Refitter",
    "inspector": "EngineInspector",
    "flags": "NetworkDefinitionCreationFlag",
    "runtime": "Runtime",
    "settings": "IRuntimeConfig",
}
"""What the package calls each object of TensorRT."""


def used() -> set[tuple[str, str]]:
    """(class, attribute) of every use of an object, and of the enumerations of `trt`."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            value = node.value
            name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
            if name in OBJECTS:
                found.add((OBJECTS[name], node.attr))
            elif isinstance(value, ast.Attribute) and getattr(value.value, "id", "") == "trt" and name[0].isupper():
                found.add((name, node.attr))
    return found


def test_enough_uses_are_seen() -> None:
    seen = used()
    assert len(seen) > 40
    assert {("Builder", "build_serialized_network"), ("BuilderFlag", "REFIT"), ("TensorLocation", "DEVICE")} <= seen


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_that_is_used_is_there_or_asked_for(version: str) -> None:
    names = BINDINGS[version]
    missing = {
        attribute
        for kind, attribute in used()
        if attribute not in names.get(kind, ()) and not attribute.startswith("__")
    }
    assert missing <= {n for n, absent in OPTIONAL.items() if any(version.startswith(a) for a in absent)}


def test_a_machine_without_tensorrt_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "MODULES", ("tensorrt_that_is_not_here",))
    assert "run `" in compat.lacking("12.8")
    assert "-m pip install tensorrt-cu12`, or `" in compat.lacking("12.8")
    assert "tensorrt-rtx-cu13` for a GeForce RTX" in compat.lacking()
    with pytest.raises(DeviceError, match="TensorRT is missing; run `"):
        compat.load()


def test_a_tensorrt_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> ModuleType:
        raise ImportError("libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(DeviceError, match=r"does not load \(tensorrt: libnvinfer.so.11: .*--force-reinstall"):
        compat.load()


def test_tensorrt_goes_before_tensorrt_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    rtx, full = ModuleType("tensorrt_rtx"), ModuleType("tensorrt")
    rtx.__version__, full.__version__ = "1.7.1", "11.4"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", rtx)
    monkeypatch.setitem(sys.modules, "tensorrt", full)
    assert compat.title(compat.load()) == "TensorRT 11.4"
    monkeypatch.delitem(sys.modules, "tensorrt")
    monkeypatch.setattr(compat, "MODULES", ("tensorrt_that_is_not_here", "tensorrt_rtx"))
    assert compat.title(compat.load()) == "TensorRT-RTX 1.7.1"
    assert not compat.can_refit(compat.load())
