"""The files of a run directory come back as they were written, and damaged ones say so."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.errors import RunError
from vcn_trt.types import BaseVectors, Crops, Detections, Embeddings, Faces, Shots, Table, Tracks, Video

KINDS = [Detections, Shots, Faces, Tracks, Crops]


def filled(kind: type[Table], n: int, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)

    def column(dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        if dtype.kind == "U":
            return rng.choice(["ok", "", "quality", "amélie"], (n, *shape)).astype(dtype)
        if dtype.kind == "f":
            return np.where(rng.random((n, *shape)) < 0.1, np.nan, rng.normal(0, 1e3, (n, *shape))).astype(dtype)
        return rng.integers(0, 2 if dtype.kind == "b" else 2**31 - 1, (n, *shape)).astype(dtype)

    return kind(**{f.name: column(f.metadata["dtype"], f.metadata["shape"]) for f in fields(kind)})


def equal(a: Table, b: Table) -> bool:
    def same(x: NDArray[Any], y: NDArray[Any]) -> bool:
        return x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")

    return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 57])
def test_a_table_comes_back_bit_for_bit(tmp_path: Path, kind: type[Table], n: int) -> None:
    table = filled(kind, n)
    store.write_table(tmp_path / "t.parquet", [table], kind)
    assert equal(store.read_table(tmp_path / "t.parquet", kind), table)


def test_parts_are_joined_in_order_and_none_makes_an_empty_table(tmp_path: Path) -> None:
    parts = [filled(Faces, n, seed=n) for n in (3, 0, 5)]
    store.write_table(tmp_path / "t.parquet", iter(parts), Faces)
    assert equal(store.read_table(tmp_path / "t.parquet", Faces), Faces.concatenate(parts))  # type: ignore[arg-type]
    store.write_table(tmp_path / "none.parquet", [], Faces)
    assert len(store.read_table(tmp_path / "none.parquet", Faces)) == 0


def test_equal_tables_make_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        store.write_table(tmp_path / name, [filled(Tracks, 20)], Tracks)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_boxes_and_landmarks_are_plain_columns_for_others_to_read(tmp_path: Path) -> None:
    table = filled(Faces, 4)
    store.write_table(tmp_path / "t.parquet", [table], Faces)
    read = pq.read_table(tmp_path / "t.parquet")
    assert np.array_equal(read["y2"].to_numpy(), table.box[:, 3], equal_nan=True)  # type: ignore[attr-defined]
    assert np.array_equal(read["nose_x"].to_numpy(), table.landmarks[:, 2, 0], equal_nan=True)  # type: ignore[attr-defined]


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_a_truncated_table_is_a_run_error_that_says_what_to_do(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.parquet"
    store.write_table(path, [filled(Shots, 20)], Shots)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"t\.parquet cannot be read .*run `vcn run` on this folder again"):
        store.read_table(path, Shots)


def test_a_missing_table_or_one_of_another_kind_is_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        store.read_table(tmp_path / "none.parquet", Shots)
    pq.write_table(pa.table({"video": [0], "shot": [1]}), tmp_path / "t.parquet")
    with pytest.raises(RunError, match=r"cannot be read .*start"):
        store.read_table(tmp_path / "t.parquet", Shots)


def pictures(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(n).integers(0, 256, (n, 112, 112, 3), dtype=np.uint8)


@pytest.fixture
def crops(tmp_path: Path) -> tuple[Path, NDArray[np.uint8]]:
    expected = pictures(7)
    store.write_images(tmp_path / "crops.npy", 7, iter([expected[:3], expected[3:3], expected[3:]]))
    return tmp_path / "crops.npy", expected


@pytest.mark.parametrize(
    "rows",
    [
        0,
        -1,
        np.int64(3),
        slice(None),
        slice(2, 5),
        slice(5, 2),
        slice(None, None, -2),
        [],
        [4],
        [6, 0, 0, -7],
        np.array([True, False] * 3 + [True]),
    ],
    ids=str,
)
def test_crops_on_disk_are_indexed_as_an_array_is(crops: tuple[Path, NDArray[np.uint8]], rows: Any) -> None:
    path, expected = crops
    images = store.CropImages(path)
    index = np.array(rows, np.int64) if isinstance(rows, list) else rows
    assert len(images) == 7
    assert images[index].dtype == np.uint8
    assert images[index].shape == expected[index].shape
    assert np.array_equal(images[index], expected[index])
    assert np.array_equal(np.load(path), expected)  # NumPy reads the file, too


def test_a_crop_that_is_not_there_is_an_index_error(crops: tuple[Path, NDArray[np.uint8]]) -> None:
    for row in (7, -8, [0, 7]):
        with pytest.raises(IndexError):
            store.CropImages(crops[0])[row]


def test_no_crops_are_an_empty_file_of_the_right_shape(tmp_path: Path) -> None:
    store.write_images(tmp_path / "crops.npy", 0, iter([]))
    assert store.CropImages(tmp_path / "crops.npy")[:].shape == (0, 112, 112, 3)


@pytest.mark.parametrize("keep", [0, 5, 60, 128, 112 * 112 * 3, -1])
def test_truncated_crops_are_a_run_error(crops: tuple[Path, NDArray[np.uint8]], keep: int) -> None:
    crops[0].write_bytes(crops[0].read_bytes()[:keep])
    with pytest.raises(RunError, match=r"crops\.npy .*run `vcn run` on this folder again"):
        store.CropImages(crops[0])


def test_crops_of_another_size_or_kind_are_a_run_error(tmp_path: Path) -> None:
    for array in (np.zeros((2, 96, 96, 3), np.uint8), np.zeros((2, 112, 112, 3), np.float32)):
        np.save(tmp_path / "crops.npy", array)
        with pytest.raises(RunError, match="should hold"):
            store.CropImages(tmp_path / "crops.npy")


@pytest.mark.parametrize("n", [6, 8])
def test_a_wrong_number_of_crops_is_noticed_when_written(tmp_path: Path, n: int) -> None:
    with pytest.raises(ValueError, match=f"announced {n} crops, was given 7"):
        store.write_images(tmp_path / "crops.npy", n, iter([pictures(7)]))


@pytest.mark.parametrize("adapted", [None, np.ones((3, 5), np.float32)])
def test_embeddings_come_back_adapted_or_not(tmp_path: Path, adapted: NDArray[np.float32] | None) -> None:
    base = np.array([[1, 2], [np.nan, np.nan], [3, 4]], np.float32)
    store.write_embeddings(tmp_path / "e.npz", Embeddings(base, adapted))
    found = store.read_embeddings(tmp_path / "e.npz")
    assert np.array_equal(found.base, base, equal_nan=True)
    assert (found.adapted is None) == (adapted is None)
    assert adapted is None or np.array_equal(found.adapted, adapted)  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_or_missing_embeddings_are_a_run_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "e.npz"
    store.write_embeddings(path, Embeddings(np.zeros((30, 8), np.float32)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"e\.npz is missing or damaged; run `vcn run`"):
        store.read_embeddings(path)
    with pytest.raises(RunError, match="is missing or damaged"):
        store.read_embeddings(tmp_path / "none.npz")


def test_embeddings_come_back_with_the_student_and_what_tracks_have_in_common(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base, adapted, student = rng.normal(size=(3, 4, 2)).astype(np.float32)
    own = np.array([1, np.nan], np.float32)
    store.write_embeddings(tmp_path / "e.npz", Embeddings(base, adapted, student, own, own + 1))
    found = store.read_embeddings(tmp_path / "e.npz")
    np.testing.assert_array_equal(found.student, student)
    np.testing.assert_array_equal(found.own_loss, own)
    np.testing.assert_array_equal(found.own_cosine, own + 1)


def test_the_vectors_of_the_base_come_back_with_their_quality(tmp_path: Path) -> None:
    path = tmp_path / "base.npz"
    vectors = np.array([[1, 2], [np.nan, np.nan]], np.float32)
    store.write_embeddings(path, BaseVectors(vectors, np.array([0.5, np.nan], np.float32), 0.25))
    found = store.read_base_vectors(path)
    np.testing.assert_array_equal(found.vectors, vectors)
    np.testing.assert_array_equal(found.quality, [0.5, np.nan])
    assert found.faceless == 0.25
    store.write_embeddings(path, BaseVectors(vectors, found.quality, math.nan))
    assert math.isnan(store.read_base_vectors(path).faceless), "where it was not measured"
    store.write_embeddings(path, Embeddings(vectors))
    with pytest.raises(RunError, match="is missing or damaged"):
        store.read_base_vectors(path)


def test_a_video_comes_back_from_json_with_its_exact_rate() -> None:
    video = Video(3, "a.mov", Fraction(24000, 1001), 2400, 1920, 1080, "01:00:00:00", "h264", "yuv420p", math.pi)
    entry = store.video_to_json(video)
    assert entry["fps"] == "24000/1001"
    assert store.video_from_json(entry) == video
