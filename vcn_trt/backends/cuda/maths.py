"""The CUDA column of the clustering maths: softmax means and pair edges (sections 3.4, 3.7), Gaussian log densities
(Eq. 3). Work comes in pieces that fit the card; no array grows with the square of the tracks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import TIE, Array, Edges, Gaussian, Rule, SoftmaxMeans
from vcn_trt.backends.cpu.maths import FLOOR
from vcn_trt.backends.cuda.kernels import Device, launch
from vcn_trt.ragged import Ragged

TILE = 128  # rows of pair_edges' tile
COLUMNS = 4096  # that a block of softmax_means holds
CAPACITY = 1 << 22  # edges of a launch: 48 MiB
TILES = 1 << 14  # of a launch: all their pairs are fewer than an int counts
NUMBERS = 1 << 27  # in the largest temporary array: 1 GiB of doubles
RULES: dict[Rule, int] = {"or": 0, "and": 1, "mean": 2}
KINDS: dict[Gaussian, int] = {"spherical": 0, "diag": 1, "shrunk": 2, "full": 3}


class CudaMaths:
    """That part of `Ops` which never sees a frame."""

    device: Device

    def softmax_means(
        self, teacher: Ragged, student: Ragged, centre: NDArray[np.floating], tau_t: float, tau_s: float
    ) -> SoftmaxMeans:
        if not np.array_equal(teacher.offsets, student.offsets) or teacher.values.shape != student.values.shape:
            raise ValueError(f"teacher {teacher.values.shape} and student {student.values.shape} are of other crops")
        n, k = len(teacher), teacher.values.shape[1]
        means = SoftmaxMeans(np.empty((n, k), np.float32), np.empty((n, k), np.float32), np.zeros(n))
        xp = self.device.xp
        for tracks in runs(teacher.counts, max(1, NUMBERS // k)):
            offsets = teacher.offsets[tracks.start : tracks.stop + 1]
            rows = slice(offsets[0], offsets[-1])
            count = tracks.stop - tracks.start
            with self.device.active():
                p, l = xp.empty((count, k), np.float32), xp.empty((count, k), np.float32)  # noqa: E741
                own = xp.empty((count, -(-k // COLUMNS)), np.float64)
                launch(
                    self.device,
                    "softmax_means",
                    own.shape,
                    (256,),
                    teacher=_on_device(xp, teacher.values[rows], np.float32),
                    student=_on_device(xp, student.values[rows], np.float32),
                    offsets=xp.asarray(offsets - offsets[0]),
                    centre=_on_device(xp, centre, np.float32),
                    tracks=count,
                    k=k,
                    tau_t=tau_t,
                    tau_s=tau_s,
                    p=p,
                    l=l,
                    own=own,
                )
                means.p[tracks], means.l[tracks] = self.device.to_numpy(p), self.device.to_numpy(l)
                means.own[tracks] = self.device.to_numpy(own.sum(1))
        return means

    def pair_edges(
        self,
        p: NDArray[np.float32],
        l: NDArray[np.float32],  # noqa: E741
        thresholds: NDArray[np.floating],
        rule: Rule,
        tile: int = 64,
    ) -> Iterator[Edges]:
        """`tile` is the CPU column's; the kernel's is 128."""
        n, xp = len(p), self.device.xp
        if n < 2:
            return
        with self.device.active():
            limits = _on_device(xp, thresholds, np.float64)
            p, l = _padded(xp, p), _padded(xp, l)  # noqa: E741
            prune = bool(p.min() >= 0) and bool(l.max() <= 0)  # a loss: bounds hold only for one sign
            order = _neighbours_together(xp, p) if prune else xp.arange(n)
            t = self.device.to_numpy(limits[order])
            tiles = _all_tiles(n)
            if prune:
                tiles = tiles[_may_hold(self.device.to_numpy(_lower_bounds(xp, p, l, order)), t, tiles)]
            order = order.astype(np.int32)
        waiting = [tiles[i : i + TILES] for i in range(0, len(tiles), TILES)]
        while waiting:
            some = waiting.pop()
            with self.device.active():
                edges = self._edges(p, l, limits, order, some, rule)
            if edges is None:  # more than there is room for: a single tile always fits
                waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
            elif len(edges.a):
                yield edges

    def _edges(self, p: Array, l: Array, t: Array, order: Array, tiles: NDArray[np.int32], rule: Rule) -> Edges | None:  # noqa: E741
        xp = self.device.xp
        capacity = max(TILE * TILE, min(CAPACITY, len(tiles) * TILE * TILE))
        count = xp.zeros(1, np.int32)
        a, b = xp.empty(capacity, np.int32), xp.empty(capacity, np.int32)
        similarity = xp.empty(capacity, np.float32)
        launch(
            self.device,
            "pair_edges",
            (len(tiles),),
            (256,),
            p=p,
            l=l,
            thresholds=t,
            order=order,
            tiles=xp.asarray(tiles),
            n=len(p),
            k=p.shape[1],
            rule=RULES[rule],
            tie=TIE,
            capacity=capacity,
            count=count,
            a=a,
            b=b,
            similarity=similarity,
        )
        found = int(self.device.to_numpy(count)[0])
        if found > capacity:
            return None
        host = [self.device.to_numpy(column[:found]) for column in (a, b, similarity)]
        return Edges(host[0].astype(np.int64), host[1].astype(np.int64), host[2])

    def log_densities(
        self, tracks: Ragged, points: NDArray[np.floating], kind: Gaussian, pooled: float
    ) -> NDArray[np.float64]:
        n, m = len(tracks), len(points)
        out = np.full((n, m), np.nan)
        full = np.flatnonzero(tracks.counts > 0)
        start, stop = tracks.offsets[full], tracks.offsets[full + 1]
        zero = np.zeros_like(start)
        found = self._densities(tracks, points, kind, pooled, start, stop, zero - 1, zero, zero + m)
        out[full] = found.reshape(len(full), m)
        return out

    def own_log_densities(
        self, tracks: Ragged, kind: Gaussian, pooled: float, left_out: bool = False
    ) -> NDArray[np.float64]:
        out = np.full(len(tracks.values), np.nan)
        track = np.flatnonzero(tracks.counts > (1 if left_out else 0))
        if left_out:  # a fit a crop
            rows = np.flatnonzero(np.isin(tracks.group_ids, track))
            track = tracks.group_ids[rows]
            first, last, missing = rows, rows + 1, rows
        else:
            rows = np.arange(len(out))
            first, last = tracks.offsets[track], tracks.offsets[track + 1]
            missing = np.full(len(track), -1)
        start, stop = tracks.offsets[track], tracks.offsets[track + 1]
        out[rows] = self._densities(tracks, tracks.values, kind, pooled, start, stop, missing, first, last)
        return out

    def _densities(
        self,
        tracks: Ragged,
        points: NDArray[Any],
        kind: Gaussian,
        pooled: float,
        start: NDArray[np.int64],
        stop: NDArray[np.int64],
        left_out: NDArray[np.int64],
        first: NDArray[np.int64],
        last: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Fit f is of the rows start to stop of the tracks but `left_out`, and is asked for the points first to last.
        All (fits,). -> the answers, fit by fit"""
        xp, d = self.device.xp, points.shape[1]
        out = [np.zeros(0)]
        basis = kind in ("shrunk", "full")
        n = stop - start - (left_out >= 0) if basis else np.zeros_like(start)
        size = n * d + n * n + 2 * d + (last - first)  # what a fit needs on the card
        with self.device.active():
            # Differences of squares lose less where the vectors are short.
            origin = np.asarray(tracks.values).mean(0, dtype=np.float64) if len(tracks.values) else 0.0
            values = _on_device(xp, np.asarray(tracks.values, np.float64) - origin, np.float64)
            same = points is tracks.values
            points = values if same else _on_device(xp, np.asarray(points, np.float64) - origin, np.float64)
        for some in runs(size, NUMBERS):
            fits, answers = some.stop - some.start, _starts((last - first)[some])
            basis_at, gram_at = _starts(n[some]), _starts(n[some] ** 2)
            widest = int((last - first)[some].max())
            with self.device.active():
                gaussian = {
                    "basis_at": xp.asarray(basis_at),
                    "mean": xp.empty((fits, d)),
                    "inverse": xp.empty((fits, d)),
                    "basis": xp.empty((int(basis_at[-1]), d)),
                    "constant": xp.empty(fits),
                }
                launch(
                    self.device,
                    "gaussian_fit",
                    (fits,),
                    (256,),
                    values=values,
                    start=xp.asarray(start[some]),
                    stop=xp.asarray(stop[some]),
                    left_out=xp.asarray(left_out[some]),
                    gram_at=xp.asarray(gram_at),
                    gram=xp.empty(int(gram_at[-1])),
                    d=d,
                    kind=KINDS[kind],
                    pooled=pooled,
                    least=FLOOR * pooled,
                    **gaussian,
                )
                densities = xp.empty(int(answers[-1]))
                launch(
                    self.device,
                    "log_densities",
                    (fits, -(-widest // 16)),
                    (256,),
                    points=points,
                    first=xp.asarray(first[some]),
                    last=xp.asarray(last[some]),
                    out_at=xp.asarray(answers[:-1]),
                    d=d,
                    out=densities,
                    **gaussian,
                )
                out.append(self.device.to_numpy(densities))
        return np.concatenate(out)


def runs(sizes: NDArray[np.integer[Any]], most: int) -> Iterator[slice]:
    """Consecutive items that together are not above `most`, or a single one that is. sizes: (n,)"""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _on_device(xp: Any, values: Any, dtype: Any) -> Array:
    """Contiguous and of this dtype; an array that is all that already is not copied."""
    return xp.ascontiguousarray(xp.asarray(values, dtype=dtype))


def _padded(xp: Any, rows: Any) -> Array:
    """With zeros to a multiple of four columns, which the kernel reads at once and which add nothing."""
    rows = _on_device(xp, rows, np.float32)
    more = -rows.shape[1] % 4
    return xp.pad(rows, ((0, 0), (0, more))) if more else rows


def _neighbours_together(xp: Any, p: Array) -> Array:
    """Rows ordered by their strongest prototype, then the next: tiles of like rows have tight bounds. (n,)"""
    tops = []
    for i in range(0, len(p), 4096):
        part = p[i : i + 4096].copy()
        first = part.argmax(1)
        part[xp.arange(len(part)), first] = -math.inf
        tops.append(xp.stack([part.argmax(1), first]))
    return xp.lexsort(xp.concatenate(tops, 1))


def _lower_bounds(xp: Any, p: Array, l: Array, order: Array) -> Array:  # noqa: E741
    """[i, j]: p >= 0 >= l, so -p_a . l_b >= -p_a . max over tile j of l, for all a of tile i. (tiles, tiles)"""
    starts = range(0, len(p), TILE)
    best = xp.stack([l[order[s : s + TILE]].max(0) for s in starts])  # (tiles, k)
    return xp.stack([-(p[order[s : s + TILE]] @ best.T).max(0) for s in starts])


def _all_tiles(n: int) -> NDArray[np.int32]:
    """Row and column of the tiles on and above the diagonal. (m, 2)"""
    return np.stack(np.triu_indices(-(-n // TILE)), 1).astype(np.int32)


def _may_hold(least: NDArray[Any], t: NDArray[np.float64], tiles: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Tiles whose lower bound leaves room for an edge. least: of `_lower_bounds`; t: thresholds in order. (m,)"""
    # The greater of two thresholds is above every rule's limit.
    most = np.maximum.reduceat(np.where(np.isnan(t), -np.inf, t), np.arange(0, len(t), TILE))
    i, j = tiles.T
    lower = (least[i, j] + least[j, i]) / 2
    return np.asarray(lower * (1 - 1e-4) < np.maximum(most[i], most[j]))  # some room for rounding
