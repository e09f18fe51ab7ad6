"""The kernels of the clustering maths, held to the CPU column at sizes beyond one tile, slice and launch; the contract
tests hold both to plain loops."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from vcn_trt.backends.base import Gaussian, Ops, Rule
from vcn_trt.backends.cpu.ops import CpuOps
from vcn_trt.backends.cuda import maths
from vcn_trt.backends.cuda.ops import CudaOps
from vcn_trt.ragged import Ragged


def ragged(counts: list[int], k: int, seed: int, dtype: type = np.float32) -> Ragged:
    return Ragged(np.random.default_rng(seed).normal(size=(sum(counts), k)).astype(dtype), np.cumsum([0, *counts]))


@pytest.mark.parametrize("k", [1, 256, 4096, 4097, 9000])
def test_softmax_means_of_rows_longer_than_a_slice(ops: CudaOps, k: int) -> None:
    counts = [2, 0, 1, 3]
    centre = np.random.default_rng(9).normal(size=k)
    args = ragged(counts, k, 1), ragged(counts, k, 2), centre, 0.04, 0.1
    for found, expected in zip(ops.softmax_means(*args), CpuOps().softmax_means(*args), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=3e-5, atol=1e-9)


def edges(ops: Ops, p: np.ndarray, l: np.ndarray, t: np.ndarray, rule: Rule) -> tuple[list, np.ndarray]:  # noqa: E741
    a, b, s = (np.concatenate(c) for c in zip(*ops.pair_edges(p, l, t, rule), strict=True))
    order = np.lexsort((b, a))
    assert (a < b).all()
    return list(zip(a[order].tolist(), b[order].tolist(), strict=True)), s[order]


def people(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tracks of a dozen people as the loss sees them, and their thresholds, some unknown."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(n) % 12
    near = np.eye(max(k, 12))[who, :k] + rng.uniform(0.01, 0.1, (n, k))
    p = (near / near.sum(1, keepdims=True)).astype(np.float32)
    return p, np.log(p), np.where(rng.random(n) < 0.1, np.nan, rng.uniform(1, 4, n))


@pytest.mark.parametrize("rule", get_args(Rule))
@pytest.mark.parametrize(("n", "k"), [(128, 16), (300, 13), (129, 32)])
def test_edges_between_several_tiles(ops: CudaOps, n: int, k: int, rule: Rule) -> None:
    p, l, t = people(n, k, n)  # noqa: E741
    found, similarity = edges(ops, p, l, t, rule)
    expected, nearness = edges(CpuOps(), p, l, t, rule)
    assert found == expected
    assert len(found) > 50
    np.testing.assert_allclose(similarity, nearness, rtol=2e-5)


def test_more_edges_than_a_launch_can_hold_come_in_several(ops: CudaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    p, l, t = people(300, 16, 0)  # noqa: E741
    every = np.full_like(t, 100.0)
    monkeypatch.setattr(maths, "CAPACITY", maths.TILE**2)
    parts = list(ops.pair_edges(p, l, every, "or"))
    assert len(parts) > 3
    assert (
        sum(len(e.a) for e in parts)
        == len({(a, b) for e in parts for a, b in zip(e.a, e.b, strict=True)})
        == 300 * 299 // 2
    )


def test_no_launch_has_more_pairs_than_are_counted() -> None:
    assert np.iinfo(np.int32).max >= maths.TILES * maths.TILE**2


def test_edges_do_not_depend_on_how_many_tiles_a_launch_has(ops: CudaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    p, l, t = people(300, 16, 0)  # noqa: E741
    whole, similarity = edges(ops, p, l, t, "or")
    monkeypatch.setattr(maths, "TILES", 1)
    again, nearness = edges(ops, p, l, t, "or")
    assert again == whole
    assert nearness.tolist() == similarity.tolist()


def test_tiles_without_edges_are_not_launched(ops: CudaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    # Three people of 128 tracks each, one a tile once like stand together: three tiles of the six can hold an edge.
    who = np.random.default_rng(0).permutation(np.repeat(np.arange(3), 128))
    p = (np.eye(4)[who] * 0.96 + 0.01).astype(np.float32)
    launched: list[int] = []
    whole = ops._edges

    def counting(*args):
        launched.append(len(args[4]))
        return whole(*args)

    monkeypatch.setattr(ops, "_edges", counting)
    found, _ = edges(ops, p, np.log(p), np.full(384, 1.0), "or")
    assert launched == [3]
    assert len(found) == 3 * 128 * 127 // 2


@pytest.mark.parametrize("kind", get_args(Gaussian))
@pytest.mark.parametrize("d", [2, 3, 130])
def test_log_densities_of_long_tracks_and_many_points(ops: CudaOps, kind: Gaussian, d: int) -> None:
    counts = [1, 0, 2, 17, 40]
    tracks, points = ragged(counts, d, 3), ragged([37], d, 4).values
    cpu = CpuOps()
    close = {"rtol": 1e-5, "atol": 1e-5} if kind == "full" else {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(
        ops.log_densities(tracks, points, kind, 0.9), cpu.log_densities(tracks, points, kind, 0.9), **close
    )
    for left_out in (False, True):
        np.testing.assert_allclose(
            ops.own_log_densities(tracks, kind, 0.9, left_out),
            cpu.own_log_densities(tracks, kind, 0.9, left_out),
            **close,
        )


def test_densities_do_not_depend_on_how_the_fits_are_cut_into_launches(
    ops: CudaOps, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, points = ragged([3, 1, 0, 5, 2], 7, 5), ragged([4], 7, 6).values
    whole = ops.log_densities(tracks, points, "shrunk", 1.0), ops.own_log_densities(tracks, "shrunk", 1.0, True)
    monkeypatch.setattr(maths, "NUMBERS", 60)
    again = ops.log_densities(tracks, points, "shrunk", 1.0), ops.own_log_densities(tracks, "shrunk", 1.0, True)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_to_do_is_done(ops: CudaOps) -> None:
    none = Ragged(np.zeros((0, 4), np.float32), np.zeros(4, np.int64))
    assert np.isnan(ops.log_densities(none, np.zeros((2, 4)), "shrunk", 1.0)).all()
    assert ops.log_densities(ragged([2], 4, 0), np.zeros((0, 4)), "full", 1.0).shape == (1, 0)
    assert ops.own_log_densities(none, "diag", 1.0).shape == (0,)
    means = ops.softmax_means(none, none, np.zeros(4), 0.1, 0.1)
    assert np.isnan(means.p).all()
    assert means.own.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("sizes", "most", "expected"), [([], 9, []), ([3, 3, 3], 6, [2, 1]), ([9, 1, 0, 9], 5, [1, 2, 1])]
)
def test_runs_hold_what_fits_and_never_nothing(sizes: list[int], most: int, expected: list[int]) -> None:
    assert [r.stop - r.start for r in maths.runs(np.array(sizes, np.int64), most)] == expected
