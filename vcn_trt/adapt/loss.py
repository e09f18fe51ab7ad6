"""The self-distillation loss over pairs (Eq. 2), with a temperature for each branch as DINO has it (Caron et al., ICCV
2021), and the rolling mean that keeps the teacher from naming the same output for everyone."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pair_targets(teacher: Tensor, centre: Tensor, tau: float) -> Tensor:
    """What each crop of a pair is to say: what the teacher says of its partner. teacher: (2 n, K) logits, rows i and
    n + i the two crops of a pair. Their `cross_entropy` is Eq. 2, the mean over pairs and both orders of each:
    -softmax((t - c) / tau_t) . log_softmax(s / tau_s)."""
    return targets(teacher, centre, tau).roll(len(teacher) // 2, 0)


def targets(teacher: Tensor, centre: Tensor, tau: float) -> Tensor:
    """What the student is to say. teacher: (n, K), centre: (K,) -> (n, K), each row a distribution, no gradient"""
    return functional.softmax((teacher.detach() - centre) / tau, dim=-1)


def cross_entropy(student: Tensor, target: Tensor, tau: float) -> Tensor:
    """-target . log_softmax(student / tau), the mean over rows. Its least is the mean entropy of the targets."""
    return -(target * functional.log_softmax(student / tau, dim=-1)).sum(-1).mean()


def rolling_mean(centre: Tensor, teacher: Tensor, momentum: float) -> Tensor:
    """The centre after one more batch. centre: (K,), teacher: (n, K)"""
    return momentum * centre + (1 - momentum) * teacher.detach().mean(0)
