"""The half of the fake TensorRT that runs: plans, contexts and refit. ONNX Runtime executes, at the addresses that were
set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from fake_bindings import Bound, Script
from fake_card import FakeCard, at_address
from onnx import numpy_helper

HEAD = b"plan of "


class IHostMemory(bytes):
    """Serialised plans and caches."""


class Runtime(Bound):
    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        head, _, model = plan.partition(b"\n")
        facts = json.loads(head.removeprefix(HEAD)) if head.startswith(HEAD) else {"version": "none"}
        if "deserialise" in self._trt.script.fails or facts["version"] != self._trt.__version__:
            self._logger.log(1, f"the plan is of version {facts['version']}")
            return None
        return self._trt._new(ICudaEngine, facts, onnx.load_model_from_string(model))


class ICudaEngine(Bound):
    def __init__(self, facts: dict[str, Any], model: onnx.ModelProto) -> None:
        self._facts, self._model, self._noise = facts, model, self._trt.script.noise
        self._values = [*model.graph.input, *model.graph.output]
        self._session: Any = None
        self._taken = False

    @property
    def num_io_tensors(self) -> int:
        return len(self._values)

    @property
    def device_memory_size(self) -> int:
        return 1024

    device_memory_size_v2 = device_memory_size

    @property
    def refittable(self) -> bool:
        return bool(self._facts["refit"])

    def get_tensor_name(self, i: int) -> str:
        return str(self._values[i].name)

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._trt.TensorIOMode
        return modes.INPUT if name in {i.name for i in self._model.graph.input} else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self._trt.DataType.FLOAT

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return self._facts["profile"][name]

    def create_execution_context(self, how: Any = None) -> Any:
        """A strategy, or RTX's config. Without one it would take memory of its own: ours never does."""
        rtx = self._trt.__name__ == "tensorrt_rtx"
        strategy = how._strategy if rtx else how
        assert strategy == self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if rtx:
            specialised = how.dynamic_shapes_kernel_specialization_strategy
            assert specialised == self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
        return self._context()

    def create_runtime_config(self) -> Any:
        return self._trt._new(IRuntimeConfig)

    def create_execution_context_without_device_memory(self) -> Any:
        return self._context()

    def serialize(self) -> bytes:
        return IHostMemory(HEAD + json.dumps(self._facts).encode() + b"\n" + self._model.SerializeToString())

    def create_engine_inspector(self) -> Any:
        return self._trt._new(EngineInspector, self)

    def _context(self) -> Any:
        self._trt.script.contexts += 1
        return None if "context" in self._trt.script.fails else self._trt._new(IExecutionContext, self)

    def _run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if self._session is None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(
                self._model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        names = [o.name for o in self._model.graph.output]
        rng = np.random.default_rng(0)
        found = self._session.run(None, dict(inputs))
        return {
            n: v + self._noise * rng.normal(size=v.shape).astype(v.dtype) for n, v in zip(names, found, strict=True)
        }


class IRuntimeConfig(Bound):
    _strategy = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self._strategy = strategy


class EngineInspector(Bound):
    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def get_engine_information(self, form: Any) -> str:
        return json.dumps({"Layers": [n.name or n.op_type for n in self._engine._model.graph.node]})


class IExecutionContext(Bound):
    def __init__(self, engine: Any) -> None:
        self._engine, self._shapes, self._addresses, self._memory, self._ran = engine, {}, {}, 0, False
        # 8.6 gives the first context the profile by itself, later versions give it to each.
        old = self._trt.__version__.startswith("8.")
        self.active_optimization_profile = -1 if old and engine._taken else 0
        engine._taken = True

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        if not self._engine._facts["shared"]:
            return False
        self.active_optimization_profile = profile
        return True

    def set_device_memory(self, address: int, size: int) -> None:
        assert size >= 1024
        self._memory = address

    @property
    def device_memory(self) -> int:
        raise AttributeError("it can be set, not read")

    @device_memory.setter
    def device_memory(self, address: int) -> None:
        self._memory = address

    def set_input_shape(self, name: str, shape: Any) -> bool:
        smallest, _, largest = self._engine._facts["profile"][name]
        self._shapes[name], self._ran = tuple(shape), False
        return self.active_optimization_profile == 0 and all(
            a <= s <= b for s, a, b in zip(shape, smallest, largest, strict=True)
        )

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        inputs = {k: np.zeros(s, np.float32) for k, s in self._shapes.items()}
        return tuple(self._engine._run(inputs)[name].shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        script: Script = self._trt.script
        if "execute" in script.fails or ("capture" in script.fails and stream == FakeCard.ASIDE):
            return False
        assert self._memory, "no scratch memory"
        where, shapes, session = dict(self._addresses), dict(self._shapes), self._engine._session

        def work() -> None:
            assert session is None or self._engine._session is session, "the graph is of weights that were replaced"
            script.executed.append(tuple(shapes.values()))
            found = self._engine._run({k: at_address(where[k], s, np.float32).copy() for k, s in shapes.items()})
            for name, value in found.items():
                at_address(where[name], value.shape, value.dtype)[...] = value

        if stream == FakeCard.ASIDE:
            if not self._ran:
                raise RuntimeError("operation not permitted when stream is capturing")
            FakeCard.recorded.append(work)
        else:
            self._ran = True
            work()
        return True


class Refitter(Bound):
    def __init__(self, engine: Any, logger: Any) -> None:
        if not engine.refittable:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._engine, self._logger, self._new = engine, logger, {}
        self._known = {i.name: i for i in engine._model.graph.initializer}

    def get_all_weights(self) -> list[str]:
        lost = next(iter(self._known)) if "names" in self._trt.script.fails else ""
        return [name for name in self._known if name != lost] + ["/Constant_5_output_0"]

    def get_weights_prototype(self, name: str) -> Any:
        raise NotImplementedError

    def set_named_weights(self, name: str, weights: Any, location: Any = None) -> bool:
        if name in self._known:
            like = numpy_helper.to_array(self._known[name])
            if weights.size != like.size or weights.dtype != like.dtype or "weights" in self._trt.script.fails:
                self._logger.log(1, f"{name}: {weights.size} of {weights.dtype}, expected {like.size} of {like.dtype}")
                return False
        self._new[name] = weights
        return name in self._known or name in self._trt.script.merged

    def get_missing_weights(self) -> list[str]:
        return [name for name in self._trt.script.merged if name not in self._new]

    def refit_cuda_engine(self) -> bool:
        script: Script = self._trt.script
        if "refit" in script.fails:
            self._logger.log(1, "refit failed")
            return False
        for name, value in self._new.items():
            if name in self._known:
                dims = tuple(self._known[name].dims)
                self._known[name].CopyFrom(numpy_helper.from_array(np.array(value).reshape(dims), name))
        self._engine._session, self._engine._noise = None, script.noise_after_refit
        script.refits += 1
        return True
