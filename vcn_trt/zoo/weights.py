"""Weights of any kind of file into one of our modules, every tensor checked: by name where the file has our names,
else layer by layer in running order. A tensor that is missing, left over, of another shape or not finite is an error
that names it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vcn_trt.errors import ModelError
from vcn_trt.zoo import layers, tflite
from vcn_trt.zoo.layers import Layer

Rename = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""A checkpoint's published names to ours, without the tensors that are of no use here (class heads, text towers)."""

_WRAPPERS = ("", "module.", "model.", "backbone.", "visual.", "module.visual.", "module.model.")


def load_into(module: nn.Module, path: Path, rename: Rename | None = None) -> None:
    """Fill a module from an ONNX, TensorFlow Lite, safetensors or torch file, told apart by content. Raises
    ModelError."""
    head = _head(path)
    if head[4:8] == b"TFL3":
        state = align(module, tflite.read_layers(path), path)
    elif head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        state = by_name(module, _safetensors(path), path, rename)
    elif head[:2] == b"PK" or head[:1] == b"\x80":
        state = by_name(module, _torch_file(path), path, rename)
    else:
        model = layers.read_onnx(path)
        named = {i.name: i for i in model.graph.initializer}
        if set(_expected(module)) <= set(named):  # one of our own exports
            state = by_name(module, {k: torch.tensor(numpy_helper.to_array(v)) for k, v in named.items()}, path)
        else:
            state = align(module, layers.of_onnx(model), path)
    check_finite(state, path)
    module.load_state_dict(state, strict=True)


def by_name(
    module: nn.Module, tensors: Mapping[str, Tensor], path: Path, rename: Rename | None = None
) -> dict[str, Tensor]:
    """The module's state from tensors that carry its names, or published ones that `rename` knows."""
    expected = _expected(module)
    for wrapper in _WRAPPERS:
        stripped = {k.removeprefix(wrapper): v for k, v in tensors.items() if k.startswith(wrapper)}
        found = dict(rename(stripped)) if rename else stripped
        if any(name in found for name in expected):
            break
    state = {}
    for name, like in expected.items():
        if name not in found:
            raise _misfit(
                path,
                module,
                f"expected {name} of shape {tuple(like.shape)}, found no such name among {len(tensors)} tensors",
            )
        state[name] = _shaped(name, like, found[name], name, module, path)
    # Counters and graph constants are no layers; anything that looks like another layer's weights is refused.
    extra = [k for k, v in found.items() if k not in expected and v.ndim > 1]
    if extra:
        shape = tuple(found[extra[0]].shape)
        raise _misfit(path, module, f"found {extra[0]} of shape {shape} ({len(extra)} such), expected no such layer")
    return _with_counters(module, state)


def align(module: nn.Module, found: Sequence[Layer], path: Path) -> dict[str, Tensor]:
    """The module's state from a file's layers, matched in running order (the order in which `module` registers its
    own).

    A BatchNorm that an exporter folded into the layer before it becomes one that adds the folded bias alone: its
    scale is sqrt(var + eps) = sqrt(1 + eps), which its own division undoes."""
    state: dict[str, Tensor] = {}
    queue = list(found)
    folded: Tensor | None = None
    for name, ours in _weighted(module):
        own = {k: v for k, v in ours.state_dict().items() if k != "num_batches_tracked"}
        if _kind(ours) == "bn" and folded is not None:
            here, called = _bias_alone(ours, folded), f"the bias folded before {name}"
        else:
            source = _take(queue, name, ours, own, module, path)
            here, called = {k: torch.from_numpy(np.array(v)) for k, v in source.tensors.items()}, source.name
        for key, like in own.items():
            if key not in here:
                raise _misfit(
                    path, module, f"expected {name}.{key} of shape {tuple(like.shape)}, {called!r} has no {key}"
                )
            state[f"{name}.{key}"] = _shaped(f"{name}.{key}", like, here[key], called, module, path)
        # A bias that our layer has no place for holds the BatchNorm behind it, unless it was only spelt out as zeros.
        folded = here["bias"] if "bias" in here and "bias" not in own and bool(here["bias"].any()) else None
    homeless = [k for k in _expected(module) if k not in state]
    if homeless:
        raise _misfit(path, module, f"expected {homeless[0]}, which such a file gives no place: use a state_dict")
    if queue:
        raise _misfit(path, module, f"found {_describe(queue[0])} after the last layer, {len(queue)} are left over")
    return _with_counters(module, state)


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises ModelError for the first tensor that holds NaN or infinity."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"{path}: {name} holds {bad} NaN or infinite values: the file is damaged, use another copy"
            )


def _take(queue: list[Layer], name: str, ours: Any, own: Mapping[str, Tensor], module: nn.Module, path: Path) -> Layer:
    """The file's next layer, which must be of our kind."""
    kind, (key, like) = _kind(ours), next(iter(own.items()))
    if not queue or queue[0].kind != kind:
        found = _describe(queue[0]) if queue else "the end of the file"
        raise _misfit(path, module, f"expected {name}.{key} of shape {tuple(like.shape)} ({kind}), found {found}")
    layer = queue.pop(0)
    if kind == "bn" and abs(layer.eps - ours.eps) > 1e-9:
        raise _misfit(path, module, f"{name} expected epsilon {ours.eps:g}, found {layer.eps:g} in {layer.name!r}")
    return layer


def _describe(layer: Layer) -> str:
    return f"{layer.kind} {layer.name!r} of shape {layer.tensors['weight'].shape}"


def _misfit(path: Path, module: nn.Module, complaint: str) -> ModelError:
    return ModelError(f"{path} does not fit {type(module).__name__}: {complaint}. Give it the manifest it belongs to")


def _weighted(module: nn.Module) -> list[tuple[str, Any]]:
    return [(name, m) for name, m in module.named_modules() if _kind(m) is not None]


def _kind(module: nn.Module) -> str | None:
    if isinstance(module, nn.Conv2d):
        return "conv"
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return "bn"
    return "prelu" if isinstance(module, nn.PReLU) else "linear" if isinstance(module, nn.Linear) else None


def _bias_alone(bn: nn.BatchNorm1d | nn.BatchNorm2d, bias: Tensor) -> dict[str, Tensor]:
    ones = torch.ones(len(bias))
    scale = torch.sqrt(ones + bn.eps)
    return {"weight": scale, "bias": bias, "running_mean": ones * 0, "running_var": ones}


def _expected(module: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}


def _with_counters(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    counters = {k: v for k, v in module.state_dict().items() if k.endswith("num_batches_tracked")}
    return {**state, **counters}


def _shaped(name: str, like: Tensor, found: Tensor, called: str, module: nn.Module, path: Path) -> Tensor:
    if found.shape != like.shape:
        shapes = f"expected shape {tuple(like.shape)}, found {tuple(found.shape)} ({called!r} in the file)"
        raise _misfit(path, module, f"{name} {shapes}")
    return found.to(like.dtype)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror}") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ModelError(f"{path} is not a whole safetensors file: {error}") from error


def _torch_file(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            tree: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle fails in as many ways as it has bytes
        raise ModelError(
            f"{path} is not a torch file of plain tensors, or is damaged ({str(error)[:200]}): "
            f"save its state_dict as safetensors"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(tree, Mapping) and isinstance(tree.get(key), Mapping):
            tree = tree[key]
    if not isinstance(tree, Mapping):
        raise ModelError(f"{path} holds a {type(tree).__name__}: expected a state_dict")
    return {str(k): v for k, v in tree.items() if isinstance(v, Tensor)}
