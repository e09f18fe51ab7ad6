"""What every column's Ops must do, held to plain loops. A further one adds its name to columns.COLUMNS alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import av
import cv2
import numpy as np
import pytest
from columns import COLUMNS, Column, open_column
from hypothesis import given, settings
from hypothesis import strategies as st

from vcn_trt.backends.base import FrameBatch, Ops, RawFaces
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.ingest import align

PIXEL = 2.0  # a conversion by another library may round otherwise, on the 0-255 scale


Batches = Callable[..., FrameBatch]


@pytest.fixture(params=COLUMNS, scope="module")
def column(request: pytest.FixtureRequest) -> Column:
    return open_column(request.param)


@pytest.fixture(scope="module")
def ops(column: Column) -> Ops:
    return column.ops


@pytest.fixture(scope="module")
def batch(column: Column) -> Batches:
    """RGB pictures as a batch of the column's own frames."""

    def make(*pictures: np.ndarray) -> FrameBatch:
        frames = [CpuFrame(av.VideoFrame.from_ndarray(p, format="rgb24")) for p in pictures]
        return column.frames(FrameBatch(frames, np.arange(len(frames)), np.arange(len(frames)) / 24))

    return make


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth RGB picture: resampling is then a matter of pixels' places, not of filters."""
    coarse = np.random.default_rng(seed).integers(40, 216, (5, 7, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def sampled(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear, black outside: the naive form of the warp."""
    x0, y0 = math.floor(x), math.floor(y)
    total = np.zeros(picture.shape[2:])
    for dy in (0, 1):
        for dx in (0, 1):
            px, py = x0 + dx, y0 + dy
            if 0 <= px < picture.shape[1] and 0 <= py < picture.shape[0]:
                weight = (1 - abs(x - px)) * (1 - abs(y - py))
                total = total + weight * picture[py, px]
    return total


def test_letterbox_scales_the_longer_side_and_pads_to_multiples_of_32(ops: Ops, batch: Batches) -> None:
    picture = smooth(90, 160)
    pixels, factor = ops.letterbox(batch(picture), 320, (104.0, 117.0, 123.0), 1.0, False)
    pixels = ops.to_numpy(pixels)
    assert pixels.shape == (1, 3, 192, 320)
    assert pixels.dtype == np.float32
    assert factor == 2.0
    assert not pixels[:, :, 180:].any(), "the padding must be what the mean becomes: zero"
    expected = cv2.resize(picture, (320, 180), interpolation=cv2.INTER_LINEAR).astype(float)
    for plane, (channel, mean) in enumerate(zip((2, 1, 0), (104, 117, 123), strict=True)):
        found = pixels[0, plane, :180] + mean
        assert np.abs(found - expected[..., channel]).mean() < PIXEL


def test_letterbox_orders_planes_and_applies_scale(ops: Ops, batch: Batches) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:] = (200, 100, 50)
    rgb = ops.to_numpy(ops.letterbox(batch(picture), 64, (0.0, 0.0, 0.0), 0.5, True)[0])
    bgr = ops.to_numpy(ops.letterbox(batch(picture), 64, (10.0, 0.0, 0.0), 1.0, False)[0])
    assert rgb[0, :, 32, 32] == pytest.approx([100, 50, 25], abs=PIXEL)
    assert bgr[0, :, 32, 32] == pytest.approx([40, 100, 200], abs=PIXEL)


def test_letterbox_of_a_portrait_pads_on_the_right(ops: Ops, batch: Batches) -> None:
    pixels, factor = ops.letterbox(batch(smooth(200, 100)), 100, (0.0, 0.0, 0.0), 1.0, True)
    pixels = ops.to_numpy(pixels)
    assert pixels.shape == (1, 3, 128, 64)
    assert factor == 0.5
    assert pixels[:, :, :100, :50].min() > 0
    assert not pixels[:, :, :, 50:].any()


def test_thumbnails_are_bgr_and_never_enlarged(ops: Ops, batch: Batches) -> None:
    picture = smooth(90, 160)
    small = ops.thumbnails(batch(picture, picture), 64)
    assert small.shape == (2, 36, 64, 3)
    assert small.dtype == np.uint8
    assert np.abs(small[0, ..., ::-1].astype(float).mean((0, 1)) - picture.mean((0, 1))).max() < PIXEL
    assert ops.thumbnails(batch(picture), 1000).shape == (1, 90, 160, 3)


def test_warp_reads_where_the_inverse_transform_points(ops: Ops, batch: Batches) -> None:
    pictures = smooth(120, 160, 1), smooth(120, 160, 2)
    transforms = np.array([[[0.8, -0.3, 20], [0.3, 0.8, -10]], [[1.5, 0.2, -60], [-0.2, 1.5, -30]]], np.float32)
    crops = ops.warp_faces(batch(*pictures), np.array([1, 0]), transforms)
    assert crops.shape == (2, 112, 112, 3)
    for crop, picture, transform in zip(crops, (pictures[1], pictures[0]), transforms, strict=True):
        inverse = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))
        for x, y in [(0, 0), (111, 111), (56, 56), (20, 90), (100, 5)]:
            source = inverse @ [x, y, 1]
            expected = sampled(picture.astype(float), source[0], source[1])
            assert np.abs(crop[y, x] - expected).max() <= PIXEL + 1, (x, y)


def test_warp_of_no_faces_is_empty(ops: Ops, batch: Batches) -> None:
    none = np.zeros((0, 2, 3), np.float32)
    which = np.zeros(0, np.int64)
    assert ops.warp_faces(batch(smooth(40, 40)), which, none).shape == (0, 112, 112, 3)
    assert ops.sharpness(batch(smooth(40, 40)), which, none).shape == (0,)


def test_sharpness_is_the_variance_of_the_laplacian_of_the_warped_luma(ops: Ops, batch: Batches) -> None:
    rng = np.random.default_rng(0)
    grey = cv2.resize(rng.integers(0, 256, (30, 40)).astype(np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    picture = np.repeat(grey[..., None], 3, 2)
    transform = np.array([[[0.7, 0, 0], [0, 0.9, 0]]], np.float32)
    found = ops.sharpness(batch(picture), np.array([0]), transform)[0]
    warped = cv2.warpAffine(grey, transform[0].astype(float), (112, 112)).astype(float)
    padded = np.pad(warped, 1, mode="reflect")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * warped
    assert found == pytest.approx(laplacian.var(), rel=0.05)


def test_sharpness_falls_with_blur(ops: Ops, batch: Batches) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    blurred = [picture, *(cv2.GaussianBlur(picture, (0, 0), s) for s in (0.7, 1.5, 3))]
    identity = np.tile(np.eye(2, 3, dtype=np.float32), (4, 1, 1))
    found = ops.sharpness(batch(*blurred), np.arange(4), identity)
    assert (np.diff(found) < 0).all()


def naive_retinaface(outputs: dict[str, np.ndarray], height: int, width: int, factor: float, score: float) -> list:
    """One anchor after the other, as the paper has them."""
    frames = []
    for n in range(len(outputs["loc"])):
        faces, k = [], 0
        for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
            for row in range(math.ceil(height / stride)):
                for col in range(math.ceil(width / stride)):
                    for side in sides:
                        loc, conf = outputs["loc"][n, k].astype(float), outputs["conf"][n, k, 1]
                        marks = outputs["landmarks"][n, k].astype(float)
                        k += 1
                        if conf <= score:
                            continue
                        cx, cy = (col + 0.5) * stride, (row + 0.5) * stride
                        x, y = cx + 0.1 * loc[0] * side, cy + 0.1 * loc[1] * side
                        w, h = side * math.exp(0.2 * loc[2]), side * math.exp(0.2 * loc[3])
                        box = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) / factor
                        points = np.array([[cx + 0.1 * a * side, cy + 0.1 * b * side] for a, b in marks.reshape(5, 2)])
                        faces.append((box, conf, points / factor))
        frames.append(faces)
    return frames


@pytest.mark.parametrize(("height", "width"), [(64, 96), (60, 90)])
def test_retinaface_decoding_equals_the_anchor_loop(ops: Ops, column: Column, height: int, width: int) -> None:
    rng = np.random.default_rng(3)
    n = sum(math.ceil(height / s) * math.ceil(width / s) * 2 for s in (8, 16, 32))
    high = rng.random((2, n)).astype(np.float32)
    outputs = {
        "loc": rng.normal(size=(2, n, 4)).astype(np.float32),
        "conf": np.stack([1 - high, high], -1),
        "landmarks": rng.normal(size=(2, n, 10)).astype(np.float32),
    }
    found = ops.retinaface_faces([column.array(a) for a in outputs.values()], (height, width), 0.5, 0.9)
    for faces, expected in zip(found, naive_retinaface(outputs, height, width, 0.5, 0.9), strict=True):
        assert len(faces.scores) == len(expected) > 0
        np.testing.assert_allclose(faces.boxes, [e[0] for e in expected], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(faces.scores, [e[1] for e in expected])
        np.testing.assert_allclose(faces.landmarks, [e[2] for e in expected], rtol=1e-4, atol=1e-3)


def test_scrfd_decoding_equals_the_cell_loop(ops: Ops, column: Column) -> None:
    rng = np.random.default_rng(4)
    height, width = 64, 96
    cells = [math.ceil(height / s) * math.ceil(width / s) * 2 for s in (8, 16, 32)]
    outputs = [rng.random((2, n, m)).astype(np.float32) * 3 for n in cells for m in (4, 1, 10)]
    found = ops.scrfd_faces([column.array(a) for a in outputs], (height, width), 2.0, 2.7)
    for image, faces in enumerate(found):
        expected = []
        for level, stride in enumerate((8, 16, 32)):
            boxes, scores, marks = (outputs[3 * level + kind][image].astype(float) for kind in range(3))
            for k in range(cells[level]):
                row, col = divmod(k // 2, math.ceil(width / stride))
                x, y = col * stride, row * stride
                if scores[k, 0] > 2.7:
                    left, top, right, bottom = boxes[k] * stride
                    points = [[x + a * stride, y + b * stride] for a, b in marks[k].reshape(5, 2)]
                    expected.append(([x - left, y - top, x + right, y + bottom], scores[k, 0], points))
        assert len(expected) > 3
        np.testing.assert_allclose(faces.boxes, np.array([e[0] for e in expected]) / 2, rtol=1e-5)
        np.testing.assert_allclose(faces.scores, [e[1] for e in expected], rtol=1e-6)
        np.testing.assert_allclose(faces.landmarks, np.array([e[2] for e in expected]) / 2, rtol=1e-5)


def naive_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        for j in kept:
            w = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            h = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            common = max(w, 0) * max(h, 0)
            areas = [(boxes[k][2] - boxes[k][0]) * (boxes[k][3] - boxes[k][1]) for k in (i, j)]
            if common / (sum(areas) - common) > threshold:
                break
        else:
            kept.append(i)
    return kept


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 20)] * 2, st.integers(0, 9)), max_size=12),
    st.sampled_from([0.2, 0.4, 0.7]),
)
def test_nms_equals_the_greedy_loop(ops: Ops, rows: list[tuple[int, ...]], threshold: float) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([r[4] / 10 for r in rows], np.float32)
    faces = RawFaces(boxes, scores, np.zeros((len(rows), 5, 2), np.float32))
    assert ops.nms(faces, threshold).tolist() == naive_nms(boxes, scores, threshold)


def test_a_face_on_the_template_is_cut_out_unchanged(ops: Ops, column: Column, batch: Batches) -> None:
    picture = smooth(112, 112, 5)
    transforms = align.similarity(align.TEMPLATE[None])
    crop = ops.warp_faces(batch(picture), np.array([0]), transforms)[0]
    assert np.abs(crop[1:-1, 1:-1].astype(int) - picture[1:-1, 1:-1]).max() <= 1 + column.subsampling
