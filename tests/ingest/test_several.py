"""Several videos at once: whatever their number, the answer and its files are those of one after the other, and so is
what a kill, a bad file or a full disk makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import Studio, film
from productions import Crash, Production, walk

from vcn_trt.config import load
from vcn_trt.errors import ModelError
from vcn_trt.ingest import several
from vcn_trt.ingest.several import Stopped, Together, at_once
from vcn_trt.sources import find

LONG = 1000


def films(frames: int = 60) -> dict[str, Any]:
    """Four films, of other lengths and faces."""
    return {
        "a.mp4": film(walk(frames, 20, 150), walk(20, 80)),
        "b.mp4": film(walk(15, 40), walk(25, 10, 90, 200)),
        "c.mp4": film(walk(2 * frames, 30)),
        "d.mp4": film(walk(10, 60)),
    }


def with_streams(n: int) -> Any:
    return load(overrides=[f"decode.streams={n}"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    production = Production(tmp_path_factory.mktemp("one") / "films", films())
    production.ingest(with_streams(1))
    return production.leaves()


@pytest.mark.parametrize("streams", [2, 3, 9])
def test_the_files_are_the_same_to_the_byte(tmp_path: Path, undisturbed: dict[str, bytes], streams: int) -> None:
    production = Production(tmp_path, films())
    found = production.ingest(with_streams(streams))
    assert production.leaves() == undisturbed
    assert [(v.id, Path(v.path).name) for v in found.videos] == list(enumerate(films()))


def test_videos_are_in_flight_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    production = Production(tmp_path, films())
    production.studio.backend = replace(production.studio.backend, streams=3)
    meeting = threading.Barrier(3, timeout=20)
    opened: Callable[..., Any] = production.studio.backend.open_decoder
    seen = []

    def together(path: Path, video_id: int, config: Any) -> Any:
        if path.name != "d.mp4":
            meeting.wait()
        seen.append(config.streams)
        return opened(path, video_id, config)

    production.studio.backend = replace(production.studio.backend, open_decoder=together)
    production.ingest(load())  # as many as the backend decodes best
    assert seen == [3] * 4


@pytest.mark.parametrize("streams", [1, 3])
def test_bad_videos_are_left_out_and_named_in_their_order(tmp_path: Path, streams: int) -> None:
    all_films = films()
    all_films["b.mp4"] = replace(all_films["b.mp4"], breaks_at=10, error=ZeroDivisionError("scripted"))
    production = Production(tmp_path, all_films)
    sources = find([tmp_path / "none.mp4", *production.paths, tmp_path / "nor.mp4"])
    found = production.ingest(with_streams(streams), sources)
    assert [(v.id, Path(v.path).name) for v in found.videos] == [(0, "a.mp4"), (1, "c.mp4"), (2, "d.mp4")]
    assert [Path(f["path"]).name for f in production.failed] == ["none.mp4", "b.mp4", "nor.mp4"]
    assert production.failed[1]["reason"].startswith("unexpected ZeroDivisionError: scripted (fakes.py:")


def test_copies_of_one_film_are_done_once(tmp_path: Path) -> None:
    production = Production(tmp_path, {"a.mp4": films()["a.mp4"]})
    copies = [tmp_path / f"copy{i}.mp4" for i in range(3)]
    for copy in copies:
        production.studio.films[copy.name] = production.studio.films["a.mp4"]
        copy.write_bytes(production.paths[0].read_bytes())
    found = production.ingest(with_streams(4), find([production.paths[0], *copies]))
    assert len(production.studio.decoders) == 1
    assert [(v.id, Path(v.path).name) for v in found.videos] == [
        (0, "a.mp4"),
        *((i + 1, copy.name) for i, copy in enumerate(copies)),
    ]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ModelError("damaged"), Crash()])
def test_what_is_not_one_videos_fault_stops_them_all(tmp_path: Path, error: BaseException) -> None:
    all_films = films(LONG)
    all_films["b.mp4"] = replace(all_films["b.mp4"], breaks_at=10, error=error)
    production = Production(tmp_path, all_films)
    with pytest.raises(BaseException, match=r"no space left|damaged|^$") as raised:
        production.ingest(with_streams(3))
    assert not isinstance(raised.value, Stopped)
    decoders = {Path(d.video.path).name: d for d in production.studio.decoders}
    assert decoders["a.mp4"].closed
    assert decoders["a.mp4"].report.frames < LONG
    assert not any(d.reading_when_closed for d in decoders.values())
    assert "d.mp4" not in decoders or decoders["d.mp4"].closed


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (2, 4)])
def test_a_crash_is_gone_on_from_with_another_number_of_streams(
    tmp_path: Path, undisturbed: dict[str, bytes], before: int, after: int
) -> None:
    all_films = films()
    all_films["c.mp4"] = replace(all_films["c.mp4"], breaks_at=100, error=Crash())
    production = Production(tmp_path, all_films)
    with pytest.raises(Crash):
        production.ingest(with_streams(before))
    production.studio = Studio(films())
    production.ingest(with_streams(after))
    assert production.leaves() == undisturbed


KILLED = """
import sys
from pathlib import Path
from test_several import LONG, Production, films, with_streams
Production(Path(sys.argv[1]), films(LONG)).ingest(with_streams(3))
"""


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL once the first video is done and others are under way."""
    expected = Production(tmp_path / "undisturbed", films(LONG))
    expected.ingest(with_streams(2))
    production = Production(tmp_path / "killed", films(LONG))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    deadline = time.monotonic() + 60
    while not list(production.folder.rglob("part.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -9
    finished = len(list(production.folder.rglob("part.npz")))
    assert 0 < finished < 4
    production.ingest(with_streams(4))
    assert len(production.studio.decoders) == 4 - finished
    assert production.leaves() == expected.leaves()


def test_ctrl_c_stops_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    running, ended = threading.Event(), []

    def interrupted(*_: Any, **__: Any) -> None:
        running.wait(20)
        raise KeyboardInterrupt

    def work(video: int, step: Callable[[int, int], None]) -> None:
        try:
            while True:
                running.set()
                step(1, 0)
                time.sleep(0.001)
        finally:
            ended.append(video)

    monkeypatch.setattr(several, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        at_once(work, list(range(5)), 2, lambda *_: None)
    assert 0 < len(ended) <= 2


def test_progress_is_that_of_all_and_the_whole_is_known_when_all_told_theirs() -> None:
    said: list[tuple[int, int, str]] = []
    together = Together(lambda *step: said.append(step), 2)
    for number, completed, total in ((0, 4, 100), (1, 8, 50), (0, 8, 100)):
        together.step(number, completed, total)
    assert said == [(4, 0, "frames of 2 videos"), (12, 150, "frames of 2 videos"), (16, 150, "frames of 2 videos")]


def test_one_after_the_other_each_has_its_own_progress() -> None:
    said: list[tuple[int, int, str]] = []
    at_once(lambda video, step: step(video, 9), [3, 5], 1, lambda *step: said.append(step))
    assert said == [(3, 9, "frames of video 1 of 2"), (5, 9, "frames of video 2 of 2")]
