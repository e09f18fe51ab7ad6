"""Eq. 2 on small numbers, and against a loop over pairs."""

from __future__ import annotations

import math

import pytest
import torch
from bases import seeded
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.adapt.loss import cross_entropy, pair_targets, rolling_mean, targets


def pair_loss(student: torch.Tensor, teacher: torch.Tensor, centre: torch.Tensor, tau_s: float, tau_t: float):
    return cross_entropy(student, pair_targets(teacher, centre, tau_t), tau_s)


def test_the_loss_of_one_pair_by_hand() -> None:
    # Teacher (2, 0) - centre (1, 0) over 0.5 -> softmax(2, 0); student (3, 0) over 1 -> log_softmax(3, 0).
    logits = torch.tensor([[3.0, 0.0]])
    target = targets(torch.tensor([[2.0, 0.0]]), torch.tensor([1.0, 0.0]), 0.5)
    p = 1 / (1 + math.exp(-2))
    log_norm = math.log(math.exp(3) + 1)
    assert target[0, 0].item() == pytest.approx(p)
    assert cross_entropy(logits, target, 1.0).item() == pytest.approx(-(p * (3 - log_norm) + (1 - p) * -log_norm))


@given(n=st.integers(1, 4), k=st.integers(2, 6), seed=st.integers(0, 99))
def test_each_crop_is_taught_by_its_partner(n: int, k: int, seed: int) -> None:
    g = seeded(seed)
    student, teacher, centre = (torch.randn(*shape, generator=g) for shape in ((2 * n, k), (2 * n, k), (k,)))
    losses = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        t = torch.softmax((teacher[partner] - centre) / 0.04, -1)
        losses.append(-(t * torch.log_softmax(student[i] / 0.1, -1)).sum())
    assert pair_loss(student, teacher, centre, 0.1, 0.04).item() == pytest.approx(
        torch.stack(losses).mean().item(), rel=1e-4, abs=1e-5
    )


def test_only_the_student_learns() -> None:
    student, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    pair_loss(student, teacher, torch.zeros(3), 0.1, 0.04).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_a_loss_that_tells_nothing_is_ln_k() -> None:
    assert pair_loss(torch.zeros(2, 8), torch.randn(2, 8), torch.zeros(8), 0.1, 0.04).item() == pytest.approx(
        math.log(8)
    )


def test_the_centre_follows_the_batches() -> None:
    centre = rolling_mean(torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 2.0], [4.0, 0.0]]), 0.9)
    assert centre.tolist() == pytest.approx([1.2, 0.1])
