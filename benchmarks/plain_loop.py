"""The plain loop that `speed.py` compares with: an afternoon with OpenCV, ONNX Runtime and PySceneDetect.

    python benchmarks/plain_loop.py film.mp4 RUN --weights retinaface.onnx [--size 640]

One frame at a time: read, find cuts on a small copy, detect, track by greedy overlap, crop each face twice a second.
ONNX Runtime and OpenCV use their default threads. --size is the longer side that the network sees, by default the
picture's own. The last line is JSON: what it took.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from ingest_only import peak_rss
from numpy.typing import NDArray
from scenedetect import ContentDetector, FrameTimecode

MEAN = (104.0, 117.0, 123.0)
TEMPLATE = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], np.float32)
SCORE, NMS, MATCH = 0.6, 0.4, 0.3
INTERVAL_SECONDS, PATIENCE_SECONDS = 0.5, 1.0


def anchors(height: int, width: int) -> NDArray[np.float32]:
    """(n, 4) centre x, y, width, height: two squares a cell of strides 8, 16 and 32."""
    levels = []
    for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        y, x = np.mgrid[: height // stride, : width // stride]
        centres = np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride, 2, axis=0)
        side = np.tile(sides, len(centres) // 2)
        levels.append(np.column_stack([centres, side, side]))
    return np.concatenate(levels).astype(np.float32)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("video", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--weights", type=Path, required=True)
    arguments.add_argument("--size", type=int, default=0)
    given = arguments.parse_args()
    given.out.mkdir(parents=True)
    network = onnxruntime.InferenceSession(str(given.weights), providers=["CPUExecutionProvider"])
    names = [output.name for output in network.get_outputs()]
    started, cpu = time.perf_counter(), time.process_time()

    capture = cv2.VideoCapture(str(given.video))
    fps = capture.get(cv2.CAP_PROP_FPS)
    cuts = ContentDetector()
    tracks: list[dict] = []  # those alive: id, box, last frame, when the next crop is due
    rows: list[tuple[int, int, NDArray[np.float32]]] = []  # track, frame, box
    crops: list[NDArray[np.uint8]] = []
    shots = n_tracks = frame = 0
    grid: NDArray[np.float32] | None = None
    while True:
        ok, picture = capture.read()
        if not ok:
            break
        small = cv2.resize(picture, (256, round(256 * picture.shape[0] / picture.shape[1])))
        if cuts.process_frame(FrameTimecode(frame, fps=fps), small):
            shots, tracks = shots + 1, []

        factor = given.size / max(picture.shape[:2]) if given.size else 1.0
        seen = cv2.resize(picture, None, fx=factor, fy=factor) if given.size else picture
        height, width = (-(-length // 32) * 32 for length in seen.shape[:2])
        padded = cv2.copyMakeBorder(
            seen, 0, height - seen.shape[0], 0, width - seen.shape[1], cv2.BORDER_CONSTANT, value=MEAN
        )
        grid = anchors(height, width) if grid is None else grid
        blob = cv2.dnn.blobFromImage(padded, mean=MEAN)
        answer = dict(zip(names, network.run(None, {network.get_inputs()[0].name: blob}), strict=True))
        score = answer["conf"][0, :, 1]
        sure = score > SCORE
        score, anchor = score[sure], grid[sure]
        centre = anchor[:, :2] + 0.1 * answer["loc"][0, sure, :2] * anchor[:, 2:]
        size = anchor[:, 2:] * np.exp(0.2 * answer["loc"][0, sure, 2:])
        points = anchor[:, None, :2] + 0.1 * answer["landmarks"][0, sure].reshape(-1, 5, 2) * anchor[:, None, 2:]
        corner = (centre - size / 2) / factor
        kept = np.array(cv2.dnn.NMSBoxes(np.hstack([corner, size / factor]).tolist(), score.tolist(), SCORE, NMS), int)
        boxes = np.hstack([corner, corner + size / factor])[kept]
        points = points[kept] / factor

        tracks = [t for t in tracks if frame - t["last"] <= PATIENCE_SECONDS * fps]
        pairs = sorted(((overlap(t["box"], box), i, j) for i, t in enumerate(tracks) for j, box in enumerate(boxes)))
        taken: dict[int, dict] = {}
        used: set[int] = set()
        for share, i, j in reversed(pairs):
            if share >= MATCH and i not in used and j not in taken:
                used.add(i)
                taken[j] = tracks[i]
        for j, box in enumerate(boxes):
            if j not in taken:
                taken[j] = {"id": n_tracks, "due": frame}
                tracks.append(taken[j])
                n_tracks += 1
            track = taken[j]
            track.update(box=box, last=frame)
            rows.append((track["id"], frame, box))
            if frame >= track["due"]:
                track["due"] = frame + INTERVAL_SECONDS * fps
                transform, _ = cv2.estimateAffinePartial2D(points[j].astype(np.float32), TEMPLATE, method=cv2.LMEDS)
                if transform is not None:
                    crops.append(cv2.warpAffine(picture, transform, (112, 112)))
        frame += 1

    np.save(given.out / "crops.npy", np.array(crops, np.uint8).reshape(-1, 112, 112, 3))
    np.savez(
        given.out / "faces.npz",
        track=np.array([row[0] for row in rows], np.int64),
        frame=np.array([row[1] for row in rows], np.int64),
        box=np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
    )
    took = {"frames": frame, "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(took | {"peak_rss": peak_rss(), "tracks": n_tracks, "faces": len(rows), "crops": len(crops)}))


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes xyxy."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


if __name__ == "__main__":
    main()
