"""DBSCAN and HDBSCAN by cuML, where a card is used and cuML is installed: the same questions as `baselines` puts to
scikit-learn, in cuML's conventions."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray


def serves(torch_device: str) -> bool:
    """Whether cuML is to be asked: there is a card, and it is installed."""
    return torch_device.startswith("cuda") and importlib.util.find_spec("cuml") is not None


def dbscan(unit: NDArray[np.float64], threshold: float, min_samples: int) -> NDArray[np.int64]:
    """unit: (n, dim) unit vectors; threshold: the radius in cosine distance. -> (n,), noise is -1

    By Euclidean distance, |u - v|^2 = 2 (1 - u . v): cuML's own cosine writes into its input. It works in batches of
    the distances; no square of them is held.
    """
    from cuml.cluster import DBSCAN  # type: ignore[import-not-found, unused-ignore]

    radius = float(np.sqrt(2 * threshold))
    model = DBSCAN(eps=radius, min_samples=min_samples, metric="euclidean", output_type="numpy")
    return _labels(model.fit_predict(unit))


def hdbscan(unit: NDArray[np.float64], min_cluster_size: int) -> NDArray[np.int64]:
    """The same of HDBSCAN, in single precision: tracks whose distances are nearly equal may fall otherwise than by
    scikit-learn. min_samples: cuML's does not count the point itself, scikit-learn's (the cluster's least size) does.
    """
    from cuml.cluster import HDBSCAN  # type: ignore[import-not-found, unused-ignore]

    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min_cluster_size - 1,
        metric="euclidean",
        allow_single_cluster=False,
        output_type="numpy",
    )
    return _labels(model.fit_predict(unit.astype(np.float32)))


def _labels(found: Any) -> NDArray[np.int64]:
    return np.asarray(found, np.int64)
