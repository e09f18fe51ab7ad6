"""What passes between the stages: plain tables of NumPy columns that check their shapes once. NumPy and stdlib only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from vcn_trt.ragged import Ragged

CROP_SIZE = 112
"""Side of a face crop in pixels."""

PLAIN = 2
"""The views that every crop has: itself and its mirror image. Augmented ones follow."""

UNKNOWN = -1
"""The cluster of a track that stands for no person (the paper's Eq. 1)."""

STATUSES = ("ok", "quality", "crops", "short")
"""Why a track is Unknown: the network was unsure of it, its crops are too small or blurred, it has too few faces."""


@dataclass(frozen=True)
class Video:
    """One file of a production. Sizes are those of the displayed picture: rotation and pixel aspect applied.
    start_timecode, reel: the container's, None where it names none."""

    id: int
    path: str
    fps: Fraction
    frames: int
    width: int
    height: int
    start_timecode: str | None = None
    codec: str = ""
    pixel_format: str = ""
    seconds: float = 0.0
    reel: str | None = None


def column(dtype: Any, *shape: int) -> Any:
    """A field of a `Table`: its dtype and the shape of one row's entry."""
    return field(metadata={"dtype": np.dtype(dtype), "shape": shape})


@dataclass(frozen=True, eq=False)
class Table:
    """Parallel columns of one length. Rows are taken by index, slice or mask; a wrong shape raises ValueError."""

    def __post_init__(self) -> None:
        length: int | None = None
        for f in fields(self):
            values = np.ascontiguousarray(getattr(self, f.name), dtype=f.metadata["dtype"])
            length = len(values) if length is None else length
            expected = (length, *f.metadata["shape"])
            if values.shape != expected:
                raise ValueError(f"{type(self).__name__}.{f.name}: expected shape {expected}, found {values.shape}")
            object.__setattr__(self, f.name, values)

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, rows: Any) -> Self:
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def with_columns(self, **columns: NDArray[Any]) -> Self:
        """A copy with these columns replaced."""
        return replace(self, **columns)

    @classmethod
    def empty(cls, n: int = 0) -> Self:
        """A table of n zero rows."""
        return cls(**{f.name: np.zeros((n, *f.metadata["shape"]), f.metadata["dtype"]) for f in fields(cls)})

    @classmethod
    def concatenate(cls, tables: Iterable[Self]) -> Self:
        """The rows of all, in order."""
        parts = list(tables)
        if not parts:
            return cls.empty()
        return cls(**{f.name: np.concatenate([getattr(t, f.name) for t in parts]) for f in fields(cls)})


@dataclass(frozen=True, eq=False)
class Detections(Table):
    """Faces as the detector gave them, frame by frame. Boxes xyxy and landmarks xy in pixels of the displayed picture;
    landmarks: left eye, right eye, nose, left and right mouth corner, left and right as seen in the picture."""

    frame: NDArray[Any] = column(np.int64)
    box: NDArray[Any] = column(np.float32, 4)
    score: NDArray[Any] = column(np.float32)
    landmarks: NDArray[Any] = column(np.float32, 5, 2)


@dataclass(frozen=True, eq=False)
class Shots(Table):
    """The shots of every video: frames start to stop (exclusive), and their presentation times."""

    video: NDArray[Any] = column(np.int32)
    shot: NDArray[Any] = column(np.int32)
    start: NDArray[Any] = column(np.int64)
    stop: NDArray[Any] = column(np.int64)
    start_seconds: NDArray[Any] = column(np.float64)
    stop_seconds: NDArray[Any] = column(np.float64)


@dataclass(frozen=True, eq=False)
class Faces(Table):
    """Tracked faces, in order of track, then frame. `sharpness` is NaN where the face was interpolated."""

    track: NDArray[Any] = column(np.int32)
    video: NDArray[Any] = column(np.int32)
    frame: NDArray[Any] = column(np.int64)
    seconds: NDArray[Any] = column(np.float64)
    box: NDArray[Any] = column(np.float32, 4)
    score: NDArray[Any] = column(np.float32)
    landmarks: NDArray[Any] = column(np.float32, 5, 2)
    sharpness: NDArray[Any] = column(np.float32)
    interpolated: NDArray[Any] = column(np.bool_)


@dataclass(frozen=True, eq=False)
class Tracks(Table):
    """One row a track: frames start to stop (exclusive) of one shot. `quality` is NaN until a stage measures it."""

    track: NDArray[Any] = column(np.int32)
    video: NDArray[Any] = column(np.int32)
    shot: NDArray[Any] = column(np.int32)
    start: NDArray[Any] = column(np.int64)
    stop: NDArray[Any] = column(np.int64)
    n_faces: NDArray[Any] = column(np.int32)
    n_crops: NDArray[Any] = column(np.int32)
    quality: NDArray[Any] = column(np.float32)
    status: NDArray[Any] = column("U8")
    cluster: NDArray[Any] = column(np.int32)
    representative_frame: NDArray[Any] = column(np.int64)


@dataclass(frozen=True, eq=False)
class Crops(Table):
    """One row a sampled crop, in order of track, then frame. A rejected one (`kept` false) keeps its `reason`."""

    track: NDArray[Any] = column(np.int32)
    frame: NDArray[Any] = column(np.int64)
    kept: NDArray[Any] = column(np.bool_)
    reason: NDArray[Any] = column("U8")


class Images(Protocol):
    """Pictures of one size, taken by index, slice or list of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class TrackSet:
    """What ingest leaves and every later stage reads: the tracks of one or many videos and their crops.

    images: (n_crops, 112, 112, 3) uint8 RGB, row by row the pictures of `crops`: an array, or `CropImages` on disk,
    whose rows are read when taken.
    """

    videos: Sequence[Video]
    shots: Shots
    faces: Faces
    tracks: Tracks
    crops: Crops
    images: Images

    def __post_init__(self) -> None:
        if len(self.images) != len(self.crops):
            raise ValueError(f"{len(self.crops)} crops but {len(self.images)} pictures")

    @property
    def n_tracks(self) -> int:
        return len(self.tracks)

    def kept_by_track(self) -> Ragged:
        """Indices into `crops` and `images` of the crops that were kept, one group a track."""
        index = np.flatnonzero(self.crops.kept)
        return Ragged.from_group_ids(index, self.crops.track[index], self.n_tracks)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The face-ID vectors of the crops. base: (n_crops, dim) float32, unnormalised; adapted, student: (n_crops, d) unit
    vectors of the adapted teacher, and of its student where that is another; None without an adapted model. Rejected
    crops have rows of NaN. own_loss, own_cosine: (n_tracks,) float32, what a track has in common with itself: over all
    views of its different crops, NaN without any."""

    base: NDArray[np.float32]
    adapted: NDArray[np.float32] | None = None
    student: NDArray[np.float32] | None = None
    own_loss: NDArray[np.float32] | None = None
    own_cosine: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class BaseVectors:
    """What the base as it comes says of the crops. vectors: (n_crops, dim) float32, unnormalised, NaN rows for rejected
    crops. quality: (n_crops,) float32, SER-FIQ, NaN for rejected crops or where it was not measured. faceless: the
    median quality of the same footage scrambled, NaN where it was not measured."""

    vectors: NDArray[np.float32]
    quality: NDArray[np.float32]
    faceless: float


@dataclass(frozen=True)
class Merge:
    """Why two tracks are one person: they met in `round` at `similarity`, better than `threshold`."""

    round: int
    a: int
    b: int
    similarity: float
    threshold: float


@dataclass(frozen=True)
class Near:
    """Two people who were kept apart: at `similarity` they are not below `threshold`, or must not meet. a, b: their
    nearest tracks. together: a frame shows both people."""

    a: int
    b: int
    similarity: float
    threshold: float
    together: bool


@dataclass(frozen=True)
class Bridge:
    """A track that alone holds others to its person: without it the tracks `holds` are near none of the rest."""

    track: int
    holds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Clusters:
    """The answer. labels: (n_tracks,) int32, people numbered from 1 by screen time or track count, UNKNOWN for no one.
    thresholds: (n_tracks,) float32, NaN where the method has none. apart: the least margin first; bridges: those that
    hold the most first; both empty where the method tells none."""

    labels: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    merges: Sequence[Merge] = ()
    method: str = ""
    apart: Sequence[Near] = ()
    bridges: Sequence[Bridge] = ()

    @property
    def n_clusters(self) -> int:
        return int(self.labels.max(initial=0))
