"""A plan from a network: parsed, given the recipe's shapes, built by TensorRT. It takes seconds to minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vcn_trt.engine import compat, plans
from vcn_trt.engine.compat import Progress, Trt
from vcn_trt.engine.definition import Definition
from vcn_trt.errors import DeviceError, ModelError


def build(trt: Trt, definition: Definition, timings: Path | None, progress: Progress) -> bytes:
    """The serialised plan. timings: a file of earlier builds' timings on this card, which is brought up to date.

    Raises DeviceError where TensorRT finds no card to build for, ModelError where it cannot parse or build the network.
    """
    log = compat.logger(trt)
    builder = _builder(trt, log)
    network = _parsed(trt, builder, definition, log)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, definition.recipe.workspace_mib << 20)
    if definition.recipe.precision == "half":
        compat.allow_half(trt, config)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # whose ten bits are half's
    if definition.recipe.refit and compat.can_refit(trt):
        config.set_flag(trt.BuilderFlag.REFIT)
    compat.allow_capture(trt, config)
    _add_shapes(builder, network, config, definition)
    compat.share_profile(trt, config)
    monitor = compat.watch(trt, config, progress)
    kept = timings if compat.keeps_timings(trt) else None
    if kept is not None:
        _use_timings(config, kept)
    progress(f"Building {definition.name}", 0, 0)
    plan = builder.build_serialized_network(network, config)
    if monitor is not None and monitor.interrupt is not None:
        raise monitor.interrupt
    if plan is None:
        raise ModelError(
            f"TensorRT {trt.__version__} cannot build {definition.name}{compat.said(log)}; {_another_way(definition)}"
        )
    if kept is not None:
        plans.write(kept, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _builder(trt: Trt, log: Any) -> Any:
    try:
        return trt.Builder(log)
    except TypeError as error:  # what a null pointer becomes
        raise DeviceError(
            f"TensorRT {trt.__version__} finds no card to build for{compat.said(log)}; see that `nvidia-smi` lists one"
        ) from error


def _parsed(trt: Trt, builder: Any, definition: Definition, log: Any) -> Any:
    network = compat.network(trt, builder)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(definition.graph.SerializeToString()):
        nodes = definition.graph.graph.node
        said = []
        for error in (parser.get_error(i) for i in range(parser.num_errors)):
            where = f"{nodes[error.node()].op_type}: " if 0 <= error.node() < len(nodes) else ""
            said.append(where + str(error.desc()).strip())
        raise ModelError(
            f"TensorRT {trt.__version__} cannot parse {definition.name}: {'; '.join(said) or 'it does not say why'}. "
            "Run with --device cpu, or export the network for another opset"
        )
    return network


def _add_shapes(builder: Any, network: Any, config: Any, definition: Definition) -> None:
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        profile.set_shape(tensor.name, *definition.recipe.shapes(tuple(tensor.shape)))
    if config.add_optimization_profile(profile) < 0:
        raise ModelError(
            f"TensorRT takes no shapes of the recipe {definition.recipe.name} for {definition.name}: "
            f"{definition.recipe}; change them in $VCN_HOME/engines/{definition.recipe.name}.toml"
        )


def _use_timings(config: Any, path: Path) -> None:
    """Earlier timings, or none where the file is of another card or damaged: they only save time."""
    before = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(before)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _another_way(definition: Definition) -> str:
    if definition.recipe.precision == "half":
        return f"try {definition.in_float32}, or run with --device cpu"
    return "run with --device cpu, or give TensorRT more room (workspace_mib of the recipe)"
