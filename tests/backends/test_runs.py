"""Where a film may be cut, read off its packets' bytes, and that the runs owe each of its frames once."""

from __future__ import annotations

from typing import Any

import av
import clips
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcn_trt.backends.cuda.runs import Opening, Packet, Piece, Unusable, as_nvdec_reads, cut, read_opening

SPS, PPS, IDR, OTHER = b"\0\0\0\1\x67sps", b"\0\0\0\1\x68pps", b"\0\0\1\x65idr", b"\0\0\1\x41other"
VPS_5, SPS_5, PPS_5 = b"\0\0\0\1\x40\1vps", b"\0\0\0\1\x42\1sps", b"\0\0\0\1\x44\1pps"
HEAD, HEAD_5 = b"\0\0\1\x67sps", b"\0\0\1\x40\1vps\0\0\1\x42\1sps"  # the sequence headers, as they are told
CRA_5, IDR_5, RASL_5 = b"\0\0\1\x2a\1cra", b"\0\0\1\x28\1idr", b"\0\0\1\x10\1rasl"


@pytest.mark.parametrize(
    ("codec", "data", "opening"),
    [
        ("h264", SPS + PPS + IDR, Opening(seam=True, parameters=HEAD)),
        (
            "h264",
            b"\0\0\0\1\x09\xf0" + SPS + PPS + b"\0\0\1\x06sei" + IDR,
            Opening(seam=True, parameters=HEAD),
        ),
        ("h264", IDR, Opening()),  # a second decoder would not know its size
        ("h264", SPS + PPS + b"\0\0\1\x06recovery" + OTHER, Opening(parameters=HEAD)),
        ("h264", OTHER + SPS + PPS + IDR, Opening()),
        ("h264", b"", Opening()),
        ("h264", b"\0\0\1", Opening()),
        ("hevc", VPS_5 + SPS_5 + PPS_5 + IDR_5, Opening(seam=True, parameters=HEAD_5)),
        (
            "hevc",
            VPS_5 + SPS_5 + PPS_5 + CRA_5,
            Opening(seam=True, leading=True, parameters=HEAD_5),
        ),
        ("hevc", RASL_5, Opening()),
        ("vp9", bytes([0b10000010, 0, 0]), Opening(seam=True)),
        ("vp9", bytes([0b10000110, 0, 0]), Opening()),  # refers to others
        ("vp9", bytes([0b10000100, 0, 0]), Opening(shown=False)),
        ("vp9", bytes([0b10000100, 0, 0b11000000]), Opening()),  # hidden, but in one packet with one that is shown
        ("vp9", bytes([0b10001000, 0, 0]), Opening()),  # an earlier frame, shown
        ("vp9", bytes([0b10110000, 0, 0]), Opening()),  # profile 3
        ("av1", b"\x0a\x0b", Opening()),
    ],
)
def test_a_seam_is_a_picture_that_none_behind_it_reaches_over(codec: str, data: bytes, opening: Opening) -> None:
    assert read_opening(codec, av.Packet(data)) == opening


def packets(pictures: list[tuple[int | None, bytes]]) -> list[Packet]:
    return [Packet(pts, False, data, av.Packet(data)) for pts, data in pictures]


def told(pieces: list[Piece]) -> list[tuple[int, list[int | None], list[int]]]:
    return [(p.run, [packet.pts for packet in p.packets], sorted(p.owed)) for p in pieces]


def test_leading_pictures_are_owed_by_the_run_before_which_gets_their_key_picture_too() -> None:
    key = VPS_5 + SPS_5 + PPS_5 + CRA_5
    film = packets(
        [
            (0, VPS_5 + SPS_5 + PPS_5 + IDR_5),
            (1, b"\0\0\1\2\1p"),
            (4, key),
            (2, RASL_5),
            (3, RASL_5),
            (5, b"\0\0\1\2\1p"),
        ],
    )
    assert told(list(cut(film, "hevc", length=2))) == [(0, [0, 1, 4, 2, 3], [0, 1, 2, 3]), (1, [4, 5], [4, 5])]
    assert told(list(cut(film, "hevc", length=3))) == [(0, [0, 1, 4, 2, 3, 5], [0, 1, 2, 3, 4, 5])]
    with pytest.raises(Unusable, match="need others from before its beginning"):
        list(cut(film[2:], "hevc"))


def test_other_parameter_sets_end_a_run_at_once() -> None:
    film = packets([(i, name + PPS + IDR) for i, name in enumerate((SPS, SPS, SPS + b"2", SPS + b"2"))])
    assert [(p.run, len(p.packets), p.parameters) for p in cut(film, "h264")] == [
        (0, 2, HEAD),
        (1, 2, HEAD + b"2"),
    ]


def test_without_a_seam_a_run_comes_in_pieces() -> None:
    film = packets([(0, SPS + PPS + IDR), *((i, OTHER) for i in range(1, 7)), (7, SPS + PPS + IDR)])
    pieces = list(cut(film, "h264", length=2, most=3))
    assert [(p.run, p.first, p.last, len(p.packets)) for p in pieces] == [
        (0, True, False, 3),
        (0, False, False, 3),
        (0, False, True, 1),
        (1, True, True, 1),
    ]


@pytest.mark.parametrize("times", [(0, None), (0, 0)])
def test_frames_that_their_times_do_not_tell_apart_are_told(times: tuple[int | None, ...]) -> None:
    (piece,) = cut(packets([(pts, SPS + PPS + IDR) for pts in times]), "h264")
    assert not piece.matchable


def test_hidden_packets_are_decoded_and_not_owed() -> None:
    film = [p._replace(hidden=p.pts == 0) for p in packets([(i, SPS + PPS + IDR) for i in range(3)])]
    assert told(list(cut(film, "h264"))) == [(0, [0, 1, 2], [1, 2])]


OPTIONS = {
    "h264": {"preset": "ultrafast", "g": "8", "bf": "3", "threads": "1"},
    "hevc": {
        "preset": "ultrafast",
        "x265-params": "keyint=8:min-keyint=8:bframes=3:open-gop=1:log-level=none:pools=1",
    },
}


@pytest.fixture(scope="module", params=["h264", "hevc"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Packet]]:
    """60 frames in groups of eight, closed ones (H.264) or open ones (HEVC)."""
    path = clips.write(
        tmp_path_factory.mktemp("film") / "film.mp4",
        (clips.numbered(i) for i in range(60)),
        codec=f"libx26{4 + (request.param == 'hevc')}",
        options=OPTIONS[request.param],
    )
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        read = (p for p in container.demux(stream) if p.size)
        return request.param, list(as_nvdec_reads(read, request.param, stream))


@given(length=st.integers(1, 70), most=st.integers(1, 70))
def test_every_frame_is_owed_once_whatever_the_lengths(film: tuple[str, list[Packet]], length: int, most: int) -> None:
    codec, whole = film
    pieces = list(cut(whole, codec, length, most))
    assert sorted(pts for piece in pieces for pts in piece.owed) == sorted(p.pts for p in whole if p.pts is not None)
    assert [p.run for p in pieces if p.first] == [p.run for p in pieces if p.last] == list(range(pieces[-1].run + 1))
    for piece in pieces:
        assert piece.matchable
        # Beyond: the next run's key picture and those that lead it, as many as there are B-pictures in a row.
        assert len(piece.packets) <= most + 4 * piece.last
        assert piece.last or len(piece.packets) == most
