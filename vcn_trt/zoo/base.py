"""What every face-ID network is to the rest: a features half, a light embedding half behind a dropout, and its
convention for crops. SER-FIQ (section 3.6) re-runs the second half alone, so features are computed once a crop."""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vcn_trt.zoo.manifest import Manifest

Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32], Tensor)


class FaceBase(nn.Module):
    """A face-ID network. dim: length of its embedding. dropout: the layer between the halves, active in train() alone.

    The layers that hold weights are registered in the order in which they run: `weights.align` relies on it.
    """

    dim: int
    dropout: nn.Dropout
    manifest: Manifest

    def features(self, x: Tensor) -> Tensor:
        """(n, 3, size, size) prepared crops -> (n, ...) what enters the dropout."""
        raise NotImplementedError

    def embed(self, features: Tensor) -> Tensor:
        """(n, ...) features -> (n, dim) embeddings, unnormalised: dropout and the layers behind it."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(self.features(x))


class Both(nn.Module):
    """Both outputs of a base, embedding and features, from one pass: what its network gives."""

    def __init__(self, base: FaceBase) -> None:
        super().__init__()
        self.base = base

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.base.features(x)
        return self.base.embed(features), features


def prepare(crops: Pixels, manifest: Manifest) -> Pixels:
    """Crops as the network wants them, the one place where that is done: planes in its colour order, (pixel - mean) *
    scale / std, enlarged bilinearly (half-pixel centres) where its input is not of the crop's size.

    crops: (n, h, w, 3) RGB on the 0-255 scale, uint8 or float, NumPy or torch (on any device, differentiable).
    -> (n, 3, size, size) float32 of the same kind.
    """
    if crops.ndim != 4 or crops.shape[3] != 3:
        raise ValueError(f"crops must be (n, h, w, 3), found {tuple(crops.shape)}")
    order = [0, 1, 2] if manifest.rgb else [2, 1, 0]
    mean = np.array(manifest.mean, np.float32)
    factor = np.float32(manifest.scale) / np.array(manifest.std, np.float32)
    size = manifest.input_size
    rows = _enlarge(crops.shape[1], size) if crops.shape[1] != size else None
    columns = _enlarge(crops.shape[2], size) if crops.shape[2] != size else None
    if isinstance(crops, np.ndarray):
        planes = crops.astype(np.float32)[..., order].transpose(0, 3, 1, 2)
        planes = (planes - mean[:, None, None]) * factor[:, None, None]
        planes = planes if rows is None else rows @ planes
        return cast(Pixels, np.ascontiguousarray(planes if columns is None else planes @ columns.T))
    on = crops.device

    def there(array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(array).to(on, non_blocking=True)

    x = crops.to(torch.float32) if manifest.rgb else crops.to(torch.float32).flip(3)  # an index would wait for a card
    x = (x.permute(0, 3, 1, 2) - there(mean)[:, None, None]) * there(factor)[:, None, None]
    x = x if rows is None else there(rows) @ x
    return (x if columns is None else x @ there(columns).T).contiguous()


def _enlarge(n: int, size: int) -> NDArray[np.float32]:
    """The matrix of bilinear interpolation from n to size samples. (size, n)"""
    if n > size:
        raise ValueError(
            f"crops of {n} pixels are larger than the network's input of {size}: warp them to at most {size}"
        )
    at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    left = np.minimum(at.astype(np.int64), max(n - 2, 0))
    matrix = np.zeros((size, n))
    matrix[np.arange(size), left] = 1 - (at - left)
    if n > 1:
        matrix[np.arange(size), left + 1] = at - left
    return matrix.astype(np.float32)
