"""A card that is not there: tensors that say they are on "cuda" and keep their numbers on the host. What torch refuses
on a card is refused here (tensors of two devices in one call, `.numpy()`), and what makes the host wait is counted.

Nothing of it is CUDA: no stream, no kernel, no memory. It shows where tensors live and when the host would wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map_only

from vcn_trt.adapt.augment import _resampling

CUDA = torch.device("cuda", 0)
_WAITS = {"aten::_local_scalar_dense": "item", "aten::nonzero": "nonzero", "aten::equal": "equal"}


class OnCard(torch.Tensor):
    """`held`: its numbers. C++ takes it for a tensor of the host, so that autograd runs on a build without CUDA."""

    waits: ClassVar[Counter[str]] = Counter()
    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnCard:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="cpu", requires_grad=held.requires_grad
        )
        made.held = held.detach()
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    def __deepcopy__(self, memo: dict[int, Any]) -> OnCard:
        copied = OnCard(self.held.clone()).requires_grad_(self.requires_grad)
        if hasattr(self, "_is_param"):
            copied._is_param = True
        memo[id(self)] = copied
        return copied

    def numpy(self, *args: Any, **options: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        if name in ("aten::index", "aten::index_put_"):  # the one call that takes indices of the host, and moves them
            args = (args[0], [_moved(i, CUDA, None, False, None) if i is not None else i for i in args[1]], *args[2:])
        given = [t for t in tree_flatten((args, kwargs or {}))[0] if isinstance(t, torch.Tensor)]
        if strangers := [t for t in given if not isinstance(t, OnCard) and t.dim() > 0]:
            raise RuntimeError(f"{func}: expected all tensors on cuda:0, found {tuple(strangers[0].shape)} on the cpu")
        if name in _WAITS:
            cls.waits[_WAITS[name]] += 1
        if name == "aten::index" and any(t.dtype in (torch.bool, torch.uint8) for t in given[1:]):
            cls.waits["nonzero"] += 1
        found = func(*_held(args), **_held(kwargs or {}))
        into = {id(t.held): t for t in given if isinstance(t, OnCard)}  # an operation in place returns its own tensor
        return tree_map_only(torch.Tensor, lambda t: into[id(t)] if id(t) in into else OnCard(t), found)


def _held(tree: Any) -> Any:
    return tree_map_only(OnCard, lambda t: t.held, tree)


class _Moves(TorchFunctionMode):
    """Makes tensors on the card, and moves them there and back."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        target = kwargs.get("device")
        if func is torch.Tensor.cpu:
            return _to_host(args[0])
        if func is torch.Tensor.to:
            device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args[1:], **kwargs)
            return _moved(args[0], device, dtype, non_blocking, layout)
        if target is not None and torch.device(target).type == "cuda":
            return OnCard(func(*args, **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)


def _to_host(tensor: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, OnCard):
        OnCard.waits["to the host"] += 1
        return tensor.held.clone()
    return tensor


def _moved(tensor: torch.Tensor, device: Any, dtype: Any, non_blocking: bool, layout: Any) -> torch.Tensor:
    """`tensor.to(device, dtype, non_blocking, memory_format=layout)`"""
    if device is not None and device.type == "cuda" and not isinstance(tensor, OnCard):
        OnCard.waits["to the card"] += not non_blocking
        tensor = OnCard(tensor.detach().clone())
    elif device is not None and device.type == "cpu":
        tensor = _to_host(tensor)
    with torch._C.DisableTorchFunction():
        return torch.Tensor.to(tensor, dtype or tensor.dtype, memory_format=layout or torch.preserve_format)


@contextmanager
def a_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """ "cuda" can be used inside. -> how often the host waited, by cause."""
    monkeypatch.setattr(torch, "autocast", lambda *args: nullcontext())
    # Written in C++, the original takes these tensors for the host's.
    monkeypatch.setattr(
        "torch.nn.utils.clip_grad._group_tensors_by_device_and_dtype", lambda tensors: {(CUDA, None): (tensors, None)}
    )
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    OnCard.waits.clear()
    _resampling.cache_clear()
    try:
        with _Moves():
            yield OnCard.waits
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
        _resampling.cache_clear()
