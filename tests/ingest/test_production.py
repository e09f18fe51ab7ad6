"""Many videos, one production: tracks numbered through, one bad video never stops the others, none is done twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import Film, Studio, film
from productions import Crash, Production, walk

from vcn_trt.config import load
from vcn_trt.errors import ModelError, VideoError
from vcn_trt.sources import find


def two_films() -> dict[str, Film]:
    return {"a.mp4": film(walk(30, 20, 150), walk(20, 80)), "b.mp4": film(walk(15, 40), walk(25, 10, 90, 200))}


def test_tracks_crops_and_faces_of_all_videos_are_numbered_through(tmp_path: Path) -> None:
    found = Production(tmp_path, two_films()).ingest()
    assert [(v.id, Path(v.path).name, v.frames) for v in found.videos] == [(0, "a.mp4", 50), (1, "b.mp4", 40)]
    assert found.tracks.track.tolist() == list(range(7))
    assert found.tracks.video.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert found.tracks.shot.tolist() == [0, 0, 1, 0, 1, 1, 1]
    assert found.tracks.start.tolist() == [0, 0, 30, 0, 15, 15, 15]
    assert found.shots.video.tolist() == [0, 0, 1, 1]
    faces = found.faces
    assert np.bincount(faces.track).tolist() == found.tracks.n_faces.tolist()
    assert (faces.video == found.tracks.video[faces.track]).all()
    assert (np.diff(faces.track) >= 0).all()
    # Each picture of the fake shows its frame's number.
    assert found.images[:][:, 0, 0, 0].tolist() == found.crops.frame.tolist()
    assert found.tracks.n_crops.tolist() == [int(found.crops.kept[found.crops.track == t].sum()) for t in range(7)]


def test_a_video_alone_gives_what_it_gives_in_company(tmp_path: Path) -> None:
    together = Production(tmp_path / "both", two_films()).ingest()
    alone = Production(tmp_path / "one", {"b.mp4": two_films()["b.mp4"]}).ingest()
    second = together.faces[together.faces.video == 1]
    assert np.array_equal(second.box, alone.faces.box)
    assert np.array_equal(second.track - 3, alone.faces.track)


def test_a_video_that_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    production = Production(tmp_path, two_films())
    found = production.ingest(sources=find([tmp_path / "none.mp4", *production.paths]))
    assert [v.id for v in found.videos] == [0, 1]
    (failure,) = production.failed
    assert Path(failure["path"]).name == "none.mp4"
    assert "no film of this studio" in failure["reason"]


def test_where_none_can_be_read_each_is_named(tmp_path: Path) -> None:
    production = Production(tmp_path, {})
    with pytest.raises(VideoError, match=r"no video could be read(?s:.)*x\.mp4: .*(?s:.)*y\.mp4: "):
        production.ingest(sources=find([tmp_path / "x.mp4", tmp_path / "y.mp4"]))


def test_what_no_one_foresaw_in_one_video_does_not_stop_the_others(tmp_path: Path) -> None:
    films = two_films()
    films["a.mp4"] = replace(films["a.mp4"], breaks_at=20, error=ZeroDivisionError("scripted"))
    production = Production(tmp_path, films)
    found = production.ingest()
    assert [Path(v.path).name for v in found.videos] == ["b.mp4"]
    assert found.tracks.track.tolist() == [0, 1, 2, 3]
    (failure,) = production.failed
    assert failure["reason"].startswith("unexpected ZeroDivisionError: scripted (fakes.py:")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), ModelError("damaged")])
def test_what_is_not_the_videos_fault_stops_the_run(tmp_path: Path, error: Exception) -> None:
    films = two_films()
    films["a.mp4"] = replace(films["a.mp4"], breaks_at=20, error=error)
    with pytest.raises(Exception, match=r"no space left|damaged|^$"):
        Production(tmp_path, films).ingest()


def crashed(folder: Path, crash_at: int = 20) -> Production:
    """A production whose second video broke the run off."""
    films = two_films()
    films["b.mp4"] = replace(films["b.mp4"], breaks_at=crash_at, error=Crash())
    production = Production(folder, films)
    with pytest.raises(Crash):
        production.ingest()
    production.studio = Studio(two_films())
    return production


def test_a_finished_video_is_not_done_again_after_a_crash_in_the_next(tmp_path: Path) -> None:
    undisturbed = Production(tmp_path / "undisturbed", two_films())
    undisturbed.ingest()
    production = crashed(tmp_path / "crashed")
    found = production.ingest()
    assert [Path(d.video.path).name for d in production.studio.decoders] == ["b.mp4"]
    assert production.leaves() == undisturbed.leaves()
    assert [v.id for v in found.videos] == [0, 1]


def test_unfinished_work_of_another_config_is_not_taken_up(tmp_path: Path) -> None:
    other = load(overrides=["crops.interval_seconds=0.25"])
    undisturbed = Production(tmp_path / "undisturbed", two_films())
    undisturbed.ingest(other)
    production = crashed(tmp_path / "crashed")
    production.ingest(other)
    assert [Path(d.video.path).name for d in production.studio.decoders] == ["a.mp4", "b.mp4"]
    assert production.leaves() == undisturbed.leaves()


def test_a_finished_video_keeps_its_place_when_one_before_it_is_left_out(tmp_path: Path) -> None:
    production = crashed(tmp_path)
    missing = find([tmp_path / "none.mp4"])
    found = production.ingest(sources=[*find([production.paths[1]]), *missing, *find([production.paths[0]])])
    assert [(v.id, Path(v.path).name) for v in found.videos] == [(0, "b.mp4"), (1, "a.mp4")]
    assert found.tracks.video.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert found.shots.video.tolist() == [0, 0, 1, 1]


def test_detections_outlive_a_change_of_the_tracker(tmp_path: Path) -> None:
    films = {"a.mp4": film(walk(300, 20))}
    production = Production(tmp_path, films)
    once = "detect.close_up=false"  # the network is shown each frame once
    production.ingest(load(overrides=[once]))
    assert production.studio.network.seen == 300 + 1  # and the picture that every network is tried on
    production.ingest(load(overrides=[once, "track.min_faces=5"]))
    assert production.studio.network.seen == 301 + 1  # all were kept, the last, shorter chunk too
    production.ingest(load(overrides=[once, "detect.score=0.2"]))
    assert production.studio.network.seen == 301 + 1 + 301


@pytest.mark.parametrize("damage", [b"", b"PK but not a chunk"])
def test_damaged_detections_are_looked_for_anew_and_blame_no_film(tmp_path: Path, damage: bytes) -> None:
    production = Production(tmp_path, {"a.mp4": film(walk(600, 20))})
    whole = production.ingest(load())
    second = next(iter(tmp_path.rglob("detections-000001.npz")))
    second.write_bytes(damage)
    seen = production.studio.network.seen
    again = production.ingest(load(overrides=["track.min_faces=5"]))
    assert production.studio.network.seen > seen + 300  # from the damaged chunk on
    assert production.failed == []
    assert again.faces.frame.tolist() == whole.faces.frame.tolist()
    assert len(second.read_bytes()) > 100


def test_copies_of_one_film_keep_their_own_names(tmp_path: Path) -> None:
    production = Production(tmp_path, {"a.mp4": two_films()["a.mp4"]})
    production.studio.films["copy.mp4"] = production.studio.films["a.mp4"]
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(production.paths[0].read_bytes())
    found = production.ingest(sources=find([production.paths[0], copy]))
    assert [(v.id, Path(v.path).name) for v in found.videos] == [(0, "a.mp4"), (1, "copy.mp4")]
    assert found.tracks.video.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_network_that_takes_no_pictures_is_told_before_any_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = Production(tmp_path, two_films())

    def refuse(inputs: object) -> dict[str, object]:
        raise RuntimeError("Required inputs are missing")

    monkeypatch.setattr(type(production.studio.network), "__call__", lambda self, inputs: refuse(inputs))
    with pytest.raises(ModelError, match=r"fake\.onnx does not run as RetinaFace .*Required inputs are missing"):
        production.ingest()
    assert production.studio.decoders == []


def test_what_a_decoder_says_is_told_with_the_files_name(tmp_path: Path) -> None:
    production = Production(tmp_path, {"a.mp4": film(walk(10, 20))})
    opened: Callable[..., object] = production.studio.backend.open_decoder

    def with_a_warning(*arguments: object) -> object:
        decoder = opened(*arguments)
        decoder.report.warnings.append("3 frames came damaged")  # type: ignore[attr-defined]
        decoder.report.notes.append("decoded by PyAV")  # type: ignore[attr-defined]
        return decoder

    production.studio.backend = replace(production.studio.backend, open_decoder=with_a_warning)  # type: ignore[arg-type]
    production.ingest()
    assert production.warnings == ["a.mp4: 3 frames came damaged"]
    assert production.notes == ["a.mp4: decoded by PyAV"]
