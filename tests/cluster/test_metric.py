"""The three metrics as two vectors a track, held to loops over crop pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt import backends
from vcn_trt.cluster.metric import Profiles, cosine_profiles, euclidean_profiles, loss_profiles
from vcn_trt.ragged import Ragged

OPS = backends.open("cpu").ops
CENTRE = np.array([0.1, -0.2, 0.05, 0.0])


def crops_of(counts: list[int], dim: int, seed: int) -> Ragged:
    values = np.random.default_rng(seed).normal(size=(sum(counts), dim))
    return Ragged(values.astype(np.float32), np.cumsum([0, *counts]))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def euclidean(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a - b) ** 2).sum())


def loss(a: np.ndarray, b: np.ndarray) -> float:
    """Eq. 2 with the network's two heads both the identity, its two orders averaged."""

    def one(t: np.ndarray, s: np.ndarray) -> float:
        p = np.exp((t - CENTRE) / 0.5)
        q = np.exp(s / 0.7)
        return -float((p / p.sum()) @ np.log(q / q.sum()))

    return (one(a, b) + one(b, a)) / 2


METRICS = {
    "cosine": (cosine, cosine_profiles),
    "euclidean": (euclidean, euclidean_profiles),
    "loss": (loss, lambda crops: loss_profiles(OPS, crops, crops, CENTRE, 0.5, 0.7)),
}


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_similarities_and_thresholds_are_means_over_pairs_of_crops(name: str, counts: list[int], seed: int) -> None:
    pair, profiles_of = METRICS[name]
    crops = crops_of(counts, 4, seed)
    profiles = profiles_of(crops)
    matrix, limits = profiles.similarities(), profiles.thresholds()
    for j, n in enumerate(counts):
        if n < 2:
            assert np.isnan(limits[j])
        else:
            naive = np.mean([pair(crops[j][a], crops[j][b]) for a in range(n) for b in range(a)])
            assert limits[j] == pytest.approx(naive, rel=1e-4, abs=1e-5)
        for k, m in enumerate(counts):
            if j != k and n and m:
                naive = np.mean([pair(a, b) for a in crops[j] for b in crops[k]])
                assert matrix[j, k] == pytest.approx(naive, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["loss", "euclidean"])
def test_a_track_in_a_cluster_stands_by_its_mean_embedding(name: str) -> None:
    pair, profiles_of = METRICS[name]
    crops = crops_of([3, 2], 4, 0)
    found = profiles_of(crops)
    one, other = crops.mean()
    means = Profiles(found.mean_p, found.mean_l, np.zeros(2), np.ones(2, np.int64))
    assert means.similarities()[0, 1] == pytest.approx(pair(one, other), rel=1e-5)


def test_cosine_worked_by_hand() -> None:
    # 0 and 90 degrees in one track, 60 in the other: thresholds 1 and none, distance 1 - (cos 60 + cos 30) / 2.
    crops = Ragged(np.array([[2.0, 0], [0, 5], [0.5, math.sqrt(0.75)]]), np.array([0, 2, 3]))
    found = cosine_profiles(crops)
    assert found.thresholds()[0] == pytest.approx(1)
    assert found.similarities()[0, 1] == pytest.approx(1 - (0.5 + math.sqrt(0.75)) / 2)


def test_a_zero_vector_is_far_from_everything_by_cosine() -> None:
    found = cosine_profiles(Ragged(np.array([[0.0, 0], [1, 0]]), np.array([0, 1, 2])))
    assert found.similarities()[0, 1] == 1


def test_distances_survive_a_large_common_offset() -> None:
    crops = crops_of([2, 2], 8, 3)
    moved = Ragged(crops.values + 500, crops.offsets)
    np.testing.assert_allclose(
        euclidean_profiles(moved).similarities()[0, 1], euclidean_profiles(crops).similarities()[0, 1], rtol=1e-3
    )
