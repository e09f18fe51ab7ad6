"""The PyAV decoder where films go wrong: damage, interlacing, odd containers; and that it leaves nothing behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import pytest
from numpy.typing import NDArray

from vcn_trt.backends.cpu.container import frame_rate
from vcn_trt.backends.cpu.decode import PyAvDecoder, open_decoder
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import VideoError

ONE_THREAD = DecodeConfig(threads=1)


def frames_of(decoder: PyAvDecoder) -> list[tuple[int, float, CpuFrame]]:
    return [
        (int(index), float(seconds), frame)
        for batch in decoder
        for index, seconds, frame in zip(batch.frame_indices, batch.seconds, batch.pixels, strict=True)
    ]


def read(path: Path, config: DecodeConfig | None = None) -> tuple[list[int], list[float], PyAvDecoder]:
    """The numbers that the pictures show, their seconds, and the decoder with its report."""
    decoder = open_decoder(path, 0, config or DecodeConfig())
    frames = frames_of(decoder)
    assert [index for index, _, _ in frames] == list(range(decoder.report.frames))
    return [clips.number_in(f.rgb()) for _, _, f in frames], [s for _, s, _ in frames], decoder


def grainy(number: int) -> NDArray[np.uint8]:
    """A numbered picture with grain, so that every frame has bytes to lose."""
    grain = np.random.default_rng(number).integers(-20, 20, (128, 192, 1))
    return (clips.numbered(number, 192, 128) + grain).astype(np.uint8)


# Forms of film


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name", "options"),
    [
        ("libx264", "yuv420p10le", "a.mkv", {"preset": "veryfast"}),
        ("libx264", "yuv444p", "a.mp4", {"preset": "veryfast"}),
        ("libx265", "yuv420p", "a.mp4", {"preset": "ultrafast", "x265-params": "log-level=none"}),
        ("mpeg2video", "yuv420p", "a.mpg", {"bf": "2", "g": "12", "b": "2M"}),
        ("mpeg4", "yuv420p", "a.avi", {"bf": "2", "g": "12", "b": "2M"}),
        ("libvpx-vp9", "yuv420p", "a.webm", {"deadline": "realtime", "cpu-used": "8"}),
        ("prores_ks", "yuv422p10le", "a.mov", {"profile": "2"}),
        ("ffv1", "yuv422p12le", "a.mkv", {"level": "3"}),
        ("mjpeg", "yuvj422p", "a.mov", {"q": "3"}),
        ("rawvideo", "yuyv422", "a.avi", {}),
    ],
)
def test_codecs_and_containers(tmp_path: Path, codec: str, pix_fmt: str, name: str, options: dict[str, str]) -> None:
    path = clips.write(
        tmp_path / name, (clips.numbered(i) for i in range(20)), codec=codec, pix_fmt=pix_fmt, options=options
    )
    numbers, seconds, decoder = read(path)
    assert numbers == list(range(20))
    np.testing.assert_allclose(seconds, np.arange(20) / 24, atol=1.1e-3)
    assert (decoder.report.lost, decoder.report.warnings) == (0, [])
    assert decoder.video.pixel_format == pix_fmt


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_mirrors_of_the_display_matrix_are_applied(tmp_path: Path, rotation: int) -> None:
    corner = np.zeros((64, 96, 3), np.uint8)
    corner[:32, :48] = 255
    path = clips.write(tmp_path / "selfie.mp4", [corner] * 3, rotation=rotation, hflip=True)
    shown = frames_of(open_decoder(path, 0, DecodeConfig()))[0][2].rgb()
    # FFmpeg turns by the angle it reads back, and mirrors as written: turned first, then left to right.
    expected = np.rot90(corner, rotation // 90)[:, ::-1]
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 8


def test_times_that_the_stream_does_not_hold_are_rebuilt_from_the_rate(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "bare.h264", (clips.numbered(i) for i in range(30)), rate=25, format="h264")
    numbers, seconds, decoder = read(path)
    assert numbers == list(range(30))
    np.testing.assert_allclose(np.diff(seconds), float(1 / decoder.video.fps))
    assert any("presentation time" in sentence for sentence in decoder.report.warnings)


def test_a_clock_that_falls_back_goes_on_rising(tmp_path: Path) -> None:
    """Two transport streams in one file, as a recorder leaves after a restart."""
    one = clips.write(tmp_path / "one.ts", (clips.numbered(i) for i in range(12)))
    two = clips.write(tmp_path / "two.ts", (clips.numbered(i) for i in range(12, 24)))
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    numbers, seconds, _ = read(both)
    assert numbers == list(range(24))
    assert (np.diff(seconds) > 0).all()
    assert seconds[-1] == pytest.approx(23 / 24, abs=0.1)


def test_a_picture_that_changes_size_keeps_the_first_and_says_so_once(tmp_path: Path) -> None:
    small = clips.write(tmp_path / "a.h264", (clips.numbered(i, 96, 64) for i in range(6)), format="h264")
    large = clips.write(tmp_path / "b.h264", (clips.numbered(i, 192, 96) for i in range(6, 12)), format="h264")
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    decoder = open_decoder(both, 0, DecodeConfig())
    frames = frames_of(decoder)
    assert [clips.number_in(f.rgb()) for _, _, f in frames] == list(range(12))
    assert {(f.width, f.height, f.rgb().shape) for _, _, f in frames} == {(96, 64, (64, 96, 3))}
    assert frames[-1][2].luma().shape == (96, 192)
    np.testing.assert_allclose(frames[-1][2].displayed_to_coded @ (0, 0, 1), (0.5, 0.25))
    assert [s for s in decoder.report.warnings if "changes from 96x64 to 192x96" in s] == [decoder.report.warnings[0]]


def test_the_rate_is_the_timelines() -> None:
    ntsc = Fraction(24000, 1001)
    assert frame_rate(ntsc, ntsc) == ntsc
    assert frame_rate(Fraction(1248, 121), Fraction(24)) == 24  # dropped frames on a grid of 24
    assert frame_rate(Fraction(14985, 500), Fraction(30)) == 30
    assert frame_rate(Fraction(2987, 100), Fraction(120)) == Fraction(2987, 100)  # a phone's clock
    assert frame_rate(Fraction(30), Fraction(1000)) == 30
    assert frame_rate(None, Fraction(90000)) == 90000
    assert frame_rate(None, None) == 25


# Interlaced


def field_film(path: Path, n: int, **more: Any) -> Path:
    """A bar that moves 12 pixels a frame, half of it between the two fields."""

    def frame(i: int) -> NDArray[np.uint8]:
        picture = np.full((64, 96, 3), 30, np.uint8)
        for field in (0, 1):
            left = (12 * i + 6 * field) % 80
            picture[field::2, left : left + 16] = 220
        return picture

    return clips.write(path, map(frame, range(n)), options={"x264-params": "tff=1", "bf": "2", "crf": "12"}, **more)


def combing(frame: CpuFrame) -> float:
    rows = frame.luma().astype(float)
    return float(np.abs(rows[2:-2] - (rows[1:-3] + rows[3:-1]) / 2).mean())


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_interlaced_frames_are_filtered_one_to_one(tmp_path: Path, n: int) -> None:
    path = field_film(tmp_path / "fields.mkv", n)
    auto = frames_of(open_decoder(path, 0, DecodeConfig()))
    off = frames_of(open_decoder(path, 0, DecodeConfig(deinterlace="off")))
    assert len(auto) == len(off) == n
    assert [(i, s) for i, s, _ in auto] == [(i, s) for i, s, _ in off]
    if n == 20:
        assert np.mean([combing(f) for _, _, f in auto]) < 0.4 * np.mean([combing(f) for _, _, f in off])


def test_each_filtered_frame_is_the_one_of_its_number(tmp_path: Path) -> None:
    """From a progressive start into interlaced frames: the filter holds one frame back and must not shift them."""
    start = clips.write(tmp_path / "a.h264", (clips.numbered(i) for i in range(7)), format="h264")
    rest = clips.write(
        tmp_path / "b.h264",
        (clips.numbered(i) for i in range(7, 20)),
        options={"x264-params": "tff=1", "bf": "2"},
        format="h264",
    )
    both = tmp_path / "both.h264"
    both.write_bytes(start.read_bytes() + rest.read_bytes())
    assert read(both)[0] == list(range(20))


# Damage


@pytest.mark.parametrize("share", [0.25, 0.4, 0.55, 0.7, 0.85, 0.97])
def test_a_film_cut_short_gives_every_whole_frame(tmp_path: Path, share: float) -> None:
    path = clips.write(
        tmp_path / "film.mp4",
        (grainy(i) for i in range(60)),
        container_options={"movflags": "faststart"},
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    numbers, seconds, decoder = read(path)
    alone, _, single = read(path, ONE_THREAD)
    assert numbers == alone
    np.testing.assert_allclose(seconds, np.array(numbers) / 24, atol=1e-3)
    assert 0 < len(numbers) < 60
    for report in (decoder.report, single.report):
        assert report.lost == 60 - report.frames
        assert any("breaks off" in sentence for sentence in report.warnings)


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_cost_no_more_than_they_hit(tmp_path: Path, seed: int) -> None:
    path = clips.write(tmp_path / "film.ts", (grainy(i) for i in range(60)))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    hits = rng.integers(4000, len(data), 40)
    data[hits] ^= (1 << rng.integers(0, 8, 40)).astype(np.uint8)
    path.write_bytes(data.tobytes())
    _, seconds, decoder = read(path)
    assert decoder.report.frames >= 20
    assert (np.diff(seconds) > 0).all()
    assert decoder.report.warnings


def test_a_hole_in_the_film_leaves_the_rest(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(48)), options={"bf": "0", "g": "12"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size, p.is_keyframe) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size, _ in packets[12:15]:  # a key frame and two after it
        data[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(bytes(data))
    numbers, seconds, decoder = read(path)
    assert numbers[:12] == list(range(12))
    assert numbers[-24:] == list(range(24, 48))
    np.testing.assert_allclose(seconds[-24:], np.arange(24, 48) / 24, atol=1e-3)
    assert decoder.report.lost + decoder.report.frames == 48
    assert decoder.report.lost >= 3
    assert any("could not be decoded" in sentence for sentence in decoder.report.warnings)


def test_a_damaged_av1_film_loses_no_more_with_threads_than_without(tmp_path: Path) -> None:
    options = {"preset": "12", "svtav1-params": "keyint=12", "crf": "30"}
    path = clips.write(tmp_path / "film.mkv", (grainy(i) for i in range(48)), codec="libsvtav1", options=options)
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(3)
    data[rng.integers(len(data) // 3, len(data) - 500, 25)] ^= 16
    path.write_bytes(data.tobytes())
    numbers, _, decoder = read(path, DecodeConfig(threads=4))
    alone, _, single = read(path, ONE_THREAD)
    assert numbers == alone
    assert decoder.report.lost == single.report.lost > 0


# Refusals


def test_an_unknown_codec_is_named(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", [clips.numbered(1)])
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoError, match=r"cannot decode: none \(zzzz"):
        open_decoder(path, 0, DecodeConfig())


def test_an_encrypted_film_is_called_so(tmp_path: Path) -> None:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 15 + "01", "encryption_kid": "00" * 15 + "02"}
    rng = np.random.default_rng(0)
    noise = (rng.integers(0, 256, (64, 96, 3), np.uint8) for _ in range(10))
    path = clips.write(tmp_path / "film.mp4", noise, container_options=key)
    with pytest.raises(VideoError, match=r"encrypted \(h264"):
        open_decoder(path, 0, DecodeConfig())


def test_sound_with_a_cover_image_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = out.add_stream("aac", rate=48000, layout="mono")
        picture = av.VideoFrame.from_ndarray(clips.numbered(1), format="rgb24").reformat(format="yuvj420p")
        out.mux([*cover.encode(picture), *cover.encode(None)])
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 48000
        out.mux([*sound.encode(silence), *sound.encode(None)])
    with pytest.raises(VideoError, match="only audio and a cover image"):
        open_decoder(path, 0, DecodeConfig())


def test_a_cut_off_recording_is_told_from_other_files(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(20)))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(VideoError, match=r"without its index \(moov\)"):
        open_decoder(path, 0, DecodeConfig())


def test_a_film_without_one_good_frame_is_refused(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(10)))
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size in packets:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(bytes(data))
    with pytest.raises(VideoError, match="10 packets of h264"):
        open_decoder(path, 0, DecodeConfig())


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.write(tmp_path / "film.mp4", [clips.numbered(1)])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # Tests may run as root, whom no mode stops.
    with pytest.raises(VideoError, match=r"Permission denied.*permissions"):
        open_decoder(path, 0, DecodeConfig())


def test_a_name_with_a_colon_is_a_file_not_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips.write(tmp_path / "film.mp4", [clips.numbered(3)]).rename(tmp_path / "http:film.mp4")
    monkeypatch.chdir(tmp_path)
    assert read(Path("http:film.mp4"))[0] == [3]


def test_of_several_pictures_the_default_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        streams = []
        for width, height in ((48, 32), (192, 128)):
            stream = out.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        streams[0].disposition, streams[1].disposition = 0, av.stream.Disposition.default
        for i, stream in enumerate(streams):
            for n in range(3):
                picture = clips.numbered(100 * i + n, stream.width, stream.height)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode(None))
    decoder = open_decoder(path, 0, DecodeConfig())
    assert (decoder.video.width, decoder.video.height) == (192, 128)
    decoder.close()


# Nothing is left behind


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads and pages of /proc")
def test_a_pass_that_is_given_up_leaves_no_thread(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", (clips.numbered(i) for i in range(60)))
    gc.collect()
    before = len(os.listdir("/proc/self/task"))

    def give_up() -> Iterator[int]:
        for batch in open_decoder(path, 0, DecodeConfig(threads=4)):
            yield len(batch)

    batches = give_up()
    next(batches)
    assert len(os.listdir("/proc/self/task")) > before
    batches.close()
    decoder = open_decoder(path, 0, DecodeConfig(threads=4))
    next(iter(decoder))
    decoder.close()
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads and pages of /proc")
def test_a_long_film_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """3,000 frames of 320x240 are 330 MB decoded."""
    turn = clips.write(tmp_path / "turn.mp4", (clips.numbered(i, 320, 240) for i in range(100)), options={"bf": "0"})
    path = clips.repeat(turn, tmp_path / "long.mp4", 30)
    page = os.sysconf("SC_PAGE_SIZE")
    resident: list[int] = []
    decoder = open_decoder(path, 0, DecodeConfig())
    for batch in decoder:
        batch.pixels[0].bgr_scaled(160, 120)
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * page)
    assert decoder.report.frames == 3000
    assert max(resident) - resident[50] < 20e6


def test_libav_says_nothing_on_the_terminal(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.ts", (grainy(i) for i in range(30)))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    data[np.random.default_rng(0).integers(4000, len(data), 60)] ^= 64
    path.write_bytes(data.tobytes())
    code = (
        "import sys; from pathlib import Path; from vcn_trt.backends.cpu.decode import open_decoder;"
        "from vcn_trt.config import DecodeConfig; d = open_decoder(Path(sys.argv[1]), 0, DecodeConfig());"
        "print(sum(len(b) for b in d))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert int(done.stdout) > 0
