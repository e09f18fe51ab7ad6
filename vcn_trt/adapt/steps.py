"""The steps of the training: pairs drawn, the student taught, the teacher and the centre moved after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vcn_trt.adapt.branch import Branch
from vcn_trt.adapt.loss import cross_entropy, pair_targets, rolling_mean, targets
from vcn_trt.adapt.pairs import draw_pairs
from vcn_trt.adapt.split import Views
from vcn_trt.config import AdaptConfig
from vcn_trt.halving import halving
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
        if config.compile and views.trains == "all":
            # The forward pass alone: a transformer that is shown masked patches goes by `tokens`, as it is.
            self.student.base.compile()
            self.teacher.base.compile()
        self.centre = centre.clone()
        self.patch_centre = torch.zeros(config.outputs, device=views.device)
        self.done, self.total = 0, config.rounds * config.steps
        self._frozen = round(config.warm_up * self.total) if student.base_parameters() else 0
        self._views, self._tracks, self._config = views, tracks, config
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = 2 * config.batch
        self._optimiser = torch.optim.AdamW(_groups(student, config), fused=views.device.type == "cuda")

    def step(self, matches: Ragged) -> Tensor:
        """One step. -> the loss of its pairs in nats, (), on the device, where reading it would wait for all that was
        asked of it. A loss that is no number spoils the weights: the training is then to be given up."""
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
        masked = None if student.patch_head is None else self._masks(len(x), student.n_patches)
        loss, self._rows = halving(lambda parts: self._gradients(x, masked, parts), len(x), self._rows)
        torch.nn.utils.clip_grad_norm_(student.live().values(), config.clip)
        self._optimiser.step()
        self.done += 1
        self._follow(_cosine(config.momentum, 1, self.done / self.total))
        return loss

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

    def _gradients(self, x: Tensor, masked: Tensor | None, parts: Sequence[slice]) -> Tensor:
        """The gradients of Eq. 2 over the pairs, and over the patches that the student does not see; they add up over
        the parts to those of the whole mean. Then the centres move. -> the loss of the pairs"""
        config = self._config
        told, told_of_patches = self._told(x, masked, parts)
        wanted = pair_targets(told, config.centre_strength * self.centre, config.tau_teacher)
        wanted_of_patches = targets(told_of_patches, config.centre_strength * self.patch_centre, config.tau_teacher)
        of_pairs = torch.zeros((), device=x.device)
        self._optimiser.zero_grad()
        for part in parts:
            asked = None if masked is None else masked[part]
            hidden = None if asked is None else asked.to(x.device, non_blocking=True)
            logits, of_patches = _logits(self.student, x[part], hidden, asked)
            share = len(logits) / len(x)
            loss = share * cross_entropy(logits, wanted[part], config.tau_student)
            of_pairs += loss.detach()
            if len(of_patches):
                a, b = (i * len(wanted_of_patches) // len(x) for i in (part.start, part.stop))
                loss = loss + share * cross_entropy(of_patches, wanted_of_patches[a:b], config.tau_student)
            loss.backward()  # type: ignore[no-untyped-call]
        self.centre = rolling_mean(self.centre, told, config.centre_momentum)
        if masked is not None:
            self.patch_centre = rolling_mean(self.patch_centre, told_of_patches, config.centre_momentum)
        return of_pairs

    @torch.no_grad()
    def _told(self, x: Tensor, masked: Tensor | None, parts: Sequence[slice]) -> tuple[Tensor, Tensor]:
        """What the teacher, who sees all, says of the crops and of the patches that the student does not see: (n, K)
        and (n x hidden, K) logits."""
        said = [_logits(self.teacher, x[p], None, None if masked is None else masked[p]) for p in parts]
        return torch.cat([of_crops for of_crops, _ in said]), torch.cat([of_patches for _, of_patches in said])

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
        mine, theirs = list(self.teacher.live().values()), list(self.student.live().values())
        get_ema_multi_avg_fn(momentum)(mine, theirs, None)  # type: ignore[no-untyped-call]  # one kernel for many


def _logits(branch: Branch, x: Tensor, hidden: Tensor | None, asked: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of crops, (n, K), and of the patches asked for, (n x asked, K), none without a patch head. hidden: the patches
    that the branch does not see, on its device; asked: on the CPU. Both (n, patches) bool."""
    if branch.patch_head is None or asked is None:
        return branch.head(branch.vectors(x)), torch.zeros(0, branch.head.outputs, device=x.device)
    vectors, patches = branch.vectors_and_patches(x, hidden)
    # By numbers: how many a mask takes, the host would have to wait for.
    which = asked.flatten().nonzero()[:, 0].to(x.device, non_blocking=True)
    return branch.head(vectors), branch.patch_head(patches.flatten(0, 1)[which])


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
