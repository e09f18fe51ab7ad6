"""The steps of the training: pairs drawn, the student taught, the teacher and the centre moved after it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vcn_trt.adapt.branch import Branch
from vcn_trt.adapt.loss import cross_entropy, pair_loss, rolling_mean, targets
from vcn_trt.adapt.pairs import draw_pairs
from vcn_trt.adapt.split import Views
from vcn_trt.config import AdaptConfig
from vcn_trt.ragged import Ragged

_LR_WARM_UP = 10
"""Steps in which a learning rate rises to its own."""


class Steps:
    """The state of a training. student, teacher: equal at first. centre: (K,) the rolling mean of the teacher's logits.
    done: steps so far, of `total`."""

    def __init__(
        self, student: Branch, centre: Tensor, views: Views, tracks: Ragged, config: AdaptConfig, seed: int
    ) -> None:
        self.student, self.teacher = student, student.twin()
        for parameter in self.teacher.live().values():
            parameter.requires_grad_(False)
        self.centre = centre.clone()
        self.patch_centre = torch.zeros(config.outputs, device=views.device)
        self.done, self.total = 0, config.rounds * config.steps
        self._frozen = round(config.warm_up * self.total) if student.base_parameters() else 0
        self._views, self._tracks, self._config = views, tracks, config
        self._generator = torch.Generator().manual_seed(seed)
        self._optimiser = torch.optim.AdamW(_groups(student, config), fused=views.device.type == "cuda")

    def step(self, matches: Ragged) -> float:
        """One step, and the loss of its pairs in nats. A loss that is no number changes nothing."""
        config, student = self._config, self.student
        for parameter in student.base_parameters().values():
            parameter.requires_grad_(self.done >= self._frozen)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * self._rise(group["of_base"]) * _cosine(1, 0, self.done / self.total)
            decay = _cosine(config.weight_decay, config.weight_decay_end, self.done / self.total)
            group["weight_decay"] = decay if group["decays"] else 0.0
        a, b = draw_pairs(self._tracks, matches, config.batch, config.matched_share, self._generator)
        views = torch.randint(self._views.n_views, (2 * config.batch,), generator=self._generator)
        x = self._views.take(views, torch.cat([a, b]), self._generator)
        of_pairs, of_patches = self._losses(x)
        loss = of_pairs + of_patches
        if not math.isfinite(float(loss.detach())):
            return math.nan
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.live().values(), config.clip)
        self._optimiser.step()
        self.done += 1
        self._follow(_cosine(config.momentum, 1, self.done / self.total))
        return float(of_pairs.detach())

    def state(self) -> dict[str, Any]:
        """All that another process needs to go on, to the same bits."""
        return {
            "student": {k: p.detach() for k, p in self.student.live().items()},
            "teacher": {k: p.detach() for k, p in self.teacher.live().items()},
            "optimiser": self._optimiser.state_dict(),
            "centre": self.centre,
            "patch_centre": self.patch_centre,
            "generator": self._generator.get_state(),
            "done": self.done,
        }

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        for branch, kept in ((self.student, state["student"]), (self.teacher, state["teacher"])):
            for name, parameter in branch.live().items():
                parameter.copy_(kept[name])
        self._optimiser.load_state_dict(state["optimiser"])
        self.centre.copy_(state["centre"])
        self.patch_centre.copy_(state["patch_centre"])
        self._generator.set_state(state["generator"])
        self.done = state["done"]

    def _losses(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 2 over the pairs, and over the patches that the student does not see (0 without a patch head)."""
        config, student, teacher = self._config, self.student, self.teacher
        taus, of_patches = (config.tau_student, config.tau_teacher), torch.zeros((), device=x.device)
        if student.patch_head is None or teacher.patch_head is None:
            with torch.no_grad():
                told = teacher.head(teacher.vectors(x))
            loss = pair_loss(student.head(student.vectors(x)), told, config.centre_strength * self.centre, *taus)
        else:
            masked = self._masks(len(x), student.n_patches).to(x.device)
            with torch.no_grad():
                vectors, patches = teacher.vectors_and_patches(x, None)
                told, patches_told = teacher.head(vectors), teacher.patch_head(patches[masked])
            vectors, patches = student.vectors_and_patches(x, masked)
            loss = pair_loss(student.head(vectors), told, config.centre_strength * self.centre, *taus)
            wanted = targets(patches_told, config.centre_strength * self.patch_centre, config.tau_teacher)
            of_patches = cross_entropy(student.patch_head(patches[masked]), wanted, config.tau_student)
            self.patch_centre = rolling_mean(self.patch_centre, patches_told, config.centre_momentum)
        self.centre = rolling_mean(self.centre, told, config.centre_momentum)
        return loss, of_patches

    def _masks(self, n: int, patches: int) -> Tensor:
        """The same number of patches of each, at random. (n, patches) bool"""
        hidden = max(1, round(self._config.mask_ratio * patches))
        order = torch.rand(n, patches, generator=self._generator).argsort(1)
        return order < hidden

    def _rise(self, of_base: bool) -> float:
        since = self.done - self._frozen if of_base else self.done
        return min(1.0, max(0, since + 1) / _LR_WARM_UP)

    @torch.no_grad()
    def _follow(self, momentum: float) -> None:
        for mine, theirs in zip(self.teacher.live().values(), self.student.live().values(), strict=True):
            mine.lerp_(theirs, 1 - momentum)


def _groups(student: Branch, config: AdaptConfig) -> list[dict[str, Any]]:
    """The optimiser's groups, each with its highest learning rate. The closed-form start is near its end already, and
    its two parts have sizes of their own: their rates are shares of these."""
    of_256 = config.lr * config.batch / 256
    shares = {"head.body": config.lr_bottleneck, "head.prototypes": config.lr_prototypes}
    groups: dict[tuple[float, bool, bool], list[Tensor]] = {}
    for name, parameter in student.live().items():
        of_base, peak = name.startswith("base."), of_256
        if of_base:
            peak = of_256 * config.base_lr
        elif student.head.kind == "whitened" and name.startswith(tuple(shares)):
            size = float(parameter.detach().square().mean().sqrt())
            peak = size * next(share for part, share in shares.items() if name.startswith(part))
        groups.setdefault((peak, of_base, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": 0.0, "peak": peak, "of_base": of_base, "decays": decays}
        for (peak, of_base, decays), parameters in groups.items()
    ]


def _cosine(start: float, end: float, share: float) -> float:
    """From start to end on half a cosine, as share goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
