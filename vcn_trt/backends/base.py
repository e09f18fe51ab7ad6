"""The three seams. Each has one column a device; a stage sees these protocols alone and never asks which column it
has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vcn_trt.config import DecodeConfig
from vcn_trt.ragged import Ragged
from vcn_trt.types import Video

Array = Any
"""An array where the backend keeps its data: NumPy on the CPU, CuPy on a card."""


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Consecutive frames in presentation order. `pixels` is the backend's own form of each frame (only its Ops looks
    inside); frame_indices: (n,) int64 from 0 a video. seconds: (n,) float64, the container's presentation times."""

    pixels: Sequence[Any]
    frame_indices: NDArray[np.int64]
    seconds: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass
class DecodeReport:
    """What became of a stream, filled while it is read. frames: decoded so far. lost: frames or packets that the
    decoder refused. warnings: sentences for a person, of what is amiss with the film; notes: of how it was decoded."""

    frames: int = 0
    lost: int = 0
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class RawFaces(NamedTuple):
    """What a detector says of one frame: boxes (m, 4) xyxy, scores (m,), landmarks (m, 5, 2), all float32."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]


class SoftmaxMeans(NamedTuple):
    """Tracks as the loss metric (Eq. 2) sees them. p, l: (n_tracks, k) float32, the mean over a track's crops of the
    teacher's softmax and of the student's log-softmax, NaN for a track without crops. own: (n_tracks,) float64, the sum
    over its crops of p_i . l_i, which is what the pairs of a crop with itself would add to its threshold."""

    p: NDArray[np.float32]
    l: NDArray[np.float32]  # noqa: E741
    own: NDArray[np.float64]


class Edges(NamedTuple):
    """Pairs of tracks that are near enough: a < b (m,) int64, similarity (m,) float32, a loss: lower is nearer."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    similarity: NDArray[np.float32]


Rule = Literal["or", "and", "mean"]
"""Algorithm 1's `Sim < Thres_j / Thres_k`: below the greater of the two, the smaller, or their mean."""

Gaussian = Literal["spherical", "diag", "shrunk", "full"]
"""What stands for a track's covariance (Eq. 3), which is singular where it has fewer crops than dimensions."""

TIE = 1e-5
"""A similarity within this part of its threshold equals it, and equal is not below: rounding never decides."""


def combined(a: ArrayLike, b: ArrayLike, rule: Rule) -> NDArray[np.floating[Any]]:
    """What two tracks' thresholds make together; where one has none (NaN), the other's."""
    if rule == "mean":
        return np.asarray((np.where(np.isnan(a), b, a) + np.where(np.isnan(b), a, b)) / 2)
    return np.asarray(np.fmax(a, b) if rule == "or" else np.fmin(a, b))


class Decoder(Protocol):
    """One pass over one video. Opening raises VideoError where there is nothing to decode. `video.frames` is the
    container's claim (0 where it makes none); after the pass `report.frames` is the truth."""

    video: Video
    report: DecodeReport

    def __iter__(self) -> Iterator[FrameBatch]: ...

    def close(self) -> None: ...


class Network(Protocol):
    """A network of named arrays. Calls may overlap from several threads."""

    input_names: Sequence[str]
    output_names: Sequence[str]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]: ...

    def refit(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        """Replace initialisers by name, shapes unchanged. Raises ModelError for an unknown name or another shape."""
        ...

    def proven_on(self, inputs: Mapping[str, Array]) -> bool:
        """Hold the network to what it was made of, in float32, on some inputs of the footage itself. False where it was
        too far off and another has taken its place, which is said. Raises ModelError where that is too far off, too."""
        ...


class Ops(Protocol):
    """The maths between the networks. Every column gives the CPU column's numbers, within the tolerance of the dtype.
    Results come back on the host, where the tracker is, but for the inputs of a network."""

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """An array of the backend on the host."""
        ...

    def letterbox(
        self, batch: FrameBatch, size: int, mean: tuple[float, float, float], scale: float, rgb: bool
    ) -> tuple[Array, float]:
        """Frames resized so that the longer side is `size`, padded right and below with zeros to multiples of 32 after
        `(pixel - mean) * scale`; planes and `mean` in RGB or BGR order.
        -> (n, 3, h, w) float32, and the factor from displayed to network pixels."""
        ...

    def thumbnails(self, batch: FrameBatch, width: int) -> NDArray[np.uint8]:
        """Small frames for the shot detector. (n, h, width, 3) BGR"""
        ...

    def warp_faces(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Faces cut out by affine warps, bilinear, black outside: frame `which` of the batch (m,), transforms from
        displayed pixels to the crop's (m, 2, 3). -> (m, 112, 112, 3) RGB"""
        ...

    def sharpness(
        self, batch: FrameBatch, which: NDArray[np.integer[Any]], transforms: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Variance of the Laplacian (3x3, centre -4) on the same warp of the luma, full range, 8-bit scale. (m,)"""
        ...

    def retinaface_faces(
        self, outputs: Sequence[Array], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        """RetinaFace's (boxes, scores, landmarks), each (n, anchors, 4 | 2 | 10), for an input of `shape` (height,
        width), to faces above `score` in displayed pixels, one entry a frame, in the order of the anchors."""
        ...

    def scrfd_faces(
        self, outputs: Sequence[Array], shape: tuple[int, int], factor: float, score: float
    ) -> list[RawFaces]:
        """The same of SCRFD's outputs, ((boxes, scores, landmarks) of stride 8, of 16, of 32), each (n, anchors, 4 |
        1 | 10)."""
        ...

    def nms(self, faces: RawFaces, threshold: float) -> NDArray[np.int64]:
        """Greedy non-maximum suppression by IoU: indices of the faces kept, best first, ties by index."""
        ...

    def softmax_means(
        self, teacher: Ragged, student: Ragged, centre: NDArray[np.floating], tau_t: float, tau_s: float
    ) -> SoftmaxMeans:
        """Per crop softmax((t - centre) / tau_t) and log_softmax(s / tau_s), then their means a track: one pass over
        the logits. teacher, student: a row of k logits a crop, of the same offsets; centre: (k,)."""
        ...

    def pair_edges(
        self,
        p: NDArray[np.float32],
        l: NDArray[np.float32],  # noqa: E741
        thresholds: NDArray[np.floating],
        rule: Rule,
        tile: int = 64,
    ) -> Iterator[Edges]:
        """All pairs whose similarity -(p_a . l_b + p_b . l_a) / 2 is below what `rule` makes of their thresholds, by
        more than a TIE. Rows are finite, float32 is accumulated, and no array grows with the square of the rows but one
        smaller by `tile`, or by its square. thresholds: (n,), NaN leaves the decision to the partner; two NaN are no
        match. Each pair comes once, in any order."""
        ...

    def log_densities(
        self, tracks: Ragged, points: NDArray[np.floating], kind: Gaussian, pooled: float
    ) -> NDArray[np.float64]:
        """Eq. 3 in the log domain: each point under the Gaussian of each track's crops. (n_tracks, n_points)

        points: (n_points, d). pooled: the variance a dimension within tracks over all the footage, above 0. It is the
        target of `shrunk` (weight by the oracle approximating shrinkage of Chen et al. 2010), all there is to a track
        of one crop, and a floor of 1e-6 of it keeps every kind regular. Rows of tracks without crops are NaN.
        `shrunk` and `full` work on the n x n Gram matrix of a track's n crops, never on d x d."""
        ...

    def own_log_densities(
        self, tracks: Ragged, kind: Gaussian, pooled: float, left_out: bool = False
    ) -> NDArray[np.float64]:
        """The same of every crop under its own track's Gaussian. (n_crops,) left_out: each under that of the track's
        other crops, NaN for the only one of a track."""
        ...


@dataclass(frozen=True)
class Backend:
    """One column of the three seams, passed along and never global. torch_device: where torch trains beside it.
    streams: how many videos it decodes best at once.
    memory: what was taken of a card's since the last call, as facts for the record; none where there is no card."""

    name: str
    torch_device: str
    ops: Ops
    open_decoder: Callable[[Path, int, DecodeConfig], Decoder]
    open_network: Callable[[Path], Network]
    description: str = ""
    streams: int = 1
    memory: Callable[[], dict[str, Any]] = dict

    @property
    def identity(self) -> str:
        """The columns give the same results only within a tolerance, so a stage is computed anew on another."""
        return self.name.split(":")[0]
