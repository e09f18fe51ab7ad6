"""Face quality (section 3.6): SER-FIQ (Terhörst et al., CVPR 2020). A crop is good when the embedding hardly moves as
dropout silences parts of the network.

Only the layers behind the dropout are run again, for all passes as one product. The masks are drawn once for all crops,
so that a crop's quality does not depend on which others are measured with it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vcn_trt.zoo.base import FaceBase

_NUMBERS = 1 << 24  # in one batch of masked features: 64 MiB


@torch.inference_mode()
def crop_quality(features: Tensor, base: FaceBase, passes: int = 100, *, generator: torch.Generator) -> Tensor:
    """2 sigmoid(-d), d the mean distance of all pairs of the normalised embeddings of `passes` dropout passes.

    features: (n, ...) what enters the base's dropout, half precision allowed; the base stays as it is, in eval mode.
    generator: on the CPU, so that a seed gives the same masks everywhere. -> (n,) float32 in (0, 1], 1 is best, on the
    features' device. Equal seeds give equal scores. Raises ValueError for fewer than 2 passes, a base in training mode
    or one without a dropout rate between 0 and 1.
    """
    rate = base.dropout.p
    if passes < 2 or not 0 < rate < 1 or base.training:
        raise ValueError(
            f"quality needs 2 or more passes, a dropout rate between 0 and 1 and a base in eval mode; found {passes} "
            f"passes, rate {rate}, {'training' if base.training else 'eval'} mode"
        )
    shape = features.shape[1:]
    kept = torch.rand((passes, *shape), generator=generator) >= rate
    weight = next(base.parameters())
    masks = kept.to(weight.device, weight.dtype) / (1 - rate)  # (passes, ...)
    at_once = max(1, _NUMBERS // max(1, shape.numel()))  # rows of one product
    crops = max(1, at_once // passes)
    scores = [_stability(features[i : i + crops], masks, base, at_once) for i in range(0, len(features), crops)]
    return torch.cat(scores).to(features.device) if scores else torch.zeros(0, device=features.device)


def _stability(features: Tensor, masks: Tensor, base: FaceBase, at_once: int) -> Tensor:
    """The scores of as many crops as fit, (n, ...) -> (n,). In eval mode `embed` itself drops nothing."""
    x = features.to(masks.device, masks.dtype)[:, None]
    n, passes = len(x), len(masks)
    some = max(1, at_once // n)
    vectors = [base.embed((x * m).flatten(0, 1)).view(n, len(m), -1) for m in torch.split(masks, some)]
    unit = functional.normalize(torch.cat(vectors, 1).float(), dim=2)  # (n, passes, dim)
    # |u - v|^2 = 2 - 2 u . v; centred first, as the passes of a good crop differ in their last digits only.
    apart = unit - unit.mean(1, keepdim=True)
    square = apart.square().sum(2)
    squares = square[:, :, None] + square[:, None] - 2 * apart @ apart.transpose(1, 2)
    squares.diagonal(dim1=1, dim2=2).zero_()
    mean = squares.clamp_min_(0).sqrt_().sum((1, 2)) / (passes * (passes - 1))
    return 2 * torch.sigmoid(-mean)


def scrambled(images: NDArray[np.uint8], rng: np.random.Generator, parts: int = 4) -> NDArray[np.uint8]:
    """Each picture cut into `parts` x `parts` pieces and put together anew at random: the footage's own colours and
    textures, and no face. Their quality is what the base makes of no face at all. (n, h, w, 3), both sides divisible"""
    n, h, w, c = images.shape
    cut = images.reshape(n, parts, h // parts, parts, w // parts, c).swapaxes(2, 3)
    cut = cut.reshape(n, parts * parts, (h // parts) * (w // parts) * c)
    moved = np.take_along_axis(cut, rng.permuted(np.tile(np.arange(parts * parts), (n, 1)), axis=1)[..., None], 1)
    whole = moved.reshape(n, parts, parts, h // parts, w // parts, c).swapaxes(2, 3)
    return np.ascontiguousarray(whole.reshape(images.shape))
