"""Which face sizes the detector finds: labelled faces cut out so that they fill a given share of a 16:9 frame, with
and without the close-up pass, and shrunk to a given height in the network's pixels.

    python benchmarks/face_sizes.py --footage data/episodes --out benchmarks/results/face_sizes.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np

from vcn_trt import backends, config, labels
from vcn_trt.backends.base import FrameBatch
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.boxes import iou
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.run import versions
from vcn_trt.zoo.models import open_model

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2)
HEIGHTS = (6, 8, 10, 12, 14, 16, 20, 24, 32, 48)
SCORE = 0.6
OVERLAP = 0.4


def close_up(picture, box, share):
    """The part of a picture, 16:9, of which the box fills `share`; None where the picture is too small for that."""
    width, height = box[2] - box[0], box[3] - box[1]
    area = width * height / share
    h = np.sqrt(area * 9 / 16)
    w = h * 16 / 9
    x, y = (box[0] + box[2] - w) / 2, (box[1] + box[3] - h) / 2
    if x < 0 or x + w > picture.shape[1] or y + h > picture.shape[0] + h * 0.25 or y < -h * 0.25:
        return None
    y = min(max(y, 0), picture.shape[0] - h)
    if y < 0:
        return None
    cut = picture[int(y) : int(y + h), int(x) : int(x + w)]
    factor = 1280 / cut.shape[1]
    moved = (np.array(box) - [int(x), int(y)] * 2) * factor
    return cv2.resize(cut, (1280, 720)), np.clip(moved, 0, [1280, 720, 1280, 720])


def wide(picture, box, height, size):
    """The picture shrunk so that the box is `height` network pixels high once the longer side is `size`."""
    factor = height / (box[3] - box[1])
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    canvas = np.full((size * 9 // 16, size, 3), 90, np.uint8)
    h, w = min(canvas.shape[0], small.shape[0]), min(size, small.shape[1])
    moved = np.array(box) * factor
    if moved[2] > w or moved[3] > h:
        return None
    canvas[:h, :w] = small[:h, :w]
    return canvas, moved


def found(detector, picture, box):
    frame = CpuFrame(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24"))
    faces = detector(FrameBatch([frame], np.array([0]), np.array([0.0])))[0]
    sure = faces.boxes[faces.scores >= SCORE]
    return bool(len(sure)) and bool((iou(np.array([box]), sure) >= OVERLAP).any())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--footage", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--faces", type=int, default=20, help="how many labelled faces an episode")
    given = arguments.parse_args()
    backend, model = backends.open("cpu"), open_model("retinaface_mnet025", "detector")
    network = backend.open_network(model.path)
    detectors = {
        f"{size}{' + close-up' if both else ''}": FaceDetector(
            network, model.manifest, backend, replace(config.DetectConfig(), size=size, close_up=both)
        )
        for size in (640, 1280)
        for both in (False, True)
    }
    shares: dict[str, dict[str, list[bool]]] = {name: {} for name in detectors}
    heights: dict[str, list[bool]] = {}
    for name in ("dev_episode", "cc_episode", "sitcom"):
        truth = labels.read(given.footage / f"{name}.gt.json")
        wanted = [(t.frames[len(t.frames) // 2], t.boxes[len(t.frames) // 2]) for t in truth.tracks][
            :: max(1, len(truth.tracks) // given.faces)
        ]
        pictures = {}
        for batch in backend.open_decoder(given.footage / f"{name}.mp4", 0, config.DecodeConfig()):
            for frame, index in zip(batch.pixels, batch.frame_indices, strict=True):
                if any(index == f for f, _ in wanted):
                    pictures[int(index)] = frame.rgb()[..., ::-1].copy()
        for index, box in wanted:
            for share in SHARES:
                if (made := close_up(pictures[index], box, share)) is not None:
                    for key, detector in detectors.items():
                        shares[key].setdefault(str(share), []).append(found(detector, *made))
            for height in HEIGHTS:
                if (made := wide(pictures[index], box, height, 640)) is not None:
                    heights.setdefault(str(height), []).append(found(detectors["640"], *made))
    result = {
        "command": "python benchmarks/face_sizes.py --footage data/episodes --out benchmarks/results/face_sizes.json",
        "versions": versions(),
        "what": f"share of faces found at score {SCORE} with IoU {OVERLAP}",
        "by_share_of_the_frame": {k: {s: float(np.mean(v)) for s, v in of.items()} for k, of in shares.items()},
        "faces_by_share": {s: len(v) for s, v in next(iter(shares.values())).items()},
        "by_height_in_network_pixels": {h: float(np.mean(v)) for h, v in heights.items()},
        "faces_by_height": {h: len(v) for h, v in heights.items()},
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
