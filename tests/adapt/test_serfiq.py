"""SER-FIQ against dropout as a loop over passes; on real faces, quality falls with blur, small size and noise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vcn_trt import backends
from vcn_trt.adapt.serfiq import crop_quality, scrambled
from vcn_trt.adapt.weak import mad_reject, mad_threshold, track_quality, weak_tracks
from vcn_trt.backends.base import FrameBatch
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.config import DecodeConfig, DetectConfig
from vcn_trt.ingest.align import similarity
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.ragged import Ragged
from vcn_trt.sample.sources import Footage
from vcn_trt.zoo import fetch
from vcn_trt.zoo.base import FaceBase, prepare
from vcn_trt.zoo.bases import load_base


class Small(FaceBase):
    """Features of (3, 2) behind a dropout, then a linear layer and a BatchNorm, as SFace ends."""

    def __init__(self, rate: float = 0.4) -> None:
        super().__init__()
        self.dim = 5
        self.dropout = nn.Dropout(rate)
        self.fc = nn.Linear(6, 5)
        self.bn = nn.BatchNorm1d(5)

    def embed(self, features: Tensor) -> Tensor:
        return self.bn(self.fc(self.dropout(features).flatten(1)))


@pytest.fixture
def small() -> Small:
    torch.manual_seed(0)
    return Small().eval()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features_of(n: int, seed: int = 1) -> Tensor:
    return torch.randn(n, 3, 2, generator=seeded(seed))


def naive(features: Tensor, base: Small, passes: int, seed: int) -> list[float]:
    masks = torch.rand((passes, 3, 2), generator=seeded(seed)) >= base.dropout.p
    scores = []
    with torch.no_grad():
        for crop in features:
            vectors = [base.embed((crop * m / (1 - base.dropout.p))[None])[0].numpy() for m in masks]
            unit = [v / np.linalg.norm(v) for v in vectors]
            pairs = [np.linalg.norm(unit[a] - unit[b]) for a in range(passes) for b in range(a)]
            scores.append(2 / (1 + math.exp(np.mean(pairs))))
    return scores


def test_quality_is_that_of_a_loop_over_dropout_passes(small: Small) -> None:
    features = features_of(4)
    found = crop_quality(features, small, 7, generator=seeded(3))
    assert found.numpy() == pytest.approx(naive(features, small, 7, 3), rel=1e-5)


def test_quality_does_not_depend_on_the_batch_or_on_the_memory_given(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = features_of(5)
    whole = crop_quality(features, small, 9, generator=seeded())
    for numbers in (6, 24, 130):  # one pass of one crop at once, four passes, two crops
        monkeypatch.setattr("vcn_trt.adapt.serfiq._NUMBERS", numbers)
        np.testing.assert_allclose(crop_quality(features, small, 9, generator=seeded()), whole, rtol=1e-5)
    alone = crop_quality(features[3:4], small, 9, generator=seeded())
    np.testing.assert_allclose(alone, whole[3:4], rtol=1e-5)


def test_a_seed_gives_the_same_quality_and_another_seed_another(small: Small) -> None:
    features = features_of(3)
    one, same, other = (crop_quality(features, small, 5, generator=seeded(s)) for s in (4, 4, 5))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_an_embedding_that_never_moves_is_of_quality_one(small: Small) -> None:
    with torch.no_grad():
        small.fc.weight.zero_()
    assert crop_quality(features_of(2), small, generator=seeded()).tolist() == pytest.approx([1.0, 1.0])


def test_the_base_is_left_as_it_was(small: Small) -> None:
    before = {k: v.clone() for k, v in small.state_dict().items()}
    crop_quality(features_of(2), small, generator=seeded())
    assert not small.training
    assert all(torch.equal(v, before[k]) for k, v in small.state_dict().items())


def test_no_crops_have_no_quality(small: Small) -> None:
    assert crop_quality(features_of(0), small, generator=seeded()).shape == (0,)


def test_what_can_say_nothing_about_quality_is_refused(small: Small) -> None:
    with pytest.raises(ValueError, match="found 1 passes"):
        crop_quality(features_of(1), small, 1, generator=seeded())
    with pytest.raises(ValueError, match="rate 0"):
        crop_quality(features_of(1), Small(0.0).eval(), generator=seeded())
    with pytest.raises(ValueError, match="training mode"):
        crop_quality(features_of(1), Small().train(), generator=seeded())


def test_a_track_has_the_mean_quality_of_its_crops() -> None:
    found = track_quality(Ragged(np.array([0.2, 0.4, 0.9], np.float32), np.array([0, 2, 2, 3])))
    np.testing.assert_allclose(found, [0.3, np.nan, 0.9], rtol=1e-6)


def test_outliers_below_are_rejected_and_none_above() -> None:
    # Median 0.5; absolute deviations 0, 0, 0.01, 0.01, 0.02, 0.3, 0.4: MAD 0.01.
    scores = np.array([0.48, 0.49, 0.5, 0.5, 0.51, 0.2, 0.9])
    assert mad_threshold(scores) == pytest.approx(0.5 - 2.5 * 1.4826 * 0.01)
    assert mad_reject(scores).tolist() == [False, False, False, False, False, True, False]
    assert not mad_reject(scores, 1000).any()


def test_where_nothing_stands_out_nobody_is_rejected() -> None:
    assert not mad_reject(np.array([0.5, 0.5, 0.5, 0.4])).any(), "without a spread there is no measure of an outlier"
    assert not mad_reject(np.array([0.1, 0.9])).any()
    assert not mad_reject(np.zeros(0)).any()
    scores = np.array([np.nan, 0.5, 0.51, 0.49, 0.52, 0.1])
    assert mad_reject(scores).tolist() == [False, False, False, False, False, True]


def test_scrambled_pictures_keep_their_pixels_in_whole_pieces() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
    before = pictures.copy()
    found = scrambled(pictures, np.random.default_rng(1), parts=4)
    assert found.shape == pictures.shape
    assert found.dtype == np.uint8
    assert np.array_equal(pictures, before)

    def pieces(picture: NDArray[np.uint8]) -> list[bytes]:
        return [picture[y : y + 2, x : x + 3].tobytes() for y in range(0, 8, 2) for x in range(0, 12, 3)]

    for one, other in zip(pictures, found, strict=True):
        assert sorted(pieces(one)) == sorted(pieces(other))
        assert pieces(one) != pieces(other)
    orders = [[pieces(o).index(x) for x in pieces(f)] for o, f in zip(pictures, found, strict=True)]
    assert orders[0] != orders[1] != orders[2], "each picture in an order of its own"


def test_scrambling_repeats_for_a_seed() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    one, again, other = (scrambled(pictures, np.random.default_rng(s)) for s in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert scrambled(pictures[:0], np.random.default_rng(0)).shape == (0, 112, 112, 3)


def test_weak_tracks_are_nearer_to_what_is_no_face_than_to_the_median() -> None:
    # The median is 0.5. Without a face 0.25: the middle is 0.375, and what is equal to it is not below it.
    scores = np.array([0.25, 0.375, 0.4375, 0.5, 0.5, 0.625, 0.75, np.nan])
    assert weak_tracks(scores, 0.25).tolist() == [True, False, False, False, False, False, False, False]
    assert weak_tracks(scores, 0.375).tolist() == [True, True, False, False, False, False, False, False]


def test_where_nothing_was_measured_nobody_is_weak() -> None:
    assert not weak_tracks(np.array([0.1, 0.9]), math.nan).any()
    assert not weak_tracks(np.full(3, np.nan), 0.3).any()
    assert weak_tracks(np.zeros(0), 0.3).shape == (0,)


# Real faces ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sface(weights_home: Path) -> FaceBase:
    return load_base("sface")


def faces_in(pictures: list[NDArray[np.uint8]]) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Pictures (RGB) with the transform to a crop of each good face in them."""
    backend = backends.open("cpu")
    manifest, path = fetch.resolve("retinaface_mnet025")
    detector = FaceDetector(backend.open_network(path), manifest, backend, DetectConfig())
    found = []
    for picture in pictures:
        frame = CpuFrame(_video_frame(picture))
        (faces,) = detector(FrameBatch([frame], np.zeros(1, np.int64), np.zeros(1)))
        for row in np.flatnonzero(faces.scores > 0.9):
            if min(faces.boxes[row, 2:] - faces.boxes[row, :2]) >= 40:
                found.append((picture, similarity(faces.landmarks[[row]])[0]))
    return found


def _video_frame(picture: NDArray[np.uint8]) -> object:
    import av

    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


def crops_of(faces: list, degrade=lambda crop: crop) -> NDArray[np.uint8]:
    """The crops, spoilt on the 112 pixel grid, so that one strength means the same for every face."""
    return np.stack([degrade(cv2.warpAffine(p, t, (112, 112), flags=cv2.INTER_LINEAR)) for p, t in faces])


def blurred(sigma: float):
    return lambda crop: cv2.GaussianBlur(crop, (0, 0), sigma)


def shrunk(side: int):
    return lambda crop: cv2.resize(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), (112, 112))


def noisy(sigma: float):
    def spoil(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        noise = np.random.default_rng(0).normal(0, sigma, crop.shape)
        return (crop + noise).clip(0, 255).astype(np.uint8)

    return spoil


SPOILT = {
    "blur": [blurred(s) for s in (2, 4, 8)],
    "small": [shrunk(s) for s in (28, 14, 8)],
    "noise": [noisy(s) for s in (20, 50, 100)],
}


def quality(base: FaceBase, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        features = base.features(torch.from_numpy(prepare(crops, base.manifest)))
    return crop_quality(features, base, 30, generator=seeded()).numpy()


@pytest.fixture(scope="module")
def photographed(face_photographs: Footage) -> list:
    names = ("group", "bruno", "sam_outdoors")
    faces = faces_in([face_photographs.frames(name, 0, 1)[0][..., ::-1] for name in names])
    assert len(faces) >= 5
    return faces


@pytest.fixture(scope="module")
def filmed(footage: Path, weights_home: Path) -> list:
    """Faces of some frames of a labelled episode, each in the middle of a shot."""
    film = footage / "episodes" / "dev_episode"
    shots = json.loads(film.with_suffix(".gt.json").read_text())["shots"]
    wanted = {(s["start"] + s["end"]) // 2 for s in shots[2:14:2]}
    decoder = backends.open("cpu").open_decoder(film.with_suffix(".mp4"), 0, DecodeConfig())
    pictures = []
    for batch in decoder:
        pictures += [f.rgb() for f, i in zip(batch.pixels, batch.frame_indices, strict=True) if int(i) in wanted]
        if batch.frame_indices[-1] > max(wanted):
            break
    decoder.close()
    faces = faces_in(pictures)
    assert len(faces) >= 5
    return faces[:6]


@pytest.mark.parametrize("material", ["photographed", "filmed"])
@pytest.mark.parametrize("kind", SPOILT)
def test_quality_of_real_faces_falls_as_they_are_spoilt(
    sface: FaceBase, material: str, kind: str, request: pytest.FixtureRequest
) -> None:
    faces = request.getfixturevalue(material)
    clean = quality(sface, crops_of(faces))
    steps = [quality(sface, crops_of(faces, degrade)) for degrade in SPOILT[kind]]
    means = [float(s.mean()) for s in (clean, *steps)]
    assert means == sorted(means, reverse=True), f"{kind}: {means}"
    assert (steps[-1] < clean).all(), f"{kind}: every face must lose"


def test_a_spoilt_track_is_the_outlier_among_real_ones(sface: FaceBase, photographed: list) -> None:
    crops = crops_of(photographed)
    bad = crops_of(photographed[:1], noisy(100))
    scores = quality(sface, np.concatenate([crops, bad]))
    assert mad_reject(scores).tolist()[-1]


def test_real_faces_scrambled_are_weak_among_real_ones(sface: FaceBase, photographed: list) -> None:
    crops = crops_of(photographed)
    faceless = quality(sface, scrambled(crops, np.random.default_rng(0)))
    scores = quality(sface, crops)
    assert faceless.max() < scores.min()
    weak = weak_tracks(np.concatenate([scores, faceless[:1]]), float(np.median(faceless)))
    assert weak.tolist() == [False] * len(scores) + [True]
