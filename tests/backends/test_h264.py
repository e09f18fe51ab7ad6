"""Whether an H.264 header promises whole frames, of x264's own films."""

from __future__ import annotations

from pathlib import Path

import av
import clips
import pytest

from vcn_trt.backends.cuda.h264 import frames_only
from vcn_trt.backends.cuda.runs import as_nvdec_reads, read_opening


def header(path: Path) -> bytes:
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        first = next(iter(as_nvdec_reads((p for p in film.demux(stream) if p.size), "h264", stream)))
        return read_opening("h264", first.coded).parameters


@pytest.mark.parametrize(
    ("options", "pix_fmt", "whole"),
    [
        ({"profile": "baseline"}, "yuv420p", True),
        ({"profile": "high"}, "yuv420p", True),
        ({"x264-params": "cqm=jvt"}, "yuv420p", True),  # with scaling lists
        ({"x264-params": "cqm4=16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"}, "yuv420p", True),
        ({}, "yuv420p10le", True),
        ({"x264-params": "cqm=jvt"}, "yuv444p", True),
        ({"x264-params": "fake-interlaced=1"}, "yuv420p", False),  # whole frames, but the header allows fields
        ({"x264-params": "fake-interlaced=1:cqm=jvt"}, "yuv420p10le", False),
        ({"flags": "+ildct+ilme", "x264-params": "tff=1"}, "yuv420p", False),
    ],
)
def test_the_header_tells_whether_fields_may_come(
    options: dict[str, str], pix_fmt: str, whole: bool, tmp_path: Path
) -> None:
    film = clips.write(tmp_path / "film.mkv", map(clips.numbered, range(2)), pix_fmt=pix_fmt, options=options)
    found = header(film)
    assert found[:4] == b"\0\0\1\x67"
    assert frames_only(found) is whole
    assert not frames_only(found[:9])  # broken off
    assert not frames_only(found + b"\0\0\1\x67")  # another, of nothing


def test_every_header_counts_and_without_one_nothing_is_promised() -> None:
    # Baseline, level 1.0, picture order type 1 with two offsets: ids and counts worked by hand.
    #        id 0, frame number 0, type 1 (010), flag 0, offsets 0 0, two (011): 0 0, references 0, gaps 0, 1x1, flag
    bits = "11010011011111011"
    headers = [b"\0\0\1\x67\x42\0\x0a" + int((bits + flag + "1").ljust(24, "0"), 2).to_bytes(3, "big") for flag in "01"]
    assert [frames_only(h) for h in headers] == [False, True]
    assert not frames_only(headers[1] + headers[0])
    assert frames_only(headers[1] * 2)
    assert not frames_only(b"")
