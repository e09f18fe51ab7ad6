"""The differences between TensorRT 8.6, 10, 11 and TensorRT-RTX, all of them here. The rest of the package keeps to
what the four share, as far as their Python bindings show (tests/engine/bindings.json).

    8.6  networks of an explicit batch by a flag; half precision must be allowed by a flag; a profile serves several
         contexts by a preview feature; weights of a refit from host memory alone; no progress monitor
    10   strongly typed by a flag; weights from device memory; scratch memory has a second size function from 10.1 on
    11   explicit batch and the precision flags are gone
    RTX  a module of its own; no refit; no timing cache: kernels are compiled on the card, for each shape, which a CUDA
         graph has to wait for
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from vcn_trt.backends.base import Array
from vcn_trt.errors import DeviceError

MODULES = ("tensorrt", "tensorrt_rtx")

Trt = Any
"""The module: tensorrt or tensorrt_rtx."""

Progress = Callable[[str, int, int], None]
"""Called with a phase of the build, its steps that are done, and how many there are."""


def install(cuda: str | None = None) -> str:
    """The command that brings TensorRT. cuda: the version that torch was built for."""
    return f"{sys.executable} -m pip install tensorrt-cu{(cuda or '13').split('.')[0]}"


def lacking(cuda: str | None = None) -> str:
    """Why there is no TensorRT and the command that brings it, or ""."""
    if any(importlib.util.find_spec(name) for name in MODULES):
        return ""
    rtx = install(cuda).replace("tensorrt-", "tensorrt-rtx-")
    return f"TensorRT is missing; run `{install(cuda)}`, or `{rtx}` for a GeForce RTX or RTX PRO card"


def load() -> Trt:
    """TensorRT, else TensorRT-RTX. Raises DeviceError where neither is there or loads."""
    problems = []
    for name in MODULES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                problems.append(f"{name}: {error}")
        except Exception as error:  # a library that is missing, of another CUDA, or too new for the driver
            problems.append(f"{name}: {error}")
    if not problems:
        raise DeviceError(lacking())
    raise DeviceError(
        f"TensorRT is installed and does not load ({'; '.join(problems)}); `{install()} --force-reinstall` brings its "
        "libraries, `nvidia-smi` shows whether the driver is there"
    )


def is_rtx(trt: Trt) -> bool:
    return "rtx" in str(trt.__name__)


def title(trt: Trt) -> str:
    """ "TensorRT 11.4.0.106": plans are of one version."""
    return f"{'TensorRT-RTX' if is_rtx(trt) else 'TensorRT'} {trt.__version__}"


def serves(trt: Trt, capability: str) -> bool:
    """Whether plans run on a card of this compute capability: TensorRT-RTX is for 7.5, 8.6, 8.9 and 12.x."""
    return not is_rtx(trt) or capability in ("7.5", "8.6", "8.9") or capability.startswith("12.")


def can_refit(trt: Trt) -> bool:
    return not is_rtx(trt)


def keeps_timings(trt: Trt) -> bool:
    return not is_rtx(trt)


def logger(trt: Trt) -> Any:
    """A logger that keeps what TensorRT says of errors in `errors`, to be quoted."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.ERROR):
                self.errors.append(str(message))

    return Logger()


def said(logger: Any) -> str:
    """The last error that a logger kept, in brackets behind a sentence, or ""."""
    return f" ({logger.errors[-1].strip()})" if logger.errors else ""


def network(trt: Trt, builder: Any) -> Any:
    """An empty network in which the graph's own types hold."""
    flags = trt.NetworkDefinitionCreationFlag
    flag = getattr(flags, "STRONGLY_TYPED", None)
    return builder.create_network(1 << int(flags.EXPLICIT_BATCH if flag is None else flag))


def allow_half(trt: Trt, config: Any) -> None:
    """8.6 has no strong typing: half precision must be allowed. The graph's Casts still say where it is meant."""
    if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        config.set_flag(trt.BuilderFlag.FP16)


def allow_capture(trt: Trt, config: Any) -> None:
    """RTX captures as a CUDA graph only what takes all its memory from us. The others always can."""
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)


def share_profile(trt: Trt, config: Any) -> None:
    """8.6 lets one profile serve several contexts only where that is asked for; later versions always do."""
    if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)


def watch(trt: Trt, config: Any, progress: Progress) -> Any:
    """Report the build's phases. -> the monitor, to be kept as long as the config, with the interrupt that ended the
    build in `interrupt`; None of 8.6, which has no such thing."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Calls come from several threads; only the outermost phase is reported, whose steps are the build's."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupt: BaseException | None = None
            self._outermost: tuple[str, int] | None = None

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self._outermost = name, steps
                self._tell(0)

        def step_complete(self, name: str, step: int) -> bool:
            if self._outermost and name == self._outermost[0]:
                self._tell(step + 1)
            return self.interrupt is None

        def _tell(self, done: int) -> None:
            # No exception may pass through TensorRT's own threads: the build is told to end, and then it is raised.
            try:
                if self._outermost:
                    progress(self._outermost[0], done, self._outermost[1])
            except BaseException as error:
                self.interrupt = error

        def phase_finish(self, name: str) -> None:
            if self._outermost and name == self._outermost[0]:
                self._outermost = None

    config.progress_monitor = Monitor()
    return config.progress_monitor


def scratch_bytes(engine: Any) -> int:
    """Memory that an execution needs beside its inputs and outputs, at the largest shapes of the profile."""
    size = getattr(engine, "device_memory_size_v2", None)
    return int(engine.device_memory_size if size is None else size)


def context(trt: Trt, engine: Any, scratch: int, size: int) -> Any:
    """An execution context on scratch memory of ours: address and bytes. None where TensorRT makes none."""
    if not hasattr(trt, "ExecutionContextAllocationStrategy"):
        made = engine.create_execution_context_without_device_memory()
        if made is not None and made.active_optimization_profile != 0:  # only the first has it by itself
            made.set_optimization_profile_async(0, 0)
    elif is_rtx(trt):
        # A graph must hold the kernels of its shape, not those that stand in while they are compiled.
        settings = engine.create_runtime_config()
        settings.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        settings.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        made = engine.create_execution_context(settings)
    else:
        made = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    if made is not None and size:
        if hasattr(made, "set_device_memory"):
            made.set_device_memory(scratch, size)
        else:
            made.device_memory = scratch
    return made


def takes_device_weights(trt: Trt) -> bool:
    """8.6 refits from host memory alone."""
    return hasattr(trt.Refitter, "get_weights_prototype")


def set_weights(trt: Trt, refitter: Any, name: str, values: Array, address: int) -> bool:
    """Give a refit one weight: on the card where `takes_device_weights`, at this address, else a NumPy array. `values`
    must live until the refit is done."""
    if not takes_device_weights(trt):
        return bool(refitter.set_named_weights(name, trt.Weights(values)))
    dtype = trt.DataType.HALF if values.dtype == np.float16 else trt.DataType.FLOAT
    weights = trt.Weights(dtype, address, values.size)
    return bool(refitter.set_named_weights(name, weights, trt.TensorLocation.DEVICE))
