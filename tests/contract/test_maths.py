"""The clustering maths of every column, held to plain loops. A further one adds its name to columns.COLUMNS
alone."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from columns import COLUMNS, open_column
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt.backends.base import Gaussian, Ops, Rule
from vcn_trt.ragged import Ragged

FLOAT32 = 2e-5
FLOAT64 = 1e-6

seeds = st.integers(0, 2**32 - 1)
rules = st.sampled_from(get_args(Rule))


@pytest.fixture(params=COLUMNS, scope="module")
def ops(request: pytest.FixtureRequest) -> Ops:
    return open_column(request.param).ops


def logits(counts: list[int], k: int, seed: int) -> tuple[Ragged, Ragged, np.ndarray]:
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *counts])
    both = rng.uniform(-1, 1, (2, offsets[-1], k)).astype(np.float32)
    return Ragged(both[0], offsets), Ragged(both[1], offsets), rng.uniform(-0.2, 0.2, k)


def softmax(z: np.ndarray) -> list[float]:
    e = [math.exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


def pair_loss(teacher: np.ndarray, student: np.ndarray, centre: np.ndarray, tau_t: float, tau_s: float) -> float:
    """Eq. 2 of one pair, to the letter."""
    p = softmax((teacher - centre) / tau_t)
    q = softmax(student / tau_s)
    return -sum(a * math.log(b) for a, b in zip(p, q, strict=True))


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=5), k=st.integers(2, 7), seed=seeds)
def test_every_pair_of_tracks_has_the_mean_loss_of_their_crop_pairs(
    ops: Ops, counts: list[int], k: int, seed: int
) -> None:
    teacher, student, centre = logits(counts, k, seed)
    means = ops.softmax_means(teacher, student, centre, 0.1, 0.2)
    assert means.p.dtype == means.l.dtype == np.float32
    for j, n in enumerate(counts):
        if n == 0:
            assert np.isnan(means.p[j]).all()
            assert np.isnan(means.l[j]).all()
            assert means.own[j] == 0
        for other, m in enumerate(counts):
            if n and m:
                naive = np.mean([pair_loss(t, s, centre, 0.1, 0.2) for t in teacher[j] for s in student[other]])
                # Logits over tau are up to 5: what float32 rounds off them shows where a loss is near 0.
                assert -(means.p[j] @ means.l[other]) == pytest.approx(naive, rel=FLOAT32, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(2, 5), min_size=1, max_size=4), k=st.integers(2, 7), seed=seeds)
def test_the_sums_give_the_threshold_over_all_pairs_of_different_crops(
    ops: Ops, counts: list[int], k: int, seed: int
) -> None:
    teacher, student, centre = logits(counts, k, seed)
    means = ops.softmax_means(teacher, student, centre, 0.04, 0.1)
    for j, n in enumerate(counts):
        pairs = []
        for a in range(n):
            for b in range(a + 1, n):  # both orders of the branches, averaged (section 3.7)
                one = pair_loss(teacher[j][a], student[j][b], centre, 0.04, 0.1)
                pairs.append((one + pair_loss(teacher[j][b], student[j][a], centre, 0.04, 0.1)) / 2)
        fast = -(n * n * float(means.p[j] @ means.l[j]) - means.own[j]) / (n * (n - 1))
        # A difference of two sums: where the loss is far smaller than they are, float32 leaves no digits of it.
        assert fast == pytest.approx(np.mean(pairs), rel=1e-4, abs=1e-6)


def test_softmax_means_do_not_depend_on_how_the_tracks_are_cut_into_chunks(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student, centre = logits([3, 0, 1, 5, 2, 0, 4], 6, 1)
    whole = ops.softmax_means(teacher, student, centre, 0.1, 0.1)
    monkeypatch.setattr("vcn_trt.backends.cpu.maths._CHUNK", 12)
    monkeypatch.setattr("vcn_trt.backends.cuda.maths.NUMBERS", 12)
    for one, other in zip(whole, ops.softmax_means(teacher, student, centre, 0.1, 0.1), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_large_logits_do_not_overflow(ops: Ops) -> None:
    values = np.array([[900.0, -900.0, 0.0]], np.float32)
    means = ops.softmax_means(Ragged(values, [0, 1]), Ragged(values, [0, 1]), np.zeros(3), 0.04, 0.1)
    assert means.p[0].tolist() == [1.0, 0.0, 0.0]
    assert np.isfinite(means.l).all()


def test_logits_of_other_crops_are_refused(ops: Ops) -> None:
    values = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="other crops"):
        ops.softmax_means(Ragged(values, [0, 1, 3]), Ragged(values, [0, 2, 3]), np.zeros(2), 0.1, 0.1)


def naive_edges(p: np.ndarray, l: np.ndarray, thresholds: np.ndarray, rule: Rule) -> dict[tuple[int, int], float]:  # noqa: E741
    found = {}
    for a in range(len(p)):
        for b in range(a + 1, len(p)):
            similarity = -sum(
                float(p[a, i]) * float(l[b, i]) + float(p[b, i]) * float(l[a, i]) for i in range(p.shape[1])
            )
            known = [t for t in (thresholds[a], thresholds[b]) if not math.isnan(t)]
            if known:
                limit = {"or": max(known), "and": min(known), "mean": sum(known) / len(known)}[rule]
                if similarity / 2 < limit:
                    found[a, b] = similarity / 2
    return found


def edges_of(ops: Ops, p: np.ndarray, l: np.ndarray, t: np.ndarray, rule: Rule, tile: int) -> dict:  # noqa: E741
    found = {}
    for edges in ops.pair_edges(p, l, t, rule, tile):
        for a, b, s in zip(*(column.tolist() for column in edges), strict=True):
            assert (a, b) not in found, "an edge came twice"
            found[a, b] = s
    return found


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 14), k=st.integers(1, 6), tile=st.integers(1, 6), rule=rules, seed=seeds, sharp=st.booleans())
def test_edges_of_the_loss_are_those_of_all_pairs(
    ops: Ops, n: int, k: int, tile: int, rule: Rule, seed: int, sharp: bool
) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.05 if sharp else 1.0), n).astype(np.float32)
    l = np.log(rng.dirichlet(np.full(k, 0.5), n) + 1e-4).clip(max=0).astype(np.float32)  # noqa: E741
    t = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(0, 6, n))
    assert edges_of(ops, p, l, t, rule, tile) == pytest.approx(naive_edges(p, l, t, rule), rel=FLOAT32, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 12), tile=st.integers(1, 6), rule=rules, seed=seeds)
def test_edges_of_any_bilinear_metric_are_those_of_all_pairs(
    ops: Ops, n: int, tile: int, rule: Rule, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    p, l = rng.normal(size=(2, n, 3)).astype(np.float32)  # noqa: E741
    t = rng.normal(size=n)
    assert edges_of(ops, p, l, t, rule, tile) == pytest.approx(naive_edges(p, l, t, rule), rel=FLOAT32, abs=1e-6)


def test_tiles_that_can_hold_no_edge_change_nothing(ops: Ops) -> None:
    # Twelve people of ten tracks, each on a prototype of his own: most tiles are far from each other.
    rng = np.random.default_rng(0)
    who = rng.permutation(np.repeat(np.arange(12), 10))
    near = np.eye(16)[who] + rng.uniform(0, 0.05, (120, 16))
    p = (near / near.sum(1, keepdims=True)).astype(np.float32)
    t = rng.uniform(1.5, 2.5, 120)
    found = edges_of(ops, p, np.log(p), t, "or", 8)
    assert found == pytest.approx(naive_edges(p, np.log(p), t, "or"), rel=FLOAT32)
    assert all(who[a] == who[b] for a, b in found)
    assert len(found) == 12 * 45


def test_an_equal_similarity_is_not_below_its_threshold(ops: Ops) -> None:
    p = np.full((3, 4), 0.25, np.float32)
    l = np.full((3, 4), math.log(0.25), np.float32)  # noqa: E741
    assert edges_of(ops, p, l, np.full(3, math.log(4)), "or", 2) == {}
    assert len(edges_of(ops, p, l, np.full(3, math.log(4) * 1.001), "or", 2)) == 3


def gaussian(x: np.ndarray, kind: Gaussian, pooled: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and d x d covariance, written out."""
    n, d = x.shape
    mean = sum(x) / n
    if n == 1:
        return mean, pooled * np.eye(d)
    cov = sum(np.outer(row - mean, row - mean) for row in x) / (n - 1)
    floor = 1e-6 * pooled
    if kind == "spherical":
        return mean, max(np.trace(cov) / d, floor) * np.eye(d)
    if kind == "diag":
        return mean, np.diag(np.maximum(np.diag(cov), floor))
    if kind == "full":
        return mean, cov + floor * np.eye(d)
    top = (1 - 2 / d) * np.trace(cov @ cov) + np.trace(cov) ** 2
    bottom = (n + 1 - 2 / d) * (np.trace(cov @ cov) - np.trace(cov) ** 2 / d)
    weight = 1.0 if bottom <= top else top / bottom
    return mean, (1 - weight) * cov + max(weight * pooled, floor) * np.eye(d)


def log_density(y: np.ndarray, x: np.ndarray, kind: Gaussian, pooled: float) -> float:
    """Eq. 3, its logarithm, to the letter."""
    mean, cov = gaussian(x, kind, pooled)
    distance = (y - mean) @ np.linalg.solve(cov, y - mean)
    return -0.5 * (len(y) * math.log(2 * math.pi) + np.linalg.slogdet(cov)[1] + distance)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    d=st.integers(2, 8),
    kind=st.sampled_from(get_args(Gaussian)),
    seed=seeds,
    offset=st.sampled_from([0.0, 30.0]),
)
def test_log_densities_are_those_of_the_written_out_covariance(
    ops: Ops, counts: list[int], d: int, kind: Gaussian, seed: int, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    tracks = Ragged(rng.normal(offset, 1, (sum(counts), d)), np.cumsum([0, *counts]))
    points = rng.normal(offset, 1, (3, d))
    found = ops.log_densities(tracks, points, kind, 0.7)
    own = Ragged(ops.own_log_densities(tracks, kind, 0.7), tracks.offsets)
    left_out = Ragged(ops.own_log_densities(tracks, kind, 0.7, left_out=True), tracks.offsets)
    tolerance = {"rel": 1e-4 if kind == "full" else FLOAT64, "abs": 1e-4 if kind == "full" else FLOAT64}
    for j, x in enumerate(tracks):
        if len(x) == 0:
            assert np.isnan(found[j]).all()
            continue
        assert found[j] == pytest.approx([log_density(y, x, kind, 0.7) for y in points], **tolerance)
        assert own[j] == pytest.approx([log_density(y, x, kind, 0.7) for y in x], **tolerance)
        if len(x) == 1:
            assert np.isnan(left_out[j]).all()
        else:
            rest = [log_density(x[i], np.delete(x, i, 0), kind, 0.7) for i in range(len(x))]
            assert left_out[j] == pytest.approx(rest, **tolerance)


def test_a_density_in_one_dimension_worked_by_hand(ops: Ops) -> None:
    # Crops at 1 and 3: mean 2, variance 2. At 4: -(ln(2 pi . 2) + 4 / 2) / 2.
    tracks = Ragged(np.array([[1.0], [3.0]]), np.array([0, 2]))
    for kind in ("spherical", "diag"):
        assert ops.log_densities(tracks, np.array([[4.0]]), kind, 1.0)[0, 0] == pytest.approx(
            -(math.log(4 * math.pi) + 2) / 2
        )


def test_identical_crops_have_a_finite_density(ops: Ops) -> None:
    tracks = Ragged(np.ones((4, 64)), np.array([0, 4]))
    for kind in get_args(Gaussian):
        found = ops.log_densities(tracks, np.array([np.ones(64), np.zeros(64)]), kind, 0.1)
        assert np.isfinite(found).all()
        assert found[0, 0] > found[0, 1]


def test_many_more_dimensions_than_crops_need_no_square_of_them(ops: Ops) -> None:
    # 50,176 dimensions: a d x d covariance would be 20 GB.
    rng = np.random.default_rng(0)
    tracks = Ragged(rng.normal(size=(5, 50_176)).astype(np.float32), np.array([0, 3, 5]))
    for kind in ("shrunk", "full"):
        assert np.isfinite(ops.log_densities(tracks, tracks.mean(), kind, 1.0)).all()
