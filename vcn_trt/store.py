"""The tables and pictures of a run directory: the Parquet and NumPy files of the output contract, written and read in
pieces."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vcn_trt.errors import RunError
from vcn_trt.types import CROP_SIZE, BaseVectors, Crops, Embeddings, Faces, Shots, Table, Tracks, TrackSet, Video

BOX_COLUMNS = ("x1", "y1", "x2", "y2")
LANDMARK_COLUMNS = tuple(
    f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
)
"""Left and right as seen in the picture."""

WIDE = {"box": BOX_COLUMNS, "landmarks": LANDMARK_COLUMNS}
"""Columns of a `Table` that are several in Parquet."""

CROP_SHAPE = (CROP_SIZE, CROP_SIZE, 3)

AnyTable = TypeVar("AnyTable", bound=Table)


def write_table(path: Path, parts: Iterable[Table], kind: type[Table]) -> None:
    """Rows of one kind of table, part by part, to one Parquet file; no part is held longer than it takes to write
    it."""
    with pq.ParquetWriter(path, _schema(kind), compression="zstd") as writer:
        for part in parts:
            writer.write_table(_to_arrow(part))


def read_table(path: Path, kind: type[AnyTable]) -> AnyTable:
    """A whole table. Raises RunError where the file is missing or not of this kind."""
    try:
        table = pq.read_table(path, columns=_schema(kind).names)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunError(
            f"{path} cannot be read ({str(error).splitlines()[0]}); run `vcn run` on this folder again to make it anew"
        ) from error
    columns = {}
    for f in fields(kind):
        names = WIDE.get(f.name, (f.name,))
        arrays = [table[name].to_numpy() for name in names]
        values = arrays[0] if len(names) == 1 else np.stack(arrays, 1).reshape(-1, *f.metadata["shape"])
        columns[f.name] = values.astype(f.metadata["dtype"])
    return kind(**columns)


Stamp = tuple[int, ...] | None


def stamp(path: Path) -> Stamp:
    """Of a file: another when the file is; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def write_images(path: Path, n: int, blocks: Iterator[NDArray[np.uint8]]) -> None:
    """n crops as one .npy, from blocks of any length; written in order, never mapped, so memory stays flat."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n, *CROP_SHAPE)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for block in blocks:
            file.write(np.ascontiguousarray(block).tobytes())
            written += len(block)
    if written != n:
        raise ValueError(f"announced {n} crops, was given {written}")


class CropImages:
    """The pictures of `crops.npy`, read from disk when taken: rows by index, slice or array of indices."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                self._offset = file.tell()
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read ({error}); run `vcn run` on this folder again") from error
        expected = self._offset + int(np.prod(shape))
        if shape[1:] != CROP_SHAPE or dtype != np.uint8 or path.stat().st_size != expected:
            raise RunError(
                f"{path} should hold (n, 112, 112, 3) uint8 in {expected} bytes, found {shape} {dtype} in "
                f"{path.stat().st_size}; run `vcn run` on this folder again"
            )
        self._path, self._n = path, int(shape[0])

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        index = np.arange(self._n)[rows]
        with self._path.open("rb") as file:
            return read_rows(file, np.atleast_1d(index), self._offset).reshape(*np.shape(index), *CROP_SHAPE)


def read_rows(file: Any, rows: NDArray[np.integer[Any]], offset: int = 0) -> NDArray[np.uint8]:
    """Crops of an open file by row number. (len(rows), 112, 112, 3)"""
    size = int(np.prod(CROP_SHAPE))
    out = np.empty((len(rows), *CROP_SHAPE), np.uint8)
    for picture, row in zip(out, rows, strict=True):
        file.seek(offset + int(row) * size)
        if file.readinto(picture.reshape(-1).data) != size:
            raise RunError(f"{file.name} ends before crop {row}; run `vcn run` on this folder again")
    return out


def read_track_set(folder: Path, tracks: str, videos: Sequence[Video]) -> TrackSet:
    """The TrackSet of a run directory; `tracks` names its table of tracks."""
    return TrackSet(
        videos=videos,
        shots=read_table(folder / "shots.parquet", Shots),
        faces=read_table(folder / "faces.parquet", Faces),
        tracks=read_table(folder / tracks, Tracks),
        crops=read_table(folder / "crops.parquet", Crops),
        images=CropImages(folder / "crops.npy"),
    )


def write_embeddings(path: Path, embeddings: Embeddings | BaseVectors) -> None:
    """The arrays of either, by name; None is left out."""
    np.savez(path, **{k: v for k, v in vars(embeddings).items() if v is not None})


def read_embeddings(path: Path) -> Embeddings:
    return Embeddings(**_arrays(path, {"base"}))


def find_embeddings(path: Path) -> Embeddings | None:
    """None where there is no file: what only looks at a run can do without. Raises RunError where it is damaged."""
    return read_embeddings(path) if path.exists() else None


def read_base_vectors(path: Path) -> BaseVectors:
    found = _arrays(path, {"vectors", "quality", "faceless"})
    return BaseVectors(found["vectors"], found["quality"], float(found["faceless"]))


def _arrays(path: Path, needed: set[str]) -> dict[str, NDArray[Any]]:
    arrays = read_npz(path)
    if arrays is None or not needed <= set(arrays):
        raise RunError(f"{path} is missing or damaged; run `vcn run` on this folder again")
    return arrays


def replace_npz(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays whole or not at all, and on the disk before they are named: a power cut leaves no empty file."""
    scratch = path.with_name(f"new-{path.name}")
    with scratch.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


def read_npz(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file; None where it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def video_to_json(video: Video) -> dict[str, Any]:
    """A video as `clusters.json` has it."""
    return {**vars(video), "fps": str(video.fps)}


def video_from_json(entry: dict[str, Any]) -> Video:
    return Video(**{**entry, "fps": Fraction(entry["fps"])})


def _schema(kind: type[Table]) -> pa.Schema:
    columns = []
    for f in fields(kind):
        dtype = f.metadata["dtype"]
        arrow = pa.string() if dtype.kind == "U" else pa.from_numpy_dtype(dtype)
        columns += [(name, arrow) for name in WIDE.get(f.name, (f.name,))]
    return pa.schema(columns)


def _to_arrow(part: Table) -> pa.Table:
    arrays: list[pa.Array] = []
    for f in fields(part):
        values = getattr(part, f.name)
        if f.name in WIDE:
            arrays += [pa.array(np.ascontiguousarray(c)) for c in values.reshape(-1, len(WIDE[f.name])).T]
        elif values.dtype.kind == "U":
            arrays.append(pa.array(values.tolist(), pa.string()))
        else:
            arrays.append(pa.array(values))
    return pa.Table.from_arrays(arrays, schema=_schema(type(part)))
