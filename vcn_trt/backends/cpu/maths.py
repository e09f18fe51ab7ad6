"""The CPU column of the clustering maths: the loss metric of all track pairs as tiled matrix products (sections 3.4 and
3.7) and Gaussians in Gram form (Eq. 3). NumPy alone; the reference that kernels are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import TIE, Edges, Gaussian, Rule, SoftmaxMeans, combined
from vcn_trt.overlap import side_by_side
from vcn_trt.ragged import Ragged

FLOOR = 1e-6
_CHUNK = 1 << 22  # numbers in a temporary array
_COLUMNS = 8192  # tracks on the long side of a tile
_AHEAD = 32  # blocks that are bounded in one product


class CpuMaths:
    """That part of `Ops` which never sees a frame."""

    def softmax_means(
        self, teacher: Ragged, student: Ragged, centre: NDArray[np.floating], tau_t: float, tau_s: float
    ) -> SoftmaxMeans:
        if not np.array_equal(teacher.offsets, student.offsets) or teacher.values.shape != student.values.shape:
            raise ValueError(f"teacher {teacher.values.shape} and student {student.values.shape} are of other crops")
        n, k = len(teacher), teacher.values.shape[1]
        means = SoftmaxMeans(np.full((n, k), np.nan, np.float32), np.full((n, k), np.nan, np.float32), np.zeros(n))
        for tracks in _runs(teacher.offsets, max(1, _CHUNK // k)):
            rows = slice(teacher.offsets[tracks.start], teacher.offsets[tracks.stop])
            p, _ = _softmax((np.asarray(teacher.values[rows], np.float32) - np.asarray(centre, np.float32)) / tau_t)
            _, l = _softmax(np.asarray(student.values[rows], np.float32) / tau_s)  # noqa: E741
            own = np.einsum("ij,ij->i", p, l)
            counts = teacher.counts[tracks]
            full = np.flatnonzero(counts)
            if not len(full):
                continue
            starts = (teacher.offsets[tracks] - rows.start)[full]  # reduceat gives an empty group a neighbour's row
            at = tracks.start + full
            means.p[at] = np.add.reduceat(p, starts) / counts[full, None]
            means.l[at] = np.add.reduceat(l, starts) / counts[full, None]
            means.own[at] = np.add.reduceat(own.astype(np.float64), starts)
        return means

    def pair_edges(
        self,
        p: NDArray[np.float32],
        l: NDArray[np.float32],  # noqa: E741
        thresholds: NDArray[np.floating],
        rule: Rule,
        tile: int = 64,
    ) -> Iterator[Edges]:
        n = len(p)
        if n < 2:
            return
        t = np.asarray(thresholds, np.float64)
        prune = bool(p.min() >= 0 and l.max() <= 0)  # a loss: bounds hold only for one sign
        order = _neighbours_together(p) if prune else np.arange(n)
        p, l, t = p[order], l[order], t[order]  # noqa: E741
        bounds = _TileBounds(p, l, t, tile) if prune else None

        def chunks() -> Iterator[tuple[int, NDArray[np.int64]]]:
            for start in range(0, n, tile):
                columns = np.arange(start, n) if bounds is None else bounds.columns(start // tile)
                yield from ((start, columns[i : i + _COLUMNS]) for i in range(0, len(columns), _COLUMNS))

        def edges_of(item: tuple[int, NDArray[np.int64]]) -> Edges:
            start, chunk = item
            a, b, similarity = _edges(p, l, t, rule, np.arange(start, min(n, start + tile)), chunk)
            a, b = order[a], order[b]
            return Edges(np.minimum(a, b), np.maximum(a, b), similarity)

        yield from (edges for edges in side_by_side(edges_of, chunks()) if len(edges.a))

    def log_densities(
        self, tracks: Ragged, points: NDArray[np.floating], kind: Gaussian, pooled: float
    ) -> NDArray[np.float64]:
        out = np.full((len(tracks), len(points)), np.nan)
        origin = _origin(tracks)
        y = np.asarray(points, np.float64) - origin
        for group, crops in _by_count(tracks):
            for some in range(0, len(group), step := _at_once(crops, len(points))):
                x = crops[some : some + step] - origin
                out[group[some : some + step]] = _log_density(x, y, kind, pooled)
        return out

    def own_log_densities(
        self, tracks: Ragged, kind: Gaussian, pooled: float, left_out: bool = False
    ) -> NDArray[np.float64]:
        out = np.full(len(tracks.values), np.nan)
        origin = _origin(tracks)
        for group, crops in _by_count(tracks):
            n = crops.shape[1]
            others = np.array([np.delete(np.arange(n), i) for i in range(n)])  # (n, n - 1)
            if left_out and n == 1:
                continue
            for some in range(0, len(group), step := max(1, _at_once(crops, n) // (n if left_out else 1))):
                x = crops[some : some + step] - origin  # (m, n, d)
                rows = tracks.offsets[group[some : some + step], None] + np.arange(n)
                if left_out:
                    rest, each = x[:, others].reshape(-1, n - 1, x.shape[2]), x.reshape(-1, 1, x.shape[2])
                    out[rows] = _log_density(rest, each, kind, pooled).reshape(-1, n)
                else:
                    out[rows] = _log_density(x, x, kind, pooled)
        return out


def _edges(
    p: NDArray[np.float32],
    l: NDArray[np.float32],  # noqa: E741
    t: NDArray[np.float64],
    rule: Rule,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> Edges:
    """The edges of a tile of rows to columns behind them. rows: consecutive."""
    own = slice(rows[0], rows[-1] + 1)
    common = p[own] @ l[columns].T  # (tile, chunk)
    common += l[own] @ p[columns].T
    # The greater of two thresholds is above every rule's limit: few are left to be looked at closely.
    most = np.fmax(np.fmax.reduce(t[own]), t[columns])
    i, j = np.nonzero(common > np.nextafter(np.float32(-2) * most.astype(np.float32), np.float32(-np.inf)))
    similarity = common[i, j] * np.float32(-0.5)
    a, b = rows[i], columns[j]
    limit = combined(t[a], t[b], rule)
    below = (similarity < limit - TIE * np.abs(limit)) & (b > a)
    return Edges(a[below], b[below], similarity[below])


class _TileBounds:
    """Which columns can hold an edge to a tile of rows, without forming it.

    p >= 0 >= l, so for every track b of a block B: -p_a . l_b >= -p_a . max_B(l). One product of all rows with a row a
    block bounds both halves of the similarity. Exact: what is left out is no edge. The smaller the blocks, the nearer
    their rows and the bound: of 20,000 made tracks (`bench/tracks.py`) 38, 14, 6, 3 % of all pairs are left at 256,
    128, 64, 32 rows.
    """

    def __init__(self, p: NDArray[np.float32], l: NDArray[np.float32], t: NDArray[np.float64], tile: int) -> None:  # noqa: E741
        self.p, self.tile = p, tile
        starts = np.arange(0, len(p), tile)
        self.best = np.stack([l[s : s + tile].max(0) for s in starts])  # (blocks, k)
        self.t = np.where(np.isnan(t), -np.inf, t)  # the greater of two is above every rule's limit
        self.most = np.maximum.reduceat(self.t, starts)
        self.first, self.ahead = 0, np.empty((0, 0), np.float32)

    def columns(self, block: int) -> NDArray[np.int64]:
        start = block * self.tile
        own = self.p[start : start + self.tile]
        least = -(own @ self.best[block:].T).max(0)  # of -p_a . l_b, for all a of this block, a block of b
        other = np.arange(start, len(self.p)) // self.tile - block
        lower = (self._of_rows(block) + least[other]) / 2
        limit = np.maximum(self.t[start:], self.most[block])
        return start + np.flatnonzero(lower * (1 - 1e-4) < limit)  # some room for rounding

    def _of_rows(self, block: int) -> NDArray[np.float32]:
        """The least of -p_a . l_b for each row a from this block on, b of the block: for some blocks at a time, since
        each product reads all rows."""
        if not self.first <= block < self.first + self.ahead.shape[1]:
            self.first = block
            self.ahead = -(self.p[block * self.tile :] @ self.best[block : block + _AHEAD].T)
        return np.asarray(self.ahead[(block - self.first) * self.tile :, block - self.first])


def _neighbours_together(p: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows ordered by their three strongest prototypes: blocks of like rows have tight bounds. Which of the three is
    the strongest differs from one track of a person to the other, and does not count."""
    k = p.shape[1]
    if k < 2:
        return np.arange(len(p))
    few = min(3, k - 1)
    top = np.concatenate([np.argpartition(p[i : i + 4096], -few, axis=1)[:, -few:] for i in range(0, len(p), 4096)])
    return np.asarray(np.lexsort(np.sort(top, axis=1).T))


def _softmax(z: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Softmax and log-softmax of each row."""
    z = z.astype(np.float32)
    z -= z.max(1, keepdims=True)
    e = np.exp(z)
    total = e.sum(1, keepdims=True)
    return e / total, z - np.log(total)


def _runs(offsets: NDArray[np.int64], rows: int) -> Iterator[slice]:
    """Consecutive groups that together hold about so many rows, at least one a time."""
    start = 0
    while start < len(offsets) - 1:
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + rows, side="right")) - 1)
        yield slice(start, stop)
        start = stop


def _by_count(tracks: Ragged) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Tracks with equally many crops, to be worked as one batch: their numbers (m,), their crops (m, n, d)."""
    for n in np.unique(tracks.counts[tracks.counts > 0]):
        group = np.flatnonzero(tracks.counts == n)
        yield group, tracks.values[tracks.offsets[group, None] + np.arange(n)]


def _at_once(crops: NDArray[Any], n_points: int) -> int:
    _, n, d = crops.shape
    return int(max(1, _CHUNK // (n * max(d, n, n_points) + n_points)))


def _origin(tracks: Ragged) -> NDArray[np.float64]:
    """Differences of squares lose less where the vectors are short."""
    values = np.asarray(tracks.values)
    return values.mean(0, dtype=np.float64) if len(values) else np.zeros(values.shape[1])


def _log_density(x: NDArray[np.float64], y: NDArray[np.float64], kind: Gaussian, pooled: float) -> NDArray[np.float64]:
    """x: (m, n, d) the crops of m tracks; y: (points, d) for all or (m, points, d) for each. -> (m, points)"""
    _, n, d = x.shape
    mean = x.mean(1, keepdims=True)
    x = x - mean
    squares = (y * y).sum(-1) - 2 * (mean @ np.swapaxes(y, -1, -2))[:, 0] + (mean * mean).sum(-1)  # |y - mean|^2
    floor = FLOOR * pooled
    if kind == "diag" or kind == "spherical":
        variance = (x * x).sum(1) / (n - 1) if n > 1 else np.full_like(x[:, 0], pooled)  # (m, d)
        if kind == "diag":
            variance = np.maximum(variance, floor)
            # (y - mean)^2 / v, summed: y^2 . 1/v - 2 y . mean/v + mean^2 . 1/v
            y2, inverse = np.swapaxes(y * y, -1, -2), (1 / variance)[:, None]
            distance = (inverse @ y2 - 2 * (mean * inverse) @ np.swapaxes(y, -1, -2))[:, 0]
            distance += (mean[:, 0] ** 2 / variance).sum(-1, keepdims=True)
            return _normal(distance, np.log(variance).sum(-1, keepdims=True), d)
        common = np.maximum(variance.mean(-1, keepdims=True), floor)
        return _normal(squares / common, d * np.log(common), d)
    gram = x @ np.swapaxes(x, -1, -2) / max(1, n - 1)  # (m, n, n) with the covariance's eigenvalues
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    weight = _oas_weight(values, n, d) if kind == "shrunk" else np.full(len(x), float(n == 1))  # (m,) of the target
    a = (1 - weight)[:, None]
    b = np.maximum(weight * pooled, floor)[:, None]
    # The covariance is a S + b I; by Woodbury its inverse is (I - sum of v v' a s / (a s + b)) / b over eigenvalues s
    # of S with eigenvectors v = x' u / sqrt(s (n - 1)), u those of the Gram matrix.
    along = np.swapaxes(vectors, -1, -2) @ (x @ np.swapaxes(y, -1, -2) - x @ np.swapaxes(mean, -1, -2))
    inside = (along**2 * (a / (max(1, n - 1) * (a * values + b)))[..., None]).sum(1)  # (m, points)
    log_det = d * np.log(b) + np.log1p(a * values / b).sum(-1, keepdims=True)
    return _normal(np.maximum(squares - inside, 0) / b, log_det, d)


def _normal(distance: NDArray[np.float64], log_det: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    return np.asarray(-0.5 * (d * np.log(2 * np.pi) + log_det + distance))


def _oas_weight(values: NDArray[np.float64], n: int, d: int) -> NDArray[np.float64]:
    """How much of the target a covariance of n crops needs: Chen, Wiesel, Eldar, Hero, "Shrinkage algorithms for MMSE
    covariance estimation" (2010), Eq. 23, from the traces of S and its square. values: (m, n) eigenvalues. (m,)"""
    trace2, square = values.sum(-1) ** 2, (values**2).sum(-1)
    above = (1 - 2 / d) * square + trace2
    below = (n + 1 - 2 / d) * (square - trace2 / d)
    return np.asarray(np.where(below > above, above / np.where(below > 0, below, 1), 1.0))
