"""What tracks have in common under each metric, against loops over crop pairs and views."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vcn_trt import backends
from vcn_trt.adapt.model import MetricHead
from vcn_trt.cluster import alike
from vcn_trt.cluster.alike import crop_profiles, track_profiles
from vcn_trt.cluster.limits import Alike
from vcn_trt.config import ClusterConfig
from vcn_trt.ragged import Ragged

OPS = backends.open("cpu").ops
METRICS = ("loss", "cosine", "euclidean")
DIM, OUTPUTS = 5, 12
Array = NDArray[np.floating]


def unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def footage_of(counts: list[int], n_views: int, seed: int) -> tuple[Ragged, NDArray[np.float16]]:
    """Unit vectors of crops, a group a track, and those of their views as they are kept on disk."""
    rng = np.random.default_rng(seed)
    views = unit(rng.normal(size=(n_views, sum(counts), DIM)) + 1).astype(np.float16)
    return Ragged(unit(views.astype(np.float32).mean(0)), np.cumsum([0, *counts])), views


def head_of(seed: int = 0) -> MetricHead:
    rng = np.random.default_rng(seed)
    teacher, student = unit(rng.normal(size=(2, OUTPUTS, DIM))).astype(np.float32)
    return MetricHead(teacher, student, rng.normal(0, 0.1, OUTPUTS).astype(np.float32))


def config_of(metric: str, **settings: object) -> ClusterConfig:
    return replace(ClusterConfig(), metric=metric, **settings)


def log_softmax(x: Array) -> Array:
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def evidence(a: Array, b: Array, head: MetricHead, config: ClusterConfig) -> float:
    """Of one crop in one view for another's being of one person, one way: by how much their distance is below that of
    orthogonal vectors, or the loss below that against a teacher who gives every output the same."""
    if config.metric != "loss":
        return float(a @ b) * (2 if config.metric == "euclidean" else 1)
    at = head.student if config.branches == "student" else head.teacher
    to = head.teacher if config.branches == "teacher" else head.student
    p = np.exp(log_softmax((at @ a - (head.centre if config.centre else 0)) / config.tau_teacher))
    l = log_softmax(to @ b / config.tau_student)  # noqa: E741
    return float(p @ l - l.mean())


def naive_own(crops: Array, head: MetricHead, config: ClusterConfig) -> float:
    """crops: (n_views, n, d) of one track"""
    v, m, _ = crops.shape
    if m == 1:
        crops, v, m = crops.swapaxes(0, 1), 1, v
    pairs = permutations(range(m), 2)
    every = [evidence(crops[i, a], crops[j, b], head, config) for a, b in pairs for i in range(v) for j in range(v)]
    return float(np.mean(every))


def of(tracks: Ragged, views: NDArray[np.float16], head: MetricHead, config: ClusterConfig) -> Alike:
    return track_profiles(tracks, tracks, views, head, OPS, config)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=20)
@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    n_views=st.integers(2, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_own_evidence_is_the_mean_over_different_crops_in_all_views(
    metric: str, counts: list[int], n_views: int, seed: int
) -> None:
    tracks, views = footage_of(counts, n_views, seed)
    head, config = head_of(seed), config_of(metric)
    found = of(tracks, views, head, config)
    assert found.lone.tolist() == [n == 1 for n in counts]
    for j, n in enumerate(counts):
        crops = views[:, tracks.offsets[j] : tracks.offsets[j] + n].astype(np.float64)
        assert found.own[j] == pytest.approx(naive_own(crops, head, config), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("branches", ["teacher", "both", "student"])
@pytest.mark.parametrize("centre", [False, True])
def test_the_loss_is_read_as_the_config_says(branches: str, centre: bool) -> None:
    tracks, views = footage_of([3, 1, 2], 3, 1)
    head = head_of()
    config = config_of("loss", branches=branches, centre=centre, tau_teacher=0.2, tau_student=0.3)
    found = of(tracks, views, head, config).own
    for j in range(3):
        crops = views[:, tracks.offsets[j] : tracks.offsets[j + 1]].astype(np.float64)
        assert found[j] == pytest.approx(naive_own(crops, head, config), rel=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_two_tracks_are_as_alike_as_their_mean_directions(metric: str) -> None:
    tracks, views = footage_of([3, 1, 2], 2, 2)
    head, config = head_of(), config_of(metric)
    found = of(tracks, views, head, config)
    near = -found.profiles.similarities() - (found.zero[:, None] + found.zero) / 2
    means = [unit(t.astype(np.float64).mean(0)) for t in tracks]
    for a, b in permutations(range(3), 2):
        both = evidence(means[a], means[b], head, config) + evidence(means[b], means[a], head, config)
        assert near[a, b] == pytest.approx(both / 2, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_of_any_size_give_the_same(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, views = footage_of([1, 3, 2, 1, 4, 1, 2], 3, 3)
    head, config = head_of(), config_of(metric)
    whole = of(tracks, views, head, config).own
    for numbers in (1, 3 * OUTPUTS, 5 * 3 * OUTPUTS, 9 * 3 * OUTPUTS):  # crops: less than one, 1, 5, 9
        monkeypatch.setattr(alike, "_LOGITS", numbers)
        np.testing.assert_allclose(of(tracks, views, head, config).own, whole, rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_a_single_picture_has_itself_in_common_with_itself(metric: str) -> None:
    tracks, views = footage_of([1, 2], 1, 4)
    head, config = head_of(), config_of(metric)
    itself = tracks[0][0].astype(np.float64)
    assert of(tracks, views, head, config).own[0] == pytest.approx(evidence(itself, itself, head, config), rel=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_identical_crops_have_as_much_in_common_as_one_with_itself(metric: str) -> None:
    tracks, views = footage_of([1], 1, 5)
    five, same = Ragged(np.repeat(tracks.values, 5, 0), np.array([0, 5])), np.repeat(np.repeat(views, 2, 0), 5, 1)
    head, config = head_of(), config_of(metric)
    alone = of(tracks, views, head, config).own
    np.testing.assert_allclose(of(five, same, head, config).own, alone, rtol=1e-3)


@pytest.mark.parametrize("metric", METRICS)
def test_algorithm_1_sees_the_means_over_crop_pairs(metric: str) -> None:
    tracks, _ = footage_of([3, 2], 2, 6)
    head, config = head_of(), config_of(metric)
    found = crop_profiles(tracks, tracks, head, OPS, config)
    pairs = [(a, b) for a in tracks[0].astype(np.float64) for b in tracks[1].astype(np.float64)]
    if metric == "loss":
        one_way = [evidence_of_loss(a, b, head, config) for x, y in pairs for a, b in ((x, y), (y, x))]
        expected = -np.mean(one_way)
    else:
        expected = np.mean([(1 if metric == "cosine" else 2) * (1 - a @ b) for a, b in pairs])
    assert found.similarities()[0, 1] == pytest.approx(expected, rel=1e-4)


def evidence_of_loss(a: Array, b: Array, head: MetricHead, config: ClusterConfig) -> float:
    """Eq. 2 with the sign changed, before its zero is taken off."""
    p = np.exp(log_softmax(head.teacher @ a / config.tau_teacher))
    return float(p @ log_softmax(head.teacher @ b / config.tau_student))
