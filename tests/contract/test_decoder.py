"""What every decoder owes the stages, whatever its column: each frame once, numbered, timed, turned; clear errors."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest
from columns import COLUMNS, NVDEC, SHIM, open_column
from numpy.typing import NDArray

from vcn_trt.backends import Backend
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import VideoError


@pytest.fixture(params=[*COLUMNS, NVDEC])
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_column(request.param).backend


class Pass:
    """All that one pass gave: pictures (BGR, at most 640 wide), frame indices, seconds, the video and the report."""

    def __init__(self, backend: Backend, path: Path, config: DecodeConfig | None = None, pictures: bool = True) -> None:
        decoder = backend.open_decoder(path, 7, config or DecodeConfig())
        self.video, self.report = decoder.video, decoder.report
        self.pictures: list[NDArray[np.uint8]] = []
        self.sizes: list[int] = []
        indices, seconds = [], []
        for batch in decoder:
            indices.append(batch.frame_indices)
            seconds.append(batch.seconds)
            self.sizes.append(len(batch))
            if pictures:
                self.pictures.extend(backend.ops.thumbnails(batch, 640))
        self.indices, self.seconds = np.concatenate(indices), np.concatenate(seconds)


def test_every_frame_comes_once_in_presentation_order_though_coded_in_another(tmp_path: Path, backend: Backend) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(50)))
    seen = Pass(backend, path)
    assert [clips.number_in(p) for p in seen.pictures] == list(range(50))
    assert seen.indices.dtype == np.int64
    assert seen.indices.tolist() == list(range(50))
    np.testing.assert_allclose(seen.seconds, np.arange(50) / 24, atol=1e-3)
    assert (seen.report.frames, seen.report.lost, seen.report.warnings) == (50, 0, [])


def test_the_video_tells_what_the_container_claims(tmp_path: Path, backend: Backend) -> None:
    path = clips.write(
        tmp_path / "film.mov",
        (clips.numbered(i) for i in range(24)),
        rate=Fraction(24000, 1001),
        metadata={"timecode": "01:00:00:00"},
    )
    video = Pass(backend, path).video
    assert (video.id, video.path, video.fps, video.frames) == (7, str(path), Fraction(24000, 1001), 24)
    assert (video.width, video.height, video.codec, video.pixel_format) == (96, 64, "h264", "yuv420p")
    assert video.start_timecode == "01:00:00:00"
    assert video.seconds == pytest.approx(24 * 1001 / 24000, abs=1e-3)


@pytest.mark.parametrize(
    ("suffix", "tags"), [(".mov", {}), (".mkv", {"timecode": "10:00:00;00", "reel_name": "A001R2"})]
)
def test_the_video_tells_timecode_and_reel_where_the_container_names_them(
    tmp_path: Path, backend: Backend, suffix: str, tags: dict[str, str]
) -> None:
    path = clips.write(tmp_path / f"film{suffix}", [clips.numbered(0)], metadata=tags)
    video = Pass(backend, path).video
    assert (video.start_timecode, video.reel) == (tags.get("timecode"), tags.get("reel_name"))


@pytest.mark.parametrize("batch", [1, 4, 7, 64])
def test_batches_are_full_but_the_last(tmp_path: Path, backend: Backend, batch: int) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(10)))
    seen = Pass(backend, path, DecodeConfig(batch=batch))
    assert seen.sizes == {1: [1] * 10, 4: [4, 4, 2], 7: [7, 3], 64: [10]}[batch]
    assert seen.indices.tolist() == list(range(10))


def test_a_variable_rate_keeps_the_files_own_times(tmp_path: Path, backend: Backend) -> None:
    pts = [0, 40, 80, 200, 240, 500, 533, 567]
    path = clips.write(
        tmp_path / "vfr.mkv", (clips.numbered(i) for i in range(8)), rate=25, pts=pts, time_base=Fraction(1, 1000)
    )
    np.testing.assert_allclose(Pass(backend, path).seconds, np.array(pts) / 1000, atol=1e-9)


def test_seconds_count_from_the_containers_start(tmp_path: Path, backend: Backend) -> None:
    stream = clips.write(tmp_path / "clip.ts", (clips.numbered(i) for i in range(5)))  # MPEG-TS starts near 1.4 s.
    np.testing.assert_allclose(Pass(backend, stream).seconds, np.arange(5) / 24, atol=1e-4)


def test_a_picture_that_starts_after_its_sound_keeps_the_delay(tmp_path: Path, backend: Backend) -> None:
    path = clips.write(
        tmp_path / "late.mkv",
        (clips.numbered(i) for i in range(10)),
        pts=[500 + 40 * i for i in range(10)],
        time_base=Fraction(1, 1000),
        audio_seconds=1.0,
    )
    np.testing.assert_allclose(Pass(backend, path).seconds, 0.5 + 0.04 * np.arange(10), atol=0.025)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_the_display_rotation_is_applied(tmp_path: Path, backend: Backend, rotation: int) -> None:
    """`rotation` is FFmpeg's: counterclockwise degrees, as NumPy's rot90."""
    path = clips.write(tmp_path / "turned.mp4", (clips.numbered(i) for i in range(5)), rotation=rotation)
    seen = Pass(backend, path)
    assert (seen.video.width, seen.video.height) == ((96, 64) if rotation == 180 else (64, 96))
    for i, picture in enumerate(seen.pictures):
        assert picture.shape[:2] == (seen.video.height, seen.video.width)
        upright = np.rot90(picture, -rotation // 90)
        assert clips.number_in(upright) == i


def test_pixels_become_square(tmp_path: Path, backend: Backend) -> None:
    path = clips.write(tmp_path / "sar.mp4", (clips.numbered(i) for i in range(3)), pixel_aspect=Fraction(4, 3))
    seen = Pass(backend, path)
    assert (seen.video.width, seen.video.height) == (128, 64)
    assert [clips.number_in(p) for p in seen.pictures] == [0, 1, 2]


@pytest.mark.parametrize(("width", "height"), [(3840, 2160), (360, 640), (640, 358), (66, 50)])
def test_sizes_from_tiny_to_4k(tmp_path: Path, backend: Backend, width: int, height: int) -> None:
    path = clips.write(
        tmp_path / "film.mp4", (clips.numbered(i, width, height) for i in range(3)), options={"preset": "ultrafast"}
    )
    seen = Pass(backend, path)
    assert (seen.video.width, seen.video.height) == (width, height)
    assert [clips.number_in(p) for p in seen.pictures] == [0, 1, 2]


def test_one_frame_is_a_film(tmp_path: Path, backend: Backend) -> None:
    seen = Pass(backend, clips.write(tmp_path / "one.mp4", [clips.numbered(5)]))
    assert [clips.number_in(p) for p in seen.pictures] == [5]
    assert seen.seconds.tolist() == [0.0]


def test_closing_is_final_and_harmless(tmp_path: Path, backend: Backend) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(20)))
    decoder = backend.open_decoder(path, 0, DecodeConfig())
    batches = iter(decoder)
    batch = next(batches)
    decoder.close()
    decoder.close()
    assert clips.number_in(backend.ops.thumbnails(batch, 640)[3]) == 3  # Frames outlive their decoder.
    with pytest.raises(RuntimeError, match="closed"):
        next(batches)
    with pytest.raises(RuntimeError, match="another decoder"):
        iter(decoder)


def test_a_decoder_gives_one_pass(tmp_path: Path, backend: Backend) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(5)))
    decoder = backend.open_decoder(path, 0, DecodeConfig())
    assert sum(len(batch) for batch in decoder) == 5
    with pytest.raises(RuntimeError, match="another decoder"):
        iter(decoder)


def test_files_that_are_no_film_say_what_they_are(tmp_path: Path, backend: Backend) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.mp4").write_text("shot list\n" * 50)
    (tmp_path / "notes.txt").write_text("shot list\n" * 50)
    (tmp_path / "noise.mov").write_bytes(np.random.default_rng(0).bytes(5000))
    for name, says in {
        "missing.mp4": "does not exist",
        ".": "folder",
        "empty.mp4": r"empty \(0 bytes\)",
        "notes.mp4": "not a video",
        "notes.txt": "text",
        "noise.mov": "not a video",
    }.items():
        with pytest.raises(VideoError, match=says):
            backend.open_decoder(tmp_path / name, 0, DecodeConfig())


# name: frames, last seconds (the first is 0), displayed width and height, fps, lost. By FFmpeg 5.1's `ffprobe
# -count_frames -show_frames -show_streams`: best_effort_timestamp_time less the format's start_time; sizes by hand from
# coded size, pixel aspect and rotation; fps is avg_frame_rate, but r_frame_rate for the VFR file (its avg is 1248/121);
# lost is the container's nb_frames less the frames.
FILES: dict[str, tuple[int, float, int, int, str, int]] = {
    "audio_offset_start.mp4": (120, 4.958333, 640, 360, "24", 0),
    "av1.mp4": (120, 4.958333, 480, 270, "24", 0),
    "bitflips.mp4": (120, 4.958333, 640, 360, "24", 0),
    "fps12.mp4": (60, 4.916667, 640, 360, "12", 0),
    "fps59_94.mp4": (300, 4.988317, 640, 360, "60000/1001", 0),
    "fullrange.mp4": (120, 4.958333, 640, 360, "24", 0),
    "h264_10bit.mkv": (120, 4.958, 640, 360, "24", 0),
    "h264_444.mp4": (120, 4.958333, 640, 360, "24", 0),
    "h264_8bit.mp4": (120, 4.958333, 1280, 720, "24", 0),
    "h264_interlaced.ts": (60, 4.916667, 640, 360, "12", 0),
    "hevc_10bit.mp4": (120, 4.958333, 640, 360, "24", 0),
    "hevc_8bit.mp4": (120, 4.958333, 640, 360, "24", 0),
    "mpeg2.mpg": (120, 4.958333, 640, 360, "24", 0),
    "mpeg4_asp.avi": (120, 4.958333, 640, 360, "24", 0),
    "odd_638x358.mp4": (120, 4.958333, 638, 358, "24", 0),
    "one_frame.mp4": (1, 0.0, 640, 360, "24", 0),
    "rot90.mp4": (120, 4.958333, 360, 640, "24", 0),
    "sar_4_3.mp4": (120, 4.958333, 640, 360, "24", 0),
    "truncated_faststart.mp4": (69, 2.833333, 640, 360, "24", 51),
    "vfr_h264.mp4": (52, 4.958333, 640, 360, "24", 0),
    "vp9.webm": (120, 4.958, 640, 360, "24", 0),
}
REFUSED = {
    "audio_only.mp4": "only audio",
    "empty.mp4": "empty",
    "not_a_video.mp4": "not a video",
    "truncated_no_moov.mp4": "without its index",
}


@pytest.mark.parametrize("name", FILES)
def test_real_files_give_the_frames_that_ffprobe_counts(footage: Path, backend: Backend, name: str) -> None:
    frames, last, width, height, fps, lost = FILES[name]
    seen = Pass(backend, footage / "decoder" / name, pictures=False)
    assert seen.report.frames == len(seen.indices) == frames
    assert seen.seconds[0] == pytest.approx(0.0, abs=1e-6)
    assert seen.seconds[-1] == pytest.approx(last, abs=2e-6)
    assert (np.diff(seen.seconds) > 0).all()
    assert (seen.video.width, seen.video.height, seen.video.fps) == (width, height, Fraction(fps))
    assert seen.report.lost == lost
    if name != "bitflips.mp4" or backend.name in ("cpu", SHIM):  # NVDEC does not tell which frames it patched
        assert bool(seen.report.warnings) == (name in ("bitflips.mp4", "truncated_faststart.mp4"))


@pytest.mark.parametrize("name", REFUSED)
def test_real_files_without_a_film_are_refused(footage: Path, backend: Backend, name: str) -> None:
    with pytest.raises(VideoError, match=REFUSED[name]):
        backend.open_decoder(footage / "decoder" / name, 0, DecodeConfig())


def test_no_file_of_the_collection_is_left_out(footage: Path) -> None:
    assert sorted(p.name for p in (footage / "decoder").iterdir()) == sorted([*FILES, *REFUSED])


@pytest.fixture(scope="module")
def source_frame(footage: Path) -> NDArray[np.uint8]:
    """Frame 318 of cc_episode: the files were cut from 288 on, and 30 frames are 1.25 s. The files of 360 lines hold
    the source's numbers unchanged and untagged, which means BT.601 there, so the source is read as BT.601 too. BGR"""
    with av.open(str(footage / "episodes" / "cc_episode.mp4")) as container:
        frame = next(islice(container.decode(video=0), 318, None))
    frame.colorspace = 6  # SMPTE 170M: the matrix of BT.601
    return frame.reformat(640, 360, "bgr24", interpolation="AREA").to_ndarray().astype(np.uint8)


# What compression leaves at 80x45 is 0.7 to 1.5; the wrong matrix costs 3, the wrong range 8.
@pytest.mark.parametrize(
    "name",
    [
        *("av1.mp4", "fps12.mp4", "fullrange.mp4", "h264_10bit.mkv", "h264_444.mp4", "h264_interlaced.ts"),
        *("hevc_10bit.mp4", "hevc_8bit.mp4", "mpeg2.mpg", "mpeg4_asp.avi", "odd_638x358.mp4", "rot90.mp4"),
        *("sar_4_3.mp4", "vp9.webm"),
    ],
)
def test_real_files_show_the_colours_of_their_source(
    footage: Path, source_frame: NDArray[np.uint8], backend: Backend, name: str
) -> None:
    decoder = backend.open_decoder(footage / "decoder" / name, 0, DecodeConfig(batch=1))
    batch = next(batch for batch in decoder if batch.seconds[0] > 1.249)
    picture = backend.ops.thumbnails(batch, 640)[0]
    decoder.close()
    if name == "rot90.mp4":
        picture = np.ascontiguousarray(np.rot90(picture, -1))
    small, expected = (
        cv2.resize(p, (80, 45), interpolation=cv2.INTER_AREA).astype(float) for p in (picture, source_frame)
    )
    assert np.abs(small - expected).mean() < 2.0
