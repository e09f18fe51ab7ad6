"""Frames of the video: the one that was asked for, in any order and as a clip, as displayed; and videos that moved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import clips
import cv2
import numpy as np
import pytest
from casts import Film, Seen, answer
from served import served

from vcn_trt.backends.cpu.decode import open_decoder
from vcn_trt.config import DecodeConfig
from vcn_trt.errors import VideoError
from vcn_trt.review.still import Stills

FRAMES = 60


@pytest.fixture
def stills() -> Iterator[Stills]:
    opened = Stills()
    yield opened
    opened.close()


def film(folder: Path, name: str, **more: Any) -> Path:
    return clips.write(folder / name, (clips.numbered(i) for i in range(FRAMES)), rate=24, **more)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov", "a.avi"])
def test_the_frame_is_the_one_that_was_asked_for(tmp_path: Path, stills: Stills, name: str) -> None:
    path = film(tmp_path, name, audio_seconds=2.5 if name == "a.ts" else 0)
    with closing(open_decoder(path, 0, DecodeConfig())) as decoder:
        seconds = [float(s) for batch in decoder for s in batch.seconds]
    assert len(seconds) == FRAMES
    # From key frame to key frame, between them, backwards, from frame to frame, to the last.
    for frame in (30, 31, 32, 33, 5, 12, 11, 0, 59, 58, 1, 40):
        found = clips.number_in(stills.at(path, seconds[frame], 0.5 / 24))
        assert abs(found - frame) <= (2 if name == "a.avi" else 0), frame


def test_several_films_take_turns(tmp_path: Path, stills: Stills) -> None:
    one = film(tmp_path, "one.mp4")
    other = clips.write(tmp_path / "other.mp4", (clips.numbered(100 + i) for i in range(20)), rate=24)
    for frame in (3, 4, 5):
        assert clips.number_in(stills.at(one, frame / 24, 0.5 / 24)) == frame
        assert clips.number_in(stills.at(other, frame / 24, 0.5 / 24)) == 100 + frame


def test_a_picture_is_turned_and_of_square_pixels(tmp_path: Path, stills: Stills) -> None:
    turned = film(tmp_path, "turned.mp4", rotation=90)
    assert stills.at(turned, 1.0, 0.02).shape == (96, 64, 3)
    wide = film(tmp_path, "wide.mp4", pixel_aspect=2)
    assert stills.at(wide, 1.0, 0.02).shape == (64, 192, 3)


def test_beyond_the_end_it_is_the_last_frame_and_no_film_is_an_error(tmp_path: Path, stills: Stills) -> None:
    path = film(tmp_path, "a.mp4")
    assert clips.number_in(stills.at(path, 100.0, 0.02)) == FRAMES - 1
    (tmp_path / "b.mp4").write_text("no film")
    with pytest.raises(VideoError, match="not a video"):
        stills.at(tmp_path / "b.mp4", 0.0, 0.02)
    assert clips.number_in(stills.at(path, 1.0, 0.02)) == 24


def test_the_frame_of_a_face_is_served_with_its_box(tmp_path: Path) -> None:
    clips.write(tmp_path / "A001.mov", (clips.numbered(i, 320, 180) for i in range(40)), rate=25)
    films = [Film("A001.mov", frames=40, folder=str(tmp_path))]
    answer(tmp_path / "monday", films, [Seen(0, 30, 1), Seen(10, 30, 2)], {1: "<b>Ann</b>", 2: "אנה"})
    with served(tmp_path / "monday") as server:
        reply = server.ask("still/0/12")
        assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
        shown = cv2.imdecode(np.frombuffer(reply.body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert clips.number_in(shown[120:]) == 12  # below the faces
        # Track 0 has its box at 10, 30 to 30, 54, in its person's red with white around it.
        line = shown[34:50, 7:13].astype(int)
        assert (line.min(2) > 150).any()
        assert (line[..., 0] - line[..., 2] > 100).any()
        for place in ("still/9/0", "still/0/40"):
            assert server.ask(place).status == 400
        shutil.move(tmp_path / "A001.mov", tmp_path / "moved.mov")
        gone = server.ask("still/0/12")
        assert (gone.status, "is not there" in gone.tree["error"]) == (409, True)
        for folder, said in (
            ("", "which folder"),
            (str(tmp_path / "nowhere"), "there is no folder"),
            (3, "which folder"),
        ):
            refused = server.ask("media", {"folder": folder})
            assert (refused.status, said in refused.tree["error"]) == (400, True)
        (tmp_path / "new").mkdir()
        shutil.move(tmp_path / "moved.mov", tmp_path / "new" / "A001.mov")
        assert server.ask("media", {"folder": str(tmp_path / "new")}).status == 200
        assert server.ask("still/0/12").status == 200
        with (tmp_path / "new" / "A001.mov").open("ab") as file:
            file.write(b"another film")
        other = server.ask("still/0/12")
        assert (other.status, "not the video that the run saw" in other.tree["error"]) == (409, True)


def test_a_film_that_is_cut_short_gives_what_there_is_or_says_so(tmp_path: Path, stills: Stills) -> None:
    path = film(tmp_path, "a.ts")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with av.open(str(path)) as container:
        left = sum(1 for _ in container.decode(video=0))
    assert 0 < left < FRAMES
    assert 0 < clips.number_in(stills.at(path, 2.4, 0.02)) < FRAMES - 1
