"""`vcn bench` as it is typed, and the films it measures on."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import clips
import pages
import pytest
import quick
from fakes import Studio
from pages import commands
from typer.testing import CliRunner, Result

from vcn_trt import backends, cli_bench
from vcn_trt.bench import film, limits, parts, table, whole
from vcn_trt.bench.bench import Bench
from vcn_trt.cli import app
from vcn_trt.config import load
from vcn_trt.errors import UsageError, VcnError
from vcn_trt.run import silent


@pytest.fixture
def here(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a film that PyAV can read, and the fake backend's of the same name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backends, "open", lambda device: studio.backend)
    clips.write(tmp_path / "film.mp4", (clips.numbered(i, 64, 48) for i in range(12)))
    return tmp_path


def vcn(*words: str) -> Result:
    return CliRunner().invoke(app, ["bench", *words], catch_exceptions=False)


def test_a_bench_leaves_json_and_prints_its_table(here: Path) -> None:
    done = vcn("film.mp4", "--device", "cpu", "--only", "decode", "--seconds", "0.02", "--streams", "1,3", "-q")
    assert done.exit_code == 0, done.output
    tree = json.loads((here / "bench.json").read_text())
    assert tree["settings"]["streams"] == [1, 3]
    assert tree["settings"]["parts"] == ["decode"]
    assert tree["input"]["films"][0]["codec"] == "h264"
    assert tree["rates"] is None
    assert [(f["by"], f["streams"]) for f in tree["parts"][0]["figures"]] == [
        *(("ours", 1), ("PyAV", 1), ("ours", 3), ("PyAV", 3))
    ]
    assert table.show([tree]) == done.stdout
    assert vcn("--show", "bench.json").stdout == done.stdout
    assert "**B: " in vcn("--show", "bench.json", "bench.json").stdout


def test_what_cannot_be_measured_is_status_3_and_the_rest_is_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_weights(name: str, kind: str) -> Any:
        raise VcnError("the weights are not here; run `vcn models fetch`")

    monkeypatch.setattr("vcn_trt.bench.networks.open_model", no_weights)
    done = vcn("film.mp4", "--only", "detect,decode", "--seconds", "0.02", "--out", "new/b.json", "-q")
    assert done.exit_code == 3
    tree = json.loads((here / "new" / "b.json").read_text())
    assert [(p["part"], p["state"]) for p in tree["parts"]] == [("decode", "done"), ("detect", "failed")]
    assert "- fake, detect failed: VcnError: the weights are not here; run `vcn models fetch`" in done.stdout


def test_a_bench_that_is_stopped_leaves_the_parts_that_were_done(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(bench: Bench) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setitem(parts.PARTS, "kernels", stopped)
    assert vcn("film.mp4", "--only", "decode,kernels", "--seconds", "0.02", "-q").exit_code != 0
    tree = json.loads((here / "bench.json").read_text())
    assert [p["part"] for p in tree["parts"]] == ["decode"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--show"], "name at least one JSON file"),
        (["--show", "film.mp4"], "no result of `vcn bench`"),
        (["--only", "decoding"], "no part 'decoding'"),
        (["--streams", "1,x"], "whole numbers from 1 on, as 1,2,4; found '1,x'"),
        (["--streams", "0"], "whole numbers from 1 on"),
        (["--set", "decode.batch=99"], "decode.batch must be from 1 to 16"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_meant_is_told(words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        vcn(*words, "-q")


def test_a_card_that_has_no_room_for_its_rates_is_measured_without_them(
    here: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_memory(device: str) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(backends, "open", lambda device: replace(studio.backend, torch_device="cuda:0"))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Card 9000")
    monkeypatch.setattr(limits, "measure_rates", no_memory)
    opened = cli_bench._open([Path("film.mp4")], "cuda:0", (), 1.0, 0, None, ["device=cpu"], here, silent)
    assert (opened.gpu, opened.rates) == ("Card 9000", None)
    assert (opened.streams, opened.tracks) == ((1, 2, 4, 7), 100_000)
    assert "rates of Card 9000 cannot be measured (out of memory)" in capsys.readouterr().err


def test_the_commands_of_the_page_run(here: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake backend serves as any device."""
    monkeypatch.setenv("VCN_HOME", str(here / "home"))
    studio.films |= dict.fromkeys(("made.mp4", "made-10.mp4"), studio.films["film.mp4"])
    quick.bench(monkeypatch)
    listed = [words for program, *words in commands("docs/bench.md") if program == "vcn"]
    for verb, *words in listed:
        assert verb == "bench"
        done = vcn(*words)
        assert (done.exit_code, words, done.stderr.count("failed")) == (0, words, 0)
        assert "| decode | file to frames |" in done.stdout
        for name in ("cpu.json", "h100.json"):
            shutil.copy("bench.json", name)
    assert [json.loads(Path(n).read_text())["settings"]["parts"] for n in ("bench.json", "quick.json")] == [
        list(parts.PARTS),
        ["decode", "detect"],
    ]


def test_every_option_and_part_is_on_the_page() -> None:
    page = pages.text("docs/bench.md")
    text = CliRunner().invoke(app, ["bench", "--help"], env={"COLUMNS": "200"}).output
    options = set(re.findall(r"--[a-z-]+", text)) - {"--help"}
    assert len(options) > 6
    assert {o for o in options if f"`{o}" not in page} == set()
    assert {name for name in parts.PARTS if f"`{name}`" not in page} == set()


def test_without_faces_to_fetch_a_film_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*given: Any) -> Path:
        raise VcnError("no network")

    monkeypatch.setattr(film, "build", offline)
    monkeypatch.setattr(film, "MADE_FRAMES", 6)
    monkeypatch.setattr(film, "LOOPS", 3)
    monkeypatch.setattr(film, "made", lambda path: MAKE(path, frames=6))
    films = film.open_films((), silent, tmp_path / "bench")
    assert films.kind == "made"
    assert film.describe(films.whole[0])["frames"] == 6
    with av.open(str(films.decoded[0])) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == 18
    assert times == sorted(set(times))
    before = films.decoded[0].stat()
    assert film.open_films((), silent, tmp_path / "bench") == films
    assert films.decoded[0].stat() == before


MAKE = film.made


def test_films_that_are_given_are_taken_as_they_are() -> None:
    films = film.open_films((Path("a.mp4"), Path("b.mp4")), silent)
    assert films == film.Films((Path("a.mp4"), Path("b.mp4")), (Path("a.mp4"), Path("b.mp4")), "given")


def test_copies_have_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text(name)
    (tmp_path / "to").mkdir()
    found = film.copies([tmp_path / "a.mp4", tmp_path / "b.mp4"], 3, tmp_path / "to")
    assert [p.name for p in found] == ["1-a.mp4", "2-b.mp4", "3-a.mp4"]
    assert [p.read_text() for p in found] == ["a.mp4", "b.mp4", "a.mp4"]


def test_a_real_film_goes_through_the_whole_pipeline(weights_home: Path, face_film: Path, tmp_path: Path) -> None:
    bench = Bench(
        backend=backends.open("cpu"),
        config=load(None, ["device=cpu", "adapt.views=0", "quality.passes=2"]),
        films=film.Films((face_film,), (face_film,), "given"),
        streams=(2,),
        seconds=0.1,
        tracks=10,
        folder=tmp_path,
    )
    ingest, run = whole.whole(bench)
    assert [(f.what, f.streams) for f in (ingest, run)] == [("ingest: frames to tracks", 2), ("whole run", 2)]
    assert run.facts["frames"] == 2 * film.describe(face_film)["frames"]
    assert run.rate["median"] < ingest.rate["median"]
    assert not list(tmp_path.iterdir())
