"""Which layers train: "head", the head alone; "last", also the base's layers behind its dropout; "all". The rest of the
base never changes, so what it makes of every view is computed once: only what a view enters differs, never the path."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcn_trt.adapt.augment import augment
from vcn_trt.errors import ModelError
from vcn_trt.halving import halving
from vcn_trt.types import PLAIN, Images
from vcn_trt.zoo.base import FaceBase, prepare

Trains = Literal["head", "last", "all"]

DRAWN = 256
"""Crops whose views are drawn together, however many then pass the network at once: so a seed draws the same views on
every device."""


def at_once(trains: Trains, device: torch.device) -> int:
    """Crops in one pass. Through a whole base on a CPU more are slower: 64 took twice the time and 0.7 GB."""
    return 4 if trains == "all" and device.type == "cpu" else DRAWN


def chosen(trains: Literal["auto", "head", "last", "all"], device: torch.device) -> Trains:
    """What "auto" means: all on a GPU; on a CPU, where all of SFace costs 0.3 s a crop and step, the head."""
    if trains != "auto":
        return trains
    return "all" if device.type == "cuda" else "head"


class Views:
    """The crops in all their views, as they enter the part of the base that trains.

    base: stays as it is. take(views (n,), rows (n,), generator) -> (n, ...) inputs of `Branch.vectors`; the generator
    is for views that are drawn anew each time. n_views includes the two plain ones. content: what it takes from.
    """

    def __init__(
        self,
        base: FaceBase,
        trains: Trains,
        shape: tuple[int, int],
        take: Callable[[Tensor, Tensor, torch.Generator], Tensor],
        content: Tensor,
    ) -> None:
        self.base, self.trains, self.take = base, trains, take
        self.n_views, self.n_crops = shape
        self.device = content.device
        self.content = content

    @classmethod
    def cached(cls, base: FaceBase, trains: Trains, values: Tensor) -> Self:
        """values: (views, n_crops, ...) what the frozen part of the base makes of each view, views 0 and 1 the crop and
        its mirror image; the base's vectors for "head", its features (half precision will do) for "last"."""
        if not bool(torch.isfinite(values).all()):
            raise ModelError(
                f"the base {base.manifest.name} makes NaN or infinite numbers of these crops: its weights are damaged, "
                "use another copy"
            )

        def take(views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
            views, rows = (i.to(values.device, non_blocking=True) for i in (views, rows))
            return values[views, rows].float()

        return cls(base, trains, (values.shape[0], values.shape[1]), take, values)

    @classmethod
    def of_pictures(cls, base: FaceBase, pictures: Tensor, n_views: int, sides: Tensor | None) -> Self:
        """For "all": the crops (n, 112, 112, 3) uint8 on the device that trains, augmented anew whenever taken.
        sides: (n,) the shorter sides of their faces, None for no footage sizes."""

        def take(views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
            own = None if sides is None else sides[rows]
            crops = pictures[rows.to(pictures.device, non_blocking=True)]
            return prepare(view(crops, views, own, sides, generator), base.manifest)

        return cls(base, "all", (n_views, len(pictures)), take, pictures)

    def identity(self) -> str:
        """sha256 of everything that the views show and the base holds."""
        digest = hashlib.sha256(f"{self.trains} {self.n_views}".encode())
        for tensor in (self.content, *self.base.state_dict().values()):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def batches(self, n_views: int, seed: int) -> Iterator[tuple[int, slice, Tensor]]:
        """The first views of every crop, in order: (view, rows, input). What is drawn is the same for a seed."""
        generator = torch.Generator().manual_seed(seed)
        for v in range(n_views):
            for start in range(0, self.n_crops, DRAWN):
                rows = torch.arange(start, min(start + DRAWN, self.n_crops))
                yield v, slice(start, start + len(rows)), self.take(torch.full_like(rows, v), rows, generator)


def view(
    crops: Tensor, views: Tensor, sides: Tensor | None, footage: Tensor | None, generator: torch.Generator
) -> Tensor:
    """One view of each crop: 0 itself, 1 its mirror image, from 2 on augmented. crops: (n, 112, 112, 3) uint8 on any
    device; views: (n,) and, for footage sizes, sides (n,) and footage as in `augment`, on the CPU. -> float32"""
    mirrored = (views == 1).to(crops.device, non_blocking=True)[:, None, None, None]
    seen = torch.where(mirrored, crops.flip(2), crops).float()
    drawn = (views >= PLAIN).nonzero()[:, 0]
    if len(drawn):
        at = drawn.to(crops.device, non_blocking=True)
        seen[at] = augment(crops[at], generator, None if sides is None else sides[drawn], footage)
    return seen


@torch.no_grad()
def open_views(
    base: FaceBase,
    images: Images,
    sides: NDArray[np.floating[Any]] | None,
    trains: Trains,
    n_augmented: int,
    seed: int,
    device: torch.device,
    frozen: Callable[[Tensor], Tensor] | None = None,
    progress: Callable[[int, int], None] = lambda completed, total: None,
) -> Views:
    """The views of a clip's crops: through the frozen part of the base once, or resident on the device.

    base: in eval mode. images: (n, 112, 112, 3) uint8. sides: (n,) the shorter sides of the faces in pixels of the
    picture, None for no footage sizes. frozen: another engine's hand for the part that does not train, from prepared
    crops to the base's vectors ("head") or features ("last"); torch on one CPU core takes 0.03 s a view of SFace.
    progress: crops done, of how many. Raises ModelError where the base makes NaN of a crop.
    """
    n, n_views = len(images), PLAIN + n_augmented
    faces = None if sides is None else torch.from_numpy(np.asarray(sides, np.float32))
    if trains == "all":
        return Views.of_pictures(base, _resident(images, device), n_views, faces)
    if frozen is None:
        on_device = copy.deepcopy(base).to(device)
        frozen = in_parts(on_device.features if trains == "last" else on_device, at_once("all", device))
    generator = torch.Generator().manual_seed(seed)
    values: Tensor | None = None
    for rows in (slice(i, min(i + DRAWN, n)) for i in range(0, n, DRAWN)):
        crops = torch.from_numpy(np.ascontiguousarray(images[rows])).to(device)
        for v in range(n_views):
            views = torch.full((len(crops),), v)
            x = prepare(view(crops, views, None if faces is None else faces[rows], faces, generator), base.manifest)
            with autocast(device):
                found = frozen(x)
            if values is None:
                # SFace's features are 50,176 numbers a view: half precision, whose range no base's come near.
                kind = torch.float16 if trains == "last" else torch.float32
                values = torch.empty((n_views, n, *found.shape[1:]), dtype=kind, device=device)
            values[v, rows] = found.clamp(-65504, 65504) if trains == "last" else found
        progress(rows.stop, n)
    if values is None:
        raise ValueError("there are no crops to look at")
    return Views.cached(base, trains, values)


def in_parts(network: Callable[[Tensor], Tensor], rows: int) -> Callable[[Tensor], Tensor]:
    """The same in calls of at most so many rows, of fewer where the memory asks for it."""

    def called(x: Tensor) -> Tensor:
        nonlocal rows
        found, rows = halving(lambda parts: torch.cat([network(x[part]) for part in parts]), len(x), rows)
        return found

    return called


def _resident(images: Images, device: torch.device) -> Tensor:
    """The crops as uint8 on the device, brought there block by block: the host need not hold them all."""
    pictures = torch.empty((len(images), *images[:0].shape[1:]), dtype=torch.uint8, device=device)
    for rows in (slice(i, min(i + DRAWN, len(images))) for i in range(0, len(images), DRAWN)):
        pictures[rows] = torch.from_numpy(np.ascontiguousarray(images[rows])).to(device)
    return pictures


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 on a GPU; on a CPU everything stays float32."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
