"""DBSCAN and HDBSCAN through cuML's conventions, on a stand-in of its two classes as cuML 26.10 documents them: keyword
arguments only, noise is -1, `min_samples` of HDBSCAN without the point itself. No cuML has run."""

from __future__ import annotations

import importlib.machinery
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
from numpy.typing import NDArray

from vcn_trt.cluster import cuml
from vcn_trt.cluster.baselines import Method, cluster_tracks


class DBSCAN:
    def __init__(
        self, *, eps: float = 0.5, min_samples: int = 5, metric: str = "euclidean", output_type: str | None = None
    ) -> None:
        assert metric == "euclidean", "cosine writes into its input"
        assert output_type == "numpy"
        self.model = sklearn.cluster.DBSCAN(eps=eps, min_samples=min_samples)

    def fit_predict(self, x: NDArray[Any]) -> NDArray[np.int32]:
        assert x.dtype in (np.float32, np.float64)
        return self.model.fit_predict(x).astype(np.int32)


class HDBSCAN:
    def __init__(
        self,
        *,
        min_cluster_size: int = 5,
        min_samples: int | None = None,
        metric: str = "euclidean",
        allow_single_cluster: bool = False,
        output_type: str | None = None,
    ) -> None:
        assert min_samples is not None
        assert 1 <= min_samples <= 1023
        assert output_type == "numpy"
        self.model = sklearn.cluster.HDBSCAN(
            min_cluster_size=min_cluster_size,
            min_samples=min_samples + 1,
            metric=metric,
            allow_single_cluster=allow_single_cluster,
            copy=True,
        )

    def fit_predict(self, x: NDArray[Any]) -> NDArray[np.int32]:
        assert x.dtype == np.float32
        return self.model.fit_predict(x).astype(np.int32)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """cuML; -> the classes that are asked for."""
    asked: list[str] = []

    class Cluster(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name not in ("DBSCAN", "HDBSCAN"):
                raise AttributeError(name)
            asked.append(name)
            return {"DBSCAN": DBSCAN, "HDBSCAN": HDBSCAN}[name]

    package = ModuleType("cuml")
    package.__spec__ = importlib.machinery.ModuleSpec("cuml", None)
    monkeypatch.setitem(sys.modules, "cuml", package)
    monkeypatch.setitem(sys.modules, "cuml.cluster", Cluster("cuml.cluster"))
    return asked


@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
@pytest.mark.parametrize("seed", range(3))
def test_cuml_is_asked_what_scikit_learn_is_asked(method: Method, seed: int, installed: list[str]) -> None:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(6), rng.integers(1, 9, 6))
    tracks = np.eye(16)[who] + rng.normal(0, 0.15, (len(who), 16))
    here = cluster_tracks(tracks, method)
    assert installed == []
    there = cluster_tracks(tracks, method, torch_device="cuda:0")
    assert installed == [method.upper()]
    np.testing.assert_array_equal(there.labels, here.labels)


def test_without_a_card_or_without_cuml_scikit_learn_is_asked(
    installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cuml.serves("cuda:1")
    assert not cuml.serves("cpu")
    monkeypatch.setitem(sys.modules, "cuml", None)
    monkeypatch.delitem(sys.modules, "cuml")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not cuml.serves("cuda:1")
