"""Self-supervised finetuning (section 3.4): rounds of matching tracks and of teaching the student what its teacher, the
moving average of itself, says of another picture of the same person."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vcn_trt.adapt import checkpoint as checkpoints
from vcn_trt.adapt.branch import Branch, look
from vcn_trt.adapt.collapse import Signs, complaint, signs
from vcn_trt.adapt.heads import Head, mlp_head
from vcn_trt.adapt.loss import targets
from vcn_trt.adapt.split import Views
from vcn_trt.adapt.steps import Steps
from vcn_trt.config import AdaptConfig, to_dict
from vcn_trt.ragged import Ragged
from vcn_trt.zoo.vit import VisionTransformer

Matcher = Callable[[NDArray[np.float32]], Ragged]
"""(views, n_crops, d) vectors of all crops, views 0 and 1 the crop and its mirror image -> the numbers of the tracks
that each track is matched with."""

_ROWS = 4096
"""Crops whose logits are held at once."""

_UNREAD = 10
"""Steps on a card whose losses are read together."""


@dataclass(frozen=True)
class Progress:
    """step: done of all `steps`, in round `round` of `rounds` (from 1). loss: of this step. matches: of this round,
    ordered pairs of tracks."""

    round: int
    rounds: int
    step: int
    steps: int
    loss: float
    matches: int


@dataclass(frozen=True)
class Round:
    """matches: ordered pairs of tracks. loss: its mean, in nats. signs: of the teacher after it."""

    matches: int
    loss: float
    signs: Signs


@dataclass(frozen=True, eq=False)
class Trained:
    """teacher, student: the branches; the same one where nothing was trained. centre: (K,) what Eq. 2 takes off the
    teacher's logits, its strength applied. start: the signs before the first round. matched: of each round begun, also
    before a kill. fell_back: why the training was given up for its start, None where it was not. notes: what else the
    user should be told."""

    teacher: Branch
    student: Branch
    centre: Tensor
    start: Signs
    rounds: tuple[Round, ...]
    matched: tuple[Ragged, ...]
    fell_back: str | None
    notes: tuple[str, ...]


def adapt(
    views: Views,
    head: Head,
    tracks: Ragged,
    matcher: Matcher,
    config: AdaptConfig,
    seed: int,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """The base of `views` and `head`, adapted to the tracks.

    tracks: row numbers of the views' crops, a group a track, empty ones allowed. matcher: sees the teacher's unit
    vectors or the student's base vectors (config.match_space) before each round. checkpoint: a folder for the state
    between rounds; the same call after a kill goes on there, on a CPU to the same bits. There it runs on one thread, so
    that the answer does not hang on the number of cores. Neither `views.base` nor `head` is changed. A training that
    collapses or diverges is given up for its start, which the answer says.
    """
    with _repeatable(views.device):
        student = _student(views, head, config, seed)
        centre = _first_centre(student, views)
        start = _signs(student, centre, views, config)
        rounds: list[Round] = []
        matched: list[Ragged] = []
        notes: list[str] = []

        def outcome(teacher: Branch, student: Branch, centre: Tensor, fell_back: str | None = None) -> Trained:
            taken_off = config.centre_strength * centre
            done = tuple(rounds), tuple(matched)
            return Trained(teacher, student, taken_off, start, *done, fell_back, tuple(notes))

        def given_up(why: str) -> Trained:
            untrained = _student(views, head, config, seed)
            return outcome(untrained, untrained, centre, why)

        if not config.rounds:
            return outcome(student, student, centre)
        steps = Steps(student, centre, views, tracks, config, seed)
        identity = _identity(views, head, tracks, config, seed) if checkpoint else ""
        if checkpoint:
            state, note = checkpoints.load(checkpoint, identity)
            notes += [note] if note else []
            if state is not None:
                steps.load(state["steps"])
                rounds += [Round(r["matches"], r["loss"], Signs(**r["signs"])) for r in state["rounds"]]
                matched += [Ragged(values.numpy(), offsets.numpy()) for values, offsets in state["matched"]]
        for number in range(len(rounds), config.rounds):
            branch = steps.teacher if config.match_space == "head" else steps.student
            matches = matcher(look(branch, views, seed, config.match_space).cpu().numpy())
            matched.append(matches)
            losses: list[float] = []
            for some in _steps(steps, matches, config.steps, views.device):
                losses += some
                if not all(map(math.isfinite, some)):
                    return given_up("the training diverged: its loss is no number")
                done = (number + 1, config.rounds, steps.done, steps.total)
                progress(Progress(*done, losses[-1], len(matches.values)))
            now = _signs(steps.teacher, steps.centre, views, config)
            rounds.append(Round(len(matches.values), math.fsum(losses) / len(losses), now))
            if why := complaint(rounds[-1].loss, now, start, head.outputs):
                return given_up(why)
            if checkpoint:
                facts = [dataclasses.asdict(r) for r in rounds]
                tensors = [[torch.as_tensor(x) for x in (m.values, m.offsets)] for m in matched]
                state = {"steps": steps.state(), "rounds": facts, "matched": tensors}
                checkpoints.save(checkpoint, state, identity)
        return outcome(steps.teacher, steps.student, steps.centre)


def _steps(steps: Steps, matches: Ragged, n: int, device: torch.device) -> Iterator[list[float]]:
    """n steps, and their losses as they are read: one by one on a CPU, some together on a card, where each reading
    waits until all its work is done."""
    unread: list[Tensor] = []
    for left in reversed(range(n)):
        unread.append(steps.step(matches))
        if device.type == "cpu" or len(unread) == _UNREAD or not left:
            yield torch.stack(unread).cpu().tolist()
            unread.clear()


def _student(views: Views, head: Head, config: AdaptConfig, seed: int) -> Branch:
    """On the device that trains. A transformer that trains whole gets a patch head; cached views show no patches."""
    base, device, patch_head = views.base, views.device, None
    if isinstance(base, VisionTransformer) and views.trains == "all" and config.mask_ratio > 0:
        patch_head = mlp_head(base.width, config.outputs, torch.Generator().manual_seed(seed))
    return Branch(base, head, views.trains, patch_head).placed(device)


@torch.no_grad()
def _first_centre(branch: Branch, views: Views) -> Tensor:
    """The mean of the head's logits over the crops themselves. (K,)"""
    z = look(branch, views, 0, "head", 1)[0]
    return z.mean(0) @ functional.normalize(branch.head.prototypes, dim=-1).T


def _signs(branch: Branch, centre: Tensor, views: Views, config: AdaptConfig) -> Signs:
    """Of the crops themselves, or of as many as show it."""
    every = -(-views.n_crops // _ROWS)
    z = look(branch, views, 0, "head", 1)[0, ::every]
    with torch.no_grad():
        logits = branch.head.logits(z)
    return signs(z, targets(logits, config.centre_strength * centre, config.tau_teacher))


def _identity(views: Views, head: Head, tracks: Ragged, config: AdaptConfig, seed: int) -> str:
    """Of everything that decides the training."""
    digest = hashlib.sha256(json.dumps([to_dict(config), seed, torch.__version__, views.identity()]).encode())
    for tensor in head.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(tracks.values.astype(np.int64).tobytes() + tracks.offsets.tobytes())
    return digest.hexdigest()


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU one thread: sums over several differ in their last digit with their number. On a card those kernels of
    cuDNN that add in one order; what torch's own attention adds up there may still differ in its last digit."""
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(1 if device.type == "cpu" else threads)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
