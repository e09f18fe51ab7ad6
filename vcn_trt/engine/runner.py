"""An engine that runs: named arrays in, named arrays out, any number of rows.

A batch is padded up to the next bucket of the recipe, and each bucket (and picture size) has its lane: an execution
context, inputs and outputs at fixed addresses, and the CUDA graph of one execution, captured after a first one by hand,
in which TensorRT sets up what it does once. All lanes share one block of scratch memory and one lock: there is one
stream, on which executions follow each other anyway, so a context a thread would cost memory and win nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from vcn_trt.backends.base import Array
from vcn_trt.card_errors import out_of_memory
from vcn_trt.engine import compat
from vcn_trt.engine.compat import Trt
from vcn_trt.engine.device import EngineDevice
from vcn_trt.engine.recipe import Recipe, Shape
from vcn_trt.errors import DeviceError, ModelError

LANES = 16
"""At most so many are kept; films of ever other sizes make no end of them."""

Say = Callable[[str], None]
"""Called with a sentence for a person."""


class Runner:
    """Calls may come from several threads. name: the network's, for messages."""

    def __init__(self, trt: Trt, engine: Any, recipe: Recipe, device: EngineDevice, name: str, say: Say) -> None:
        self._trt, self._engine, self._device, self._name, self._say = trt, engine, device, name, say
        tensors = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        is_input = [engine.get_tensor_mode(t) == trt.TensorIOMode.INPUT for t in tensors]
        self.inputs = [t for t, i in zip(tensors, is_input, strict=True) if i]
        self.outputs = [t for t, i in zip(tensors, is_input, strict=True) if not i]
        self._batched = "batch" in recipe.free
        self._buckets = recipe.buckets
        self._recipe = recipe
        self._lanes: OrderedDict[tuple[Shape, ...], _Lane] = OrderedDict()
        self._scratch: Array | None = None
        self._lock = threading.Lock()

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs of NumPy or CuPy, outputs of CuPy, on the one stream. Raises ModelError for an input that the engine
        does not take, DeviceError where the card cannot."""
        self._check(inputs)
        with self._lock, self._device.active():
            rows, start = int(inputs[self.inputs[0]].shape[0]), 0
            parts: list[dict[str, Array]] = []
            while start < rows or not parts:
                stop = start + self._buckets[-1] if self._batched else rows
                some = {name: array[start:stop] for name, array in inputs.items()}
                n = min(stop, rows) - start
                try:
                    parts.append(self._run(some, n))
                    start += n
                except Exception as error:
                    self._halve(n, error)
            if len(parts) == 1:
                return parts[0]
            return {name: self._device.xp.concatenate([p[name] for p in parts]) for name in self.outputs}

    def change(self, work: Callable[[Any], None]) -> None:
        """Do something to the engine while nothing runs on it. Contexts and graphs are made anew behind it."""
        with self._lock, self._device.active():
            self._forget()
            work(self._engine)

    def _forget(self) -> None:
        self._device.wait()  # what runs must not lose its context
        self._lanes.clear()

    def _run(self, inputs: Mapping[str, Array], rows: int) -> dict[str, Array]:
        lane = self._lane({name: tuple(map(int, inputs[name].shape)) for name in self.inputs})
        found = lane.run(inputs)
        # A copy: the lane's outputs are overwritten by its next call.
        return {name: (array[:rows] if self._batched else array).copy() for name, array in found.items()}

    def _lane(self, shapes: Mapping[str, Shape]) -> _Lane:
        padded = shapes
        if self._batched:
            padded = {k: (self._bucket(s[0]), *s[1:]) for k, s in shapes.items()}
        key = tuple(padded.values())
        if key not in self._lanes:
            if len(self._lanes) >= LANES:
                self._device.wait()
                self._lanes.popitem(last=False)
            lane = _Lane(self._context(), self._engine, self._trt, self._device, padded, self._name)
            lane.capture(self._say)
            self._lanes[key] = lane
        self._lanes.move_to_end(key)
        return self._lanes[key]

    def _context(self) -> Any:
        size = compat.scratch_bytes(self._engine)
        if self._scratch is None:
            self._scratch = self._device.xp.empty(max(size, 1), "uint8")
        context = compat.context(self._trt, self._engine, self._device.pointer(self._scratch), size)
        if context is None:
            raise DeviceError(f"TensorRT makes no execution context for {self._name}: is the card's memory full?")
        return context

    def _bucket(self, n: int) -> int:
        return next(b for b in self._buckets if b >= n)

    def _halve(self, n: int, error: Exception) -> None:
        """Out of memory at n rows: from now on in batches of the next smaller bucket. Raises what it is not."""
        smaller = [b for b in self._buckets if b < self._bucket(n)]
        if not out_of_memory(error):
            raise error
        if not smaller:
            raise DeviceError(
                f"the card's memory is too small for {self._name} even in batches of {self._buckets[0]}: see with "
                "`nvidia-smi` what else uses it, or run with --device cpu"
            ) from error
        self._forget()
        self._buckets = tuple(smaller)
        self._say(f"The card's memory is short: {self._name} goes on in batches of {smaller[-1]}")

    def _check(self, inputs: Mapping[str, Array]) -> None:
        if set(inputs) != set(self.inputs):
            raise ModelError(f"{self._name} takes {', '.join(self.inputs)}; found {', '.join(inputs) or 'nothing'}")
        first = 1 if self._batched else 0  # batches of any size are padded and split
        for name, array in inputs.items():
            smallest, _, largest = map(tuple, self._engine.get_tensor_profile_shape(name, 0))
            shape = tuple(map(int, array.shape))
            within = [a <= size <= b for a, size, b in zip(smallest, shape, largest, strict=False)]
            if len(shape) != len(largest) or not all(within[first:]):
                file = f"$VCN_HOME/engines/{self._recipe.name}.toml"
                raise ModelError(
                    f"input {name!r} of {self._name} is {shape}, and its engine takes {smallest} to {largest}: "
                    f"copy the recipe {self._recipe.name} to {file} and change its shapes there"
                )


class _Lane:
    """One padded shape: a context, its arrays, its graph."""

    def __init__(
        self, context: Any, engine: Any, trt: Trt, device: EngineDevice, shapes: Mapping[str, Shape], name: str
    ) -> None:
        self._context, self._device, self._name = context, device, name
        self._inputs: dict[str, Array] = {}
        self._outputs: dict[str, Array] = {}
        for tensor, shape in shapes.items():
            if not context.set_input_shape(tensor, shape):
                raise ModelError(f"the engine of {name} refuses {tensor!r} of shape {shape}: build it anew")
            self._inputs[tensor] = device.xp.zeros(shape, trt.nptype(engine.get_tensor_dtype(tensor)))
        for i in range(engine.num_io_tensors):
            tensor = engine.get_tensor_name(i)
            if tensor not in self._inputs:
                shape = tuple(map(int, context.get_tensor_shape(tensor)))
                if any(s < 0 for s in shape):
                    raise ModelError(f"output {tensor!r} of {name} has a size that depends on the data, found {shape}")
                self._outputs[tensor] = device.xp.zeros(shape, trt.nptype(engine.get_tensor_dtype(tensor)))
        for tensor, array in (self._inputs | self._outputs).items():
            context.set_tensor_address(tensor, device.pointer(array))
        self._launch: Callable[[], None] = lambda: self._enqueue(device.stream)

    def capture(self, say: Say) -> None:
        """Execute once by hand, then as a graph from now on."""
        self._launch()
        try:
            self._launch = self._device.capture(self._enqueue)
        except (RuntimeError, DeviceError) as error:  # of CUDA, and of TensorRT while it is captured
            say(f"{self._name} runs without a CUDA graph, a little slower: {error}")

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, buffer in self._inputs.items():
            array = self._device.xp.asarray(inputs[name])
            buffer[: len(array)] = array  # rows behind them hold what they held: they are not looked at
        self._launch()
        return self._outputs

    def _enqueue(self, stream: int) -> None:
        if not self._context.execute_async_v3(stream):
            raise DeviceError(f"TensorRT cannot run {self._name}: see that `nvidia-smi` still lists the card")
