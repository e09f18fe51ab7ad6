"""Real faces through the kernels: the detector and the crops see what they see in the pictures of the CPU column."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from lanes import ShimLane

from vcn_trt import backends
from vcn_trt.backends.base import FrameBatch, RawFaces
from vcn_trt.backends.cuda.frame import chroma_siting
from vcn_trt.backends.cuda.ops import CudaOps
from vcn_trt.backends.cuda.upload import Uploader
from vcn_trt.boxes import iou
from vcn_trt.config import DecodeConfig, DetectConfig
from vcn_trt.ingest import align
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.zoo.models import open_model


@pytest.fixture(scope="module")
def frames(face_film: Path) -> FrameBatch:
    """Five frames of the film, from each of its shots."""
    decoder = backends.open("cpu").open_decoder(face_film, 0, DecodeConfig(batch=10))
    picked = [(b.pixels[0], b.frame_indices[:1], b.seconds[:1]) for b in islice(decoder, 5)]
    decoder.close()
    pixels, indices, seconds = zip(*picked, strict=True)
    return FrameBatch(pixels, np.concatenate(indices), np.concatenate(seconds))


def test_the_detector_finds_the_same_faces_and_cuts_out_the_same_crops(
    once: CudaOps, frames: FrameBatch, weights_home: Path
) -> None:
    cpu, model = backends.open("cpu"), open_model("retinaface_mnet025", "detector")
    cuda = replace(cpu, ops=once)  # its networks on the CPU still
    on_card = replace(frames, pixels=Uploader(ShimLane())(frames.pixels))
    found, expected = (
        FaceDetector(backend.open_network(model.path), model.manifest, backend, DetectConfig(score=0.5))(batch)
        for backend, batch in ((cuda, on_card), (cpu, frames))
    )
    assert sum(len(f.scores) for f in expected) >= 5
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert len(one.scores) == len(other.scores)
        if len(other.scores):
            assert_same_faces(one, other)
            which, transforms = np.full(len(other.scores), i), align.similarity(other.landmarks)
            cut = cpu.ops.warp_faces(frames, which, transforms)
            crops = once.warp_faces(on_card, which, transforms).astype(int) - cut
            assert np.abs(crops).max() <= 1
            assert np.abs(crops).mean() < 0.05
            sharp = once.sharpness(on_card, which, transforms)
            np.testing.assert_allclose(sharp, cpu.ops.sharpness(frames, which, transforms), rtol=5e-3)


def test_a_resized_film_is_that_of_the_cpu(once: CudaOps, frames: FrameBatch) -> None:
    on_card = replace(frames, pixels=Uploader(ShimLane())(frames.pixels))
    for size in (160, 640):
        found, expected = (
            ops.letterbox(batch, size, (0.0, 0.0, 0.0), 1.0, True)[0]
            for ops, batch in ((once, on_card), (backends.open("cpu").ops, frames))
        )
        off = np.abs(found - expected)
        assert off.mean() < 1.5
        assert off.max() < 7


def test_chroma_stands_where_the_stream_says(frames: FrameBatch) -> None:
    for frame in frames.pixels:  # H.264's default, which FFmpeg tags
        assert chroma_siting(frame.coded) == (0.25, 0.0)
    assert chroma_siting(av.VideoFrame(34, 30, "yuv420p")) == (0.0, 0.0)


def assert_same_faces(found: RawFaces, expected: RawFaces) -> None:
    assert iou(found.boxes, expected.boxes).diagonal().min() > 0.95
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=1.0)  # pixels of 320 x 180
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.02)
