"""TensorRT without a card, one module a version: what its documentation says of builder, parser, plans, contexts and
refit, and no name that the real bindings of the version lack. A script says what goes wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from fake_bindings import BINDINGS, Bound, BoundType, Enum, Script, enumeration
from fake_card import at_address
from fake_engine import HEAD, IHostMemory, Refitter, Runtime
from onnx import TensorProto


class Logger:
    """`ILogger`, to be subclassed."""

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = map(Enum, range(5))

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


class Monitor:
    """`IProgressMonitor`, to be subclassed."""


class FakeTrt:
    """The module of one version."""

    def __init__(self, version: str = "11.4.0.106", script: Script | None = None) -> None:
        self._names = BINDINGS[version]
        self.script = script or Script()
        self.__version__ = version.removeprefix("rtx ")
        self.__name__ = "tensorrt_rtx" if version.startswith("rtx") else "tensorrt"
        self.ILogger = Logger
        for name in ("NetworkDefinitionCreationFlag", "BuilderFlag", "MemoryPoolType", "TensorIOMode", "DataType"):
            setattr(self, name, enumeration(self._names[name]))
        for name in (
            *("TensorLocation", "ExecutionContextAllocationStrategy", "LayerInformationFormat"),
            *("DynamicShapesKernelSpecializationStrategy", "PreviewFeature"),
        ):
            if name in self._names:
                setattr(self, name, enumeration(self._names[name]))
        if "IProgressMonitor" in self._names:
            self.IProgressMonitor = Monitor
        for kind in (Builder, OnnxParser, Runtime, Refitter):
            setattr(self, kind.__name__, self._of_version(kind))

    def Weights(self, *given: Any) -> Any:
        """A NumPy array, or type, address and count where the version has it."""
        if len(given) == 3:
            if "(ptr)" not in self._names["Weights"]:
                raise TypeError("incompatible constructor arguments")
            kind = np.float16 if given[0] == self.DataType.HALF else np.float32
            return at_address(given[1], (given[2],), kind)
        return given[0]

    def nptype(self, dtype: Any) -> Any:
        return {"FLOAT": np.float32, "HALF": np.float16}[dtype.name]

    def _of_version(self, kind: type) -> Any:
        return BoundType(kind.__name__, (kind,), {"_trt": self})

    def _new(self, kind: type, *given: Any) -> Any:
        return self._of_version(kind)(*given)


class Builder(Bound):
    def __init__(self, logger: Any) -> None:
        if "no card" in self._trt.script.fails:
            logger.log(1, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    def create_network(self, flags: int = 0) -> Any:
        known = self._trt.NetworkDefinitionCreationFlag
        explicit = getattr(known, "EXPLICIT_BATCH", None)
        strong = getattr(known, "STRONGLY_TYPED", None)
        strongly = strong is not None and bool(flags >> strong & 1)
        assert strongly or (explicit is not None and flags >> explicit & 1), "a network of an implicit batch"
        return self._trt._new(INetworkDefinition, strongly)

    def create_builder_config(self) -> Any:
        return self._trt._new(IBuilderConfig)

    def create_optimization_profile(self) -> Any:
        return self._trt._new(IOptimizationProfile)

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        script, flags = self._trt.script, self._trt.BuilderFlag
        model: onnx.ModelProto = network._model
        half = any(i.data_type == TensorProto.FLOAT16 for i in model.graph.initializer)
        refused = ""
        if half and not network._strongly and getattr(flags, "FP16", None) not in config._flags:
            refused = "half precision is not allowed"
        if flags.REFIT in config._flags and self._trt.__name__ == "tensorrt_rtx":
            refused = "REFIT is not supported"
        if "build" in script.fails:
            refused = "Could not find any implementation for node conv1"
        monitor = getattr(config, "progress_monitor", None) if "IProgressMonitor" in self._trt._names else None
        for step in range(2) if monitor else ():
            if step == 0:
                monitor.phase_start("Building engine", None, 2)
                monitor.phase_start("Timing tactics", "Building engine", 9)
                monitor.step_complete("Timing tactics", 0)
            if not monitor.step_complete("Building engine", step):
                return None
        if refused:
            self._logger.log(1, refused)
            return None
        if monitor:
            monitor.phase_finish("Building engine")
        script.built += 1
        profile = config._profiles[0]
        # One profile serves several contexts since 10, and in 8.6 where that was asked for.
        shared = not self._trt.__version__.startswith("8.") or "PROFILE_SHARING_0806" in config._preview
        refit = flags.REFIT in config._flags
        head = {"version": self._trt.__version__, "profile": profile, "refit": refit, "shared": shared}
        return IHostMemory(HEAD + json.dumps(head).encode() + b"\n" + model.SerializeToString())


class INetworkDefinition(Bound):
    def __init__(self, strongly: bool) -> None:
        self._strongly, self._model = strongly, onnx.ModelProto()

    @property
    def num_inputs(self) -> int:
        return len(self._model.graph.input)

    def get_input(self, i: int) -> Any:
        value = self._model.graph.input[i]
        return type("ITensor", (), {"name": value.name, "shape": shape_of(value)})()


class OnnxParser(Bound):
    def __init__(self, network: Any, logger: Any) -> None:
        self._network, self._errors = network, 0

    def parse(self, model: bytes) -> bool:
        if "parse" in self._trt.script.fails:
            self._errors = 1
            return False
        self._network._model = onnx.load_model_from_string(model)
        return True

    @property
    def num_errors(self) -> int:
        return self._errors

    def get_error(self, i: int) -> Any:
        return type("ParserError", (), {"node": lambda s: 0, "desc": lambda s: "In node 0: unsupported padding"})()


class IBuilderConfig(Bound):
    def __init__(self) -> None:
        self._flags: set[int] = set()
        self._preview: set[str] = set()
        self._profiles: list[Any] = []
        self._cache: Any = None

    def set_flag(self, flag: int) -> None:
        self._flags.add(flag)

    def clear_flag(self, flag: int) -> None:
        self._flags.discard(flag)

    def set_preview_feature(self, feature: Any, on: bool) -> None:
        self._preview |= {feature.name} if on else set()

    def set_memory_pool_limit(self, pool: int, size: int) -> None:
        assert size > 0

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile._shapes)
        return -1 if "profile" in self._trt.script.fails else 0

    def create_timing_cache(self, content: bytes) -> Any:
        return None if content[:7] not in (b"", b"timings") else self._trt._new(ITimingCache, content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._cache


class ITimingCache(Bound):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> bytes:
        return b"timings" + self._content[7:] + b"."


class IOptimizationProfile(Bound):
    def __init__(self) -> None:
        self._shapes: dict[str, Any] = {}

    def set_shape(self, name: str, smallest: Any, tuned: Any, largest: Any) -> None:
        assert all(a <= b <= c for a, b, c in zip(smallest, tuned, largest, strict=True))
        self._shapes[name] = [smallest, tuned, largest]


def shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)
