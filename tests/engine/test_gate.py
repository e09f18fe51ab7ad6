"""The gate: what passes, what does not, and that NaN never does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_networks import base_of, exported, linear

from vcn_trt.engine import gate, pictures
from vcn_trt.engine.definition import define
from vcn_trt.engine.gate import Verdict, compare
from vcn_trt.zoo.base import prepare

SHAPE = (1, 3, 64, 64)
ANCHORS = 2 * (8 * 8 + 4 * 4 + 2 * 2)


def vectors(*rows: list[float]) -> dict[str, np.ndarray]:
    return {"embedding": np.array(rows, np.float32)}


def boxes(scores: float = 0.9, move: float = 0.0) -> dict[str, np.ndarray]:
    """RetinaFace's outputs: the first eight anchors are faces, moved by a part of their anchor (16 pixels)."""
    conf = np.zeros((1, ANCHORS, 2), np.float32)
    conf[0, :8, 1] = scores
    loc = np.zeros((1, ANCHORS, 4), np.float32)
    loc[0, :8:2, 0] = move / 16 / 0.1
    return {"loc": loc, "conf": conf, "landmarks": np.zeros((1, ANCHORS, 10), np.float32)}


def test_the_lowest_row_of_any_output_counts() -> None:
    verdict = compare(vectors([1, 0], [1, 1]), vectors([1, 0], [1, 0]), SHAPE)
    assert verdict.cosine == pytest.approx(0.5**0.5)
    assert not verdict.passed
    assert str(verdict) == "cosine 0.707107 to the network in float32, expected 0.999 or more"
    assert compare(vectors([1, 0.01]), vectors([2, 0]), SHAPE).passed  # a length is no direction


def test_boxes_may_move_by_a_pixel_and_scores_by_little() -> None:
    assert compare(boxes(move=0.9), boxes(), SHAPE).pixels == pytest.approx(0.9, abs=1e-3)
    assert compare(boxes(move=0.9), boxes(), SHAPE).passed
    assert not compare(boxes(move=1.1), boxes(), SHAPE).passed
    assert compare(boxes(0.91), boxes(), SHAPE).passed
    assert not compare(boxes(0.93), boxes(), SHAPE).passed
    assert "boxes within 1.10 pixels and scores within 0.0000" in str(compare(boxes(move=1.1), boxes(), SHAPE))


def test_scrfd_is_known_by_its_outputs() -> None:
    outputs = {}
    for level, anchors in enumerate((128, 32, 8)):
        for kind in (1, 4, 10):
            outputs[f"{kind} {level}"] = np.full((anchors, kind), 0.5, np.float32)
    moved = {k: v + (0.2 if k == "4 0" else 0) for k, v in outputs.items()}  # 0.2 of a stride of 8 pixels
    verdict = compare(moved, outputs, SHAPE)
    assert verdict.scores == 0
    assert verdict.pixels == pytest.approx(1.6, abs=1e-4)


def test_nan_never_passes() -> None:
    assert not compare(vectors([np.nan, 1]), vectors([1, 1]), SHAPE).passed
    assert not compare(vectors([1, 1], [np.nan, 1]), vectors([1, 1], [1, 1]), SHAPE).passed
    assert not compare(boxes(np.nan), boxes(), SHAPE).passed
    assert not compare(boxes(move=np.nan), boxes(), SHAPE).passed
    assert not Verdict().passed


def test_an_export_says_how_its_crops_are_prepared(tmp_path: Path) -> None:
    base = base_of("small")
    d = define(exported(base, tmp_path))
    found = gate.samples(d)["input"]
    np.testing.assert_allclose(found, prepare(pictures.crops(8, 16), base.manifest), atol=1e-5)
    bare = onnx.load(tmp_path / "base.onnx")
    del bare.metadata_props[:]
    assert np.abs(gate.prepared(pictures.crops(1, 16), bare)).max() <= 1


def test_an_input_that_is_no_picture_gets_noise(tmp_path: Path) -> None:
    x = gate.samples(define(linear(tmp_path / "l.onnx", np.eye(3, dtype=np.float32))))["x"]
    assert x.shape == (8, 3)
    assert len(np.unique(x)) == x.size


def test_drawn_faces_are_the_same_every_time_and_differ_from_each_other() -> None:
    crops = pictures.crops()
    np.testing.assert_array_equal(crops, pictures.crops())
    assert len({c.tobytes() for c in crops}) == pictures.FACES
    assert pictures.frame(640, 384).shape == (384, 640, 3)
    assert pictures.frame(32, 32).shape == (32, 32, 3)
