"""Signs that a training went wrong: a loss that says nothing, a teacher that names one output for everyone or all
outputs alike, faces that all become one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_SAYS_NOTHING = 0.01
"""Nats below ln K that a loss or an entropy must be to say anything."""

_LEAST = 0.1
"""The share of the start's dimension and spread that must be left. Trainings of either head that cluster well keep 0.22
of the dimension and 0.77 of the spread at least; an all too warm teacher left 0.17 and 0.12."""

_ROUNDING = 1e-6
"""A spread below which crops are one and the same: there is none to lose."""


@dataclass(frozen=True)
class Signs:
    """Of all crops. dimension: in how many directions the unit vectors differ, the participation ratio of their
    covariance (0 where all are equal). spread: 1 - |mean unit vector|^2. entropy: of the teacher's mean output, and
    own_entropy: the mean of its outputs', in nats."""

    dimension: float
    spread: float
    entropy: float
    own_entropy: float


@torch.no_grad()
def signs(z: Tensor, outputs: Tensor) -> Signs:
    """z: (n, d) unit vectors; outputs: (n, K) the teacher's distributions."""
    apart = (z - z.mean(0)).double()
    covariance = apart.T @ apart / len(z)
    spread, square = float(covariance.trace()), float(covariance.square().sum())
    dimension = spread * spread / square if spread > 1e-9 else 0.0
    return Signs(dimension, spread, _entropy(outputs.mean(0)), float(torch.special.entr(outputs).sum(1).mean()))


def complaint(loss: float, now: Signs, start: Signs, outputs: int) -> str | None:
    """Why a training is to be given up, None where it goes well. loss: its mean over a round; outputs: K."""
    top = math.log(outputs)
    if not all(map(math.isfinite, (loss, now.dimension, now.spread, now.entropy, now.own_entropy))):
        return "the training diverged: its loss or its vectors are no numbers"
    if abs(loss - top) < _SAYS_NOTHING:
        return f"the training collapsed: its loss stays at ln K = {top:.2f}, where nothing is told"
    if now.own_entropy > top - _SAYS_NOTHING:
        return "the training collapsed: the teacher gives every output the same weight"
    if now.entropy < _SAYS_NOTHING < start.entropy:
        return "the training collapsed: the teacher names one output for every face"
    differed = start.spread > _ROUNDING
    if differed and (now.spread < _LEAST * start.spread or now.dimension < _LEAST * start.dimension):
        return (
            f"the training collapsed: faces differ by {now.spread:.3f} in {now.dimension:.1f} dimensions, "
            f"{start.spread:.3f} in {start.dimension:.1f} before it"
        )
    return None


def _entropy(distribution: Tensor) -> float:
    return float(torch.special.entr(distribution).sum())
