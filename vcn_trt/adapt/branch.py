"""One branch of the training (section 3.4): the base and its heads. The student is one, the teacher its twin."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn

from vcn_trt.adapt.heads import Head
from vcn_trt.adapt.split import Trains, Views, at_once, autocast, in_parts
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.vit import VisionTransformer


class Branch(nn.Module):
    """A base of its own, shared where it does not train, with the head on it.

    patch_head: of a transformer that trains whole, a second head on its patch tokens (iBOT, Zhou et al., ICLR 2022).
    Everything is in eval mode for good: BatchNorm keeps the statistics of the base's own training.
    """

    def __init__(self, base: FaceBase, head: Head, trains: Trains, patch_head: Head | None = None) -> None:
        super().__init__()
        self.base = base if trains == "head" else copy.deepcopy(base)
        self.head = copy.deepcopy(head)
        self.trains = trains
        self.patch_head = copy.deepcopy(patch_head)
        width = base.width if isinstance(base, VisionTransformer) and patch_head is not None else 0
        self.mask_token = nn.Parameter(torch.zeros(width)) if width else None
        self.eval()
        self.live_names = _live(self.base, trains)
        if trains != "head":
            for name, parameter in self.base.named_parameters():
                parameter.requires_grad_(name in self.live_names)

    def twin(self) -> Self:
        """A copy; a base that does not train is the same one."""
        shared = {id(self.base): self.base} if self.trains == "head" else {}
        return copy.deepcopy(self, shared)

    def placed(self, device: torch.device) -> Self:
        """Itself on a device. A base that does not train is the caller's and stays where it is: nothing runs through
        it."""
        if self.trains == "head":
            self.head.to(device)
            return self
        self.to(device)
        if device.type == "cuda":
            self.base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def vectors(self, x: Tensor) -> Tensor:
        """What `Views.take` gives -> the base's vectors, (n, dim) float32."""
        if self.trains == "head":
            return x
        with autocast(x.device):
            return cast(Tensor, self.base.embed(x) if self.trains == "last" else self.base(_laid_out(x))).float()

    def vectors_and_patches(self, x: Tensor, masked: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same with the patch tokens, (n, patches, width) float32; masked: (n, patches) bool, patches not seen."""
        base = cast(VisionTransformer, self.base)
        with autocast(x.device):
            first, patches = base.tokens(x, masked, None if masked is None else self.mask_token)
            return base.embed(first).float(), patches.float()

    @property
    def n_patches(self) -> int:
        return cast(VisionTransformer, self.base).n_patches

    def base_parameters(self) -> dict[str, nn.Parameter]:
        """Those of the base that train, by their names in it."""
        return {k: p for k, p in self.base.named_parameters() if k in self.live_names}

    def head_parameters(self) -> dict[str, nn.Parameter]:
        """Everything that is not the base: heads and mask token."""
        return {k: p for k, p in self.named_parameters() if not k.startswith("base.")}

    def live(self) -> dict[str, nn.Parameter]:
        """All that trains, in one fixed order."""
        return {**{f"base.{k}": p for k, p in self.base_parameters().items()}, **self.head_parameters()}


@torch.no_grad()
def look(
    branch: Branch,
    views: Views,
    seed: int,
    space: Literal["head", "base"],
    n_views: int | None = None,
    vectors: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Every view of every crop (or the first n_views): the head's unit vectors, or the base's vectors. -> (views,
    n_crops, d) float32 on the views' device. The augmented views are the same for a seed. vectors: another engine's
    hand for `branch.vectors`."""
    found: Tensor | None = None
    n_views = views.n_views if n_views is None else n_views
    embed = in_parts(branch.vectors, at_once(branch.trains, views.device)) if vectors is None else vectors
    for v, rows, x in views.batches(n_views, seed):
        of_base = embed(x)
        z = branch.head.bottleneck(of_base) if space == "head" else of_base
        if found is None:
            found = torch.empty((n_views, views.n_crops, z.shape[1]), device=z.device)
        found[v, rows] = z
    if found is None:
        raise ValueError("there are no crops to look at")
    return found


def _live(base: FaceBase, trains: Trains) -> frozenset[str]:
    """The names of the base's parameters that train. Behind the dropout are those which move the embedding of given
    features: asked of autograd, so that it holds for any base."""
    named = dict(base.named_parameters())
    if trains == "head":
        return frozenset()
    if trains == "all":
        return frozenset(named)
    size, device = base.manifest.input_size, next(iter(named.values())).device
    with torch.no_grad():
        features = base.features(torch.zeros(2, 3, size, size, device=device))
    for parameter in named.values():
        parameter.requires_grad_(True)
    moved = torch.autograd.grad(base.embed(features).sum(), list(named.values()), allow_unused=True)
    return frozenset(name for name, gradient in zip(named, moved, strict=True) if gradient is not None)


def _laid_out(x: Tensor) -> Tensor:
    """Tensor cores want the channels last."""
    return x.contiguous(memory_format=torch.channels_last) if x.is_cuda else x
