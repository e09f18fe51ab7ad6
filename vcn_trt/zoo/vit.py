"""FaRL-B/16 (Zheng et al., CVPR 2022): the visual transformer of CLIP (Radford et al., ICML 2021). Names are those of
its published checkpoints. Class and patch tokens are both at hand: the paper trains a head on each, the student
seeing masked patches (section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vcn_trt.zoo.base import FaceBase


class VisionTransformer(FaceBase):
    """(n, 3, image, image) -> (n, dim). Features: the class token behind the last norm, (n, width)."""

    def __init__(
        self,
        image: int = 224,
        patch: int = 16,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        dim: int = 512,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.dim, self.width, self.n_patches = dim, width, (image // patch) ** 2
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(self.n_patches + 1, width) * width**-0.5)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.ModuleDict({"resblocks": nn.Sequential(*(Block(width, heads) for _ in range(layers)))})
        self.ln_post = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Parameter(torch.randn(width, dim) * width**-0.5)

    def tokens(
        self, x: Tensor, masked: Tensor | None = None, mask_token: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class token (n, width) and patch tokens (n, n_patches, width) behind the last norm. Where `masked`
        (n, n_patches) bool is true, a patch is seen as `mask_token` (width,) instead."""
        patches = self.conv1(x).flatten(2).transpose(1, 2)  # (n, n_patches, width)
        if masked is not None:
            if mask_token is None:
                raise ValueError("masked patches need a mask_token of shape (width,)")
            patches = torch.where(masked[..., None], mask_token.to(patches.dtype), patches)
        start = self.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)
        y = self.ln_pre(torch.cat([start, patches], 1) + self.positional_embedding.to(patches.dtype))
        y = self.ln_post(self.transformer["resblocks"](y))
        return y[:, 0], y[:, 1:]

    def features(self, x: Tensor) -> Tensor:
        return self.tokens(x)[0]

    def embed(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.dropout(features) @ self.proj)

    @staticmethod
    def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A CLIP checkpoint also holds the text half at its top level."""
        visual = {k.removeprefix("visual."): v for k, v in tensors.items() if k.startswith("visual.")}
        return visual or dict(tensors)


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, width * 4))
        self.mlp.add_module("gelu", QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(width * 4, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return cast(Tensor, x + self.mlp(self.ln_2(x)))


class Attention(nn.Module):
    """Multi-head self-attention with torch's own parameter names, spelt out so that it exports at any batch size."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        qkv = qkv.reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # (n, heads, tokens, width / heads) each
        seen = functional.scaled_dot_product_attention(q, k, v)
        return cast(Tensor, self.out_proj(seen.transpose(1, 2).flatten(2)))


class QuickGELU(nn.Module):
    """CLIP's approximation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)
