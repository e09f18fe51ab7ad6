"""The main job from its command line to its run directory, on two seconds of film with three real faces.

Two files of a run directory hold times and differ from run to run: `run.json`, and the stamps `.work/<stage>.json`.
Every other file holds the same bytes for the same input and config, however often the run was broken off.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clips
import faces
import numpy as np
import pyarrow.parquet as pq
import pytest

import vcn_trt
from vcn_trt import cli
from vcn_trt.errors import RunError

FAST = ("--set", "detect.size=320")
HOSTILE = ("""a 'b' "c" <img src=x onerror=alert(1)>&amp; {{ 7*7 }}.mp4""", "amélie 🎬 映画.mp4", "-dash.mp4")


@dataclass
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Vcn = Callable[..., Said]


@pytest.fixture
def vcn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, weights_home: Path) -> Iterator[Vcn]:
    """The command line in this process: its imports are the slow part of a small run."""
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["vcn", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def done(face_film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run of the film, by the installed program. To be read only."""
    folder = tmp_path_factory.mktemp("done") / "run"
    ended = subprocess.run(
        [sys.executable, "-m", "vcn_trt", "run", face_film, "--out", folder, *FAST], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == str(folder / "report.html")
    assert ended.stderr.splitlines()[0] == f"Run directory: {folder}"
    return folder


TIMES = re.compile(rb'(?<=<script type="application/json" id="run">).*')
"""What report.html quotes of run.json, on a line of its own."""


def bytes_of(folder: Path) -> dict[str, bytes]:
    """What must not differ: all files but those that hold times."""
    files = [f for f in folder.iterdir() if f.is_file() and f.name != "run.json"]
    files += [f for name in ("model", ".work") for f in (folder / name).glob("*") if f.suffix not in ("", ".json")]
    return {str(f.relative_to(folder)): TIMES.sub(b"", f.read_bytes()) for f in files if f.is_file()}


def record_of(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return record


def report_of(folder: Path) -> dict[str, Any]:
    """What report.html shows, from the page itself."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*)</script>', page)
    assert found is not None
    shown: dict[str, Any] = json.loads(found[1])
    return shown


def plain(path: Path, frames: int = 12, size: tuple[int, int] = (96, 64)) -> Path:
    """A film without faces."""
    return clips.write(path, [clips.numbered(i, *size) for i in range(frames)])


# What a run leaves


def test_a_run_directory_holds_the_files_of_the_contract_and_no_scratch(done: Path) -> None:
    assert {f.name for f in done.iterdir()} == {
        *("run.json", "config.toml", "shots.parquet", "faces.parquet", "tracks.parquet", "crops.npy", "crops.parquet"),
        *("embeddings.npz", "clusters.json", "report.html", "model", ".work"),
    }
    assert {f.name for f in (done / "model").iterdir()} == {"adapted.safetensors", "adapted.onnx"}
    assert not [f for f in done.rglob("*") if f.name.endswith((".tmp", ".new", ".unfinished"))]


LANDMARKS = [f"{p}_{a}" for p in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for a in "xy"]
COLUMNS = {
    "shots": {
        **dict.fromkeys(["video", "shot"], "int32"),
        **dict.fromkeys(["start", "stop"], "int64"),
        **dict.fromkeys(["start_seconds", "stop_seconds"], "double"),
    },
    "faces": {
        **{"track": "int32", "video": "int32", "frame": "int64", "seconds": "double"},
        **dict.fromkeys(["x1", "y1", "x2", "y2", "score", *LANDMARKS, "sharpness"], "float"),
        "interpolated": "bool",
    },
    "tracks": {
        **dict.fromkeys(["track", "video", "shot"], "int32"),
        **dict.fromkeys(["start", "stop"], "int64"),
        **{"n_faces": "int32", "n_crops": "int32", "quality": "float", "status": "string", "cluster": "int32"},
        "representative_frame": "int64",
    },
    "crops": {"track": "int32", "frame": "int64", "kept": "bool", "reason": "string"},
}


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_the_columns_of_the_contract(done: Path, table: str) -> None:
    schema = pq.read_schema(done / f"{table}.parquet")
    assert {field.name: str(field.type) for field in schema} == COLUMNS[table]
    assert schema.names == list(COLUMNS[table])


def test_three_shots_three_faces_three_people(done: Path) -> None:
    answer = vcn_trt.open_run(done)
    tracks, starts = answer.tracks.tracks, [0, 20, 36]
    assert answer.tracks.shots.start.tolist() == starts
    assert tracks.start.tolist() == starts
    assert tracks.stop.tolist() == [20, 36, 52]
    assert tracks.status.tolist() == ["ok"] * 3
    assert sorted(tracks.cluster.tolist()) == [1, 2, 3]
    faces_of = answer.tracks.faces
    assert faces_of.frame.tolist() == list(range(52))
    assert np.allclose(faces_of.seconds, np.arange(52) / 24, atol=1e-3)
    assert (faces_of.box[:, 2:] > faces_of.box[:, :2]).all()
    crops = answer.tracks.crops
    assert crops.frame.tolist() == [0, 12, 20, 32, 36, 48]
    assert tracks.n_crops.tolist() == [2, 2, 2]
    assert set(tracks.representative_frame) <= set(crops.frame)
    images = np.load(done / "crops.npy")
    assert images.shape == (6, 112, 112, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(answer.tracks.images[2], images[2])


def test_embeddings_are_finite_where_a_crop_was_kept_and_nan_elsewhere(done: Path) -> None:
    with np.load(done / "embeddings.npz") as found:
        base, adapted = found["base"], found["adapted"]
    kept = pq.read_table(done / "crops.parquet")["kept"].to_numpy()
    assert base.dtype == adapted.dtype == np.float32
    assert base.shape == (6, 128)
    assert len(adapted) == 6
    for vectors in (base, adapted):
        assert (np.isfinite(vectors).all(1) == kept).all()
    assert np.linalg.norm(adapted[kept], axis=1) == pytest.approx(1, abs=1e-5)


def test_the_model_embeds_a_crop_as_the_run_did(done: Path) -> None:
    import onnxruntime

    from vcn_trt.zoo.base import prepare
    from vcn_trt.zoo.manifest import load

    session = onnxruntime.InferenceSession(done / "model" / "adapted.onnx", providers=["CPUExecutionProvider"])
    crops = np.load(done / "crops.npy")
    plain, mirrored = (
        session.run(["embedding"], {"input": prepare(np.ascontiguousarray(x), load("sface"))})[0]
        for x in (crops, crops[:, :, ::-1])
    )
    middle = (plain + mirrored) / 2
    with np.load(done / "embeddings.npz") as found:
        np.testing.assert_allclose(middle / np.linalg.norm(middle, axis=1, keepdims=True), found["adapted"], atol=2e-3)


def test_clusters_json_has_the_contracts_schema(done: Path, face_film: Path) -> None:
    answer = json.loads((done / "clusters.json").read_text(encoding="utf-8"))
    assert answer["schema"] == "vcn-trt/clusters/1"
    (video,) = answer["videos"]
    expected = {"id": 0, "path": str(face_film), "fps": "24", "frames": 52, "width": 320, "height": 180}
    assert video.items() >= {**expected, "start_timecode": None}.items()
    assert [c["id"] for c in answer["clusters"]] == [1, 2, 3]
    seconds = [c["screen_seconds"] for c in answer["clusters"]]
    assert seconds == pytest.approx([20 / 24, 16 / 24, 16 / 24], abs=0.002)
    for person in answer["clusters"]:
        assert set(person) == {"id", "name", "tracks", "screen_seconds", "representative"}
        assert person["name"] is None
        assert set(person["representative"]) == {"track", "frame", "box"}
        assert person["representative"]["track"] in person["tracks"]
    for number, track in enumerate(answer["tracks"]):
        keys = ["id", "video", "shot", "start", "stop", "cluster", "status", "quality", "threshold"]
        assert list(track) == keys
        assert track["id"] == number
    assert {t["cluster"] for t in answer["tracks"]} == {1, 2, 3}
    assert all(set(m) == {"round", "a", "b", "similarity", "threshold"} for m in answer["merges"])


def test_run_json_says_what_was_done_with_what(done: Path, face_film: Path) -> None:
    record = record_of(done)
    assert (record["schema"], record["state"], record["failed"]) == ("vcn-trt/run/1", "done", [])
    assert record["config"]["detect"]["size"] == 320
    assert [s["path"] for s in record["sources"]] == [str(face_film)]
    assert list(record["stages"]) == ["ingest", "embed", "adapt", "cluster", "report"]
    assert all(s["seconds"] >= 0 and not s["loaded"] for s in record["stages"].values())
    assert record["frames"] == 52
    assert record["fps"] > 0
    assert {"python", "vcn-trt", "numpy", "onnxruntime"} <= set(record["versions"])
    assert (record["warnings"], record["notes"]) == ([], [])
    assert record["stages"]["cluster"]["method"] == "vcn"
    assert record["started"] <= record["finished"]


def test_the_report_is_one_file_that_asks_for_nothing_else(done: Path) -> None:
    page = (done / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert len(report_of(done)["people"]) == 3


# Again, otherwise, elsewhere


def test_the_same_command_again_loads_every_stage_and_leaves_the_same_bytes(
    vcn: Vcn, done: Path, face_film: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    said = vcn("run", face_film, "--out", folder, *FAST)
    assert said.code == 0
    summary, report = said.out.splitlines()
    assert summary.startswith("3 people in 3 tracks (0 Unknown), 52 frames, ")  # and the speed of the first time
    assert report == str(folder / "report.html")
    assert all(s["loaded"] for s in record_of(folder)["stages"].values())
    assert bytes_of(folder) == bytes_of(done)


def test_how_a_film_was_decoded_is_told_and_kept(vcn: Vcn, done: Path, face_film: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    stamp = folder / ".work" / "ingest.json"
    told = json.loads(stamp.read_text())
    told["facts"]["notes"] = ["film.mp4: decoded by PyAV and uploaded: NVDEC decodes no prores"]
    stamp.write_text(json.dumps(told))
    said = vcn("run", face_film, "--out", folder, *FAST)
    assert "Note: film.mp4: decoded by PyAV and uploaded: NVDEC decodes no prores" in said.err
    assert record_of(folder)["notes"] == told["facts"]["notes"]


def test_a_run_of_another_config_is_refused_and_left_byte_for_byte(
    vcn: Vcn, done: Path, face_film: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    before = {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.rglob("*") if f.is_file()}
    said = vcn("run", face_film, "--out", folder, *FAST, "--method", "finch", "--set", "crops.min_side=20")
    assert said.code == 1
    assert "crops.min_side is 8.0 there, 20.0 here" in said.err
    assert "cluster.method is 'vcn' there, 'finch' here" in said.err
    assert "--update" in said.err
    assert {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.rglob("*") if f.is_file()} == before


def test_update_recomputes_what_the_change_touches_alone(vcn: Vcn, done: Path, face_film: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    assert vcn("run", face_film, "--out", folder, *FAST, "--set", "cluster.share=0.4", "--update").code == 0
    loaded = {name: s["loaded"] for name, s in record_of(folder)["stages"].items()}
    assert loaded == {"ingest": True, "embed": True, "adapt": True, "cluster": False, "report": False}
    assert vcn("run", face_film, "--out", folder, *FAST, "--method", "finch", "--update").code == 0
    loaded = {name: s["loaded"] for name, s in record_of(folder)["stages"].items()}
    assert loaded == {"ingest": True, "embed": True, "adapt": False, "cluster": False, "report": False}
    assert record_of(folder)["config"]["cluster"]["method"] == "finch"
    assert "baseline" in record_of(folder)["warnings"][0]
    assert 'method = "finch"' in (folder / "config.toml").read_text(encoding="utf-8")


def test_a_runs_own_config_file_repeats_it(vcn: Vcn, done: Path, face_film: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    shutil.copy(done / "config.toml", config)
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    assert vcn("run", face_film, "--out", folder, "--config", config).code == 0
    assert all(s["loaded"] for s in record_of(folder)["stages"].values())


def test_json_is_all_that_stdout_holds(vcn: Vcn, done: Path, face_film: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    said = vcn("run", face_film, "--out", folder, *FAST, "--json")
    answer = json.loads(said.out)
    assert answer["folder"] == str(folder)
    assert answer["state"] == "done"
    assert list(answer["stages"]) == ["ingest", "embed", "adapt", "cluster", "report"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_writes_nothing(
    vcn: Vcn, face_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "missing.mp4"
    said = vcn("run", face_film, missing, "--dry-run", *(["--json"] if as_json else []))
    assert said.code == 3  # as the run would end
    assert list(tmp_path.iterdir()) == []
    if as_json:
        plan = json.loads(said.out)
        assert [v["frames"] for v in plan["videos"]] == [52, 0]
        assert "missing.mp4" in plan["videos"][1]["problem"]
        assert plan["disk_bytes"] > 0
    else:
        assert "h264 320x180, 24.000 fps, 2.2 s" in said.out
        assert "LEFT OUT" in said.out


def test_a_dry_run_tells_what_the_folder_would_come_to(vcn: Vcn, done: Path, face_film: Path, tmp_path: Path) -> None:
    other = ("--set", "crops.min_side=20")
    states = {
        "go on, or is done": ("--out", done, *FAST),
        "crops.min_side is 8.0 there": ("--out", done, *FAST, *other),
        "computed anew": ("--out", done, *FAST, *other, "--update"),
        "new": ("--out", tmp_path / "fresh", *FAST),
    }
    for state, options in states.items():
        said = vcn("run", face_film, "--dry-run", *options)
        assert state in said.out.splitlines()[0]
        assert said.code == (1 if "there" in state else 0)


def test_a_dry_run_without_one_readable_video_or_weights_fails(vcn: Vcn, face_film: Path, tmp_path: Path) -> None:
    assert vcn("run", tmp_path / "missing.mp4", "--dry-run").code == 1
    said = vcn("run", face_film, "--dry-run", "--set", "detect.model=arcface_r100=/nowhere.onnx")
    assert said.code == 1
    assert "there are no weights at /nowhere.onnx" in said.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--method", "hdbscan", "--set", "cluster.threshold=0.5"), "hdbscan has no cluster.threshold"),
        (("--set", "track.low=0.9"), "must rise"),
        (("--set", "crops.min_side=-1"), "crops.min_side must be from 0"),
        (("",), "name is empty"),
    ],
)
def test_a_mistake_is_told_before_anything_is_computed(
    vcn: Vcn, face_film: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    said = vcn("run", face_film, *options, "--out", tmp_path / "run")
    assert said.code == 2
    assert told in said.err
    assert not (tmp_path / "run").exists()


# Broken off

Start = Callable[..., Any]
TINY = tuple(f"--set={s}" for s in ("detect.size=160", "crops.interval_seconds=2", "adapt.views=1", "quality.passes=5"))


def _work(*arguments: str) -> None:
    """A run, in a process of its own."""
    # Tests that a shell has put into the background inherit that Ctrl-C is nothing to them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["vcn", "run", *arguments, "--quiet"]
    cli.main()


@pytest.fixture(scope="session")
def long_film(face_photographs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """520 frames of 160x90: two checkpoints and a rest, 240 frames apart."""
    folder = tmp_path_factory.mktemp("long")
    return clips.repeat(faces.write(folder / "turn.mp4", face_photographs, size=(160, 90)), folder / "film.mp4", 10)


@pytest.fixture(scope="session")
def start(weights_home: Path) -> Start:
    """Starts a run in a new process, forked from a server where the imports are done already: a kill then meets the
    work, not the start of Python."""
    server = multiprocessing.get_context("forkserver")
    heavy = ("vcn_trt.cli", "vcn_trt.api", "vcn_trt.zoo.bases", "vcn_trt.zoo.export", "onnxruntime", "torch", "av")
    server.set_forkserver_preload([*heavy, __name__])

    def begin(film: Path, folder: Path, *options: str) -> Any:
        process = server.Process(target=_work, args=(str(film), "--out", str(folder), *options))
        process.start()
        return process

    return begin


def kill(process: Any, moment: float) -> bool:
    """SIGKILL after so many seconds; -> whether that met the process at work."""
    process.join(moment)
    process.kill()
    process.join()
    return bool(process.exitcode == -signal.SIGKILL)


def checkpoints(folder: Path) -> set[tuple[str, int, int]]:
    """The detections kept for a later try: name, file and time. One that is made again is another file."""
    kept = list((folder / ".work" / "ingest.keep").glob("*/detections-*.npz"))
    return {(f.name, f.stat().st_ino, f.stat().st_mtime_ns) for f in kept}


def finish(process: Any, folder: Path, expected: Path, left: set[tuple[str, int, int]]) -> None:
    """The last try: it ends well, with the bytes of the undisturbed run, and looks for nothing that was found."""
    process.join()
    assert process.exitcode == 0
    assert bytes_of(folder) == bytes_of(expected)
    assert record_of(folder)["state"] == "done"
    assert left <= checkpoints(folder)


@pytest.fixture(scope="session")
def undisturbed(start: Start, long_film: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run of the long film, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start(long_film, folder / "warm", *TINY).join()  # the server's imports
    began = time.monotonic()
    start(long_film, folder / "run", *TINY).join()
    took = time.monotonic() - began
    assert bytes_of(folder / "run") == bytes_of(folder / "warm")
    return folder / "run", took


@pytest.mark.timeout(900)  # a dozen runs, on cores that others may use as well
def test_killed_at_ten_random_moments_a_run_resumes_to_the_same_bytes(
    start: Start, long_film: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    expected, took = undisturbed
    rng = random.Random(2)
    for number in range(2):
        folder = tmp_path / f"run-{number}"
        for share in (1, 0.5, 0.5, 0.5, 0.5):  # what goes on is sooner done, and killed as well
            moment = rng.uniform(0, share * took)
            while not kill(start(long_film, folder, *TINY), moment):  # it was done by then
                shutil.rmtree(folder)
                moment /= 2
        finish(start(long_film, folder, *TINY), folder, expected, checkpoints(folder))


def test_a_run_killed_behind_a_checkpoint_goes_on_from_it_to_the_same_bytes(
    start: Start, long_film: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(long_film, folder, *TINY)
    deadline = time.monotonic() + 60
    while not checkpoints(folder) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert kill(process, 0)
    left = checkpoints(folder)
    assert "detections-000000.npz" in {name for name, _, _ in left}
    assert not (folder / "clusters.json").exists()
    finish(start(long_film, folder, *TINY), folder, undisturbed[0], left)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_130_a_record_and_a_state_that_resumes(
    start: Start, face_film: Path, done: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    process = start(face_film, folder, *FAST)
    deadline = time.monotonic() + 60
    while not (folder / ".work" / "ingest.unfinished").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 130
    assert record_of(folder)["state"] == "interrupted"
    with pytest.raises(RunError, match="no finished run"):
        vcn_trt.open_run(folder)
    again = start(face_film, folder, *FAST)
    again.join()
    assert again.exitcode == 0
    assert bytes_of(folder) == bytes_of(done)


def test_an_interruption_is_told_with_the_way_on(
    vcn: Vcn, face_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vcn_trt.pipeline.cluster_videos", interrupt)
    said = vcn("run", face_film, "--out", tmp_path / "run", *FAST)
    assert said.code == 130
    assert "the same command goes on" in said.err


# Exit statuses and bad input


def test_a_video_that_cannot_be_read_is_left_out_with_its_reason_and_status_3(
    vcn: Vcn, face_film: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a film")
    said = vcn("run", text, face_film, tmp_path / "missing.mp4", "--out", tmp_path / "run", *FAST)
    assert said.code == 3
    record = record_of(tmp_path / "run")
    assert record["state"] == "partial"
    assert [Path(f["path"]).name for f in record["failed"]] == ["text.mp4", "missing.mp4"]
    assert all(f["reason"] for f in record["failed"])
    assert f"Left out: {text}" in said.err
    assert [v["id"] for v in record["videos"]] == [0]
    again = vcn("run", text, face_film, tmp_path / "missing.mp4", "--out", tmp_path / "run", *FAST)
    assert again.code == 3
    assert record_of(tmp_path / "run")["failed"] == record["failed"]


def test_a_missing_file_alone_fails_with_1_and_its_name(vcn: Vcn, tmp_path: Path) -> None:
    said = vcn("run", tmp_path / "missing.mp4", "--out", tmp_path / "run")
    assert said.code == 1
    assert "missing.mp4" in said.err
    assert "Traceback" not in said.err
    assert record_of(tmp_path / "run")["state"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "VIDEO"),
        (("run", "{tmp}"), "no video in"),
        (("run", "film.mp4", "--no-such-option"), "--no-such-option"),
        (("run", "film.mp4", "--set", "detect.sise=3"), "unknown config key detect.sise"),
        (("run", "film.mp4", "--set", "detect.stride=0"), "detect.stride must be from 1"),
        (("run", "film.mp4", "--method", "magic"), "cluster.method must be one of"),
        (("run", "film.mp4", "--config", "{tmp}/none.toml"), "cannot read the config"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_known(
    vcn: Vcn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = vcn(*(a.format(tmp=tmp_path) for a in arguments))
    assert said.code == 2
    assert message in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_film_without_faces_gives_a_valid_empty_answer(vcn: Vcn, tmp_path: Path) -> None:
    film, folder = plain(tmp_path / "film.mp4"), tmp_path / "run"
    said = vcn("run", film, "--out", folder, *FAST)
    assert said.code == 0
    assert "0 people in 0 tracks" in said.out
    answer = json.loads((folder / "clusters.json").read_text(encoding="utf-8"))
    assert (answer["clusters"], answer["tracks"], answer["merges"]) == ([], [], [])
    assert report_of(folder)["people"] == []
    assert np.load(folder / "crops.npy").shape == (0, 112, 112, 3)
    opened = vcn_trt.open_run(folder)
    assert (opened.tracks.n_tracks, opened.people.n_clusters, len(opened.tracks.images[:])) == (0, 0, 0)
    labels = tmp_path / "film.json"
    shots = [{"index": 0, "start": 0, "end": 12}]
    facts = {"video": "film.mp4", "fps": 24.0, "width": 96, "height": 64, "frames": 12, "shots": shots}
    track = {"track_id": 0, "shot": 0, "identity": "A", "frames": [2, 3], "boxes": [[1, 1, 30, 30]] * 2}
    labels.write_text(json.dumps({**facts, "identities": ["A"], "tracks": [track], "ignore_tracks": []}))
    measured = vcn("eval", folder, labels, "--json")
    assert measured.code == 0, measured.err
    assert "NaN" not in measured.out
    json.loads(measured.out)


def test_one_frame_with_one_face_is_a_short_track_of_no_one(vcn: Vcn, face_photographs: Any, tmp_path: Path) -> None:
    film = faces.write(tmp_path / "film.mp4", face_photographs, frames=1)
    assert vcn("run", film, "--out", tmp_path / "run", *FAST).code == 0
    (track,) = json.loads((tmp_path / "run" / "clusters.json").read_text(encoding="utf-8"))["tracks"]
    assert (track["start"], track["stop"], track["status"], track["cluster"]) == (0, 1, "short", -1)
    assert report_of(tmp_path / "run")["unknown"][0]["reason"] == "Seen in too few frames"


@pytest.mark.parametrize("size", [(3840, 2160), (180, 320)], ids=["4K", "portrait"])
def test_any_size_gives_boxes_in_pixels_of_the_displayed_picture(
    vcn: Vcn, face_photographs: Any, tmp_path: Path, size: tuple[int, int]
) -> None:
    film = faces.write(tmp_path / "film.mp4", face_photographs, frames=4, size=size)
    assert vcn("run", film, "--out", tmp_path / "run", *FAST).code == 0
    answer = vcn_trt.open_run(tmp_path / "run")
    (video,) = answer.tracks.videos
    assert (video.width, video.height) == size
    assert answer.tracks.n_tracks == 1
    # Sam's face in the 320x180 film lies from 112 to 187 and from 38 to 150.
    left, factor = (0, size[1] / 180) if size[0] > size[1] else (faces.PORTRAIT.start, size[1] / 180)
    box = answer.tracks.faces.box[0] / factor + (left, 0, left, 0)
    assert box.tolist() == pytest.approx([112, 38, 187, 150], abs=10)


def test_hostile_file_names_are_shown_as_text_and_kept_in_json(vcn: Vcn, face_film: Path, tmp_path: Path) -> None:
    for name in HOSTILE:
        shutil.copy(face_film, tmp_path / name)
    folder = tmp_path / "run"
    # One content under three names: the run computes it three times at most, and tells the names apart.
    said = vcn("run", *(tmp_path / name for name in HOSTILE), "--out", folder, *FAST)
    assert said.code == 0
    answer = json.loads((folder / "clusters.json").read_text(encoding="utf-8"))
    assert [Path(v["path"]).name for v in answer["videos"]] == list(HOSTILE)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "49.mp4" not in page
    assert [v["name"] for v in report_of(folder)["videos"]] == list(HOSTILE)
    assert len(answer["tracks"]) == 9
    assert len(answer["clusters"]) == 3  # one cast over all videos


def test_a_name_that_is_no_utf8_is_no_obstacle(vcn: Vcn, tmp_path: Path) -> None:
    film = plain(tmp_path / "film.mp4")
    try:
        odd = film.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    said = vcn("run", odd, "--out", tmp_path / "run", *FAST, "--json")
    assert said.code == 0
    assert json.loads(said.out)["videos"][0]["path"] == str(odd)
    answer = json.loads((tmp_path / "run" / "clusters.json").read_text(encoding="utf-8"))
    assert answer["videos"][0]["path"] == str(odd)


@pytest.mark.parametrize("key", ["detect.model", "embed.model"])
def test_wrong_weights_are_told_as_such_and_not_as_a_bad_film(
    vcn: Vcn, face_film: Path, tmp_path: Path, weights_home: Path, key: str
) -> None:
    from vcn_trt.zoo import fetch

    text = tmp_path / "weights.onnx"
    text.write_text("these are no weights")
    name, other = {"detect.model": ("retinaface_mnet025", "sface"), "embed.model": ("sface", "retinaface_mnet025")}[key]
    for wrong in (text, fetch.path(other)):
        said = vcn("run", face_film, "--out", tmp_path / "run", *FAST, "--set", f"{key}={name}={wrong}", "--update")
        assert said.code == 1
        assert Path(wrong).name in said.err
        assert "no video could be read" not in said.err
        assert "Traceback" not in said.err
    said = vcn("run", face_film, "--out", tmp_path / "run", "--update", "--set", f"{key}={other}")
    assert said.code == 1
    assert "expected a" in said.err


def test_an_unknown_device_is_an_error_that_names_the_known_ones(vcn: Vcn, face_film: Path, tmp_path: Path) -> None:
    said = vcn("run", face_film, "--out", tmp_path / "run", "--device", "abacus")
    assert said.code == 1
    assert "expected auto, cpu or cuda:N" in said.err


# No disk space


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB: the film's crops fit, what stands beside them while they are joined does not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    if sys.platform != "linux" or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root on Linux can make a small file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(
    vcn: Vcn, small_disk: Path, face_film: Path, done: Path
) -> None:
    folder = small_disk / "run"
    said = vcn("run", face_film, "--out", folder, *FAST)
    assert said.code == 1
    assert "no space left" in said.err
    assert "run the same command again" in said.err
    assert "Traceback" not in said.err
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    assert vcn("run", face_film, "--out", folder, *FAST).code == 0
    assert bytes_of(folder) == bytes_of(done)


# The other verbs


def test_doctor_is_healthy_with_the_weights_and_says_what_to_do_without(
    vcn: Vcn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = vcn("doctor", "--json")
    assert said.code == 0
    assert json.loads(said.out)["healthy"] is True
    monkeypatch.setenv("VCN_HOME", str(tmp_path / "empty"))
    said = vcn("doctor", "--json")
    assert said.code == 1
    missing = [f for f in json.loads(said.out)["findings"] if f["state"] == "missing"]
    assert [f["mend"] for f in missing] == ["vcn models fetch retinaface_mnet025", "vcn models fetch sface"]
    said = vcn("doctor")
    assert said.code == 1
    assert "-> vcn models fetch sface" in said.out


def test_models_are_listed_verified_and_found(
    vcn: Vcn, tmp_path: Path, weights_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {row["name"]: row for row in json.loads(vcn("models", "list", "--json").out)}
    assert (rows["sface"]["weights"], rows["arcface_r100"]["weights"]) == ("here", "by path")
    assert "sface" in vcn("models", "list").out
    path = Path(vcn("models", "path", "sface").out.strip())
    assert path.is_file()
    assert vcn("models", "verify", "sface").out.startswith("ok   sface")

    monkeypatch.setenv("VCN_HOME", str(tmp_path))
    damaged = tmp_path / path.relative_to(weights_home)
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(path.read_bytes()[:-1])
    said = vcn("models", "verify")
    assert said.code == 1
    assert "bad  sface" in said.out
    assert "vcn models fetch sface" in said.out
    assert vcn("models", "path", "arcface_r100").code == 1
    assert vcn("models", "path", "no_such").code == 1


def test_a_run_tells_its_progress_on_stderr_unless_quiet(vcn: Vcn, tmp_path: Path) -> None:
    film = plain(tmp_path / "film.mp4")
    assert "Finding and following faces: 12/12 frames" in vcn("run", film, "--out", tmp_path / "a", *FAST).err
    assert "Finding" not in vcn("run", film, "--out", tmp_path / "b", *FAST, "--quiet").err


def test_without_out_a_run_goes_to_a_folder_named_after_film_and_content(
    vcn: Vcn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film = plain(tmp_path / "my film!.mp4", 3)
    assert vcn("run", film, *FAST).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"my_film-[0-9a-f]{8}", folder.name)
    assert vcn("run", film).code == 0  # another config: another folder
    assert len(list((tmp_path / "runs").iterdir())) == 2
