"""The detector: two inputs a frame, small faces and faces that fill the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vcn_trt import backends
from vcn_trt.backends.base import FrameBatch, RawFaces
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.boxes import iou
from vcn_trt.config import DetectConfig
from vcn_trt.errors import ModelError
from vcn_trt.ingest import detect
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.sample.boxes import GROUP, NINA
from vcn_trt.sample.sources import Footage
from vcn_trt.zoo.manifest import load
from vcn_trt.zoo.models import open_model


def faces(*rows: tuple[float, float, float, float, float]) -> RawFaces:
    """Boxes with their scores; landmarks do not matter here."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return RawFaces(table[:, :4], table[:, 4], np.zeros((len(table), 5, 2), np.float32))


def joined(full: RawFaces, small: RawFaces, outgrown: float = 300) -> list[list[float]]:
    found = detect._join(full, small, outgrown, 0.4)
    return [[*map(float, box), round(float(score), 2)] for box, score in zip(found.boxes, found.scores, strict=True)]


def test_a_face_both_inputs_see_keeps_the_box_of_the_full_one() -> None:
    assert joined(faces((0, 0, 100, 100, 0.7)), faces((4, 4, 104, 104, 0.9))) == [[0, 0, 100, 100, 0.7]]


def test_a_face_only_the_small_input_sees_is_added() -> None:
    found = joined(faces((0, 0, 50, 50, 0.9)), faces((200, 0, 300, 120, 0.8)))
    assert found == [[0, 0, 50, 50, 0.9], [200, 0, 300, 120, 0.8]]


def test_parts_of_a_face_that_outgrew_the_anchors_give_way_to_the_whole() -> None:
    # The full input took the eyes of a close-up for a face, surely; a face beside it stays.
    found = joined(faces((80, 100, 350, 250, 0.95), (500, 0, 560, 60, 0.9)), faces((0, 0, 400, 500, 0.9)))
    assert found == [[500, 0, 560, 60, 0.9], [0, 0, 400, 500, 0.9]]


def test_a_small_face_in_front_of_a_close_up_stays() -> None:
    found = joined(faces((300, 300, 500, 560, 0.98)), faces((100, 50, 1100, 1050, 0.55)))
    assert found == [[300, 300, 500, 560, 0.98], [100, 50, 1100, 1050, 0.55]]


def test_a_doubtful_large_face_of_the_small_input_puts_nothing_away() -> None:
    assert [80, 100, 350, 250, 0.95] in joined(faces((80, 100, 350, 250, 0.95)), faces((0, 0, 400, 500, 0.3)))


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(320, 180, 640), (1280, 720, 640), (720, 1280, 640), (1920, 1080, 960), (3840, 2160, 1280)],
)
def test_the_working_size_follows_the_picture(width: int, height: int, size: int) -> None:
    frame = CpuFrame(av.VideoFrame(width, height, "yuv420p"))
    assert detect.working_size(FrameBatch([frame], np.array([0]), np.array([0.0]))) == size


class RecordingNetwork:
    """Sees no face, and remembers the shape of what it was shown."""

    input_names = ("input",)
    output_names = ("loc", "conf", "landmarks")

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        n, _, height, width = shape = inputs["input"].shape
        self.shapes.append(shape)
        anchors = sum(-(-height // s) * -(-width // s) * 2 for s in (8, 16, 32))
        return {k: np.zeros((n, anchors, m), np.float32) for k, m in (("loc", 4), ("conf", 2), ("landmarks", 10))}

    def refit(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        raise NotImplementedError

    def proven_on(self, inputs: Mapping[str, Any]) -> bool:
        return True


@pytest.mark.parametrize(
    ("size", "close_up", "shapes"),
    [
        (1280, True, [(736, 1280), (192, 320)]),
        (1280, False, [(736, 1280)]),
        (640, True, [(384, 640)]),  # no face of this frame can outgrow the anchors
    ],
)
def test_a_second_smaller_look_where_a_face_can_outgrow_the_anchors(
    size: int, close_up: bool, shapes: list[tuple[int, int]]
) -> None:
    frame = CpuFrame(av.VideoFrame(1280, 720, "yuv420p"))
    batch = FrameBatch([frame, frame], np.arange(2), np.zeros(2))
    network = RecordingNetwork()
    config = replace(DetectConfig(), size=size, close_up=close_up)
    found = FaceDetector(network, load("retinaface_mnet025"), backends.open("cpu"), config)(batch)
    assert network.shapes == [(2, 3, *shape) for shape in shapes]
    assert [len(f.scores) for f in found] == [0, 0]


class Doubtful(RecordingNetwork):
    """Sees one face of score 0.9 in every frame, until it is held to float32; then of 0.95 from another engine."""

    def __init__(self, stands: bool) -> None:
        super().__init__()
        self.stands, self.score, self.shown = stands, 0.9, []

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        found = super().__call__(inputs)
        found["conf"][:, 0, 1] = self.score
        return found

    def proven_on(self, inputs: Mapping[str, Any]) -> bool:
        self.shown.append(len(inputs["input"]))
        self.score = self.score if self.stands else 0.95
        return self.stands


@pytest.mark.parametrize(("stands", "score", "calls"), [(True, 0.9, 2), (False, 0.95, 3)])
def test_the_first_frames_with_faces_prove_the_network(stands: bool, score: float, calls: int) -> None:
    network = Doubtful(stands)
    config = replace(DetectConfig(), size=640, close_up=False)
    detector = FaceDetector(network, load("retinaface_mnet025"), backends.open("cpu"), config)
    frame = CpuFrame(av.VideoFrame(640, 360, "yuv420p"))
    batch = FrameBatch([frame] * 3, np.arange(3), np.zeros(3))
    for _ in range(2):
        assert [f.scores.tolist() for f in detector(batch)] == [[pytest.approx(score)]] * 3
    assert network.shown == [2]
    assert len(network.shapes) == calls


class ShuffledNetwork(RecordingNetwork):
    """An export that names and orders its outputs its own way."""

    def __init__(self, *last: int, anchors: tuple[int, ...] = (120,)) -> None:
        super().__init__()
        self.arrays = {f"out{i}": np.zeros((1, anchors[i % len(anchors)], m), np.float32) for i, m in enumerate(last)}

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        return self.arrays


def ordered(network: ShuffledNetwork, manifest: str) -> list[tuple[int, ...]]:
    detector = FaceDetector(network, load(manifest), backends.open("cpu"), DetectConfig())
    return [a.shape[1:] for a in detector._in_order(network({}))]


def test_outputs_are_told_by_their_shape_whatever_their_names() -> None:
    assert ordered(ShuffledNetwork(10, 2, 4), "retinaface_r50") == [(120, 4), (120, 2), (120, 10)]
    scrfd = ShuffledNetwork(1, 1, 1, 4, 4, 4, 10, 10, 10, anchors=(64, 16, 4))
    levels = [(n, m) for n in (64, 16, 4) for m in (4, 1, 10)]
    assert ordered(scrfd, "scrfd_10g") == levels


def test_a_file_that_is_no_such_detector_is_refused() -> None:
    with pytest.raises(ModelError, match=r"RetinaFace ResNet-50 should have .* it is another network"):
        ordered(ShuffledNetwork(10, 2, 5), "retinaface_r50")


@pytest.fixture(scope="module")
def look(weights_home: Path) -> Any:
    """(picture BGR, config changes) -> the boxes above 0.6."""
    backend, model = backends.open("cpu"), open_model("retinaface_mnet025", "detector")
    network = backend.open_network(model.path)

    def see(picture: NDArray[np.uint8], **changes: Any) -> NDArray[np.float32]:
        frame = CpuFrame(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24"))
        detector = FaceDetector(network, model.manifest, backend, replace(DetectConfig(), **changes))
        found = detector(FrameBatch([frame], np.array([0]), np.array([0.0])))[0]
        return found.boxes[found.scores > 0.6]

    return see


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.9])
def test_a_face_is_found_whatever_share_of_the_frame_it_fills(look: Any, sample_archives: Path, share: float) -> None:
    picture = Footage(sample_archives).frames("nina", 0, 1)[0]
    box = np.array(NINA[0])
    height = np.sqrt((box[2] - box[0]) * (box[3] - box[1]) / share * 9 / 16)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    window = cv2.getRotationMatrix2D((x, y), 0, 720 / height)
    window[:, 2] += [640 - x, 360 - y]
    frame = cv2.warpAffine(picture, window, (1280, 720), borderMode=cv2.BORDER_REPLICATE)
    corners = (window @ np.array([[box[0], box[2]], [box[1], box[3]], [1, 1]])).T.ravel()
    expected = np.clip(corners, 0, [1280, 720, 1280, 720])
    for size in (640, 1280):
        assert iou(expected[None], np.clip(look(frame, size=size), 0, [1280, 720, 1280, 720])).max(initial=0) > 0.5


def test_small_faces_of_a_wide_shot_are_found_at_a_larger_size(look: Any, sample_archives: Path) -> None:
    picture = Footage(sample_archives).frames("group", 0, 1)[0]
    boxes = np.array([keys[0] for keys in GROUP.values()], np.float64)
    factor = 42 / np.median(boxes[:, 3] - boxes[:, 1])  # faces of 42 pixels in an HD frame
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    frame = np.full((1080, 1920, 3), 90, np.uint8)
    frame[400 : 400 + small.shape[0], 700 : 700 + small.shape[1]] = small
    expected = boxes * factor + [700, 400, 700, 400]

    def found(**changes: Any) -> int:
        return int((iou(expected, look(frame, **changes)).max(1, initial=0) > 0.4).sum())

    assert found() >= 3
    assert found(size=1280) == len(expected)
