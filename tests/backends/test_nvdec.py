"""Films by NVDEC, which FFmpeg stands in for (tests/nvdec.py): frame by frame what the CPU column has, however they are
cut into runs, and whatever goes wrong."""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import nvdec
import pytest
from columns import open_column
from lanes import ShimLane

from vcn_trt.backends.base import Decoder, DecodeReport
from vcn_trt.backends.cpu.decode import open_decoder as open_on_cpu
from vcn_trt.backends.cuda import nvdec as column
from vcn_trt.backends.cuda.capability import Capability
from vcn_trt.backends.cuda.frame import as_coded_for_the_card, host_planes
from vcn_trt.backends.cuda.nvdec import open_decoder_by
from vcn_trt.backends.cuda.runs import as_nvdec_reads
from vcn_trt.config import DecodeConfig

X264 = {"preset": "veryfast", "g": "8", "bf": "3", "threads": "1"}
OPEN_264 = X264 | {"x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0"}
GROUPS = "keyint=8:min-keyint=8:bframes=3:scenecut=0:log-level=none:pools=1"
X265 = {"preset": "ultrafast", "x265-params": f"{GROUPS}:open-gop=0"}
OPEN_265 = {"preset": "ultrafast", "x265-params": f"{GROUPS}:open-gop=1"}
VP9 = {"g": "16", "lag-in-frames": "10", "auto-alt-ref": "1", "deadline": "realtime", "cpu-used": "8"}


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of five packets, so that small films have many."""
    monkeypatch.setattr(column, "LENGTH", 5)


def pictures(n: int, width: int = 160, height: int = 144) -> Iterator[Any]:
    """Numbered, and drifting, so that coders find references."""
    return (np.roll(clips.numbered(i, width, height), i, axis=1) for i in range(n))


Frame = tuple[int, float, bytes]


def by_nvdec(
    path: Path, library: nvdec.Library | None = None, config: DecodeConfig | None = None, engines: int = 3
) -> tuple[list[Frame], DecodeReport]:
    """Number, seconds and both planes of every frame, and the report."""
    decoder = open_decoder_by(nvdec.card(library, engines))(path, 0, config or DecodeConfig(threads=1))
    return frames_of(decoder), decoder.report


def frames_of(decoder: Decoder, to_numpy: Callable[[Any], Any] = np.asarray) -> list[Frame]:
    return [
        (int(number), float(seconds), to_numpy(frame.luma).tobytes() + to_numpy(frame.chroma).tobytes())
        for batch in decoder
        for frame, number, seconds in zip(batch.pixels, batch.frame_indices, batch.seconds, strict=True)
    ]


def by_cpu(path: Path) -> tuple[list[Frame], DecodeReport]:
    decoder = open_on_cpu(path, 0, DecodeConfig(threads=1))
    frames = []
    for batch in decoder:
        for frame, number, seconds in zip(batch.pixels, batch.frame_indices, batch.seconds, strict=True):
            luma, chroma = host_planes(as_coded_for_the_card(frame))
            frames.append((int(number), float(seconds), luma.tobytes() + chroma.tobytes()))
    return frames, decoder.report


def same(path: Path, library: nvdec.Library | None = None, **more: Any) -> DecodeReport:
    """Assert that both columns give the same frames and account, and that there are some."""
    found, report = by_nvdec(path, library, **more)
    expected, on_cpu = by_cpu(path)
    assert [f[:2] for f in found] == [f[:2] for f in expected]
    assert [i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b] == []
    # Where the decoder met the first error is told by how far the pass was.
    warnings, on_cpus = ([re.sub(r"near [\d.]+ s", "", w) for w in r.warnings] for r in (report, on_cpu))
    assert (report.frames, report.lost, warnings) == (on_cpu.frames, on_cpu.lost, on_cpus)
    assert report.frames > 0
    return report


FILMS: list[tuple[str, dict[str, Any]]] = [
    ("bframes.mp4", {"options": X264}),
    ("bframes.mkv", {"options": X264}),
    ("bframes.ts", {"options": X264}),
    ("plain.mov", {"options": X264 | {"bf": "0"}}),
    ("closed.mp4", {"codec": "libx265", "options": X265}),
    ("open.mp4", {"codec": "libx265", "options": OPEN_265}),
    ("open.mkv", {"codec": "libx265", "options": OPEN_265, "pix_fmt": "yuv420p10le"}),
    ("open.ts", {"codec": "libx265", "options": OPEN_265}),
    ("altref.webm", {"codec": "libvpx-vp9", "options": VP9}),
]


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "facts"), FILMS)
def test_a_card_decodes_to_the_bit_what_ffmpeg_does(tmp_path: Path, name: str, facts: dict[str, Any]) -> None:
    backend = open_column("cuda:0").backend
    path = clips.write(tmp_path / name, pictures(43), **facts)
    decoder = backend.open_decoder(path, 0, DecodeConfig())
    found = frames_of(decoder, backend.ops.to_numpy)
    assert decoder.report.notes == []  # else it was not NVDEC
    assert found == by_cpu(path)[0]


@pytest.mark.parametrize(("name", "facts"), FILMS)
def test_runs_of_several_sessions_give_every_frame_once_and_in_order(
    tmp_path: Path, name: str, facts: dict[str, Any]
) -> None:
    library = nvdec.Library()
    report = same(clips.write(tmp_path / name, pictures(43), **facts), library)
    assert (report.frames, report.lost, report.warnings, report.notes) == (43, 0, [], [])
    assert len(library.decoders) == 3


def test_without_a_seam_one_session_decodes_and_it_is_said(tmp_path: Path) -> None:
    """x264's open groups begin with recovery points, which later pictures may reach behind."""
    library = nvdec.Library()
    report = same(clips.write(tmp_path / "open.mp4", pictures(43), options=OPEN_264), library)
    assert len(library.decoders) == 1
    (note,) = report.notes
    assert "its first 20 packets have no seam at which a second NVDEC session could begin" in note


def test_a_variable_rate_and_times_below_zero(tmp_path: Path) -> None:
    pts = [-120, -80, 40, 80, 200, 240, *range(500, 1700, 40)]
    path = clips.write(
        tmp_path / "vfr.mkv", pictures(len(pts)), pts=pts, rate=25, time_base=Fraction(1, 1000), options=X264
    )
    assert same(path).notes == []


def test_frames_outside_an_edit_list_do_not_count(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "whole.mp4", pictures(43), options=X264)
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(path)) as given, av.open(str(trimmed), "w", options={"use_editlist": "1"}) as out:
        film = given.streams.video[0]
        stream = out.add_stream_from_template(film)
        step = round(1 / (24 * film.time_base))
        for packet in given.demux(film):
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, packet.pts - 3 * step, packet.dts - 3 * step
                out.mux(packet)
    with av.open(str(trimmed)) as container:
        assert sum(p.is_discard for p in container.demux(video=0)) == 3
    report = same(trimmed)
    assert (report.frames, report.notes) == (40, [])


def test_a_session_for_each_engine_divided_among_the_videos_read_at_once(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(60), options=X264)
    for streams, decoders in ((0, 6), (1, 6), (2, 3), (9, 1)):
        library = nvdec.Library()
        by_nvdec(path, library, DecodeConfig(streams=streams), engines=6)
        assert len(library.decoders) == decoders


def test_frames_ahead_are_bounded_in_bytes(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(96), options=X264)
    handed = most = packets = 0
    frame = 160 * 144 * 3 // 2

    def count(decoder: Any) -> None:
        nonlocal packets
        packets += 1

    card = nvdec.card(nvdec.Library(count), engines=8, look_ahead=24 * frame)
    for batch in open_decoder_by(card)(path, 0, DecodeConfig(batch=1)):
        handed += len(batch)
        most = max(most, packets - handed)
    assert handed == 96
    # Three runs of eight, their drainings, and the one that is handed out while the next is decoded.
    assert 8 < most <= 24 + 8 + 4


def nth(n: int, error: Exception) -> Callable[[Any], None]:
    """Raise at the nth call, and ever after."""
    calls = iter(range(n - 1))

    def called(decoder: Any) -> None:
        if next(calls, None) is None:
            raise error

    return called


@pytest.mark.parametrize("call", [1, 4, 30])
def test_a_session_that_dies_hands_over_to_pyav_where_it_stood(tmp_path: Path, call: int) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(43), options=X264)
    report = same(path, nvdec.Library(nth(call, RuntimeError("CUDA_ERROR_UNKNOWN"))))
    (note,) = report.notes
    assert note.startswith("decoded by PyAV and uploaded")
    assert note.endswith(": NVDEC failed: CUDA_ERROR_UNKNOWN")


def test_a_session_that_cannot_be_opened_leaves_the_film_to_pyav(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(12), options=X264)

    def refuse(self: Any, **asked: Any) -> None:
        raise RuntimeError("PyNvDecoder constructor failed: out of memory")

    monkeypatch.setattr(nvdec.Library, "CreateDecoder", refuse)
    assert same(path).notes == [
        "decoded by PyAV and uploaded: NVDEC failed: PyNvDecoder constructor failed: out of memory"
    ]


def test_a_run_that_does_not_come_whole_is_decoded_by_pyav(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(43), options=X264)
    with av.open(str(path)) as container:
        times = sorted(p.pts for p in container.demux(video=0) if p.size)
    report = same(path, nvdec.Library(swallowed=frozenset(times[20:21])))
    assert report.notes == ["1 run that NVDEC did not decode whole went by PyAV"]


def test_a_run_without_end_that_does_not_come_whole_leaves_the_rest_to_pyav(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(43), options=OPEN_264)
    with av.open(str(path)) as container:
        times = sorted(p.pts for p in container.demux(video=0) if p.size)
    report = same(path, nvdec.Library(swallowed=frozenset(times[35:36])))
    *_, note = report.notes
    assert re.fullmatch(r"decoded by PyAV and uploaded behind \d\.\d s: NVDEC left out a frame", note)


def test_a_picture_that_is_no_nv12_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(12), options=X264)
    monkeypatch.setattr("vcn_trt.backends.cuda.session.SURFACES", ("P016",))
    assert same(path).notes == ["decoded by PyAV and uploaded: NVDEC gives NV12, expected one of P016"]


def test_pictures_that_are_off_are_seen_at_the_first(tmp_path: Path) -> None:
    """So it would be with a crop at the left, which PyNvVideoCodec's source does not heed."""
    path = clips.write(tmp_path / "film.mp4", pictures(12), options=X264)
    library = nvdec.Library()
    library.shift = 2
    assert same(path, library).notes == [
        "decoded by PyAV and uploaded: its first frame by NVDEC is another than by FFmpeg"
    ]


def test_another_picture_size_is_decoded_by_another_session_and_said(tmp_path: Path) -> None:
    small = clips.write(tmp_path / "a.ts", pictures(12), options=X264)
    large = clips.write(tmp_path / "b.ts", pictures(12, 320, 160), options=X264)
    both = tmp_path / "both.ts"
    for one, other in ((small, large), (large, small)):
        both.write_bytes(one.read_bytes() + other.read_bytes())
        report = same(both)
        assert report.notes == []
        assert "the picture changes from" in report.warnings[0]


def test_damaged_films_give_what_the_cpu_makes_of_them(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(43), options=X264, container_options={"movflags": "faststart"})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    report = same(path)
    assert report.lost > 0
    assert report.notes == ["1 run that NVDEC did not decode whole went by PyAV"]


def test_a_packet_whose_lengths_do_not_add_up_is_no_end(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(43), options=X264 | {"bf": "0"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    position, _ = packets[20]
    data[position : position + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(bytes(data))
    report = same(path)
    assert report.lost >= 1
    assert report.notes == ["1 run that NVDEC did not decode whole went by PyAV"]


def test_films_without_presentation_times_are_left_to_pyav(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.h264", pictures(20), options=X264, format="h264")
    report = same(path)
    assert "its packets have no presentation times, or two the same" in report.notes[0]


def test_a_film_that_begins_in_the_middle_is_left_to_pyav(tmp_path: Path) -> None:
    """Behind a CRA picture the leading ones lack what they refer to: decoders differ in what they make of them."""
    path = clips.write(tmp_path / "film.ts", pictures(43), codec="libx265", options=OPEN_265)
    cut = tmp_path / "cut.ts"
    with av.open(str(path)) as given, av.open(str(cut), "w") as out:
        film = given.streams.video[0]
        stream = out.add_stream_from_template(film)
        keys = 0
        for packet in given.demux(film):
            keys += packet.is_keyframe
            if packet.size and keys > 1:
                packet.stream = stream
                out.mux(packet)
    report = same(cut)
    assert "its first pictures need others from before its beginning" in report.notes[0]


@pytest.mark.parametrize(
    ("name", "facts", "why"),
    [
        ("high10.mkv", {"pix_fmt": "yuv420p10le", "options": X264}, "this card's NVDEC does not decode 10-bit h264"),
        ("prores.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "options": {"g": "1"}}, "decodes no prores"),
        ("422.mp4", {"pix_fmt": "yuv422p", "options": X264}, "its frames are yuv422p, which"),
        ("av1.mp4", {"codec": "libsvtav1", "options": {"preset": "12"}}, "does not decode 8-bit av1"),
        ("fields.ts", {"options": X264 | {"flags": "+ildct+ilme", "x264-params": "tff=1"}}, "are interlaced"),
        ("may.mp4", {"options": X264 | {"x264-params": "fake-interlaced=1"}}, "its sequence header allows fields"),
    ],
)
def test_what_nvdec_does_not_decode_goes_by_pyav_and_is_said_once(
    tmp_path: Path, name: str, facts: dict[str, Any], why: str
) -> None:
    library = nvdec.Library()
    report = same(clips.write(tmp_path / name, pictures(9), **facts), library)
    (note,) = report.notes
    assert note.startswith("decoded by PyAV and uploaded: ")
    assert why in note
    assert library.decoders == []


def test_a_card_without_the_library_says_what_is_missing(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(3), options=X264)
    missing = Capability({}, 0, "PyNvVideoCodec is missing; run `pip ...`")
    decoder = open_decoder_by(nvdec.card()._replace(library=None, capability=missing))(path, 0, DecodeConfig())
    decoder.close()
    assert decoder.report.notes == [
        "decoded by PyAV and uploaded: NVDEC cannot be used: PyNvVideoCodec is missing; run `pip ...`"
    ]


def test_a_pass_that_is_given_up_leaves_no_session(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(60), options=X264)
    decoder = open_decoder_by(nvdec.card())(path, 0, DecodeConfig())
    batches = iter(decoder)
    next(batches)
    assert [t for t in threading.enumerate() if t.name.startswith("nvdec")]
    decoder.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("nvdec")]


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of /proc")
def test_a_pass_that_is_given_up_behind_a_failure_leaves_no_decoder(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "film.mp4", pictures(60), options=X264)
    card = nvdec.card(nvdec.Library(nth(1, RuntimeError("gone"))))
    gc.collect()
    before = len(os.listdir("/proc/self/task"))
    decoder = open_decoder_by(card)(path, 0, DecodeConfig(threads=4))
    batches = iter(decoder)
    assert len(next(batches)) == 4
    decoder.close()
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == before


def test_the_stand_in_takes_its_surfaces_up_again(tmp_path: Path) -> None:
    """Else no test here would notice a frame that is not copied, or too late."""
    path = clips.write(tmp_path / "film.mp4", pictures(9), options=X264)
    lane = ShimLane()
    decoder = nvdec.Library().CreateDecoder(cudastream=lane.ptr, usedevicememory=True)
    kept = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in as_nvdec_reads((p for p in container.demux(stream) if p.size), "h264", stream):
            data = nvdec.PacketData()
            data.bsl_data, data.bsl = packet.coded.buffer_ptr, packet.coded.buffer_size
            data.pts = packet.coded.pts
            kept += decoder.Decode(data)
        kept += decoder.Decode(nvdec.PacketData())
    lane.join()
    assert len(kept) == 9
    assert len({id(frame._surface) for frame in kept}) < 9
