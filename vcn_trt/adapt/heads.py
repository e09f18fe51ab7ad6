"""What stands on the base (section 3.4): a bottleneck whose unit vector meets K unit prototypes. The paper starts it at
random (DINO's head); its closed-form start takes out of the base's space how one face varies within its track."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vcn_trt.ragged import Ragged

Kind = Literal["whitened", "mlp"]


class Head(nn.Module):
    """body: (n, dim) base vectors -> (n, d). prototypes: (K, d), of which the directions count alone, as in a
    weight-normed last layer. kind: which start it had."""

    def __init__(self, body: nn.Module, prototypes: Tensor, kind: Kind) -> None:
        super().__init__()
        self.body = body
        self.prototypes = nn.Parameter(prototypes)
        self.kind: Kind = kind

    @property
    def outputs(self) -> int:
        return len(self.prototypes)

    def bottleneck(self, x: Tensor) -> Tensor:
        """The adapted embedding: (n, dim) -> (n, d), of length one."""
        return functional.normalize(cast(Tensor, self.body(x)), dim=-1)

    def logits(self, z: Tensor) -> Tensor:
        """Cosines with the prototypes: (n, d) -> (n, K)."""
        return z @ functional.normalize(self.prototypes, dim=-1).T

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.bottleneck(x))


def whitened_head(vectors: Tensor, tracks: Ragged, outputs: int, shrink: float, generator: torch.Generator) -> Head:
    """The closed-form start: `whitening` and `random_prototypes`. vectors: (views, n_crops, dim) of the base; tracks:
    the crops' row numbers, a group a track."""
    dim = vectors.shape[-1]
    body = nn.Linear(dim, dim, bias=False)
    with torch.no_grad():
        body.weight.copy_(whitening(vectors, tracks, shrink))
    return Head(body, random_prototypes(dim, outputs, generator), "whitened")


def mlp_head(dim: int, outputs: int, generator: torch.Generator, hidden: int = 2048, bottleneck: int = 256) -> Head:
    """The head of DINO (Caron et al., ICCV 2021) and iBOT, at random: three layers, the weights normal with 0.02."""

    def layer(a: int, b: int) -> nn.Linear:
        linear = nn.Linear(a, b)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(b, a, generator=generator) * 0.02)
            linear.bias.zero_()
        return linear

    body = nn.Sequential(layer(dim, hidden), nn.GELU(), layer(hidden, hidden), nn.GELU(), layer(hidden, bottleneck))
    return Head(body, torch.randn(outputs, bottleneck, generator=generator), "mlp")


def whitening(vectors: Tensor, tracks: Ragged, shrink: float) -> Tensor:
    """The inverse root of the scatter within tracks, over all views, of the base's unit vectors: what varies while the
    face stays the same counts less. Every track counts alike. shrink: the share of a sphere in the scatter. (dim, dim),
    symmetric; the identity where no track's crops differ."""
    rows = torch.from_numpy(tracks.values.astype("int64"))
    group = torch.from_numpy(tracks.group_ids)
    x = functional.normalize(vectors[:, rows].double().cpu(), dim=-1)  # (views, rows, dim)
    views, dim = len(x), x.shape[2]
    counts = torch.from_numpy(tracks.counts).double().clamp(min=1)
    means = torch.zeros(len(tracks), dim, dtype=torch.float64).index_add_(0, group, x.mean(0)) / counts[:, None]
    apart = (x - means[group]) / (views * counts[group]).sqrt()[:, None]
    scatter = apart.view(-1, dim).T @ apart.view(-1, dim) / max(1, int((tracks.counts > 0).sum()))
    scale = scatter.trace() / dim
    if not scale > 1e-12:  # one crop a track and one view, or nothing but copies
        return torch.eye(dim)
    values, basis = torch.linalg.eigh((1 - shrink) * scatter / scale + shrink * torch.eye(dim, dtype=torch.float64))
    root: Tensor = (basis / values.sqrt()) @ basis.T
    return root.float()


def random_prototypes(dim: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Unit directions: random orthogonal bases and their negatives. (outputs, dim)

    With them the untrained loss is nearly an affine function of the bottleneck's cosine: it errs by 0.011 at 1,024
    outputs and 0.006 at 4,096, where independent directions err by 0.033 and 0.017 (128 dimensions)."""
    blocks: list[Tensor] = []
    while 2 * dim * len(blocks) < outputs:
        basis = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
        blocks.append(torch.cat([basis, -basis]))
    return torch.cat(blocks)[:outputs].float()
