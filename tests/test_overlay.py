"""The overlay: every frame at its own time, boxes where the faces are, the sound as it was."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import pytest
from casts import Film, Made, Seen, answer
from numpy.typing import NDArray

from vcn_trt import draw, media, overlay
from vcn_trt.errors import RunError, UsageError

WIDTH, HEIGHT = 320, 180


def film(
    folder: Path, frames: int = 24, name: str = "A.mp4", size: tuple[int, int] = (WIDTH, HEIGHT), **o: Any
) -> Path:
    return clips.write(folder / name, (clips.numbered(i, *size) for i in range(frames)), **o)


def run_on(path: Path, frames: int, seen: list[Seen], fps: Fraction = Fraction(24), **names: str) -> Made:
    made = Film(path.name, fps=fps, frames=frames, folder=str(path.parent))
    return answer(path.parent / "run", [made], seen, {int(k[1:]): v for k, v in names.items()})


def rendered(made: Made, out: Path, folder: Path | None = None) -> str | None:
    video = made.tracks.videos[0]
    return overlay.render(made.answer, video, media.place(made.answer.record, video, folder), out, made.names)


def read(path: Path) -> tuple[list[NDArray[np.uint8]], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [f.to_ndarray(format="rgb24") for f in frames], [float(f.time or 0) for f in frames]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001)])
def test_every_frame_is_there_at_its_own_time(tmp_path: Path, rate: Fraction) -> None:
    path = film(tmp_path, rate=rate)
    assert rendered(run_on(path, 24, [Seen(4, 10, 1)], rate), tmp_path / "out.mp4") is None
    pictures, times = read(tmp_path / "out.mp4")
    # The lower half of a picture holds no box: its bars still tell its number.
    assert [clips.number_in(p[100:]) for p in pictures] == list(range(24))
    assert times == read(path)[1]


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    path = film(tmp_path, 6, pts=[0, 40, 90, 500, 501, 2000], time_base=Fraction(1, 1000))
    rendered(run_on(path, 6, [Seen(0, 6, 1)]), tmp_path / "out.mp4")
    assert read(tmp_path / "out.mp4")[1] == pytest.approx(read(path)[1], abs=1e-9)


def test_boxes_stand_where_the_faces_are_in_the_colour_of_their_person(tmp_path: Path) -> None:
    path = film(tmp_path)
    made = run_on(path, 24, [Seen(4, 10, 1), Seen(8, 14, 2), Seen(20, 22, status="short")], p1="Anna")
    rendered(made, tmp_path / "out.mp4")
    plain, drawn = read(path)[0], read(tmp_path / "out.mp4")[0]
    changed = [np.abs(a.astype(int) - b).max() > 40 for a, b in zip(plain, drawn, strict=True)]
    assert changed == [i in {*range(4, 14), 20, 21} for i in range(24)]
    # Left edges of the boxes of tracks 0 and 1: x 10 and 34, y 30 to 54. Chroma is halved, so the colours are near.
    for frame, x, number in ((6, 10, 1), (9, 34, 2), (20, 58, -1)):
        edge = drawn[frame][38:50, x - 1 : x + 2].reshape(-1, 3).astype(int)
        assert np.abs(edge - draw.colour_of(number)).sum(axis=1).min() < 120


def test_the_sound_is_copied_bit_by_bit(tmp_path: Path) -> None:
    path = film(tmp_path, 24, audio_seconds=1.2)

    def sound(name: Path) -> list[tuple[bytes, int | None]]:
        with av.open(str(name)) as container:
            stream = container.streams.audio[0]
            return [(bytes(p), p.pts) for p in container.demux(stream) if p.size]

    assert rendered(run_on(path, 24, [Seen(0, 5, 1)]), tmp_path / "out.mp4") is None
    assert sound(tmp_path / "out.mp4") == sound(path)
    assert len(read(tmp_path / "out.mp4")[0]) == 24


def test_sound_that_the_container_cannot_hold_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "A.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = out.add_stream("tta", rate=48000, layout="mono")
        for i in range(12):
            out.mux(video.encode(av.VideoFrame.from_ndarray(clips.numbered(i, WIDTH, HEIGHT), format="rgb24")))
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="mono")
            quiet.sample_rate, quiet.pts = 48000, 2048 * i
            out.mux(sound.encode(quiet))
        out.mux(video.encode(None))
    made = run_on(path, 12, [Seen(0, 5, 1)])
    problem = rendered(made, tmp_path / "out.mp4")
    assert problem is not None
    assert "tta" in problem
    assert ".mkv" in problem
    assert rendered(made, tmp_path / "out.mkv") is None
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert len(container.streams.audio) == 1


def test_odd_sizes_grow_by_one(tmp_path: Path) -> None:
    path = film(tmp_path, 3, "A.mkv", (97, 65), codec="ffv1", options={}, pix_fmt="bgr0")
    rendered(run_on(path, 3, [Seen(0, 2, 1)]), tmp_path / "out.mp4")
    pictures, _ = read(tmp_path / "out.mp4")
    assert [p.shape for p in pictures] == [(66, 98, 3)] * 3


def test_colours_stay(tmp_path: Path) -> None:
    """Untouched parts come back within what compression and halved chroma take."""
    for size in ((WIDTH, HEIGHT), (1280, 720)):
        path = film(tmp_path, 2, f"{size[0]}.mp4", size)
        rendered(run_on(path, 2, [Seen(0, 1, 1)]), tmp_path / f"out{size[0]}.mp4")
        plain, drawn = (read(p)[0][1].astype(int) for p in (path, tmp_path / f"out{size[0]}.mp4"))
        assert np.abs(plain - drawn).mean() < 4


def test_a_missing_video_is_asked_for_and_found_in_another_folder(tmp_path: Path) -> None:
    path = film(tmp_path, 5)
    made = run_on(path, 5, [Seen(0, 4, 1)])
    (tmp_path / "moved").mkdir()
    path.rename(tmp_path / "moved" / "A.mp4")
    with pytest.raises(RunError, match=r"A\.mp4 is not there.*--media"):
        rendered(made, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    rendered(made, tmp_path / "out.mp4", tmp_path / "moved")
    assert len(read(tmp_path / "out.mp4")[0]) == 5


def test_another_video_of_the_same_name_is_refused(tmp_path: Path) -> None:
    made = run_on(film(tmp_path, 5), 5, [Seen(0, 4, 1)])
    film(tmp_path, 6)
    with pytest.raises(RunError, match="not the video that the run saw"):
        rendered(made, tmp_path / "out.mp4")


@pytest.mark.parametrize("name", ["out.avi", "out", "out.mp4.txt"])
def test_a_container_that_is_not_for_this_is_refused(tmp_path: Path, name: str) -> None:
    made = run_on(film(tmp_path, 5), 5, [Seen(0, 4, 1)])
    with pytest.raises(UsageError, match=r"\.mp4, \.mov or \.mkv"):
        rendered(made, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_broken_off_overlay_leaves_nothing(tmp_path: Path) -> None:
    made = run_on(film(tmp_path, 30), 30, [Seen(0, 4, 1)])
    video = made.tracks.videos[0]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        overlay.render(made.answer, video, Path(video.path), tmp_path / "out.mp4", made.names, stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["A.mp4", "run"]


def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    def peak(frames: int) -> int:
        made = run_on(film(tmp_path, frames, f"{frames}.mp4"), frames, [Seen(0, 4, 1)])
        tracemalloc.start()
        rendered(made, tmp_path / f"out{frames}.mp4")
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    # A frame is 173 kB of RGB: 120 more of them, held, would be 20 MB.
    assert peak(150) - peak(30) < 2_000_000


@pytest.mark.parametrize("name", ["<b>", "שלום", "👩‍🎤", "x" * 400, "\u202ea\nb", "王小明"])
def test_any_name_is_drawn_within_the_picture(name: str) -> None:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for box in ((-20, -20, 10, 10), (300, 160, 400, 300), (100, 60, 140, 110)):
        draw.labels(picture, [draw.Label(box, name, (250, 0, 0))], draw.font())
    assert (picture[..., 0] > 200).sum() > 100


def test_right_to_left_words_are_turned_for_drawing() -> None:
    assert draw.in_visual_order("#3 Anna Berg") == "#3 Anna Berg"
    assert draw.in_visual_order("#3 אב גד") == "#3 דג בא"
    assert draw.in_visual_order("#3 אב Anna גד") == "#3 בא Anna דג"


def test_people_have_colours_of_their_own() -> None:
    colours = [draw.colour_of(n) for n in range(1, 13)]
    apart = [np.abs(np.subtract(a, b)).sum() for i, a in enumerate(colours) for b in colours[:i]]
    assert min(apart) > 50
    assert draw.colour_of(-1) == draw.GREY
