"""The peers of the ops do the same work, and kernels are timed launch by launch with the floors of their arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest
import shim
from fakes import Studio
from lanes import ShimLane

from vcn_trt.backends.base import FrameBatch, RawFaces
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.backends.cpu.ops import CpuOps
from vcn_trt.backends.cuda import floor
from vcn_trt.backends.cuda.ops import CudaOps
from vcn_trt.backends.cuda.upload import Uploader
from vcn_trt.bench import maths, peers
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.clock import HostClock
from vcn_trt.bench.launches import Picture, TimedDevice
from vcn_trt.bench.tracks import made_tracks, ragged
from vcn_trt.ragged import Ragged


def test_torchs_softmax_means_are_ours() -> None:
    logits = ragged(np.random.default_rng(0).normal(0, 0.3, (5, 3, 8)).astype(np.float32))
    ours = CpuOps().softmax_means(logits, logits, np.zeros(8), 0.04, 0.1)
    for a, b in zip(ours, peers.softmax_means(logits, 0.04, 0.1, "cpu")(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_torch_finds_as_many_pairs_as_we_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "TILE", 7)
    profiles = made_tracks(40, 4, CpuOps(), k=32).profiles
    given = profiles.p, profiles.l, profiles.thresholds()
    ours = sum(len(edges.a) for edges in CpuOps().pair_edges(*given, "mean"))
    assert peers.pair_edges(*given, "cpu")() == ours
    assert 0 < ours < 40 * 39 / 2


def test_scipy_and_torch_give_our_log_densities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "GAUSSIANS", 2)
    rng = np.random.default_rng(0)
    tracks, points = Ragged(rng.normal(size=(24, 6)), np.arange(0, 25, 8)), rng.normal(size=(5, 6))
    ours = CpuOps().log_densities(tracks, points, "full", 1.0)
    np.testing.assert_allclose(peers.log_densities(tracks, points)(), ours, rtol=1e-9)
    np.testing.assert_allclose(peers.log_densities_on(tracks, points, "cpu")(), ours, rtol=1e-9)


def test_opencv_keeps_the_faces_that_we_keep() -> None:
    rng = np.random.default_rng(0)
    low = rng.random((60, 2)).astype(np.float32) * 100
    boxes, scores = np.hstack([low, low + 40]), rng.random(60).astype(np.float32)
    ours = CpuOps().nms(RawFaces(boxes, scores, np.zeros((60, 5, 2), np.float32)), 0.4)
    assert list(peers.nms(boxes, scores, 0.4)()) == ours.tolist()


def frames(width: int, height: int, n: int) -> FrameBatch:
    """On the card that is none."""
    coded = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24").reformat(
        format="nv12"
    )
    (frame,) = Uploader(ShimLane())([CpuFrame(coded)])
    return FrameBatch([frame] * n, np.arange(n), np.arange(n) / 24)


@pytest.fixture
def device() -> TimedDevice:
    if reason := shim.missing():
        pytest.skip(reason)
    return TimedDevice(shim.ShimDevice(), HostClock(), Picture(34, 22, 1))


def test_a_launch_is_held_to_the_floor_of_its_own_arguments(device: TimedDevice) -> None:
    ops = CudaOps(device)
    ops.letterbox(frames(34, 22, 2), 64, (0.0, 0.0, 0.0), 1.0, True)
    ops.warp_faces(frames(34, 22, 1), np.zeros(3, int), np.zeros((3, 2, 3), np.float32))
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)
    ops.nms(RawFaces(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros((3, 5, 2), np.float32)), 0.4)
    found = device.launches()
    assert {name: launches[0].work for name, launches in found.items()} == {
        "letterbox": floor.letterbox(2, 34, 22, 64, 64),
        "warp_faces": floor.warp_faces(3),
        "nms": floor.nms(3, 2),
    }
    assert all(launch.seconds > 0 for launches in found.values() for launch in launches)
    assert device.launches() == {}


def test_the_maths_launches_too(device: TimedDevice) -> None:
    ops, rng = CudaOps(device), np.random.default_rng(0)
    logits = ragged(rng.random((3, 2, 5)).astype(np.float32))
    ops.softmax_means(logits, logits, np.zeros(5), 0.1, 0.1)
    p = rng.dirichlet(np.ones(8), 140).astype(np.float32)
    edges = sum(len(e.a) for e in ops.pair_edges(p, np.log(p), np.full(140, 9.0), "mean"))
    tracks = Ragged(rng.random((12, 7)), np.array([0, 4, 8, 12]))
    ops.log_densities(tracks, rng.random((5, 7)), "full", 0.5)
    found = {name: launches[0].work for name, launches in device.launches().items()}
    assert found == {
        "softmax_means": floor.softmax_means(6, 3, 5),
        "pair_edges": floor.pair_edges(140, 8, edges),  # three tiles of 128 hold all pairs
        "gaussian_fit": floor.gaussian_fit(3, 4, 7),
        "log_densities": floor.log_densities(3, 5, 4, 7),
    }


def test_pairs_that_were_pruned_are_not_counted(device: TimedDevice) -> None:
    # Two groups of 128 that share nothing: the tile between them is never looked at.
    p = np.zeros((256, 4), np.float32)
    p[:128, 0], p[128:, 1] = 1, 1
    l = np.where(p > 0, np.float32(-0.01), np.float32(-20))  # noqa: E741
    ops = CudaOps(device)
    edges = sum(len(e.a) for e in ops.pair_edges(p, l, np.full(256, 1.0), "mean"))
    (launch,) = device.launches()["pair_edges"]
    assert edges == 2 * 128 * 127 / 2
    assert launch.work.operations == pytest.approx(2 * 128 * 128 / 2 * 4 * 4)


def test_a_column_of_kernels_gets_a_line_a_kernel(
    bench: Bench, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := shim.missing():
        pytest.skip(reason)
    monkeypatch.setattr(maths, "GAUSSIANS", {"cpu": (2, 3)})
    monkeypatch.setattr(maths, "FACES", 2)
    monkeypatch.setattr(maths, "K", 8)
    monkeypatch.setattr(maths, "_of_detections", lambda bench, batch: [])
    monkeypatch.setattr(Bench, "first_batch", lambda self: frames(64, 36, 1))
    config = replace(bench.config, detect=replace(bench.config.detect, size=64))
    column = replace(bench.backend, name="shim", ops=CudaOps(shim.ShimDevice()))
    found = list(maths.kernels(replace(bench, backend=column, config=config, tracks=8, seconds=0.01)))
    lines: dict[str, Any] = {f.what: f for f in found}
    assert not [f.failed for f in found if f.failed]
    assert {name for name in lines if name.startswith("kernel ")} == {
        *("kernel letterbox of letterbox", "kernel thumbnails of thumbnails", "kernel warp_faces of warp_faces"),
        *("kernel sharpness of sharpness", "kernel softmax_means of softmax_means", "kernel pair_edges of pair_edges"),
        *("kernel gaussian_fit of log_densities", "kernel log_densities of log_densities"),
        *("kernel gaussian_fit of own_log_densities", "kernel log_densities of own_log_densities"),
    }
    line = lines["kernel letterbox of letterbox"]
    work = floor.letterbox(1, 64, 36, 64, 64)
    assert line.facts["bytes"] == work.bytes
    # At 1e9 bytes and 1e9 operations a second the greater of the two counts.
    assert line.most["rate"] == pytest.approx(1e9 / max(work.bytes, work.operations))
    assert 0 < line.share < 1
    assert line.rounds == 5
